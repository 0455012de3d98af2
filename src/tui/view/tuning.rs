//! The tuning panel: every setting as it is and as it would be, and what the change would do.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{put, row, wrap};
use crate::{
    format,
    tui::{
        app::{App, Tuning},
        update::tuning::{ROWS, value, wanted},
    },
};

const LABEL: usize = 20;

/// Draws the panel.
pub(super) fn draw(app: &App, tuning: &Tuning, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let glyphs = theme.glyphs;
    for (index, label) in ROWS.iter().enumerate() {
        let under = index == tuning.row;
        let now = value(&app.summary.settings, index);
        let draft = value(&tuning.draft, index);
        let shown = match (&tuning.typed, under) {
            (Some(field), true) => format::printable(field.value()),
            _ => draft.clone(),
        };
        let mut spans = vec![
            Span::styled(if under { glyphs.cursor } else { " " }, theme.accent),
            Span::styled(
                format!(" {label:<LABEL$}"),
                if under { theme.strong } else { theme.text },
            ),
        ];
        let typing = under && tuning.typed.is_some();
        if under && !typing {
            spans.push(Span::styled(format!("{} ", glyphs.minus), theme.key));
        } else {
            spans.push(Span::raw("  "));
        }
        spans.push(Span::styled(
            format!("{shown:<12}"),
            if draft == now && !typing {
                theme.text
            } else {
                theme.accent
            },
        ));
        spans.push(Span::styled(
            if under && !typing { "+  " } else { "   " },
            theme.key,
        ));
        if draft != now {
            spans.push(Span::styled(format!("now {now}"), theme.dim));
        } else if index == 1 && tuning.draft.parts_in_flight.fixed().is_none() {
            spans.push(Span::styled(
                format!("{} now", app.summary.parts_limit),
                theme.dim,
            ));
        } else if index == 3 {
            let why = format::printable(&app.summary.bandwidth_why);
            spans.push(Span::styled(why, theme.dim));
        }
        put(
            buf,
            row(area, u16::try_from(index).unwrap_or(0)),
            Line::from(spans),
        );
        if under {
            buf.set_style(row(area, u16::try_from(index).unwrap_or(0)), theme.selected);
        }
    }
    let (words, style) = told(app, tuning);
    let start = u16::try_from(ROWS.len()).unwrap_or(0) + 1;
    for (index, line) in wrap(&words, usize::from(area.width))
        .into_iter()
        .enumerate()
    {
        let index = start.saturating_add(u16::try_from(index).unwrap_or(u16::MAX));
        put(buf, row(area, index), Span::styled(line, style));
    }
}

/// What the change would do, or why what was typed is no value.
fn told(app: &App, tuning: &Tuning) -> (String, ratatui::style::Style) {
    let theme = &app.theme;
    if let Some(error) = &tuning.error {
        return (format::printable(error), theme.bad);
    }
    let wanted = match wanted(tuning) {
        Ok(wanted) => wanted,
        Err(not_yet) => return (format::printable(&not_yet), theme.dim),
    };
    if wanted == tuning.from {
        let why = &app.summary.parts_limit_why;
        if tuning.row == 1 && !why.is_empty() {
            return (format::printable(why), theme.dim);
        }
        return ("nothing is changed yet".to_owned(), theme.dim);
    }
    match &tuning.preview {
        Some((settings, preview)) if *settings == wanted && !preview.words.is_empty() => {
            (format::printable(&preview.words), theme.warn)
        }
        Some((settings, _)) if *settings == wanted => {
            ("acts at once; nothing is cut anew".to_owned(), theme.dim)
        }
        _ => ("asking what this would do".to_owned(), theme.dim),
    }
}

pub(super) fn cursor(tuning: &Tuning, area: Rect) -> Option<(u16, u16)> {
    let field = tuning.typed.as_ref()?;
    let column = 2 + LABEL + 2 + field.visual_cursor();
    Some((
        area.x + u16::try_from(column).ok()?,
        area.y + u16::try_from(tuning.row).ok()?,
    ))
}
