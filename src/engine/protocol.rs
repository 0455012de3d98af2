//! What the engine is told and asked, and what it answers: plain serde values, so that a screen may
//! sit in this process or at the other end of a socket. Knows no I/O.
//!
//! | file | room for |
//! |---|---|
//! | `command` | what can be told, and the answer |
//! | `query` | what can be asked, and the answer |
//! | `window`, `line` | a stretch of the queue, and what stands in one line of it |
//! | `details` | one upload from near: its parts, and the rest |
//! | `summary` | the session at a glance |
//! | `wait` | a host, a disk or a folder that does not answer |
//! | `state` | how many uploads stand where |
//! | `event` | what happened, for those who write it down |

mod command;
mod details;
mod event;
mod line;
mod query;
mod state;
mod summary;
mod wait;
mod window;

pub use command::{Command, Outcome, Place, Targets};
pub use details::{Details, FailedPart, Incident, PartState, Parts, RunningPart};
pub use event::Event;
pub use line::{Entry, FolderRow, Line, LineId, Row};
pub use query::{Preview, Query, Reply};
pub use state::{Counts, Totals};
pub use summary::{ByteTotals, LimitedBy, Phase, Summary, Walk};
pub use wait::Wait;
pub use window::{Filter, Folds, Show, Sort, SortBy, Window, WindowQuery};

pub use crate::{add_paths::AddPaths, awaited::Awaited, ids::UploadId, state::State};

/// The number of a folder in a session's queue: as lasting as that of an upload.
pub type FolderId = u32;

/// The folder that all others are in.
pub const ROOT: FolderId = 0;
