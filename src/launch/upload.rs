//! `up` and `resume`: a session made or opened, and a destination that can be used.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Stopped, background,
    destinations::{self, Chosen},
    load,
    run::{LedgerAt, Work, run},
    same_account,
    screen::Shown,
    sessions,
};
use crate::{
    cli::{self, Global, Tuning},
    config::Config,
    engine::{
        protocol::{Command, Filter, Show, State, Targets},
        queue::Queue,
    },
    error::Kind,
    scan::Scan,
    session::{
        Header,
        folder::{self, Open},
        lock::Locked,
        record::FORMAT,
    },
    settings::{Offline, Settings},
};

/// `reelhaul up`.
pub(super) async fn up(global: &Global, up: cli::Up) -> Result<u8, Stopped> {
    let screen = Shown::start(up.screen, global)?;
    let config = load(global)?;
    let add = up.add_paths();
    // A mistyped path is told before anything is made or asked.
    let scan = Scan::new(&add).map_err(Stopped::usage)?;
    scan.check_roots().map_err(|error| {
        let meant = up.paths.first().and_then(|path| cli::meant(path));
        let hint = meant.map(|command| format!("; was `reelhaul {command}` meant?"));
        Stopped::usage(format!("{error}{}", hint.unwrap_or_default()))
    })?;
    // A bare file name has no folder to be synced.
    let file = up.session.as_deref().map(std::path::absolute).transpose();
    let file = file.map_err(Stopped::usage)?;
    let saved = file.as_deref().filter(|path| path.exists());
    if let Some(path) = saved {
        let again = Again {
            commands: vec![Command::Add(add)],
            to: up.to.clone(),
            ledger: up.ledger,
        };
        return go_on((global, &config), path, again, up.tuning, screen).await;
    }
    let chosen = destinations::choose(&config, up.to.as_deref()).await?;
    let settings = up.tuning.over(config.settings.clone());
    reach(&chosen, settings.offline, &screen).await?;
    say_of_part_size(&chosen, &settings);
    let work = Work {
        session: create(&chosen.name, settings, file.as_deref())?,
        queue: Queue::default(),
        ledger: LedgerAt::usual(&config, up.ledger.adopt)?,
        no_wait: up.ledger.no_wait,
        is_deep: up.ledger.deep,
        commands: vec![Command::Add(add)],
        unnamed: file.is_none(),
    };
    run((global, &config), chosen, work, screen, None).await
}

/// `reelhaul resume`.
pub(super) async fn resume(global: &Global, resume: cli::Resume) -> Result<u8, Stopped> {
    if resume.screen.background {
        background::leave_terminal_session()?;
    }
    let screen = Shown::start(resume.screen, global)?;
    let config = load(global)?;
    let path = match &resume.session {
        None => sessions::newest_unfinished()?,
        Some(named) => sessions::find(named)?,
    };
    let again = Again::of(&resume);
    go_on((global, &config), &path, again, resume.tuning, screen).await
}

/// What else is wanted of a session that is gone on with.
#[derive(Debug, Clone)]
pub(super) struct Again {
    /// What the engine is told first.
    commands: Vec<Command>,
    /// The destination it has to have, where one was named.
    to: Option<String>,
    /// What the ledger is asked for.
    ledger: cli::LedgerOptions,
}

impl Again {
    pub(super) fn of(resume: &cli::Resume) -> Self {
        let mut commands = Vec::new();
        if resume.retry_failed {
            commands.push(Command::Retry(Targets::All));
        }
        if resume.start_over {
            let failed = Filter {
                show: Show::Failed,
                text: String::new(),
            };
            commands.push(Command::StartOver(Targets::Filtered(failed)));
        }
        Self {
            commands,
            to: None,
            ledger: resume.ledger,
        }
    }
}

async fn go_on(
    (global, config): (&Global, &Config),
    path: &Path,
    again: Again,
    tuning: Tuning,
    screen: Shown,
) -> Result<u8, Stopped> {
    let (chosen, work) = prepare(config, path, again, &tuning, &screen).await?;
    run((global, config), chosen, work, screen, None).await
}

