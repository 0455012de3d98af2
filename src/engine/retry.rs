//! What to try again, and when. Clock and randomness are handed in; pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Kind};

/// How long to wait before tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the second try.
    pub first: Duration,
    /// The longest wait at all.
    pub most: Duration,
}

impl Backoff {
    /// How long to wait after so many failures in a row: exponential, with full jitter, so that many
    /// parts that failed together do not come back together. `random` is from 0 to 1.
    #[must_use]
    pub fn wait(&self, failures: u32, random: f64) -> Duration {
        let doubled = self
            .first
            .saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.most).mul_f64(random.clamp(0.0, 1.0))
    }
}

/// What is to become of a part, or of a step of an upload, that failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It counts as done: the destination has it.
    Done,
    /// Again when the line is open; not counted.
    WhenOpen,
    /// Again at this time.
    At(Instant),
    /// The person is asked, for this part or step.
    Ask,
    /// The upload ends here.
    EndUpload,
    /// Everything ends here.
    EndAll,
}

/// Judges a failure after `failures` in a row (this one counted).
#[must_use]
pub fn judge(
    error: &Error,
    failures: u32,
    retries: u16,
    backoff: &Backoff,
    now: Instant,
    random: f64,
) -> Verdict {
    match error.kind {
        Kind::AlreadySent => Verdict::Done,
        Kind::Offline | Kind::Throttled => Verdict::WhenOpen,
        Kind::Credentials => Verdict::EndAll,
        Kind::TicketGone | Kind::Local | Kind::Changed | Kind::Storage => Verdict::EndUpload,
        Kind::Refused => Verdict::Ask,
        Kind::Broken | Kind::Server | Kind::Corrupt | Kind::LinkExpired => {
            if failures > u32::from(retries) {
                return Verdict::Ask;
            }
            // A new link or token is no reason to wait, the first time.
            if error.kind == Kind::LinkExpired && failures <= 1 {
                return Verdict::At(now);
            }
            let wait = error
                .wait
                .unwrap_or_default()
                .max(backoff.wait(failures, random));
            Verdict::At(now + wait)
        }
    }
}

/// Which way something goes to the destination: calls to its API, or parts, which may go to another
/// host. One may be reached while the other is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Calls to the API.
    Calls,
    /// Parts.
    Parts,
}

/// A gate for each way; one for both where parts go to the host that is called.
#[derive(Debug, Default)]
pub struct Gates {
    calls: Gate,
    parts: Option<Gate>,
}

impl Gates {
    /// Gates of a destination whose parts go to a host of their own, or not.
    #[must_use]
    pub fn new(parts_apart: bool) -> Self {
        Self {
            calls: Gate::default(),
            parts: parts_apart.then(Gate::default),
        }
    }

    /// The gate of this way.
    #[must_use]
    pub fn of(&self, way: Way) -> &Gate {
        match (&self.parts, way) {
            (Some(parts), Way::Parts) => parts,
            _ => &self.calls,
        }
    }

    /// The same, to be opened or closed.
    pub fn at(&mut self, way: Way) -> &mut Gate {
        match (&mut self.parts, way) {
            (Some(parts), Way::Parts) => parts,
            _ => &mut self.calls,
        }
    }

    /// Whether something may be begun that goes this way, with so many parts and so much else of ours
    /// under way.
    #[must_use]
    pub fn may_start(&self, way: Way, now: Instant, parts: usize, calls: usize) -> bool {
        let busy = match (&self.parts, way) {
            (None, _) => parts + calls,
            (Some(_), Way::Calls) => calls,
            (Some(_), Way::Parts) => parts,
        };
        self.of(way).may_start(now, busy)
    }

    /// Forgets every wait: the person wants a try now.
    pub fn open(&mut self, now: Instant) {
        self.calls.open(now);
        if let Some(parts) = &mut self.parts {
            parts.open(now);
        }
    }

    /// When the first of them opens that is closed.
    #[must_use]
    pub fn opens(&self, now: Instant) -> Option<Instant> {
        let parts = self.parts.as_ref().and_then(|gate| gate.opens(now));
        parts.into_iter().chain(self.calls.opens(now)).min()
    }
}

