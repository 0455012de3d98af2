//! A stretch of the queue: which of it a screen asks for, in which order, with what folded, and what
//! it is given. What stands in each line is told in `line`.

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{FolderId, Line, LineId, Row, State};

/// A stretch of the filtered and sorted queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WindowQuery {
    /// Which uploads.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// The first row wanted, from 0.
    pub start: usize,
    /// How many rows; never more than [`Self::MOST_ROWS`] are answered.
    pub rows: usize,
    /// When set, the window is moved so that this line is in it, or the folded folder that hides it,
    /// if the filter lets it through.
    pub follow: Option<LineId>,
    /// Whether the first upload with parts in flight is followed instead of `follow`, unless parts
    /// of that are being sent: so that a screen which nobody steers always shows something alive.
    pub follow_running: bool,
    /// As a tree of folders, of which these are folded; `None`: uploads alone.
    pub tree: Option<Folds>,
}

impl WindowQuery {
    /// The most rows one answer holds.
    pub const MOST_ROWS: usize = 1000;
}

/// Which folders are folded. Each screen has its own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Folds {
    /// All, or none …
    pub all: bool,
    /// … but for these.
    pub except: BTreeSet<FolderId>,
}

impl Folds {
    /// Whether this folder is folded.
    #[must_use]
    pub fn folded(&self, folder: FolderId) -> bool {
        self.all != self.except.contains(&folder)
    }

    /// Folds or unfolds this folder.
    pub fn fold(&mut self, folder: FolderId, fold: bool) {
        if fold == self.all {
            self.except.remove(&folder);
        } else {
            self.except.insert(folder);
        }
    }

    /// Folds or unfolds all of them.
    pub fn fold_all(&mut self, fold: bool) {
        self.all = fold;
        self.except.clear();
    }
}

/// Which uploads a screen shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Filter {
    /// By state.
    pub show: Show,
    /// Only paths that contain this, whatever the case; all when empty.
    pub text: String,
}

impl Filter {
    /// Whether it lets everything through.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A group of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    /// All.
    #[default]
    All,
    /// Creating, uploading, completing, processing.
    Running,
    /// Failed and changed, and running ones with failed parts.
    Failed,
    /// Queued and paused.
    Waiting,
    /// Done.
    Done,
}

impl Show {
    /// Whether an upload in this state is one of them; `troubled`: whether parts of it failed and
    /// wait for the person.
    #[must_use]
    pub fn shows(self, state: State, troubled: bool) -> bool {
        use State::{Changed, Completing, Creating, Failed, Paused, Processing, Queued, Uploading};
        match self {
            Show::All => true,
            Show::Running => matches!(state, Creating | Uploading | Completing | Processing),
            Show::Failed => troubled || matches!(state, Failed | Changed),
            Show::Waiting => matches!(state, Queued | Paused),
            Show::Done => state == State::Done,
        }
    }
}

/// An order of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// The other way round.
    pub descending: bool,
}

/// What a queue can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    /// The order in which they will go.
    #[default]
    Queue,
    /// The path.
    Name,
    /// The size in bytes.
    Size,
    /// The share that was acknowledged.
    Progress,
    /// The state, in the order of [`State`].
    State,
    /// The speed now.
    Speed,
}

/// Rows of the queue.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Window {
    /// The index of the first line within the filtered order.
    pub start: usize,
    /// The lines.
    pub lines: Vec<Line>,
    /// How many lines there are in the filtered order: where nothing is folded and there are no
    /// folders, as many as `matching`.
    pub length: usize,
    /// The index of the line that was to be followed, or of the folded folder that hides it.
    pub followed: Option<usize>,
    /// How many uploads the filter lets through.
    pub matching: usize,
    /// How many there are in all; the difference is hidden.
    pub total: usize,
    /// A folder that all files of the queue lie in, however deep, so that it need not be said with
    /// each of them; empty where they have none in common.
    #[serde(with = "crate::path::text")]
    pub folder: PathBuf,
}

impl Window {
    /// The uploads among the lines.
    pub fn uploads(&self) -> impl Iterator<Item = &Row> {
        self.lines.iter().filter_map(Line::upload)
    }
}
