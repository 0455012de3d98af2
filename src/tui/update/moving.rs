//! Moving about: the cursor of the queue and of the grid of parts, and what stays in view.

use crate::{
    engine::protocol::{FailedPart, Line, LineId, Window, WindowQuery},
    tui::{
        action::{Action, Pane},
        app::App,
        layout,
        update::{Effect, folding},
    },
};

/// How many rows of the queue are on the screen.
pub(in crate::tui) fn rows(app: &App) -> usize {
    usize::from(layout::queue_rows(layout::areas(app).queue).height)
}

/// Goes somewhere in the pane that has the keys.
pub(super) fn go(app: &mut App, action: Action) -> Vec<Effect> {
    match app.focus {
        Pane::Queue => {
            let page = rows(app).max(2) - 1;
            let last = app.queue.window.length.saturating_sub(1);
            let cursor = app.queue.cursor;
            match action {
                Action::Up => go_to(app, cursor.saturating_sub(1)),
                Action::Down => go_to(app, cursor + 1),
                Action::PageUp => go_to(app, cursor.saturating_sub(page)),
                Action::PageDown => go_to(app, cursor + page),
                Action::First => go_to(app, 0),
                Action::Last => go_to(app, last),
                Action::Left | Action::Right if folding::step(app, action) => {}
                Action::Right => app.focus = Pane::Parts,
                _ => {}
            }
            vec![Effect::Refresh]
        }
        Pane::Parts => {
            go_part(app, action);
            Vec::new()
        }
        Pane::Log => {
            match action {
                Action::Up | Action::PageUp | Action::First => app.log.page(true),
                Action::Down | Action::PageDown => app.log.page(false),
                Action::Last => app.log.follow(true),
                _ => {}
            }
            Vec::new()
        }
    }
}

/// Whether this action is about the file or the part under the cursor, which then must not move on
/// by itself.
pub(super) fn takes_hold(app: &App, action: Action) -> bool {
    use Action as A;
    match action {
        A::Up | A::Down | A::PageUp | A::PageDown | A::First | A::Last | A::Left | A::Right => {
            app.focus != Pane::Log
        }
        A::Open
        | A::NextPane
        | A::PreviousPane
        | A::Pause
        | A::RetryFile
        | A::RetryPart
        | A::StartOver
        | A::Skip
        | A::Remove
        | A::MoveUp
        | A::MoveDown
        | A::MoveFirst
        | A::MoveLast
        | A::Mark
        | A::MarkRange
        | A::Fold
        | A::Details => true,
        _ => false,
    }
}

/// Puts the cursor of the queue on this row.
pub(super) fn go_to(app: &mut App, index: usize) {
    let last = app.queue.window.length.saturating_sub(1);
    let index = index.min(last);
    if index == app.queue.cursor && app.queue.selected.is_some() {
        return;
    }
    app.queue.cursor = index;
    select(app, app.queue.line(index).map(Line::id));
    keep_in_view(app);
}

/// Puts the cursor of the queue on this line, wherever it is.
pub(super) fn select_line(app: &mut App, id: LineId) {
    select(app, Some(id));
    if let Some(index) = app.queue.place(id) {
        app.queue.cursor = index;
        keep_in_view(app);
    }
}

fn select(app: &mut App, id: Option<LineId>) {
    if app.queue.selected != id {
        app.queue.selected = id;
        app.parts.cursor = 0;
        app.parts.parts = None;
    }
}

/// Moves the view as little as is needed to have the cursor in it.
pub(super) fn keep_in_view(app: &mut App) {
    let rows = rows(app).max(1);
    let queue = &mut app.queue;
    if queue.cursor < queue.offset {
        queue.offset = queue.cursor;
    } else if queue.cursor >= queue.offset + rows {
        queue.offset = queue.cursor + 1 - rows;
    }
    // No empty rows at the end while there is something above.
    let most = queue.window.length.saturating_sub(rows);
    queue.offset = queue
        .offset
        .min(most.max(queue.cursor.saturating_sub(rows - 1)));
}

