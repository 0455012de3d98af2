//! What the engine can be told, for which uploads, and what it answers to that.

use serde::{Deserialize, Serialize};

use super::{Filter, FolderId, UploadId};
use crate::{add_paths::AddPaths, plan::PartNumber, settings::Settings};

/// What the engine can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Walk these files and folders and queue what is media. Answered at once; the walk goes on
    /// and shows in [`Summary::walk`](super::Summary::walk).
    Add(AddPaths),
    /// Start nothing more of these; what is in flight of them is stopped now and sent again later.
    Pause(Targets),
    /// Go on with these.
    Resume(Targets),
    /// Try again what failed of these: failed uploads, and failed parts of running ones.
    Retry(Targets),
    /// Try one failed part again, now.
    RetryPart {
        /// Whose part.
        upload: UploadId,
        /// Which part.
        part: PartNumber,
    },
    /// Begin these anew: the unfinished media object is removed, a fresh one is made.
    StartOver(Targets),
    /// Leave these changed or failed uploads out.
    Skip(Targets),
    /// Take these out of the queue. What the destination already has of them stays there.
    Remove(Targets),
    /// Move these within the queue, keeping their order.
    Move(Targets, Place),
    /// Tune. All of the settings, as they shall be.
    Tune(Settings),
    /// Write the session file anew, now, and answer when it is on disk.
    Save,
    /// End: start no new parts, wait a bounded time for those in flight, save.
    Stop,
    /// End now: cut what is in flight, save what is known.
    StopNow,
}

/// Which uploads a command is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Targets {
    /// Every upload of the session.
    All,
    /// These.
    Ids(Vec<UploadId>),
    /// Those a filter lets through.
    Filtered(Filter),
    /// Those in a folder, however deep, that a filter lets through.
    Inside(FolderId, Filter),
    /// What was marked of several sorts.
    Marked {
        /// What is in these folders, and their filters let through …
        inside: Vec<(FolderId, Filter)>,
        /// … but for these.
        except: Vec<UploadId>,
        /// These, whatever else.
        ids: Vec<UploadId>,
    },
}

/// Where to in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// To the head.
    Top,
    /// One up.
    Up,
    /// One down.
    Down,
    /// To the end.
    Bottom,
}

/// What a command was answered with: how many uploads or parts it reached, or why it can't be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How many uploads (or parts, for a retry of parts) the command reached.
    pub reached: usize,
    /// In words, for the status line; empty where there is nothing to say.
    pub words: String,
    /// Whether it was refused.
    pub refused: bool,
}

impl Outcome {
    /// It was done, and reached so many.
    #[must_use]
    pub fn new(reached: usize, words: impl Into<String>) -> Self {
        Self {
            reached,
            words: words.into(),
            refused: false,
        }
    }

    /// It can't be done, for this reason.
    #[must_use]
    pub fn refused(words: impl Into<String>) -> Self {
        Self {
            reached: 0,
            words: words.into(),
            refused: true,
        }
    }
}
