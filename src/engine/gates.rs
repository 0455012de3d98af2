//! The hosts, disks and folders that uploads need: which answer, which do not, and which ask to wait.
//! Clock and randomness are handed in; pure.
//!
//! What does not answer is left alone, and tried again ever more rarely, by whatever needs it, one try at
//! a time. What fails meanwhile says nothing about a part: only a failure while the same host or disk did
//! well for somebody else counts against it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::retry::{Backoff, Did};
use crate::{
    awaited::Awaited,
    error::{CallClass, Error},
};

/// For how long a good answer shows that all is well there, whoever fails.
const FRESH: Duration = Duration::from_secs(3);

/// All that were spoken to or read from.
#[derive(Debug, Default)]
pub struct Gates {
    all: BTreeMap<Awaited, Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    /// When it answered well, last.
    did_well: Option<Instant>,
    /// Since when it does not.
    down: Option<Down>,
    /// The classes of call that it asked to wait for.
    asked: BTreeMap<CallClass, Asked>,
}

/// A host that does not answer as it should.
#[derive(Debug)]
struct Down {
    since: Instant,
    clock: Timestamp,
    tries: u32,
    until: Instant,
    why: String,
}

/// A class of call that a host asked to wait for.
#[derive(Debug)]
struct Asked {
    until: Instant,
    clock: Timestamp,
    /// How often in a row it asked.
    times: u32,
    why: String,
}

/// Why nothing may go somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// What is waited for.
    pub what: Awaited,
    /// Whether it does not answer; else it asks to wait.
    pub is_down: bool,
    /// Since when.
    pub since: Timestamp,
    /// When the next try may be made.
    pub until: Instant,
    /// What it said last.
    pub why: String,
}

/// What a failure is counted by: when, and how chance falls.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Now, by the clock that only goes forward.
    pub now: Instant,
    /// Now, as people tell it.
    pub clock: Timestamp,
    /// From 0 to 1.
    pub random: f64,
}

impl Gates {
    /// How this host did since then, for anybody.
    #[must_use]
    pub fn did(&self, what: &Awaited, since: Instant, now: Instant) -> Did {
        match self.all.get(what).and_then(|gate| gate.did_well) {
            Some(at) if at >= since => Did::Well,
            Some(at) if at + FRESH >= now => Did::WellBefore,
            _ => Did::Nothing,
        }
    }

    /// A host answered as it should: to this class of call it does not ask to wait any more.
    pub fn did_well(&mut self, what: &Awaited, class: CallClass, now: Instant) {
        let gate = self.all.entry(what.clone()).or_default();
        (gate.did_well, gate.down) = (Some(now), None);
        for (asked, it) in &mut gate.asked {
            if concerns(*asked, class) {
                it.times = 0;
            }
        }
    }

    /// A host failed that did nothing well. What several were told at once counts as once. Answers
    /// since when it has not done well.
    pub fn failed(&mut self, what: &Awaited, why: &str, at: Moment, backoff: &Backoff) -> Instant {
        let Moment { now, clock, .. } = at;
        let gate = self.all.entry(what.clone()).or_default();
        let down = gate.down.get_or_insert_with(|| Down {
            since: now,
            clock,
            tries: 0,
            until: now,
            why: String::new(),
        });
        why.clone_into(&mut down.why);
        // While everything is paused nobody tries, and nobody knows how it does.
        let untried = now.saturating_duration_since(down.until);
        if untried > backoff.most * 10 {
            (down.since, down.clock) = (down.since + untried, clock);
        }
        if down.until <= now {
            down.another_try(at, backoff);
        }
        down.since
    }

    /// A host asks to wait with this class of call, `error.wait` so long or without a time: then longer
    /// each time in a row. What several are told at once counts as once. Answers how long that is.
    pub fn asks_to_wait(
        &mut self,
        host: &Awaited,
        class: CallClass,
        error: &Error,
        at: Moment,
        backoff: &Backoff,
    ) -> Duration {
        let Moment { now, clock, random } = at;
        let gate = self.all.entry(host.clone()).or_default();
        // It answers, whatever it says.
        gate.down = None;
        let asked = gate.asked.entry(class).or_insert(Asked {
            until: now,
            clock,
            times: 0,
            why: String::new(),
        });
        if asked.until <= now {
            if asked.times == 0 {
                asked.clock = clock;
            }
            asked.times += 1;
        }
        let wait = match error.wait {
            // A wait of no time is none that was meant.
            Some(wait) => wait.max(backoff.first),
            // Half of it is fixed, so that bad luck asks no sooner than it did before.
            None => backoff.wait(asked.times + 1, 0.5 + random / 2.0),
        };
        if now + wait > asked.until {
            asked.until = now + wait;
            asked.why.clone_from(&error.message);
        }
        asked.until - now
    }

