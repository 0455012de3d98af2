//! `up`, `resume` and `demo`: a session from its opening to its end.

use std::{
    io::stdout,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    DONE, LEFT, Stopped, background,
    destinations::{self, Chosen},
    load,
    screen::{self, Seen, Shown},
    sessions,
    told::say,
};
use crate::{
    cli::{self, Global, OnHangup, Tuning},
    config::Config,
    demo,
    engine::{
        self, Timing,
        clock::Clock,
        elsewhere::Elsewhere,
        protocol::{AddPaths, Command, Event, Filter, Show, State, Summary, Targets},
        queue::Queue,
    },
    error::Kind,
    headless,
    sandbox::{self, Storage},
    scan::Scan,
    session::{
        Header,
        folder::{self, Open},
        lock::Locked,
        record::FORMAT,
    },
    settings::{Concurrency, PartSize, Settings},
};

/// `reelhaul up`.
pub(super) async fn up(global: &Global, up: cli::Up) -> Result<u8, Stopped> {
    let screen = Shown::start(up.screen, global)?;
    let config = load(global)?;
    let add = AddPaths {
        // Whoever names the session's file says in which session the files are to be.
        again: up.again || up.session.is_some(),
        ..up.add_paths()
    };
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
        };
        return go_on((global, &config), path, again, up.tuning, screen).await;
    }
    let chosen = destinations::choose(&config, up.to.as_deref()).await?;
    reach(&chosen, &screen).await?;
    let settings = up.tuning.over(config.settings.clone());
    let elsewhere = if add.again {
        Elsewhere::default()
    } else {
        elsewhere(&chosen.name, None).await?
    };
    let work = Work {
        session: create(&chosen.name, settings, file.as_deref())?,
        queue: Queue::default(),
        elsewhere: Arc::new(elsewhere),
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
    let again = Again { commands, to: None };
    go_on((global, &config), &path, again, resume.tuning, screen).await
}

/// What else is wanted of a session that is gone on with.
struct Again {
    /// What the engine is told first.
    commands: Vec<Command>,
    /// The destination it has to have, where one was named.
    to: Option<String>,
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
    let mut commands = Vec::new();
    // What was in force when it was left may no longer be.
    session
        .header
        .settings
        .keep_to_schedule(&jiff::Zoned::now());
    let settings = tuning.over(session.header.settings.clone());
    if settings != session.header.settings {
        commands.push(Command::Tune(settings));
    }
    // Nobody is there to see that it stands still. A screen that leaves takes its pauses along.
    let unseen = screen.is_headless() && !screen.asked.background;
    if unseen && queue.counts().of(State::Paused) > 0 {
        commands.push(Command::Resume(Targets::All));
    }
    commands.extend(again.commands);
    // What a walk is still to find may have gone to another session meanwhile.
    let elsewhere = if queue.may_find_more() {
        elsewhere(&name, Some(&session.path)).await?
    } else {
        Elsewhere::default()
    };
    let work = Work {
        session,
        queue,
        elsewhere: Arc::new(elsewhere),
        commands,
        unnamed: false,
    };
    run((global, config), chosen, work, screen).await
}

/// What other sessions than the one in this file hold for this destination.
async fn elsewhere(destination: &str, but: Option<&Path>) -> Result<Elsewhere, Stopped> {
    let (destination, but) = (destination.to_owned(), but.map(Path::to_owned));
    let reading = move || sessions::elsewhere(&destination, but.as_deref());
    tokio::task::spawn_blocking(reading)
        .await
        .map_err(Stopped::left)?
}

