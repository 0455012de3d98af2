//! A session from its opening to its end, on a screen or as lines.

use std::{io::stdout, sync::Arc};

use tokio::sync::mpsc;

use super::{
    DONE, LEFT, Stopped, background,
    destinations::Chosen,
    farewell::farewell,
    screen::{self, Seen, Shown},
    sessions,
    told::say,
};
use crate::{
    cli::{Global, OnHangup},
    config::Config,
    engine::{
        self, Timing,
        clock::Clock,
        elsewhere::Elsewhere,
        protocol::{Command, Event, State},
        queue::Queue,
    },
    headless,
    session::folder::Open,
};

/// What is to be done.
pub(super) struct Work {
    pub(super) session: Open,
    pub(super) queue: Queue,
    /// What other sessions hold.
    pub(super) elsewhere: Arc<Elsewhere>,
    /// What the engine is told first.
    pub(super) commands: Vec<Command>,
    /// Whether the session is a new one that nobody has named.
    pub(super) unnamed: bool,
}

/// Runs a session to its end, on a screen or as lines.
pub(super) async fn run(
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
    let account = Arc::clone(&chosen.account);
    let parts = engine::Parts {
        session,
        queue,
        account,
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
            let kept = summary.counts.total() + summary.walks_left + summary.orphans;
            if unnamed && kept == 0 {
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
