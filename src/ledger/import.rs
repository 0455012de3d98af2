//! What the ledger takes in of a session's file.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::{destination::Ticket, identity::Identity, ids::MediaId, plan::PartPlan};

/// A session's file, as `stat` said of it before it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFile {
    /// The one name it goes by: absolute and without symlinks.
    pub path: PathBuf,
    /// Its size.
    pub size: u64,
    /// When it was last modified.
    pub modified: Timestamp,
}

/// What a session made at one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its file.
    pub file: SessionFile,
    /// What a person calls it.
    pub name: String,
    /// Its id as an owner; empty where an older program made it.
    pub owner: String,
    /// Whether this is all that its file will say until it is written again.
    pub is_final: bool,
    /// What it made.
    pub uploads: Vec<Upload>,
}

/// An upload of it that made something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Where its file was.
    pub path: PathBuf,
    /// Its file.
    pub identity: Identity,
    /// When it was made, in seconds since 1970; 0 where unknown.
    pub at: i64,
    /// What was made.
    pub made: Made,
}

/// What an upload made at the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// The account has taken it in.
    Accepted(MediaId),
    /// It was started.
    Started {
        /// Its marker.
        marker: String,
        /// How the file is split.
        plan: PartPlan,
        /// Its ticket, where there is one.
        ticket: Option<Ticket>,
        /// Whether the account was told that all is there, and agreed.
        is_complete: bool,
        /// Whether the session continues it by itself, while it runs.
        is_held: bool,
    },
}
