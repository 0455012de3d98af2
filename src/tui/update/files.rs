//! Commands on files and parts, and the marks that say which.

use crate::{
    engine::protocol::{
        Command, Entry, FolderRow, Place, Row, Sort, SortBy, State, Targets, WindowQuery,
    },
    format,
    tui::{
        action::Action,
        app::{App, Confirm, Dialog, Found, Share, Tone},
        update::{Effect, moving, say},
    },
};

/// A command on the marks, the upload under the cursor, or all.
pub(super) fn command(app: &mut App, action: Action) -> Vec<Effect> {
    match action {
        Action::PauseAll => {
            return vec![Effect::Command(if app.summary.counts.all_paused() {
                Command::Resume(Targets::All)
            } else {
                Command::Pause(Targets::All)
            })];
        }
        Action::RetryAll => return vec![Effect::Command(Command::Retry(Targets::All))],
        Action::RetryPart => return retry_part(app),
        _ => {}
    }
    if !take_range(app) {
        return Vec::new();
    }
    let Some(targets) = app.queue.targets() else {
        say(app, Tone::Plain, "there is no file here");
        return Vec::new();
    };
    let command = match action {
        Action::Pause if held(app) => Command::Resume(targets),
        Action::Pause => Command::Pause(targets),
        Action::RetryFile => Command::Retry(targets),
        Action::Skip => return ask_first(app, Command::Skip(targets)),
        Action::StartOver => return ask_first(app, Command::StartOver(targets)),
        Action::Remove => return ask_first(app, Command::Remove(targets)),
        _ => return reorder(app, targets, action),
    };
    vec![Effect::Command(command)]
}

fn reorder(app: &mut App, targets: Targets, action: Action) -> Vec<Effect> {
    if app.queue.sort != Sort::default() {
        let words = if app.queue.sort.by == SortBy::Queue {
            format!(
                "the queue is shown backwards; {} turns it",
                app.key(Action::Reverse)
            )
        } else {
            format!("sort by queue order first ({})", app.key(Action::Sort))
        };
        say(app, Tone::Bad, words);
        return Vec::new();
    }
    let place = match action {
        Action::MoveUp => Place::Up,
        Action::MoveDown => Place::Down,
        Action::MoveFirst => Place::Top,
        _ => Place::Bottom,
    };
    vec![Effect::Command(Command::Move(targets, place))]
}

/// Whether all that is known of the targets is paused.
pub(in crate::tui) fn held(app: &App) -> bool {
    let queue = &app.queue;
    if queue.marks.is_empty() {
        return queue.current().is_some_and(|line| match &line.entry {
            Entry::Upload(row) => row.state == State::Paused,
            Entry::Folder(folder) => folder.totals.counts.all_paused(),
        });
    }
    let lines = queue.window.lines.iter().enumerate();
    let marked =
        lines.filter(|(at, line)| queue.marked(queue.window.start + at, line) != Share::None);
    // Of a folder that is not folded the lines tell themselves.
    let mut live = marked
        .filter_map(|(_, line)| match &line.entry {
            Entry::Upload(row) if row.state == State::Paused => Some(true),
            Entry::Upload(row) => (!row.state.settled()).then_some(false),
            Entry::Folder(folder) if folder.folded => Some(folder.totals.counts.all_paused()),
            Entry::Folder(_) => None,
        })
        .peekable();
    live.peek().is_some() && live.all(|held| held)
}

fn retry_part(app: &mut App) -> Vec<Effect> {
    let Some(upload) = app.queue.upload() else {
        return Vec::new();
    };
    if let Some(part) = moving::failed_part(app) {
        return vec![Effect::Command(Command::RetryPart {
            upload,
            part: part.number,
        })];
    }
    say(
        app,
        Tone::Plain,
        "nothing failed in the part under the cursor",
    );
    Vec::new()
}

/// Asks where something would be lost; what loses nothing is done at once.
fn ask_first(app: &mut App, command: Command) -> Vec<Effect> {
    let skipping = matches!(command, Command::Skip(_));
    let removing = matches!(command, Command::Remove(_));
    let loss = |row: &Row| match row.state {
        State::Done => removing,
        // To leave these out is what there is to be done about them.
        State::Failed | State::Changed if skipping => false,
        _ => row.acknowledged > 0 || row.in_flight > 0 || row.parts > 0,
    };
    let single = app.queue.current().filter(|_| app.queue.marks.is_empty());
    let harmless = single.is_some_and(|line| line.upload().is_some_and(|row| !loss(row)));
    if harmless {
        return vec![Effect::Command(command)];
    }
    let mut lines = match single.map(|line| &line.entry) {
        Some(Entry::Upload(row)) => about_file(row),
        Some(Entry::Folder(folder)) => about_folder(folder),
        None if app.queue.marks.is_empty() => return Vec::new(),
        None => about_marks(app),
    };
    let done = match single.map(|line| &line.entry) {
        Some(Entry::Upload(row)) => row.state == State::Done,
        Some(Entry::Folder(folder)) => folder.totals.counts.of(State::Done) > 0,
        None => app.summary.counts.of(State::Done) > 0,
    };
    lines.push(String::new());
    let (title, yes, what_follows) = match command {
        Command::Remove(_) => (
            "Take out of the queue?",
            "remove",
            [
                "The files on this disk stay. What the destination has of",
                "unfinished uploads is not used again.",
            ],
        ),
        Command::Skip(_) => (
            "Leave out?",
            "leave out",
            [
                "They stay in the queue as skipped. What the destination has",
                "of unfinished uploads is not used again.",
            ],
        ),
        _ => (
            "Begin anew?",
            "start over",
            [
                "The unfinished media object is removed at the destination,",
                "and everything is sent again.",
            ],
        ),
    };
    lines.extend(what_follows.map(str::to_owned));
    if removing && done {
        lines.extend(FORGOTTEN.map(str::to_owned));
    }
    app.dialog = Some(Dialog::Confirm(Confirm {
        title: title.to_owned(),
        lines,
        yes,
        command,
    }));
    Vec::new()
}

