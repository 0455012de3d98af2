//! Drawing: what [`App`] says, as cells. Pure: the same app draws the same screen.

pub(super) mod add;
pub(super) mod details;
pub(super) mod dialog;
pub(super) mod footer;
pub(super) mod header;
pub(super) mod help;
pub(super) mod log;
pub(super) mod parts;
mod pen;
pub(super) mod queue;
pub(super) mod summary;
pub(super) mod tuning;

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Block, Widget as _},
};

use super::{
    action::Pane,
    app::App,
    layout,
    theme::{Glyphs, Theme},
};
use crate::{error::is_unsafe, format};

/// Draws the whole screen.
pub(crate) fn draw(app: &App, frame: &mut Frame<'_>) {
    paint(app, frame.buffer_mut());
    if let Some(position) = cursor(app)
        && frame.area().contains(position.into())
    {
        frame.set_cursor_position(position);
    }
}

/// The whole screen as cells.
pub(crate) fn paint(app: &App, buf: &mut Buffer) {
    let areas = layout::areas(app);
    header::draw(app, areas.header, buf);
    if !areas.queue.is_empty() {
        queue::draw(app, areas.queue, buf);
    }
    if !areas.parts.is_empty() {
        parts::draw(app, areas.parts, buf);
    }
    if !areas.log.is_empty() {
        log::draw(app, areas.log, buf);
    }
    footer::draw(app, areas.footer, buf);
    dialog::draw(app, buf);
    make_safe(buf, app.theme.glyphs);
}

/// Where text is typed, if it is.
fn cursor(app: &App) -> Option<(u16, u16)> {
    if app.dialog.is_some() {
        return dialog::cursor(app);
    }
    footer::cursor(app, layout::areas(app).footer)
}

/// The last line of defence: nothing that steers a terminal leaves the buffer, whatever a view
/// forgot, and nothing but ASCII where the terminal knows no more.
fn make_safe(buf: &mut Buffer, glyphs: &Glyphs) {
    for cell in &mut buf.content {
        let symbol = cell.symbol();
        if symbol.is_ascii() && !symbol.bytes().any(|byte| byte.is_ascii_control()) {
            continue;
        }
        if symbol.contains(is_unsafe) {
            cell.set_symbol("?");
        } else if glyphs.ascii {
            let plain = match symbol {
                "…" => glyphs.ellipsis,
                "×" => "x",
                "−" | "–" => "-",
                "│" => "|",
                "·" => ".",
                _ => "?",
            };
            cell.set_symbol(plain);
        }
    }
}

/// Writes a line at the beginning of an area.
pub(super) fn put<'a>(buf: &mut Buffer, area: Rect, line: impl Into<Line<'a>>) {
    line.into().render(
        Rect {
            height: 1.min(area.height),
            ..area
        },
        buf,
    );
}

/// The `index`th row of an area; empty when it has none.
pub(super) fn row(area: Rect, index: u16) -> Rect {
    if index >= area.height {
        return Rect::default();
    }
    Rect {
        y: area.y + index,
        height: 1,
        ..area
    }
}

/// A pane's frame, in the colour of the focus when it has the keys.
pub(super) fn frame<'a>(app: &App, pane: Pane, title: Line<'a>) -> Block<'a> {
    let theme = &app.theme;
    let focus = app.focus == pane && app.dialog.is_none();
    Block::bordered()
        .border_set(theme.glyphs.borders)
        .border_style(if focus {
            theme.border_focus
        } else {
            theme.border
        })
        .title(title)
}

/// The title of a pane: its name, strong where it has the keys.
pub(super) fn pane_name(app: &App, pane: Pane, name: &'static str) -> Span<'static> {
    let focus = app.focus == pane && app.dialog.is_none();
    let style = if focus {
        app.theme.accent
    } else {
        app.theme.strong
    };
    Span::styled(name, style)
}

/// Something to be put on a line when there is room: the higher the rank, the sooner it is left out.
pub(super) struct Piece<'a> {
    rank: u8,
    spans: Vec<Span<'a>>,
}

impl<'a> Piece<'a> {
    pub(super) fn new(rank: u8, spans: impl IntoIterator<Item = Span<'a>>) -> Self {
        Self {
            rank,
            spans: spans.into_iter().collect(),
        }
    }

    fn width(&self) -> usize {
        self.spans.iter().map(Span::width).sum()
    }
}

