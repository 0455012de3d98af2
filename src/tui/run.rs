//! The loop: waits for keys, the engine, the log and the clock; draws when something changed, at
//! most as often as allowed. Everything that takes time is in a task beside it, so that a key is
//! answered at once whatever the engine does.

use std::{io, path::PathBuf, time::Duration};

use crossterm::event::Event;
use futures_util::{Stream, StreamExt as _};
use ratatui::{Terminal, backend::Backend, layout::Rect};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Error, Exit, Options,
    action::Action,
    app::{App, Entry, Listing},
    log_view,
    theme::Theme,
    update::{self, Effect, Msg, moving, update},
    view,
};
use crate::{
    engine::{
        Gone, Handle,
        protocol::{Command, Query, Reply, UploadId, WindowQuery},
    },
    path,
};

/// How long the engine may take to answer before the screen says that it waits.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long a frame waits for answers that are on their way, so that they come in one.
const GATHER: Duration = Duration::from_millis(20);
/// The most entries of a folder that are shown.
const MOST_ENTRIES: usize = 5000;

/// What comes from outside.
#[derive(Debug)]
pub(super) enum Outside {
    Event(Event),
    /// The job is to sleep.
    Suspend,
    /// The job was woken by someone else.
    Awake,
    /// The program is to end: a signal, or the terminal is gone.
    Stop,
}

/// The screen on any terminal and with events from anywhere: what [`super::run`] does, for tests,
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
    let outside = events.map(|event| event.map_or(Outside::Stop, Outside::Event));
    run_with(handle, options, terminal, outside, |_| Ok(())).await
}

