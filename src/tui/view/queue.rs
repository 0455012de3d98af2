//! The queue: a row for each upload that is on the screen.

use std::path::Path;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Widget as _,
};

use super::{Piece, bar, fit, frame, pane_name, percent, put, row};
use crate::{
    engine::protocol::{Row, Show, SortBy, State},
    format::{self, printable},
    tui::{
        action::{Action, Pane},
        app::{App, Marks},
        layout,
    },
};

/// In less than this of a title the common folder says nothing.
const FOLDER_LEAST: usize = 8;

/// The widths of the columns; 0 for those there is no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Columns {
    word: u16,
    name: u16,
    size: u16,
    bar: u16,
    percent: u16,
    parts: u16,
    speed: u16,
    eta: u16,
}

impl Columns {
    /// What fits in this width: cursor, mark, glyph and name always.
    fn new(width: u16) -> Self {
        let from = |least: u16, columns: u16| if width >= least { columns } else { 0 };
        let mut columns = Self {
            word: from(72, 11),
            name: 0,
            size: from(92, 10),
            bar: match width {
                0..58 => 0,
                58..90 => 9,
                90..130 => 15,
                _ => 21,
            },
            percent: from(28, 6),
            parts: from(126, 11),
            speed: from(44, 12),
            eta: from(64, 9),
        };
        columns.name = width.saturating_sub(4 + columns.word + columns.size + columns.right());
        columns
    }

    /// What is right of name and size, where a note may stand.
    fn right(&self) -> u16 {
        self.bar + self.percent + self.parts + self.speed + self.eta
    }
}

/// Draws the queue with its frame.
pub(super) fn draw(app: &App, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width.saturating_sub(4));
    let right = order(app, width * 2 / 3);
    let left = title(app, width.saturating_sub(right.width() + 1));
    frame(app, Pane::Queue, left)
        .title(right.right_aligned())
        .render(area, buf);
    let rows = layout::queue_rows(area);
    let columns = Columns::new(rows.width);
    if rows.height < layout::inside(area).height {
        names(app, row(layout::inside(area), 0), columns, buf);
    }
    if app.queue.window.matching == 0 {
        empty(app, rows, buf);
        return;
    }
    for line in 0..rows.height {
        let index = app.queue.offset + usize::from(line);
        if index >= app.queue.window.matching {
            break;
        }
        if let Some(upload) = app.queue.row(index) {
            upload_row(app, index, upload, row(rows, line), columns, buf);
        }
    }
}

fn title(app: &App, width: usize) -> Line<'static> {
    let theme = &app.theme;
    let window = &app.queue.window;
    let mut pieces = vec![Piece::new(0, [pane_name(app, Pane::Queue, " Queue")])];
    if app.queue.known {
        pieces.push(Piece::new(
            2,
            [Span::styled(
                format::count(window.matching, "file"),
                theme.dim,
            )],
        ));
        let hidden = window.total.saturating_sub(window.matching);
        if hidden > 0 {
            pieces.push(Piece::new(
                3,
                [Span::styled(
                    format!("{} hidden", format::thousands(hidden)),
                    theme.warn,
                )],
            ));
        }
    }
    let marked = match &app.queue.marks {
        Marks::Ids(ids) => ids.len(),
        Marks::All(filter) if *filter == app.queue.filter => window.matching,
        Marks::All(_) => 0,
    };
    if app.queue.anchor.is_some() {
        pieces.push(Piece::new(1, [Span::styled("range", theme.accent)]));
    } else if !app.queue.marks.is_empty() {
        let words = if marked > 0 {
            format!("{} marked", format::thousands(marked))
        } else {
            "all of a filter marked".to_owned()
        };
        pieces.push(Piece::new(1, [Span::styled(words, theme.accent)]));
    }
    let mut line = fit(pieces, width, " · ");
    let room = width.saturating_sub(line.width() + " · ".len());
    if room >= FOLDER_LEAST && window.total > 0 && !window.folder.as_os_str().is_empty() {
        let folder = format::shorten_middle(&folder(app, &window.folder), room);
        line.push_span(Span::raw(" · "));
        line.push_span(Span::styled(folder, theme.dim));
    }
    line.push_span(Span::raw(" "));
    line
}