/// What it means to take out what is uploaded.
const FORGOTTEN: [&str; 2] = [
    "The media ids of what is uploaded are forgotten here: added",
    "again, it is uploaded again.",
];

/// What a command on what is marked is for: also on what the filter hides now.
fn about_marks(app: &App) -> Vec<String> {
    let (queue, window) = (&app.queue, &app.queue.window);
    let count = queue
        .marks
        .count(&queue.filter, window.matching, window.total);
    let mut lines = vec![count.map_or_else(
        || "All marked files, however many they are by now.".to_owned(),
        |count| format::count(count, "marked file"),
    )];
    if queue.marks.reach_beyond(&queue.filter) {
        lines.push("They were marked under another filter: those that are".to_owned());
        lines.push("hidden now are among them.".to_owned());
    }
    lines
}

fn about_file(row: &Row) -> Vec<String> {
    vec![
        format::shorten_middle(&format::display_path(&row.path), 60),
        there(row.acknowledged, row.size),
    ]
}

/// What a command on a folder is for: all that is shown of it.
fn about_folder(folder: &FolderRow) -> Vec<String> {
    let path = format!("{}/", format::display_path(&folder.path));
    let all = folder.totals.counts.total();
    let hidden = all.saturating_sub(folder.matching);
    let mut lines = vec![
        format::shorten_middle(&path, 60),
        format!(
            "with {} inside, however deep",
            format::count(folder.matching, "file")
        ),
    ];
    if hidden > 0 {
        let words = format::count(hidden, "file");
        lines.push(format!("{words} in it that the filter hides: left alone"));
    } else {
        lines.push(there(folder.totals.acknowledged, folder.totals.bytes));
    }
    lines
}

fn there(acknowledged: u64, size: u64) -> String {
    format!(
        "{} of {} are at the destination already.",
        format::bytes(acknowledged),
        format::bytes(size)
    )
}

/// Marks and unmarks.
pub(super) fn mark(app: &mut App, action: Action) -> Vec<Effect> {
    match action {
        Action::Mark => {
            let queue = &mut app.queue;
            let Some(line) = queue.current().cloned() else {
                return Vec::new();
            };
            let done = match &line.entry {
                Entry::Upload(row) => {
                    queue.marks.toggle(row, &queue.filter);
                    true
                }
                Entry::Folder(folder) => queue.marks.toggle_folder(folder, &queue.filter),
            };
            if !done {
                let words = "it is marked with all around it: take that mark away first";
                say(app, Tone::Plain, words);
                return Vec::new();
            }
            moving::go(app, Action::Down)
        }
        Action::MarkRange => {
            let Some(anchor) = app.queue.anchor else {
                app.queue.anchor = Some(app.queue.cursor);
                return Vec::new();
            };
            if take_range(app) {
                return Vec::new();
            }
            app.queue.anchor = None;
            let (from, to) = (anchor.min(app.queue.cursor), anchor.max(app.queue.cursor));
            vec![Effect::Mark(WindowQuery {
                start: from,
                rows: to - from + 1,
                follow: None,
                follow_running: false,
                ..app.queue.query(1)
            })]
        }
        _ => {
            let queue = &mut app.queue;
            queue.anchor = None;
            queue.marks.toggle_all(&queue.filter, queue.window.matching);
            Vec::new()
        }
    }
}

/// Adds these to the marks.
pub(super) fn mark_found(app: &mut App, found: Vec<Found>) {
    for one in found {
        app.queue.marks.add(one, &app.queue.filter);
    }
}

/// Makes marks of the range that was begun; `false` when not all of its lines are known here.
fn take_range(app: &mut App) -> bool {
    let Some(anchor) = app.queue.anchor else {
        return true;
    };
    let (from, to) = (anchor.min(app.queue.cursor), anchor.max(app.queue.cursor));
    let lines: Option<Vec<_>> = (from..=to).map(|index| app.queue.line(index)).collect();
    let Some(lines) = lines else {
        let key = app.key(Action::MarkRange);
        say(app, Tone::Plain, format!("end the range with {key} first"));
        return false;
    };
    let found = lines.into_iter().filter_map(Found::of).collect();
    app.queue.anchor = None;
    mark_found(app, found);
    true
}
