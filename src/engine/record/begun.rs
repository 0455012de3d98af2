//! A started upload: what is saved of it, which step is in progress, and its part plan.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::Trouble;
use crate::{
    error::Error,
    plan::{PartNumber, PartPlan},
    session::{Change, Progress},
};

/// Which step of an upload is in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Step {
    /// None.
    #[default]
    Idle,
    /// The media object is created, or looked for, or removed for a fresh start.
    Creating,
    /// The account is asked what it has received.
    Checking,
    /// Parts are sent.
    Sending,
    /// The account is told that all parts were sent.
    Completing,
    /// The account processes the media object.
    Processing,
}

/// The step is retried after this.
#[derive(Debug, Clone)]
pub struct StepWait {
    /// When.
    pub until: Instant,
    /// Why.
    pub error: Error,
}

/// A started upload.
#[derive(Debug, Clone, Default)]
pub struct Begun {
    /// What is saved.
    pub progress: Progress,
    /// Which step is in progress.
    pub step: Step,
    /// What that step waits for after it failed.
    pub wait: Option<StepWait>,
    /// What it waits for before it may start, in words: another upload of the same file.
    pub waits_for: Option<Box<str>>,
    /// Whether it was created in this run: nothing of it can still be in flight from an earlier one.
    pub created_now: bool,
    /// Every part from this number on was never started, or has a receipt.
    pub next: PartNumber,
    /// Parts that were interrupted and did not fail.
    pub again: BTreeSet<PartNumber>,
    /// Parts in flight, with the number of the attempt.
    pub running: BTreeMap<PartNumber, u32>,
    /// Parts that failed.
    pub troubled: BTreeMap<PartNumber, Trouble>,
    /// Bytes of all parts with a receipt.
    pub acknowledged: u64,
    /// Parts whose MD5 the account confirmed in this run.
    pub verified: BTreeSet<PartNumber>,
}

impl Begun {
    /// A started upload with this progress.
    #[must_use]
    pub fn new(progress: Progress) -> Self {
        Self {
            next: 1,
            acknowledged: acknowledged(&progress),
            progress,
            ..Self::default()
        }
    }

    /// A started upload of which nothing is saved but its marker.
    #[must_use]
    pub fn under(marker: impl Into<String>) -> Self {
        Self::new(Progress::under(marker))
    }

    /// Applies a saved change. Those that are not about a started upload change nothing here.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Begun(marker, _) => {
                let step = self.step;
                *self = Self::under(marker.clone());
                self.step = step;
            }
            Change::Claimed(claim) => self.progress.claim = Some(*claim),
            Change::Ticket(ticket) => self.progress.ticket = Some(ticket.clone()),
            Change::Plan(plan) => self.set_plan(plan.clone()),
            Change::Part(number, receipt) => self.acknowledge(*number, receipt.clone()),
            Change::Lost(numbers) => self.lose(numbers),
            Change::Completed => self.progress.completed = true,
            Change::Clearing => self.progress.clearing = !self.made_nothing(),
            _ => {}
        }
    }

    /// The part plan, once there is one.
    #[must_use]
    pub fn plan(&self) -> Option<&PartPlan> {
        self.progress.plan.as_ref()
    }

    /// Whether it is certain that nothing was created at the account: the plan is saved right before.
    #[must_use]
    pub fn made_nothing(&self) -> bool {
        self.plan().is_none() && self.progress.ticket.is_none()
    }

    /// How many parts there are; 0 without a plan.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.plan().map_or(0, PartPlan::count)
    }

    /// Another plan from now on. Receipts and failures of parts that it lacks are dropped.
    pub fn set_plan(&mut self, plan: PartPlan) {
        let count = plan.count();
        self.again.retain(|number| *number <= count);
        self.troubled.retain(|number, _| *number <= count);
        self.progress.set_plan(plan);
        self.acknowledged = acknowledged(&self.progress);
    }

    /// The plan with everything that has not started split again by `replan`, or `None` where that
    /// changes nothing or is not allowed. An upload of one part stays one: it may have been announced
    /// as such.
    ///
    /// `late` is how many parts an earlier run that was killed may have had in flight: the account may
    /// still be receiving them, so that they keep their bounds.
    #[must_use]
    pub fn replanned(
        &self,
        late: u16,
        replan: impl Fn(&PartPlan, PartNumber) -> Option<PartPlan>,
    ) -> Option<PartPlan> {
        let plan = self.plan()?;
        if plan.count() < 2 || self.progress.completed {
            return None;
        }
        let receipts = self.progress.receipts.keys().next_back();
        // Parts start in the order of their numbers, so none beyond this one can be late.
        let late = if self.created_now { 0 } else { late };
        let late = receipts.copied().unwrap_or(0) + u32::from(late);
        let started = [
            receipts,
            self.running.keys().next_back(),
            self.troubled.keys().next_back(),
            self.again.iter().next_back(),
            Some(&late),
        ];
        let from = started
            .into_iter()
            .flatten()
            .max()
            .map_or(1, |last| last + 1);
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
