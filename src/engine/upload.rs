//! One upload in memory: what is kept of it, and what is going on with it now; pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use tokio::time::Instant;

use crate::{
    destination::{Limits, Md5},
    engine::protocol::{PartState, State},
    error::Error,
    identity::Identity,
    plan::{PartNumber, PartPlan},
    session::{Change, Progress, Times, WalkId},
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
    Done(Box<str>),
    /// No file at all, but a path that this walk could not read.
    Unread(WalkId),
}

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
    /// Whether a new plan is being saved: no part goes out before it is.
    pub saving_plan: bool,
    /// Whether the part size was tuned meanwhile, so that it is cut anew once more after that.
    pub cut_again: bool,
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

/// A part that failed.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// How often it was tried.
    pub attempts: u32,
    /// Why it failed last.
    pub error: Error,
    /// When it is tried again; `None`: the person is asked.
    pub retry_at: Option<Instant>,
    /// Whether the destination may have it all the same and is to be asked first.
    pub ask: bool,
}

/// What to send next of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextPart {
    /// Which part.
    pub number: PartNumber,
    /// Which try it will be, from 1.
    pub attempt: u32,
    /// Whether the destination is to be asked first whether it has it.
    pub ask: bool,
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
                Step::Completing => State::Completing,
                Step::Processing => State::Processing,
                Step::Idle if begun.progress.completed && !begun.progress.clearing => {
                    State::Processing
                }
                Step::Idle if begun.not_before.is_none() && !begun.busy => State::Queued,
                Step::Idle if begun.progress.ticket.is_none() => State::Creating,
                Step::Idle | Step::Checking | Step::Sending => State::Uploading,
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
    pub fn media(&self) -> Option<&str> {
        match &self.phase {
            Phase::Waiting | Phase::Unread(_) => None,
            Phase::Begun(begun) => begun.progress.ticket.as_ref().map(|ticket| &*ticket.media),
            Phase::Done(media) => Some(media),
        }
    }
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
            Change::Part(number, md5) => self.acknowledge(*number, *md5),
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

    /// How many parts there are; 0 without a plan.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.plan().map_or(0, PartPlan::count)
    }

    /// Whether every part was acknowledged.
    #[must_use]
    pub fn all_acknowledged(&self) -> bool {
        self.plan()
            .is_some_and(|plan| self.progress.receipts.len() == plan.count() as usize)
    }

    /// Whether nothing is left but parts that wait for the person.
    #[must_use]
    pub fn stuck(&self, now: Instant) -> bool {
        self.step == Step::Sending
            && self.running.is_empty()
            && !self.saving_plan
            && !self.all_acknowledged()
            && self
                .troubled
                .values()
                .all(|trouble| trouble.retry_at.is_none())
            && self.next_part(now).is_none()
    }

    /// The part to send next: interrupted ones first, then those whose time to be tried again has
    /// come, then the first that was never begun.
    #[must_use]
    pub fn next_part(&self, now: Instant) -> Option<NextPart> {
        if let Some(number) = self.again.first() {
            return Some(NextPart {
                number: *number,
                attempt: 1,
                ask: false,
            });
        }
        let due = |trouble: &Trouble| trouble.retry_at.is_some_and(|at| at <= now);
        if let Some((number, trouble)) = self.troubled.iter().find(|(_, trouble)| due(trouble)) {
            let attempt = trouble.attempts + 1;
            return Some(NextPart {
                number: *number,
                attempt,
                ask: trouble.ask,
            });
        }
        let unknown = |number: &PartNumber| {
            !self.progress.receipts.contains_key(number)
                && !self.troubled.contains_key(number)
                && !self.running.contains_key(number)
        };
        let number = (self.next..=self.count()).find(unknown)?;
        Some(NextPart {
            number,
            attempt: 1,
            ask: false,
        })
    }

    /// When the next failed part is to be tried again.
    #[must_use]
    pub fn next_retry(&self) -> Option<Instant> {
        self.troubled
            .values()
            .filter_map(|trouble| trouble.retry_at)
            .min()
    }

    /// A part goes out.
    pub fn start(&mut self, next: NextPart) {
        self.again.remove(&next.number);
        self.troubled.remove(&next.number);
        self.running.insert(next.number, next.attempt);
        while self.running.contains_key(&self.next)
            || self.progress.receipts.contains_key(&self.next)
        {
            self.next += 1;
        }
    }

    /// A part on its way came back without fault of its own; it goes out again. With `ask`, the
    /// destination may have it all the same and is asked first.
    pub fn requeue(&mut self, number: PartNumber, ask: Option<(Error, Instant)>) {
        let Some(attempt) = self.running.remove(&number) else {
            return;
        };
        match ask {
            Some((error, now)) => {
                let attempts = attempt.saturating_sub(1);
                let trouble = Trouble {
                    attempts,
                    error,
                    retry_at: Some(now),
                    ask: true,
                };
                self.troubled.insert(number, trouble);
            }
            None => drop(self.again.insert(number)),
        }
    }

    /// A part failed.
    pub fn fail(&mut self, number: PartNumber, trouble: Trouble) {
        self.running.remove(&number);
        self.troubled.insert(number, trouble);
    }

    /// Makes every failed part (or the one) due now. Returns how many it was.
    pub fn retry(&mut self, now: Instant, only: Option<PartNumber>) -> usize {
        let mut reached = 0;
        for (number, trouble) in &mut self.troubled {
            if only.is_none_or(|only| only == *number) {
                trouble.retry_at = Some(now);
                trouble.attempts = if trouble.ask { trouble.attempts } else { 0 };
                reached += 1;
            }
        }
        reached
    }

    /// A part was acknowledged.
    pub fn acknowledge(&mut self, number: PartNumber, md5: Option<Md5>) {
        self.running.remove(&number);
        self.troubled.remove(&number);
        self.again.remove(&number);
        let Some(part) = self.plan().and_then(|plan| plan.part(number)) else {
            return;
        };
        if self.progress.receipts.insert(number, md5).is_none() {
            self.acknowledged += part.length;
        }
    }

    /// The destination lacks these parts, or has them with other bytes. They go out before any
    /// other: should one of them not be replaceable, that shows before more is sent in vain.
    pub fn lose(&mut self, numbers: &BTreeSet<PartNumber>) {
        for number in numbers {
            self.verified.remove(number);
            let Some(part) = self.plan().and_then(|plan| plan.part(*number)) else {
                continue;
            };
            if self.progress.receipts.remove(number).is_some() {
                self.acknowledged = self.acknowledged.saturating_sub(part.length);
            }
            if !self.running.contains_key(number) && !self.troubled.contains_key(number) {
                self.again.insert(*number);
            }
        }
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

    /// The plan with everything that was never begun cut anew, or `None` where that changes nothing
    /// or is not allowed. An upload of one part stays so: it may have been announced as such.
    #[must_use]
    pub fn recut(
        &self,
        cut: impl Fn(&PartPlan, PartNumber) -> PartPlan,
        limits: &Limits,
    ) -> Option<PartPlan> {
        let plan = self.plan()?;
        if !limits.recut || plan.count() < 2 || self.progress.completed || self.saving_plan {
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
        let recut = cut(plan, from);
        (recut != *plan && recut.count() <= limits.parts_max && recut.count() > 1).then_some(recut)
    }

    /// The state of every part, as stretches.
    #[must_use]
    pub fn part_states(&self) -> Vec<(PartState, u32)> {
        let mut stretches: Vec<(PartState, u32)> = Vec::new();
        for number in 1..=self.count() {
            let state = self.part_state(number);
            match stretches.last_mut() {
                Some((last, count)) if *last == state => *count += 1,
                _ => stretches.push((state, 1)),
            }
        }
        stretches
    }

    fn part_state(&self, number: PartNumber) -> PartState {
        if self.progress.receipts.contains_key(&number) {
            let verified = self.verified.contains(&number);
            return if verified {
                PartState::Verified
            } else {
                PartState::Done
            };
        }
        if self.running.contains_key(&number) {
            return PartState::Running;
        }
        match self.troubled.get(&number) {
            Some(Trouble {
                retry_at: Some(_), ..
            }) => PartState::Retrying,
            Some(_) => PartState::Failed,
            None => PartState::Waiting,
        }
    }

    /// How many failed parts are tried again by themselves, and how many wait for the person.
    #[must_use]
    pub fn troubles(&self) -> (u32, u32) {
        let retrying = self
            .troubled
            .values()
            .filter(|trouble| trouble.retry_at.is_some())
            .count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        (count(retrying), count(self.troubled.len() - retrying))
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