/// Whether a host may be spoken to: the line to it may be down, or it asked to wait.
#[derive(Debug, Default)]
pub struct Gate {
    down: Option<Down>,
    wait: Option<(Instant, String)>,
    /// How often in a row it asked to wait.
    refusals: u32,
}

#[derive(Debug)]
struct Down {
    since: Instant,
    tries: u32,
    until: Instant,
    why: String,
}

/// Why the gate is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The line is down, the next try is then.
    Offline(Instant, String),
    /// The destination asked to wait until then.
    Wait(Instant, String),
}

impl Gate {
    /// The line is down. Several parts tell so at once; only what is told after the wait that was
    /// begun by the first counts as another try.
    pub fn line_is_down(&mut self, now: Instant, why: &str, backoff: &Backoff, random: f64) {
        let down = self.down.get_or_insert_with(|| Down {
            since: now,
            tries: 0,
            until: now,
            why: String::new(),
        });
        why.clone_into(&mut down.why);
        // While everything is paused nobody tries, and nobody knows whether the line is down.
        let untried = now.saturating_duration_since(down.until);
        if untried > backoff.most * 10 {
            down.since += untried;
        }
        if down.until <= now {
            down.tries += 1;
            // Half the wait is fixed, so that a line that is down is not hammered by bad luck.
            let wait = backoff.wait(down.tries, 0.5 + random / 2.0);
            down.until = now + wait.max(Duration::from_millis(200));
        }
    }

    /// Something came back: the line is up.
    pub fn line_is_up(&mut self) {
        self.down = None;
    }

    /// An answer came through that does not ask to wait.
    pub fn came_through(&mut self) {
        self.down = None;
        self.refusals = 0;
    }

    /// The host asks everyone to wait, `asked` so long or without a time: then longer each time in a
    /// row. What several parts are told at once counts as once. Answers how long that is from now on.
    pub fn asks_to_wait(
        &mut self,
        now: Instant,
        error: &Error,
        backoff: &Backoff,
        random: f64,
    ) -> Duration {
        let until = self.wait.as_ref().map(|(until, _)| *until);
        if until.is_none_or(|until| until <= now) {
            self.refusals += 1;
        }
        let wait = match error.wait {
            // A wait of no time is none that was meant.
            Some(asked) => asked.max(backoff.first),
            // Half of it is fixed, so that bad luck asks no sooner than it did before.
            None => backoff.wait(self.refusals + 1, 0.5 + random / 2.0),
        };
        let longest = until.map_or(now + wait, |before| before.max(now + wait));
        if until != Some(longest) {
            self.wait = Some((longest, error.message.clone()));
        }
        longest - now
    }

    /// Forgets every wait: the person wants a try now.
    pub fn open(&mut self, now: Instant) {
        self.wait = None;
        if let Some(down) = &mut self.down {
            down.until = now;
            down.since = now;
        }
    }

    /// Whether something may be begun now, with so much of ours under way: while the line is down,
    /// one try at a time.
    #[must_use]
    pub fn may_start(&self, now: Instant, under_way: usize) -> bool {
        match self.closed(now) {
            Some(_) => false,
            None => self.down.is_none() || under_way == 0,
        }
    }

    /// Why nothing may be begun, if so.
    #[must_use]
    pub fn closed(&self, now: Instant) -> Option<Closed> {
        match (&self.down, &self.wait) {
            (Some(down), _) if down.until > now => {
                Some(Closed::Offline(down.until, down.why.clone()))
            }
            (_, Some((until, why))) if *until > now => Some(Closed::Wait(*until, why.clone())),
            _ => None,
        }
    }

    /// When it opens, if it is closed.
    #[must_use]
    pub fn opens(&self, now: Instant) -> Option<Instant> {
        self.closed(now).map(|closed| match closed {
            Closed::Offline(until, _) | Closed::Wait(until, _) => until,
        })
    }

