//! What a person can tune while it runs, each as it is typed and saved: `"16MiB"`, `"auto"`, `"unlimited"`.

mod timetable;

use std::{fmt, num::NonZeroU64, str::FromStr};

use bytesize::ByteSize;
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
    /// How often a part that failed is tried again before a person is asked.
    pub retries: u16,
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
            retries: 8,
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
    /// holds until that changes next.
    #[must_use]
    pub fn tuned(mut self, before: &Self, now: &Zoned) -> Self {
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

/// The most parts in flight that can be asked for.
pub const MOST_PARTS_IN_FLIGHT: u16 = 256;

/// Why a text is no value of a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is {why}")]
pub struct BadSetting {
    text: String,
    why: String,
}

fn bad(text: &str, wanted: &str) -> BadSetting {
    BadSetting {
        text: crate::error::clean(text),
        why: format!("not {wanted}"),
    }
}

/// The least number of bytes that is believed to be meant where no unit stands with it.
const LEAST_BARE: u64 = 1024;

fn bytes(text: &str, wanted: &str) -> Result<NonZeroU64, BadSetting> {
    let size: ByteSize = text.trim().parse().map_err(|_| bad(text, wanted))?;
    NonZeroU64::new(size.as_u64()).ok_or_else(|| bad(text, wanted))
}

/// The same, but no number without a unit that is too small to be meant: who types `16` means MiB.
fn typed_bytes(text: &str, wanted: &str, a_second: &str) -> Result<NonZeroU64, BadSetting> {
    let bytes = bytes(text, wanted)?;
    let number = text.trim();
    let bare = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if bare && bytes.get() < LEAST_BARE {
        return Err(BadSetting {
            text: crate::error::clean(number),
            why: format!(
                "only {bytes} byte{}{a_second}: was {number}MiB{a_second} meant?",
                if bytes.get() == 1 { "" } else { "s" }
            ),
        });
    }
    Ok(bytes)
}

/// Bytes in the largest unit that writes them exactly, binary before decimal, so that nothing is lost
/// in the text.
fn exact(f: &mut fmt::Formatter<'_>, bytes: u64) -> fmt::Result {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return write!(f, "{}{unit}", bytes >> shift);
        }
    }
    for (size, unit) in [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return write!(f, "{}{unit}", bytes / size);
        }
    }
    write!(f, "{bytes}B")
}

const PART_SIZE: &str = "a part size such as 16MiB or auto";

impl FromStr for PartSize {
    type Err = BadSetting;
    fn from_str(text: &str) -> Result<Self, BadSetting> {
        if text.trim().eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        typed_bytes(text, PART_SIZE, "").map(Self::Fixed)
    }
}

impl PartSize {
    /// As it was saved: whatever number stands there.
    fn saved(text: &str) -> Result<Self, BadSetting> {
        text.parse()
            .or_else(|_| bytes(text, PART_SIZE).map(Self::Fixed))
    }
}

impl fmt::Display for PartSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(size) => exact(f, size.get()),
        }
    }
}

impl FromStr for Concurrency {
    type Err = BadSetting;
    fn from_str(text: &str) -> Result<Self, BadSetting> {
        let text = text.trim();
        let wanted = "a number of parts from 1 to 256, auto, or auto:16 for at most so many";
        let number = |digits: &str| match digits.trim().parse() {
            Ok(number @ 1..=MOST_PARTS_IN_FLIGHT) => Ok(number),
            _ => Err(bad(text, wanted)),
        };
        match text.split_once(':') {
            None if text.eq_ignore_ascii_case("auto") => Ok(Self::Auto),
            None => number(text).map(Self::Fixed),
            Some((auto, most)) if auto.trim().eq_ignore_ascii_case("auto") => {
                number(most).map(Self::AutoUpTo)
            }
            Some(_) => Err(bad(text, wanted)),
        }
    }
}

impl Concurrency {
    fn saved(text: &str) -> Result<Self, BadSetting> {
        text.parse()
    }

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
}

impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::AutoUpTo(most) => write!(f, "auto:{most}"),
            Self::Fixed(number) => write!(f, "{number}"),
        }
    }
}

const BANDWIDTH: &str = "a bandwidth such as 20MiB/s or unlimited";

impl FromStr for Bandwidth {
    type Err = BadSetting;
    fn from_str(text: &str) -> Result<Self, BadSetting> {
        if ["unlimited", "off", "none"]
            .iter()
            .any(|word| text.trim().eq_ignore_ascii_case(word))
        {
            return Ok(Self::Unlimited);
        }
        typed_bytes(a_second(text), BANDWIDTH, "/s").map(Self::Limited)
    }
}

/// The bytes of a rate.
fn a_second(text: &str) -> &str {
    text.trim().strip_suffix("/s").unwrap_or(text)
}

impl Bandwidth {
    /// As it was saved: whatever number stands there.
    fn saved(text: &str) -> Result<Self, BadSetting> {
        text.parse()
            .or_else(|_| bytes(a_second(text), BANDWIDTH).map(Self::Limited))
    }
}

impl FromStr for BandwidthWish {
    type Err = BadRule;
    /// A rate, or the rules of a schedule with `;` between them.
    fn from_str(text: &str) -> Result<Self, BadRule> {
        match text.parse() {
            Ok(bandwidth) => Ok(Self::Always(bandwidth)),
            // Where no second rule and no day or time stands, a rate was meant.
            Err(bad) if !text.contains(';') && !text.trim().contains([' ', '-']) => {
                Err(BadRule::no_rate(&bad))
            }
            Err(_) => Timetable::parse(text.split(';')).map(Self::Scheduled),
        }
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::Limited(rate) => {
                exact(f, rate.get())?;
                f.write_str("/s")
            }
        }
    }
}

/// Serde by way of the text that a person types.
macro_rules! as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                /// A number is as good as the same number in quotes.
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Typed { Number(u64), Text(String) }
                let text = match Typed::deserialize(deserializer)? {
                    Typed::Number(number) => number.to_string(),
                    Typed::Text(text) => text,
                };
                Self::saved(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}
