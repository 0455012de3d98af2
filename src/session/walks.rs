//! The walks that a session was asked for: one that was cut short is gone on with, and what one could
//! not read is walked again as it was asked for. Pure; knows no disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::Deserialize;

use super::record::{BadTable, Record, Writer, quoted, within};
use crate::{
    add_paths::AddPaths,
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
    over: bool,
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

    fn walk() -> Walk {
        Walk {
            id: 3,
            add: AddPaths {
                paths: vec!["/a b".into(), "/50%\"".into()],
                include: vec!["*.mov".into()],
                exclude: vec!["\n".into(), "raw/".into()],
                again: true,
            },
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
        odd.add.paths.push(bytes.into());
        odd.add.again = false;
        odd.over = false;
        assert_eq!(again(&odd), Record::Walk(odd));
        let mut text = String::new();
        write_walk_over(&mut text, 3);
        assert_eq!(read_table(&text).unwrap(), Record::WalkOver(3));
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
