//! `up`, `resume` and `demo`: a session from its opening to its end.

use std::{
    io::{IsTerminal, stdout},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    LEFT, Stopped, background,
    destinations::{self, Chosen},
    load, logs, sessions,
};
use crate::{
    attach::{self, Limits, Served},
    cli::{self, Global, OnHangup, Screen, Tuning},
    config::Config,
    demo,
    engine::{
        self, Handle, Timing,
        protocol::{AddPaths, Command, Event, State, Summary, Targets},
        queue::Queue,
    },
    headless::{self, Style},
    sandbox::{self, Storage},
    scan::Scan,
    session::{
        Header,
        folder::{self, Open},
        record::FORMAT,
    },
    settings::{PartSize, Settings},
};

/// `reelhaul up`.
pub(super) async fn up(global: &Global, up: cli::Up) -> Result<u8, Stopped> {
    let screen = Shown::of(up.screen)?;
    screen.log(global)?;
    let config = load(global)?;
    let add = up.add_paths();
    // A mistyped path is told before anything is made or asked.
    let scan = Scan::new(&add).map_err(Stopped::usage)?;
    scan.check_roots().map_err(Stopped::usage)?;
    let saved = up.session.as_deref().filter(|path| path.exists());
    if let Some(path) = saved {
        let again = Again {
            retry_failed: false,
            add: Some(add),
            to: up.to.clone(),
        };
        return go_on(&config, path, again, up.tuning, screen).await;
    }
    let chosen = destinations::choose(&config, up.to.as_deref()).await?;
    reach(&chosen, &screen).await?;
    let settings = up.tuning.over(config.settings);
    let session = create(&chosen.name, settings, up.session.as_deref())?;
    run(
        chosen,
        session,
        Queue::default(),
        vec![Command::Add(add)],
        screen,
        Timing::default(),
    )
    .await
}

/// `reelhaul resume`.
pub(super) async fn resume(global: &Global, resume: cli::Resume) -> Result<u8, Stopped> {
    if resume.screen.background {
        background::leave_terminal_session()?;
    }
    let screen = Shown::of(resume.screen)?;
    screen.log(global)?;
    let config = load(global)?;
    let path = match &resume.session {
        None => sessions::newest_unfinished()?,
        Some(named) => match named.to_str() {
            Some(name) => sessions::folder()?.file(name),
            None => named.clone(),
        },
    };
    let again = Again {
        retry_failed: resume.retry_failed,
        add: None,
        to: None,
    };
    go_on(&config, &path, again, resume.tuning, screen).await
}

/// What else is wanted of a session that is gone on with.
struct Again {
    retry_failed: bool,
    add: Option<AddPaths>,
    to: Option<String>,
}

async fn go_on(
    config: &Config,
    path: &Path,
    again: Again,
    tuning: Tuning,
    screen: Shown,
) -> Result<u8, Stopped> {
    let (session, queue) = open(path).await?;
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
    let mut commands = Vec::new();
    let settings = tuning.over(session.header.settings);
    if settings != session.header.settings {
        commands.push(Command::Tune(settings));
    }
    if again.retry_failed {
        commands.push(Command::Retry(Targets::All));
    }
    commands.extend(again.add.map(Command::Add));
    run(chosen, session, queue, commands, screen, Timing::default()).await
}

/// `reelhaul demo`.
pub(super) async fn demo(global: &Global, asked: cli::Demo) -> Result<u8, Stopped> {
    let screen = Shown::of(asked.screen)?;
    screen.log(global)?;
    let failed = |error| Stopped::left(format!("the demo's files can't be written: {error}"));
    eprintln!("writing a small media tree …");
    let seed = 2026;
    let tree = tokio::task::spawn_blocking(move || demo::temporary_tree(seed, 1)).await;
    let tree = tree.map_err(Stopped::left)?.map_err(failed)?;
    let received = tempfile::tempdir().map_err(failed)?;
    let sessions = tempfile::tempdir().map_err(failed)?;
    let watched = !screen.is_headless();
    let faults = demo::FAULTS
        .iter()
        .map(|(kind, rate)| Ok((kind.parse()?, *rate)))
        .collect::<Result<_, sandbox::BadFault>>()
        .map_err(Stopped::left)?;
    let options = sandbox::Options {
        storage: Storage::Keep(received.path().to_owned()),
        speed: watched.then_some(demo::LINE),
        faults,
        processing: Duration::from_secs(2),
        ..sandbox::Options::default()
    };
    let chosen = destinations::embedded(options).await?;
    let part_size = demo::PART_SIZE
        .try_into()
        .map_or(PartSize::Auto, PartSize::Fixed);
    let settings = asked.tuning.over(Settings {
        part_size,
        ..Settings::default()
    });
    let session = create("demo", settings, Some(&sessions.path().join("demo.toml")))?;
    let add = AddPaths {
        paths: vec![tree.path().to_owned()],
        ..AddPaths::default()
    };
    run(
        chosen,
        session,
        Queue::default(),
        vec![Command::Add(add)],
        screen,
        Timing::default(),
    )
    .await
}

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) asked: Screen,
    pub(super) lines: Option<Style>,
}

