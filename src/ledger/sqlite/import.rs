//! What older sessions made, and those of a ledger that was lost: taken in from their files.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Sqlite,
    core::{Core, first_epoch},
    schema::in_transaction,
    values::{self, Bytes, Time, mark, of_plan, signed, unsigned},
};
use crate::{
    error::Result,
    ids::{Claim, Epoch, MediaId, ObjectId},
    ledger::{
        Claimed, ObjectState, Request,
        identity::Name,
        import::{Import, Made, SessionFile, Upload},
    },
    session::lock,
};

/// What the owner of a session that has no id of its own is called by, before a hash of its file's path.
const FILE: &str = "file-";

/// An epoch that no row ever has.
const NEVER: Epoch = 0;

/// How many uploads are written in one go: others wait as long.
const IN_ONE_GO: usize = 5_000;

impl Sqlite {
    /// Which of these files have uploads that may not be in the ledger: those that were never imported
    /// for this account, or were written since. Blocks.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when the ledger can't be read.
    pub fn not_imported(&self, files: Vec<SessionFile>) -> Result<Vec<SessionFile>> {
        self.read_blocking(move |core| {
            let mut left = Vec::new();
            for file in files {
                if !core.is_imported(&file)? {
                    left.push(file);
                }
            }
            Ok(left)
        })
    }

    /// Whether the session with this owner's id writes to this ledger what it does, so that its file says
    /// nothing new. Blocks.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when the ledger can't be read.
    pub fn writes_here(&self, owner: &str) -> Result<bool> {
        let owner = owner.to_owned();
        self.read_blocking(move |core| core.writes_here(&owner))
    }

    /// Takes in what a session made, as far as the ledger does not have it. Returns how many uploads it
    /// took in. Importing a session once more changes nothing. Blocks.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when the ledger can't be written; some of it may be taken in then.
    pub fn import(&self, import: Import) -> Result<usize> {
        let Import {
            file,
            name,
            owner,
            is_final,
            uploads,
        } = import;
        let mut taken = 0;
        let mut uploads = uploads.into_iter();
        loop {
            let some: Vec<Upload> = uploads.by_ref().take(IN_ONE_GO).collect();
            if some.is_empty() {
                break;
            }
            let (file, name, owner) = (file.path.clone(), name.clone(), owner.clone());
            taken += self.read_blocking(move |core| {
                in_transaction(&core.connection, || {
                    core.import(&file, &name, &owner, &some)
                })
            })?;
        }
        if is_final {
            self.read_blocking(move |core| {
                in_transaction(&core.connection, || core.note_imported(&file))
            })?;
        }
        Ok(taken)
    }
}

impl Core {
    fn is_imported(&self, file: &SessionFile) -> rusqlite::Result<bool> {
        self.sql(
            "SELECT 1 FROM imported WHERE account = ?1 AND file = ?2 AND size = ?3 AND modified = ?4",
        )?
        .exists(params![
            self.account,
            Bytes(&file.path),
            signed(file.size),
            Time(file.modified)
        ])
    }

