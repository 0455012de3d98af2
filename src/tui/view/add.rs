//! The add dialog: a path with completion, a small file browser, and the walk while it runs.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{left_right, put, row};
use crate::{
    format::{self, printable},
    tui::app::{Add, AddField, App},
};

const LABEL: usize = 6;
const BROWSER: u16 = 4;

/// Draws the dialog.
pub(super) fn draw(app: &App, add: &Add, area: Rect, buf: &mut Buffer) {
    if add.walking.is_some() {
        walk(app, add, area, buf);
        return;
    }
    let theme = &app.theme;
    let fields = [
        ("path", &add.path, AddField::Path, "a file or a folder"),
        (
            "only",
            &add.include,
            AddField::Include,
            "all media; or globs such as *.mov",
        ),
        (
            "not",
            &add.exclude,
            AddField::Exclude,
            "nothing; or globs such as proxies",
        ),
    ];
    for (index, (label, field, which, nothing)) in fields.into_iter().enumerate() {
        let here = add.field == which;
        let room = usize::from(area.width).saturating_sub(LABEL + 1);
        let scroll = field.visual_scroll(room);
        let text = visible(&printable(field.value()), scroll);
        let value = if field.value().is_empty() && !here {
            Span::styled(nothing, theme.faint)
        } else {
            Span::styled(text, theme.strong)
        };
        put(
            buf,
            row(area, u16::try_from(index).unwrap_or(0)),
            Line::from(vec![
                Span::styled(
                    format!("{label:<LABEL$}"),
                    if here { theme.accent } else { theme.dim },
                ),
                value,
            ]),
        );
    }
    let below = Rect {
        y: area.y + BROWSER.min(area.height),
        height: area.height.saturating_sub(BROWSER),
        ..area
    };
    if let Some((refused, words)) = &add.answer {
        let style = if *refused { theme.bad } else { theme.text };
        put(buf, row(area, 3), Span::styled(printable(words), style));
    } else if add.field == AddField::Path {
        let counted = counted(app, add);
        let room = usize::from(area.width).saturating_sub(counted.width() + 2);
        let folder = format::display_path(&add.place().0);
        let folder = Line::styled(format::shorten_middle(&folder, room), theme.dim);
        left_right(buf, row(area, 3), folder, counted);
    }
    browser(app, add, below, buf);
}

/// What would be queued, as far as it was counted.
fn counted(app: &App, add: &Add) -> Line<'static> {
    let theme = &app.theme;
    let Some((of, estimate)) = &add.estimate else {
        return Line::default();
    };
    if add.wanted().as_ref() != Some(of) || !add.named() {
        return Line::default();
    }
    if estimate.whole && estimate.files == 0 {
        return Line::styled("no media there", theme.dim);
    }
    let sum = format!(
        "{}, {}",
        format::count(estimate.files, "file"),
        format::bytes(estimate.bytes)
    );
    if estimate.whole {
        Line::styled(sum, theme.good)
    } else {
        let wheel = theme.spinner(app.now.as_millis());
        Line::styled(format!("{wheel} {sum} so far"), theme.accent)
    }
}

/// The text from this column on.
fn visible(text: &str, columns: usize) -> String {
    let mut skipped = 0;
    text.chars()
        .skip_while(|c| {
            let skip = skipped < columns;
            skipped += format::width(c.encode_utf8(&mut [0; 4]));
            skip
        })
        .collect()
}

fn browser(app: &App, add: &Add, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    if let Some(error) = &add.listing.error {
        put(buf, row(area, 0), Span::styled(printable(error), theme.bad));
        return;
    }
    let entries = add.matching();
    if entries.is_empty() {
        let known = add.place().0 == add.listing.folder;
        let words = if known {
            "nothing here begins like that"
        } else {
            ""
        };
        put(buf, row(area, 0), Span::styled(words, theme.dim));
        return;
    }
    let height = usize::from(area.height);
    let chosen = add.chosen.unwrap_or(0);
    let first = (chosen + 1).saturating_sub(height);
    let width = usize::from(area.width);
    for (index, entry) in entries.iter().enumerate().skip(first).take(height) {
        let place = row(area, u16::try_from(index - first).unwrap_or(u16::MAX));
        let under = add.chosen == Some(index);
        let room = width.saturating_sub(13);
        let shown = format::shorten_middle(&printable(&entry.name), room.saturating_sub(1));
        let (name, size, style) = if entry.folder {
            (format!("{shown}/"), String::new(), theme.accent)
        } else {
            (
                shown,
                format::bytes(entry.size),
                if entry.media { theme.text } else { theme.faint },
            )
        };
        let gap = " ".repeat(room.saturating_sub(format::width(&name)));
        put(
            buf,
            place,
            Line::from(vec![
                Span::styled(if under { theme.glyphs.cursor } else { " " }, theme.accent),
                Span::raw(" "),
                Span::styled(name, style),
                Span::raw(gap),
                Span::styled(format!("{size:>10}"), theme.dim),
            ]),
        );
        if under {
            buf.set_style(place, theme.selected);
        }
    }
}

/// How far the walk is.
fn walk(app: &App, add: &Add, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let wheel = theme.spinner(app.now.as_millis());
    put(
        buf,
        row(area, 0),
        Line::from(vec![
            Span::styled(format!("{wheel} "), theme.accent),
            Span::styled("looking for media", theme.strong),
        ]),
    );
    let queued = app.summary.counts.total().saturating_sub(add.before);
    let Some(walk) = &app.summary.walk else {
        put(
            buf,
            row(area, 2),
            format!("{} queued", format::count(queued, "file")),
        );
        return;
    };
    let width = usize::from(area.width);
    for (index, (label, value)) in [
        (
            "queued",
            format!(
                "{}, {}",
                format::count(walk.files, "file"),
                format::bytes(walk.bytes)
            ),
        ),
        (
            "left out",
            format!("{}; the log says why", format::count(walk.skipped, "file")),
        ),
        (
            "now in",
            format::shorten_middle(&printable(&walk.at), width.saturating_sub(10)),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        put(
            buf,
            row(area, u16::try_from(index).unwrap_or(0) + 2),
            Line::from(vec![
                Span::styled(format!("{label:<10}"), theme.dim),
                Span::styled(value, theme.text),
            ]),
        );
    }
}

pub(super) fn cursor(add: &Add, area: Rect) -> Option<(u16, u16)> {
    if add.walking.is_some() {
        return None;
    }
    let (field, line) = match add.field {
        AddField::Path => (&add.path, 0),
        AddField::Include => (&add.include, 1),
        AddField::Exclude => (&add.exclude, 2),
    };
    let room = usize::from(area.width).saturating_sub(LABEL + 1);
    let column = LABEL
        + field
            .visual_cursor()
            .saturating_sub(field.visual_scroll(room));
    Some((area.x + u16::try_from(column).ok()?, area.y + line))
}
