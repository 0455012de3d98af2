//! The hosts that are spoken to: which answer, which do not, and which ask to wait. Clock and randomness
//! are handed in; pure.
//!
//! A host that does not answer is left alone, and tried again ever more rarely, by whatever needs it, one
//! try at a time. What fails meanwhile says nothing about a part: only a failure while the host did well
//! for somebody else counts against it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::retry::Backoff;
use crate::error::{CallClass, Endpoint, Error};

/// For how long a good answer shows that a host is well, whoever fails there.
const FRESH: Duration = Duration::from_secs(10);

/// How a host did since something was tried there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// It answered somebody well: the failure is that of what failed.
    Well,
    /// It did well a moment ago: that may say nothing any more.
    WellBefore,
    /// Nothing good came from it: it is the host that fails.
    Nothing,
}

/// All hosts that were spoken to.
#[derive(Debug, Default)]
pub struct Hosts {
    all: BTreeMap<Arc<str>, Host>,
}

#[derive(Debug, Default)]
struct Host {
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

/// Why nothing may go to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Which host.
    pub host: Arc<str>,
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

impl Hosts {
    /// How this host did since then, for anybody.
    #[must_use]
    pub fn did(&self, host: &str, since: Instant, now: Instant) -> Did {
        match self.all.get(host).and_then(|host| host.did_well) {
            Some(at) if at >= since => Did::Well,
            Some(at) if at + FRESH >= now => Did::WellBefore,
            _ => Did::Nothing,
        }
    }

    /// A host answered as it should: to this class of call it does not ask to wait any more.
    pub fn did_well(&mut self, host: &Arc<str>, class: CallClass, now: Instant) {
        let host = self.all.entry(Arc::clone(host)).or_default();
        (host.did_well, host.down) = (Some(now), None);
        for (asked, it) in &mut host.asked {
            if concerns(*asked, class) {
                it.times = 0;
            }
        }
    }

    /// A host failed that did nothing well. What several were told at once counts as once. Answers
    /// since when it has not done well.
    pub fn failed(&mut self, host: &Arc<str>, why: &str, at: Moment, backoff: &Backoff) -> Instant {
        let Moment { now, clock, random } = at;
        let host = self.all.entry(Arc::clone(host)).or_default();
        let down = host.down.get_or_insert_with(|| Down {
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
            down.tries += 1;
            // Half the wait is fixed, so that bad luck does not hammer a host that is down.
            let wait = backoff.wait(down.tries, 0.5 + random / 2.0);
            down.until = now + wait.max(Duration::from_millis(200));
        }
        down.since
    }

    /// A host asks to wait with this class of call, `error.wait` so long or without a time: then longer
    /// each time in a row. What several are told at once counts as once. Answers how long that is.
    pub fn asks_to_wait(
        &mut self,
        endpoint: &Endpoint,
        error: &Error,
        at: Moment,
        backoff: &Backoff,
    ) -> Duration {
        let Moment { now, clock, random } = at;
        let host = self.all.entry(Arc::from(&*endpoint.host)).or_default();
        // It answers, whatever it says.
        host.down = None;
        let asked = host.asked.entry(endpoint.class).or_insert(Asked {
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

    /// Whether this host does not answer as it should.
    #[must_use]
    pub fn is_down(&self, host: &str) -> bool {
        self.all.get(host).is_some_and(|host| host.down.is_some())
    }

    /// Why this class of call may not go to this host, if so.
    #[must_use]
    pub fn closed(&self, host: &str, class: CallClass, now: Instant) -> Option<Closed> {
        let (name, host) = self.all.get_key_value(host)?;
        host.closed(name, now, |asked| concerns(asked, class))
    }

    /// Whether this class of call may go to this host now, with so many requests of ours under way
    /// there: while it is down, one try at a time.
    #[must_use]
    pub fn may_start(&self, host: &str, class: CallClass, now: Instant, under_way: usize) -> bool {
        self.closed(host, class, now).is_none() && (under_way == 0 || !self.is_down(host))
    }

    /// Forgets every wait: the person wants a try now.
    pub fn open(&mut self, now: Instant) {
        for host in self.all.values_mut() {
            host.asked.clear();
            if let Some(down) = &mut host.down {
                (down.until, down.since) = (now, now);
            }
        }
    }

    /// When the first of them opens that is closed.
    #[must_use]
    pub fn opens(&self, now: Instant) -> Option<Instant> {
        let down = self.all.values().filter_map(|host| host.down.as_ref());
        let asked = self.all.values().flat_map(|host| host.asked.values());
        let times = down.map(|it| it.until).chain(asked.map(|it| it.until));
        times.filter(|until| *until > now).min()
    }

    /// Those that do not answer, or ask to wait.
    pub fn waits(&self, now: Instant) -> impl Iterator<Item = Closed> {
        let closed = move |(name, host): (&Arc<str>, &Host)| match &host.down {
            // It is down while a try is under way, too.
            Some(down) => Some(down.told(name)),
            None => host.closed(name, now, |_| true),
        };
        self.all.iter().filter_map(closed)
    }
}

impl Host {
    fn closed(
        &self,
        name: &Arc<str>,
        now: Instant,
        concerned: impl Fn(CallClass) -> bool,
    ) -> Option<Closed> {
        if let Some(down) = self.down.as_ref().filter(|down| down.until > now) {
            return Some(down.told(name));
        }
        let asked = self.asked.iter();
        let asked = asked.filter(|(class, asked)| concerned(**class) && asked.until > now);
        let (_, longest) = asked.max_by_key(|(_, asked)| asked.until)?;
        Some(Closed {
            host: Arc::clone(name),
            is_down: false,
            since: longest.clock,
            until: longest.until,
            why: longest.why.clone(),
        })
    }
}

impl Down {
    fn told(&self, name: &Arc<str>) -> Closed {
        Closed {
            host: Arc::clone(name),
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
