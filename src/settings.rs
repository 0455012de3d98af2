//! What a person can tune while it runs, each as it is typed and saved: `"16MiB"`, `"auto"`, `"unlimited"`.

use std::{fmt, num::NonZeroU64, str::FromStr};

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// Everything that can be tuned while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The size of a part.
    pub part_size: PartSize,
    /// How many parts are sent at once, over all files.
    pub parts_in_flight: Concurrency,
    /// How many files are under way at once, at least 1.
    pub files_in_flight: u16,
    /// How many bytes a second may go out, over all parts.
    pub bandwidth: Bandwidth,
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
            retries: 8,
        }
    }
}

/// The most parts in flight that can be asked for.
pub const MOST_PARTS_IN_FLIGHT: u16 = 256;

/// Why a text is no value of a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct BadSetting {
    text: String,
    wanted: &'static str,
}

fn bad(text: &str, wanted: &'static str) -> BadSetting {
    BadSetting {
        text: crate::error::clean(text),
        wanted,
    }
}

fn bytes(text: &str, wanted: &'static str) -> Result<NonZeroU64, BadSetting> {
    let size: ByteSize = text.trim().parse().map_err(|_| bad(text, wanted))?;
    NonZeroU64::new(size.as_u64()).ok_or_else(|| bad(text, wanted))
}

/// Bytes in the largest binary unit that writes them exactly, so that nothing is lost in the text.
fn exact(f: &mut fmt::Formatter<'_>, bytes: u64) -> fmt::Result {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return write!(f, "{}{unit}", bytes >> shift);
        }
    }
    write!(f, "{bytes}B")
}

impl FromStr for PartSize {
    type Err = BadSetting;
    fn from_str(text: &str) -> Result<Self, BadSetting> {
        if text.trim().eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        bytes(text, "a part size such as 16MiB or auto").map(Self::Fixed)
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
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        match text.parse() {
            Ok(number @ 1..=MOST_PARTS_IN_FLIGHT) => Ok(Self::Fixed(number)),
            _ => Err(bad(text, "a number of parts from 1 to 256, or auto")),
        }
    }
}

impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(number) => write!(f, "{number}"),
        }
    }
}

impl FromStr for Bandwidth {
    type Err = BadSetting;
    fn from_str(text: &str) -> Result<Self, BadSetting> {
        if ["unlimited", "off", "none"]
            .iter()
            .any(|word| text.trim().eq_ignore_ascii_case(word))
        {
            return Ok(Self::Unlimited);
        }
        let number = text.trim().strip_suffix("/s").unwrap_or(text);
        bytes(number, "a bandwidth such as 20MiB/s or unlimited").map(Self::Limited)
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
                text.parse().map_err(serde::de::Error::custom)
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
        for text in ["auto", "16MiB", "5242881B", "3GiB"] {
            assert_eq!(text.parse::<PartSize>().unwrap().to_string(), text);
        }
        for text in ["unlimited", "20MiB/s", "1500B/s"] {
            assert_eq!(text.parse::<Bandwidth>().unwrap().to_string(), text);
        }
        for text in ["auto", "1", "256"] {
            assert_eq!(text.parse::<Concurrency>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_an_example_of_sense() {
        assert_eq!(
            "0".parse::<PartSize>().unwrap_err().to_string(),
            "\"0\" is not a part size such as 16MiB or auto"
        );
        for text in ["0", "257", "-1", "many"] {
            assert!(text.parse::<Concurrency>().is_err(), "{text}");
        }
        assert!("fast".parse::<Bandwidth>().is_err());
    }
}
