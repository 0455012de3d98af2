//! The queue: a line for each upload or folder that is on the screen.

use std::path::Path;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Widget as _,
};

use super::{Lengths, Piece, fit, frame, pane_name, pen::Pen, percent, put, row};
use crate::{
    engine::protocol::{self, Entry, FolderRow, Row, Show, SortBy, State},
    format::{self, printable},
    tui::{
        action::{Action, Pane},
        app::{App, Share},
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

/// The columns before the word of the state: cursor, mark, glyph and a gap.
const LEAD: u16 = 4;

impl Columns {
    /// How far what is in so many folders is moved to the right, as long as that leaves its name
    /// room.
    fn indent(self, depth: u16) -> u16 {
        depth.saturating_mul(2).min(self.name / 3)
    }

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
        columns.name = width.saturating_sub(LEAD + columns.word + columns.size + columns.right());
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
    if app.queue.window.length == 0 {
        empty(app, rows, buf);
        return;
    }
    for line in 0..rows.height {
        let index = app.queue.offset + usize::from(line);
        if index >= app.queue.window.length {
            break;
        }
        if let Some(shown) = app.queue.line(index) {
            draw_line(app, index, shown, row(rows, line), columns, buf);
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
    if app.queue.anchor.is_some() {
        pieces.push(Piece::new(1, [Span::styled("range", theme.accent)]));
    } else if !app.queue.marks.is_empty() {
        let marked = app.queue.marks.count(&app.queue.filter, window.matching);
        let words = match marked {
            Some(marked) => format!("{} marked", format::thousands(marked)),
            None => "all of a filter marked".to_owned(),
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
    let mut text = " ".repeat(LEAD.into());
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

/// What both a file and a folder tell in their columns.
struct Told<'a> {
    state: State,
    size: u64,
    acknowledged: u64,
    in_flight: u64,
    rate: u64,
    eta: Option<u64>,
    parts: Option<(u32, u32)>,
    note: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(entry: &'a Entry) -> Self {
        match entry {
            Entry::Upload(row) => Self {
                state: row.state,
                size: row.size,
                acknowledged: row.acknowledged,
                in_flight: row.in_flight,
                rate: row.rate,
                eta: row.eta,
                parts: (row.parts > 0).then_some((row.parts_done, row.parts)),
                note: note(row),
            },
            Entry::Folder(folder) => {
                let totals = &folder.totals;
                let left = totals.bytes.saturating_sub(totals.acknowledged);
                let left = left.saturating_sub(folder.in_flight);
                Self {
                    state: totals.state(),
                    size: totals.bytes,
                    acknowledged: totals.acknowledged,
                    in_flight: folder.in_flight,
                    rate: folder.rate,
                    eta: left.checked_div(folder.rate),
                    parts: None,
                    note: None,
                }
            }
        }
    }

    /// Whether nothing goes on that one would want to see.
    fn quiet(&self) -> bool {
        matches!(self.state, State::Done | State::Skipped | State::Queued)
    }
}

fn draw_line(
    app: &App,
    index: usize,
    line: &protocol::Line,
    area: Rect,
    columns: Columns,
    buf: &mut Buffer,
) {
    let theme = &app.theme;
    let under = index == app.queue.cursor;
    let told = Told::of(&line.entry);
    let (glyph, state) = theme.state(told.state);
    let mut pen = Pen::new(buf, area);
    if under {
        pen.at(0, theme.glyphs.cursor, theme.accent);
    }
    match app.queue.marked(index, line) {
        Share::All => pen.at(1, theme.glyphs.mark, theme.accent),
        Share::Some => pen.at(1, theme.glyphs.mark_some, theme.accent),
        Share::None => 1,
    };
    pen.at(2, glyph, state);
    if columns.word > 0 {
        pen.at(LEAD, told.state.word(), state);
    }
    let begin = LEAD + columns.word;
    let indent = columns.indent(line.depth);
    match &line.entry {
        Entry::Folder(folder) => {
            folder_name(app, folder, begin + indent, columns.name - indent, &mut pen);
        }
        Entry::Upload(upload) => name(app, upload, begin + indent, columns.name - indent, &mut pen),
    }
    let mut end = begin + columns.name + columns.size;
    if columns.size > 0 {
        pen.before(end, &format::bytes(told.size), theme.dim);
    }
    match told.note {
        Some(note) if columns.right() > 8 => {
            let style = match told.state {
                State::Failed | State::Changed => theme.bad,
                State::Skipped => theme.dim,
                _ => theme.warn,
            };
            let room = usize::from(columns.right()) - 2;
            end += 2;
            pen.at(end, &format::shorten_end(&printable(note), room), style);
        }
        _ => progress(app, &told, end, columns, &mut pen),
    }
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

fn name(app: &App, upload: &Row, column: u16, width: u16, pen: &mut Pen<'_>) {
    let theme = &app.theme;
    let room = usize::from(width).saturating_sub(1);
    let quiet = matches!(upload.state, State::Done | State::Skipped | State::Queued);
    let style = if quiet { theme.text } else { theme.strong };
    if app.queue.tree
        && let Some(name) = upload.path.file_name()
    {
        let name = format::shorten_middle(&format::display_path(Path::new(name)), room);
        pen.at(column, &name, style);
        return;
    }
    let common = &app.queue.window.folder;
    let path = upload.path.strip_prefix(common).unwrap_or(&upload.path);
    let (folder, name) = format::shorten_path(path, room);
    let column = pen.at(column, &folder, theme.dim);
    pen.at(column, &name, style);
}

/// The name of a folder after the glyph that says whether it is folded, and at the right what is
/// inside.
fn folder_name(app: &App, folder: &FolderRow, column: u16, width: u16, pen: &mut Pen<'_>) {
    let theme = &app.theme;
    let glyphs = theme.glyphs;
    let glyph = if folder.folded {
        glyphs.folded
    } else {
        glyphs.unfolded
    };
    let end = column + width.saturating_sub(1);
    let column = pen.at(column, glyph, theme.dim) + 1;
    let room = usize::from(end.saturating_sub(column));
    let name = format!(
        "{}/",
        format::display_path(&folder.name).trim_end_matches('/')
    );
    let wanted = format::width(&name);
    // The name gives way to half of the room before what is inside is left out.
    let counts = inside(folder, room.saturating_sub(wanted.min(room / 2) + GAP));
    let used = counts
        .iter()
        .map(|(text, _)| text.len() + GAP)
        .sum::<usize>();
    let name = format::shorten_middle(&name, room.saturating_sub(used));
    pen.at(column, &name, theme.strong);
    let mut at = end;
    for (text, what) in counts.iter().rev() {
        let style = match what {
            What::Hidden => theme.warn,
            What::Failed => theme.bad,
            What::Running => theme.accent,
            What::Done => theme.dim,
        };
        pen.before(at, text, style);
        at = at.saturating_sub(u16::try_from(text.len() + GAP).unwrap_or(u16::MAX));
    }
}

/// Columns between two things that are told of a folder.
const GAP: usize = 2;

/// What is told of the files in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Hidden,
    Failed,
    Running,
    Done,
}

/// What there is room to tell of the files in a folder, in the order in which it is shown.
fn inside(folder: &FolderRow, room: usize) -> Vec<(String, What)> {
    let counts = &folder.totals.counts;
    let sum = |states: &[State]| states.iter().map(|state| counts.of(*state)).sum::<usize>();
    let all = counts.total();
    let hidden = all.saturating_sub(folder.matching);
    let failed = sum(&[State::Failed, State::Changed]);
    let running = sum(&[
        State::Creating,
        State::Uploading,
        State::Completing,
        State::Processing,
    ]);
    let done = format!("{}/{}", counts.of(State::Done), all);
    // The most worth knowing first.
    let told = [
        (done, What::Done, true),
        (format!("{failed} failed"), What::Failed, failed > 0),
        (format!("{hidden} hidden"), What::Hidden, hidden > 0),
        (format!("{running} running"), What::Running, running > 0),
    ];
    let mut left = room;
    let mut chosen = Vec::with_capacity(told.len());
    for (text, what, _) in told.into_iter().filter(|(_, _, there)| *there) {
        if text.len() > left {
            break;
        }
        left = left.saturating_sub(text.len() + GAP);
        chosen.push((text, what));
    }
    chosen.sort_by_key(|(_, what)| *what as u8);
    chosen
}

/// The column of the glyph at which the folder of this line is folded and unfolded, on a screen whose
/// lines are in this area.
pub(in crate::tui) fn fold_glyph(app: &App, area: Rect, index: usize) -> Option<u16> {
    let line = app.queue.line(index)?;
    line.folder()?;
    let columns = Columns::new(area.width);
    Some(area.x + LEAD + columns.word + columns.indent(line.depth))
}

fn progress(app: &App, told: &Told<'_>, column: u16, columns: Columns, pen: &mut Pen<'_>) {
    let theme = &app.theme;
    let quiet = told.quiet();
    let style = match told.state {
        State::Done => theme.good,
        State::Paused => theme.warn,
        State::Failed | State::Changed => theme.bad,
        _ => theme.accent,
    };
    let begun = told.state != State::Skipped && (told.acknowledged > 0 || !quiet);
    let mut end = column + columns.bar;
    if columns.bar > 0 && (begun || told.state == State::Done) {
        let lengths = Lengths::new(
            columns.bar - 2,
            told.acknowledged,
            told.in_flight,
            told.size,
        );
        let mut at = column + 2;
        for (symbol, count, style) in lengths.pieces(theme, style) {
            at = pen.fill(at, count, symbol, style);
        }
    }
    end += columns.percent;
    if begun && columns.percent > 0 {
        let style = if quiet { theme.dim } else { theme.text };
        pen.before(end, &percent(told.acknowledged, told.size), style);
    }
    end += columns.parts;
    if let Some((done, count)) = told.parts.filter(|_| !quiet && columns.parts > 0) {
        pen.before(end, &format!("{done}/{count}"), theme.dim);
    }
    end += columns.speed;
    if told.rate > 0 && columns.speed > 0 {
        pen.before(end, &format::rate(told.rate), theme.text);
    }
    end += columns.eta;
    if let Some(eta) = told
        .eta
        .filter(|_| columns.eta > 0 && !told.state.settled())
    {
        pen.before(end, &format::duration(eta), theme.dim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_never_take_more_than_there_is_and_leave_room_for_the_name() {
        for width in 28..400 {
            let columns = Columns::new(width);
            let sum = LEAD + columns.word + columns.name + columns.size + columns.right();
            assert_eq!(sum, width);
            assert!(columns.name >= 10, "{width}: {columns:?}");
        }
    }
}
