//! The queue: a line for each upload or folder that is on the screen.

mod folder;
mod line;

use std::path::Path;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Widget as _,
};

pub(in crate::tui) use self::line::fold_glyph;
use super::{Piece, fit, frame, pane_name, put, row};
use crate::{
    engine::protocol::{Show, SortBy},
    format::{self, printable},
    tui::{
        action::{Action, Pane},
        app::App,
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
            line::draw(app, index, shown, row(rows, line), columns, buf);
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
        let marked = app
            .queue
            .marks
            .count(&app.queue.filter, window.matching, window.total);
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
