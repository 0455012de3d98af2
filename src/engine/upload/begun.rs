//! An upload under way: what is kept of it, which step is going on, and how it is cut.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::Trouble;
use crate::{
    destination::Limits,
    error::Error,
    plan::{PartNumber, PartPlan},
    session::{Change, Progress},
};

/// Which step of an upload is going on now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Step {
    /// None: it waits for a slot, or for the time to try again.
    #[default]
    Idle,
    /// The media object is made or looked for, or what came of it is being saved.
    Creating,
    /// The destination is asked what it has.
    Checking,
    /// Parts go out.
    Sending,
    /// The destination is told that all is there.
    Completing,
    /// The destination works on it.
    Processing,
}

/// In which order the parts of an upload may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sequence {
    /// In any, many at once.
    #[default]
    Any,
    /// The first alone, then in any.
    FirstAlone,
    /// One after another.
    Ordered,
}

impl Sequence {
    /// What these limits ask for.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        match limits {
            Limits { ordered: true, .. } => Self::Ordered,
            Limits {
                first_alone: true, ..
            } => Self::FirstAlone,
            _ => Self::Any,
        }
    }
}

/// An upload under way.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // independent facts, each with a reader of its own
pub struct Begun {
    /// What is kept on disk.
    pub progress: Progress,
    /// Which step is going on.
    pub step: Step,
    /// Whether a step of it is under way that has to end before another may begin.
    pub busy: bool,
    /// Whether what the destination has was compared with the receipts in this run.
    pub checked: bool,
    /// The inode that parts come from; 0 where that is not known, or says nothing.
    pub source: u64,
    /// Whether another file was found in its place: nothing more goes out before its bytes were held
    /// against those that were sent.
    pub doubtful: bool,
    /// How often that was so in this run.
    doubts: u32,
    /// Whether it was told in this run that it goes out.
    pub announced: bool,
    /// Whether a create may have been made whose answer was lost.
    pub recover: bool,
    /// No step of it is begun before this, after one failed.
    pub not_before: Option<Instant>,
    /// How often the present step failed in a row.
    pub step_failures: u32,
    /// The last error of the present step, shown while it waits to be tried again.
    pub step_error: Option<Error>,
    /// Whether a new plan or ticket is being saved: no part goes out before it is.
    pub saving_plan: bool,
    /// Whether the part size was tuned meanwhile, so that it is cut anew once more after that.
    pub cut_again: bool,
    /// In which order its parts may go out.
    pub sequence: Sequence,
    /// Whether its next part can't go out before the API answers: where it goes is not known.
    pub needs_api: bool,
    /// Every part from this number on was never begun, or is in `receipts`.
    pub next: PartNumber,
    /// Parts that were interrupted through no fault of theirs.
    pub again: BTreeSet<PartNumber>,
    /// Parts on their way, with the number of the try.
    pub running: BTreeMap<PartNumber, u32>,
    /// Parts that failed.
    pub troubled: BTreeMap<PartNumber, Trouble>,
    /// Bytes acknowledged.
    pub acknowledged: u64,
    /// How many parts had the destination's own MD5 confirm them in this run.
    pub verified: BTreeSet<PartNumber>,
}

impl Begun {
    /// An upload with this progress, as it was saved.
    #[must_use]
    pub fn new(progress: Progress) -> Self {
        let mut begun = Self {
            next: 1,
            recover: true,
            ..Self::default()
        };
        begun.acknowledged = acknowledged(&progress);
        begun.progress = progress;
        begun
    }

    /// Another file was found in its place.
    pub fn doubt(&mut self) {
        self.doubts += u32::from(!self.doubtful);
        self.doubtful = true;
        self.checked = false;
    }

    /// The file was looked at: its parts come from this inode from now on. Where there is another one
    /// again and again, the file system makes the numbers up as it goes.
    pub fn comes_from(&mut self, inode: u64) {
        const MADE_UP: u32 = 3;
        self.source = if self.doubts < MADE_UP { inode } else { 0 };
    }

    /// Applies a change of what is under way; others are none of its business.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Ticket(ticket) => self.progress.ticket = Some(ticket.clone()),
            Change::Plan(plan) => self.set_plan(plan.clone()),
            Change::Part(number, receipt) => self.acknowledge(*number, receipt.clone()),
            Change::Lost(numbers) => self.lose(numbers),
            Change::Completed => self.progress.completed = true,
            // Without a plan nothing was made yet.
            Change::Clearing => {
                self.progress.clearing = self.plan().is_some() || self.progress.ticket.is_some();
            }
            _ => {}
        }
    }

    /// The part plan, once there is one.
    #[must_use]
    pub fn plan(&self) -> Option<&PartPlan> {
        self.progress.plan.as_ref()
    }

    /// Whether it is sure that nothing was made of it at the destination yet.
    #[must_use]
    pub fn made_nothing(&self) -> bool {
        self.plan().is_none() || (self.progress.ticket.is_none() && !self.recover)
    }

    /// How many parts there are; 0 without a plan.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.plan().map_or(0, PartPlan::count)
    }

    /// Another plan from now on; receipts and failures of parts it does not have are gone.
    pub fn set_plan(&mut self, plan: PartPlan) {
        let count = plan.count();
        self.progress.receipts.retain(|number, _| *number <= count);
        self.again.retain(|number| *number <= count);
        self.troubled.retain(|number, _| *number <= count);
        self.progress.plan = Some(plan);
        self.acknowledged = acknowledged(&self.progress);
    }

    /// The plan with everything that has not started split again by `replan`, or `None` where that
    /// changes nothing or is not allowed. An upload of one part stays so: it may have been announced as
    /// such.
    #[must_use]
    pub fn replanned(
        &self,
        replan: impl Fn(&PartPlan, PartNumber) -> Option<PartPlan>,
    ) -> Option<PartPlan> {
        let plan = self.plan()?;
        if plan.count() < 2 || self.progress.completed || self.saving_plan {
            return None;
        }
        let begun = [
            self.progress.receipts.keys().next_back(),
            self.running.keys().next_back(),
            self.troubled.keys().next_back(),
            self.again.iter().next_back(),
        ];
        let from = begun
            .into_iter()
            .flatten()
            .max()
            .map_or(1, |number| number + 1);
        replan(plan, from).filter(|new| new != plan && new.count() > 1)
    }
}

/// The bytes of all parts with a receipt.
fn acknowledged(progress: &Progress) -> u64 {
    let Some(plan) = &progress.plan else { return 0 };
    progress
        .receipts
        .keys()
        .filter_map(|number| plan.part(*number))
        .map(|part| part.length)
        .sum()
}
