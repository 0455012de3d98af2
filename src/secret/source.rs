//! Where a secret comes from, and how it is fetched; shows nothing of it, whatever goes wrong.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::Secret;
use crate::path::shown;

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It stands in the config itself.
    Plain(Secret),
    /// An environment variable.
    Env(String),
    /// A file; white space around the secret is no part of it.
    File(PathBuf),
    /// What a command (for `sh -c`) prints; white space around it is no part of it.
    Command(String),
}

impl Source {
    /// Fetches the secret. `env` looks up the environment. A command gets the terminal's input and
    /// its error output, so that it can ask for a pass phrase.
    ///
    /// # Errors
    /// Why there is none, in words that hold nothing of it.
    pub fn fetch(&self, env: &dyn Fn(&str) -> Option<OsString>) -> Result<Secret, String> {
        let (text, whence) = match self {
            Self::Plain(secret) => (secret.expose().to_owned(), "the config".to_owned()),
            Self::Env(name) => {
                let whence = format!("the environment variable {name}");
                let value = env(name).ok_or_else(|| format!("{whence} is not set"))?;
                let text = value
                    .into_string()
                    .map_err(|_| format!("{whence} is not UTF-8"))?;
                (text, whence)
            }
            Self::File(file) => {
                let whence = shown(file);
                let bytes =
                    fs::read(file).map_err(|error| format!("{whence} can't be read: {error}"))?;
                let text =
                    String::from_utf8(bytes).map_err(|_| format!("{whence} is not UTF-8"))?;
                (text, whence)
            }
            Self::Command(command) => (output(command)?, "its command's output".to_owned()),
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("{whence} is empty"));
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(format!(
                "{whence} holds more than one word: a key has no spaces or line breaks within"
            ));
        }
        Ok(Secret::new(text))
    }

    /// The same with a relative file taken from `folder`, and `~/` from `home`.
    #[must_use]
    pub(crate) fn within(self, folder: &Path, home: Option<&Path>) -> Self {
        match self {
            Self::File(file) => Self::File(resolve(&file, folder, home)),
            other => other,
        }
    }
}

/// `~/…` from the home folder, what is relative from `folder`.
pub(crate) fn resolve(file: &Path, folder: &Path, home: Option<&Path>) -> PathBuf {
    match (file.strip_prefix("~"), home) {
        (Ok(below), Some(home)) => home.join(below),
        _ => folder.join(file),
    }
}

fn output(command: &str) -> Result<String, String> {
    let done = Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("its command can't be run: {error}"))?;
    if !done.status.success() {
        return Err(format!("its command failed ({})", done.status));
    }
    String::from_utf8(done.stdout).map_err(|_| "its command's output is not UTF-8".to_owned())
}

impl<'de> Deserialize<'de> for Source {
    /// By way of a loose value: serde's own messages would show what was written instead.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wanted = || {
            D::Error::custom(
                "wanted is a text in quotes, or one of { env = \"NAME\" }, { file = \"PATH\" }, { command = \"LINE\" }",
            )
        };
        let table = match toml::Value::deserialize(deserializer).map_err(|_| wanted())? {
            toml::Value::String(text) => return Ok(Self::Plain(Secret::new(text))),
            toml::Value::Table(table) if table.len() == 1 => table,
            _ => return Err(wanted()),
        };
        match table.into_iter().next() {
            Some((key, toml::Value::String(text))) => match key.as_str() {
                "env" => Ok(Self::Env(text)),
                "file" => Ok(Self::File(PathBuf::from(text))),
                "command" => Ok(Self::Command(text)),
                _ => Err(wanted()),
            },
            _ => Err(wanted()),
        }
    }
}
