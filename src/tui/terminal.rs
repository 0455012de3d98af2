//! The terminal of this process: taken, given back, put to sleep and woken. Given back whatever
//! happens: on drop, and by the panic hook before the panic is told.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, IsTerminal as _, Stdout, Write as _},
    mem,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use crossterm::{
    cursor::Show,
    event::{DisableBracketedPaste, EnableBracketedPaste, Event},
    execute, queue,
    style::Print,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use futures_util::{Stream, StreamExt as _, stream};
use ratatui::{Terminal, backend::CrosstermBackend};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{
    Error,
    run::{Hold, Outside},
};

/// Clicks and the wheel, without the movements in between, which would fill a slow line.
const CLICKS_ON: &str = "\x1b[?1000h\x1b[?1006h";
const CLICKS_OFF: &str = "\x1b[?1006l\x1b[?1000l";

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours.
pub(super) struct Screen {
    /// What is drawn on; every frame is one write.
    pub(super) terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn open(mouse: bool) -> Result<Self, Error> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(Error::NoScreen("this is no terminal"));
        }
        if std::env::var("TERM").is_ok_and(|term| term == "dumb") {
            return Err(Error::NoScreen("a dumb terminal can't be drawn on"));
        }
        give_back_on_panic();
        enter(mouse).map_err(Error::terminal)?;
        let writer = BufWriter::with_capacity(64 * 1024, io::stdout());
        let terminal = Terminal::new(CrosstermBackend::new(writer)).map_err(|error| {
            give_back();
            Error::terminal(error)
        })?;
        Ok(Self { terminal })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
        if !io::stdout().is_terminal() {
            // Nobody is told when this fails: there is nobody left.
            drop(lead_nowhere());
        }
    }
}

/// Input, output and errors of a terminal that is gone lead nowhere from now on. On that terminal
/// each word to it would fail, and `eprintln!` panics then, ratatui's own in the drop of its
/// terminal among them.
fn lead_nowhere() -> io::Result<()> {
    // Crossterm's thread reads on. From a terminal that is gone, as from `/dev/null`, it would get
    // nothing again and again and never rest; from a pipe that nobody writes to it waits for ever.
    let (silence, writer) = io::pipe()?;
    rustix::stdio::dup2_stdin(&silence)?;
    mem::forget(writer);
    let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    Ok(())
}

/// The hold on this process's terminal.
pub(super) struct Ours {
    pub(super) mouse: bool,
}

impl Hold for Ours {
    fn suspend(&mut self) -> io::Result<()> {
        give_back();
        // The whole job, as the terminal itself would: whoever started us may wait for us in it.
        rustix::process::kill_current_process_group(rustix::process::Signal::STOP)?;
        enter(self.mouse)
    }

    fn take(&mut self) -> io::Result<()> {
        enter(self.mouse)
    }

    fn lost(&self) -> bool {
        !TAKEN.load(Ordering::SeqCst)
    }
}

/// Makes the terminal ours: raw, on the alternate screen.
fn enter(mouse: bool) -> io::Result<()> {
    TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    let mut out = io::stdout();
    queue!(out, EnterAlternateScreen, EnableBracketedPaste)?;
    if mouse {
        queue!(out, Print(CLICKS_ON))?;
    }
    out.flush()
}

/// Gives the terminal back as it was. Done once, however often it is asked for.
fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // Nothing can be done about a terminal that is gone.
    let _ = execute!(
        io::stdout(),
        Print(CLICKS_OFF),
        DisableBracketedPaste,
        LeaveAlternateScreen,
        Show
    );
    let _ = disable_raw_mode();
}

/// A panic's words belong on the terminal as the person knows it, not on ours.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            give_back();
            usual(info);
        }));
    });
}

/// Everything that comes from outside: what is typed, and the signals.
pub(super) fn outside(
    events: impl Stream<Item = io::Result<Event>> + Unpin,
) -> io::Result<impl Stream<Item = Outside> + Unpin> {
    let told = |kind: SignalKind, what: fn() -> Outside| {
        signal(kind).map(|mut signal: Signal| {
            stream::poll_fn(move |context| {
                signal.poll_recv(context).map(|got| got.map(|()| what()))
            })
        })
    };
    let sleep = told(SignalKind::from_raw(SIGTSTP), || Outside::Suspend)?;
    let wake = told(SignalKind::from_raw(SIGCONT), || Outside::Awake)?;
    let end = stream::select(
        told(SignalKind::terminate(), || Outside::Stop)?,
        stream::select(
            told(SignalKind::hangup(), || Outside::Hangup)?,
            told(SignalKind::interrupt(), || Outside::Stop)?,
        ),
    );
    let events = events.map(|event| match event {
        Ok(event) => Outside::Event(event),
        Err(_) => Outside::Hangup,
    });
    // A terminal that is gone ends the stream of events; that is an end like a hang-up.
    let events = events.chain(stream::once(std::future::ready(Outside::Hangup)));
    Ok(stream::select(
        events,
        stream::select(end, stream::select(sleep, wake)),
    ))
}

const SIGTSTP: i32 = rustix::process::Signal::TSTP.as_raw();
const SIGCONT: i32 = rustix::process::Signal::CONT.as_raw();
