//! The help: the table of keys, searched as one types.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};

use super::{put, row, wrap};
use crate::{
    format,
    tui::{
        app::{App, Help},
        keys::Group,
    },
};

const PROMPT: &str = "search ";

/// The width of the column of keys, with what keeps it clear of the words.
const KEYS: usize = 20;

/// Draws the keys that match what is looked for, in as many columns as there is room for.
pub(super) fn draw(app: &App, help: &Help, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    put(
        buf,
        row(area, 0),
        Line::from(vec![
            Span::styled(PROMPT, theme.dim),
            Span::styled(format::printable(help.search.value()), theme.strong),
        ]),
    );
    let skip = help.scroll.min(hidden(app, help, area));
    let mut lines = lines(app, help, width(area))
        .into_iter()
        .skip(usize::from(skip));
    for column in columns(area) {
        for index in 0..column.height {
            if let Some(line) = lines.next() {
                put(buf, row(column, index), line);
            }
        }
    }
}

/// How many lines there is no room for at once.
pub(super) fn hidden(app: &App, help: &Help, area: Rect) -> u16 {
    let room: usize = columns(area)
        .iter()
        .map(|column| usize::from(column.height))
        .sum();
    u16::try_from(lines(app, help, width(area)).len().saturating_sub(room)).unwrap_or(u16::MAX)
}

fn lines(app: &App, help: &Help, width: u16) -> Vec<Line<'static>> {
    let theme = &app.theme;
    let width = usize::from(width);
    let indent = KEYS.min(width / 2);
    let wanted = help.search.value().to_lowercase();
    // Who is used to a search that begins with a slash means what comes after it.
    let wanted = match wanted.strip_prefix('/') {
        Some(after) if !after.is_empty() => after,
        _ => &wanted,
    };
    let mut lines: Vec<Line<'static>> = Vec::new();
    let mut group: Option<Group> = None;
    for (in_group, keys, id, words) in app.keys.help() {
        let all = format!("{keys} {id} {words} {}", in_group.words()).to_lowercase();
        if !wanted.split_whitespace().all(|word| all.contains(word)) {
            continue;
        }
        if group != Some(in_group) {
            if group.is_some() {
                lines.push(Line::default());
            }
            lines.push(Line::styled(in_group.words(), theme.accent));
            group = Some(in_group);
        }
        // What has no room beside its keys stands below them.
        let mut left = format!("  {keys}");
        if format::width(&left) + 2 > indent {
            lines.push(Line::styled(left, theme.key));
            left = String::new();
        }
        for words in wrap(words, width.saturating_sub(indent)) {
            let gap = indent.saturating_sub(format::width(&left));
            lines.push(Line::from(vec![
                Span::styled(std::mem::take(&mut left), theme.key),
                Span::raw(" ".repeat(gap)),
                Span::styled(words, theme.text),
            ]));
        }
    }
    if lines.is_empty() {
        lines.push(Line::styled("no key does that", theme.dim));
    }
    lines
}

/// How wide a column is.
fn width(area: Rect) -> u16 {
    columns(area).first().map_or(0, |column| column.width)
}

/// Where the lines go, below what is looked for.
fn columns(area: Rect) -> Vec<Rect> {
    let below = Rect {
        y: area.y + 2.min(area.height),
        height: area.height.saturating_sub(2),
        ..area
    };
    if below.width < 110 {
        return vec![below];
    }
    Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)])
        .spacing(2)
        .split(below)
        .to_vec()
}

pub(super) fn cursor(help: &Help, area: Rect) -> Option<(u16, u16)> {
    let column = PROMPT.len() + help.search.visual_cursor();
    Some((area.x + u16::try_from(column).ok()?, area.y))
}
