//! The walks that a session was asked for: one that was cut short is gone on with, and what one could
//! not read is walked again as it was asked for. Pure; knows no disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::record::{BadTable, Record, Writer, quoted, within};
use crate::{
    add_paths::AddPaths,
    identity::Mount,
    ids::{MOST_WALKS, WalkId},
    path,
};

/// A walk: a `[[walk]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Its number.
    pub id: WalkId,
    /// What it was asked for; the paths are absolute.
    pub add: AddPaths,
    /// The disks that it met.
    pub mounts: Vec<Mount>,
    /// Whether it came to its end, so that all it found is queued.
    pub over: bool,
}

/// All walks of a session.
#[derive(Debug, Default)]
pub struct Walks {
    all: BTreeMap<WalkId, Walk>,
    last: WalkId,
    /// Those of which something was walked again since the session was opened.
    again: BTreeSet<WalkId>,
}

impl Walks {
    /// A number for the next walk.
    pub fn next_id(&mut self) -> WalkId {
        self.last = self.last.saturating_add(1);
        self.last
    }

    /// The highest number of all walks there were.
    #[must_use]
    pub fn last_id(&self) -> WalkId {
        self.last
    }

    /// Takes over a walk; `false` when there is one of this number.
    pub fn insert(&mut self, walk: Walk) -> bool {
        self.last = self.last.max(walk.id);
        self.all.insert(walk.id, walk).is_none()
    }

    /// The walk with this number.
    #[must_use]
    pub fn get(&self, id: WalkId) -> Option<&Walk> {
        self.all.get(&id)
    }

    /// A walk came to its end. Whether that is news.
    pub fn end(&mut self, id: WalkId) -> bool {
        let walk = self.all.get_mut(&id);
        walk.is_some_and(|walk| !std::mem::replace(&mut walk.over, true))
    }

    /// A walk met a disk. Whether that is news.
    pub fn met(&mut self, id: WalkId, mount: &Mount) -> bool {
        let Some(walk) = self.all.get_mut(&id) else {
            return false;
        };
        if walk.mounts.contains(mount) {
            return false;
        }
        walk.mounts.retain(|known| known.path != mount.path);
        walk.mounts.push(mount.clone());
        true
    }

    /// The disk that this path was on, as far as any walk has met it; the last one, where another was there
    /// before.
    #[must_use]
    pub fn mount_of(&self, path: &Path) -> Option<&Mount> {
        let met = self.all.values().flat_map(|walk| &walk.mounts);
        let over = met.filter(|mount| path.starts_with(&mount.path));
        over.max_by_key(|mount| mount.path.as_os_str().len())
    }

    /// A walk is to be walked again, as if it had not come to its end.
    pub fn reopen(&mut self, id: WalkId) {
        if let Some(walk) = self.all.get_mut(&id) {
            walk.over = false;
        }
    }

    /// Something of this walk is walked again: what that can't read will name it.
    pub fn walk_again(&mut self, id: WalkId) {
        self.again.insert(id);
    }

    /// Whether this walk may still be named, though it came to its end and nothing names it now.
    #[must_use]
    pub fn may_be_named(&self, id: WalkId) -> bool {
        self.again.contains(&id)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Walk> {
        self.all.values()
    }

    /// Those that did not come to their end.
    pub fn open(&self) -> impl Iterator<Item = &Walk> {
        self.iter().filter(|walk| !walk.over)
    }
}

/// A `[[walk]]` table as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WalkTable {
    id: WalkId,
    paths: Option<Vec<String>>,
    paths_bytes: Option<Vec<String>>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    again: bool,
    #[serde(default)]
    mounts: Vec<MountTable>,
    #[serde(default)]
    over: bool,
}

/// A disk within a `[[walk]]` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MountTable {
    path: Option<String>,
    path_bytes: Option<String>,
    #[serde(default)]
    file_system: u64,
}

impl TryFrom<MountTable> for Mount {
    type Error = BadTable;

    fn try_from(table: MountTable) -> Result<Self, BadTable> {
        let path = path::one_of(table.path, table.path_bytes);
        Ok(Self {
            path: path.ok_or_else(BadTable::which_path)?,
            file_system: table.file_system,
        })
    }
}

impl TryFrom<WalkTable> for Record {
    type Error = BadTable;

    fn try_from(table: WalkTable) -> Result<Self, BadTable> {
        within("walk id", table.id, MOST_WALKS)?;
        let paths = match (table.paths, table.paths_bytes) {
            (Some(paths), None) => paths.into_iter().map(PathBuf::from).collect(),
            (None, Some(bytes)) => bytes.iter().map(|bytes| path::decode(bytes)).collect(),
            _ => {
                return Err(BadTable::new("one of `paths` and `paths_bytes` is needed"));
            }
        };
        Ok(Self::Walk(Walk {
            id: table.id,
            add: AddPaths {
                paths,
                include: table.include,
                exclude: table.exclude,
                again: table.again,
            },
            mounts: table
                .mounts
                .into_iter()
                .map(Mount::try_from)
                .collect::<Result<_, _>>()?,
            over: table.over,
        }))
    }
}

