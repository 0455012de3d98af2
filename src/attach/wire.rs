//! What is said between a screen and an engine in another process, and the frames it is said in.
//! Pure: bytes in, words out; no bytes make it panic.

use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_util::codec::LengthDelimitedCodec;

use crate::{
    engine::protocol::{Command, Outcome, Query, Reply, Summary},
    journal::Line,
};

/// Which version of these words this is. A change that an older program would not understand, here
/// or in [`crate::engine::protocol`], counts it up.
pub const PROTOCOL: u32 = 3;

/// The longest frame from a screen, in bytes: a million numbers of uploads fit.
pub const FROM_SCREEN: usize = 8 << 20;
/// The longest frame from an engine, in bytes: a thousand rows with the longest paths fit.
pub const FROM_ENGINE: usize = 32 << 20;

/// What an attached process is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A person sits before it, who may still want something of a session that is at its end.
    Screen,
    /// It waits for the end itself.
    Watcher,
}

/// What a screen says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScreenSays {
    /// First of all.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// What it is there for.
        role: Role,
    },
    /// Do this.
    Command {
        /// Comes back with the outcome.
        id: u64,
        /// What.
        command: Command,
    },
    /// Tell this.
    Query {
        /// Comes back with the reply.
        id: u64,
        /// What.
        query: Query,
    },
    /// Have the screen that the engine was started on leave its terminal.
    Detach {
        /// Comes back with the outcome.
        id: u64,
    },
}

/// What an engine says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineSays {
    /// First of all, before anything is heard.
    Hello(Owner),
    /// How the session stands now.
    Summary(Box<Summary>),
    /// What its process logged since it last told; only to a [`Role::Screen`].
    Log(Vec<Line>),
    /// To a command.
    Outcome {
        /// The command's.
        id: u64,
        /// What came of it.
        outcome: Outcome,
    },
    /// To a query.
    Reply {
        /// The query's.
        id: u64,
        /// The answer.
        reply: Reply,
    },
}

/// Who runs a session. Later versions add to it, and take nothing away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The [`PROTOCOL`] it speaks.
    pub protocol: u32,
    /// The program's version, in words.
    pub version: String,
    /// Its process.
    pub process: u32,
    /// The session's id.
    pub session: String,
    /// The session's file.
    #[serde(with = "crate::path::text")]
    pub file: PathBuf,
}

/// What can't be understood.
#[derive(Debug, thiserror::Error)]
#[error("not in the words of protocol {PROTOCOL}: {0}")]
pub struct Gibberish(#[from] serde_json::Error);

/// Frames of at most so many bytes.
#[must_use]
pub fn frames(most: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(most)
        .new_codec()
}

/// The bytes of a frame that says this.
///
/// # Errors
/// When it can't be said in JSON, which nothing here is.
pub fn write(said: &impl Serialize) -> Result<Bytes, Gibberish> {
    Ok(serde_json::to_vec(said)?.into())
}

/// What the bytes of a frame say.
///
/// # Errors
/// When they say nothing in these words.
pub fn read<T: DeserializeOwned>(frame: &[u8]) -> Result<T, Gibberish> {
    Ok(serde_json::from_slice(frame)?)
}
