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
    let mut told = Told {
        app,
        width: width.saturating_sub(LABEL),
        lines: Vec::new(),
    };
    told.how_it_stands(details);
    told.when(details);
    told.at_the_destination(details);
    told.parts(details);
    told.lines
}

/// What is told: labels and texts, broken into lines.
struct Told<'a> {
    app: &'a App,
    /// Columns beside the labels.
    width: usize,
    lines: Vec<Line<'static>>,
}

impl Told<'_> {
    fn styled(&mut self, label: &str, text: &str, style: Style) {
        let wrapped = wrap(&printable(text), self.width);
        for (index, line) in wrapped.into_iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            self.lines.push(Line::from(vec![
                Span::styled(format!("{label:<LABEL$}"), self.app.theme.dim),
                Span::styled(line, style),
            ]));
        }
    }

    fn tell(&mut self, label: &str, text: &str) {
        self.styled(label, text, self.app.theme.text);
    }

    /// Several under one label.
    fn list(&mut self, label: &str, texts: impl Iterator<Item = String>, style: Style) {
        for (index, text) in texts.enumerate() {
            self.styled(if index == 0 { label } else { "" }, &text, style);
        }
    }

    fn moment(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.app.zone.clone());
        zoned.strftime("%F %T").to_string()
    }

    fn how_it_stands(&mut self, details: &Details) {
        let (theme, upload) = (&self.app.theme, &details.row);
        let (glyph, state) = theme.state(upload.state);
        self.styled("file", &format::display_path(&upload.path), theme.strong);
        self.styled("state", &format!("{glyph} {}", upload.state.word()), state);
        if let Some(failure) = &details.failure {
            self.styled("why", &failure.message, theme.bad);
            self.styled("next step", failure.kind.next_step(), theme.warn);
        } else if let Some(note) = &upload.note {
            self.styled("note", note, theme.warn);
        }
        let exact = format::thousands(usize::try_from(upload.size).unwrap_or(usize::MAX));
        let size = format!("{} ({exact} bytes)", format::bytes(upload.size));
        self.tell("size", &size);
        let share = percent(upload.acknowledged, upload.size);
        let uploaded = format!("{} ({})", format::bytes(upload.acknowledged), share.trim());
        self.tell("uploaded", &uploaded);
        if upload.rate > 0 {
            self.tell("speed", &format::rate(upload.rate));
        }
    }

    fn when(&mut self, details: &Details) {
        let times = [
            ("modified", Some(details.modified)),
            ("queued", details.queued),
            ("begun", details.begun),
        ];
        for (label, at) in times {
            if let Some(at) = at {
                self.tell(label, &self.moment(at));
            }
        }
        if let Some(done) = details.done {
            let took = details.begun.map_or_else(String::new, |begun| {
                let took = format::duration(seconds(begun, done));
                format!(", {took} after it was begun")
            });
            self.tell("done", &(self.moment(done) + &took));
        }
    }

    fn at_the_destination(&mut self, details: &Details) {
        let theme = &self.app.theme;
        self.tell("type", &details.mime);
        if let Some(media) = &details.media {
            self.styled("media", media, theme.accent);
        }
        if let Some(address) = &details.address {
            self.tell("address", address);
        }
        if let Some(marker) = &details.marker {
            self.tell("marker", marker);
        }
        let metadata = details.metadata.iter();
        let metadata = metadata.map(|(name, value)| format!("{name}: {value}"));
        self.list("metadata", metadata, theme.text);
    }

    fn parts(&mut self, details: &Details) {
        let (theme, upload) = (&self.app.theme, &details.row);
        if upload.parts > 0 {
            let parts = format!(
                "{} of {} done, {} in flight, {} to be retried, {} failed",
                upload.parts_done,
                upload.parts,
                upload.parts_running,
                upload.parts_retrying,
                upload.parts_failed
            );
            self.tell("parts", &parts);
        }
        let plan = details.plan.iter().map(|(first, count, size)| {
            let last = u64::from(*first) + u64::from(*count).saturating_sub(1);
            format!("parts {first}-{last}, {} each", format::bytes(*size))
        });
        self.list("plan", plan, theme.text);
        let requests = usize::try_from(details.attempts).unwrap_or(usize::MAX);
        let attempts = format!(
            "{} for parts since the program started; {} went wrong",
            format::count(requests, "request"),
            format::thousands(details.incidents.len())
        );
        self.tell("attempts", &attempts);
        for incident in &details.incidents {
            let what = match incident.part {
                Some(part) => format!("part {part}"),
                None => "the file".to_owned(),
            };
            let (at, attempt) = (self.moment(incident.at), incident.attempt);
            let words = format!("{at} {what}, try {attempt}: {}", incident.message);
            self.styled("", &words, theme.warn);
        }
    }
}

/// How long it was from one moment to the other.
fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second() - from.as_second()).unwrap_or(0)
}
