//! Finding how many parts at once the line takes, and finding it again when the line changes; pure,
//! the clock is handed in.
//!
//! A climber: it tries more, and goes on while that brings more; it tries fewer, and stays there while
//! that brings no less. What fails is taken back, and tried again ever more rarely. Loss, timeouts and
//! a destination that asks to wait take it down at once, and so does a line that has become so slow
//! that parts would take minutes.

mod watch;

use std::time::Duration;

use tokio::time::Instant;

pub use watch::{Sample, steady};
use watch::{Seen, Watch};

use crate::settings::MOST_PARTS_BY_ITSELF;

/// The number it begins with. On a line of 200 Mbit/s and 100 ms, four parts bring 185 Mbit/s once
/// they run and 8 fill it; more get there sooner from a standing start.
const FIRST: u16 = 12;

/// The most it takes by itself. Beyond this, more connections have never brought more.
const MOST: u16 = MOST_PARTS_BY_ITSELF;

/// By how much more must come through for a higher number to be worth it, in hundredths.
const WORTH: u64 = 5;

/// By how much less may come through for a lower number to do as well, in hundredths; it is lower by
/// a quarter …
const AS_WELL: u64 = 4;

/// … or, where parts take long, by up to a half.
const AS_WELL_SHORTER: u64 = 20;

/// By how much throughput must have changed, at the same number, for the line to be another one.
const OTHER_LINE: u64 = 30;

/// For how many looks it holds before it tries another number again, at first …
const HOLD: u8 = 6;

/// … and after many tries that were in vain.
const LONGEST_HOLD: u8 = 24;

/// A part that takes longer than this costs much when it fails: fewer at once are each sooner there.
const LONG: Duration = Duration::from_secs(30);

/// Finds the number.
#[derive(Debug)]
pub struct Tuner {
    limit: u16,
    /// The most it takes.
    most: u16,
    /// The last number that was worth it, and what came through at it.
    base: Option<(u16, u64)>,
    hold: u8,
    /// For how long it holds after the next try that is in vain.
    patience: u8,
    /// Whether the next try is of fewer.
    fewer: bool,
    why: &'static str,
    watch: Option<Watch>,
}

impl Default for Tuner {
    fn default() -> Self {
        Self {
            limit: FIRST,
            most: MOST,
            base: None,
            hold: 0,
            patience: HOLD,
            fewer: false,
            why: "looking for what the line takes",
            watch: None,
        }
    }
}

impl Tuner {
    /// One that never takes more than this, where a person said so.
    #[must_use]
    pub fn within(most: Option<u16>) -> Self {
        let mut tuner = Self::default();
        tuner.keep_within(most);
        tuner
    }

    /// Takes no more than this from now on; without a word from a person, no more than is sensible.
    pub fn keep_within(&mut self, most: Option<u16>) {
        let most = most.unwrap_or(MOST).clamp(1, MOST);
        if self.most == most {
            return;
        }
        self.most = most;
        if self.limit > most {
            // What was found beyond it counts no more.
            self.base = None;
            self.watch = None;
            self.found();
            self.set(most, 0, self.why_no_more());
        }
    }

