//! The one table of keys: what each does, in words.

use crate::tui::action::{Action, Pane};

/// What belongs together in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Queue,
    Find,
    Parts,
    Tuning,
    Log,
    Move,
    Session,
}

impl Group {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Group::Queue => "Files",
            Group::Find => "Find, sort, mark",
            Group::Parts => "Parts of a file",
            Group::Tuning => "Tune while it runs",
            Group::Log => "Log",
            Group::Move => "Move about",
            Group::Session => "Session",
        }
    }
}

/// Where a key means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Everywhere,
    Only(Pane),
}

impl Scope {
    pub(super) fn covers(self, pane: Pane) -> bool {
        self == Scope::Everywhere || self == Scope::Only(pane)
    }

    pub(super) fn meets(self, other: Scope) -> bool {
        match (self, other) {
            (Scope::Only(one), Scope::Only(two)) => one == two,
            _ => true,
        }
    }
}

/// One line of the table.
pub(super) struct Entry {
    pub(super) action: Action,
    /// The name in the config's `[keys]`.
    pub(super) id: &'static str,
    pub(super) keys: &'static str,
    pub(super) group: Group,
    pub(super) scope: Scope,
    /// The help.
    pub(super) words: &'static str,
    /// The hint in the footer with its rank (small stays longest), where it deserves one.
    pub(super) hint: Option<(u8, &'static str)>,
}

const fn entry(
    group: Group,
    scope: Scope,
    action: Action,
    id: &'static str,
    keys: &'static str,
    words: &'static str,
    hint: Option<(u8, &'static str)>,
) -> Entry {
    Entry {
        action,
        id,
        keys,
        group,
        scope,
        words,
        hint,
    }
}

const ALL: Scope = Scope::Everywhere;
const QUEUE: Scope = Scope::Only(Pane::Queue);
const PARTS: Scope = Scope::Only(Pane::Parts);
const LOG: Scope = Scope::Only(Pane::Log);

#[rustfmt::skip]
pub(super) const TABLE: &[Entry] = &[
    entry(Group::Queue, ALL, Action::Add, "add", "a", "add files or folders", Some((2, "add"))),
    entry(Group::Queue, ALL, Action::Pause, "pause", "p", "pause the file, folder or marks, or go on", Some((3, "pause"))),
    entry(Group::Queue, ALL, Action::PauseAll, "pause_all", "P", "pause everything, or go on with it", None),
    entry(Group::Queue, ALL, Action::RetryFile, "retry", "r", "try again what failed of the file, folder or marks", Some((4, "retry"))),
    entry(Group::Queue, ALL, Action::RetryAll, "retry_all", "R", "try again everything that failed", None),
    entry(Group::Queue, ALL, Action::StartOver, "start_over", "S", "begin the file, folder or marks anew", None),
    entry(Group::Queue, ALL, Action::Skip, "skip", "X", "leave changed or failed files out", None),
    entry(Group::Queue, ALL, Action::Remove, "remove", "x del", "take the file, folder or marks out of the queue", None),
    entry(Group::Queue, QUEUE, Action::MoveUp, "move_up", "K shift-up", "move up in the queue", None),
    entry(Group::Queue, QUEUE, Action::MoveDown, "move_down", "J shift-down", "move down in the queue", None),
    entry(Group::Queue, QUEUE, Action::MoveFirst, "move_first", "H", "move to the head of the queue", None),
    entry(Group::Queue, QUEUE, Action::MoveLast, "move_last", "E", "move to the end of the queue", None),
    entry(Group::Queue, ALL, Action::Details, "details", "i", "everything about the file", Some((8, "details"))),

    entry(Group::Find, ALL, Action::Filter, "filter", "/", "show only names that contain what is typed", Some((6, "filter"))),
    entry(Group::Find, ALL, Action::Show, "show", "f", "show all, running, failed, waiting or done ones", Some((7, "show"))),
    entry(Group::Find, ALL, Action::Sort, "sort", "o", "sort by queue, name, size, progress, state, speed", Some((10, "sort"))),
    entry(Group::Find, ALL, Action::Reverse, "reverse", "O", "sort the other way round", None),
    entry(Group::Find, QUEUE, Action::Tree, "tree", "t", "files in a tree of their folders, or all in a row", Some((13, "tree"))),
    entry(Group::Find, QUEUE, Action::Fold, "fold", "c", "fold or unfold the folder", Some((5, "fold"))),
    entry(Group::Find, QUEUE, Action::FoldAll, "fold_all", "C", "fold all folders", None),
    entry(Group::Find, QUEUE, Action::UnfoldAll, "unfold_all", "U", "unfold all folders", None),
    entry(Group::Find, QUEUE, Action::Mark, "mark", "space", "mark the file or folder, or take its mark away", Some((9, "mark"))),
    entry(Group::Find, QUEUE, Action::MarkRange, "mark_range", "v", "begin a range here; again: mark it", None),
    entry(Group::Find, QUEUE, Action::MarkAll, "mark_all", "*", "mark all the filter lets through, or none", None),

    entry(Group::Parts, PARTS, Action::RetryPart, "retry_part", "t", "try the part under the cursor again, now", Some((1, "retry part"))),

    entry(Group::Tuning, ALL, Action::Tune, "tune", "T", "all settings, by key or by typing a value", Some((5, "tune"))),
    entry(Group::Tuning, ALL, Action::PartsMore, "more_parts", "+ =", "one more part in flight", None),
    entry(Group::Tuning, ALL, Action::PartsLess, "fewer_parts", "-", "one part in flight less", None),
    entry(Group::Tuning, ALL, Action::FilesMore, "more_files", ")", "one more file in flight", None),
    entry(Group::Tuning, ALL, Action::FilesLess, "fewer_files", "(", "one file in flight less", None),
    entry(Group::Tuning, ALL, Action::SizeMore, "larger_parts", "]", "larger parts: shows what it would do first", None),
    entry(Group::Tuning, ALL, Action::SizeLess, "smaller_parts", "[", "smaller parts: shows what it would do first", None),
    entry(Group::Tuning, ALL, Action::BandwidthMore, "more_bandwidth", ">", "more bandwidth", None),
    entry(Group::Tuning, ALL, Action::BandwidthLess, "less_bandwidth", "<", "less bandwidth", None),

    entry(Group::Log, ALL, Action::Log, "log", "L", "show or hide the log", Some((11, "log"))),
    entry(Group::Log, LOG, Action::LogMore, "log_more", "m", "show more of the log: info, debug", Some((1, "more"))),
    entry(Group::Log, LOG, Action::LogLess, "log_less", "n", "show less of the log: warnings, errors", Some((1, "less"))),
    entry(Group::Log, LOG, Action::LogTarget, "log_target", "t", "only what one part of the program says", Some((1, "target"))),
    entry(Group::Log, LOG, Action::LogFollow, "log_follow", "space", "hold the log still, or follow it", Some((1, "hold"))),

    entry(Group::Move, ALL, Action::Up, "up", "k up", "up", None),
    entry(Group::Move, ALL, Action::Down, "down", "j down", "down", None),
    entry(Group::Move, ALL, Action::PageUp, "page_up", "ctrl-u pgup ctrl-b", "a page up", None),
    entry(Group::Move, ALL, Action::PageDown, "page_down", "ctrl-d pgdn ctrl-f", "a page down", None),
    entry(Group::Move, ALL, Action::First, "first", "g home", "to the first", None),
    entry(Group::Move, ALL, Action::Last, "last", "G end", "to the last", None),
    entry(Group::Move, ALL, Action::Left, "left", "h left", "fold the folder, or to the one it is in; left in the parts", None),
    entry(Group::Move, ALL, Action::Right, "right", "l right", "unfold the folder, or into it; right in the parts", None),
    entry(Group::Move, ALL, Action::Open, "open", "enter", "fold a folder or not; into the parts of a file; a part's story", None),
    entry(Group::Move, ALL, Action::Back, "back", "esc", "back; marks and filter away; then follow what runs", None),
    entry(Group::Move, ALL, Action::NextPane, "next_pane", "tab", "to the next pane", None),
    entry(Group::Move, ALL, Action::PreviousPane, "previous_pane", "shift-tab", "to the pane before", None),
    entry(Group::Move, ALL, Action::Zoom, "zoom", "z", "give the pane the whole screen, or not", Some((12, "zoom"))),

    entry(Group::Session, ALL, Action::Help, "help", "? f1", "this help", Some((0, "help"))),
    entry(Group::Session, ALL, Action::Summary, "summary", "e", "what was done so far", None),
    entry(Group::Session, ALL, Action::Save, "save", "w ctrl-s", "write the session to disk, now", None),
    entry(Group::Session, ALL, Action::Redraw, "redraw", "ctrl-l", "draw the screen anew", None),
    entry(Group::Session, ALL, Action::Suspend, "suspend", "ctrl-z", "put the program to sleep; fg wakes it", None),
    entry(Group::Session, ALL, Action::Detach, "detach", "D", "leave; the session goes on without a screen", None),
    entry(Group::Session, ALL, Action::Quit, "quit", "q", "stop cleanly, save and quit", Some((0, "quit"))),
    entry(Group::Session, ALL, Action::Stop, "stop", "ctrl-c", "the same without asking; again: at once", None),
];
