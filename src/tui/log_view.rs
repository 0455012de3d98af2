//! The log on the screen: what is recorded for it, and what of that is shown; the drawing itself is
//! `tui-logger`'s.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Mutex, PoisonError},
};

use jiff::{Timestamp, Zoned, tz::TimeZone};
use tokio::sync::Notify;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};
use tui_logger::{
    Drain, ExtLogRecord, LevelFilter, TuiTracingSubscriberLayer, TuiWidgetEvent, TuiWidgetState,
};

use crate::journal;

/// How many lines are kept.
const KEPT: usize = 10_000;

/// Told when there is something new in the log, so that an idle screen shows it.
static LOGGED: Notify = Notify::const_new();

/// Who has said something so far.
static SPEAKERS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
/// More than this many are not told apart.
const MOST_SPEAKERS: usize = 200;

fn has_spoken(target: &str) {
    let mut speakers = SPEAKERS.lock().unwrap_or_else(PoisonError::into_inner);
    if !speakers.contains(target) && speakers.len() < MOST_SPEAKERS {
        speakers.insert(target.to_owned());
    }
}

/// Hands events to `tui-logger` and wakes the screen.
#[derive(Debug)]
struct Tell;

impl<S: Subscriber> Layer<S> for Tell {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        has_spoken(event.metadata().target());
        LOGGED.notify_one();
    }
}

/// The layer that feeds the log pane.
#[must_use]
pub fn log_layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tui_logger::set_default_level(LevelFilter::Trace);
    tui_logger::set_buffer_depth(KEPT);
    TuiTracingSubscriberLayer
        .and_then(Tell)
        .with_filter(journal::wanted())
}

/// Shows a line that was logged by another process, at another time.
fn repeat(line: &journal::Line) {
    let level = match line.level {
        journal::Level::Error => log::Level::Error,
        journal::Level::Warn => log::Level::Warn,
        journal::Level::Info => log::Level::Info,
        journal::Level::Debug => log::Level::Debug,
    };
    has_spoken(&line.target);
    // `tui-logger` dates what it is handed itself; when it was said travels where a record says
    // which module said it, which its target tells as well.
    Drain::new().log(
        &log::Record::builder()
            .level(level)
            .target(&line.target)
            .module_path(Some(&line.at.to_string()))
            .args(format_args!("{}", line.words))
            .build(),
    );
}

/// When a line was said, in the time of this place.
pub(crate) fn said_at(record: &ExtLogRecord) -> Zoned {
    let elsewhere = record.module_path().and_then(|at| at.parse().ok());
    elsewhere.map_or_else(
        || record.timestamp.clone(),
        |at: Timestamp| at.to_zoned(TimeZone::system()),
    )
}

/// Makes the log pane the place where everything logged in this process goes.
///
/// # Errors
/// When something else is that already.
pub fn init_logging() -> Result<(), tracing_subscriber::util::TryInitError> {
    tracing_subscriber::registry().with(log_layer()).try_init()
}

/// Waits until something is logged here, or by the process whose log this reads, and takes it in.
pub(crate) async fn logged(elsewhere: &mut Option<journal::Reader>) {
    let Some(log) = elsewhere else {
        return LOGGED.notified().await;
    };
    tokio::select! {
        () = LOGGED.notified() => {}
        lines = log.next() => lines.iter().for_each(repeat),
    }
}

/// Takes what was logged since the last time into what is shown.
pub(crate) fn collect() {
    tui_logger::move_events();
}

/// The levels that can be chosen, from little to much.
const LEVELS: [(LevelFilter, &str); 4] = [
    (LevelFilter::Error, "errors"),
    (LevelFilter::Warn, "warnings"),
    (LevelFilter::Info, "info"),
    (LevelFilter::Debug, "debug"),
];

/// What of the log is shown.
pub(crate) struct LogView {
    pub(crate) state: TuiWidgetState,
    level: usize,
    target: Option<String>,
    pub(crate) following: bool,
}

impl fmt::Debug for LogView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogView")
            .field("level", &LEVELS[self.level].1)
            .field("target", &self.target)
            .field("following", &self.following)
            .finish_non_exhaustive()
    }
}

impl Default for LogView {
    fn default() -> Self {
        let mut view = Self {
            state: TuiWidgetState::new(),
            level: 2,
            target: None,
            following: true,
        };
        view.choose();
        view
    }
}

impl LogView {
    /// Shows more (`1`) or less (`-1`).
    pub(crate) fn change_level(&mut self, by: isize) {
        self.level = self.level.saturating_add_signed(by).min(LEVELS.len() - 1);
        self.choose();
    }

    /// Shows only the next of those who have said something; after the last, all.
    pub(crate) fn next_target(&mut self) {
        let speakers = SPEAKERS.lock().unwrap_or_else(PoisonError::into_inner);
        self.target = match &self.target {
            None => speakers.first().cloned(),
            Some(target) => speakers.iter().find(|speaker| *speaker > target).cloned(),
        };
        drop(speakers);
        self.choose();
    }

    /// Moves through what is kept; stops following.
    pub(crate) fn page(&mut self, up: bool) {
        self.following = false;
        self.state.transition(if up {
            TuiWidgetEvent::PrevPageKey
        } else {
            TuiWidgetEvent::NextPageKey
        });
    }

    /// Follows what is new, or holds still.
    pub(crate) fn follow(&mut self, follow: bool) {
        self.following = follow;
        self.state.transition(if follow {
            TuiWidgetEvent::EscapeKey
        } else {
            TuiWidgetEvent::PrevPageKey
        });
    }

    /// The level in a word.
    pub(crate) fn level_word(&self) -> &'static str {
        LEVELS[self.level].1
    }

    /// Whose lines alone are shown.
    pub(crate) fn target_word(&self) -> Option<&str> {
        let target = self.target.as_deref()?;
        Some(target.trim_start_matches("reelhaul::"))
    }

    fn choose(&mut self) {
        let level = LEVELS[self.level].0;
        self.following = true;
        self.state = match &self.target {
            None => TuiWidgetState::new().set_default_display_level(level),
            Some(target) => TuiWidgetState::new()
                .set_default_display_level(LevelFilter::Off)
                .set_level_for_target(target, level),
        };
    }
}