    fn why_no_more(&self) -> &'static str {
        if self.most < MOST {
            "the most that was allowed"
        } else {
            "the most that is sensible"
        }
    }

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

    /// A part of so many bytes arrived.
    pub fn arrived(&mut self, now: Instant, bytes: u64) {
        if let Some(watch) = &mut self.watch {
            watch.arrived(now, bytes, self.limit);
        }
    }

    /// A connection broke or stalled, or the destination asked to wait.
    pub fn stumbled(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.trouble = true;
        }
    }

    /// Forgets what is being watched: the number was not ours meanwhile.
    pub fn look_away(&mut self) {
        self.watch = None;
    }

    /// Takes in how things are now, and decides when enough was seen. To be called often.
    pub fn tick(&mut self, now: Instant, sample: Sample) {
        let Some(watch) = &mut self.watch else {
            self.watch = Some(Watch::new(now, sample));
            return;
        };
        match watch.see(now, sample, self.limit) {
            Seen::NotYet => return,
            Seen::Nothing => {}
            Seen::Trouble => self.back_off(),
            // That less comes through tells of the line even so, and landing may take minutes.
            Seen::Crowded(rate) if !self.is_slower(rate) => {}
            Seen::Rate(rate) | Seen::Crowded(rate) => {
                let together = sample.length * u64::from(self.limit);
                let part = together.checked_div(rate).unwrap_or(u64::MAX);
                self.judge(rate, Duration::from_secs(part));
            }
        }
        self.watch = Some(Watch::new(now, sample));
    }

    fn set(&mut self, limit: u16, hold: u8, why: &'static str) {
        self.limit = limit.clamp(1, self.most);
        self.hold = hold;
        self.why = why;
    }

    fn back_off(&mut self) {
        self.base = None;
        self.found();
        let fewer = self.limit - self.limit.div_ceil(4);
        self.set(fewer, 2, "fewer: connections broke");
    }

    /// Whether the line is another one than it was at the present number, and a slower one.
    fn is_slower(&self, rate: u64) -> bool {
        self.base.is_some_and(|(limit, before)| {
            limit == self.limit && rate < before.saturating_mul(100 - OTHER_LINE) / 100
        })
    }

    /// The number at which a part would not take long, should as much come through then.
    fn short_enough(&self, part: Duration) -> u16 {
        let number = u64::from(self.limit) * LONG.as_secs() / part.as_secs().max(1);
        u16::try_from(number).unwrap_or(u16::MAX).max(1)
    }

    /// Decides, knowing what came through at the present number and how long each part took.
    fn judge(&mut self, rate: u64, part: Duration) {
        let Some((limit, before)) = self.base else {
            if self.hold > 0 {
                self.hold -= 1;
            } else if part > LONG {
                self.try_fewer(rate, part);
            } else {
                self.try_more(rate);
            }
            return;
        };
        let share = |percent: u64| before.saturating_mul(percent) / 100;
        if self.limit > limit {
            // This is a try of more. It was worth it, or it is taken back.
            return if rate >= share(100 + WORTH) {
                self.found();
                self.climb(rate, rate >= share(100 + OTHER_LINE));
            } else {
                self.take_back(limit, before.max(rate), "more bring no more");
            };
        }
        if rate > share(100 + OTHER_LINE) {
            self.found();
            return self.climb(rate, true);
        }
        if self.limit < limit {
            let as_well = if self.limit < limit - limit.div_ceil(4) {
                AS_WELL_SHORTER
            } else {
                AS_WELL
            };
            return if rate < share(100 - as_well) {
                self.take_back(limit, before, "fewer bring less");
            } else if part > LONG && self.limit > 1 {
                self.found();
                self.try_fewer(before.max(rate), part);
            } else {
                self.found();
                self.base = Some((self.limit, before.max(rate)));
                self.set(self.limit, HOLD, "fewer do as well");
            };
        }
        if self.is_slower(rate) {
            self.found();
            // This look may have seen both lines: the next one tells.
            self.base = None;
            return self.set(limit, 0, "the line has become slower");
        }
        // What came through last counts more than what once did.
        let rate = (before * 3 + rate) / 4;
        self.base = Some((limit, rate));
        if self.hold > 0 {
            self.hold -= 1;
        } else if self.fewer && limit > 1 {
            self.try_fewer(rate, part);
        } else {
            self.try_more(rate);
        }
    }

    /// The line showed something new: what was in vain before need not be now.
    fn found(&mut self) {
        self.patience = HOLD;
    }

    fn take_back(&mut self, limit: u16, rate: u64, why: &'static str) {
        self.base = Some((limit, rate));
        self.set(limit, self.patience, why);
        self.patience = (self.patience * 2).min(LONGEST_HOLD);
    }

    fn try_more(&mut self, rate: u64) {
        self.climb(rate, false);
    }

    /// Takes the present number as worth it, and tries a higher one; twice as many where the last
    /// step showed that the line has much room.
    fn climb(&mut self, rate: u64, much: bool) {
        self.base = Some((self.limit, rate));
        self.fewer = true;
        if self.limit < self.most {
            let step = if much { 1 } else { 3 };
            self.set(
                self.limit + self.limit.div_ceil(step),
                0,
                "trying whether more bring more",
            );
        } else {
            self.set(self.limit, HOLD, self.why_no_more());
        }
    }

    /// Takes the present number as known, and tries a lower one; a much lower one where parts take
    /// long.
    fn try_fewer(&mut self, rate: u64, part: Duration) {
        self.base = Some((self.limit, rate));
        self.fewer = false;
        let gently = self.limit - self.limit.div_ceil(4);
        let (fewer, why) = if part > LONG {
            let short = self.short_enough(part).max(self.limit / 2);
            (short.min(gently), "fewer: parts take long")
        } else {
            (gently, "trying whether fewer do as well")
        };
        self.set(fewer, 0, why);
    }
}

#[cfg(test)]
mod tests;
