//! The help: the table of keys, searched as one types.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};

use super::{put, row};
use crate::{
    format,
    tui::{
        app::{App, Help},
        keys::Group,
    },
};

const PROMPT: &str = "search ";

/// Draws the keys that match what is looked for, in as many columns as there is room for.
pub(super) fn draw(app: &App, help: &Help, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let search = help.search.value();
    put(
        buf,
        row(area, 0),
        Line::from(vec![
            Span::styled(PROMPT, theme.dim),
            Span::styled(format::printable(search), theme.strong),
        ]),
    );
    let wanted = search.to_lowercase();
    let mut lines: Vec<Line<'_>> = Vec::new();
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
        lines.push(Line::from(vec![
            Span::styled(format!("  {keys:<17} "), theme.key),
            Span::styled(words, theme.text),
        ]));
    }
    if lines.is_empty() {
        lines.push(Line::styled("no key does that", theme.dim));
    }
    let below = Rect {
        y: area.y + 2.min(area.height),
        height: area.height.saturating_sub(2),
        ..area
    };
    let columns: Vec<Rect> = if below.width >= 110 {
        Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)])
            .spacing(2)
            .split(below)
            .to_vec()
    } else {
        vec![below]
    };
    let height = usize::from(below.height);
    let room = height * columns.len();
    let most = lines.len().saturating_sub(room);
    let skip = usize::from(help.scroll).min(most);
    let mut lines = lines.into_iter().skip(skip);
    for column in columns {
        for index in 0..column.height {
            if let Some(line) = lines.next() {
                put(buf, row(column, index), line);
            }
        }
    }
}

pub(super) fn cursor(help: &Help, area: Rect) -> Option<(u16, u16)> {
    let column = PROMPT.len() + help.search.visual_cursor();
    Some((area.x + u16::try_from(column).ok()?, area.y))
}
