//! Events and summaries as lines, for people or as JSON; knows no engine, only what it said.

use std::{
    collections::HashMap,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use bytesize::ByteSize;
use serde_json::{Map, Value, json};

use super::Report;
use crate::{
    engine::protocol::{Awaited, ByteTotals, Counts, Event, LimitedBy, State, Summary, UploadId},
    outlet::Outlet,
    path::shown,
    plan::PartNumber,
};

/// Whom the lines are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// People.
    Human,
    /// Programs: one JSON object a line.
    Json,
}

/// Where lines go.
#[derive(Debug)]
pub(super) struct Lines {
    out: Outlet,
    /// Whether somebody still reads.
    read: bool,
    style: Style,
    /// How many files were left out.
    skipped: u64,
    /// Where the files under way are: later events name them by number.
    running: HashMap<UploadId, PathBuf>,
    told: Option<(Counts, ByteTotals, LimitedBy, Vec<Awaited>)>,
}

impl Lines {
    pub(super) fn new(out: impl Write + Send + 'static, style: Style) -> Self {
        let left_out = match style {
            Style::Human => left_out_words,
            Style::Json => left_out_json,
        };
        Self {
            out: Outlet::new(out, left_out),
            read: true,
            style,
            skipped: 0,
            running: HashMap::new(),
            told: None,
        }
    }

    /// Writes that the lines of this session follow.
    pub(super) fn session(&mut self, name: &str) {
        let line = match self.style {
            Style::Json => tagged("session", json!({ "session": name })),
            Style::Human => format!("session     {name}"),
        };
        self.write(&(line + "\n"), false);
    }

    /// A session begins: what was told of the one before says nothing of it.
    pub(super) fn begin(&mut self) {
        self.skipped = 0;
        self.running.clear();
        self.told = None;
    }

    /// Writes what happened.
    pub(super) fn events(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            match &event {
                Event::Skipped { .. } => self.skipped += 1,
                Event::Started { id, path, .. } => {
                    self.running.insert(*id, path.clone());
                }
                _ => {}
            }
            let line = match self.style {
                Style::Json => Some(event_json(&event)),
                Style::Human => self.event_words(&event),
            };
            if let Some(line) = line {
                // Of a part that is not told nothing depends: its file's end is.
                let passing = matches!(event, Event::Part { .. });
                self.write(&(line + "\n"), passing);
            }
            if let Event::Done { id, .. } | Event::Failed { id, part: None, .. } = &event {
                self.running.remove(id);
            }
        }
    }

    /// Writes how far it is, if that is anything new.
    pub(super) fn progress(&mut self, summary: &Summary) {
        let mut limited_by = summary.limited_by.clone();
        // That less is left to wait is no news.
        if let LimitedBy::CallBudget { left_ms: time, .. } | LimitedBy::Stalled { for_ms: time } =
            &mut limited_by
        {
            *time = 0;
        }
        let waits = summary.waits.iter().map(|wait| wait.what.clone());
        let now = Some((summary.counts, summary.bytes, limited_by, waits.collect()));
        if self.told == now {
            return;
        }
        self.told = now;
        let line = match self.style {
            Style::Json => progress_json(summary),
            Style::Human => progress_words(summary),
        };
        self.write(&(line + "\n"), true);
    }

    /// Writes that the end was asked for; `first` tells whether to wait for what is in flight.
    pub(super) fn stopping(&mut self, first: bool) {
        if self.style == Style::Human {
            let words = if first {
                "stopping    parts in flight are waited for; once more stops at once\n"
            } else {
                "stopping    now\n"
            };
            self.write(words, false);
        }
    }

    /// Writes the last line.
    pub(super) fn summary(&mut self, report: &Report) {
        let line = match self.style {
            Style::Json => summary_json(report, self.skipped),
            Style::Human => summary_words(report, self.skipped),
        };
        self.write(&(line + "\n"), false);
    }

    /// Waits until all is written, but no longer than this. Blocks.
    pub(super) fn flush(&self, at_most: Duration) {
        self.out.flush(at_most);
    }

    /// Writes a line, or leaves one that is only of the moment out when the reader does not keep up.
    fn write(&mut self, line: &str, passing: bool) {
        if !self.read {
            return;
        }
        if let Some(error) = self.out.failed() {
            tracing::warn!("nothing more is told: the output can't be written: {error}");
            self.read = false;
        } else if passing {
            self.out.offer(line);
        } else {
            self.out.push(line);
        }
    }

    fn event_words(&self, event: &Event) -> Option<String> {
        let who = |id: &UploadId, part: &Option<PartNumber>| {
            let name = self
                .running
                .get(id)
                .map_or_else(|| format!("upload {id}"), |path| shown(path));
            of_part(&name, *part)
        };
        Some(match event {
            Event::Queued { path, size, .. } => {
                format!("queued      {} ({})", shown(path), ByteSize(*size))
            }
            Event::Skipped { path, reason, .. } => {
                format!("skipped     {}: {reason}", shown(path))
            }
            Event::Waiting { path, reason, .. } => {
                format!("waiting     {}: {reason}", shown(path))
            }
            Event::Unreadable { path, reason } => {
                format!("unreadable  {}: {reason}", shown(path))
            }
            Event::Started {
                path, media, parts, ..
            } => {
                let name = media
                    .as_ref()
                    .map_or_else(String::new, |id| format!(" as {id}"));
                format!(
                    "started     {}{name} in {parts} {}",
                    shown(path),
                    if *parts == 1 { "part" } else { "parts" }
                )
            }
            // A person is told by progress: a big file has thousands.
            Event::Part { .. } => return None,
            Event::Retrying {
                id,
                part,
                error,
                retry_in_ms,
            } => format!(
                "retrying    {} in {}: {error}",
                who(id, part),
                seconds(retry_in_ms.div_ceil(1000))
            ),
            Event::Done {
                path, media, size, ..
            } => format!(
                "done        {} as {media} ({})",
                shown(path),
                ByteSize(*size)
            ),
            Event::Failed {
                path,
                part,
                message,
                next_step,
                ..
            } => {
                let who = of_part(&shown(path), *part);
                let semicolon = if next_step.is_empty() { "" } else { "; " };
                format!("failed      {who}: {message}{semicolon}{next_step}")
            }
        })
    }
}

