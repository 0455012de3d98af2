//! Changes of a started upload that are not saved: what is in progress in this run.

use tokio::time::Instant;

use super::{Begun, NextPart, Step, StepWait, Trouble};
use crate::plan::PartNumber;

/// A change that is not saved.
#[derive(Debug, Clone)]
pub enum RunChange {
    /// This step begins.
    Step(Step),
    /// The step failed, and is retried.
    Waits(StepWait),
    /// Its media object was created, by this run.
    Created,
    /// A part starts.
    Starts(NextPart),
    /// A part ended without an answer and through no fault of its own. With a [`Trouble`], the account
    /// may have received it and is asked first.
    Interrupted(PartNumber, Option<Trouble>),
    /// These parts were never started, as it were: nothing of them is at the account, and they may be split
    /// anew.
    NotStarted(Vec<PartNumber>),
    /// A part failed.
    Fails(PartNumber, Trouble),
    /// The account confirmed the MD5 of these parts.
    Verified(Vec<PartNumber>),
    /// Failed parts, or this one alone, are retried from this moment on, and are counted anew.
    Retry {
        /// This part alone.
        only: Option<PartNumber>,
        /// From when on.
        at: Instant,
    },
}

impl Begun {
    /// Applies a change that is not saved.
    pub fn note(&mut self, change: &RunChange) {
        match change {
            RunChange::Step(step) => {
                self.step = *step;
                self.wait = None;
            }
            RunChange::Waits(wait) => self.wait = Some(wait.clone()),
            RunChange::Created => self.created_now = true,
            RunChange::Starts(next) => self.start(*next),
            RunChange::Interrupted(number, trouble) => self.interrupt(*number, trouble.clone()),
            RunChange::NotStarted(numbers) => self.unstart(numbers),
            RunChange::Fails(number, trouble) => self.fail(*number, trouble.clone()),
            RunChange::Verified(numbers) => self.verified.extend(numbers),
            RunChange::Retry { only, at } => drop(self.retry(*at, *only)),
        }
    }
}
