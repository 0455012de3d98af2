//! Settings as texts: as a person types them, as they are shown, and as they are saved.

use std::{fmt, num::NonZeroU64, str::FromStr};

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    BadRule, Bandwidth, BandwidthWish, Concurrency, MOST_PARTS_IN_FLIGHT, Offline, PartSize,
    Timetable,
};

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

impl FromStr for Offline {
    type Err = BadSetting;
    fn from_str(text: &str) -> Result<Self, BadSetting> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("fail") {
            return Ok(Self::Fail);
        }
        let wanted = "a time such as 24h or 30m, or fail";
        let time = humantime::parse_duration(text).map_err(|_| bad(text, wanted))?;
        Ok(Self::For(time))
    }
}

impl Offline {
    fn saved(text: &str) -> Result<Self, BadSetting> {
        text.parse()
    }
}

impl fmt::Display for Offline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail => f.write_str("fail"),
            Self::For(time) => humantime::format_duration(*time).fmt(f),
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
as_text!(PartSize, Concurrency, Bandwidth, Offline);
