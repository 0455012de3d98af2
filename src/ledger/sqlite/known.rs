//! Which files are uploaded, as far as `stat` alone shows it. A hash of each name is in memory, so that
//! a file that is not known reads nothing; those that are known have their rows read together.

use std::path::Path;

use md5::{Digest as _, Md5};
use rusqlite::{OptionalExtension, params};

use super::{
    core::Core,
    schema::reading,
    values::{self, Time, unsigned},
};
use crate::{
    identity::FileStat,
    ids::{MediaId, ObjectId},
    ledger::Uploaded,
};

/// How many numbers of objects are read in one go: others wait as long.
pub(super) const IN_ONE_GO: i64 = 20_000;

type Hash = [u8; 16];

/// The hash of a name, and its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    hash: Hash,
    object: ObjectId,
}

/// The names of all accepted objects, by their hash.
#[derive(Debug, Default)]
pub(super) struct Index(Vec<Entry>);

impl Index {
    /// Of these names.
    pub(super) fn of(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable();
        entries.shrink_to_fit();
        Self(entries)
    }

    /// The object that a file was uploaded as.
    pub(super) fn find(&self, path: &Path, stat: &FileStat) -> Option<ObjectId> {
        let hash = of_file(path, stat)?;
        let at = self
            .0
            .binary_search_by_key(&hash, |entry| entry.hash)
            .ok()?;
        Some(self.0[at].object)
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The hash of what `stat` says of a file; `None` where that does not show that two files are the same.
fn of_file(path: &Path, stat: &FileStat) -> Option<Hash> {
    use std::os::unix::ffi::OsStrExt;
    let (identity, changed) = (stat.identity, stat.changed?);
    if identity.file_system == 0 {
        return None;
    }
    let mut hash = Md5::new();
    let mut head = [0; 48];
    head[..8].copy_from_slice(&identity.size.to_le_bytes());
    head[8..24].copy_from_slice(&identity.modified.as_nanosecond().to_le_bytes());
    head[24..40].copy_from_slice(&changed.as_nanosecond().to_le_bytes());
    head[40..].copy_from_slice(&identity.file_system.to_le_bytes());
    hash.update(head);
    hash.update(path.as_os_str().as_bytes());
    Some(hash.finalize().into())
}

impl Core {
    /// A number below those of all accepted objects, and the highest of them.
    pub(super) fn accepted_range(&self) -> rusqlite::Result<(ObjectId, ObjectId)> {
        let sql = "SELECT coalesce((SELECT min(id) FROM accepted) - 1, 0), \
             coalesce((SELECT max(id) FROM accepted), 0)";
        self.sql(sql)?
            .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Adds the names of objects with numbers above `after`, as many as are read in one go.
    pub(super) fn load(&self, after: ObjectId, into: &mut Vec<Entry>) -> rusqlite::Result<()> {
        let mut sql = self.sql(
            "SELECT n.object, f.path, n.base, a.size, n.modified, n.changed, s.number \
             FROM name n CROSS JOIN accepted a ON a.id = n.object \
             CROSS JOIN folder f ON f.id = n.folder \
             CROSS JOIN file_system s ON s.id = n.file_system \
             WHERE n.object > ?1 AND n.object <= ?2 AND n.changed NOT NULL AND a.account = ?3 \
             AND a.slot = ''",
        )?;
        let mut rows = sql.query(params![after, after + IN_ONE_GO, self.account])?;
        while let Some(row) = rows.next()? {
            let folder = values::path(row.get(1)?);
            let path = folder.join(values::path(row.get(2)?));
            let identity = crate::identity::Identity {
                size: unsigned(row.get(3)?),
                modified: row.get::<_, Time>(4)?.0,
                inode: 0,
                file_system: unsigned(row.get(6)?),
            };
            let changed = Some(row.get::<_, Time>(5)?.0);
            if let Some(hash) = of_file(&path, &FileStat { identity, changed }) {
                let object = row.get(0)?;
                into.push(Entry { hash, object });
            }
        }
        Ok(())
    }

    /// What is known of these objects, where they are still accepted.
    pub(super) fn accepted(&self, objects: &[ObjectId]) -> rusqlite::Result<Vec<Option<Uploaded>>> {
        reading(&self.connection, || {
            let mut sql = self.sql("SELECT media, at FROM accepted WHERE id = ?1")?;
            let mut of_one = |object: &ObjectId| {
                sql.query_row([object], |row| {
                    let media: Option<String> = row.get(0)?;
                    Ok(Uploaded {
                        object: *object,
                        media: media.map(MediaId::from),
                        at: row.get(1)?,
                        other_path: None,
                        is_unread: false,
                    })
                })
                .optional()
            };
            objects.iter().map(&mut of_one).collect()
        })
    }
}
