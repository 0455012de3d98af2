//! The config file's shape, and the way from text to [`Config`]; touches no file. What a
//! destination's table may say is its kind's own business ([`options`]).

use std::{
    collections::BTreeMap,
    fmt::Display,
    ops,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{BadConfig, Config, DestinationConfig, FPS, Kind, SANDBOX, Ui};
use crate::{
    destination::{
        apivideo::ApiVideoConfig,
        jwplayer::JwPlayerConfig,
        options::{self, Complaint, KindOptions as _},
    },
    error::clean,
    secret::resolve,
    settings::{BandwidthWish, Concurrency, Offline, PartSize, Settings, Timetable},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Option<Spanned<String>>,
    /// Read by each destination's own kind ([`read_destinations`]); here it is only a known key.
    #[serde(default, rename = "destination")]
    _destination: IgnoredAny,
    defaults: Option<Spanned<Defaults>>,
    #[serde(default)]
    keys: toml::Table,
    ledger: Option<LedgerFile>,
    ui: Option<Spanned<Ui>>,
}

/// `[ledger]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerFile {
    path: PathBuf,
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
    offline: Option<Typed<Offline>>,
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
            offline: self.offline.map_or(usual.offline, |typed| typed.0),
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

pub(super) fn parse(text: &str, file: &Path) -> Result<Config, BadConfig> {
    let place = |(span, words): Complaint| BadConfig {
        file: Some(file.to_path_buf()),
        place: Some(line_and_column(text, span.start)),
        key: key_at(text, &span),
        words,
    };
    let complain = |error: toml::de::Error| (error.span().unwrap_or(0..0), clean(error.message()));
    let root = DeTable::parse(text).map_err(|error| place(complain(error)))?;
    let parsed = File::deserialize(toml::de::Deserializer::from(root.clone()))
        .map_err(|error| place(complain(error)))?;
    read(parsed, root.into_inner(), file).map_err(place)
}

fn read(parsed: File, root: DeTable<'_>, file: &Path) -> Result<Config, Complaint> {
    let destinations = read_destinations(root, file)?;
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
        ledger: parsed.ledger.map(|ledger| in_home(&ledger.path, file)),
        ui: parsed.ui.map(Spanned::into_inner).unwrap_or_default(),
        warnings: Vec::new(),
    })
}

/// The `[destination.NAME]` tables, each read by its own kind.
fn read_destinations(
    root: DeTable<'_>,
    file: &Path,
) -> Result<BTreeMap<String, DestinationConfig>, Complaint> {
    let mut destinations = BTreeMap::new();
    let all = root
        .into_iter()
        .find(|(key, _)| key.get_ref() == "destination");
    for (name, table) in all
        .map(|(_, all)| table(all))
        .transpose()?
        .into_iter()
        .flat_map(Spanned::into_inner)
    {
        let name = name.into_inner().into_owned();
        if name == SANDBOX {
            let words =
                format!("the name {SANDBOX:?} belongs to the embedded sandbox: choose another");
            return Err((table.span(), words));
        }
        let destination = read_destination(&name, self::table(table)?, file)?;
        destinations.insert(name, destination);
    }
    Ok(destinations)
}

fn read_destination(
    name: &str,
    table: Spanned<DeTable<'_>>,
    file: &Path,
) -> Result<DestinationConfig, Complaint> {
    let (mut common, mut kind) = match kind(&table)? {
        JwPlayerConfig::KIND => {
            options::read(table).map(|(common, own)| (common, Kind::JwPlayer(own)))
        }
        ApiVideoConfig::KIND => {
            options::read(table).map(|(common, own)| (common, Kind::ApiVideo(own)))
        }
        other => Err((table.span(), format!("kind = {other:?} has no options"))),
    }?;
    let folder = folder_of(file);
    let home = etcetera::home_dir().ok();
    common.ca = common.ca.map(|ca| in_home(&ca, file));
    let source = kind.source_mut();
    *source = source.clone().within(folder, home.as_deref());
    Ok(DestinationConfig {
        name: name.to_owned(),
        kind,
        common,
    })
}

/// A path in the config in this file: `~/…` from the home folder, what is relative from the file's folder.
fn in_home(path: &Path, file: &Path) -> PathBuf {
    resolve(path, folder_of(file), etcetera::home_dir().ok().as_deref())
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// What `kind` says: the name of one that there is.
fn kind(table: &Spanned<DeTable<'_>>) -> Result<&'static str, Complaint> {
    const KINDS: [&str; 2] = [JwPlayerConfig::KIND, ApiVideoConfig::KIND];
    let wanted = KINDS.map(|kind| format!("{kind:?}")).join(" or ");
    let Some(said) = table.get_ref().get("kind") else {
        return Err((table.span(), format!("kind is missing: {wanted}")));
    };
    let known = |text: &str| KINDS.into_iter().find(|kind| *kind == text);
    let text = said.get_ref().as_str();
    text.and_then(known)
        .ok_or_else(|| (said.span(), format!("unknown kind: it can be {wanted}")))
}

fn table(value: Spanned<DeValue<'_>>) -> Result<Spanned<DeTable<'_>>, Complaint> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Ok(Spanned::new(span, table)),
        _ => Err((
            span,
            "this has to be a table: [destination.NAME]".to_owned(),
        )),
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