/// Opens a session, and asks its destination whether it can be used.
pub(super) async fn prepare(
    config: &Config,
    path: &Path,
    again: Again,
    tuning: &Tuning,
    screen: &Shown,
) -> Result<(Chosen, Work), Stopped> {
    let (mut session, queue) = open(path).await?;
    let name = session.header.destination.clone();
    if let Some(to) = again.to.filter(|to| *to != name) {
        let words = format!(
            "the session {} goes to {name}, not to {to}; start another one for that",
            session.header.id
        );
        return Err(Stopped::usage(words));
    }
    let chosen = destinations::choose(config, Some(&name)).await?;
    let offline = tuning.over(session.header.settings.clone()).offline;
    reach(&chosen, offline, screen).await?;
    same_account::of_session(&chosen, &session.header.id, &queue).await?;
    let mut commands = Vec::new();
    // What was in force when it was left may no longer be.
    session
        .header
        .settings
        .keep_to_schedule(&jiff::Zoned::now());
    let settings = tuning.over(session.header.settings.clone());
    say_of_part_size(&chosen, &settings);
    if settings != session.header.settings {
        commands.push(Command::Tune(settings));
    }
    // Nobody is there to see that it stands still. A screen that leaves takes its pauses along.
    let unseen = screen.is_headless() && !screen.asked.background;
    if unseen && queue.counts().of(State::Paused) > 0 {
        commands.push(Command::Resume(Targets::All));
    }
    commands.extend(again.commands);
    let work = Work {
        session,
        queue,
        ledger: LedgerAt::usual(config, again.ledger.adopt)?,
        no_wait: again.ledger.no_wait,
        is_deep: again.ledger.deep,
        commands,
        unnamed: false,
    };
    Ok((chosen, work))
}

/// How long to wait before the destination is asked again whether it can be used.
const STUMBLES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];

/// Asks the destination before anything is begun, so that a wrong key or address is told at once. One
/// that can't be reached, or asks to wait, is left to the engine, which has the same patience at the start
/// as later. Without patience one that only stumbles is asked again. An answer that makes no sense ends a
/// run that nobody watches; on a screen it shows.
async fn reach(chosen: &Chosen, offline: Offline, screen: &Shown) -> Result<(), Stopped> {
    let watched = !screen.is_headless() || screen.asked.background;
    let has_patience = offline != Offline::Fail;
    let mut stumbles = STUMBLES.into_iter();
    loop {
        let error = match chosen.account.check().await {
            Ok(words) => {
                tracing::info!("{words}");
                return Ok(());
            }
            Err(error) => error,
        };
        let is_away = error.is_of_host() && error.status.is_none_or(|status| status >= 500);
        let waits = error.kind == Kind::Throttled
            || (has_patience && (is_away || (watched && error.kind.retried())));
        if waits {
            tracing::warn!("{error}; waiting for it");
            return Ok(());
        }
        let again = stumbles
            .next()
            .filter(|_| error.kind.retried() && error.kind != Kind::Offline);
        let Some(wait) = again else {
            return Err(destinations::unusable(&error));
        };
        tokio::time::sleep(wait).await;
    }
}

/// A part size that the destination does not take is not taken in silence.
fn say_of_part_size(chosen: &Chosen, settings: &Settings) {
    let limits = chosen.account.limits();
    if let Some(words) = limits.not_as_wished(settings.part_size) {
        tracing::warn!("{words}");
    }
}

/// Makes a new session, in this file or in the folder with all sessions.
pub(super) fn create(
    destination: &str,
    settings: Settings,
    file: Option<&Path>,
) -> Result<Open, Stopped> {
    let today = jiff::Zoned::now().date();
    let id = match file.and_then(Path::file_stem) {
        Some(stem) => stem.to_string_lossy().into_owned(),
        None => folder::new_id(today, destination, &mut fastrand::Rng::new()),
    };
    let header = Header {
        format: FORMAT,
        id,
        owner: folder::new_owner(&mut fastrand::Rng::new()),
        destination: destination.to_owned(),
        settings,
    };
    let made = match file {
        Some(file) => folder::create_at(file, header),
        None => sessions::folder()?.create(header),
    };
    made.map_err(|error| match error {
        folder::Failed::Locked(Locked::NoLocks { .. }) => Stopped::usage(error),
        error => Stopped::left(format!("the session can't be saved: {error}")),
    })
}

/// Opens a session; of a large one that takes a while, and blocks.
async fn open(path: &Path) -> Result<(Open, Queue), Stopped> {
    let file: PathBuf = path.to_owned();
    let opening = tokio::task::spawn_blocking(move || Queue::open(&file));
    let opened = opening.await.map_err(Stopped::left)?;
    let (session, queue) = opened.map_err(|error| {
        let name = sessions::name_of(path);
        match error {
            folder::Failed::Locked(Locked::InUse(holder)) => Stopped::usage(format!(
                "the session {name} is in use by {}; see it with: reelhaul attach {name}",
                sessions::process(&holder)
            )),
            folder::Failed::Unknown(_) => Stopped::usage(format!(
                "there is no session {name}; `reelhaul sessions` lists them"
            )),
            error => Stopped::usage(error),
        }
    })?;
    for words in &session.damage {
        tracing::warn!("{words}");
    }
    if !session.damage.is_empty() {
        tracing::warn!(
            "the destination is asked for what these lines said of uploads; paths that were added may be \
             lost with them: reelhaul up PATH… sends what is not queued"
        );
    }
    if session.torn > 0 && session.damage.is_empty() {
        tracing::warn!(
            "the last {} bytes of the session were torn by a crash and are dropped; what they said \
             the destination still knows",
            session.torn
        );
    }
    Ok((session, queue))
}
