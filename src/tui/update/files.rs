//! Commands on files and parts, and the marks that say which.

use crate::{
    engine::protocol::{Command, Place, Row, Sort, SortBy, State, Targets, UploadId, WindowQuery},
    format,
    tui::{
        action::Action,
        app::{App, Confirm, Dialog, Marks, Tone},
        update::{Effect, moving, say},
    },
};

/// A command on the marks, the upload under the cursor, or all.
pub(super) fn command(app: &mut App, action: Action) -> Vec<Effect> {
    match action {
        Action::PauseAll => {
            let counts = &app.summary.counts;
            let all_held = counts.unsettled() == 0 && counts.of(State::Paused) > 0;
            return vec![Effect::Command(if all_held {
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
        Action::Skip => Command::Skip(targets),
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
        return queue
            .current()
            .is_some_and(|row| row.state == State::Paused);
    }
    let mut live = queue
        .window
        .rows
        .iter()
        .enumerate()
        .filter(|(index, row)| queue.marked(queue.window.start + index, row))
        .map(|(_, row)| row.state)
        .filter(|state| *state == State::Paused || !state.settled())
        .peekable();
    live.peek().is_some() && live.all(|state| state == State::Paused)
}

fn retry_part(app: &mut App) -> Vec<Effect> {
    let Some(upload) = app.queue.selected else {
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
    let removing = matches!(command, Command::Remove(_));
    let several = !app.queue.marks.is_empty();
    let loss = |row: &Row| {
        row.state != State::Done && (row.acknowledged > 0 || row.in_flight > 0 || row.parts > 0)
    };
    let current = app.queue.current();
    if !several && !current.is_some_and(loss) {
        if removing {
            app.queue.marks = Marks::default();
        }
        return vec![Effect::Command(command)];
    }
    let what = match (&app.queue.marks, current) {
        (Marks::All(_), _) => format!("all {}", format::count(app.queue.window.matching, "file")),
        (Marks::Ids(ids), _) if !ids.is_empty() => format::count(ids.len(), "marked file"),
        (_, Some(row)) => format::shorten_middle(&format::display_path(&row.path), 60),
        _ => return Vec::new(),
    };
    let mut lines = vec![what];
    if let (false, Some(row)) = (several, current) {
        lines.push(format!(
            "{} of {} are at the destination already.",
            format::bytes(row.acknowledged),
            format::bytes(row.size)
        ));
    }
    lines.push(String::new());
    let (title, yes) = if removing {
        lines.push("The files on this disk stay. What the destination has of".to_owned());
        lines.push("unfinished uploads is not used again.".to_owned());
        ("Take out of the queue?", "remove")
    } else {
        lines.push("The unfinished media object is removed at the destination,".to_owned());
        lines.push("and everything is sent again.".to_owned());
        ("Begin anew?", "start over")
    };
    app.dialog = Some(Dialog::Confirm(Confirm {
        title: title.to_owned(),
        lines,
        yes,
        command,
    }));
    Vec::new()
}

/// Marks and unmarks.
pub(super) fn mark(app: &mut App, action: Action) -> Vec<Effect> {
    match action {
        Action::Mark => {
            let Some(id) = app.queue.selected else {
                return Vec::new();
            };
            if let Marks::Ids(ids) = &mut app.queue.marks {
                if !ids.remove(&id) {
                    ids.insert(id);
                }
            } else {
                // One of all can't be left out of a filter: from here on one by one.
                app.queue.marks = Marks::Ids([id].into());
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
                filter: app.queue.filter.clone(),
                sort: app.queue.sort,
                start: from,
                rows: to - from + 1,
                follow: None,
                follow_running: false,
            })]
        }
        _ => {
            app.queue.anchor = None;
            app.queue.marks = match &app.queue.marks {
                Marks::All(_) => Marks::default(),
                Marks::Ids(_) => Marks::All(app.queue.filter.clone()),
            };
            Vec::new()
        }
    }
}

/// Adds these to the marks.
pub(super) fn mark_ids(app: &mut App, marked: Vec<UploadId>) {
    match &mut app.queue.marks {
        Marks::Ids(ids) => ids.extend(marked),
        Marks::All(_) => app.queue.marks = Marks::Ids(marked.into_iter().collect()),
    }
}

/// Makes marks of the range that was begun; `false` when not all of its rows are known here.
fn take_range(app: &mut App) -> bool {
    let Some(anchor) = app.queue.anchor else {
        return true;
    };
    let (from, to) = (anchor.min(app.queue.cursor), anchor.max(app.queue.cursor));
    let ids: Option<Vec<_>> = (from..=to)
        .map(|index| app.queue.row(index).map(|row| row.id))
        .collect();
    let Some(ids) = ids else {
        let key = app.key(Action::MarkRange);
        say(app, Tone::Plain, format!("end the range with {key} first"));
        return false;
    };
    app.queue.anchor = None;
    mark_ids(app, ids);
    true
}
