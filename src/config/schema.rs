//! The config file's shape, and the way from text to [`Config`]; touches no file.

use std::{collections::BTreeMap, fmt::Display, ops, path::Path, str::FromStr};

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, de};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use url::{Host, Url};

use super::{
    Auth, BadConfig, Config, DestinationConfig, FPS, Kind, LimitOverrides, Range, SANDBOX, Ui,
    source::{Source, resolve},
};
use crate::{
    error::clean,
    settings::{BandwidthWish, Concurrency, PartSize, Settings, Timetable},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Option<Spanned<String>>,
    #[serde(default)]
    destination: BTreeMap<String, Spanned<Destination>>,
    defaults: Option<Spanned<Defaults>>,
    #[serde(default)]
    keys: toml::Table,
    ui: Option<Spanned<Ui>>,
}

/// What a new session begins with, as a person writes it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Defaults {
    part_size: Option<Typed<PartSize>>,
    parts_in_flight: Option<Typed<Concurrency>>,
    files_in_flight: Option<u16>,
    bandwidth: Option<Wished>,
    retries: Option<u16>,
}

impl Defaults {
    fn settings(self) -> Settings {
        let usual = Settings::default();
        let mut settings = Settings {
            part_size: self.part_size.map_or(usual.part_size, |typed| typed.0),
            parts_in_flight: self
                .parts_in_flight
                .map_or(usual.parts_in_flight, |typed| typed.0),
            files_in_flight: self.files_in_flight.unwrap_or(usual.files_in_flight),
            retries: self.retries.unwrap_or(usual.retries),
            ..usual
        };
        if let Some(Wished(wish)) = self.bandwidth {
            settings.wish_bandwidth(wish);
        }
        settings
    }
}

/// What is written as a text or a number, and understood as if it were typed.
struct Typed<T>(T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Typed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A bandwidth, or the rules of a schedule as a list.
struct Wished(BandwidthWish);

impl<'de> Deserialize<'de> for Wished {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Rules(Vec<String>),
            One(toml::Value),
        }
        let wish = match Written::deserialize(deserializer)? {
            Written::Rules(rules) => Timetable::parse(rules).map(BandwidthWish::Scheduled),
            Written::One(toml::Value::String(text)) => text.parse(),
            Written::One(other) => other.to_string().parse(),
        };
        wish.map(Self).map_err(de::Error::custom)
    }
}

/// All that a destination of any kind may say. One flat table instead of one for each kind: an enum
/// that serde tags forgets where in the text it was.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Destination {
    kind: KindName,
    url: Option<Spanned<String>>,
    #[serde(default)]
    allow_http: bool,
    ca: Option<String>,
    #[serde(default)]
    metadata: toml::Table,
    part_min: Option<Spanned<ByteSize>>,
    part_max: Option<Spanned<ByteSize>>,
    file_max: Option<Spanned<ByteSize>>,
    site_id: Option<Spanned<String>>,
    secret: Option<Spanned<Source>>,
    calls_per_minute: Option<Spanned<u32>>,
    api_key: Option<Spanned<Source>>,
    sandbox: Option<Spanned<bool>>,
    range: Option<Spanned<Range>>,
    auth: Option<Spanned<Auth>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindName {
    JwPlayer,
    ApiVideo,
}

impl KindName {
    fn word(self) -> &'static str {
        match self {
            Self::JwPlayer => "jwplayer",
            Self::ApiVideo => "apivideo",
        }
    }
}

/// Words about a place in the text.
type Complaint = (ops::Range<usize>, String);

pub(super) fn parse(text: &str, file: &Path) -> Result<Config, BadConfig> {
    let place = |(span, words): Complaint| BadConfig {
        file: Some(file.to_path_buf()),
        place: Some(line_and_column(text, span.start)),
        key: key_at(text, &span),
        words,
    };
    let parsed: File = toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        place((span, clean(error.message())))
    })?;
    read(parsed, file).map_err(place)
}

fn read(parsed: File, file: &Path) -> Result<Config, Complaint> {
    let mut destinations = BTreeMap::new();
    for (name, destination) in parsed.destination {
        let span = destination.span();
        if name == SANDBOX {
            let words =
                format!("the name {SANDBOX:?} is taken by the embedded one: choose another");
            return Err((span, words));
        }
        let destination = read_destination(&name, destination, file)?;
        destinations.insert(name, destination);
    }
    if let Some(default) = &parsed.default
        && !destinations.contains_key(default.get_ref())
        && default.get_ref() != SANDBOX
    {
        let words = format!("there is no [destination.{}]", clean(default.get_ref()));
        return Err((default.span(), words));
    }
    if let Some(settings) = &parsed.defaults
        && settings.get_ref().files_in_flight == Some(0)
    {
        let words = "files_in_flight must be at least 1".to_owned();
        return Err((settings.span(), words));
    }
    if let Some(ui) = &parsed.ui
        && ui.get_ref().fps.is_some_and(|fps| !FPS.contains(&fps))
    {
        let words = format!("fps must be from {} to {}", FPS.start(), FPS.end());
        return Err((ui.span(), words));
    }
    Ok(Config {
        file: file.to_path_buf(),
        destinations,
        default: parsed.default.map(Spanned::into_inner),
        settings: parsed
            .defaults
            .map(Spanned::into_inner)
            .unwrap_or_default()
            .settings(),
        keys: parsed.keys,
        ui: parsed.ui.map(Spanned::into_inner).unwrap_or_default(),
        warnings: Vec::new(),
    })
}

