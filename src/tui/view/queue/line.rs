//! One line of the queue: a file or a folder, in its columns.

use std::path::Path;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};

use super::{Columns, LEAD, folder};
use crate::{
    engine::protocol::{Entry, Line, Row, State},
    format::{self, printable},
    tui::{
        action::Pane,
        app::{App, Share},
        view::{Lengths, pen::Pen, percent},
    },
};

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

/// Draws the line.
pub(super) fn draw(
    app: &App,
    index: usize,
    line: &Line,
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
            folder::name(app, folder, begin + indent, columns.name - indent, &mut pen);
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
        _ => progress(app, &told, under, end, columns, &mut pen),
    }
    if under {
        buf.set_style(area, selected(app));
    }
}

/// How the line under the cursor looks.
fn selected(app: &App) -> Style {
    if app.focus == Pane::Queue {
        app.theme.selected
    } else {
        app.theme.selected_away
    }
}

/// What is more worth saying than how far it is.
fn note(upload: &Row) -> Option<&str> {
    let stuck = matches!(
        upload.state,
        State::Failed | State::Changed | State::Skipped
    ) || (upload.rate == 0
        && upload.parts_running == 0
        && !matches!(upload.state, State::Done | State::Paused));
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

/// The column of the glyph at which the folder of this line is folded and unfolded, on a screen whose
/// lines are in this area.
pub(in crate::tui) fn fold_glyph(app: &App, area: Rect, index: usize) -> Option<u16> {
    let line = app.queue.line(index)?;
    line.folder()?;
    let columns = Columns::new(area.width);
    Some(area.x + LEAD + columns.word + columns.indent(line.depth))
}

fn progress(
    app: &App,
    told: &Told<'_>,
    under: bool,
    column: u16,
    columns: Columns,
    pen: &mut Pen<'_>,
) {
    let theme = &app.theme;
    // A line that is reversed has one colour alone.
    let reversed = |style: Style| style.add_modifier.contains(Modifier::REVERSED);
    let colored = theme.colored && !(under && reversed(selected(app)));
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
        for (symbol, count, style) in lengths.pieces(theme, colored, style) {
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
