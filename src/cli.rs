//! The command line: arguments only. Does nothing with them, and knows no engine.
//!
//! `up` may be left out: what is no command is a path. A path that is named like a command is
//! written `./demo`, `up demo` or `-- demo`; one with a leading dash `./-rf.mp4` or `-- -rf.mp4`.
//!
//! Here are the commands; `flags` has what several of them take, `ledger` and `sandbox` what those take,
//! `read` how a line becomes a command.

mod flags;
mod ledger;
mod read;
mod sandbox;

use std::{io, path::PathBuf};

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use flags::{OnHangup, Screen, Tuning};
pub use ledger::{Forget, Import, Ledger, List, Rebuild};
pub use read::meant;
pub use sandbox::{Sandbox, Storage};

use crate::add_paths::AddPaths;

const EXAMPLES: &str = "\
Examples:
  reelhaul demo                                  watch it work, without an account
  reelhaul /archive/2019                         upload a tree to the default destination
  reelhaul up /archive --to videos --parts 8     … to another one, 8 parts at once
  reelhaul resume                                go on where it was left
  reelhaul attach                                … or see what still runs, from another login
  reelhaul up . --to sandbox --headless --json   no terminal, no account, one JSON object a line

A path that is named like a command: ./demo, or after --. One with a leading dash: ./-x.mp4, or after --.

Exit codes: 0 all uploaded; 1 something failed or was left; 2 usage or config; 130 interrupted, saved.";

/// Upload whole trees of media to video platforms, in parts, and never lose the place.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(name = "reelhaul", version, after_help = EXAMPLES, arg_required_else_help = true)]
#[command(subcommand_required = true, infer_subcommands = false)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
#[command(next_help_heading = "Every command")]
pub struct Global {
    /// The config file.
    #[arg(help = "The config [default: $XDG_CONFIG_HOME/reelhaul/config.toml]")]
    #[arg(long, value_name = "FILE", global = true, env = "REELHAUL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Write the log to this file as well
    #[arg(long, value_name = "FILE", global = true, env = "REELHAUL_LOG_FILE")]
    pub log_file: Option<PathBuf>,
    /// Log more; twice for every request
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Queue files and folders, and upload what is media ("up" may be left out)
    Up(Up),
    /// Go on with a session: the newest unfinished one that does not run when none is named
    Resume(Resume),
    /// List the sessions that are saved, and how far each is; or remove some
    Sessions(Sessions),
    /// Tell what became of each file of a session, and which media object it is
    Report(Report),
    /// See and change what is known to be uploaded, over all sessions
    #[command(subcommand)]
    Ledger(Ledger),
    /// Ask a destination whether the credentials work: one call, clear words
    Check(Check),
    /// Watch and steer a session that runs in another process
    Attach(Attach),
    /// Have a session's screen leave its terminal; the session goes on in the background
    Detach(Detach),
    /// Run a local server that speaks like the vendors do
    Sandbox(Sandbox),
    /// Watch it work: a small tree, uploaded to an embedded sandbox
    Demo(Demo),
    /// Print what a shell needs to complete commands and options
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// `reelhaul up`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Up {
    /// Files and folders
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// The destination, by its name in the config; "sandbox" needs none
    #[arg(long, value_name = "NAME", env = "REELHAUL_TO")]
    pub to: Option<String>,
    /// The session's file.
    #[arg(
        long,
        value_name = "FILE",
        help = "Keep the session in this file [default: a new one under $XDG_STATE_HOME/reelhaul/sessions]"
    )]
    pub session: Option<PathBuf>,
    /// Upload once more what is uploaded already (skipped by default)
    #[arg(long)]
    pub again: bool,
    /// What the ledger is asked for.
    #[command(flatten)]
    pub ledger: LedgerOptions,
    /// Only files that match: by name ("*.mov") or by path below PATH ("2019/**"); may be repeated
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// No files or folders that match; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// How it goes out.
    #[command(flatten)]
    pub tuning: Tuning,
    /// How it is shown.
    #[command(flatten)]
    pub screen: Screen,
}

