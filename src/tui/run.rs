//! The loop: waits for keys, the engine, the log and the clock; draws when something changed, at
//! most as often as allowed. Everything that takes time is in a task beside it, so that a key is
//! answered at once whatever the engine does.

mod helpers;
mod pace;

use std::{io, path::PathBuf, time::Duration};

use crossterm::event::Event;
use futures_util::{Stream, StreamExt as _};
use jiff::tz::TimeZone;
use ratatui::{Terminal, backend::Backend, layout::Rect};
use tokio::{
    runtime::RuntimeFlavor,
    sync::mpsc::unbounded_channel,
    time::{Instant, sleep_until},
};

use self::{helpers::Helpers, pace::Pace};
use super::{
    Error, Exit, Options,
    action::Action,
    app::{App, Dialog, Tone},
    layout, log_view,
    theme::Theme,
    update::{self, Effect, Msg, moving, update},
    view,
};
use crate::{engine::Handle, journal::Journal};

/// What comes from outside.
#[derive(Debug)]
pub(super) enum Outside {
    Event(Event),
    /// The job is to sleep.
    Suspend,
    /// The job was woken by someone else.
    Awake,
    /// The program is to end.
    Stop,
    /// The terminal is gone.
    Hangup,
}

/// The hold on a terminal, which is lost and taken again while the screen stays.
pub(super) trait Hold {
    /// Gives it back, puts the job to sleep, and takes it again once woken.
    fn suspend(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Takes it again.
    fn take(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Whether it was given back behind our back: by the panic of a task that is not this one.
    fn lost(&self) -> bool {
        false
    }
}

/// A terminal whose modes are someone else's.
struct Elsewhere;

impl Hold for Elsewhere {}

/// The screen on any terminal and with events from anywhere: what [`super::run()`] does, for tests,
/// measurements and other front ends. The caller owns the terminal's modes; suspending is not
/// possible here.
///
/// # Errors
/// When the terminal fails.
pub async fn run_on<B, S>(
    handle: Handle,
    options: Options,
    terminal: &mut Terminal<B>,
    events: S,
) -> Result<Exit, Error>
where
    B: Backend,
    S: Stream<Item = io::Result<Event>> + Unpin,
{
    let outside = events.map(|event| event.map_or(Outside::Hangup, Outside::Event));
    run_with(handle, options, terminal, outside, Elsewhere).await
}

/// The loop itself.
pub(super) async fn run_with<B: Backend>(
    handle: Handle,
    options: Options,
    terminal: &mut Terminal<B>,
    mut outside: impl Stream<Item = Outside> + Unpin,
    mut hold: impl Hold,
) -> Result<Exit, Error> {
    let begun = Instant::now();
    let mut app = begin(&options, size(terminal)?);

    let (tell, mut told) = unbounded_channel();
    let mut helpers = Helpers::new(handle.clone(), tell);
    let mut summary = handle.summary();
    let mut pace = Pace::new(options.fps);
    let mut connected = true;
    let mut their_log = options.log.as_ref().map(Journal::reader);
    let mut waiting: Vec<Msg> = vec![Msg::Summary(Box::new(summary.borrow_and_update().clone()))];
    loop {
        for msg in std::mem::take(&mut waiting) {
            app.now = begun.elapsed();
            helpers.answered(&msg);
            let input = matches!(msg, Msg::Input(_));
            let counting = choosing(&app);
            // What is logged while no log is shown changes nothing on the screen.
            let unseen = matches!(msg, Msg::Logged) && layout::areas(&app).log.is_empty();
            for effect in update(&mut app, msg) {
                match effect {
                    Effect::Leave(exit) => return Ok(exit),
                    Effect::Refresh => pace.refresh(),
                    Effect::Suspend => {
                        hold.suspend().map_err(Error::terminal)?;
                        app.size = anew(terminal)?;
                    }
                    Effect::Clear => app.size = anew(terminal)?,
                    other => helpers.start(other),
                }
            }
            if counting && !choosing(&app) {
                helpers.count_no_more();
            }
            if !unseen {
                pace.changed(input);
            }
        }
        if pace.refresh_due(app.lively()) {
            helpers.ask_rows(app.queue.query(moving::rows(&app)));
            if let Some(upload) = app.queue.upload() {
                helpers.ask_parts(upload);
            }
        } else if let Some(upload) = app.queue.upload() {
            helpers.parts_of_another(upload);
        }
        if pace.draw_due(helpers.answers_come()) {
            let took = frame(&mut app, terminal, &mut hold)?;
            pace.drawn(took);
            if let Some(told) = options.on_frame {
                told(took);
            }
        }
        let wake = pace.wake(app.lively(), helpers.answers_come());
        let expires = app.message.as_ref().map(|said| begun + said.until);
        let wake = wake.into_iter().chain(expires).min();
        tokio::select! {
            biased;
            event = outside.next() => match event {
                Some(Outside::Event(event)) => waiting.push(Msg::Input(event)),
                Some(Outside::Suspend) => {
                    hold.suspend().map_err(Error::terminal)?;
                    app.size = anew(terminal)?;
                    pace.changed(true);
                }
                Some(Outside::Awake) => {
                    hold.take().map_err(Error::terminal)?;
                    app.size = anew(terminal)?;
                    pace.changed(true);
                }
                Some(Outside::Stop) | None if app.attached => return Ok(Exit::Detached),
                Some(Outside::Hangup) if update::outlives(&app) => return Ok(Exit::Detached),
                Some(Outside::Stop | Outside::Hangup) => {
                    if let Some(exit) = stop(&mut app, &mut helpers) {
                        return Ok(exit);
                    }
                    pace.changed(true);
                }
                None => return Ok(Exit::Quit),
            },
            Some(msg) = told.recv() => waiting.push(msg),
            changed = summary.changed(), if connected => {
                if changed.is_ok() {
                    let summary = summary.borrow_and_update().clone();
                    waiting.push(Msg::Summary(Box::new(summary)));
                } else {
                    connected = false;
                    waiting.push(Msg::Gone);
                }
            }
            () = log_view::logged(&mut their_log) => waiting.push(Msg::Logged),
            () = sleep_until(wake.unwrap_or(begun)), if wake.is_some() => {
                app.now = begun.elapsed();
                if expires.is_some_and(|at| at <= Instant::now()) {
                    waiting.push(Msg::Clock(app.now));
                } else {
                    update(&mut app, Msg::Clock(begun.elapsed()));
                }
            }
        }
    }
}

/// What the screen begins with.
fn begin(options: &Options, size: Rect) -> App {
    let mut app = App::new(
        Theme::from_env(options.color, options.light, options.ascii),
        options.keys.clone(),
    );
    app.attached = options.attached;
    app.detach = options.detach;
    app.session_file.clone_from(&options.session_file);
    app.here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    app.home = std::env::var_os("HOME").map(PathBuf::from);
    app.zone = TimeZone::system();
    app.size = size;
    app
}

/// The program is to end.
fn stop(app: &mut App, helpers: &mut Helpers) -> Option<Exit> {
    for effect in update::act(app, Action::Stop) {
        match effect {
            Effect::Leave(exit) => return Some(exit),
            other => helpers.start(other),
        }
    }
    None
}

/// Whether a person is choosing what to add.
fn choosing(app: &App) -> bool {
    matches!(&app.dialog, Some(Dialog::Add(add)) if add.walking.is_none())
}

/// Draws a frame; how long it took, drawing and writing.
fn frame<B: Backend>(
    app: &mut App,
    terminal: &mut Terminal<B>,
    hold: &mut impl Hold,
) -> Result<Duration, Error> {
    if hold.lost() {
        hold.take().map_err(Error::terminal)?;
        anew(terminal)?;
        let words = "a task of this program panicked; its words are behind this screen";
        update::say(app, Tone::Bad, words);
    }
    app.size = size(terminal)?;
    log_view::collect();
    let from = Instant::now();
    let mut draw = || terminal.draw(|frame| view::draw(app, frame)).map(|_| ());
    // A terminal whose line hangs takes no bytes for a while; uploads must not wait for it.
    match tokio::runtime::Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(draw),
        _ => draw(),
    }
    .map_err(Error::terminal)?;
    Ok(from.elapsed())
}

/// Has the next frame draw every cell. Not by `clear`, which asks the terminal where its cursor is:
/// the answer would come by way of the keys, which we read already.
fn anew<B: Backend>(terminal: &mut Terminal<B>) -> Result<Rect, Error> {
    let size = size(terminal)?;
    terminal.resize(size).map_err(Error::terminal)?;
    Ok(size)
}

fn size<B: Backend>(terminal: &Terminal<B>) -> Result<Rect, Error> {
    let size = terminal.size().map_err(Error::terminal)?;
    Ok(Rect::new(0, 0, size.width, size.height))
}
