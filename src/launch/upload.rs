//! `up` and `resume`: a session made or opened, and a destination that can be used.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Stopped, background,
    destinations::{self, Chosen},
    load,
    run::{Work, run},
    screen::Shown,
    sessions,
};
use crate::{
    cli::{self, Global, Tuning},
    config::Config,
    destination::MediaStatus,
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
    settings::Settings,
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
            no_wait: up.no_wait,
            is_deep: up.deep,
        };
        return go_on((global, &config), path, again, up.tuning, screen).await;
    }
    let chosen = destinations::choose(&config, up.to.as_deref()).await?;
    reach(&chosen, &screen).await?;
    let settings = up.tuning.over(config.settings.clone());
    say_of_part_size(&chosen, &settings);
    let work = Work {
        session: create(&chosen.name, settings, file.as_deref())?,
        queue: Queue::default(),
        ledger: config.ledger_file()?,
        older: Some(sessions::folder()?),
        no_wait: up.no_wait,
        is_deep: up.deep,
        commands: vec![Command::Add(add)],
        unnamed: file.is_none(),
    };
    run((global, &config), chosen, work, screen).await
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
    let again = Again {
        commands,
        to: None,
        no_wait: resume.no_wait,
        is_deep: resume.deep,
    };
    go_on((global, &config), &path, again, resume.tuning, screen).await
}

/// What else is wanted of a session that is gone on with.
struct Again {
    /// What the engine is told first.
    commands: Vec<Command>,
    /// The destination it has to have, where one was named.
    to: Option<String>,
    /// Whether the run ends without the files that other sessions upload.
    no_wait: bool,
    /// Whether all bytes of a file decide whether it is uploaded already.
    is_deep: bool,
}

async fn go_on(
    (global, config): (&Global, &Config),
    path: &Path,
    again: Again,
    tuning: Tuning,
    screen: Shown,
) -> Result<u8, Stopped> {
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
    reach(&chosen, &screen).await?;
    same_account(&chosen, &session, &queue).await?;
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
        ledger: config.ledger_file()?,
        older: Some(sessions::folder()?),
        no_wait: again.no_wait,
        is_deep: again.is_deep,
        commands,
        unnamed: false,
    };
    run((global, config), chosen, work, screen).await
}

/// How long to wait before the destination is asked again whether it can be used.
const STUMBLES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];

/// Asks the destination before anything is begun, so that a wrong key or address is told at once.
/// A server that only stumbles is asked again, and one that asks to wait is left to the engine.
/// Otherwise what can't be reached ends a run that nobody watches, instead of leaving it to wait
/// unseen; on a screen it shows and is waited for.
async fn reach(chosen: &Chosen, screen: &Shown) -> Result<(), Stopped> {
    let watched = !screen.is_headless() || screen.asked.background;
    let mut stumbles = STUMBLES.into_iter();
    loop {
        let error = match chosen.account.check().await {
            Ok(words) => {
                tracing::info!("{words}");
                return Ok(());
            }
            Err(error) => error,
        };
        if error.kind == Kind::Throttled || (watched && error.kind.retried()) {
            tracing::warn!("{error}");
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

/// How many media objects of an account that is not known are asked for.
const NEWEST: usize = 10;

/// Refuses to resume uploads at another account than the one they were started at, which has none of
/// what was sent. An account whose key was changed has another id and the same media objects: one that
/// is found shows that.
async fn same_account(chosen: &Chosen, session: &Open, queue: &Queue) -> Result<(), Stopped> {
    let account = &chosen.account;
    let started = queue.started_elsewhere(account.id(), NEWEST);
    let Some((other, _)) = started.first() else {
        return Ok(());
    };
    let media: Vec<_> = started.iter().map(|(_, media)| media.clone()).collect();
    let batch = account.status(&media).await;
    if batch.known().any(|status| *status != MediaStatus::Gone) {
        return Ok(());
    }
    match batch.outcome() {
        Err(error) if error.kind.retried() => {
            tracing::warn!("whether {other} is the account of this session is not known: {error}");
            return Ok(());
        }
        Err(error) => return Err(destinations::unusable(error)),
        // One that is not known may be there.
        Ok(()) if batch.known().count() < media.len() => return Ok(()),
        Ok(()) => {}
    }
    Err(Stopped::usage(format!(
        "the session {} was started at the account {other}, and the destination {} is {} now ({}), \
         which has none of its media objects. Nothing was sent. Point {} back at that account, or start \
         another session: reelhaul up",
        session.header.id,
        chosen.name,
        account.id(),
        account.describe(),
        chosen.name,
    )))
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
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = sessions::name(&stem, path);
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
    if session.torn > 0 {
        tracing::warn!(
            "the last {} bytes of the session were torn by a crash and are dropped; what they said \
             the destination still knows",
            session.torn
        );
    }
    Ok((session, queue))
}