/// Another order or filter: from its first row on, unless the upload under the cursor is in it.
pub(super) fn from_the_top(app: &mut App) -> Vec<Effect> {
    app.queue.cursor = 0;
    app.queue.offset = 0;
    app.queue.anchor = None;
    app.queue.selected = None;
    app.parts.parts = None;
    app.parts.cursor = 0;
    vec![Effect::Refresh]
}

pub(super) fn set_filter_text(app: &mut App, text: String) {
    if app.queue.filter.text != text {
        app.queue.filter.text = text;
        from_the_top(app);
    }
}

/// Takes lines in; the cursor stays on its file or folder wherever that went.
pub(super) fn window_came(app: &mut App, query: &WindowQuery, window: Window) -> Vec<Effect> {
    let queue = &mut app.queue;
    if query.filter != queue.filter
        || query.sort != queue.sort
        || query.tree != queue.view()
        || query.follow_running != queue.following
    {
        return Vec::new();
    }
    queue.known = true;
    queue.window = window;
    let length = queue.window.length;
    if length == 0 {
        (queue.cursor, queue.offset, queue.anchor) = (0, 0, None);
        select(app, None);
        return Vec::new();
    }
    if queue.selected.is_some() && query.follow != queue.selected {
        // The person went on while the answer was on its way.
        return Vec::new();
    }
    let followed = queue.window.followed;
    if let Some((at, line)) = followed.and_then(|at| Some((at, queue.line(at)?.id()))) {
        queue.cursor = at;
        if query.start == queue.offset {
            queue.offset = queue.window.start;
        }
        select(app, Some(line));
        keep_in_view(app);
        return Vec::new();
    }
    queue.cursor = queue.cursor.min(length - 1);
    let under = queue.line(queue.cursor).map(Line::id);
    let lost = under.is_none();
    select(app, under);
    keep_in_view(app);
    if lost && app.queue.offset != query.start {
        return vec![Effect::Refresh];
    }
    Vec::new()
}

/// The grid as it is on the screen.
pub(in crate::tui) fn grid(app: &App) -> Option<layout::Grid> {
    let count = app.parts.parts.as_ref()?.count;
    Some(layout::grid(layout::areas(app).parts, count)).filter(|_| count > 0)
}

fn go_part(app: &mut App, action: Action) {
    let Some(grid) = grid(app) else {
        return;
    };
    let width = u32::from(grid.area.width).max(1);
    let last = grid.cells.saturating_sub(1);
    let cell = app.parts.cursor / grid.group;
    let cell = match action {
        Action::Left => cell.saturating_sub(1),
        Action::Right => (cell + 1).min(last),
        Action::Up if cell >= width => cell - width,
        Action::Down if cell + width <= last => cell + width,
        Action::PageUp | Action::First => 0,
        Action::PageDown | Action::Last => last,
        _ => cell,
    };
    app.parts.cursor = cell * grid.group;
}

/// A plan may be cut anew while one looks at it.
pub(super) fn keep_part_cursor(app: &mut App) {
    let count = app.parts.parts.as_ref().map_or(0, |parts| parts.count);
    app.parts.cursor = app.parts.cursor.min(count.saturating_sub(1));
}

/// The numbers of the first and last part of the cell under the cursor.
pub(in crate::tui) fn cell_parts(app: &App) -> Option<(u32, u32)> {
    let count = app.parts.parts.as_ref()?.count;
    let group = grid(app)?.group;
    let first = app.parts.cursor / group * group;
    Some((first + 1, (first + group).min(count)))
}

/// The failed part under the cursor, first those that wait for the person.
pub(in crate::tui) fn failed_part(app: &App) -> Option<&FailedPart> {
    let (first, last) = cell_parts(app)?;
    let failed = &app.parts.parts.as_ref()?.failed;
    let within = || {
        failed
            .iter()
            .filter(move |part| (first..=last).contains(&part.number))
    };
    within()
        .find(|part| part.retry_in_ms.is_none())
        .or_else(|| within().next())
}
