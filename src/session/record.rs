//! The tables of a session file, to and from text; pure.
//!
//! Here is what they hold; `write` and `read` have the text, `receipts` that of parts and their MD5s.

mod read;
mod receipts;
mod write;

use std::{collections::BTreeSet, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(super) use read::time;
pub(crate) use read::within;
pub use read::{read_header, read_table};
pub(super) use receipts::{read_stretches, stretches, write_stretches};
pub use receipts::{write_md5, write_numbers};
pub(super) use write::{Writer, quoted};
pub use write::{write_change, write_header, write_settings, write_upload};

use super::{
    moves::Move,
    orphans::Orphan,
    times::{Milestone, Moment, Times},
    walks::Walk,
};
pub use super::{moves::write_move, orphans::write_orphan};
use crate::{
    destination::{PartReceipt, Receipts, Ticket},
    error::Error,
    identity::{Identity, Mount},
    ids::{AccountId, Claim, UploadId, WalkId},
    plan::{PartNumber, PartPlan},
    settings::Settings,
    state::State,
};

/// The newest format this program knows; a newer one is refused, never guessed at. Format 2 adds to
/// format 1: the `account` of a started upload, tickets without a `media` and with any keys, opaque
/// `tag`s of parts, the `highest` part number of a plan that was made from another, the `file_system` of
/// a file, moves and changed times and inodes in the log, the `owner` of the session, the `claim` of a started
/// upload, `again`, the `mounts` of a walk, and `[[orphan]]` tables. The [checksums](super::checksum) of a log are comments, and a log
/// without them is read too. Format 1 is read, and rewritten in format 2 before anything is appended.
pub const FORMAT: u32 = 2;

/// The head of a session file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The format's number.
    pub format: u32,
    /// The session's id, which is also its file's name.
    pub id: String,
    /// The session's own id, which no other session ever has: it owns claims in the ledger by it. Empty
    /// in a file of an older program.
    #[serde(default)]
    pub owner: String,
    /// The name of the destination in the config.
    pub destination: String,
    /// What was tuned.
    #[serde(default)]
    pub settings: Settings,
}

/// What is kept of an upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// The id of ours, made before the media object.
    pub marker: String,
    /// What the ledger granted.
    pub claim: Option<Claim>,
    /// What the destination gave.
    pub ticket: Option<Ticket>,
    /// How the file is cut; decided no later than the ticket is saved.
    pub plan: Option<PartPlan>,
    /// What is known of the parts that were acknowledged.
    pub receipts: Receipts,
    /// Whether the destination was told that the upload is complete, and agreed.
    pub completed: bool,
    /// Whether it is to be begun anew: what was made of it is to be removed first.
    pub clearing: bool,
}

impl Progress {
    /// The progress of an upload that was just started under this marker.
    #[must_use]
    pub fn under(marker: impl Into<String>) -> Self {
        Self {
            marker: marker.into(),
            ..Self::default()
        }
    }

    /// Another plan from now on. Receipts of parts that it lacks are dropped.
    pub fn set_plan(&mut self, plan: PartPlan) {
        let count = plan.count();
        self.receipts.retain(|number, _| *number <= count);
        self.plan = Some(plan);
    }
}

/// What is kept of an upload: a whole `[[upload]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub id: UploadId,
    /// Where the file is.
    pub path: PathBuf,
    /// The file as it was when it was queued.
    pub identity: Identity,
    /// When what happened to it.
    pub times: Times,
    /// Whether it is uploaded once more, where it is uploaded already.
    pub again: bool,
    /// Its state, as far as it says more than the progress does: `queued` for whatever goes on by
    /// itself, else `done`, `paused`, `failed`, `changed` or `skipped`.
    pub state: State,
    /// Why it is in that state.
    pub reason: Option<Error>,
    /// The account that it was started at; `None` before that, and where a session of format 1 does
    /// not say.
    pub account: Option<AccountId>,
    /// What was started of it; of a done one only the media object's id is kept.
    pub progress: Option<Progress>,
    /// Where it is no file, but a path that this walk could not read.
    pub unread: Option<WalkId>,
}

/// A change of one upload: a `[[log]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is started under this marker, at this account.
    Begun(String, Option<AccountId>),
    /// The ledger granted this.
    Claimed(Claim),
    /// The destination gave this.
    Ticket(Ticket),
    /// It is cut like this from now on.
    Plan(PartPlan),
    /// A part was acknowledged.
    Part(PartNumber, PartReceipt),
    /// The destination lacks these parts after all.
    Lost(BTreeSet<PartNumber>),
    /// All parts are there and the destination agreed.
    Completed,
    /// The destination accepted it.
    Done,
    /// It goes on by itself again.
    Released,
    /// Held by the person.
    Paused,
    /// Stopped by an error.
    Failed(Error),
    /// The local file is no longer the one that was begun.
    Changed(Error),
    /// Left out.
    Skipped(Error),
    /// This was reached at this moment.
    At(Milestone, Moment),
    /// It is to be begun anew, and goes on by itself: what was made of it is removed first.
    Clearing,
    /// Forget what was begun; the file is this now.
    Fresh(Identity),
    /// The file has another time, inode or file system now, and the same bytes as what was sent of it.
    SameBytes {
        /// When it was last modified.
        modified: Timestamp,
        /// The inode; 0 where unknown.
        inode: u64,
        /// Its file system; 0 where unknown.
        file_system: u64,
    },
    /// Taken out of the queue.
    Removed,
}

impl Change {
    /// The identity of the upload's file from now on, where this changes that.
    #[must_use]
    pub fn identity(&self, before: &Identity) -> Option<Identity> {
        match self {
            Self::Fresh(identity) => Some(*identity),
            Self::SameBytes {
                modified,
                inode,
                file_system,
            } => Some(Identity {
                modified: *modified,
                inode: *inode,
                file_system: *file_system,
                ..*before
            }),
            _ => None,
        }
    }
}

/// The most parts of an upload that a session file may name: more than any destination allows, and few
/// enough that reading their numbers needs little memory.
pub const MOST_PARTS: PartNumber = 1_000_000;

/// One table after the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A queued file.
    Upload(Box<Kept>),
    /// A change of one.
    Log(UploadId, Change),
    /// What was to be walked.
    Walk(Walk),
    /// A walk came to its end.
    WalkOver(WalkId),
    /// A walk met this disk.
    Met(WalkId, Mount),
    /// Uploads were moved within the queue.
    Moved(Move),
    /// A media object that no upload stands for.
    Orphan(Box<Orphan>),
    /// The settings from now on.
    Settings(Settings),
    /// No table: some are lost here.
    Gap,
}

/// Why a table can't be read; with where in the table, as a byte offset, where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTable {
    /// The reason, in words.
    pub words: String,
    /// The offset within the table's text.
    pub offset: Option<usize>,
}

impl BadTable {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            offset: None,
        }
    }

    /// A table that does not say its path in one way.
    pub(super) fn which_path() -> Self {
        Self::new("one of `path` and `path_bytes` is needed")
    }
}

#[cfg(test)]
mod tests;
