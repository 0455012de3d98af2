//! What the engine can be asked, and what it answers to that.

use serde::{Deserialize, Serialize};

use super::{Details, Parts, UploadId, Window, WindowQuery};
use crate::settings::Settings;

/// What the engine can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// Rows of the queue, as a screen shows them.
    Window(WindowQuery),
    /// The parts of one upload.
    Parts(UploadId),
    /// Everything about one upload that may be shown.
    Details(UploadId),
    /// What [`Command::Tune`](super::Command::Tune) with these settings would do.
    Preview(Settings),
}

/// What a query is answered with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Query::Window`].
    Window(Window),
    /// To [`Query::Parts`]; `None` when there is no such upload.
    Parts(Option<Parts>),
    /// To [`Query::Details`]; `None` when there is no such upload.
    Details(Option<Box<Details>>),
    /// To [`Query::Preview`].
    Preview(Preview),
}

/// What a change of settings would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Preview {
    /// How many running files would be cut anew.
    pub files: usize,
    /// How many of their parts were not begun …
    pub parts_before: u64,
    /// … and how many those become.
    pub parts_after: u64,
    /// How many queued files will be cut by the new size.
    pub queued: usize,
    /// The same in one sentence.
    pub words: String,
}
