//! The summary: what was done, what failed, how fast, where it is kept.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{percent, put, row};
use crate::{
    engine::protocol::State,
    format,
    tui::{action::Action, app::App},
};

/// Lines it takes.
pub(super) const HEIGHT: usize = 11;

fn files(count: usize) -> String {
    match count {
        0 => "nothing".to_owned(),
        _ => format::count(count, "file"),
    }
}

/// Draws the summary.
pub(super) fn draw(app: &App, area: Rect, buf: &mut Buffer) {
    let theme = &app.theme;
    let summary = &app.summary;
    let counts = &summary.counts;
    let bytes = &summary.bytes;
    let failed = counts.of(State::Failed) + counts.of(State::Changed);
    let left = App::left(counts);
    // Not since this screen was opened: it may be one of many, and the engine may have rested.
    let seconds = summary.sending_ms.div_ceil(1000);
    let mut lines: Vec<(&str, String, Style)> = vec![
        ("done", files(counts.of(State::Done)), theme.good),
        (
            "failed",
            match failed {
                0 => "nothing".to_owned(),
                _ => format!(
                    "{}; {} tries again, filter {} shows them",
                    format::count(failed, "file"),
                    app.key(Action::RetryAll),
                    app.key(Action::Show)
                ),
            },
            if failed > 0 { theme.bad } else { theme.text },
        ),
        ("left", files(left), theme.text),
        ("skipped", files(counts.of(State::Skipped)), theme.text),
        match summary.unreadable {
            0 => ("", String::new(), theme.text),
            unreadable => (
                "unreadable",
                format!("{}; the log names them", format::count(unreadable, "path")),
                theme.bad,
            ),
        },
        (
            "uploaded",
            format!(
                "{} of {} ({})",
                format::bytes(bytes.acknowledged),
                format::bytes(bytes.total),
                percent(bytes.acknowledged, bytes.total).trim()
            ),
            theme.text,
        ),
        (
            "sent now",
            format!(
                "{} in {}, {} on average",
                format::bytes(bytes.sent),
                format::duration(seconds),
                format::rate(bytes.sent / seconds.max(1))
            ),
            theme.text,
        ),
        (
            "there before",
            format::bytes(bytes.already_there),
            theme.text,
        ),
        (
            "errors",
            format!("{}, retried ones too", summary.errors),
            theme.text,
        ),
        ("", String::new(), theme.text),
    ];
    if let Some(file) = &app.session_file {
        let room = usize::from(area.width).saturating_sub(14);
        lines.push((
            "kept in",
            format::shorten_middle(&format::display_path(file), room),
            theme.text,
        ));
    } else {
        lines.push(("session", format::printable(&summary.session), theme.text));
    }
    for (index, (label, text, style)) in lines.into_iter().enumerate() {
        put(
            buf,
            row(area, u16::try_from(index).unwrap_or(u16::MAX)),
            Line::from(vec![
                Span::styled(format!("{label:<14}"), theme.dim),
                Span::styled(text, style),
            ]),
        );
    }
}
