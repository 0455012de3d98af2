//! The log pane; the lines are kept and scrolled by `tui-logger`.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Widget as _,
};
use tui_logger::{ExtLogRecord, LogFormatter, TuiLoggerWidget};

use super::{Piece, fit, frame, pane_name, wrap};
use crate::{
    format::{self, printable},
    tui::{action::Pane, app::App, layout, log_view, theme::Theme},
};

/// Draws the log with its frame.
pub(super) fn draw(app: &App, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let log = &app.log;
    let mut pieces = vec![
        Piece::new(0, [pane_name(app, Pane::Log, " Log")]),
        Piece::new(2, [Span::styled(log.level_word(), theme.dim)]),
    ];
    if let Some(target) = log.target_word() {
        pieces.push(Piece::new(1, [Span::styled(target, theme.accent)]));
    }
    if !log.following {
        pieces.push(Piece::new(1, [Span::styled("held still", theme.warn)]));
    }
    let mut title = fit(pieces, usize::from(area.width.saturating_sub(4)), " · ");
    title.push_span(Span::raw(" "));
    frame(app, Pane::Log, title).render(area, buf);
    let inner = layout::inside(area);
    // A size that is a moment old must not reach a widget that does not clip.
    if inner.is_empty() || inner.intersection(buf.area) != inner {
        return;
    }
    TuiLoggerWidget::default()
        .style(theme.text)
        .formatter(Box::new(Lines(theme.clone())))
        .state(&log.state)
        .render(inner, buf);
}

/// A log line: time, level where it matters, words; made safe for the terminal.
struct Lines(Theme);

impl LogFormatter for Lines {
    fn min_width(&self) -> u16 {
        12
    }

    fn format(&self, width: usize, record: &ExtLogRecord) -> Vec<Line<'_>> {
        let level = record.level.as_str();
        let (word, style) = match level {
            "ERROR" => ("error ", self.0.bad),
            "WARN" => ("warning ", self.0.warn),
            "INFO" => ("", self.0.text),
            _ => ("debug ", self.0.dim),
        };
        let time = log_view::said_at(record).strftime("%H:%M:%S").to_string();
        let text = format!(
            "{word}{}",
            printable(record.msg().trim()).replace('\u{fffd}', " ")
        );
        let room = width.saturating_sub(time.len() + 1).max(1);
        let indent = " ".repeat(time.len() + 1);
        let mut lines: Vec<Line<'_>> = wrap(&text, room)
            .into_iter()
            .enumerate()
            .map(|(index, part)| {
                let before = if index == 0 {
                    Span::styled(format!("{time} "), self.0.faint)
                } else {
                    Span::raw(indent.clone())
                };
                Line::from(vec![before, Span::styled(part, style)])
            })
            .collect();
        if lines.is_empty() {
            lines.push(Line::styled(
                format::shorten_end(&time, width),
                self.0.faint,
            ));
        }
        lines
    }
}
