//! The config file: destinations and defaults, as plain data; makes no destination and starts nothing.
//!
//! Precedence is file < environment < flags: the file is read here, `REELHAUL_…` and flags are the
//! command line's ([`crate::cli`]). Secrets are fetched when a destination is used, not before
//! ([`Source::fetch`]), and no error shows one: errors are told by place and key, never by the
//! line's text.

mod schema;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use etcetera::{BaseStrategy, base_strategy::Xdg};
use serde::Deserialize;

pub use crate::secret::Source;
use crate::{
    destination::{apivideo::ApiVideoConfig, jwplayer::JwPlayerConfig, options::CommonOptions},
    ledger,
    path::shown,
    settings::Settings,
    state_dir,
};

/// The name that always leads to the embedded sandbox.
pub const SANDBOX: &str = "sandbox";

/// How many frames a second can be asked for.
pub const FPS: std::ops::RangeInclusive<u8> = 1..=60;

/// What is wrong with the config, for people: file, line, column and key, and never a value that may
/// be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadConfig {
    /// The file, where one is to blame.
    pub file: Option<PathBuf>,
    /// Line and column, from 1.
    pub place: Option<(usize, usize)>,
    /// The key with its tables: `destination.archive.url`; empty when it is none's.
    pub key: String,
    /// What is wrong with it.
    pub words: String,
}

impl BadConfig {
    fn new(words: impl Into<String>) -> Self {
        Self {
            file: None,
            place: None,
            key: String::new(),
            words: words.into(),
        }
    }
}

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", shown(file))?;
        }
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.words)
    }
}

impl std::error::Error for BadConfig {}

/// All that the config says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Where it was read from, or would have been.
    pub file: PathBuf,
    /// The destinations, by name.
    pub destinations: BTreeMap<String, DestinationConfig>,
    /// The destination that is used when none is named.
    pub default: Option<String>,
    /// What a new session begins with.
    pub settings: Settings,
    /// `[keys]`, for the screen to read.
    pub keys: toml::Table,
    /// `[ui]`.
    pub ui: Ui,
    /// The ledger's file, where it is not in the state folder.
    pub ledger: Option<PathBuf>,
    /// What the person should know, though it works.
    pub warnings: Vec<String>,
}

/// How the screen shall be; what is not said is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ui {
    /// Frames a second at most, within [`FPS`].
    pub fps: Option<u8>,
    /// Whether the mouse is listened to.
    pub mouse: Option<bool>,
    /// Whether to draw with ASCII alone.
    pub ascii: Option<bool>,
    /// Whether to use colours.
    #[serde(alias = "color")]
    pub colour: Option<Colour>,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// As the terminal and `NO_COLOR` say.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// One `[destination.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct DestinationConfig {
    /// Its name.
    pub name: String,
    /// What it is, with the keys of that kind.
    pub kind: Kind,
    /// What every kind has.
    pub common: CommonOptions,
}

/// What a destination is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `kind = "jwplayer"`.
    JwPlayer(JwPlayerConfig),
    /// `kind = "apivideo"`.
    ApiVideo(ApiVideoConfig),
}

impl Kind {
    /// Where the secret comes from.
    fn source(&self) -> &Source {
        match self {
            Self::JwPlayer(own) => &own.secret,
            Self::ApiVideo(own) => &own.api_key,
        }
    }

    fn source_mut(&mut self) -> &mut Source {
        match self {
            Self::JwPlayer(own) => &mut own.secret,
            Self::ApiVideo(own) => &mut own.api_key,
        }
    }
}

/// Where to upload to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice<'a> {
    /// The embedded sandbox.
    Sandbox,
    /// One from the config.
    Configured(&'a DestinationConfig),
}

