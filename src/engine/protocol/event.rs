//! What happened, told for those who write it down.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind},
    ids::{MediaId, UploadId},
    plan::PartNumber,
};

/// What happened, for those who write it down (headless lines).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A file was queued.
    Queued {
        /// Its number.
        id: UploadId,
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// A file was left out for a reason; no failure.
    Skipped {
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// Why.
        reason: String,
        /// The media object that it was uploaded as, where that is why.
        #[serde(skip_serializing_if = "Option::is_none")]
        media: Option<MediaId>,
    },
    /// A file waits for another upload of the same file.
    Waiting {
        /// Its number.
        id: UploadId,
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// For which.
        reason: String,
    },
    /// Something could not be read; a failure.
    Unreadable {
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file's first part is about to go out.
    Started {
        /// Its number.
        id: UploadId,
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// Its media object, where the account has named it already.
        #[serde(skip_serializing_if = "Option::is_none")]
        media: Option<MediaId>,
        /// How many parts it is cut into.
        parts: u32,
    },
    /// A part was acknowledged.
    Part {
        /// Whose.
        id: UploadId,
        /// Its number.
        part: PartNumber,
        /// Its length in bytes.
        bytes: u64,
        /// Which try it was, from 1.
        attempt: u32,
    },
    /// A step failed and is tried again.
    Retrying {
        /// Whose.
        id: UploadId,
        /// Which part; `None` for a step of the whole upload.
        part: Option<PartNumber>,
        /// What happened.
        error: Error,
        /// In how many milliseconds.
        retry_in_ms: u64,
    },
    /// A file is done.
    Done {
        /// Its number.
        id: UploadId,
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// Its media object.
        media: MediaId,
        /// Its size in bytes.
        size: u64,
    },
    /// A file or one of its parts failed, and is not tried again by itself.
    Failed {
        /// Its number.
        id: UploadId,
        /// Where it is.
        #[serde(with = "crate::path::text")]
        path: PathBuf,
        /// Which part; `None` for the whole upload.
        part: Option<PartNumber>,
        /// What sort of failure it is.
        kind: Kind,
        /// What happened.
        message: String,
        /// What the person can do.
        next_step: String,
    },
}
