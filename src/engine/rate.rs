//! Meters of speed and time. Time is tokio's, so that tests can pause it.

use std::time::Duration;

use tokio::time::Instant;

use crate::settings::Bandwidth;

/// Over how long a speed is measured.
const WINDOW: Duration = Duration::from_secs(4);

/// The least time between two measurements that count.
const STEP: Duration = Duration::from_millis(200);

/// How fast something that counts upwards does so, over the last few seconds.
#[derive(Debug, Default)]
pub struct Meter {
    samples: std::collections::VecDeque<(Instant, u64)>,
}

impl Meter {
    /// A meter that begins with nothing counted now.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            samples: [(now, 0)].into(),
        }
    }

    /// Notes how far the count is now.
    pub fn sample(&mut self, now: Instant, count: u64) {
        if self
            .samples
            .back()
            .is_some_and(|(last, _)| now - *last < STEP)
        {
            return;
        }
        self.samples.push_back((now, count));
        while self.samples.len() > 2
            && self
                .samples
                .front()
                .is_some_and(|(at, _)| now - *at > WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// The speed, a second.
    #[must_use]
    pub fn rate(&self) -> u64 {
        let (Some((begin, from)), Some((end, to))) = (self.samples.front(), self.samples.back())
        else {
            return 0;
        };
        let millis = u64::try_from((*end - *begin).as_millis()).unwrap_or(u64::MAX);
        to.saturating_sub(*from)
            .saturating_mul(1000)
            .checked_div(millis)
            .unwrap_or(0)
    }
}

/// A speed that does not jump, to tell the time left by: it follows the measured one slowly.
#[derive(Debug, Default)]
pub struct Steady {
    rate: f64,
    weight: f64,
}

impl Steady {
    /// Over how many seconds a change is followed to two thirds.
    const SECONDS: f64 = 30.0;

    /// Takes in the speed of the last `seconds`.
    #[allow(clippy::cast_precision_loss)] // a speed is no account
    pub fn sample(&mut self, rate: u64, seconds: f64) {
        let share = 1.0 - (-seconds / Self::SECONDS).exp();
        self.rate += (rate as f64 - self.rate) * share;
        self.weight += (1.0 - self.weight) * share;
    }

    /// Seconds for these bytes, none of them sooner than the cap lets them go; `None` while nothing
    /// moves.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    pub fn seconds_for(&self, bytes: u64, cap: Bandwidth) -> Option<u64> {
        // What was not measured yet must not count as standing still.
        let rate = self.rate / self.weight.max(f64::MIN_POSITIVE);
        let held = match cap {
            Bandwidth::Unlimited => 0,
            Bandwidth::Limited(cap) => bytes.div_ceil(cap.get()),
        };
        (rate >= 1.0).then(|| held.max((bytes as f64 / rate).ceil() as u64))
    }
}

/// For how long something goes on that rests in between.
#[derive(Debug, Default)]
pub struct Stopwatch {
    total: Duration,
    /// When it was last seen to go on, if it was the last time.
    seen: Option<Instant>,
}

impl Stopwatch {
    /// Looks whether it goes on; answers how long it did since the last look.
    pub fn look(&mut self, now: Instant, goes_on: bool) -> Duration {
        let since = self.seen.map_or(Duration::ZERO, |seen| now - seen);
        self.seen = goes_on.then_some(now);
        self.total += since;
        since
    }

    /// How long it went on in all.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn limited(rate: u64) -> Bandwidth {
        Bandwidth::Limited(NonZeroU64::new(rate).unwrap())
    }

    #[test]
    fn what_is_left_takes_no_less_than_a_lowered_cap_lets_go() {
        let mut steady = Steady::default();
        assert_eq!(steady.seconds_for(1000, limited(10)), None);
        for _ in 0..60 {
            steady.sample(1000, 1.0);
        }
        assert_eq!(steady.seconds_for(10_000, Bandwidth::Unlimited), Some(10));
        assert_eq!(steady.seconds_for(10_000, limited(10)), Some(1000));
        // A cap that does not hold it back says nothing of how long it takes.
        assert_eq!(steady.seconds_for(10_000, limited(50_000)), Some(10));
    }

    #[test]
    fn a_rest_is_no_part_of_the_time_something_went_on() {
        let mut watch = Stopwatch::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let looks = [
            (0, false),
            (3600, true),
            (3610, true),
            (3612, false),
            (9000, true),
        ];
        let since = looks.map(|(seconds, goes_on)| watch.look(at(seconds), goes_on).as_secs());
        assert_eq!(since, [0, 0, 10, 2, 0]);
        assert_eq!(watch.total().as_secs(), 12);
    }
}