    /// For how long the line has been down.
    #[must_use]
    pub fn down_for(&self, now: Instant) -> Option<Duration> {
        self.down.as_ref().map(|down| now - down.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        most: Duration::from_mins(1),
    };

    fn verdict(kind: Kind, failures: u32) -> Verdict {
        judge(
            &Error::new(kind, "x"),
            failures,
            3,
            &BACKOFF,
            Instant::now(),
            1.0,
        )
    }

    #[test]
    fn waits_double_up_to_the_most_and_jitter_takes_any_share_of_them() {
        let waits: Vec<u64> = (1..9).map(|n| BACKOFF.wait(n, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(BACKOFF.wait(u32::MAX, 0.5).as_secs(), 30);
        assert_eq!(BACKOFF.wait(3, 0.0), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_is_tried_as_often_as_set_and_then_the_person_is_asked() {
        for kind in [Kind::Broken, Kind::Server, Kind::Corrupt, Kind::LinkExpired] {
            assert!(matches!(verdict(kind, 3), Verdict::At(_)), "{kind:?}");
            assert_eq!(verdict(kind, 4), Verdict::Ask, "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_is_down_and_a_server_that_is_busy_never_count() {
        assert_eq!(verdict(Kind::Offline, 1000), Verdict::WhenOpen);
        assert_eq!(verdict(Kind::Throttled, 1000), Verdict::WhenOpen);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_nobody_tried_was_not_down_all_that_time() {
        let mut gate = Gate::default();
        let begun = Instant::now();
        gate.line_is_down(begun, "no route", &BACKOFF, 1.0);
        let later = begun + Duration::from_hours(48);
        gate.line_is_down(later, "no route", &BACKOFF, 1.0);
        assert!(gate.down_for(later).unwrap() < Duration::from_mins(1));
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_line_is_down_one_try_at_a_time_is_made_ever_more_rarely() {
        let mut gate = Gate::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..4 {
            for _ in 0..10 {
                gate.line_is_down(now, "no route", &BACKOFF, 1.0);
            }
            assert!(!gate.may_start(now, 0));
            let opens = gate.opens(now).unwrap();
            waits.push((opens - now).as_secs());
            now = opens;
            assert!(gate.may_start(now, 0));
            assert!(!gate.may_start(now, 1));
        }
        assert_eq!(waits, [1, 2, 4, 8]);
        gate.line_is_up();
        assert!(gate.may_start(now, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_asks_to_wait_without_a_time_is_given_ever_more_until_it_answers() {
        let mut gate = Gate::default();
        let mut now = Instant::now();
        let refused = Error::new(Kind::Throttled, "busy");
        let refuse = |gate: &mut Gate, now: &mut Instant| {
            // Parts that were in flight together are told together.
            for _ in 0..9 {
                gate.asks_to_wait(*now, &refused, &BACKOFF, 1.0);
            }
            let wait = gate.opens(*now).unwrap() - *now;
            *now += wait;
            wait.as_secs()
        };
        let waits: Vec<u64> = (0..8).map(|_| refuse(&mut gate, &mut now)).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
        // That the line is up says nothing of it, an answer does.
        gate.line_is_up();
        assert_eq!(refuse(&mut gate, &mut now), 60);
        gate.came_through();
        assert_eq!(refuse(&mut gate, &mut now), 2);
        let least = gate.asks_to_wait(now, &refused, &BACKOFF, 0.0);
        assert_eq!(least.as_secs(), 2, "jitter takes half at most");
        let asked = Error::new(Kind::Throttled, "busy").with_wait(Some(Duration::from_mins(7)));
        assert_eq!(gate.asks_to_wait(now, &asked, &BACKOFF, 1.0).as_secs(), 420);
        assert_eq!(
            gate.asks_to_wait(now, &refused, &BACKOFF, 1.0).as_secs(),
            420,
            "and no shorter for another that does not say"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_answers_says_nothing_of_another_that_does_not() {
        let now = Instant::now();
        let closed = |apart: bool| {
            let mut gates = Gates::new(apart);
            gates
                .at(Way::Parts)
                .line_is_down(now, "no route", &BACKOFF, 1.0);
            gates.at(Way::Calls).came_through();
            [Way::Calls, Way::Parts].map(|way| gates.of(way).closed(now).is_some())
        };
        assert_eq!(closed(true), [false, true]);
        assert_eq!(closed(false), [false, false], "one host is one gate");
    }
}
