//! What a person can tune while it runs, each as it is typed and saved: `"16MiB"`, `"auto"`, `"unlimited"`.
//!
//! Here is what can be set; `text` has how it is typed and saved, `timetable` a schedule's rules.

mod text;
mod timetable;

use std::{num::NonZeroU64, time::Duration};

use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

pub use text::BadSetting;
pub use timetable::{BadRule, Said, Timetable};

/// The size of a part: chosen for each file, or one for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartSize {
    /// Chosen for each file from its size and the destination's limits.
    #[default]
    Auto,
    /// This many bytes, within the destination's limits.
    Fixed(NonZeroU64),
}

/// How many parts are sent at once: found by watching the line, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// Found by watching the line.
    Auto,
    /// Found by watching the line, and never more than this, at least 1.
    AutoUpTo(u16),
    /// This many, at least 1.
    Fixed(u16),
}

impl Concurrency {
    /// The number that was set, where it is not to be found by watching.
    #[must_use]
    pub fn fixed(self) -> Option<u16> {
        match self {
            Self::Auto | Self::AutoUpTo(_) => None,
            Self::Fixed(number) => Some(number),
        }
    }

    /// The most that may be found by watching, where a person said so.
    #[must_use]
    pub fn most(self) -> Option<u16> {
        match self {
            Self::AutoUpTo(most) => Some(most),
            Self::Auto | Self::Fixed(_) => None,
        }
    }

    /// How many there can be at the most.
    #[must_use]
    pub fn bound(self) -> u16 {
        match self {
            Self::Fixed(number) => number,
            Self::AutoUpTo(most) => most.min(MOST_PARTS_BY_ITSELF),
            Self::Auto => MOST_PARTS_BY_ITSELF,
        }
    }
}

/// The most parts in flight that are tried without being asked for.
pub const MOST_PARTS_BY_ITSELF: u16 = 32;

/// The most parts in flight that can be asked for.
pub const MOST_PARTS_IN_FLIGHT: u16 = 256;

/// How many bytes a second may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bandwidth {
    /// As many as the line takes.
    #[default]
    Unlimited,
    /// At most this many bytes a second.
    Limited(NonZeroU64),
}

/// How many bytes a second may go out, as a person says it: one cap for good, or a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BandwidthWish {
    /// This, until it is changed.
    Always(Bandwidth),
    /// What the schedule says.
    Scheduled(Timetable),
}

/// How long a host, a disk or a folder that does not answer is waited for, from its last good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offline {
    /// Not at all: what needs it fails.
    Fail,
    /// This long.
    For(Duration),
}

impl Offline {
    /// How long that is.
    #[must_use]
    pub fn longest(self) -> Duration {
        match self {
            Self::Fail => Duration::ZERO,
            Self::For(duration) => duration,
        }
    }

    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Offline {
    fn default() -> Self {
        Self::For(Duration::from_hours(24))
    }
}

/// Everything that can be tuned while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The size of a part.
    pub part_size: PartSize,
    /// How many parts are sent at once, over all files.
    pub parts_in_flight: Concurrency,
    /// How many files are under way at once, at least 1.
    pub files_in_flight: u16,
    /// How many bytes a second may go out, over all parts. With a schedule, what is in force now: the
    /// schedule's word, or a person's until [`Self::by_hand_until`].
    pub bandwidth: Bandwidth,
    /// What the bandwidth is to be at which time of the week; empty: always the same.
    #[serde(skip_serializing_if = "Timetable::is_empty")]
    pub schedule: Timetable,
    /// Until when the bandwidth that a person set by hand goes before the schedule's. The engine
    /// sets this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_hand_until: Option<Timestamp>,
    /// The largest part in bytes that the destination is known to take, where it refused a larger one. The
    /// engine sets this; a part size that a person sets anew is tried as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_most: Option<u64>,
    /// How often a part that failed is tried again before a person is asked.
    pub retries: u16,
    /// How long a host, a disk or a folder that does not answer is waited for.
    #[serde(skip_serializing_if = "Offline::is_usual")]
    pub offline: Offline,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            part_size: PartSize::Auto,
            parts_in_flight: Concurrency::Auto,
            files_in_flight: 2,
            bandwidth: Bandwidth::Unlimited,
            schedule: Timetable::default(),
            by_hand_until: None,
            part_most: None,
            retries: 8,
            offline: Offline::default(),
        }
    }
}

impl Settings {
    /// What a person wishes the bandwidth to be takes the place of what was set before.
    pub fn wish_bandwidth(&mut self, wish: BandwidthWish) {
        (self.bandwidth, self.schedule) = match wish {
            BandwidthWish::Always(bandwidth) => (bandwidth, Timetable::default()),
            // What the schedule says now is for whoever has a clock: `keep_to_schedule`.
            BandwidthWish::Scheduled(schedule) => (self.bandwidth, schedule),
        };
        self.by_hand_until = None;
    }

    /// Puts in force what the schedule says now, unless what a person set by hand still holds. Answers
    /// until when the bandwidth stays what it is; `None` without a schedule, or with one that never
    /// changes.
    pub fn keep_to_schedule(&mut self, now: &Zoned) -> Option<Timestamp> {
        if self.schedule.is_empty() {
            self.by_hand_until = None;
            return None;
        }
        let said = self.schedule.at(now);
        let next = said.until.unwrap_or(Timestamp::MAX);
        // A clock that was set back may have brought a nearer change before the one that was meant.
        let held = self.by_hand_until.map(|until| until.min(next));
        self.by_hand_until = held.filter(|until| *until > now.timestamp());
        if self.by_hand_until.is_none() {
            self.bandwidth = said.cap;
        }
        said.until
    }

    /// These settings in place of those `before`: a bandwidth that was changed against the schedule
    /// holds until that changes next, and what is known of the largest part until its size is another.
    #[must_use]
    pub fn tuned(mut self, before: &Self, now: &Zoned) -> Self {
        let is_resized = self.part_size != before.part_size;
        self.part_most = before.part_most.filter(|_| !is_resized);
        self.by_hand_until = if self.schedule != before.schedule {
            None
        } else if self.bandwidth == before.bandwidth {
            before.by_hand_until
        } else {
            let said = self.schedule.at(now);
            (said.cap != self.bandwidth).then_some(said.until.unwrap_or(Timestamp::MAX))
        };
        self.keep_to_schedule(now);
        self
    }
}

#[cfg(test)]
mod tests;