/// The folder all files lie in, as a shell would say it.
fn folder(app: &App, folder: &Path) -> String {
    let below_home = app.home.as_deref().and_then(|home| {
        let rest = folder.strip_prefix(home).ok()?;
        Some(Path::new("~").join(rest))
    });
    let folder = format::display_path(below_home.as_deref().unwrap_or(folder));
    format!("{}/", folder.trim_end_matches('/'))
}

/// Filter and order, where they are not the usual ones.
fn order(app: &App, width: usize) -> Line<'static> {
    let theme = &app.theme;
    let queue = &app.queue;
    let mut pieces = Vec::new();
    if queue.filter.show != Show::All {
        pieces.push(Piece::new(
            1,
            [Span::styled(show_word(queue.filter.show), theme.accent)],
        ));
    }
    if !queue.filter.text.is_empty() {
        let text = format::shorten_end(&printable(&queue.filter.text), 24);
        pieces.push(Piece::new(
            0,
            [Span::styled(format!("/{text}"), theme.accent)],
        ));
    }
    if queue.sort != crate::engine::protocol::Sort::default() {
        let (up, down) = theme.glyphs.up_down;
        let arrow = if queue.sort.descending { down } else { up };
        pieces.push(Piece::new(
            2,
            [Span::styled(
                format!("by {} {arrow}", sort_word(queue.sort.by)),
                theme.dim,
            )],
        ));
    }
    if pieces.is_empty() {
        return Line::default();
    }
    let mut line = fit(pieces, width, " · ");
    line.spans.insert(0, Span::raw(" "));
    line.push_span(Span::raw(" "));
    line
}

pub(super) fn show_word(show: Show) -> &'static str {
    match show {
        Show::All => "all",
        Show::Running => "running",
        Show::Failed => "failed",
        Show::Waiting => "waiting",
        Show::Done => "done",
    }
}

fn sort_word(by: SortBy) -> &'static str {
    match by {
        SortBy::Queue => "queue order",
        SortBy::Name => "name",
        SortBy::Size => "size",
        SortBy::Progress => "progress",
        SortBy::State => "state",
        SortBy::Speed => "speed",
    }
}

fn names(app: &App, area: Rect, columns: Columns, buf: &mut Buffer) {
    let mut text = " ".repeat(4);
    let mut left = |width: u16, name: &str| {
        text.push_str(&format!("{name:<w$}", w = usize::from(width))[..usize::from(width)]);
    };
    left(columns.word, if columns.word > 0 { "state" } else { "" });
    left(columns.name, if columns.name > 4 { "name" } else { "" });
    let mut right = |width: u16, name: &str| {
        if width > 0 {
            let name = format!("{name:>w$}", w = usize::from(width));
            text.push_str(&name);
        }
    };
    right(columns.size, "size");
    right(columns.bar + columns.percent, "");
    right(columns.parts, "parts");
    right(columns.speed, "speed");
    right(columns.eta, "left");
    put(buf, area, Span::styled(text, app.theme.faint));
}

fn empty(app: &App, area: Rect, buf: &mut Buffer) {
    let words = if !app.queue.known {
        "…".to_owned()
    } else if app.queue.window.total > 0 {
        format!(
            "nothing matches; {} shows all {} again",
            app.key(Action::Back),
            format::count(app.queue.window.total, "file")
        )
    } else if app.summary.walk.is_some() {
        "looking for media".to_owned()
    } else {
        let theme = &app.theme;
        let how = Line::from(vec![
            Span::styled(app.key(Action::Add), theme.key),
            Span::styled(" adds files and folders", theme.text),
        ]);
        let below = row(area, area.height / 3 + 1);
        put(buf, below, how.centered());
        "the queue is empty".to_owned()
    };
    put(
        buf,
        row(area, area.height / 3),
        Line::styled(words, app.theme.dim).centered(),
    );
}

