//! The session at a glance, told to everyone without being asked.

use serde::{Deserialize, Serialize};

use super::{Counts, Wait};
use crate::settings::Settings;

/// The session at a glance; sent whenever it changes, at most a few times a second.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// The session's id.
    pub session: String,
    /// The destination, in words.
    pub destination: String,
    /// The settings in force.
    pub settings: Settings,
    /// By whose word the bandwidth is what it is, and until when, where a schedule changes it: `"by
    /// schedule until 18:00"`.
    pub bandwidth_why: String,
    /// How many parts may be in flight right now; differs from the setting when that is `auto`.
    pub parts_limit: u16,
    /// Why `parts_limit` is what it is, in words, when it was found and not set.
    pub parts_limit_why: String,
    /// Uploads by state.
    pub counts: Counts,
    /// Bytes over all.
    pub bytes: ByteTotals,
    /// Bytes a second, now.
    pub rate: u64,
    /// Bytes a second over the last minutes, oldest first, one value every [`Self::HISTORY_STEP_MS`].
    pub history: Vec<u64>,
    /// Seconds left, where that can be told.
    pub eta: Option<u64>,
    /// For how many milliseconds parts were in flight since the program started.
    pub sending_ms: u64,
    /// Parts in flight.
    pub parts_running: u32,
    /// Parts that wait to be tried again.
    pub parts_retrying: u32,
    /// Parts that failed and wait for the person.
    pub parts_failed: u32,
    /// Errors since the program started, retried ones too.
    pub errors: u64,
    /// Files and folders that a walk could not read; they are among those that failed.
    pub unreadable: usize,
    /// Walks that did not come to their end: a session that is resumed goes on with them.
    #[serde(default)]
    pub walks_left: usize,
    /// Files that were skipped in this run because they are uploaded already.
    #[serde(default)]
    pub uploaded_before: usize,
    /// Uploads that wait for another session, where the run is to end without them.
    #[serde(default)]
    pub left_waiting: usize,
    /// Media objects that may be left at the destination for files that were removed: the session file
    /// lists them.
    #[serde(default)]
    pub orphans: usize,
    /// What holds the speed back.
    pub limited_by: LimitedBy,
    /// Hosts, disks and folders that do not answer as they should, and that uploads wait for.
    #[serde(default)]
    pub waits: Vec<Wait>,
    /// What the engine is about.
    pub phase: Phase,
    /// The walk under way, if there is one.
    pub walk: Option<Walk>,
    /// Whether all that is known is on disk.
    pub saved: bool,
    /// Why the session can't be saved, when it can't.
    pub save_error: Option<String>,
}

impl Summary {
    /// Milliseconds between two values of [`Self::history`].
    pub const HISTORY_STEP_MS: u64 = 2000;

    /// Whether anything goes on by itself: files are found, or are not settled yet.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.walk.is_some() || self.counts.unsettled() > self.left_waiting
    }

    /// How much is left to do: uploads, and walks that may find more.
    #[must_use]
    pub fn left(&self) -> usize {
        self.counts.left() + self.walks_left
    }
}

/// Bytes of all uploads that are not skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ByteTotals {
    /// Of all files.
    pub total: u64,
    /// Acknowledged by the destination, in this run or before.
    pub acknowledged: u64,
    /// Acknowledged in this run.
    pub sent: u64,
    /// What was there already when this run began, or was found there.
    pub already_there: u64,
    /// On their way.
    pub in_flight: u64,
}

/// What holds the speed back right now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// Nothing is to be sent.
    #[default]
    Idle,
    /// Nothing more is begun until the person has mended something and tries again.
    Halted {
        /// What happened, and what they can do.
        why: String,
    },
    /// The line takes no more.
    Line,
    /// Parts are on their way, and nothing of them has moved for a while.
    Stalled {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// More parts could go out, but no more files may be under way at once.
    Files,
    /// The cap a person set.
    Bandwidth,
    /// Everything is paused.
    Paused,
    /// Our own limit on the number of calls.
    CallBudget {
        /// Which: `"60 API calls a minute"`.
        budget: String,
        /// How long until the next call, in milliseconds.
        left_ms: u64,
    },
    /// Everything that is left waits for what [`Summary::waits`] names.
    Waits,
    /// The disk does not keep up with the line.
    Disk,
}

/// What the engine is about as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// There is something to do.
    #[default]
    Running,
    /// Everything is settled.
    Settled,
    /// Parts in flight are waited for before the end.
    Draining,
    /// It is over; the session is saved.
    Stopped,
}

/// A walk that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// Files queued so far.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files left out so far, with a reason each in the log.
    pub skipped: usize,
    /// The folder it is in.
    pub at: String,
}