/// `reelhaul demo`.
pub(super) async fn demo(global: &Global, asked: cli::Demo) -> Result<u8, Stopped> {
    let screen = Shown {
        lasting: false,
        ..Shown::start(asked.screen, global)?
    };
    let config = load(global)?;
    let failed = |error| Stopped::left(format!("the demo's files can't be written: {error}"));
    say("writing a small media tree …");
    let (seed, shrink) = (2026, asked.shrink);
    let tree = tokio::task::spawn_blocking(move || demo::temporary_tree(seed, shrink)).await;
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
    // A number that stays, so that a person sees what a key does to it.
    let settings = asked.tuning.over(Settings {
        part_size,
        parts_in_flight: Concurrency::Fixed(4),
        ..Settings::default()
    });
    let session = create("demo", settings, Some(&sessions.path().join("demo.toml")))?;
    let add = AddPaths {
        paths: vec![tree.path().to_owned()],
        ..AddPaths::default()
    };
    let work = Work {
        session,
        queue: Queue::default(),
        elsewhere: Arc::default(),
        commands: vec![Command::Add(add)],
        unnamed: false,
    };
    run((global, &config), chosen, work, screen).await
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
        let error = match chosen.destination.check().await {
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
    let file: PathBuf = path.to_owned();
    let opening = tokio::task::spawn_blocking(move || {
        let mut queue = Queue::default();
        let session = folder::open(&file, |record| queue.restore(record))?;
        queue.restored();
        Ok((session, queue))
    });
    let opened: Result<_, folder::Failed> = opening.await.map_err(Stopped::left)?;
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

/// What is to be done.
struct Work {
    session: Open,
    queue: Queue,
    /// What other sessions hold.
    elsewhere: Arc<Elsewhere>,
    /// What the engine is told first.
    commands: Vec<Command>,
    /// Whether the session is a new one that nobody has named.
    unnamed: bool,
}

/// Runs a session to its end, on a screen or as lines.
async fn run(
    (global, config): (&Global, &Config),
    chosen: Chosen,
    work: Work,
    screen: Shown,
) -> Result<u8, Stopped> {
    let look = screen.options(config)?;
    let Work {
        session,
        queue,
        elsewhere,
        commands,
        unnamed,
    } = work;
    let timing = Timing::default();
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
        elsewhere: Arc::clone(&elsewhere),
        clock: Clock::default(),
    };
    let hangup = screen.asked.on_hangup == Some(OnHangup::Stop);
    let stops = match screen.lines {
        Some(_) => Some(headless::stop_signals(hangup).map_err(Stopped::left)?),
        None => None,
    };
    let (handle, ended) = engine::spawn(parts);
    let served = background::serve(&handle, &id, &file);
    for command in commands {
        let outcome = handle.command(command).await.map_err(Stopped::left)?;
        if outcome.refused {
            drop(handle.command(Command::StopNow).await);
            drop(ended.await);
            return Err(Stopped::usage(outcome.words));
        }
    }
    let seen = match screen.lines.zip(stops) {
        Some((style, stops)) => {
            let screens = background::screens(served.as_ref());
            let run = headless::run(handle.clone(), events, stops, stdout(), style, screens);
            Ok(Seen::Over(run.await.exit_code()))
        }
        None => screen::show(handle.clone(), look, &file, served.as_ref()).await,
    };
    let seen = match seen {
        Ok(Seen::HungUp) => {
            let report = background::go_on_here(handle.clone(), served.as_ref()).await;
            report.map(|report| Seen::Over(report.exit_code()))
        }
        Ok(Seen::Detached) => Ok(background::stop_for_another(&handle).await),
        seen => seen,
    };
    if seen.is_err() {
        // What was in flight is saved before the error is told.
        drop(handle.command(Command::Stop).await);
    }
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
    let seen = seen?;
    for words in elsewhere.left_out() {
        say(&words);
    }
    match seen {
        Seen::Over(code) => {
            farewell(&summary, &id, screen.lasting.then_some(&*file));
            if unnamed && summary.counts.total() + summary.walks_left == 0 {
                sessions::forget(&file);
            }
            let idle = summary.counts.of(State::Done) == 0 && elsewhere.left_some();
            let lost = summary.save_error.is_some();
            Ok(if lost || (code == DONE && idle) {
                LEFT
            } else {
                code
            })
        }
        Seen::HungUp | Seen::Detached => background::hand_over(global, &id, &file).await,
    }
}

/// What is to be said after the end: how to go on, where there is something to go on with. The file
/// of a session that does not last is `None`.
fn farewell(summary: &Summary, id: &str, file: Option<&Path>) {
    if let Some(error) = &summary.save_error {
        say(&format!("the session could not be saved: {error}"));
    } else if let Some(file) = file.filter(|file| file.exists()) {
        let name = sessions::name(id, file);
        for words in how_to_go_on(summary, &name) {
            say(&words);
        }
        if summary.counts.of(State::Done) > 0 {
            say(&format!(
                "the media id of each file: reelhaul report {name}"
            ));
        }
    }
}

/// What is left of a session, and the command that goes on with it: what failed needs a word more.
fn how_to_go_on(summary: &Summary, session: &str) -> Vec<String> {
    let counts = &summary.counts;
    let files = match counts.left() {
        0 if summary.walks_left == 0 => return Vec::new(),
        0 => "the walk did not come to its end".to_owned(),
        1 => "1 file is left".to_owned(),
        left => format!("{left} files are left"),
    };
    let of = [State::Failed, State::Changed, State::Paused].map(|state| (counts.of(state), state));
    let of: Vec<_> = of.iter().filter(|(count, _)| *count > 0).collect();
    let of: Vec<_> = of
        .iter()
        .map(|(count, state)| format!("{count} {}", state.word()))
        .collect();
    let of = if of.is_empty() {
        String::new()
    } else {
        format!(" ({})", of.join(", "))
    };
    let (failed, changed) = (counts.of(State::Failed) > 0, counts.of(State::Changed) > 0);
    let flag = match (failed, changed) {
        (true, _) => " --retry-failed",
        (false, true) => " --start-over",
        (false, false) => "",
    };
    let mut words = vec![format!(
        "{files}{of}; go on with: reelhaul resume {session}{flag}"
    )];
    if failed && changed {
        words.push(format!(
            "to begin anew what failed or changed: reelhaul resume {session} --start-over"
        ));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_go_on_with_does_something_for_what_is_left() {
        use State::{Changed, Done, Failed, Paused, Queued, Skipped};
        let told = |states: &[State]| {
            let mut summary = Summary::default();
            for state in states {
                summary.counts.add(*state);
            }
            how_to_go_on(&summary, "s")
        };
        let walking = Summary {
            walks_left: 1,
            ..Summary::default()
        };
        assert_eq!(
            how_to_go_on(&walking, "s"),
            ["the walk did not come to its end; go on with: reelhaul resume s"]
        );
        assert_eq!(told(&[Done, Skipped]), [] as [&str; 0]);
        assert_eq!(
            told(&[Queued]),
            ["1 file is left; go on with: reelhaul resume s"]
        );
        assert_eq!(
            told(&[Queued, Paused]),
            ["2 files are left (1 paused); go on with: reelhaul resume s"]
        );
        assert_eq!(
            told(&[Changed]),
            ["1 file is left (1 changed); go on with: reelhaul resume s --start-over"]
        );
        assert_eq!(
            told(&[Failed, Changed, Queued]),
            [
                "3 files are left (1 failed, 1 changed); go on with: reelhaul resume s --retry-failed",
                "to begin anew what failed or changed: reelhaul resume s --start-over"
            ]
        );
    }
}
