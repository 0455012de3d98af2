//! A `[destination.NAME]` table of the config: the keys that every kind has, and the way to those that
//! one kind has of its own. Knows no vendor; touches no file.

use std::{ops, path::PathBuf};

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};
use toml::{Spanned, de::DeTable};
use url::Url;

use super::{Limits, http, metadata};
use crate::{
    error::clean,
    format::{bytes, nearest},
};

/// A place in the text of the config, and what is wrong there.
pub type Complaint = (ops::Range<usize>, String);

/// The keys of one kind of destination, besides those of every kind ([`CommonOptions`]).
pub trait KindOptions: DeserializeOwned {
    /// What `kind` says.
    const KIND: &'static str;
    /// The keys that are required.
    const REQUIRED: &'static [&'static str];
    /// The keys that are optional.
    const OPTIONAL: &'static [&'static str];
    /// The vendor's limits, which hold where the config sets no others.
    const LIMITS: Limits;

    /// A common key that contradicts these options, and why.
    fn excludes(&self) -> Option<(&'static str, &'static str)> {
        None
    }
}

/// The keys that every kind of destination has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CommonOptions {
    /// The API's address, when it is not the vendor's own. Checked: https, or http where that is allowed.
    pub url: Option<Url>,
    /// Whether plain http is allowed beyond loopback.
    pub allow_http: bool,
    /// A PEM file with CAs that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// Sent with every create.
    pub metadata: Map<String, Value>,
    /// Limits other than the vendor's documented ones.
    pub limits: LimitOverrides,
}

/// The same as it is written in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommonKeys {
    url: Option<Spanned<String>>,
    #[serde(default)]
    allow_http: bool,
    ca: Option<PathBuf>,
    #[serde(default, deserialize_with = "metadata::from_toml")]
    metadata: Map<String, Value>,
    part_min: Option<Spanned<ByteSize>>,
    part_max: Option<Spanned<ByteSize>>,
    file_max: Option<Spanned<ByteSize>>,
}

impl CommonOptions {
    /// The keys, in the order in which they are listed to a person.
    pub const KEYS: &'static [&'static str] = &[
        "url",
        "allow_http",
        "ca",
        "metadata",
        "part_min",
        "part_max",
        "file_max",
    ];

    fn read(keys: CommonKeys, vendor: &Limits) -> Result<Self, Complaint> {
        let allow_http = keys.allow_http;
        let url = keys.url.map(|url| {
            http::base_url(url.get_ref(), allow_http).map_err(|error| (url.span(), error.message))
        });
        Ok(Self {
            url: url.transpose()?,
            allow_http,
            ca: keys.ca,
            metadata: keys.metadata,
            limits: LimitOverrides::read(&[keys.part_min, keys.part_max, keys.file_max], vendor)?,
        })
    }
}

/// Limits that a person set, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitOverrides {
    /// The smallest part.
    pub part_min: Option<u64>,
    /// The largest part.
    pub part_max: Option<u64>,
    /// The largest file.
    pub file_max: Option<u64>,
}

impl LimitOverrides {
    /// The limits that were set, where no part would have to be larger than the largest one, the
    /// vendor's own limits counted where none is set.
    fn read(sizes: &[Option<Spanned<ByteSize>>; 3], vendor: &Limits) -> Result<Self, Complaint> {
        for size in sizes.iter().flatten() {
            if size.get_ref().as_u64() == 0 {
                return Err((size.span(), "must be at least a byte".to_owned()));
            }
        }
        let size = |size: &Option<Spanned<ByteSize>>| size.as_ref().map(|it| it.get_ref().as_u64());
        let [part_min, part_max, file_max] = sizes;
        let limits = Self {
            part_min: size(part_min),
            part_max: size(part_max),
            file_max: size(file_max),
        };
        let smallest = limits.part_min.unwrap_or(vendor.part_min);
        let largest = limits.part_max.unwrap_or(vendor.part_max);
        if smallest <= largest {
            return Ok(limits);
        }
        let exact = bytes(smallest) == bytes(largest);
        let [smallest, largest] = [smallest, largest].map(|size| {
            if exact {
                format!("{size} B")
            } else {
                bytes(size)
            }
        });
        Err(match (part_min, part_max) {
            (Some(_), Some(at)) => (
                at.span(),
                format!(
                    "{largest} is less than part_min, {smallest}: allowed is {smallest} or more"
                ),
            ),
            (None, Some(at)) => (
                at.span(),
                format!(
                    "{largest} is less than the smallest part that the vendor documents: allowed is \
                     {smallest} or more, unless part_min is set too"
                ),
            ),
            (Some(at), None) => (
                at.span(),
                format!(
                    "{smallest} is more than the largest part that the vendor documents: allowed is \
                     up to {largest}, unless part_max is set too"
                ),
            ),
            (None, None) => return Ok(limits),
        })
    }

    /// Puts these in place of the vendor's. The default part size stays within them. A file that needs
    /// more parts than are allowed has no plan ([`Limits::plan`]).
    pub fn apply(&self, limits: &mut Limits) {
        limits.part_min = self.part_min.unwrap_or(limits.part_min);
        limits.part_max = self
            .part_max
            .unwrap_or(limits.part_max.max(limits.part_min));
        limits.part_min = limits.part_min.min(limits.part_max);
        limits.file_max = self.file_max.unwrap_or(limits.file_max);
        limits.part_default = limits.part_default.clamp(limits.part_min, limits.part_max);
    }
}

