//! The last lines of a process's log, bounded, for screens in other processes. Knows no screen, no
//! socket, and nothing of what the lines say.
//!
//! Whoever reads too slowly is told how many lines it missed; whoever logs never waits.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::{Filtered, Targets},
    layer::Context,
};

use crate::error::{clean, clean_within};

/// How many lines are kept.
pub const KEPT: usize = 500;

/// How many characters of a line are kept: a long path and what is to be said of it.
const LONGEST: usize = 1000;

/// How bad a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something failed for good.
    Error,
    /// Something failed and is dealt with.
    Warn,
    /// What a person wants to know.
    Info,
    /// The rest.
    Debug,
}

impl From<&tracing::Level> for Level {
    fn from(level: &tracing::Level) -> Self {
        match *level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            _ => Self::Debug,
        }
    }
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it was said.
    pub at: Timestamp,
    /// How bad it is.
    pub level: Level,
    /// Which part of which program said it.
    pub target: String,
    /// What it says.
    pub words: String,
}

/// What is logged of interest to a person before a screen: what reelhaul says from `debug` on, and
/// warnings of the libraries below it, whose chatter about connections would bury the rest.
#[must_use]
pub fn wanted() -> Targets {
    Targets::new()
        .with_default(tracing::Level::WARN)
        .with_target("reelhaul", tracing::Level::DEBUG)
}

/// The last lines that were logged.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    lines: Mutex<VecDeque<Line>>,
    /// How many lines there ever were.
    count: watch::Sender<u64>,
}

impl Default for Journal {
    fn default() -> Self {
        Self(Arc::new(Kept {
            lines: Mutex::default(),
            count: watch::Sender::new(0),
        }))
    }
}

impl Journal {
    /// Writes down what is logged, as far as it is [`wanted`].
    #[must_use]
    pub fn layer<S: Subscriber>(&self) -> Filtered<impl Layer<S> + use<S>, Targets, S> {
        Scribe(self.clone()).with_filter(wanted())
    }

    /// Keeps a line, made safe to show and bounded in its length, and forgets the oldest for it.
    pub fn push(&self, mut line: Line) {
        line.target = clean(&line.target);
        line.words = clean_within(&line.words, LONGEST);
        let mut lines = self.lines();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
        // Counted before others may look, so that the count is never behind the lines.
        self.0.count.send_modify(|count| *count += 1);
    }

    /// Reads from the oldest line that is kept.
    #[must_use]
    pub fn reader(&self) -> Reader {
        let lines = self.lines();
        let mut count = self.0.count.subscribe();
        count.mark_changed();
        let read = *count.borrow() - lines.len() as u64;
        drop(lines);
        Reader {
            journal: self.clone(),
            count,
            read,
        }
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<Line>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a [`Journal`].
#[derive(Debug)]
pub struct Reader {
    journal: Journal,
    count: watch::Receiver<u64>,
    /// How many lines were read or missed.
    read: u64,
}

impl Reader {
    /// Waits until there are lines that were not read yet; they come oldest first, after one that
    /// says how many were forgotten before they could be read, if any. May be dropped and called
    /// again without a loss.
    pub async fn next(&mut self) -> Vec<Line> {
        loop {
            // The journal is ours: its sender can't be gone.
            let _ = self.count.changed().await;
            let news = self.take();
            if !news.is_empty() {
                return news;
            }
        }
    }

    fn take(&mut self) -> Vec<Line> {
        let lines = self.journal.lines();
        let count = *self.count.borrow_and_update();
        let new = count - self.read;
        self.read = count;
        let there = usize::try_from(new).unwrap_or(usize::MAX).min(lines.len());
        let missed = new - there as u64;
        let there = lines.range(lines.len() - there..);
        let gap = there
            .clone()
            .next()
            .filter(|_| missed > 0)
            .map(|next| Line {
                at: next.at,
                level: Level::Warn,
                target: module_path!().to_owned(),
                words: format!("{missed} lines came faster than they could be shown here"),
            });
        gap.into_iter().chain(there.cloned()).collect()
    }
}

/// Writes events down.
struct Scribe(Journal);

impl<S: Subscriber> Layer<S> for Scribe {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let about = event.metadata();
        let mut words = Words::default();
        event.record(&mut words);
        self.0.push(Line {
            at: Timestamp::now(),
            level: about.level().into(),
            target: about.target().to_owned(),
            words: words.message + &words.fields,
        });
    }
}

/// An event's message, and what else it says.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string can't fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn line(number: usize) -> Line {
        Line {
            at: Timestamp::UNIX_EPOCH,
            level: Level::Info,
            target: "reelhaul::test".into(),
            words: format!("line {number}"),
        }
    }

    #[tokio::test]
    async fn a_reader_gets_what_is_kept_and_then_what_follows() {
        let journal = Journal::default();
        (0..3).for_each(|number| journal.push(line(number)));
        let mut reader = journal.reader();
        assert_eq!(reader.next().await, [line(0), line(1), line(2)]);
        journal.push(line(3));
        assert_eq!(reader.next().await, [line(3)]);
    }

    #[tokio::test]
    async fn a_slow_reader_costs_no_memory_and_is_told_what_it_missed() {
        let journal = Journal::default();
        let mut reader = journal.reader();
        (0..KEPT + 20).for_each(|number| journal.push(line(number)));
        assert_eq!(journal.lines().len(), KEPT);
        let news = reader.next().await;
        assert!(news[0].words.starts_with("20 lines"), "{:?}", news[0]);
        assert_eq!(news[1], line(20));
        assert_eq!(news.last(), Some(&line(KEPT + 19)));
    }

    #[tokio::test]
    async fn what_is_logged_is_written_down_made_safe_and_chatter_left_out() {
        let journal = Journal::default();
        let log = tracing_subscriber::registry().with(journal.layer());
        tracing::subscriber::with_default(log, || {
            tracing::warn!(target: "reelhaul::engine", upload = 7, "\u{1b}[31mred\u{202e}.mov\nfailed");
            tracing::debug!(target: "reelhaul::engine", "a detail, see https://x.example/p?sig=SECRET");
            tracing::info!(target: "hyper_util::client", "chatter");
        });
        let said: Vec<_> = journal
            .reader()
            .next()
            .await
            .into_iter()
            .map(|line| (line.level, line.target, line.words))
            .collect();
        let engine = || "reelhaul::engine".to_owned();
        assert_eq!(
            said,
            [
                (Level::Warn, engine(), "[31mred .mov failed upload=7".into()),
                (
                    Level::Debug,
                    engine(),
                    "a detail, see https://x.example/p?…".into()
                ),
            ]
        );
    }
}
