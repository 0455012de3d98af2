//! Everything about one upload that may be shown.

use jiff::Timestamp;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{percent, put, row, wrap};
use crate::{
    engine::protocol::Details,
    format::{self, printable},
    tui::app::{App, Dialog},
};

const LABEL: usize = 12;

/// Draws the details, from line `scroll` on.
pub(super) fn draw(
    app: &App,
    details: Option<&Details>,
    scroll: u16,
    area: Rect,
    buf: &mut Buffer,
) {
    let Some(details) = details else {
        put(
            buf,
            row(area, 0),
            Span::styled("asking the engine", app.theme.dim),
        );
        return;
    };
    let skip = scroll.min(hidden(app, details, area));
    for (index, line) in lines(app, details, usize::from(area.width))
        .into_iter()
        .skip(usize::from(skip))
        .take(usize::from(area.height))
        .enumerate()
    {
        put(
            buf,
            row(area, u16::try_from(index).unwrap_or(u16::MAX)),
            line,
        );
    }
}

/// How many lines they take, once they are known.
pub(super) fn height(app: &App, dialog: &Dialog) -> usize {
    match dialog {
        Dialog::Details(Some(details), _) => lines(
            app,
            details,
            usize::from(app.size.width.min(96).saturating_sub(4)),
        )
        .len(),
        _ => 1,
    }
}

/// How many lines there is no room for at once.
pub(super) fn hidden(app: &App, details: &Details, area: Rect) -> u16 {
    let lines = lines(app, details, usize::from(area.width)).len();
    u16::try_from(lines.saturating_sub(usize::from(area.height))).unwrap_or(u16::MAX)
}

fn lines(app: &App, details: &Details, width: usize) -> Vec<Line<'static>> {
    let theme = &app.theme;
    let upload = &details.row;
    let mut out: Vec<Line<'static>> = Vec::new();
    let mut tell = |label: &'static str, text: String, style: Style| {
        let room = width.saturating_sub(LABEL);
        for (index, line) in wrap(&printable(&text), room).into_iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            out.push(Line::from(vec![
                Span::styled(format!("{label:<LABEL$}"), theme.dim),
                Span::styled(line, style),
            ]));
        }
    };
    let (glyph, state) = theme.state(upload.state);
    let text = theme.text;
    tell("file", format::display_path(&upload.path), theme.strong);
    tell("state", format!("{glyph} {}", upload.state.word()), state);
    if let Some(failure) = &details.failure {
        tell("why", failure.message.clone(), theme.bad);
        tell("next step", failure.kind.next_step().to_owned(), theme.warn);
    } else if let Some(note) = &upload.note {
        tell("note", note.clone(), theme.warn);
    }
    tell(
        "size",
        format!(
            "{} ({} bytes)",
            format::bytes(upload.size),
            format::thousands(usize::try_from(upload.size).unwrap_or(usize::MAX))
        ),
        text,
    );
    tell(
        "uploaded",
        format!(
            "{} ({})",
            format::bytes(upload.acknowledged),
            percent(upload.acknowledged, upload.size).trim()
        ),
        text,
    );
    if upload.rate > 0 {
        tell("speed", format::rate(upload.rate), text);
    }
    let zone = &app.zone;
    let moment = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%F %T").to_string();
    tell("modified", moment(details.modified), text);
    for (label, at) in [("queued", details.queued), ("begun", details.begun)] {
        if let Some(at) = at {
            tell(label, moment(at), text);
        }
    }
    if let Some(done) = details.done {
        let took = details.begun.map_or_else(String::new, |begun| {
            format!(
                ", {} after it was begun",
                format::duration(seconds(begun, done))
            )
        });
        tell("done", moment(done) + &took, text);
    }
    tell("type", details.mime.clone(), text);
    if let Some(media) = &details.media {
        tell("media", media.clone(), theme.accent);
    }
    if let Some(address) = &details.address {
        tell("address", address.clone(), text);
    }
    if let Some(marker) = &details.marker {
        tell("marker", marker.clone(), text);
    }
    for (index, (name, value)) in details.metadata.iter().enumerate() {
        let label = if index == 0 { "metadata" } else { "" };
        tell(label, format!("{name}: {value}"), text);
    }
    if upload.parts > 0 {
        tell(
            "parts",
            format!(
                "{} of {} done, {} in flight, {} to be retried, {} failed",
                upload.parts_done,
                upload.parts,
                upload.parts_running,
                upload.parts_retrying,
                upload.parts_failed
            ),
            text,
        );
    }
    for (index, (first, count, size)) in details.plan.iter().enumerate() {
        let label = if index == 0 { "plan" } else { "" };
        let last = u64::from(*first) + u64::from(*count).saturating_sub(1);
        tell(
            label,
            format!("parts {first}-{last} of {}", format::bytes(*size)),
            text,
        );
    }
    let requests = usize::try_from(details.attempts).unwrap_or(usize::MAX);
    tell(
        "attempts",
        format!(
            "{} for parts since the program started; {} went wrong",
            format::count(requests, "request"),
            format::thousands(details.incidents.len())
        ),
        text,
    );
    for incident in &details.incidents {
        let what = match incident.part {
            Some(part) => format!("part {part}"),
            None => "the file".to_owned(),
        };
        let words = format!(
            "{} {what}, try {}: {}",
            moment(incident.at),
            incident.attempt,
            incident.message
        );
        tell("", words, theme.warn);
    }
    out
}

/// How long it was from one moment to the other.
fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
}