/// The loop itself. `sleep(false)` gives the terminal back, sleeps and takes it again;
/// `sleep(true)` takes it again only.
pub(super) async fn run_with<B: Backend>(
    handle: Handle,
    options: Options,
    terminal: &mut Terminal<B>,
    mut outside: impl Stream<Item = Outside> + Unpin,
    mut sleep: impl FnMut(bool) -> io::Result<()>,
) -> Result<Exit, Error> {
    let begun = Instant::now();
    let mut app = begin(&options, size(terminal)?);

    let (tell, mut told) = unbounded_channel();
    let mut helpers = Helpers::new(handle.clone(), tell);
    let mut summary = handle.summary();
    let mut pace = Pace::new(options.fps);
    let mut connected = true;
    let mut waiting: Vec<Msg> = vec![Msg::Summary(Box::new(summary.borrow_and_update().clone()))];
    loop {
        for msg in std::mem::take(&mut waiting) {
            app.now = begun.elapsed();
            helpers.answered(&msg);
            let input = matches!(msg, Msg::Input(_));
            for effect in update(&mut app, msg) {
                match effect {
                    Effect::Leave(exit) => return Ok(exit),
                    Effect::Refresh => pace.refresh(),
                    Effect::Suspend => {
                        sleep(false).map_err(Error::terminal)?;
                        terminal.clear().map_err(Error::terminal)?;
                        app.size = size(terminal)?;
                    }
                    Effect::Clear => terminal.clear().map_err(Error::terminal)?,
                    other => helpers.start(other),
                }
            }
            pace.changed(input);
        }
        if pace.refresh_due(app.lively()) {
            helpers.ask_rows(app.queue.query(moving::rows(&app)));
            if let Some(upload) = app.queue.selected {
                helpers.ask_parts(upload);
            }
        } else if let Some(upload) = app.queue.selected {
            helpers.parts_of_another(upload);
        }
        if pace.draw_due(helpers.answers_come()) {
            app.size = size(terminal)?;
            log_view::collect();
            let from = Instant::now();
            terminal
                .draw(|frame| view::draw(&app, frame))
                .map_err(Error::terminal)?;
            let took = pace.drawn(from);
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
                    sleep(false).map_err(Error::terminal)?;
                    terminal.clear().map_err(Error::terminal)?;
                }
                Some(Outside::Awake) => {
                    sleep(true).map_err(Error::terminal)?;
                    terminal.clear().map_err(Error::terminal)?;
                    pace.changed(true);
                }
                Some(Outside::Stop) | None if app.attached => return Ok(Exit::Detached),
                Some(Outside::Stop) => {
                    for effect in update::act(&mut app, Action::Stop) {
                        match effect {
                            Effect::Leave(exit) => return Ok(exit),
                            other => helpers.start(other),
                        }
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
            () = log_view::logged() => waiting.push(Msg::Logged),
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
        Theme::from_env(options.color, options.ascii),
        options.keys.clone(),
    );
    app.attached = options.attached;
    app.session_file.clone_from(&options.session_file);
    app.here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    app.home = std::env::var_os("HOME").map(PathBuf::from);
    app.size = size;
    app
}

fn size<B: Backend>(terminal: &Terminal<B>) -> Result<Rect, Error> {
    let size = terminal.size().map_err(Error::terminal)?;
    Ok(Rect::new(0, 0, size.width, size.height))
}

/// When to draw and when to ask.
struct Pace {
    frame: Duration,
    /// When the next frame is wanted.
    draw: Option<Instant>,
    /// The earliest a frame may be, unless a person waits for it.
    earliest: Instant,
    refresh: bool,
    refreshed: Instant,
}

impl Pace {
    fn new(fps: u16) -> Self {
        let now = Instant::now();
        Self {
            frame: Duration::from_secs(1) / u32::from(fps.clamp(1, 120)),
            draw: Some(now),
            earliest: now,
            refresh: true,
            refreshed: now,
        }
    }

    /// Something changed; a person who pressed a key sees it at once.
    fn changed(&mut self, by_person: bool) {
        let now = Instant::now();
        let at = if by_person {
            now
        } else {
            self.earliest.max(now)
        };
        self.draw = Some(self.draw.map_or(at, |draw| draw.min(at)));
    }

    fn refresh(&mut self) {
        self.refresh = true;
    }

    fn refresh_due(&mut self, lively: bool) -> bool {
        let now = Instant::now();
        let due = self.refresh || (lively && now >= self.refreshed + self.frame);
        if due {
            self.refresh = false;
            self.refreshed = now;
        }
        due
    }

    fn draw_due(&self, answers_come: bool) -> bool {
        let now = Instant::now();
        self.draw
            .is_some_and(|at| now >= at && (!answers_come || now >= at + GATHER))
    }

    /// A frame was drawn. A terminal that is slow to take bytes gets fewer.
    fn drawn(&mut self, from: Instant) -> Duration {
        let now = Instant::now();
        let took = now - from;
        self.draw = None;
        self.earliest = now + (self.frame.saturating_sub(took)).max(took * 3);
        took
    }

    fn wake(&self, lively: bool, answers_come: bool) -> Option<Instant> {
        let draw = self
            .draw
            .map(|at| if answers_come { at + GATHER } else { at });
        let ask = lively.then(|| self.refreshed + self.frame);
        draw.into_iter().chain(ask).min()
    }
}

/// Tasks beside the loop.
struct Helpers {
    handle: Handle,
    tell: UnboundedSender<Msg>,
    commands: UnboundedSender<Command>,
    rows: OneAtATime<WindowQuery>,
    parts: OneAtATime<UploadId>,
}

/// One question is on its way, and of those that come meanwhile the last is asked next.
struct OneAtATime<Q> {
    asked: Option<Q>,
    next: Option<Q>,
    last: Option<Q>,
}

impl<Q: Clone + PartialEq> OneAtATime<Q> {
    fn new() -> Self {
        Self {
            asked: None,
            next: None,
            last: None,
        }
    }

    /// The question, if it may be asked now.
    fn ask(&mut self, question: Q) -> Option<Q> {
        if self.asked.is_some() {
            self.next = Some(question);
            return None;
        }
        self.asked = Some(question.clone());
        self.last = Some(question.clone());
        Some(question)
    }

    /// The answer came; what is to be asked next.
    fn answered(&mut self) -> Option<Q> {
        self.asked = None;
        self.next.take()
    }
}

impl Helpers {
    fn new(handle: Handle, tell: UnboundedSender<Msg>) -> Self {
        let (commands, mut wanted) = unbounded_channel::<Command>();
        // One after the other, so that they arrive in the order they were given.
        let (engine, to) = (handle.clone(), tell.clone());
        tokio::spawn(async move {
            while let Some(command) = wanted.recv().await {
                command_one(&engine, &to, command).await;
            }
        });
        Self {
            handle,
            tell,
            commands,
            rows: OneAtATime::new(),
            parts: OneAtATime::new(),
        }
    }

    fn answers_come(&self) -> bool {
        self.rows.asked.is_some() || self.parts.asked.is_some()
    }

    fn ask_rows(&mut self, query: WindowQuery) {
        if let Some(query) = self.rows.ask(query) {
            self.ask(Query::Window(query));
        }
    }

    fn ask_parts(&mut self, upload: UploadId) {
        if let Some(upload) = self.parts.ask(upload) {
            self.ask(Query::Parts(upload));
        }
    }

    /// Asks for the parts of this upload if those asked for last are another's.
    fn parts_of_another(&mut self, upload: UploadId) {
        let last = self.parts.next.as_ref().or(self.parts.last.as_ref());
        if last != Some(&upload) {
            self.ask_parts(upload);
        }
    }

    /// Goes on asking once an answer came.
    fn answered(&mut self, msg: &Msg) {
        match msg {
            Msg::Window(..) => {
                if let Some(query) = self.rows.answered() {
                    self.ask_rows(query);
                }
            }
            Msg::Parts(..) => {
                if let Some(upload) = self.parts.answered() {
                    self.ask_parts(upload);
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, effect: Effect) {
        match effect {
            Effect::Command(command @ (Command::Stop | Command::StopNow)) => {
                // An end must not wait for what was commanded before it.
                let (engine, tell) = (self.handle.clone(), self.tell.clone());
                tokio::spawn(async move { command_one(&engine, &tell, command).await });
            }
            Effect::Command(command) => {
                // The receiver lives as long as the runtime does.
                let _ = self.commands.send(command);
            }
            Effect::Ask(query) => self.ask(query),
            Effect::Mark(query) => {
                let (engine, tell) = (self.handle.clone(), self.tell.clone());
                tokio::spawn(async move {
                    let _ = tell.send(find_range(&engine, query).await);
                });
            }
            Effect::List(folder) => {
                let tell = self.tell.clone();
                tokio::task::spawn_blocking(move || {
                    let _ = tell.send(Msg::Listing(list(folder)));
                });
            }
            Effect::Refresh | Effect::Suspend | Effect::Clear | Effect::Leave(_) => {}
        }
    }

    /// Asks in a task of its own, which also says when the answer is long in coming.
    fn ask(&self, query: Query) {
        let (engine, tell) = (self.handle.clone(), self.tell.clone());
        tokio::spawn(async move {
            let answer = engine.query(query.clone());
            tokio::pin!(answer);
            let reply = if let Ok(reply) = timeout(PATIENCE, &mut answer).await {
                reply
            } else {
                let _ = tell.send(Msg::Busy(true));
                let reply = answer.await;
                let _ = tell.send(Msg::Busy(false));
                reply
            };
            // The loop may have been left meanwhile; then nobody waits for it.
            let _ = tell.send(message(query, reply));
        });
    }
}

fn message(query: Query, reply: Result<Reply, Gone>) -> Msg {
    match (query, reply) {
        (Query::Window(query), Ok(Reply::Window(window))) => Msg::Window(query, window),
        (Query::Parts(upload), Ok(Reply::Parts(parts))) => Msg::Parts(upload, parts),
        (Query::Details(_), Ok(Reply::Details(details))) => Msg::Details(details),
        (Query::Preview(settings), Ok(Reply::Preview(preview))) => Msg::Preview(settings, preview),
        _ => Msg::Gone,
    }
}

async fn command_one(engine: &Handle, tell: &UnboundedSender<Msg>, command: Command) {
    let added = matches!(command, Command::Add(_));
    let ending = matches!(command, Command::Stop | Command::StopNow);
    let msg = match engine.command(command).await {
        Ok(outcome) => Msg::Outcome { added, outcome },
        // The engine may be gone before it has answered to its end; the summary tells.
        Err(Gone) if ending => return,
        Err(Gone) => Msg::Gone,
    };
    let _ = tell.send(msg);
}

/// The uploads of a range of rows, however long.
async fn find_range(engine: &Handle, query: WindowQuery) -> Msg {
    let end = query.start + query.rows;
    let mut ids = Vec::with_capacity(query.rows);
    let mut start = query.start;
    while start < end {
        let part = WindowQuery {
            start,
            rows: (end - start).min(WindowQuery::MOST_ROWS),
            ..query.clone()
        };
        match engine.query(Query::Window(part)).await {
            Ok(Reply::Window(window)) if !window.rows.is_empty() => {
                start = window.start + window.rows.len();
                ids.extend(window.rows.iter().map(|row| row.id));
            }
            Ok(_) => break,
            Err(Gone) => return Msg::Gone,
        }
    }
    Msg::Marked(ids)
}

/// The entries of a folder, folders first.
fn list(folder: PathBuf) -> Listing {
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            return Listing {
                folder,
                entries: Vec::new(),
                error: Some(format!("can't be read: {error}")),
            };
        }
    };
    let mut entries: Vec<Entry> = entries
        .filter_map(Result::ok)
        .take(MOST_ENTRIES)
        .filter_map(|entry| {
            let about = std::fs::metadata(entry.path()).ok()?;
            let name = entry.file_name();
            Some(Entry {
                path: entry.path(),
                // What can't be typed is shown as it can be written down.
                name: name
                    .to_str()
                    .map_or_else(|| path::encode(std::path::Path::new(&name)), str::to_owned),
                folder: about.is_dir(),
                media: mime_guess::from_path(entry.path())
                    .first()
                    .is_some_and(|mime| matches!(mime.type_().as_str(), "video" | "audio")),
                size: about.len(),
            })
        })
        .collect();
    entries.sort_by(|one, other| {
        other
            .folder
            .cmp(&one.folder)
            .then_with(|| one.name.cmp(&other.name))
    });
    Listing {
        folder,
        entries,
        error: None,
    }
}
