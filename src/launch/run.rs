//! A session from its opening to its end, on a screen or as lines.

use std::{io::stdout, path::PathBuf, sync::Arc};

use tokio::sync::mpsc;

use super::{
    INTERRUPTED, LEFT, Stopped, background,
    destinations::Chosen,
    farewell::{farewell, skipped},
    import, same_account,
    screen::{self, Seen, Shown},
    sessions,
    told::say,
};
use crate::{
    cli::{Global, OnHangup},
    config::Config,
    engine::{
        self, OpenFiles, Timing,
        clock::Clock,
        protocol::{Command, Event, State, Summary},
        queue::Queue,
    },
    headless::{self, Console, Style},
    ledger::{self, Ledger},
    open_files,
    session::{Folder, folder::Open},
};

/// Where the ledger is, and how it is opened.
pub(super) struct LedgerAt {
    /// Its file.
    pub(super) file: PathBuf,
    /// The sessions whose uploads are taken into it first, where it does not have them.
    pub(super) older: Option<Folder>,
    /// Whether that of another machine is adopted.
    pub(super) adopts: bool,
}

impl LedgerAt {
    /// The ledger that the config says, with what the saved sessions know.
    pub(super) fn usual(config: &Config, adopts: bool) -> Result<Self, Stopped> {
        Ok(Self {
            file: config.ledger_file()?,
            older: Some(sessions::folder()?),
            adopts,
        })
    }
}

/// What is to be done.
pub(super) struct Work {
    pub(super) session: Open,
    pub(super) queue: Queue,
    pub(super) ledger: LedgerAt,
    /// Whether the run ends without the files that other sessions upload.
    pub(super) no_wait: bool,
    /// Whether all bytes of a file decide whether it is uploaded already.
    pub(super) is_deep: bool,
    /// What the engine is told first.
    pub(super) commands: Vec<Command>,
    /// Whether the session is a new one that nobody has named.
    pub(super) unnamed: bool,
}

/// Whether nothing was to be uploaded, so that its session is of no use.
fn had_nothing_to_do(summary: &Summary) -> bool {
    let queued = summary.counts.total() - summary.counts.of(State::Skipped);
    queued + summary.walks_left + summary.orphans == 0
}

/// Runs a session to its end, on a screen or as lines: those go to the console of several sessions,
/// where it is one of them.
pub(super) async fn run(
    (global, config): (&Global, &Config),
    chosen: Chosen,
    work: Work,
    screen: Shown,
    mut console: Option<&mut Console>,
) -> Result<u8, Stopped> {
    let look = screen.options(config)?;
    let Work {
        session,
        queue,
        ledger,
        no_wait,
        is_deep,
        commands,
        unnamed,
    } = work;
    let opened = tokio::select! {
        opened = with_ledger(session, ledger, &chosen, unnamed) => opened,
        () = stopped(console.as_deref_mut()) => return Ok(INTERRUPTED),
    };
    let (session, ledger) = opened?;
    let timing = Timing::default();
    let id = session.header.id.clone();
    let file = session.path.clone();
    let (told, events) = mpsc::unbounded_channel::<Event>();
    let events_wanted = screen.is_headless().then_some(told);
    let account = Arc::clone(&chosen.account);
    let parts = engine::Parts {
        session,
        queue,
        account,
        timing,
        events: events_wanted,
        ledger,
        no_wait,
        is_deep,
        clock: Clock::default(),
        open_files: open_files_for(&chosen),
    };
    let mut own = match screen.lines {
        Some(style) if console.is_none() => Some(open_console(&screen, style)?),
        _ => None,
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
    let seen = match console.or(own.as_mut()) {
        Some(console) => {
            let screens = background::screens(served.as_ref());
            let report = console.run(handle.clone(), events, screens).await;
            if let Some(own) = own {
                own.end().await;
            }
            Ok(Seen::Over(report.exit_code()))
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
    if let Some(words) = skipped(summary.uploaded_before) {
        say(&words);
    }
    match seen {
        Seen::Over(code) => {
            farewell(&summary, &id, screen.lasting.then_some(&*file));
            if unnamed && had_nothing_to_do(&summary) {
                sessions::forget(&file);
            }
            let lost = summary.save_error.is_some();
            Ok(if lost { LEFT } else { code })
        }
        Seen::HungUp | Seen::Detached => background::hand_over(global, &id, &file).await,
    }
}

/// The files that the engine may have open. Where the sandbox is in this process, that has as many.
fn open_files_for(chosen: &Chosen) -> OpenFiles {
    let of_a_part = OpenFiles::default().of_a_part;
    OpenFiles {
        limit: open_files::raise_limit(),
        of_a_part: of_a_part * if chosen.sandbox.is_some() { 2 } else { 1 },
    }
}

/// A console for lines of this style on stdout, which the signals that end a process reach.
pub(super) fn open_console(screen: &Shown, style: Style) -> Result<Console, Stopped> {
    let hangup = screen.asked.on_hangup == Some(OnHangup::Stop);
    let stops = headless::stop_signals(hangup).map_err(Stopped::left)?;
    Ok(Console::new(stdout(), style, stops))
}

/// Returns once the end of several sessions is wished for.
async fn stopped(console: Option<&mut Console>) {
    match console {
        Some(console) => console.stopped().await,
        None => std::future::pending().await,
    }
}

/// Opens the ledger for a session; where that fails, nothing is left of a session that nobody has named.
async fn with_ledger(
    session: Open,
    at: LedgerAt,
    chosen: &Chosen,
    unnamed: bool,
) -> Result<(Open, Arc<dyn Ledger>), Stopped> {
    match open_ledger(at, &session, chosen).await {
        Ok(ledger) => Ok((session, ledger)),
        Err(stopped) => {
            let path = session.path.clone();
            // While it is open, a file that is gone is put back.
            drop(session);
            if unnamed {
                sessions::forget(&path);
            }
            Err(stopped)
        }
    }
}

/// Opens the ledger, and takes in what it lacks of the sessions that are saved.
async fn open_ledger(
    at: LedgerAt,
    session: &Open,
    chosen: &Chosen,
) -> Result<Arc<dyn Ledger>, Stopped> {
    let name = sessions::name(&session.header.id, &session.path);
    let of = ledger::Session {
        owner: &session.header.owner,
        name: &name,
        file: &session.path,
        adopts: at.adopts,
    };
    let ledger = same_account::open_ledger(
        &at.file,
        of,
        &*chosen.account,
        session.header.settings.offline,
    )
    .await?;
    if let Some(older) = at.older {
        let imported = import::sessions(&ledger, older.list(), chosen).await;
        imported.map_err(Stopped::usage)?;
    }
    Ok(ledger)
}
