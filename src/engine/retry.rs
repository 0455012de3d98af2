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

/// Whether the destination may be spoken to: the line may be down, or it asked to wait.
#[derive(Debug, Default)]
pub struct Gate {
    down: Option<Down>,
    wait: Option<(Instant, String)>,
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
        if down.until <= now {
            down.tries += 1;
            // Half the wait is fixed, so that a line that is down is not hammered by bad luck.
            let wait = backoff.wait(down.tries, 0.5 + random / 2.0);
            down.until = now + wait.max(Duration::from_millis(200));
        }
    }

    /// Something came back from the destination: the line is up.
    pub fn line_is_up(&mut self) {
        self.down = None;
    }

    /// The destination asks everyone to wait.
    pub fn wait(&mut self, until: Instant, why: &str) {
        if self.wait.as_ref().is_none_or(|(before, _)| *before < until) {
            self.wait = Some((until, why.to_owned()));
        }
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
}
