//! A line of arguments read: a command, or paths for `up`; and what a mistyped command may have been.

use std::{ffi::OsString, path::Path};

use clap::{CommandFactory, Parser};

use super::Cli;
use crate::format::nearest;

impl Cli {
    /// Reads the arguments, the program's name first. `--help` and the like come as an error too,
    /// as clap has it: [`clap::Error::print`] and [`clap::Error::exit_code`] (2 for a wrong usage)
    /// do the rest.
    ///
    /// # Errors
    /// When they make no sense, or ask for help.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(with_up(args.into_iter().collect()))
    }
}

/// The arguments with `up` before them when they name no command. Only options that every command
/// takes may stand before a command, so that is all there is to step over.
fn with_up(mut args: Vec<OsString>) -> Vec<OsString> {
    let command = Cli::command();
    let global = |text: &str| {
        command.get_arguments().find(|arg| {
            arg.get_long()
                .is_some_and(|long| text.strip_prefix("--") == Some(long))
        })
    };
    let mut rest = args.iter().skip(1);
    while let Some(arg) = rest.next() {
        let text = arg.to_str().unwrap_or_default();
        if matches!(text, "-h" | "--help" | "-V" | "--version" | "help") {
            return args;
        }
        if command.find_subcommand(text).is_some() {
            return args;
        }
        let (name, value) = text
            .split_once('=')
            .map_or((text, None), |(name, value)| (name, Some(value)));
        match global(name) {
            Some(known) if known.get_action().takes_values() && value.is_none() => {
                rest.next();
            }
            Some(_) => {}
            None if text.len() > 1
                && text[1..].chars().all(|c| c == 'v')
                && text.starts_with('-') => {}
            None => {
                args.insert(1, "up".into());
                return args;
            }
        }
    }
    args
}

/// The command that may have been meant by a path which leads nowhere: a word, much like a command.
#[must_use]
pub fn meant(path: &Path) -> Option<String> {
    let word = path.to_str().filter(|word| !word.contains('/'))?;
    let commands = Cli::command();
    let names = commands.get_subcommands().map(clap::Command::get_name);
    nearest(word, names).map(str::to_owned)
}