fn upload_row(
    app: &App,
    index: usize,
    upload: &Row,
    area: Rect,
    columns: Columns,
    buf: &mut Buffer,
) {
    let theme = &app.theme;
    let under = index == app.queue.cursor;
    let marked = app.queue.marked(index, upload);
    let (glyph, state) = theme.state(upload.state);
    let quiet = matches!(upload.state, State::Done | State::Skipped | State::Queued);
    let mut spans = vec![
        Span::styled(if under { theme.glyphs.cursor } else { " " }, theme.accent),
        Span::styled(if marked { theme.glyphs.mark } else { " " }, theme.accent),
        Span::styled(glyph, state),
        Span::raw(" "),
    ];
    if columns.word > 0 {
        let word = format!("{:<w$}", upload.state.word(), w = usize::from(columns.word));
        spans.push(Span::styled(word, state));
    }
    name(app, upload, columns.name, quiet, &mut spans);
    if columns.size > 0 {
        let size = format::bytes(upload.size);
        let size = format!("{size:>w$}", w = usize::from(columns.size));
        spans.push(Span::styled(size, theme.dim));
    }
    match note(upload) {
        Some(note) if columns.right() > 8 => {
            let room = usize::from(columns.right()) - 2;
            spans.push(Span::raw("  "));
            let style = match upload.state {
                State::Failed | State::Changed => theme.bad,
                State::Skipped => theme.dim,
                _ => theme.warn,
            };
            spans.push(Span::styled(
                format::shorten_end(&printable(note), room),
                style,
            ));
        }
        _ => progress(app, upload, columns, quiet, &mut spans),
    }
    put(buf, area, Line::from(spans));
    if under {
        let focus = app.focus == Pane::Queue;
        buf.set_style(
            area,
            if focus {
                theme.selected
            } else {
                theme.selected_away
            },
        );
    }
}

/// What is more worth saying than how far it is.
fn note(upload: &Row) -> Option<&str> {
    let stuck = matches!(
        upload.state,
        State::Failed | State::Changed | State::Skipped
    ) || (upload.rate == 0 && upload.parts_running == 0 && upload.state != State::Done);
    upload
        .note
        .as_deref()
        .filter(|note| stuck && !note.is_empty())
}

fn name(app: &App, upload: &Row, width: u16, quiet: bool, spans: &mut Vec<Span<'_>>) {
    let theme = &app.theme;
    let width = usize::from(width);
    let common = &app.queue.window.folder;
    let path = upload.path.strip_prefix(common).unwrap_or(&upload.path);
    let (folder, name) = format::shorten_path(path, width.saturating_sub(1));
    let used = format::width(&folder) + format::width(&name);
    spans.push(Span::styled(folder, theme.dim));
    spans.push(Span::styled(
        name,
        if quiet { theme.text } else { theme.strong },
    ));
    spans.push(Span::raw(" ".repeat(width.saturating_sub(used))));
}

fn progress(app: &App, upload: &Row, columns: Columns, quiet: bool, spans: &mut Vec<Span<'_>>) {
    let theme = &app.theme;
    let style = match upload.state {
        State::Done => theme.good,
        State::Paused => theme.warn,
        State::Failed | State::Changed => theme.bad,
        _ => theme.accent,
    };
    let begun = upload.state != State::Skipped && (upload.acknowledged > 0 || !quiet);
    if columns.bar > 0 {
        spans.push(Span::raw("  "));
        let width = columns.bar - 2;
        if begun || upload.state == State::Done {
            spans.extend(bar(
                theme,
                width,
                upload.acknowledged,
                upload.in_flight,
                upload.size,
                style,
            ));
        } else {
            spans.push(Span::raw(" ".repeat(usize::from(width))));
        }
    }
    let mut column = |width: u16, text: String, style: Style| {
        if width > 0 {
            spans.push(Span::styled(
                format!("{text:>w$}", w = usize::from(width)),
                style,
            ));
        }
    };
    let share = if begun {
        percent(upload.acknowledged, upload.size)
    } else {
        String::new()
    };
    column(
        columns.percent,
        share,
        if quiet { theme.dim } else { theme.text },
    );
    let parts = if upload.parts > 0 && !quiet {
        format!("{}/{}", upload.parts_done, upload.parts)
    } else {
        String::new()
    };
    column(columns.parts, parts, theme.dim);
    let speed = if upload.rate > 0 {
        format::rate(upload.rate)
    } else {
        String::new()
    };
    column(columns.speed, speed, theme.text);
    let eta = upload
        .eta
        .filter(|_| !upload.state.settled())
        .map(format::duration)
        .unwrap_or_default();
    column(columns.eta, eta, theme.dim);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_never_take_more_than_there_is_and_leave_room_for_the_name() {
        for width in 28..400 {
            let columns = Columns::new(width);
            let sum = 4 + columns.word + columns.name + columns.size + columns.right();
            assert_eq!(sum, width);
            assert!(columns.name >= 10, "{width}: {columns:?}");
        }
    }
}