fn read_destination(
    name: &str,
    spanned: Spanned<Destination>,
    file: &Path,
) -> Result<DestinationConfig, Complaint> {
    let whole = spanned.span();
    let raw = spanned.into_inner();
    let folder = file.parent().unwrap_or(Path::new(""));
    let home = etcetera::home_dir().ok();
    let missing = |key: &str| (whole.clone(), format!("{key} is missing"));
    let foreign =
        |span: ops::Range<usize>| (span, format!("is no key of kind = {:?}", raw.kind.word()));
    let url = raw
        .url
        .as_ref()
        .map(|url| read_url(url, raw.allow_http))
        .transpose()?;
    let limits = read_limits(&raw)?;
    let kind = match raw.kind {
        KindName::JwPlayer => {
            let spans = [
                raw.api_key.as_ref().map(Spanned::span),
                raw.sandbox.as_ref().map(Spanned::span),
                raw.range.as_ref().map(Spanned::span),
                raw.auth.as_ref().map(Spanned::span),
            ];
            if let Some(span) = spans.into_iter().flatten().next() {
                return Err(foreign(span));
            }
            Kind::JwPlayer {
                site_id: filled(raw.site_id.ok_or_else(|| missing("site_id"))?)?,
                secret: raw
                    .secret
                    .ok_or_else(|| missing("secret"))?
                    .into_inner()
                    .within(folder, home.as_deref()),
                calls_per_minute: raw.calls_per_minute.map(Spanned::into_inner),
            }
        }
        KindName::ApiVideo => {
            let spans = [
                raw.site_id.as_ref().map(Spanned::span),
                raw.secret.as_ref().map(Spanned::span),
                raw.calls_per_minute.as_ref().map(Spanned::span),
            ];
            if let Some(span) = spans.into_iter().flatten().next() {
                return Err(foreign(span));
            }
            let sandbox = raw.sandbox.is_some_and(Spanned::into_inner);
            if let (true, Some(url)) = (sandbox, &raw.url) {
                let words = "sandbox = true names the vendor's sandbox: leave out one of both";
                return Err((url.span(), words.to_owned()));
            }
            Kind::ApiVideo {
                api_key: raw
                    .api_key
                    .ok_or_else(|| missing("api_key"))?
                    .into_inner()
                    .within(folder, home.as_deref()),
                sandbox,
                range: raw.range.map(Spanned::into_inner).unwrap_or_default(),
                auth: raw.auth.map(Spanned::into_inner).unwrap_or_default(),
            }
        }
    };
    Ok(DestinationConfig {
        name: name.to_owned(),
        kind,
        url,
        ca: raw
            .ca
            .map(|ca| resolve(Path::new(&ca), folder, home.as_deref())),
        metadata: raw
            .metadata
            .into_iter()
            .map(|(key, value)| (key, json(value)))
            .collect(),
        limits,
    })
}

fn filled(text: Spanned<String>) -> Result<String, Complaint> {
    if text.get_ref().trim().is_empty() {
        return Err((text.span(), "is empty".to_owned()));
    }
    Ok(text.into_inner())
}

fn read_limits(raw: &Destination) -> Result<LimitOverrides, Complaint> {
    let bytes = |size: &Option<Spanned<ByteSize>>| match size {
        Some(size) if size.get_ref().as_u64() == 0 => {
            Err((size.span(), "must be at least a byte".to_owned()))
        }
        size => Ok(size.as_ref().map(|size| size.get_ref().as_u64())),
    };
    let limits = LimitOverrides {
        part_min: bytes(&raw.part_min)?,
        part_max: bytes(&raw.part_max)?,
        file_max: bytes(&raw.file_max)?,
    };
    match (limits.part_min, limits.part_max, &raw.part_max) {
        (Some(min), Some(max), Some(at)) if min > max => {
            Err((at.span(), "is less than part_min".to_owned()))
        }
        _ => Ok(limits),
    }
}

/// The address, if a secret may be sent there.
fn read_url(text: &Spanned<String>, allow_http: bool) -> Result<Url, Complaint> {
    let complain = |words: &str| (text.span(), words.to_owned());
    let url =
        Url::parse(text.get_ref()).map_err(|error| complain(&format!("is no address: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(complain("an address holds no user or password here"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(complain("an address has no ? or # here"));
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(complain("the address names no host")),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback || allow_http => Ok(url),
        "http" => Err(complain(
            "http would send the secret in the clear: use https, or allow_http = true",
        )),
        _ => Err(complain("only https and http are known")),
    }
}

/// Dates become text, as JSON has none.
fn json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(yes) => yes.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(json).collect(),
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(key, value)| (key, json(value)))
            .collect(),
    }
}

/// Line and column from 1, in characters.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at)];
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// The key that a place in the text belongs to, with its tables; empty where it is none's, or where
/// the text is no TOML.
fn key_at(text: &str, span: &ops::Range<usize>) -> String {
    let mut path: Vec<String> = Vec::new();
    let Ok(root) = DeTable::parse(text) else {
        return String::new();
    };
    let mut table = root.get_ref();
    'deeper: loop {
        for (key, value) in table {
            let here = within(&key.span(), span) || within(&value.span(), span);
            match value.get_ref() {
                DeValue::Table(inner) if here || holds(inner, span) => {
                    path.push(key.get_ref().to_string());
                    table = inner;
                    continue 'deeper;
                }
                _ if here => {
                    path.push(key.get_ref().to_string());
                    return path.join(".");
                }
                _ => {}
            }
        }
        return path.join(".");
    }
}

fn within(outer: &ops::Range<usize>, inner: &ops::Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Whether a place lies in this table, whose own span is no more than its header.
fn holds(table: &DeTable<'_>, span: &ops::Range<usize>) -> bool {
    table.iter().any(|(key, value)| {
        within(&key.span(), span)
            || within(&value.span(), span)
            || matches!(value.get_ref(), DeValue::Table(inner) if holds(inner, span))
    })
}