/// Appends a `[[walk]]` table.
pub fn write_walk(out: &mut String, walk: &Walk) {
    out.push_str("[[walk]]\n");
    let mut writer = Writer(out);
    writer.value("id", walk.id);
    let mut texts = |key: &str, texts: Vec<String>| {
        let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
        writer.value(key, format_args!("[{}]", texts.join(", ")));
    };
    let add = &walk.add;
    let plain: Option<Vec<String>> = add.paths.iter().map(|path| plain(path)).collect();
    match plain {
        Some(plain) => texts("paths", plain),
        None => texts(
            "paths_bytes",
            add.paths.iter().map(|path| path::encode(path)).collect(),
        ),
    }
    for (key, globs) in [("include", &add.include), ("exclude", &add.exclude)] {
        if !globs.is_empty() {
            texts(key, globs.clone());
        }
    }
    if !walk.mounts.is_empty() {
        let mounts: Vec<String> = walk.mounts.iter().map(inline).collect();
        writer.value("mounts", format_args!("[{}]", mounts.join(", ")));
    }
    for (key, is) in [("again", add.again), ("over", walk.over)] {
        if is {
            writer.value(key, true);
        }
    }
    out.push('\n');
}

/// A path that stands for itself as text.
fn plain(path: &std::path::Path) -> Option<String> {
    let text = path.to_str()?;
    (!text.contains(char::is_control)).then(|| text.to_owned())
}

/// A disk as a value within a table.
fn inline(mount: &Mount) -> String {
    let path = plain(&mount.path).map_or_else(
        || format!("path_bytes = {}", quoted(&path::encode(&mount.path))),
        |plain| format!("path = {}", quoted(&plain)),
    );
    match mount.file_system {
        0 => format!("{{ {path} }}"),
        number => format!("{{ {path}, file_system = {number} }}"),
    }
}

/// Appends a `[[log]]` table: this walk met this disk.
pub fn write_mount(out: &mut String, id: WalkId, mount: &Mount) {
    out.push_str("[[log]]\n");
    let mut writer = Writer(out);
    writer.value("walk", id);
    writer.path(&mount.path);
    writer.file_system(mount.file_system);
    out.push('\n');
}

/// Appends a `[[log]]` table: this walk came to its end.
pub fn write_walk_over(out: &mut String, id: WalkId) {
    out.push_str("[[log]]\n");
    let mut writer = Writer(out);
    writer.value("walk", id);
    writer.text("state", "done");
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    use super::*;
    use crate::session::record::read_table;

    fn mount(path: &str, file_system: u64) -> Mount {
        Mount {
            path: path.into(),
            file_system,
        }
    }

    fn walk() -> Walk {
        Walk {
            id: 3,
            add: AddPaths {
                paths: vec!["/a b".into(), "/50%\"".into()],
                include: vec!["*.mov".into()],
                exclude: vec!["\n".into(), "raw/".into()],
                again: true,
            },
            mounts: vec![mount("/a b", u64::MAX), mount("/", 0)],
            over: true,
        }
    }

    fn again(walk: &Walk) -> Record {
        let mut text = String::new();
        write_walk(&mut text, walk);
        assert_eq!(text.matches("\n\n").count(), 1, "{text}");
        read_table(&text).unwrap()
    }

    #[test]
    fn a_walk_reads_back_as_it_was_written() {
        assert_eq!(again(&walk()), Record::Walk(walk()));
        let mut odd = walk();
        let bytes = OsString::from_vec(b"/not\xffutf8 50%".to_vec());
        odd.mounts[0].path = bytes.clone().into();
        odd.add.paths.push(bytes.into());
        odd.add.again = false;
        odd.over = false;
        assert_eq!(again(&odd), Record::Walk(odd.clone()));
        let mut text = String::new();
        write_walk_over(&mut text, 3);
        assert_eq!(read_table(&text).unwrap(), Record::WalkOver(3));
        for mount in odd.mounts {
            let mut text = String::new();
            write_mount(&mut text, 3, &mount);
            assert_eq!(read_table(&text).unwrap(), Record::Met(3, mount));
        }
    }

    #[test]
    fn a_path_is_on_the_nearest_disk_above_it_that_was_met_last() {
        let mut walks = Walks::default();
        for id in [3, 4] {
            walks.insert(Walk { id, ..walk() });
        }
        assert!(!walks.met(3, &mount("/", 0)), "it is known");
        assert!(!walks.met(9, &mount("/", 0)), "there is no such walk");
        assert!(walks.met(3, &mount("/a b/c", 7)) && walks.met(3, &mount("/a b/c", 8)));
        assert!(walks.met(4, &mount("/a b", 9)));
        let number = |path: &str| walks.mount_of(Path::new(path)).map(|it| it.file_system);
        assert_eq!(number("/a b/c/d.mov"), Some(8));
        assert_eq!(number("/a b/cd.mov"), Some(9));
        assert_eq!(number("/a.mov"), Some(0));
        assert_eq!(Walks::default().mount_of(Path::new("/a.mov")), None);
    }

    #[test]
    fn a_walk_is_open_until_it_ends_and_no_number_is_used_twice() {
        let mut walks = Walks::default();
        assert_eq!(walks.next_id(), 1);
        let mut cut_short = walk();
        cut_short.over = false;
        assert!(walks.insert(cut_short.clone()));
        assert!(!walks.insert(cut_short));
        assert_eq!(walks.open().count(), 1);
        assert!(walks.end(3));
        assert!(!walks.end(3), "it ended before");
        assert!(!walks.end(9), "there is none");
        assert_eq!(walks.open().count(), 0);
        assert_eq!(walks.next_id(), 4);
    }
}
