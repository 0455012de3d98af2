//! The summary: what was done, what failed, how fast, where it is kept.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{percent, put, row, wrap};
use crate::{
    engine::protocol::State,
    format,
    tui::{action::Action, app::App, update::can_detach},
};

const LABEL: usize = 14;

/// Draws the summary, from line `scroll` on.
pub(super) fn draw(app: &App, scroll: u16, area: Rect, buf: &mut Buffer) {
    let skip = scroll.min(hidden(app, area));
    for (line, index) in lines(app, area.width)
        .into_iter()
        .skip(usize::from(skip))
        .zip(0..area.height)
    {
        put(buf, row(area, index), line);
    }
}

/// How many lines it takes in so many columns.
pub(super) fn height(app: &App, width: u16) -> usize {
    lines(app, width).len()
}

/// How many lines there is no room for at once.
pub(super) fn hidden(app: &App, area: Rect) -> u16 {
    let hidden = height(app, area.width).saturating_sub(usize::from(area.height));
    u16::try_from(hidden).unwrap_or(u16::MAX)
}

fn lines(app: &App, width: u16) -> Vec<Line<'static>> {
    let room = usize::from(width).saturating_sub(LABEL);
    let mut lines = Vec::new();
    for (label, text, style) in told(app, room) {
        if text.is_empty() {
            lines.push(Line::default());
        }
        for (index, text) in wrap(&text, room).into_iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            lines.push(Line::from(vec![
                Span::styled(format!("{label:<LABEL$}"), app.theme.dim),
                Span::styled(text, style),
            ]));
        }
    }
    lines
}

fn files(count: usize) -> String {
    match count {
        0 => "nothing".to_owned(),
        _ => format::count(count, "file"),
    }
}

/// Labels and texts; an empty one sets what follows apart.
fn told(app: &App, room: usize) -> Vec<(&'static str, String, Style)> {
    let theme = &app.theme;
    let summary = &app.summary;
    let counts = &summary.counts;
    let bytes = &summary.bytes;
    let failed = counts.of(State::Failed) + counts.of(State::Changed);
    let left = App::left(counts);
    // Not since this screen was opened: it may be one of many, and the engine may have rested.
    let seconds = summary.sending_ms.div_ceil(1000);
    let mut told = vec![
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
    if summary.uploaded_before > 0 {
        let before = files(summary.uploaded_before);
        let words = format!("{before} uploaded before: nothing was sent of them");
        let behind_skipped = 1 + told.iter().position(|row| row.0 == "skipped").unwrap_or(0);
        told.insert(behind_skipped, ("known", words, theme.text));
    }
    if let Some(file) = &app.session_file {
        told.push((
            "kept in",
            format::shorten_middle(&format::display_path(file), room),
            theme.text,
        ));
    } else {
        told.push(("session", format::printable(&summary.session), theme.text));
    }
    // Of a session that is forgotten with its screen nothing can be told later.
    if counts.of(State::Done) > 0 && can_detach(app) {
        told.push((
            "media ids",
            "reelhaul report tells them, file by file".to_owned(),
            theme.text,
        ));
    }
    told
}
