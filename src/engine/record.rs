//! The record of an upload: what the session keeps of it, and what is in progress now; pure.
//!
//! The actor owns the record of every upload. The task of an upload has a copy of its own, and both
//! apply the same changes: [`Change`](crate::session::Change)s are saved, [`RunChange`]s are of this run
//! alone. This file has what is known of every upload; `begun` what is known of a started one,
//! `parts` its parts, `run_change` the changes that are not saved.

mod begun;
mod parts;
mod run_change;

use std::path::Path;

pub use begun::{Begun, Step, StepWait};
pub use parts::{NextPart, Sequence, Trouble};
pub use run_change::RunChange;

use crate::{
    engine::{accounts::AccountIndex, protocol::State},
    error::Error,
    identity::Identity,
    ids::{MediaId, WalkId},
    session::Times,
};

/// One upload. A million of these are held, so it is small until it is begun and again when done.
#[derive(Debug)]
pub struct Upload {
    /// Where the file is.
    pub path: Box<Path>,
    /// The file as it was when it was queued.
    pub identity: Identity,
    /// When what happened to it.
    pub times: Times,
    /// How many requests for its parts were begun in this run.
    pub attempts: u32,
    /// The account it was started at.
    pub account: AccountIndex,
    /// Whether it is uploaded once more, where it is uploaded already.
    pub again: bool,
    /// What keeps it from going on, if anything.
    pub hold: Hold,
    /// How far it is.
    pub phase: Phase,
}

/// What keeps an upload from going on by itself.
#[derive(Debug, Default)]
pub enum Hold {
    /// Nothing.
    #[default]
    None,
    /// The person.
    Paused,
    /// An error.
    Failed(Box<Error>),
    /// The local file is no longer the one that was begun.
    Changed(Box<Error>),
    /// It is left out.
    Skipped(Box<Error>),
}

/// How far an upload is.
#[derive(Debug)]
pub enum Phase {
    /// Not begun.
    Waiting,
    /// Under way.
    Begun(Box<Begun>),
    /// Done; the media object's id.
    Done(MediaId),
    /// No file at all, but a path that this walk could not read.
    Unread(WalkId),
}

impl Upload {
    /// Where it stands, derived from what is known.
    #[must_use]
    pub fn state(&self) -> State {
        match (&self.hold, &self.phase) {
            (_, Phase::Done(_)) => State::Done,
            (Hold::Skipped(_), _) => State::Skipped,
            (_, Phase::Unread(_)) | (Hold::Failed(_), _) => State::Failed,
            (Hold::Paused, _) => State::Paused,
            (Hold::Changed(_), _) => State::Changed,
            (Hold::None, Phase::Waiting) => State::Queued,
            (Hold::None, Phase::Begun(begun)) => match begun.step {
                Step::Creating => State::Creating,
                Step::Checking | Step::Sending => State::Uploading,
                Step::Completing => State::Completing,
                Step::Processing => State::Processing,
                Step::Idle if begun.progress.completed && !begun.progress.clearing => {
                    State::Processing
                }
                // Its file has to be left alone for a while before anything is created.
                Step::Idle if begun.wait.is_some() => State::Creating,
                Step::Idle => State::Queued,
            },
        }
    }

    /// Bytes the destination acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        match &self.phase {
            Phase::Waiting | Phase::Unread(_) => 0,
            Phase::Begun(begun) => begun.acknowledged,
            Phase::Done(_) => self.identity.size,
        }
    }

    /// What is under way of it.
    #[must_use]
    pub fn begun(&self) -> Option<&Begun> {
        match &self.phase {
            Phase::Begun(begun) => Some(begun),
            _ => None,
        }
    }

    /// The walk that could not read it, where it is no file but a path that failed so.
    #[must_use]
    pub fn unread(&self) -> Option<WalkId> {
        self.walk().filter(|_| self.state() == State::Failed)
    }

    /// The walk that could not read it, whatever became of that since.
    #[must_use]
    pub fn walk(&self) -> Option<WalkId> {
        match self.phase {
            Phase::Unread(walk) => Some(walk),
            _ => None,
        }
    }

    /// Why it is held, where there is a reason.
    #[must_use]
    pub fn reason(&self) -> Option<&Error> {
        match &self.hold {
            Hold::Failed(error) | Hold::Changed(error) | Hold::Skipped(error) => Some(error),
            Hold::None | Hold::Paused => None,
        }
    }

    /// The media object's id, once there is one.
    #[must_use]
    pub fn media(&self) -> Option<&MediaId> {
        match &self.phase {
            Phase::Waiting | Phase::Unread(_) => None,
            Phase::Begun(begun) => begun.progress.ticket.as_ref()?.media.as_ref(),
            Phase::Done(media) => Some(media),
        }
    }
}
