//! A session without a screen: what happens as lines or JSON, and an exit code at the end. Knows the
//! engine by its [`Handle`] alone.
//!
//! A reader that goes away (`| head`) ends the lines, not the uploads. One that stops reading is waited
//! for at the end alone, and then only until someone asks for the end.

mod lines;
mod watch;

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch as value},
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};

use self::lines::Lines;
pub use self::{
    lines::Style,
    watch::{Watched, watch},
};
use crate::engine::{
    Handle,
    protocol::{Command, Event, Phase, State, Summary},
};

/// How often progress is told, while there is any.
const EVERY: Duration = Duration::from_secs(3);

/// For how long a session that looks settled from the first moment is given to say otherwise.
const GRACE: Duration = Duration::from_millis(500);

/// How many events are written in one go.
const BURST: usize = 1024;

/// How a session ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The session, as the engine told it last.
    pub summary: Summary,
    /// Whether a person or the system stopped it before its work was done.
    pub interrupted: bool,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// 0: all queued files are uploaded; 1: something failed or was left; 130: interrupted, and the
    /// session is saved.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let saved = self.summary.phase == Phase::Stopped && self.summary.save_error.is_none();
        let all = self.summary.left() == 0;
        match (saved, self.interrupted, all) {
            (true, true, _) => 130,
            (true, false, true) => 0,
            _ => 1,
        }
    }
}

/// Writes what happens to `out` until everything is settled and no walk is under way; then stops the
/// engine, and ends with the summary as the last line. What is to be walked has to be added before:
/// from the moment [`Command::Add`] is answered on, every new summary has to show the walk.
///
/// Each message on `stops` is a wish to end: the first stops the engine, the second at once.
///
/// `screens` tells how many are attached from elsewhere. While there are any, a session of which
/// something is left is not ended, since a person may want to try it again; and what a person has
/// paused there stays with them when they leave.
pub async fn run(
    handle: Handle,
    events: mpsc::UnboundedReceiver<Event>,
    stops: mpsc::Receiver<()>,
    out: impl Write + Send + 'static,
    style: Style,
    screens: value::Receiver<usize>,
) -> Report {
    let mut console = Console::new(out, style, stops);
    let report = console.run(handle, events, screens).await;
    console.end().await;
    report
}

/// Where lines go and wishes to end come from, for several sessions one after another: a reader that
/// stops holds up none of them, and no wish is missed between two.
#[derive(Debug)]
pub struct Console {
    lines: Lines,
    stops: mpsc::Receiver<()>,
    /// How many wishes there were.
    wishes: usize,
}

impl Console {
    /// Lines of this style go to `out`; each message on `stops` is a wish to end.
    pub fn new(out: impl Write + Send + 'static, style: Style, stops: mpsc::Receiver<()>) -> Self {
        Self {
            lines: Lines::new(out, style),
            stops,
            wishes: 0,
        }
    }

    /// Whether the end was wished for.
    pub fn is_stopped(&mut self) -> bool {
        while self.stops.try_recv().is_ok() {
            self.wishes += 1;
        }
        self.wishes > 0
    }

    /// Returns once the end is wished for.
    pub async fn stopped(&mut self) {
        if self.wishes > 0 {
            return;
        }
        match self.stops.recv().await {
            Some(()) => self.wishes += 1,
            None => std::future::pending().await,
        }
    }

    /// Writes that the lines of this session follow.
    pub fn introduce(&mut self, session: &str) {
        self.lines.session(session);
    }