impl Shown {
    /// Lines where they are wanted or there is no terminal, else the screen.
    pub(super) fn of(asked: Screen) -> Result<Self, Stopped> {
        let terminal = stdout().is_terminal() && std::io::stdin().is_terminal();
        let lines = match (asked.json, asked.is_headless() || !terminal) {
            (true, _) => Some(Style::Json),
            (false, true) => Some(Style::Human),
            (false, false) => None,
        };
        if lines.is_none() && std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
            return Err(Stopped::usage(
                "this terminal can't show a screen (TERM=dumb): use --headless",
            ));
        }
        Ok(Self { asked, lines })
    }

    fn is_headless(&self) -> bool {
        self.lines.is_some()
    }

    pub(super) fn log(&self, global: &Global) -> Result<(), Stopped> {
        logs::to_stderr(global)
    }
}

/// Asks the destination once, before anything is begun, so that a wrong key is told at once. A line
/// that is down is told on the screen and waited for; without a screen it ends the program, unless
/// that goes on with what a screen began.
async fn reach(chosen: &Chosen, screen: &Shown) -> Result<(), Stopped> {
    match chosen.destination.check().await {
        Ok(words) => {
            tracing::info!("{words}");
            Ok(())
        }
        Err(error)
            if error.kind.retried() && (!screen.is_headless() || screen.asked.background) =>
        {
            tracing::warn!("{error}");
            Ok(())
        }
        Err(error) => Err(destinations::unusable(&error)),
    }
}

fn create(destination: &str, settings: Settings, file: Option<&Path>) -> Result<Open, Stopped> {
    let today = jiff::Zoned::now().date();
    let id = match file.and_then(Path::file_stem) {
        Some(stem) => stem.to_string_lossy().into_owned(),
        None => folder::new_id(today, destination, &mut fastrand::Rng::new()),
    };
    let header = Header {
        format: FORMAT,
        id,
        destination: destination.to_owned(),
        settings,
    };
    let made = match file {
        Some(file) => folder::create_at(file, header),
        None => sessions::folder()?.create(header),
    };
    made.map_err(|error| Stopped::left(format!("the session can't be saved: {error}")))
}

/// Opens a session; of a large one that takes a while, and blocks.
async fn open(path: &Path) -> Result<(Open, Queue), Stopped> {
    let path: PathBuf = path.to_owned();
    let opening = tokio::task::spawn_blocking(move || {
        let mut queue = Queue::default();
        let session = folder::open(&path, |record| queue.restore(record))?;
        queue.restored();
        Ok((session, queue))
    });
    let opened: Result<_, folder::Failed> = opening.await.map_err(Stopped::left)?;
    let (session, queue) = opened.map_err(Stopped::usage)?;
    if session.torn > 0 {
        tracing::warn!(
            "the last {} bytes of the session were torn by a crash and are dropped; what they said \
             the destination still knows",
            session.torn
        );
    }
    Ok((session, queue))
}

/// Runs a session to its end, on a screen or as lines.
async fn run(
    chosen: Chosen,
    session: Open,
    queue: Queue,
    commands: Vec<Command>,
    screen: Shown,
    timing: Timing,
) -> Result<u8, Stopped> {
    let id = session.header.id.clone();
    let file = session.path.clone();
    let (told, events) = mpsc::unbounded_channel::<Event>();
    let events_wanted = screen.is_headless().then_some(told);
    let destination = Arc::clone(&chosen.destination);
    let parts = engine::Parts {
        session,
        queue,
        destination,
        timing,
        events: events_wanted,
    };
    let hangup = screen.asked.on_hangup == Some(OnHangup::Stop);
    let stops = match screen.lines {
        Some(_) => Some(headless::stop_signals(hangup).map_err(Stopped::left)?),
        None => None,
    };
    let (handle, ended) = engine::spawn(parts);
    let served = serve(&handle, &id, &file);
    for command in commands {
        let outcome = handle.command(command).await.map_err(Stopped::left)?;
        if outcome.refused {
            drop(handle.command(Command::StopNow).await);
            drop(ended.await);
            return Err(Stopped::usage(outcome.words));
        }
    }
    let code = match screen.lines.zip(stops) {
        Some((style, stops)) => {
            let screens = background::screens(served.as_ref());
            let run = headless::run(handle.clone(), events, stops, stdout(), style, screens);
            run.await.exit_code()
        }
        None => show(handle.clone(), screen).await?,
    };
    let summary = handle.summary().borrow().clone();
    drop(handle);
    if let Some(served) = served {
        served.end().await;
    }
    ended
        .await
        .map_err(|error| Stopped::left(format!("the engine ended badly: {error}")))?;
    if let Some(sandbox) = chosen.sandbox {
        sandbox.stop().await;
    }
    farewell(&summary, &id, &file);
    Ok(code)
}

/// Lets other processes attach. A session does not depend on that.
fn serve(handle: &Handle, id: &str, file: &Path) -> Option<Served> {
    let places = background::places().ok()?;
    attach::serve(handle.clone(), id, file, &places, Limits::default())
        .inspect_err(|error| tracing::warn!("no other screen can attach: {error}"))
        .ok()
}

async fn show(_handle: Handle, _screen: Shown) -> Result<u8, Stopped> {
    Ok(LEFT)
}

/// What is to be said after the end: how to go on, where there is something to go on with.
fn farewell(summary: &Summary, id: &str, file: &Path) {
    let counts = summary.counts;
    let left = counts.total() - counts.of(State::Done) - counts.of(State::Skipped);
    if let Some(error) = &summary.save_error {
        eprintln!("reelhaul: the session could not be saved: {error}");
    } else if left > 0 && file.exists() {
        let name = sessions::name(id, file);
        eprintln!("reelhaul: {left} files are left; go on with: reelhaul resume {name}");
    }
}
