//! Puts the pieces together for one command: config, destination, session, engine, and a screen or
//! lines. Ends in an exit code; knows how each piece is made, and nothing of how it works.

mod attach;
pub mod background;
mod demo;
mod destinations;
mod farewell;
mod import;
mod ledger;
mod logs;
mod report;
mod resume_all;
mod run;
mod same_account;
mod screen;
mod sessions;
mod told;
mod upload;

use std::fmt::Display;

use crate::{
    cli::{self, Cli, Command},
    config::{self, Config},
    headless,
    sandbox::{Fault, Options, S3Options, Sandbox, Storage},
    secret::Secret,
    settings::Bandwidth,
};

use told::print;
pub use told::{finish, say};

/// All queued files are uploaded.
pub const DONE: u8 = 0;
/// Something failed or was left; the session is kept.
pub const LEFT: u8 = 1;
/// The command line or the config is at fault.
pub const USAGE: u8 = 2;
/// A person or the system ended it before its work was done; the session is saved.
pub const INTERRUPTED: u8 = 130;

/// Why a command ended without its work: the words for the person, and the exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// What happened and what to do.
    pub words: String,
    /// [`LEFT`] or [`USAGE`].
    pub code: u8,
}

impl Stopped {
    fn usage(words: impl Display) -> Self {
        Self {
            words: words.to_string(),
            code: USAGE,
        }
    }

    fn left(words: impl Display) -> Self {
        Self {
            words: words.to_string(),
            code: LEFT,
        }
    }
}

impl From<config::BadConfig> for Stopped {
    fn from(error: config::BadConfig) -> Self {
        Self::usage(error)
    }
}

/// Does what the command line says.
///
/// # Errors
/// [`Stopped`], with the words to print.
pub async fn run(cli: Cli) -> Result<u8, Stopped> {
    let global = cli.global;
    match cli.command {
        Command::Completions { shell } => {
            // A reader that went away has what it wanted.
            drop(cli::completions(shell, &mut std::io::stdout()));
            Ok(DONE)
        }
        Command::Sandbox(options) => sandbox(&global, options).await,
        Command::Sessions(asked) => match asked.action {
            None => sessions::list(asked.json),
            Some(cli::SessionsAction::Prune(asked)) => sessions::prune(&load(&global)?, &asked),
            Some(cli::SessionsAction::Rm(asked)) => sessions::rm(&load(&global)?, &asked),
        },
        Command::Report(asked) => report::report(&asked),
        Command::Check(check) => {
            logs::to_stderr(&global)?;
            let config = load(&global)?;
            // Of a config that is found good here nothing else is to be found fault with later.
            screen::keys(&config)?;
            let chosen = destinations::choose(&config, check.name.as_deref()).await?;
            match chosen.account.check().await {
                Ok(words) => {
                    print(&words);
                    Ok(DONE)
                }
                Err(error) => Err(destinations::unusable(&error)),
            }
        }
        Command::Ledger(asked) => ledger::run(&global, asked).await,
        Command::Up(up) => upload::up(&global, up).await,
        Command::Resume(resume) if resume.all => resume_all::resume_all(&global, resume).await,
        Command::Resume(resume) => upload::resume(&global, resume).await,
        Command::Demo(demo) => demo::demo(&global, demo).await,
        Command::Attach(attach) => attach::attach(&global, attach).await,
        Command::Detach(detach) => attach::detach(&global, detach).await,
    }
}

fn load(global: &cli::Global) -> Result<Config, Stopped> {
    let config = Config::load(global.config.as_deref())?;
    for warning in &config.warnings {
        say(warning);
    }
    Ok(config)
}

/// A key that only the environment tells: arguments can be read by everyone on the machine.
fn from_environment(name: &str) -> Result<Secret, Stopped> {
    match std::env::var(name).map(Secret::new) {
        Ok(key) if !key.is_empty() => Ok(key),
        _ => Err(Stopped::usage(format!(
            "--storage s3 wants a key in the environment, as {name}"
        ))),
    }
}

/// `reelhaul sandbox`: serves until it is told to end.
async fn sandbox(global: &cli::Global, asked: cli::Sandbox) -> Result<u8, Stopped> {
    logs::to_stderr(global)?;
    let storage = match (asked.dir, asked.discard) {
        (_, true) => Storage::Discard,
        (Some(folder), _) => Storage::Keep(folder),
        (None, _) => Storage::Keep(config::state_dir()?.join("sandbox")),
    };
    let s3 = match asked.storage {
        cli::Storage::Local => None,
        cli::Storage::S3 => Some(S3Options {
            endpoint: asked.s3_endpoint.unwrap_or_default(),
            bucket: asked.s3_bucket.unwrap_or_default(),
            region: asked.s3_region,
            access_key: from_environment("S3_ACCESS_KEY")?,
            secret_key: from_environment("S3_SECRET_KEY")?,
        }),
    };
    let faults = asked
        .faults
        .into_iter()
        .map(|(kind, rate)| Ok((kind.parse::<Fault>()?, rate)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error: crate::sandbox::BadFault| Stopped::usage(error))?;
    let options = Options {
        storage,
        s3,
        speed: match asked.speed {
            Bandwidth::Unlimited => None,
            Bandwidth::Limited(rate) => Some(rate.get()),
        },
        latency: *asked.latency,
        faults,
        processing: *asked.processing,
        link_ttl: *asked.link_ttl,
        ..Options::default()
    };
    let listening = |error| Stopped::usage(format!("can't listen on {}: {error}", asked.listen));
    let starting = |error| Stopped::usage(format!("the sandbox can't start: {error}"));
    let listener = destinations::listen(asked.listen, options.speed).map_err(listening)?;
    let sandbox = Sandbox::start(listener, options).await.map_err(starting)?;
    print(&format!(
        "sandbox listens on {}\n  JW Player: site_id = {:?}, secret = {:?}\n  api.video: api_key = {:?}",
        sandbox.url(),
        crate::sandbox::SITE,
        crate::sandbox::SECRET,
        crate::sandbox::API_KEY
    ));
    let mut stops = headless::stop_signals(true).map_err(Stopped::left)?;
    let _ = stops.recv().await;
    sandbox.stop().await;
    Ok(DONE)
}
