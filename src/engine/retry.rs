//! What to try again, and when. Clock and randomness are handed in; pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{CallClass, Error, Kind};

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
        Kind::Credentials | Kind::Ledger => Verdict::EndAll,
        Kind::TicketGone | Kind::Local | Kind::Changed | Kind::Storage => Verdict::EndUpload,
        Kind::Refused => Verdict::Ask,
        // In smaller parts.
        Kind::TooLarge => Verdict::At(now),
        // What takes the room is not known to end; half of the wait is fixed, for that no try is counted.
        Kind::Crowded => Verdict::At(now + backoff.wait(3, 0.5 + random / 2.0)),
        Kind::Broken | Kind::Server | Kind::Corrupt | Kind::Conflict | Kind::LinkExpired => {
            // A new link or token is no reason to wait, the first time, and no retry of the part's.
            if error.kind == Kind::LinkExpired && failures <= 1 {
                return Verdict::At(now);
            }
            if failures > u32::from(retries) {
                return Verdict::Ask;
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

impl Way {
    /// The way that an error came by: as its endpoint says, else as what failed went out.
    #[must_use]
    pub fn of(error: &Error, went: Self) -> Self {
        match error.endpoint.as_ref().map(|endpoint| endpoint.class) {
            Some(CallClass::Part) => Self::Parts,
            Some(CallClass::Call | CallClass::Read | CallClass::Write) => Self::Calls,
            None => went,
        }
    }
}

/// A gate for each way. Where both lead to the same host, it is down for both; that it asks to wait
/// holds for one way alone.
#[derive(Debug, Default)]
pub struct Gates {
    calls: Gate,
    parts: Gate,
    parts_apart: bool,
}

impl Gates {
    /// Gates of a destination whose parts go to a host of their own, or not.
    #[must_use]
    pub fn new(parts_apart: bool) -> Self {
        Self {
            parts_apart,
            ..Self::default()
        }
    }

    fn at(&self, way: Way) -> &Gate {
        match way {
            Way::Calls => &self.calls,
            Way::Parts => &self.parts,
        }
    }

    fn at_mut(&mut self, way: Way) -> &mut Gate {
        match way {
            Way::Calls => &mut self.calls,
            Way::Parts => &mut self.parts,
        }
    }

    /// The way whose gate says whether the host behind this way is down.
    fn host(&self, way: Way) -> Way {
        if self.parts_apart { way } else { Way::Calls }
    }

    /// The host behind this way can't be reached ([`Gate::line_is_down`]).
    pub fn line_is_down(
        &mut self,
        way: Way,
        now: Instant,
        why: &str,
        backoff: &Backoff,
        random: f64,
    ) {
        let host = self.host(way);
        self.at_mut(host).line_is_down(now, why, backoff, random);
    }

    /// Something came back this way: the line is up.
    pub fn line_is_up(&mut self, way: Way) {
        let host = self.host(way);
        self.at_mut(host).line_is_up();
    }

    /// An answer came this way that does not ask to wait.
    pub fn came_through(&mut self, way: Way) {
        self.line_is_up(way);
        self.at_mut(way).came_through();
    }

    /// Everyone who goes this way is asked to wait ([`Gate::asks_to_wait`]).
    pub fn asks_to_wait(
        &mut self,
        way: Way,
        now: Instant,
        error: &Error,
        backoff: &Backoff,
        random: f64,
    ) -> Duration {
        self.at_mut(way).asks_to_wait(now, error, backoff, random)
    }

    /// For how long the host behind this way has been down.
    #[must_use]
    pub fn down_for(&self, way: Way, now: Instant) -> Option<Duration> {
        self.at(self.host(way)).down_for(now)
    }

    /// Why nothing may go this way, if so.
    #[must_use]
    pub fn closed(&self, way: Way, now: Instant) -> Option<Closed> {
        let down = self.at(self.host(way)).offline(now);
        down.or_else(|| self.at(way).closed(now))
    }

    /// Whether something may be begun that goes this way, with so many parts and so much else of ours
    /// under way: while the host is down, one try at a time.
    #[must_use]
    pub fn may_start(&self, way: Way, now: Instant, parts: usize, calls: usize) -> bool {
        let busy = match (self.parts_apart, way) {
            (false, _) => parts + calls,
            (true, Way::Calls) => calls,
            (true, Way::Parts) => parts,
        };
        let down = self.down_for(way, now).is_some();
        self.closed(way, now).is_none() && (!down || busy == 0)
    }

    /// Forgets every wait: the person wants a try now.
    pub fn open(&mut self, now: Instant) {
        self.calls.open(now);
        self.parts.open(now);
    }

    /// When the first of them opens that is closed.
    #[must_use]
    pub fn opens(&self, now: Instant) -> Option<Instant> {
        let opens = |gate: &Gate| gate.opens(now);
        self.calls
            .opens(now)
            .into_iter()
            .chain(opens(&self.parts))
            .min()
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
        self.offline(now).or_else(|| match &self.wait {
            Some((until, why)) if *until > now => Some(Closed::Wait(*until, why.clone())),
            _ => None,
        })
    }

    /// Until when the host is left alone because it is down, if so.
    fn offline(&self, now: Instant) -> Option<Closed> {
        let down = self.down.as_ref().filter(|down| down.until > now)?;
        Some(Closed::Offline(down.until, down.why.clone()))
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
    use crate::error::Endpoint;

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
    async fn an_expired_link_is_replaced_once_even_where_nothing_is_retried() {
        let judged = |failures| {
            let error = Error::new(Kind::LinkExpired, "x");
            judge(&error, failures, 0, &BACKOFF, Instant::now(), 1.0)
        };
        assert_eq!(judged(1), Verdict::At(Instant::now()));
        assert_eq!(judged(2), Verdict::Ask);
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
            gates.line_is_down(Way::Parts, now, "no route", &BACKOFF, 1.0);
            gates.came_through(Way::Calls);
            [Way::Calls, Way::Parts].map(|way| gates.closed(way, now).is_some())
        };
        assert_eq!(closed(true), [false, true]);
        assert_eq!(closed(false), [false, false], "one host is one line");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_asks_to_wait_means_the_class_of_call_it_refused() {
        let now = Instant::now();
        for apart in [true, false] {
            let mut gates = Gates::new(apart);
            let endpoint = Endpoint {
                host: "api.example".into(),
                class: CallClass::Read,
            };
            let error = Error::new(Kind::Throttled, "busy").from_endpoint(endpoint);
            // It was met on the way of a part, while its link was asked for.
            let way = Way::of(&error, Way::Parts);
            gates.asks_to_wait(way, now, &error, &BACKOFF, 1.0);
            let closed = [Way::Calls, Way::Parts].map(|way| gates.closed(way, now).is_some());
            assert_eq!(closed, [true, false]);
        }
    }
}