/// The pieces there is room for, `gap` apart, in their order.
pub(super) fn fit<'a>(mut pieces: Vec<Piece<'a>>, width: usize, gap: &'static str) -> Line<'a> {
    pieces.retain(|piece| !piece.spans.is_empty());
    loop {
        let gaps = pieces.len().saturating_sub(1) * gap.chars().count();
        let needed = gaps + pieces.iter().map(Piece::width).sum::<usize>();
        if needed <= width {
            break;
        }
        let worst = pieces
            .iter()
            .enumerate()
            .max_by_key(|(index, piece)| (piece.rank, *index))
            .map(|(index, _)| index);
        match worst {
            Some(index) if pieces.len() > 1 => pieces.remove(index),
            _ => break,
        };
    }
    let mut line = Line::default();
    for (index, piece) in pieces.into_iter().enumerate() {
        if index > 0 {
            line.push_span(Span::raw(gap));
        }
        line.spans.extend(piece.spans);
    }
    line
}

/// Two lines on one row, left and right; the left one gives way.
pub(super) fn left_right(buf: &mut Buffer, area: Rect, left: Line<'_>, right: Line<'_>) {
    let right_width = u16::try_from(right.width())
        .unwrap_or(u16::MAX)
        .min(area.width);
    put(
        buf,
        Rect {
            width: (area.width - right_width).saturating_sub(u16::from(right_width > 0)),
            ..area
        },
        left,
    );
    put(
        buf,
        Rect {
            x: area.right() - right_width,
            width: right_width,
            ..area
        },
        right,
    );
}

/// How many cells of a bar are what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lengths {
    full: u16,
    half: u16,
    flight: u16,
    track: u16,
}

impl Lengths {
    /// Of a bar `width` wide: what is done of `whole`, what is on its way, what is to come.
    pub(super) fn new(width: u16, done: u64, on_its_way: u64, whole: u64) -> Self {
        // In halves of a cell; full only when nothing is missing.
        let halves = |bytes: u64| -> u16 {
            let all = width.saturating_mul(2);
            if whole == 0 {
                return 0;
            }
            if bytes >= whole {
                return all;
            }
            let share = u128::from(bytes) * u128::from(all) / u128::from(whole);
            u16::try_from(share)
                .unwrap_or(all)
                .min(all.saturating_sub(1))
        };
        let done_halves = halves(done);
        let sum_halves = halves(done.saturating_add(on_its_way).min(whole));
        let full = done_halves / 2;
        let half = (done_halves % 2).min(width - full);
        let used = full + half;
        let flight = sum_halves
            .div_ceil(2)
            .saturating_sub(used)
            .min(width - used);
        Self {
            full,
            half,
            flight,
            track: width - used - flight,
        }
    }

    /// Each sort of cell, how many of it follow each other, and how they look where colour tells them
    /// apart, and where not.
    pub(super) fn pieces(
        self,
        theme: &Theme,
        colored: bool,
        style: Style,
    ) -> [(&'static str, u16, Style); 4] {
        let cells = &theme.glyphs.bar;
        let (on_way, to_come) = if colored {
            (cells.full, cells.full)
        } else {
            (cells.flight, cells.track)
        };
        [
            (cells.full, self.full, style),
            (cells.half, self.half, style),
            (on_way, self.flight, theme.flight),
            (to_come, self.track, theme.track),
        ]
    }
}

/// A bar `width` wide: what is done of `whole`, what is on its way, what is to come.
pub(super) fn bar<'a>(
    theme: &Theme,
    width: u16,
    done: u64,
    on_its_way: u64,
    whole: u64,
    style: Style,
) -> Vec<Span<'a>> {
    let lengths = Lengths::new(width, done, on_its_way, whole);
    let pieces = lengths.pieces(theme, theme.colored, style);
    let spans = pieces.into_iter().filter(|(_, count, _)| *count > 0);
    spans
        .map(|(symbol, count, style)| Span::styled(symbol.repeat(count.into()), style))
        .collect()
}

/// The share in a column of 5: `" 42 %"`, `"100 %"`.
pub(super) fn percent(part: u64, whole: u64) -> String {
    format!("{:>3} %", format::percent(part, whole))
}

/// Words broken into lines of at most `width` columns.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word = word;
        loop {
            let gap = usize::from(!line.is_empty());
            if format::width(&line) + gap + format::width(word) <= width {
                if gap == 1 {
                    line.push(' ');
                }
                line.push_str(word);
                break;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
                continue;
            }
            // A word longer than a line is broken where the line ends.
            let mut end = 0;
            for (at, c) in word.char_indices() {
                let next = at + c.len_utf8();
                if format::width(&word[..next]) > width && end > 0 {
                    break;
                }
                end = next;
            }
            lines.push(word[..end].to_owned());
            word = &word[end..];
            if word.is_empty() {
                break;
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}