impl Config {
    /// Reads the config. The file of `--config` has to be there; the usual one may be missing.
    ///
    /// # Errors
    /// When the file can't be read or understood.
    pub fn load(named: Option<&Path>) -> Result<Self, BadConfig> {
        let file = match named {
            Some(file) => file.to_path_buf(),
            None => default_file()?,
        };
        let in_file = |words: String| BadConfig {
            file: Some(file.clone()),
            ..BadConfig::new(words)
        };
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    file,
                    ..Self::default()
                });
            }
            Err(error) => return Err(in_file(format!("can't be read: {error}"))),
        };
        let text = String::from_utf8(bytes).map_err(|_| in_file("is not UTF-8".to_owned()))?;
        let mode = fs::metadata(&file).map_or(0, |metadata| metadata.mode());
        let mut config = Self::parse(&text, &file)?;
        if mode & 0o077 != 0 {
            let secrets = config.destinations.values();
            let readable: Vec<String> = secrets
                .filter(|destination| matches!(destination.source(), Source::Plain(_)))
                .map(|destination| format!("{:?}", destination.name))
                .collect();
            // One for the file, however many it holds.
            if !readable.is_empty() {
                config.warnings.push(format!(
                    "{}: the secret of {} can be read by other users: chmod 600 it, or use {{ env = … }}",
                    shown(&file),
                    readable.join(", "),
                ));
            }
        }
        Ok(config)
    }

    /// Understands the text of a config; `file` is only named in errors and resolves relative paths.
    ///
    /// # Errors
    /// When it is no TOML, or says what can't be meant.
    pub fn parse(text: &str, file: &Path) -> Result<Self, BadConfig> {
        schema::parse(text, file)
    }

    /// The ledger's file.
    ///
    /// # Errors
    /// When the state folder, where it is by default, can't be made.
    pub fn ledger_file(&self) -> Result<PathBuf, BadConfig> {
        match &self.ledger {
            Some(file) => Ok(file.clone()),
            None => Ok(state_dir()?.join(ledger::FILE)),
        }
    }

    /// The destination named by `to`, else the default, else the only one.
    ///
    /// # Errors
    /// In words that say how to get one.
    pub fn choose(&self, to: Option<&str>) -> Result<Choice<'_>, BadConfig> {
        let only = || match self.destinations.len() {
            1 => self.destinations.keys().next().map(String::as_str),
            _ => None,
        };
        let Some(name) = to.or(self.default.as_deref()).or_else(only) else {
            return Err(BadConfig::new(self.none_chosen()));
        };
        if name == SANDBOX {
            return Ok(Choice::Sandbox);
        }
        self.destinations
            .get(name)
            .map(Choice::Configured)
            .ok_or_else(|| BadConfig {
                file: Some(self.file.clone()),
                ..BadConfig::new(format!(
                    "there is no destination {name:?}; there {}",
                    self.names()
                ))
            })
    }

    fn none_chosen(&self) -> String {
        let file = shown(&self.file);
        if self.destinations.is_empty() {
            format!(
                "no destination is configured. `--to {SANDBOX}` works now, without any; for a real one, write {file}:\n\n{EXAMPLE}"
            )
        } else {
            format!(
                "which destination? Name one with --to, or write `default = \"NAME\"` at the top of {file}; there {}",
                self.names()
            )
        }
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self
            .destinations
            .keys()
            .map(String::as_str)
            .chain([SANDBOX])
            .collect();
        match names.as_slice() {
            [one] => format!("is only {one}"),
            several => format!("are {}", several.join(", ")),
        }
    }
}

/// What a first config looks like.
const EXAMPLE: &str = r#"default = "archive"
[destination.archive]
kind = "jwplayer"                              # or "apivideo" with api_key = …
site_id = "AbCd1234"
secret = { env = "JWPLAYER_API_SECRET" }       # or { file = "…" }, { command = "pass show jw" }
"#;

impl DestinationConfig {
    /// Where its secret comes from.
    #[must_use]
    pub fn source(&self) -> &Source {
        self.kind.source()
    }

    /// Fetches its secret: reads the environment or a file, or runs the person's command (which may
    /// ask on the terminal). Blocks.
    ///
    /// # Errors
    /// When there is none to be had; told without a word of it.
    pub fn secret(&self) -> Result<crate::secret::Secret, BadConfig> {
        self.source()
            .fetch(&|name| std::env::var_os(name))
            .map_err(|words| BadConfig {
                key: format!("destination.{}.{}", self.name, self.secret_key()),
                ..BadConfig::new(words)
            })
    }

    fn secret_key(&self) -> &'static str {
        match self.kind {
            Kind::JwPlayer(_) => "secret",
            Kind::ApiVideo(_) => "api_key",
        }
    }
}

fn no_home() -> BadConfig {
    BadConfig::new("no home folder is known: set HOME")
}

/// `$XDG_CONFIG_HOME/reelhaul/config.toml`.
fn default_file() -> Result<PathBuf, BadConfig> {
    let xdg = Xdg::new().map_err(|_| no_home())?;
    Ok(xdg.config_dir().join("reelhaul/config.toml"))
}

/// The folder that keeps sessions and what the sandbox receives, `$XDG_STATE_HOME/reelhaul`; made
/// for its owner alone when it is not there.
///
/// # Errors
/// When it can't be made.
pub fn state_dir() -> Result<PathBuf, BadConfig> {
    make_private(state_dir::state_dir().ok_or_else(no_home)?)
}

/// The folder of the session files, `sessions` in [`state_dir()`]; made when it is not there.
///
/// # Errors
/// When it can't be made.
pub fn sessions_dir() -> Result<PathBuf, BadConfig> {
    make_private(state_dir()?.join("sessions"))
}

fn make_private(folder: PathBuf) -> Result<PathBuf, BadConfig> {
    match state_dir::make_private(&folder) {
        Ok(()) => Ok(folder),
        Err(error) => Err(BadConfig {
            file: Some(folder),
            ..BadConfig::new(format!("can't be made: {error}"))
        }),
    }
}

#[cfg(test)]
mod tests;