    /// Whether this does not answer as it should.
    #[must_use]
    pub fn is_down(&self, what: &Awaited) -> bool {
        self.all.get(what).is_some_and(|gate| gate.down.is_some())
    }

    /// The disks and folders that do not answer as they should.
    pub fn sources_down(&self) -> impl Iterator<Item = (&Awaited, &Path)> {
        let down = self.all.iter().filter(|(_, gate)| gate.down.is_some());
        down.filter_map(|(what, _)| Some((what, what.path()?)))
    }

    /// A file was read well that lies on this disk: so do the folders above it.
    pub fn was_read(&mut self, file: &Path, disk: &Awaited, now: Instant) {
        self.did_well(disk, CallClass::Part, now);
        let mounted = disk.path().map_or(0, |at| at.as_os_str().len());
        for (what, gate) in &mut self.all {
            let is_below = |at: &Path| at.as_os_str().len() > mounted;
            let is_above = |at: &Path| match what {
                // One of another disk, which this one lies below, says nothing.
                Awaited::Disk(_) => is_below(at) && file.starts_with(at),
                _ => file.starts_with(at),
            };
            if what.path().is_some_and(is_above) {
                gate.down = None;
            }
        }
    }

    /// Something is tried where nothing answered: nothing else is for a while, whatever comes of it.
    pub fn tried(&mut self, what: &Awaited, at: Moment, backoff: &Backoff) {
        if let Some(down) = self.all.get_mut(what).and_then(|gate| gate.down.as_mut()) {
            down.another_try(at, backoff);
        }
    }

    /// Why this class of call may not go to this host, if so.
    #[must_use]
    pub fn closed(&self, what: &Awaited, class: CallClass, now: Instant) -> Option<Closed> {
        let gate = self.all.get(what)?;
        gate.closed(what, now, |asked| concerns(asked, class))
    }

    /// Whether this class of call may go there now, with so many requests of ours under way there: while it is
    /// down, one try at a time.
    #[must_use]
    pub fn may_start(
        &self,
        what: &Awaited,
        class: CallClass,
        now: Instant,
        under_way: usize,
    ) -> bool {
        self.closed(what, class, now).is_none() && (under_way == 0 || !self.is_down(what))
    }

    /// Forgets every wait: the person wants a try now.
    pub fn open(&mut self, now: Instant) {
        for gate in self.all.values_mut() {
            gate.asked.clear();
            if let Some(down) = &mut gate.down {
                (down.until, down.since) = (now, now);
            }
        }
    }

    /// When the first of them opens that is closed.
    #[must_use]
    pub fn opens(&self, now: Instant) -> Option<Instant> {
        let down = self.all.values().filter_map(|gate| gate.down.as_ref());
        let asked = self.all.values().flat_map(|gate| gate.asked.values());
        let times = down.map(|it| it.until).chain(asked.map(|it| it.until));
        times.filter(|until| *until > now).min()
    }

    /// Those that do not answer, or ask to wait.
    pub fn waits(&self, now: Instant) -> impl Iterator<Item = Closed> {
        let closed = move |(what, gate): (&Awaited, &Gate)| match &gate.down {
            // It is down while a try is under way, too.
            Some(down) => Some(down.told(what)),
            None => gate.closed(what, now, |_| true),
        };
        self.all.iter().filter_map(closed)
    }
}

impl Gate {
    fn closed(
        &self,
        what: &Awaited,
        now: Instant,
        concerned: impl Fn(CallClass) -> bool,
    ) -> Option<Closed> {
        if let Some(down) = self.down.as_ref().filter(|down| down.until > now) {
            return Some(down.told(what));
        }
        let asked = self.asked.iter();
        let asked = asked.filter(|(class, asked)| concerned(**class) && asked.until > now);
        let (_, longest) = asked.max_by_key(|(_, asked)| asked.until)?;
        Some(Closed {
            what: what.clone(),
            is_down: false,
            since: longest.clock,
            until: longest.until,
            why: longest.why.clone(),
        })
    }
}

impl Down {
    fn another_try(&mut self, at: Moment, backoff: &Backoff) {
        self.tries += 1;
        // Half the wait is fixed, so that bad luck does not hammer what is down.
        let wait = backoff.wait(self.tries, 0.5 + at.random / 2.0);
        self.until = at.now + wait.max(Duration::from_millis(200));
    }

    fn told(&self, what: &Awaited) -> Closed {
        Closed {
            what: what.clone(),
            is_down: true,
            since: self.clock,
            until: self.until,
            why: self.why.clone(),
        }
    }
}

/// Whether a host that asked to wait with one class of call means another one, too. What changes
/// something may have to ask first.
fn concerns(asked: CallClass, class: CallClass) -> bool {
    use CallClass::{Call, Read, Write};
    match (asked, class) {
        (Call, Read | Write) | (Read | Write, Call) | (Read, Write) => true,
        (asked, class) => asked == class,
    }
}

#[cfg(test)]
mod tests;
