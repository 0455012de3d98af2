//! What is seen of the line while as many parts are in flight as may be; decides nothing.
//!
//! A kernel takes megabytes of each part ahead of the line, and an answer comes when all is through:
//! neither what connections took nor what was acknowledged in a few seconds tells what came through
//! in them. But in the middle of a part, when the kernel has its fill, a connection takes as much as
//! the line carries off; so that is what is measured ([`steady`]), and taken for what all do. Where
//! parts are over sooner than that, many arrive within a look, and their bytes are counted.

use std::time::Duration;

use tokio::time::Instant;

/// How long the line is watched at least before the number of parts is thought over …
const LOOK: Duration = Duration::from_secs(5);

/// … and at most, where it is so slow that little comes through.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// How many bytes a part in flight have to come through in a look: kernels ask for more by the
/// megabyte.
const ENOUGH: u64 = 4 << 20;

/// How often as many parts as go at once have to arrive for their bytes to tell the speed.
const ROUNDS: u32 = 3;

/// How long it takes a connection to get up to speed, and a kernel to have its fill.
const RAMP: Duration = Duration::from_secs(2);

/// The bytes that count as steady of a part of this `age` and `length`, of which its connection had
/// taken `before` at the last tick and `taken` now; `None` at its beginning and its end.
#[must_use]
pub fn steady(age: Duration, before: u64, taken: u64, length: u64) -> Option<u64> {
    (age >= RAMP && taken < length).then(|| taken.saturating_sub(before))
}

/// What the engine counts, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// All steady bytes so far …
    pub bytes: u64,
    /// … and in how much time of single parts.
    pub time: Duration,
    /// How many parts are in flight.
    pub flying: usize,
    /// How long they are on average, in bytes.
    pub length: u64,
    /// Whether nothing but the line holds them back.
    pub free: bool,
}

/// What came of watching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Go on watching.
    NotYet,
    /// Not as many parts were in flight all the time as may be: begin anew.
    Nothing,
    /// Connections broke.
    Trouble,
    /// So many bytes a second came through.
    Rate(u64),
    /// The same while more parts were in flight than may be: those of a higher number have to land.
    Crowded(u64),
}

/// One look at the line.
#[derive(Debug)]
pub(super) struct Watch {
    since: Instant,
    from: Sample,
    /// When the part arrived from which on arrivals are counted: parts that began together arrive
    /// together, and between any two other moments they would count as too many or too few.
    first: Option<Instant>,
    arrived: u32,
    bytes: u64,
    /// What came through in a second, by what arrived.
    counted: Option<u64>,
    /// Whether connections broke, or the destination asked to wait.
    pub(super) trouble: bool,
}

impl Watch {
    pub(super) fn new(now: Instant, from: Sample) -> Self {
        Self {
            since: now,
            from,
            first: None,
            arrived: 0,
            bytes: 0,
            counted: None,
            trouble: false,
        }
    }

    /// A part of so many bytes arrived, while `limit` may be in flight.
    pub(super) fn arrived(&mut self, now: Instant, bytes: u64, limit: u16) {
        let Some(first) = self.first else {
            self.first = Some(now);
            return;
        };
        self.arrived += 1;
        self.bytes += bytes;
        let rounds = self.arrived / u32::from(limit);
        if rounds >= ROUNDS && self.arrived.is_multiple_of(u32::from(limit)) {
            self.counted = Some(a_second(self.bytes, now - first));
        }
    }

    /// Looks at how things are now, when `limit` parts may be in flight.
    pub(super) fn see(&self, now: Instant, sample: Sample, limit: u16) -> Seen {
        let elapsed = now - self.since;
        let (flying, may) = (sample.flying, usize::from(limit));
        let at_first = self.from.flying;
        let landed = at_first != flying && (flying == may || at_first < flying);
        if !self.trouble && (flying < may || landed || !sample.free) {
            return Seen::Nothing;
        }
        if elapsed < LOOK {
            return Seen::NotYet;
        }
        if self.trouble {
            return Seen::Trouble;
        }
        if let Some(rate) = self.counted {
            return Seen::Rate(rate);
        }
        let bytes = sample.bytes.saturating_sub(self.from.bytes);
        let time = sample.time.saturating_sub(self.from.time);
        let all = elapsed * u32::try_from(at_first).unwrap_or(u32::MAX);
        // A few parts in their middle do not speak for all.
        let told = time >= all / 4;
        let enough = bytes >= ENOUGH * u64::from(limit) || elapsed >= LONGEST_LOOK;
        let rate = a_second(bytes.saturating_mul(at_first as u64), time);
        match (told && enough, at_first > may) {
            (false, _) => Seen::NotYet,
            (true, false) => Seen::Rate(rate),
            (true, true) => Seen::Crowded(rate),
        }
    }
}

fn a_second(bytes: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    bytes.saturating_mul(1000) / millis.max(1)
}