impl Up {
    /// What the engine shall walk.
    #[must_use]
    pub fn add_paths(&self) -> AddPaths {
        AddPaths {
            paths: self.paths.clone(),
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            again: self.again,
        }
    }
}

/// What the ledger is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct LedgerOptions {
    /// Compare whole files before they are skipped (with a warning where no checksums are known)
    #[arg(long)]
    pub deep: bool,
    /// Don't wait for files that another session is uploading: end with exit code 1
    #[arg(long)]
    pub no_wait: bool,
    /// Use a state folder that was made on another machine, and that no other machine uses any more
    #[arg(long)]
    pub adopt: bool,
}

/// `reelhaul resume`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Resume {
    /// The session, by its name, the beginning of that, or its file
    #[arg(value_name = "SESSION")]
    pub session: Option<PathBuf>,
    /// All unfinished sessions that do not run, one after another, as lines
    #[arg(long, conflicts_with_all = ["session", "no_mouse", "ascii", "background"])]
    pub all: bool,
    /// Try again what failed
    #[arg(long)]
    pub retry_failed: bool,
    /// Begin anew what failed or changed: the unfinished media object is removed first
    #[arg(long, conflicts_with = "retry_failed")]
    pub start_over: bool,
    /// What the ledger is asked for.
    #[command(flatten)]
    pub ledger: LedgerOptions,
    /// How it goes out.
    #[command(flatten)]
    pub tuning: Tuning,
    /// How it is shown.
    #[command(flatten)]
    pub screen: Screen,
}

/// `reelhaul sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Sessions {
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
    /// What to do instead of listing them.
    #[command(subcommand)]
    pub action: Option<SessionsAction>,
}

/// What `reelhaul sessions` does but list them.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum SessionsAction {
    /// Remove finished sessions that were not changed for a while; what they uploaded stays known
    Prune(Prune),
    /// Remove the sessions that are named; what they uploaded stays known
    Rm(Rm),
}

/// `reelhaul sessions prune`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Prune {
    /// Only those that were changed last so long ago: 30d, 12h
    #[arg(long, value_name = "DURATION", default_value = "30d")]
    pub older: humantime::Duration,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
}

/// `reelhaul sessions rm`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Rm {
    /// The sessions, each by its name, the beginning of that, or its file
    #[arg(value_name = "SESSION", required = true)]
    pub sessions: Vec<PathBuf>,
    /// Don't ask before an unfinished one is removed
    #[arg(long)]
    pub yes: bool,
}

/// `reelhaul report`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Report {
    /// The session, by its name, the beginning of that, or its file [default: the newest]
    #[arg(value_name = "SESSION")]
    pub session: Option<PathBuf>,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
}

/// `reelhaul check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Check {
    /// The destination, by its name in the config [default: the default one]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// `reelhaul attach`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Attach {
    /// The session, by its name [default: the one that runs]
    #[arg(value_name = "SESSION")]
    pub session: Option<PathBuf>,
    /// How it is shown.
    #[command(flatten)]
    pub screen: Screen,
}

/// `reelhaul detach`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Detach {
    /// The session, by its name [default: the one that runs]
    #[arg(value_name = "SESSION")]
    pub session: Option<PathBuf>,
}

/// `reelhaul demo`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Demo {
    /// Divide the size of every file by this; the tree takes half a gigabyte otherwise
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub shrink: u64,
    /// How it goes out.
    #[command(flatten)]
    pub tuning: Tuning,
    /// How it is shown.
    #[command(flatten)]
    pub screen: Screen,
}

/// What a shell needs to complete commands and options.
///
/// # Errors
/// Those of writing.
pub fn completions(shell: clap_complete::Shell, out: &mut impl io::Write) -> io::Result<()> {
    // By way of a buffer: the generator panics when a pipe breaks.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "reelhaul", &mut text);
    out.write_all(&text)
}

#[cfg(test)]
mod tests;
