//! Finding how many parts at once the line takes, and finding it again when the line changes; pure.
//!
//! A climber: it raises the number while that brings more, steps back when it does not, holds for a
//! while, and tries again. Loss, timeouts and a destination that asks to wait take it down at once.

/// The number it begins with. On a line of 200 Mbit/s and 100 ms, four parts bring 185 Mbit/s once
/// they run and 8 fill it.
const FIRST: u16 = 8;

/// The most it takes by itself. Beyond this, more connections have never brought more.
const MOST: u16 = 32;

/// By how much more must come through for a higher number to be worth it, in hundredths.
const WORTH: u64 = 5;

/// By how much throughput must have changed, at the same number, for the line to be another one.
const OTHER_LINE: u64 = 30;

/// For how many looks it holds before it tries a higher number again.
const HOLD: u8 = 6;

/// What was seen since the last look, at a number that was used to the full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Bytes a second that came through.
    pub rate: u64,
    /// Whether connections broke or stalled, or the destination asked to wait.
    pub trouble: bool,
}

/// Finds the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuner {
    limit: u16,
    /// The last number that was worth it, and what came through at it.
    base: Option<(u16, u64)>,
    hold: u8,
    why: &'static str,
}

impl Default for Tuner {
    fn default() -> Self {
        Self {
            limit: FIRST,
            base: None,
            hold: 0,
            why: "looking for what the line takes",
        }
    }
}

impl Tuner {
    /// How many parts may be in flight now.
    #[must_use]
    pub fn limit(&self) -> u16 {
        self.limit
    }

    /// Why it is that number, in words.
    #[must_use]
    pub fn why(&self) -> &'static str {
        self.why
    }

    fn set(&mut self, limit: u16, hold: u8, why: &'static str) {
        self.limit = limit.clamp(1, MOST);
        self.hold = hold;
        self.why = why;
    }

    /// Takes in what was seen, and decides.
    pub fn look(&mut self, seen: Seen) {
        if seen.trouble {
            self.base = None;
            return self.set(
                self.limit - self.limit.div_ceil(4),
                HOLD,
                "fewer: connections broke",
            );
        }
        let Some((limit, rate)) = self.base else {
            if self.hold > 0 {
                self.hold -= 1;
                return;
            }
            return self.climb(seen.rate);
        };
        let worth = |percent: u64| rate.saturating_mul(100 + percent) / 100;
        if self.limit > limit {
            // This is a try. It was worth it, or it is taken back.
            return if seen.rate >= worth(WORTH) {
                self.climb(seen.rate);
            } else {
                self.base = Some((limit, rate.max(seen.rate)));
                self.set(limit, HOLD, "more brings no more");
            };
        }
        if seen.rate < rate.saturating_mul(100 - OTHER_LINE) / 100 {
            self.base = Some((limit, seen.rate));
            return self.set(self.limit, 1, "the line has become slower");
        }
        if seen.rate > worth(OTHER_LINE) {
            return self.climb(seen.rate);
        }
        // What came through last counts more than what once did.
        self.base = Some((limit, (rate * 3 + seen.rate) / 4));
        if self.hold > 0 {
            self.hold -= 1;
        } else {
            self.climb(seen.rate);
        }
    }

    /// Takes the present number as worth it, and tries a higher one.
    fn climb(&mut self, rate: u64) {
        self.base = Some((self.limit, rate));
        if self.limit < MOST {
            self.set(
                self.limit + self.limit.div_ceil(3),
                0,
                "trying whether more brings more",
            );
        } else {
            self.set(self.limit, HOLD, "the most that is sensible");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets it look so many times at a line that gives each part `each`, and all together `most`.
    fn run(tuner: &mut Tuner, looks: usize, each: u64, most: u64) {
        for _ in 0..looks {
            let rate = (u64::from(tuner.limit()) * each).min(most);
            tuner.look(Seen {
                rate,
                trouble: false,
            });
        }
    }

    #[test]
    fn a_line_that_takes_sixteen_parts_gets_about_as_many_within_a_few_looks() {
        let mut tuner = Tuner::default();
        run(&mut tuner, 8, 1_000_000, 16_000_000);
        assert!((16..=22).contains(&tuner.limit()), "{tuner:?}");
    }

    #[test]
    fn a_line_that_one_part_fills_is_not_crowded() {
        let mut tuner = Tuner::default();
        run(&mut tuner, 60, 20_000_000, 20_000_000);
        assert!(tuner.limit() <= FIRST + FIRST.div_ceil(3), "{tuner:?}");
    }

    #[test]
    fn a_line_that_becomes_faster_is_followed() {
        let mut tuner = Tuner::default();
        run(&mut tuner, 20, 1_000_000, 8_000_000);
        assert!(tuner.limit() <= 11, "{tuner:?}");
        run(&mut tuner, 12, 1_000_000, 30_000_000);
        assert!(tuner.limit() >= 24, "{tuner:?}");
    }

    #[test]
    fn trouble_takes_it_down_at_once_and_never_below_one() {
        let mut tuner = Tuner::default();
        run(&mut tuner, 10, 1_000_000, 20_000_000);
        let before = tuner.limit();
        tuner.look(Seen {
            rate: 1,
            trouble: true,
        });
        assert!(tuner.limit() <= before * 3 / 4);
        for _ in 0..50 {
            tuner.look(Seen {
                rate: 1,
                trouble: true,
            });
        }
        assert_eq!(tuner.limit(), 1);
        run(&mut tuner, 40, 1_000_000, 8_000_000);
        assert!(tuner.limit() >= 6, "{tuner:?}");
    }
}
