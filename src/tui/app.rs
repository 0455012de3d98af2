//! What the screen knows: the last answers of the engine and where the person is; draws nothing and
//! does nothing. Clock and size are data in it.

mod dialogs;
mod marks;

use std::{path::PathBuf, time::Duration};

use jiff::tz::TimeZone;
use ratatui::layout::Rect;
use tui_input::Input;

pub(crate) use self::dialogs::{
    Add, AddField, Confirm, Dialog, Entry, Estimate, Help, Listing, Tuning,
};
pub(crate) use self::marks::{Found, Marks, Share};
use super::{
    Detach,
    action::{Action, Pane},
    keys::KeyMap,
    log_view::LogView,
    theme::Theme,
};
use crate::{
    engine::protocol::{
        Counts, Filter, FolderRow, Folds, LimitedBy, Line, LineId, Parts, Phase, Row, Sort, State,
        Summary, Targets, UploadId, Window, WindowQuery,
    },
    settings::Settings,
};

/// Everything the screen is drawn from.
#[derive(Debug)]
// Each is a fact of its own; no two of them make a state.
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct App {
    /// The terminal.
    pub(crate) size: Rect,
    /// The time since the screen was opened.
    pub(crate) now: Duration,
    pub(crate) theme: Theme,
    pub(crate) keys: KeyMap,
    /// Whether the engine lives in another process.
    pub(crate) attached: bool,
    /// Whether it can go on without the screen though it lives in this one.
    pub(crate) detach: Detach,
    /// Where the session is kept, for the summary.
    pub(crate) session_file: Option<PathBuf>,
    /// Where relative paths begin, and what `~` stands for.
    pub(crate) here: PathBuf,
    pub(crate) home: Option<PathBuf>,
    /// By which moments are told.
    pub(crate) zone: TimeZone,
    pub(crate) summary: Summary,
    pub(crate) eta: Eta,
    pub(crate) queue: Queue,
    pub(crate) parts: PartsPane,
    pub(crate) log: LogView,
    pub(crate) log_shown: bool,
    pub(crate) focus: Pane,
    pub(crate) zoom: bool,
    /// The filter while it is typed.
    pub(crate) typing: Option<Input>,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) message: Option<Message>,
    /// Whether the engine has not answered for a while.
    pub(crate) busy: bool,
    /// The settings that were sent last and when, until the engine's summary has them.
    pub(crate) tuned: Option<(Settings, Duration)>,
    pub(crate) leaving: Leaving,
    /// Whether the end was told already, so that it is told once.
    pub(crate) end_told: bool,
}

/// The queue as far as it is on the screen.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) filter: Filter,
    pub(crate) sort: Sort,
    /// Whether files are shown in a tree of their folders.
    pub(crate) tree: bool,
    /// The folders that are folded there.
    pub(crate) folds: Folds,
    pub(crate) window: Window,
    /// Whether a first answer came.
    pub(crate) known: bool,
    /// The line of the cursor within the filtered order.
    pub(crate) cursor: usize,
    /// The first line on the screen.
    pub(crate) offset: usize,
    /// What is under the cursor, once its line is known.
    pub(crate) selected: Option<LineId>,
    pub(crate) marks: Marks,
    /// Where a range was begun.
    pub(crate) anchor: Option<usize>,
    /// Whether the cursor goes to what runs by itself: until the person takes hold of it.
    pub(crate) following: bool,
}

impl Queue {
    /// The line at this place of the filtered order, if it is known.
    pub(crate) fn line(&self, index: usize) -> Option<&Line> {
        self.window.lines.get(index.checked_sub(self.window.start)?)
    }

    /// The place of this line, if it is among the known ones.
    pub(crate) fn place(&self, id: LineId) -> Option<usize> {
        let place = self.window.lines.iter().position(|line| line.id() == id)?;
        Some(self.window.start + place)
    }

    /// The line under the cursor, if it is known.
    pub(crate) fn current(&self) -> Option<&Line> {
        self.line(self.cursor)
            .filter(|line| Some(line.id()) == self.selected)
            .or_else(|| self.line(self.place(self.selected?)?))
    }

    /// The upload under the cursor, if there is one and its line is known.
    pub(crate) fn current_upload(&self) -> Option<&Row> {
        self.current()?.upload()
    }

    /// The folder under the cursor, if there is one and its line is known.
    pub(crate) fn current_folder(&self) -> Option<&FolderRow> {
        self.current()?.folder()
    }

    /// The upload under the cursor, if it is one.
    pub(crate) fn upload(&self) -> Option<UploadId> {
        match self.selected? {
            LineId::Upload(id) => Some(id),
            LineId::Folder(_) => None,
        }
    }

    /// What commands are for: the marks, else what is under the cursor; of a folder, all that is
    /// shown of it.
    pub(crate) fn targets(&self) -> Option<Targets> {
        self.marks.targets().or_else(|| {
            Some(match self.selected? {
                LineId::Upload(id) => Targets::Ids(vec![id]),
                LineId::Folder(id) => Targets::Inside(id, self.filter.clone()),
            })
        })
    }

