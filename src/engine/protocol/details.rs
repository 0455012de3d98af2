//! One upload from near: its parts, and everything else about it that may be shown.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Row, UploadId};
use crate::{error::Error, plan::PartNumber};

/// Where a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// Not begun.
    Waiting,
    /// On its way.
    Running,
    /// Acknowledged by the destination.
    Done,
    /// Acknowledged, and the destination's MD5 is the one taken on the way.
    Verified,
    /// Failed, will be tried again by itself.
    Retrying,
    /// Failed, waits for the person.
    Failed,
}

/// The parts of one upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Whose.
    pub upload: UploadId,
    /// How many there are; 0 before it is begun and once it is done.
    pub count: u32,
    /// How many there will be, as far as that can be told before it is begun.
    pub expected: Option<u32>,
    /// The media object's id, once there is one.
    pub media: Option<String>,
    /// Their states in order, as stretches of equal ones; they add up to `count`.
    pub states: Vec<(PartState, u32)>,
    /// Those in flight, by number.
    pub running: Vec<RunningPart>,
    /// Those that failed, whether tried again by themselves or not, by number.
    pub failed: Vec<FailedPart>,
}

/// A part on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunningPart {
    /// Its number.
    pub number: PartNumber,
    /// Its length in bytes.
    pub length: u64,
    /// Bytes the connection took.
    pub taken: u64,
    /// Bytes a second, now.
    pub rate: u64,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// For how many milliseconds it has been on its way.
    pub age_ms: u64,
    /// For how many milliseconds the disk has not answered a read of it, where that is worth a word.
    #[serde(default)]
    pub reading_ms: Option<u64>,
}

/// A part that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedPart {
    /// Its number.
    pub number: PartNumber,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it failed last.
    pub error: Error,
    /// In how many milliseconds it is tried again; `None`: the person is asked.
    pub retry_in_ms: Option<u64>,
    /// What else it waits for, where that is not time alone: `"when the line is back"`.
    #[serde(default)]
    pub waits_for: Option<String>,
}

/// Everything about an upload that may be shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// Its row.
    pub row: Row,
    /// When the file was last modified.
    pub modified: Timestamp,
    /// When it was queued, where that is known.
    pub queued: Option<Timestamp>,
    /// When it was begun, if it was.
    pub begun: Option<Timestamp>,
    /// When the destination accepted it, if it did.
    pub done: Option<Timestamp>,
    /// The media type it is announced as.
    pub mime: String,
    /// What the destination is told of it when its media object is made, as it is set up now: names
    /// and values in the destination's words.
    pub metadata: Vec<(String, String)>,
    /// The marker, once it is made.
    pub marker: Option<String>,
    /// The media object's id, once there is one.
    pub media: Option<String>,
    /// Where the media object can be looked at, once there is one.
    pub address: Option<String>,
    /// The plan, as `(first part, count, size in bytes)`.
    pub plan: Vec<(PartNumber, u32, u64)>,
    /// How many requests for parts were begun since the program started.
    pub attempts: u32,
    /// What went wrong lately since the program started, newest first.
    pub incidents: Vec<Incident>,
    /// Why it stopped, if it did.
    pub failure: Option<Error>,
}

/// Something that went wrong with an upload and ended it or was tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// When.
    pub at: Timestamp,
    /// With which part; `None`: with a step of the whole upload.
    pub part: Option<PartNumber>,
    /// Which try it was, from 1.
    pub attempt: u32,
    /// What happened.
    pub message: String,
}