    /// One session, as [`run`] has it.
    pub async fn run(
        &mut self,
        handle: Handle,
        mut events: mpsc::UnboundedReceiver<Event>,
        screens: value::Receiver<usize>,
    ) -> Report {
        let Self {
            lines,
            stops,
            wishes,
        } = self;
        lines.begin();
        let mut visits = Visits::new(screens);
        let begun = Instant::now();
        let mut summary = handle.summary();
        // What was told before may be older than the walk that was just asked for.
        summary.borrow_and_update();
        let mut trusted = false;
        let grace = sleep(GRACE);
        tokio::pin!(grace);
        let mut tick = interval_at(begun + EVERY, EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut burst = Vec::new();
        let (mut hearing, mut stoppable) = (true, true);
        let (mut settled, mut interrupted) = (false, false);
        loop {
            tokio::select! {
                count = events.recv_many(&mut burst, BURST), if hearing => {
                    hearing = count > 0;
                    lines.events(burst.drain(..));
                }
                wish = stops.recv(), if stoppable => {
                    stoppable = wish.is_some();
                    if stoppable {
                        *wishes += 1;
                        interrupted |= unfinished(&summary.borrow());
                        lines.stopping(*wishes == 1);
                        let command = if *wishes == 1 { Command::Stop } else { Command::StopNow };
                        tell(&handle, command);
                    }
                }
                changed = summary.changed() => {
                    trusted = true;
                    if changed.is_err() {
                        break;
                    }
                }
                () = visits.changed() => {}
                () = &mut grace, if !trusted => trusted = true,
                _ = tick.tick() => lines.progress(&summary.borrow()),
            }
            let phase = summary.borrow().phase;
            if phase == Phase::Stopped {
                break;
            }
            let over = !unfinished(&summary.borrow()) && !visits.keep(&summary.borrow());
            if trusted && !settled && *wishes == 0 && over {
                settled = true;
                tell(&handle, Command::Stop);
            }
        }
        // What was sent before the last summary is in the channel by now.
        while let Ok(event) = events.try_recv() {
            lines.events([event]);
        }
        let report = Report {
            summary: summary.borrow().clone(),
            interrupted,
            took: begun.elapsed(),
        };
        lines.summary(&report);
        report
    }

    /// Ends it once all lines are written.
    pub async fn end(mut self) {
        written(self.lines, &mut self.stops, self.wishes > 0).await;
    }
}

/// Waits until all lines are written: as long as their reader takes, but a moment only once someone
/// has asked for the end. However often that is asked, a reader that reads gets the last line.
async fn written(lines: Lines, stops: &mut mpsc::Receiver<()>, asked: bool) {
    let at_most = if asked { GRACE } else { Duration::MAX };
    let flushed = tokio::task::spawn_blocking(move || lines.flush(at_most));
    let enough = async {
        if asked || stops.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        sleep(GRACE).await;
    };
    tokio::select! {
        _ = flushed => {}
        () = enough => {}
    }
}

/// Screens attached from elsewhere, now and before.
struct Visits {
    screens: value::Receiver<usize>,
    now: bool,
    ever: bool,
}

impl Visits {
    fn new(mut screens: value::Receiver<usize>) -> Self {
        let now = *screens.borrow_and_update() > 0;
        Self {
            screens,
            now,
            ever: now,
        }
    }

    /// Returns when screens came or went; never when none can come any more.
    async fn changed(&mut self) {
        if self.screens.changed().await.is_err() {
            self.now = false;
            std::future::pending::<()>().await;
        }
        self.now = *self.screens.borrow_and_update() > 0;
        self.ever |= self.now;
    }

    /// Whether a person may still want something of a session that stands still.
    fn keep(&self, summary: &Summary) -> bool {
        let paused = summary.counts.of(State::Paused) > 0;
        summary.counts.left() > 0 && (self.now || (self.ever && paused))
    }
}

/// The signals by which a system or a person asks a process to end, as [`run`] takes them: SIGINT
/// and SIGTERM, and SIGHUP when a lost terminal shall end it too; else that is ignored. From now on
/// none of them ends the process by itself.
///
/// Must be called within a tokio runtime.
///
/// # Errors
/// When the system refuses to hand them over.
pub fn stop_signals(hangup_stops: bool) -> io::Result<mpsc::Receiver<()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (wish, wishes) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {
                    if !hangup_stops {
                        continue;
                    }
                }
                () = wish.closed() => return,
            }
            if wish.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(wishes)
}

/// Whether there is still something to do: uploads, or a walk that may find some.
fn unfinished(summary: &Summary) -> bool {
    summary.walk.is_some() || !matches!(summary.phase, Phase::Settled | Phase::Stopped)
}

/// Commands the engine without waiting: it may answer only when all is over, and lines have to go
/// on until then.
fn tell(handle: &Handle, command: Command) {
    let handle = handle.clone();
    // When it is gone, the summary's end tells.
    tokio::spawn(async move { handle.command(command).await });
}

#[cfg(test)]
mod tests;