    fn note_imported(&self, file: &SessionFile) -> rusqlite::Result<()> {
        self.sql("INSERT OR REPLACE INTO imported VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                self.account,
                Bytes(&file.path),
                signed(file.size),
                Time(file.modified)
            ])?;
        Ok(())
    }

    /// Takes in these uploads of a session, and returns how many were new.
    fn import(
        &self,
        file: &Path,
        name: &str,
        owner: &str,
        uploads: &[Upload],
    ) -> rusqlite::Result<usize> {
        let is_own = file == self.session;
        let mut key = None;
        let mut taken = 0;
        for upload in uploads {
            let is_new = match &upload.made {
                Made::Accepted(media) => self.import_accepted(upload, media)?,
                // This session says itself what it has started.
                Made::Started { .. } if is_own => false,
                Made::Started { is_held, .. } => {
                    let owner = match (is_held, key) {
                        (false, _) => None,
                        (true, Some(key)) => Some(key),
                        (true, None) => {
                            let found = self.import_owner(file, name, owner)?;
                            key = Some(found);
                            key
                        }
                    };
                    self.import_started(upload, owner)?
                }
            };
            taken += usize::from(is_new);
        }
        Ok(taken)
    }

    /// The number of a session as an owner. One without an id lives as long as its file is locked.
    fn import_owner(&self, file: &Path, name: &str, owner: &str) -> rusqlite::Result<i64> {
        let key = if owner.is_empty() {
            owner_of_file(file)
        } else {
            owner.to_owned()
        };
        self.sql(
            "INSERT INTO owner (key, session, file) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![key, name, Bytes(file)])?;
        self.sql("SELECT id FROM owner WHERE key = ?1")?
            .query_row([key], |row| row.get(0))
    }

    fn import_accepted(&self, upload: &Upload, media: &MediaId) -> rusqlite::Result<bool> {
        if has(
            &self.connection,
            Some(self.account),
            upload.identity.size,
            Some(media),
            "",
        )? {
            return Ok(false);
        }
        let object: ObjectId = self
            .sql("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'started' RETURNING seq")?
            .query_row((), |row| row.get(0))?;
        self.sql(
            "INSERT INTO accepted (id, account, slot, size, mark, media, epoch, at) \
             VALUES (?1, ?2, '', ?3, ?4, ?5, ?7, ?6)",
        )?
        .execute(params![
            object,
            self.account,
            signed(upload.identity.size),
            mark(""),
            media.as_str(),
            upload.at,
            first_epoch(),
        ])?;
        self.add_name(object, &name_of(upload))?;
        Ok(true)
    }

    fn import_started(&self, upload: &Upload, owner: Option<i64>) -> rusqlite::Result<bool> {
        let Made::Started {
            marker,
            plan,
            ticket,
            is_complete,
            ..
        } = &upload.made
        else {
            return Ok(false);
        };
        let media = ticket.as_ref().and_then(|ticket| ticket.media.as_ref());
        if has(
            &self.connection,
            Some(self.account),
            upload.identity.size,
            media,
            marker,
        )? {
            return Ok(false);
        }
        let state = if *is_complete {
            ObjectState::Complete
        } else {
            ObjectState::Open
        };
        let sealed = ticket
            .as_ref()
            .and_then(|ticket| self.sealed(marker, ticket));
        self.sql(
            "INSERT INTO started (account, slot, size, state, marker, plan, media, ticket, owner, \
             epoch, at) VALUES (?1, '', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?10, ?9)",
        )?
        .execute(params![
            self.account,
            signed(upload.identity.size),
            state,
            marker,
            of_plan(plan),
            media.map(MediaId::as_str),
            sealed,
            owner,
            upload.at,
            first_epoch(),
        ])?;
        let object = self.connection.last_insert_rowid();
        self.add_name(object, &name_of(upload))?;
        Ok(true)
    }

    /// The claim of an upload that its session has started, and that the ledger knows by its marker or
    /// its media object alone: from its file, or from another session that went on with it.
    pub(super) fn claim_imported(
        &mut self,
        request: &Request,
    ) -> rusqlite::Result<Option<Claimed>> {
        let size = signed(request.file.stat.identity.size);
        let found: Option<ObjectId> = self
            .sql("SELECT id FROM started WHERE size = ?1 AND account = ?2 AND marker = ?3")?
            .query_row(params![size, self.account, request.marker], |row| {
                row.get(0)
            })
            .optional()?;
        if let Some(object) = found {
            let row = self.row(object)?;
            // It was granted nothing of this row before.
            let before = Claim {
                object,
                epoch: NEVER,
            };
            return self.claim_started(request, before, row).map(Some);
        }
        let ticket = request.started.as_ref().and_then(|it| it.ticket.as_ref());
        let media = ticket.and_then(|ticket| ticket.media.clone());
        let found = self
            .sql(
                "SELECT id, epoch, plan, media FROM accepted WHERE size = ?1 AND account = ?2 \
                 AND (media = ?3 OR (?3 IS NULL AND mark = ?4))",
            )?
            .query_row(
                params![
                    size,
                    self.account,
                    media.as_ref().map(MediaId::as_str),
                    mark(&request.marker)
                ],
                |row| {
                    let plan = values::plan(row.get_ref(2)?, unsigned(size)).ok();
                    let media: Option<String> = row.get(3)?;
                    let claim = Claim {
                        object: row.get(0)?,
                        epoch: row.get(1)?,
                    };
                    Ok((claim, plan, media.map(MediaId::from)))
                },
            )
            .optional()?;
        // It is this upload's own object: were it one of another's, it would be deleted as superfluous.
        Ok(found.map(|(claim, plan, media)| self.own_accepted(request, claim, plan, media)))
    }

    /// Whether a session that has no id as an owner runs: an older program has it open. `None` where this
    /// is no such owner.
    pub(super) fn runs_without_owner(&self, key: &str) -> Option<bool> {
        if !key.starts_with(FILE) {
            return None;
        }
        let sql = "SELECT file FROM owner WHERE key = ?1";
        let file: PathBuf = self
            .sql(sql)
            .and_then(|mut sql| sql.query_row([key], |row| Ok(values::path(row.get(0)?))))
            .ok()?;
        let runs = runs_without_owner(key, &file)?;
        Some(file != self.session && runs)
    }
}

/// Whether the ledger has an object of this size already that is this media object or has this marker, or
/// was to forget it; at this account, or at whatever one.
pub(super) fn has(
    connection: &Connection,
    account: Option<i64>,
    size: u64,
    media: Option<&MediaId>,
    marker: &str,
) -> rusqlite::Result<bool> {
    let media = media.map(MediaId::as_str);
    let mark = (!marker.is_empty()).then(|| mark(marker));
    connection
        .prepare_cached(
            "SELECT 1 FROM accepted WHERE size = ?1 AND coalesce(account = ?2, 1) \
             AND (media = ?3 OR mark = ?5) \
             UNION ALL SELECT 1 FROM started WHERE size = ?1 AND coalesce(account = ?2, 1) \
             AND (media = ?3 OR marker = ?4) \
             UNION ALL SELECT 1 FROM forgotten WHERE media IN (?3, ?4)",
        )?
        .exists(params![signed(size), account, media, marker, mark])
}

/// Whether the session with this file runs, where its key as an owner is that of one without an id.
pub(super) fn runs_without_owner(key: &str, file: &Path) -> Option<bool> {
    key.starts_with(FILE).then(|| lock::holder(file).is_some())
}

/// What a session without an id is known by as an owner.
pub(super) fn owner_of_file(file: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;

    use md5::{Digest as _, Md5};
    let hash: [u8; 16] = Md5::digest(file.as_os_str().as_bytes()).into();
    format!("{FILE}{:032x}", u128::from_be_bytes(hash))
}

/// The name of an imported upload's file. When its inode was last changed is not known.
fn name_of(upload: &Upload) -> Name {
    Name {
        path: upload.path.clone(),
        modified: upload.identity.modified,
        changed: None,
        file_system: upload.identity.file_system,
        inode: upload.identity.inode,
    }
}