as_text!(PartSize, Concurrency, Bandwidth);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_typed_again() {
        for text in ["auto", "16MiB", "5242881B", "3GiB", "10MB"] {
            assert_eq!(text.parse::<PartSize>().unwrap().to_string(), text);
        }
        for text in ["unlimited", "20MiB/s", "1500B/s", "200kB/s", "3GB/s"] {
            assert_eq!(text.parse::<Bandwidth>().unwrap().to_string(), text);
        }
        for text in ["auto", "auto:16", "1", "256"] {
            assert_eq!(text.parse::<Concurrency>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_an_example_of_sense() {
        assert_eq!(
            "0".parse::<PartSize>().unwrap_err().to_string(),
            "\"0\" is not a part size such as 16MiB or auto"
        );
        for text in [
            "0", "257", "-1", "many", "auto:0", "auto:257", "auto:", "8:auto", "4:2",
        ] {
            assert!(text.parse::<Concurrency>().is_err(), "{text}");
        }
        let told = "auto:0".parse::<Concurrency>().unwrap_err().to_string();
        assert!(
            told.starts_with("\"auto:0\" is not a number of parts"),
            "{told}"
        );
        assert!("fast".parse::<Bandwidth>().is_err());
    }

    #[test]
    fn a_bare_number_too_small_to_be_meant_is_refused_with_what_may_be_meant() {
        assert_eq!(
            "16".parse::<PartSize>().unwrap_err().to_string(),
            "\"16\" is only 16 bytes: was 16MiB meant?"
        );
        assert_eq!(
            "1".parse::<PartSize>().unwrap_err().to_string(),
            "\"1\" is only 1 byte: was 1MiB meant?"
        );
        for text in ["16", "16/s", " 16 "] {
            assert_eq!(
                text.parse::<Bandwidth>().unwrap_err().to_string(),
                "\"16\" is only 16 bytes/s: was 16MiB/s meant?"
            );
        }
        for text in ["16B", "1024", "5242880", "1KiB"] {
            assert!(text.parse::<PartSize>().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_session_is_read_whatever_numbers_it_was_saved_with() {
        let read: Settings = toml::from_str("part_size = 16\nbandwidth = \"16\"\n").unwrap();
        assert_eq!(read.part_size.to_string(), "16B");
        assert_eq!(read.bandwidth.to_string(), "16B/s");
    }

    fn at(time: &str) -> Zoned {
        let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let time: jiff::civil::DateTime = time.parse().unwrap();
        time.to_zoned(zone).unwrap()
    }

    /// Settings with 2 MiB/s by day and no cap by night, as they are at this time.
    fn scheduled(now: &str) -> Settings {
        let mut settings = Settings::default();
        settings.wish_bandwidth("08:00-18:00 2MiB/s; unlimited".parse().unwrap());
        settings.keep_to_schedule(&at(now));
        settings
    }

    #[test]
    fn what_is_set_by_hand_holds_until_the_schedule_changes_next() {
        let before = scheduled("2026-11-26T10:00");
        assert_eq!(before.bandwidth.to_string(), "2MiB/s");
        let wanted = Settings {
            bandwidth: "4MiB/s".parse().unwrap(),
            ..before.clone()
        };
        let mut now = wanted.tuned(&before, &at("2026-11-26T10:00"));
        let evening = at("2026-11-26T18:00").timestamp();
        assert_eq!(now.by_hand_until, Some(evening));
        // Other settings may be tuned meanwhile.
        let before = now.clone();
        now.retries = 3;
        now = now.tuned(&before, &at("2026-11-26T11:00"));
        assert_eq!(
            now.keep_to_schedule(&at("2026-11-26T17:59:59")),
            Some(evening)
        );
        assert_eq!(now.bandwidth.to_string(), "4MiB/s");
        now.keep_to_schedule(&at("2026-11-26T18:00"));
        assert_eq!(
            (now.bandwidth, now.by_hand_until),
            (Bandwidth::Unlimited, None)
        );
    }

    #[test]
    fn who_sets_by_hand_what_the_schedule_says_is_back_with_the_schedule() {
        let before = scheduled("2026-11-26T10:00");
        let by_hand = |bandwidth: &str, before: &Settings| {
            let wanted = Settings {
                bandwidth: bandwidth.parse().unwrap(),
                ..before.clone()
            };
            wanted.tuned(before, &at("2026-11-26T10:00"))
        };
        let other = by_hand("4MiB/s", &before);
        assert!(other.by_hand_until.is_some());
        assert_eq!(by_hand("2MiB/s", &other), before);
    }

    #[test]
    fn a_clock_that_is_set_back_brings_what_the_schedule_says_then() {
        let mut settings = scheduled("2026-11-26T19:00");
        settings.keep_to_schedule(&at("2026-11-26T17:00"));
        assert_eq!(settings.bandwidth.to_string(), "2MiB/s");
        // What was set by hand on a clock that was years ahead does not hold for years.
        let before = scheduled("2036-11-26T10:00");
        let wanted = Settings {
            bandwidth: "4MiB/s".parse().unwrap(),
            ..before.clone()
        };
        let mut settings = wanted.tuned(&before, &at("2036-11-26T10:00"));
        settings.keep_to_schedule(&at("2026-11-26T10:00"));
        settings.keep_to_schedule(&at("2026-11-26T18:00"));
        assert_eq!(settings.bandwidth, Bandwidth::Unlimited);
    }

    #[test]
    fn a_schedule_and_what_was_set_by_hand_are_read_back_as_they_were_saved() {
        let mut settings = scheduled("2026-11-26T10:00");
        settings.by_hand_until = Some(at("2026-11-26T18:00").timestamp());
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(
            toml::from_str::<Settings>(&text).unwrap(),
            settings,
            "{text}"
        );
        let plain = toml::to_string(&Settings::default()).unwrap();
        assert!(!plain.contains("schedule"), "{plain}");
    }
}
