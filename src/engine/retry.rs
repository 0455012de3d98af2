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
    /// Again when what it waits for answers; not counted.
    WhenOpen,
    /// Again at this time, without counting the try.
    Uncounted(Instant),
    /// Again at this time.
    At(Instant),
    /// The person is asked, for this part or step.
    Ask,
    /// The upload ends here.
    EndUpload,
    /// Everything ends here.
    EndAll,
}

impl Verdict {
    /// Whether the try that failed counts.
    #[must_use]
    pub fn counts(&self) -> bool {
        !matches!(self, Self::WhenOpen | Self::Uncounted(_))
    }
}

/// How a host or disk did since something was tried there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// It did well for somebody: the failure is that of what failed.
    Well,
    /// It did well a moment ago: that may say nothing any more.
    WellBefore,
    /// Nothing good came from it: it is the one that fails.
    Nothing,
}

/// What a failure is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    /// How many tries failed in a row, this one counted.
    pub failures: u32,
    /// How many may be retried.
    pub retries: u16,
    /// How the host or disk that failed did for everybody since the try before this one.
    pub did: Did,
    /// When it failed.
    pub now: Instant,
    /// From 0 to 1.
    pub random: f64,
}

/// Judges a failure.
#[must_use]
pub fn judge(error: &Error, tried: Tried, backoff: &Backoff) -> Verdict {
    let Tried {
        failures,
        retries,
        did,
        now,
        random,
    } = tried;
    let wait = backoff.wait(failures, random);
    match error.kind {
        Kind::AlreadySent => Verdict::Done,
        Kind::Offline | Kind::Throttled => Verdict::WhenOpen,
        Kind::Credentials | Kind::Certificate | Kind::Ledger => Verdict::EndAll,
        Kind::Forbidden | Kind::TicketGone | Kind::Local | Kind::Changed | Kind::Storage => {
            Verdict::EndUpload
        }
        Kind::Refused => Verdict::Ask,
        // In smaller parts.
        Kind::TooLarge => Verdict::At(now),
        // What takes the room is not known to end; half of the wait is fixed, for that no try is counted.
        Kind::Crowded => Verdict::Uncounted(now + backoff.wait(3, 0.5 + random / 2.0)),
        Kind::Late => Verdict::Uncounted(now + wait),
        Kind::Broken | Kind::Server | Kind::Disk if did == Did::Nothing => Verdict::WhenOpen,
        Kind::Broken | Kind::Server | Kind::Disk if did == Did::WellBefore => {
            Verdict::Uncounted(now + wait)
        }
        Kind::Broken
        | Kind::Server
        | Kind::Disk
        | Kind::Corrupt
        | Kind::Conflict
        | Kind::LinkExpired => {
            // A new link or token is no reason to wait, the first time, and no retry of the part's.
            if error.kind == Kind::LinkExpired && failures <= 1 {
                return Verdict::At(now);
            }
            if failures > u32::from(retries) {
                return Verdict::Ask;
            }
            Verdict::At(now + error.wait.unwrap_or_default().max(wait))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_secs(1),
        most: Duration::from_mins(1),
    };

    fn judged(kind: Kind, failures: u32, retries: u16, did: Did) -> Verdict {
        let tried = Tried {
            failures,
            retries,
            did,
            now: Instant::now(),
            random: 1.0,
        };
        judge(&Error::new(kind, "x"), tried, &BACKOFF)
    }

    #[test]
    fn waits_double_up_to_the_most_and_jitter_takes_any_share_of_them() {
        let waits: Vec<u64> = (1..9).map(|n| BACKOFF.wait(n, 1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(BACKOFF.wait(u32::MAX, 0.5).as_secs(), 30);
        assert_eq!(BACKOFF.wait(3, 0.0), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_is_tried_as_often_as_set_while_its_host_is_well() {
        for kind in [Kind::Broken, Kind::Server, Kind::Corrupt, Kind::LinkExpired] {
            let again = judged(kind, 3, 3, Did::Well);
            assert!(matches!(again, Verdict::At(_)), "{kind:?}");
            assert_eq!(judged(kind, 4, 3, Did::Well), Verdict::Ask, "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_nothing_well_is_waited_for_however_often_it_fails() {
        for kind in [Kind::Broken, Kind::Server, Kind::Offline, Kind::Throttled] {
            for retries in [0, 3] {
                let judged = judged(kind, 1000, retries, Did::Nothing);
                assert_eq!(judged, Verdict::WhenOpen, "{kind:?}");
            }
        }
        // What it says of one part is not what ails it.
        for kind in [Kind::Corrupt, Kind::Conflict, Kind::LinkExpired] {
            assert_eq!(judged(kind, 4, 3, Did::Nothing), Verdict::Ask);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_right_after_a_good_answer_neither_counts_nor_closes_the_host() {
        for retries in [0, 3] {
            let judged = judged(Kind::Server, 1, retries, Did::WellBefore);
            let again = Instant::now() + Duration::from_secs(1);
            assert_eq!(judged, Verdict::Uncounted(again));
            assert!(!judged.counts());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_link_is_replaced_once_even_where_nothing_is_retried() {
        let judged = |failures| judged(Kind::LinkExpired, failures, 0, Did::Well);
        assert_eq!(judged(1), Verdict::At(Instant::now()));
        assert_eq!(judged(2), Verdict::Ask);
    }
}
