//! The arguments of `reelhaul ledger`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `reelhaul ledger`.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Ledger {
    /// List what is uploaded where: files, media objects, accounts
    List(List),
    /// Count files as not uploaded, so that the next upload sends them; nothing is deleted at the account
    Forget(Forget),
    /// Take in what saved sessions uploaded, also of another machine
    Import(Import),
    /// Make the ledger anew from the saved sessions; the old one is kept beside it
    Rebuild(Rebuild),
}

/// `reelhaul ledger list`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct List {
    /// Only these files, and what lies below these folders
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only uploads to this destination's account, by its name in the config
    #[arg(long, value_name = "NAME")]
    pub to: Option<String>,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
}

/// `reelhaul ledger forget`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Forget {
    /// Files, and folders with all below them; they need not be there any more
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Only uploads to this destination's account, by its name in the config
    #[arg(long, value_name = "NAME")]
    pub to: Option<String>,
    /// Don't ask before several files below a folder are forgotten
    #[arg(long)]
    pub yes: bool,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
}

/// `reelhaul ledger import`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Import {
    /// Sessions, by their names, the beginnings of those, or their files
    #[arg(value_name = "SESSION", required = true)]
    pub sessions: Vec<PathBuf>,
    /// The destination they uploaded to, by its name in the config
    #[arg(long, value_name = "NAME", env = "REELHAUL_TO")]
    pub to: Option<String>,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
}

/// `reelhaul ledger rebuild`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Rebuild {
    /// Ask only this destination now; the others are asked when they are next used
    #[arg(long, value_name = "NAME")]
    pub to: Option<String>,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
}
