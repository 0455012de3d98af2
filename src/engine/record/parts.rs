//! The parts of a started upload: which is sent next, and what became of each.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::Begun;
use crate::{
    destination::{Limits, PartReceipt},
    engine::protocol::PartState,
    error::Error,
    plan::PartNumber,
};

/// In which order the parts of an upload may be sent.
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

/// A part that failed.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// How often it was tried.
    pub attempts: u32,
    /// Why it failed last.
    pub error: Error,
    /// When it failed last.
    pub failed_at: Instant,
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

impl Begun {
    /// Whether every part was acknowledged.
    #[must_use]
    pub fn all_acknowledged(&self) -> bool {
        self.plan()
            .is_some_and(|plan| self.progress.receipts.len() == plan.count() as usize)
    }

    /// Whether all parts but one have arrived or are in flight.
    #[must_use]
    pub fn is_last_part_next(&self) -> bool {
        let started = self.progress.receipts.len() + self.running.len();
        started + 1 == self.count() as usize
    }

    /// Whether nothing is left but failed parts that wait for the person.
    #[must_use]
    pub fn only_failed_parts_left(&self, sequence: Sequence, now: Instant) -> bool {
        self.running.is_empty()
            && !self.all_acknowledged()
            && self
                .troubled
                .values()
                .all(|trouble| trouble.retry_at.is_none())
            && self.next_part(sequence, now).is_none()
    }

    /// The part to send next: interrupted ones first, then those whose time to be tried again has
    /// come, then the first that was never begun.
    #[must_use]
    pub fn next_part(&self, sequence: Sequence, now: Instant) -> Option<NextPart> {
        let alone = match sequence {
            Sequence::Any => None,
            Sequence::FirstAlone => {
                Some(1).filter(|first| !self.progress.receipts.contains_key(first))
            }
            Sequence::Ordered => Some(self.first_missing()?),
        };
        if let Some(number) = alone {
            return self.next_alone(sequence, number, now);
        }
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

    /// This part, which goes out alone, if it may now.
    fn next_alone(&self, sequence: Sequence, number: PartNumber, now: Instant) -> Option<NextPart> {
        let failed = self.troubled.get(&number);
        let waits = failed.is_some_and(|failed| failed.retry_at.is_none_or(|at| at > now));
        if !self.running.is_empty() || number > self.count() || waits {
            return None;
        }
        // Any byte that arrived of one that was interrupted moves the place of the next.
        let interrupted = sequence == Sequence::Ordered && self.again.contains(&number);
        Some(NextPart {
            number,
            attempt: failed.map_or(1, |failed| failed.attempts + 1),
            ask: failed.map_or(interrupted, |failed| failed.ask),
        })
    }

    /// The first part without a receipt, if there is one.
    fn first_missing(&self) -> Option<PartNumber> {
        (1..=self.count()).find(|number| !self.progress.receipts.contains_key(number))
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

    /// A part ended without an answer and through no fault of its own; it is sent again. With a
    /// [`Trouble`], the account may have received it and is asked first.
    pub fn interrupt(&mut self, number: PartNumber, trouble: Option<Trouble>) {
        if self.running.remove(&number).is_none() {
            return;
        }
        match trouble {
            Some(trouble) => drop(self.troubled.insert(number, trouble)),
            None => drop(self.again.insert(number)),
        }
    }

    /// Nothing of these parts is at the account: they are as if they had never started.
    pub fn unstart(&mut self, numbers: &[PartNumber]) {
        for number in numbers {
            self.running.remove(number);
            self.again.remove(number);
            self.troubled.remove(number);
            self.next = self.next.min(*number);
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
    pub fn acknowledge(&mut self, number: PartNumber, receipt: PartReceipt) {
        self.running.remove(&number);
        self.troubled.remove(&number);
        self.again.remove(&number);
        let Some(part) = self.plan().and_then(|plan| plan.part(number)) else {
            return;
        };
        if self.progress.receipts.insert(number, receipt).is_none() {
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::{plan::PartPlan, session::Progress};

    #[test]
    fn a_part_that_was_refused_is_as_if_it_had_never_started_and_may_be_split_anew() {
        let plan = |size| PartPlan::split(100, NonZeroU64::new(size).unwrap()).unwrap();
        let mut begun = Begun::new(Progress::under("marker"));
        begun.set_plan(plan(20));
        let now = Instant::now();
        let next = |begun: &Begun| begun.next_part(Sequence::Any, now).map(|next| next.number);
        for number in 1..=3 {
            let part = begun.next_part(Sequence::Any, now).unwrap();
            assert_eq!(part.number, number);
            begun.start(part);
        }
        begun.acknowledge(1, PartReceipt::default());
        begun.unstart(&[2, 3]);
        assert_eq!(next(&begun), Some(2));
        let ten = NonZeroU64::new(10).unwrap();
        let split = begun.replanned(0, |plan, from| plan.resplit(from, ten));
        let lengths: Vec<u64> = split.unwrap().parts().map(|part| part.length).collect();
        assert_eq!(lengths, [20, 10, 10, 10, 10, 10, 10, 10, 10]);
    }
}