/// What stands in the place of lines that were left out because nobody took them.
fn left_out_words(lines: u64) -> String {
    format!("left out    {lines} lines that were not read in time\n")
}

fn left_out_json(lines: u64) -> String {
    tagged("left_out", json!({ "lines": lines })) + "\n"
}

fn of_part(name: &str, part: Option<PartNumber>) -> String {
    part.map_or_else(|| name.to_owned(), |part| format!("{name} part {part}"))
}

fn seconds(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// `{"event":"queued",…}` from serde's `{"queued":{…}}`: the protocol's names are the lines' names.
fn event_json(event: &Event) -> String {
    let (name, fields) = match serde_json::to_value(event) {
        Ok(Value::Object(object)) => object.into_iter().next(),
        _ => None,
    }
    .unwrap_or_default();
    tagged(&name, fields)
}

/// One object a line, its `event` first.
fn tagged(event: &str, fields: Value) -> String {
    let fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let pairs: Vec<String> = [("event".to_owned(), event.into())]
        .into_iter()
        .chain(fields)
        .map(|(key, value)| format!("{}:{value}", Value::from(key)))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

fn counts_json(counts: &Counts) -> Value {
    State::ALL
        .iter()
        .map(|state| (state.word().to_owned(), counts.of(*state).into()))
        .collect::<Map<_, _>>()
        .into()
}

fn progress_json(summary: &Summary) -> String {
    tagged(
        "progress",
        json!({
            "uploads": counts_json(&summary.counts),
            "bytes": summary.bytes,
            "rate": summary.rate,
            "eta": summary.eta,
            "parts_running": summary.parts_running,
            "limited_by": summary.limited_by,
            "waits": summary.waits,
        }),
    )
}

fn summary_json(report: &Report, skipped: u64) -> String {
    let bytes = &report.summary.bytes;
    tagged(
        "summary",
        json!({
            "uploads": counts_json(&report.summary.counts),
            "bytes": {
                "total": bytes.total,
                "sent": bytes.sent,
                "already_there": bytes.already_there,
            },
            "skipped": skipped,
            "seconds": (report.took.as_secs_f64() * 1000.0).round() / 1000.0,
            "session": report.summary.session,
        }),
    )
}

/// How many files there are. What could not be read is none yet.
fn files(summary: &Summary) -> usize {
    summary.counts.total().saturating_sub(summary.unreadable)
}

fn progress_words(summary: &Summary) -> String {
    let bytes = &summary.bytes;
    let percent = u128::from(bytes.acknowledged) * 100 / u128::from(bytes.total.max(1));
    // Of large parts none may have arrived for minutes.
    let in_flight = match bytes.in_flight {
        0 => String::new(),
        bytes => format!(" and {} in flight", ByteSize(bytes)),
    };
    let mut parts = vec![
        format!("progress    {percent}%"),
        format!(
            "{}{in_flight} of {}",
            ByteSize(bytes.acknowledged),
            ByteSize(bytes.total)
        ),
        format!(
            "{} of {} files",
            summary.counts.of(State::Done),
            files(summary)
        ),
        format!("{}/s", ByteSize(summary.rate)),
    ];
    if let Some(eta) = summary.eta {
        parts.push(format!("{} left", seconds(eta)));
    }
    if let Some(walk) = &summary.walk {
        parts.push(format!("still walking {}", shown(Path::new(&walk.at))));
    }
    for wait in &summary.waits {
        let (words, again) = (wait.words(jiff::Timestamp::now()), wait.next_try());
        parts.push(format!("{words}, {again}: {}", wait.why));
    }
    match &summary.limited_by {
        LimitedBy::CallBudget { budget, left_ms } => parts.push(format!(
            "held at {budget}, next call in {}",
            seconds(left_ms.div_ceil(1000))
        )),
        LimitedBy::Halted { why } => parts.push(format!("stopped: {why}")),
        LimitedBy::Stalled { for_ms } => {
            parts.push(format!("nothing has moved for {}", seconds(for_ms / 1000)));
        }
        _ => {}
    }
    parts.join(" · ")
}

fn summary_words(report: &Report, skipped: u64) -> String {
    let summary = &report.summary;
    let counts = &summary.counts;
    let unreadable = summary.unreadable;
    let failed = counts.of(State::Failed) + counts.of(State::Changed);
    let mut parts = vec![format!(
        "{} of {} files done",
        counts.of(State::Done),
        files(summary)
    )];
    for (count, word) in [
        (failed.saturating_sub(unreadable) as u64, "failed"),
        (counts.left().saturating_sub(failed) as u64, "left"),
        (unreadable as u64, "unreadable"),
        (skipped, "skipped"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    parts.push(format!("{} sent", ByteSize(summary.bytes.sent)));
    if summary.bytes.already_there > 0 {
        let there = ByteSize(summary.bytes.already_there);
        parts.push(format!("{there} already there"));
    }
    let next = match &summary.save_error {
        Some(error) => format!("\n            the session is not saved: {error}"),
        // How to go on is for those to say who know where the session is kept.
        None => String::new(),
    };
    let took = seconds(report.took.as_secs());
    format!("summary     {} in {took}{next}", parts.join(", "))
}