    /// How much of this line is marked, or in the range that is being marked.
    pub(crate) fn marked(&self, index: usize, line: &Line) -> Share {
        let in_range = self.anchor.is_some_and(|anchor| {
            (anchor.min(self.cursor)..=anchor.max(self.cursor)).contains(&index)
        });
        match (line.upload(), line.folder()) {
            _ if in_range => Share::All,
            (Some(row), _) if self.marks.has(row, &self.filter) => Share::All,
            (_, Some(folder)) => self.marks.share(folder, &self.filter),
            _ => Share::None,
        }
    }

    /// How they are shown, for the engine.
    pub(crate) fn view(&self) -> Option<Folds> {
        self.tree.then(|| self.folds.clone())
    }

    /// What to ask for `rows` lines.
    pub(crate) fn query(&self, rows: usize) -> WindowQuery {
        WindowQuery {
            filter: self.filter.clone(),
            sort: self.sort,
            start: self.offset,
            rows: rows.clamp(1, WindowQuery::MOST_ROWS),
            follow: self.selected,
            follow_running: self.following,
            tree: self.view(),
        }
    }
}

/// The parts of the upload under the cursor.
#[derive(Debug, Default)]
pub(crate) struct PartsPane {
    pub(crate) parts: Option<Parts>,
    /// The first part of the cell under the cursor, from 0.
    pub(crate) cursor: u32,
}

/// A time left that does not jump: it runs down with the clock, and is set anew only when what the
/// engine says is clearly something else.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Eta(Option<(Duration, u64)>);

impl Eta {
    /// Takes what the engine says at `now`.
    pub(crate) fn tell(&mut self, now: Duration, seconds: Option<u64>) {
        let (Some(told), Some(shown)) = (seconds, self.seconds(now)) else {
            self.0 = seconds.map(|seconds| (now, seconds));
            return;
        };
        if told.abs_diff(shown) > (shown / 10).max(3) {
            self.0 = Some((now, told));
        }
    }

    /// What is shown at `now`.
    pub(crate) fn seconds(&self, now: Duration) -> Option<u64> {
        let (at, seconds) = self.0?;
        Some(seconds.saturating_sub(now.saturating_sub(at).as_secs()))
    }
}

/// How something is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
}

/// What there is to say for a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) tone: Tone,
    pub(crate) words: String,
    pub(crate) until: Duration,
}

/// How far leaving has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leaving {
    No,
    /// The engine was told to stop.
    Stopping,
    /// The engine was told to stop at once.
    AtOnce,
}

impl App {
    pub(crate) fn new(theme: Theme, keys: KeyMap) -> Self {
        Self {
            size: Rect::new(0, 0, 80, 24),
            now: Duration::ZERO,
            theme,
            keys,
            attached: false,
            detach: Detach::Never,
            session_file: None,
            here: PathBuf::from("/"),
            home: None,
            zone: TimeZone::UTC,
            summary: Summary::default(),
            eta: Eta::default(),
            queue: Queue {
                following: true,
                tree: true,
                ..Queue::default()
            },
            parts: PartsPane::default(),
            log: LogView::default(),
            log_shown: true,
            focus: Pane::Queue,
            zoom: false,
            typing: None,
            dialog: None,
            message: None,
            busy: false,
            tuned: None,
            leaving: Leaving::No,
            end_told: false,
        }
    }

    /// Whether something on the screen moves by itself, so that it has to be asked for again.
    pub(crate) fn lively(&self) -> bool {
        let summary = &self.summary;
        let waits = matches!(summary.limited_by, LimitedBy::CallBudget { .. });
        let waits = waits || !summary.waits.is_empty();
        // One that was begun may wait for a time that goes down.
        let begun = [State::Creating, State::Uploading, State::Completing];
        let steps = begun.iter().any(|state| summary.counts.of(*state) > 0);
        summary.parts_running > 0
            || summary.parts_retrying > 0
            || (steps && summary.phase == Phase::Running)
            || summary.walk.is_some()
            || summary.phase == Phase::Draining
            || waits
            || matches!(&self.dialog, Some(Dialog::Add(add)) if add.walking.is_some())
            || (self.busy && self.leaving == Leaving::No)
    }

    /// The settings a change starts from: those sent a moment ago, else those in force, so that a
    /// key pressed three times makes three steps.
    pub(crate) fn settings(&self) -> Settings {
        match &self.tuned {
            Some((settings, at)) if self.now.saturating_sub(*at) < Duration::from_secs(1) => {
                settings.clone()
            }
            _ => self.summary.settings.clone(),
        }
    }

    /// How many uploads are not at their end.
    pub(crate) fn left(counts: &Counts) -> usize {
        counts.unsettled() + counts.of(State::Paused)
    }

    /// The label of an action's key, for texts on the screen.
    pub(crate) fn key(&self, action: Action) -> String {
        self.keys.label(action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_time_left_runs_down_and_small_changes_do_not_show() {
        let mut eta = Eta::default();
        assert_eq!(eta.seconds(at(5)), None);
        eta.tell(at(0), Some(100));
        eta.tell(at(1), Some(104));
        assert_eq!(eta.seconds(at(1)), Some(99));
        eta.tell(at(2), Some(140));
        assert_eq!(eta.seconds(at(4)), Some(138));
        eta.tell(at(5), None);
        assert_eq!(eta.seconds(at(5)), None);
    }
}
