//! One line of the queue: a folder or an upload, as a screen shows it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{FolderId, State, Totals, UploadId};

/// What a line of the queue stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineId {
    /// A folder.
    Folder(FolderId),
    /// An upload.
    Upload(UploadId),
}

/// A line of the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// In how many folders of the tree it is.
    pub depth: u16,
    /// The innermost of them, if it is in any.
    pub parent: Option<FolderId>,
    /// What it tells.
    pub entry: Entry,
}

/// What a line of the queue tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A folder, with what is inside.
    Folder(FolderRow),
    /// An upload.
    Upload(Row),
}

impl Line {
    /// What it stands for.
    #[must_use]
    pub fn id(&self) -> LineId {
        match &self.entry {
            Entry::Folder(folder) => LineId::Folder(folder.id),
            Entry::Upload(row) => LineId::Upload(row.id),
        }
    }

    /// The upload, if it is one.
    #[must_use]
    pub fn upload(&self) -> Option<&Row> {
        match &self.entry {
            Entry::Upload(row) => Some(row),
            Entry::Folder(_) => None,
        }
    }

    /// The folder, if it is one.
    #[must_use]
    pub fn folder(&self) -> Option<&FolderRow> {
        match &self.entry {
            Entry::Folder(folder) => Some(folder),
            Entry::Upload(_) => None,
        }
    }
}

/// One folder as a row. Totals are those of all uploads inside, however deep, also of those that a
/// filter hides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FolderRow {
    /// Its number.
    pub id: FolderId,
    /// Where it is.
    #[serde(with = "crate::path::text")]
    pub path: PathBuf,
    /// Its name, with those of the folders above it that hold nothing else: `a/b/c`.
    #[serde(with = "crate::path::text")]
    pub name: PathBuf,
    /// Whether its lines are not shown.
    pub folded: bool,
    /// What is inside.
    pub totals: Totals,
    /// How many uploads inside the filter lets through.
    pub matching: usize,
    /// Bytes on their way in parts in flight.
    pub in_flight: u64,
    /// Bytes a second, now.
    pub rate: u64,
}

/// One upload as a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its number.
    pub id: UploadId,
    /// Where the file is.
    #[serde(with = "crate::path::text")]
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes the destination acknowledged, never more than `size`.
    pub acknowledged: u64,
    /// Bytes on their way in parts in flight.
    pub in_flight: u64,
    /// Its state.
    pub state: State,
    /// Bytes a second, now.
    pub rate: u64,
    /// Seconds left at this speed, where that can be told.
    pub eta: Option<u64>,
    /// How many parts it is cut into; 0 before it is begun.
    pub parts: u32,
    /// How many of them are acknowledged.
    pub parts_done: u32,
    /// How many are in flight.
    pub parts_running: u32,
    /// How many failed and wait for the person.
    pub parts_failed: u32,
    /// How many wait to be tried again.
    pub parts_retrying: u32,
    /// What there is to say about it: why it failed, waits, was skipped.
    pub note: Option<String>,
}