/// Reads a destination's table, whose `kind` names `K`. The common keys are taken out of it and the rest
/// is handed to `K`: `#[serde(flatten)]` would lose where in the text each value was.
///
/// # Errors
/// The first key that is unknown, missing, or holds what it may not.
pub fn read<K: KindOptions>(table: Spanned<DeTable<'_>>) -> Result<(CommonOptions, K), Complaint> {
    let whole = table.span();
    let table = table.into_inner();
    let known = |key: &str| key == "kind" || keys::<K>().any(|known| known == key);
    let unknown = table.keys().filter(|key| !known(key.get_ref()));
    if let Some(key) = unknown.min_by_key(|key| key.span().start) {
        return Err((key.span(), unknown_key::<K>(key.get_ref())));
    }
    let mut required = K::REQUIRED.iter();
    if let Some(key) = required.find(|key| !table.contains_key(**key)) {
        return Err((whole, format!("{key} is missing")));
    }
    let spans: Vec<(String, ops::Range<usize>)> = table
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), value.span()))
        .collect();
    let (mut common, mut own) = (DeTable::new(), DeTable::new());
    for (key, value) in table {
        let name = key.get_ref();
        if CommonOptions::KEYS.contains(&&**name) {
            common.insert(key, value);
        } else if name != "kind" {
            own.insert(key, value);
        }
    }
    let common = CommonOptions::read(deserialize(whole.clone(), common)?, &K::LIMITS)?;
    let own: K = deserialize(whole, own)?;
    if let Some((key, why)) = own.excludes()
        && let Some((_, span)) = spans.into_iter().find(|(name, _)| name == key)
    {
        return Err((span, why.to_owned()));
    }
    Ok((common, own))
}

/// All keys of a kind, in the order in which they are listed to a person; `kind` itself is not one.
pub fn keys<K: KindOptions>() -> impl Iterator<Item = &'static str> {
    let own = K::REQUIRED.iter().chain(K::OPTIONAL);
    own.chain(CommonOptions::KEYS).copied()
}

fn unknown_key<K: KindOptions>(key: &str) -> String {
    let all: Vec<&str> = keys::<K>().collect();
    let meant = nearest(key, all.iter().copied());
    let meant = meant.map_or_else(String::new, |key| format!(" Did you mean {key}?"));
    let kind = K::KIND;
    format!(
        "unknown field.{meant} A destination of kind = \"{kind}\" has the keys {}",
        all.join(", ")
    )
}

fn deserialize<T: DeserializeOwned>(
    whole: ops::Range<usize>,
    table: DeTable<'_>,
) -> Result<T, Complaint> {
    let table = Spanned::new(whole.clone(), table);
    T::deserialize(toml::de::Deserializer::from(table))
        .map_err(|error| (error.span().unwrap_or(whole), clean(error.message())))
}

/// For `#[serde(deserialize_with = …)]` on a text that may not be empty.
pub(super) fn filled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.trim().is_empty() {
        return Err(serde::de::Error::custom("is empty"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::{apivideo::ApiVideoConfig, jwplayer::JwPlayerConfig};

    /// The keys that serde itself knows of a struct, as it lists them for an unknown one.
    fn derived<T: DeserializeOwned>() -> Vec<String> {
        let error = toml::from_str::<T>("nonsense = 1").err().unwrap();
        let message = error.message().to_owned();
        let (_, expected) = message.split_once("expected").unwrap();
        let mut names: Vec<String> = expected
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }

    fn sorted(keys: impl IntoIterator<Item = &'static str>) -> Vec<String> {
        let mut keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
        keys.sort();
        keys
    }

    fn own<K: KindOptions>() -> Vec<String> {
        sorted(K::REQUIRED.iter().chain(K::OPTIONAL).copied())
    }

    #[test]
    fn the_keys_that_are_listed_are_those_that_are_read_and_the_readme_documents() {
        assert_eq!(
            derived::<CommonKeys>(),
            sorted(CommonOptions::KEYS.to_vec())
        );
        assert_eq!(derived::<JwPlayerConfig>(), own::<JwPlayerConfig>());
        assert_eq!(derived::<ApiVideoConfig>(), own::<ApiVideoConfig>());
        let readme = include_str!("../../README.md");
        let (_, config) = readme.split_once("## Config").unwrap();
        let all = keys::<JwPlayerConfig>().chain(keys::<ApiVideoConfig>());
        for key in all.filter(|key| *key != "metadata") {
            assert!(config.contains(&format!("{key} = ")), "{key}");
        }
    }

    #[test]
    fn limits_that_were_set_take_the_place_of_the_vendors_and_stay_in_order() {
        let vendor = Limits {
            part_min: 5,
            part_max: 200,
            part_default: 50,
            parts_max: 10_000,
            file_max: 1000,
            multiple_of: 1,
            uniform: false,
            ordered: false,
            first_alone: false,
            can_replan: true,
            parts_per_minute: None,
        };
        let applied = |part_min, part_max| {
            let mut limits = vendor.clone();
            let overrides = LimitOverrides {
                part_min,
                part_max,
                file_max: Some(2000),
            };
            overrides.apply(&mut limits);
            assert_eq!(limits.file_max, 2000);
            (limits.part_min, limits.part_default, limits.part_max)
        };
        assert_eq!(applied(None, None), (5, 50, 200));
        assert_eq!(applied(Some(60), None), (60, 60, 200));
        assert_eq!(applied(None, Some(3)), (3, 3, 3));
        assert_eq!(applied(Some(300), None), (300, 300, 300));
    }
}
