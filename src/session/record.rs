//! The tables of a session file, to and from text; pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    path::PathBuf,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use toml::value::Datetime;
use toml_writer::{ToTomlValue as _, TomlStringBuilder};

use super::{
    plain,
    times::{Milestone, Moment, Times},
    walks::{Walk, WalkId, WalkTable},
};
use crate::{
    destination::{Md5, Ticket},
    engine::protocol::{State, UploadId},
    error::{Error, Kind, clean},
    identity::Identity,
    path,
    plan::{PartNumber, PartPlan, Run},
    settings::Settings,
};

/// The newest format this program knows; a newer one is refused, never guessed at.
pub const FORMAT: u32 = 1;

/// The head of a session file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The format's number.
    pub format: u32,
    /// The session's id, which is also its file's name.
    pub id: String,
    /// The name of the destination in the config.
    pub destination: String,
    /// What was tuned.
    #[serde(default)]
    pub settings: Settings,
}

/// What is kept of an upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// The id of ours, made before the media object.
    pub marker: String,
    /// What the destination gave.
    pub ticket: Option<Ticket>,
    /// How the file is cut; decided no later than the ticket is saved.
    pub plan: Option<PartPlan>,
    /// The parts that were acknowledged, with their MD5 as taken on the way; `None` where the part
    /// was found there and its MD5 never seen.
    pub receipts: BTreeMap<PartNumber, Option<Md5>>,
    /// Whether the destination was told that the upload is complete, and agreed.
    pub completed: bool,
    /// Whether it is to be begun anew: what was made of it is to be removed first.
    pub clearing: bool,
}

/// What is kept of an upload: a whole `[[upload]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub id: UploadId,
    /// Where the file is.
    pub path: PathBuf,
    /// The file as it was when it was queued.
    pub identity: Identity,
    /// When what happened to it.
    pub times: Times,
    /// Its state, as far as it says more than the progress does: `queued` for whatever goes on by
    /// itself, else `done`, `paused`, `failed`, `changed` or `skipped`.
    pub state: State,
    /// Why it is in that state.
    pub reason: Option<Error>,
    /// What was begun of it; of a done one only the media object's id is kept.
    pub progress: Option<Progress>,
    /// Where it is no file, but a path that this walk could not read.
    pub unread: Option<WalkId>,
}

/// A change of one upload: a `[[log]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is begun under this marker.
    Begun(String),
    /// The destination gave this.
    Ticket(Ticket),
    /// It is cut like this from now on.
    Plan(PartPlan),
    /// A part was acknowledged; with the MD5 taken on the way.
    Part(PartNumber, Option<Md5>),
    /// The destination lacks these parts after all.
    Lost(BTreeSet<PartNumber>),
    /// All parts are there and the destination agreed.
    Completed,
    /// The destination accepted it.
    Done,
    /// It goes on by itself again.
    Released,
    /// Held by the person.
    Paused,
    /// Stopped by an error.
    Failed(Error),
    /// The local file is no longer the one that was begun.
    Changed(Error),
    /// Left out.
    Skipped(Error),
    /// This was reached at this moment.
    At(Milestone, Moment),
    /// It is to be begun anew, and goes on by itself: what was made of it is removed first.
    Clearing,
    /// Forget what was begun; the file is this now.
    Fresh(Identity),
    /// Taken out of the queue.
    Removed,
}

/// One table after the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A queued file.
    Upload(Box<Kept>),
    /// A change of one.
    Log(UploadId, Change),
    /// What was to be walked.
    Walk(Walk),
    /// A walk came to its end.
    WalkOver(WalkId),
    /// The settings from now on.
    Settings(Settings),
}

/// An `[[upload]]` table as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UploadTable {
    id: UploadId,
    path: Option<String>,
    path_bytes: Option<String>,
    size: u64,
    modified: Datetime,
    #[serde(default)]
    inode: u64,
    queued_at: Option<Datetime>,
    begun_at: Option<Datetime>,
    done_at: Option<Datetime>,
    marker: Option<String>,
    ticket: Option<Ticket>,
    plan: Option<Vec<Run>>,
    done: Option<String>,
    md5: Option<String>,
    #[serde(default)]
    completed: bool,
    #[serde(default)]
    clearing: bool,
    unread: Option<WalkId>,
    reason: Option<Reason>,
    state: Word,
}

/// A `[[log]]` table as it stands in the file: a few keys for each kind of change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogTable {
    upload: Option<UploadId>,
    walk: Option<WalkId>,
    part: Option<PartNumber>,
    md5: Option<String>,
    marker: Option<String>,
    ticket: Option<Ticket>,
    plan: Option<Vec<Run>>,
    file_size: Option<u64>,
    lost: Option<String>,
    begun_at: Option<Datetime>,
    done_at: Option<Datetime>,
    size: Option<u64>,
    modified: Option<Datetime>,
    inode: Option<u64>,
    reason: Option<Reason>,
    state: Option<Word>,
    settings: Option<Settings>,
}

/// What a table can say of a state. `queued` stands for "goes on by itself": how far it is shows in
/// the other keys; the steps in between are accepted for those who write a session by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Queued,
    Creating,
    Uploading,
    Completing,
    Processing,
    Done,
    Paused,
    Failed,
    Changed,
    Skipped,
    Removed,
    Clearing,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    kind: Kind,
    message: String,
    status: Option<u16>,
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Self {
            status: reason.status,
            ..Error::new(reason.kind, reason.message)
        }
    }
}

/// Writes tables line by line. Every value stands in one line whatever it holds, so that a line that
/// begins with `[[` is always the beginning of a table.
pub(super) struct Writer<'a>(pub(super) &'a mut String);

impl Writer<'_> {
    pub(super) fn value(&mut self, key: &str, value: impl fmt::Display) {
        // Writing to a string can't fail.
        let _ = writeln!(self.0, "{key} = {value}");
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.value(key, quoted(text));
    }

    fn serde(&mut self, key: &str, value: &impl Serialize) {
        let mut text = String::new();
        // Plain structs of numbers and one-line texts; TOML can hold all of them.
        if value
            .serialize(toml::ser::ValueSerializer::new(&mut text))
            .is_ok()
        {
            self.value(key, text);
        }
    }

    fn ticket(&mut self, ticket: &Ticket) {
        let parts = [
            ("media", Some(&ticket.media)),
            ("upload", ticket.upload.as_ref()),
            ("token", ticket.token.as_ref()),
            ("method", ticket.method.as_ref()),
        ];
        let inner: Vec<String> = parts
            .iter()
            .filter_map(|(key, text)| text.map(|text| format!("{key} = {}", quoted(text))))
            .collect();
        self.value("ticket", format_args!("{{ {} }}", inner.join(", ")));
    }

    fn plan(&mut self, plan: &PartPlan) {
        let runs: Vec<String> = plan
            .runs()
            .iter()
            .map(|run| format!("[{}, {}, {}]", run.first, run.count, run.size))
            .collect();
        self.value("plan", format_args!("[{}]", runs.join(", ")));
    }

    fn identity(&mut self, identity: &Identity) {
        self.value("size", identity.size);
        self.value("modified", identity.modified);
        if identity.inode != 0 {
            self.value("inode", identity.inode);
        }
    }

    fn moment(&mut self, key: &str, moment: Moment) {
        if moment != Moment::default() {
            self.value(key, moment);
        }
    }

    fn reason(&mut self, error: &Error) {
        let kind =
            toml::Value::try_from(error.kind).map_or_else(|_| String::new(), |v| v.to_string());
        let status = error
            .status
            .map_or_else(String::new, |status| format!(", status = {status}"));
        let message = quoted(&error.message);
        self.value(
            "reason",
            format_args!("{{ kind = {kind}, message = {message}{status} }}"),
        );
    }
}

/// A TOML string in one line, escapes and all.
pub(super) fn quoted(text: &str) -> String {
    TomlStringBuilder::new(text).as_basic().to_toml_value()
}

/// Writes the head, with a word to whoever opens the file by hand.
#[must_use]
pub fn write_header(header: &Header) -> String {
    let mut out = String::from(
        "# A reelhaul session. The tickets in it let their holder write to the account: keep it private.\n\
         # Each table ends with a blank line; [[log]] tables are changes to what stands above them.\n",
    );
    let mut writer = Writer(&mut out);
    writer.value("format", header.format);
    writer.text("id", &header.id);
    writer.text("destination", &header.destination);
    writer.serde("settings", &header.settings);
    out.push('\n');
    out
}

/// Appends an `[[upload]]` table.
pub fn write_upload(out: &mut String, kept: &Kept) {
    out.push_str("[[upload]]\n");
    let mut writer = Writer(out);
    writer.value("id", kept.id);
    match kept.path.to_str() {
        Some(path) if !path.contains(char::is_control) => writer.text("path", path),
        _ => writer.text("path_bytes", &path::encode(&kept.path)),
    }
    writer.identity(&kept.identity);
    writer.moment("queued_at", kept.times.queued);
    writer.moment("begun_at", kept.times.begun);
    writer.moment("done_at", kept.times.done);
    if let Some(progress) = &kept.progress {
        writer.text("marker", &progress.marker);
        if let Some(ticket) = &progress.ticket {
            writer.ticket(ticket);
        }
        if let Some(plan) = &progress.plan {
            writer.plan(plan);
        }
        if !progress.receipts.is_empty() {
            writer.text("done", &write_numbers(progress.receipts.keys().copied()));
            let mut md5 = String::with_capacity(progress.receipts.len() * 32);
            for receipt in progress.receipts.values() {
                md5.push_str(&receipt.map_or_else(|| "-".repeat(32), write_md5));
            }
            writer.text("md5", &md5);
        }
        if progress.completed {
            writer.value("completed", true);
        }
        if progress.clearing {
            writer.value("clearing", true);
        }
    }
    if let Some(walk) = kept.unread {
        writer.value("unread", walk);
    }
    if let Some(reason) = &kept.reason {
        writer.reason(reason);
    }
    writer.text("state", kept.state.word());
    out.push('\n');
}

/// Appends a `[[log]]` table for a change of an upload.
pub fn write_change(out: &mut String, upload: UploadId, change: &Change) {
    out.push_str("[[log]]\n");
    let mut writer = Writer(out);
    writer.value("upload", upload);
    match change {
        Change::Begun(marker) => writer.text("marker", marker),
        Change::Ticket(ticket) => writer.ticket(ticket),
        Change::Plan(plan) => {
            writer.value("file_size", plan.file_size());
            writer.plan(plan);
        }
        Change::Part(part, md5) => {
            writer.value("part", part);
            if let Some(md5) = md5 {
                writer.text("md5", &write_md5(*md5));
            }
        }
        Change::Lost(parts) => writer.text("lost", &write_numbers(parts.iter().copied())),
        Change::Completed => writer.text("state", State::Processing.word()),
        Change::Done => writer.text("state", State::Done.word()),
        Change::Released => writer.text("state", State::Queued.word()),
        Change::Paused => writer.text("state", State::Paused.word()),
        Change::Removed => writer.text("state", "removed"),
        Change::Clearing => writer.text("state", "clearing"),
        Change::Failed(error) => {
            writer.reason(error);
            writer.text("state", State::Failed.word());
        }
        Change::Changed(error) => {
            writer.reason(error);
            writer.text("state", State::Changed.word());
        }
        Change::Skipped(error) => {
            writer.reason(error);
            writer.text("state", State::Skipped.word());
        }
        Change::At(Milestone::Begun, at) => writer.moment("begun_at", *at),
        Change::At(Milestone::Done, at) => writer.moment("done_at", *at),
        Change::Fresh(identity) => writer.identity(identity),
    }
    out.push('\n');
}

/// Appends a `[[log]]` table for changed settings.
pub fn write_settings(out: &mut String, settings: &Settings) {
    out.push_str("[[log]]\n");
    Writer(out).serde("settings", settings);
    out.push('\n');
}

/// Why a table can't be read; with where in the table, as a byte offset, where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadTable {
    /// The reason, in words.
    pub words: String,
    /// The offset within the table's text.
    pub offset: Option<usize>,
}

impl BadTable {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            offset: None,
        }
    }
}

fn from_toml<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, BadTable> {
    toml::from_str(text).map_err(|error| BadTable {
        words: clean(error.message()),
        offset: error.span().map(|span| span.start),
    })
}

/// Reads the head.
///
/// # Errors
/// When it is no head, or one of a newer format.
pub fn read_header(text: &str) -> Result<Header, BadTable> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = from_toml(text)?;
    if format > FORMAT {
        return Err(BadTable::new(format!(
            "its format is {format}, newer than this program knows ({FORMAT}): use a newer reelhaul"
        )));
    }
    from_toml(text)
}

/// Reads one table after the head: its first line, which names it, and the rest.
///
/// # Errors
/// When it is not a table this program writes.
pub fn read_table(text: &str) -> Result<Record, BadTable> {
    // A million of the usual tables are read three times as fast this way.
    plain::read(text).map_or_else(|| parse_table(text), Ok)
}

/// Reads one table as TOML.
pub(super) fn parse_table(text: &str) -> Result<Record, BadTable> {
    let (name, body) = text.split_once('\n').unwrap_or((text, ""));
    let record = match name.trim() {
        "[[upload]]" => from_toml::<UploadTable>(body).and_then(upload),
        "[[log]]" => from_toml::<LogTable>(body).and_then(log),
        "[[walk]]" => from_toml::<WalkTable>(body).and_then(Record::try_from),
        _ => {
            return Err(BadTable::new(
                "this is none of [[walk]], [[upload]] and [[log]]",
            ));
        }
    };
    record.map_err(|bad| BadTable {
        offset: bad.offset.map(|at| at + name.len() + 1),
        ..bad
    })
}

fn time(key: &str, at: &Datetime) -> Result<Timestamp, BadTable> {
    at.to_string()
        .parse()
        .map_err(|_| BadTable::new(format!("`{key}` is not a time with an offset")))
}

fn moment(key: &str, at: Option<&Datetime>) -> Result<Moment, BadTable> {
    at.map_or(Ok(Moment::default()), |at| Ok(time(key, at)?.into()))
}

fn identity(size: u64, modified: &Datetime, inode: u64) -> Result<Identity, BadTable> {
    Ok(Identity {
        size,
        modified: time("modified", modified)?,
        inode,
    })
}

fn upload(table: UploadTable) -> Result<Record, BadTable> {
    let path = match (table.path, table.path_bytes) {
        (Some(path), None) => PathBuf::from(path),
        (None, Some(bytes)) => path::decode(&bytes),
        _ => return Err(BadTable::new("one of `path` and `path_bytes` is needed")),
    };
    let identity = identity(table.size, &table.modified, table.inode)?;
    let times = Times {
        queued: moment("queued_at", table.queued_at.as_ref())?,
        begun: moment("begun_at", table.begun_at.as_ref())?,
        done: moment("done_at", table.done_at.as_ref())?,
    };
    let plan = table
        .plan
        .map(|runs| read_plan(runs, identity.size))
        .transpose()?;
    let parts = plan.as_ref().map_or(0, PartPlan::count);
    if table.unread.is_some() && table.marker.is_some() {
        return Err(BadTable::new("what could not be read can't be begun"));
    }
    let progress = match table.marker {
        None if table.ticket.is_some() || table.done.is_some() => {
            return Err(BadTable::new("a begun upload needs its `marker`"));
        }
        None => None,
        Some(marker) => Some(Progress {
            marker,
            ticket: table.ticket,
            receipts: receipts(table.done.as_deref(), table.md5.as_deref(), parts)?,
            plan,
            completed: table.completed || table.state == Word::Processing,
            clearing: table.clearing || table.state == Word::Clearing,
        }),
    };
    let state = match table.state {
        Word::Done => State::Done,
        Word::Paused => State::Paused,
        Word::Failed => State::Failed,
        Word::Changed => State::Changed,
        Word::Skipped => State::Skipped,
        Word::Removed => {
            return Err(BadTable::new(
                "an [[upload]] can't be removed; leave it out",
            ));
        }
        Word::Queued
        | Word::Creating
        | Word::Uploading
        | Word::Completing
        | Word::Processing
        | Word::Clearing => State::Queued,
    };
    let reason = table.reason.map(Error::from);
    Ok(Record::Upload(Box::new(Kept {
        id: table.id,
        path,
        identity,
        times,
        state,
        reason,
        progress,
        unread: table.unread,
    })))
}

fn log(table: LogTable) -> Result<Record, BadTable> {
    if let Some(settings) = table.settings {
        return Ok(Record::Settings(settings));
    }
    if let Some(walk) = table.walk {
        return match table.state {
            Some(Word::Done) => Ok(Record::WalkOver(walk)),
            _ => Err(BadTable::new("of a walk the log only says that it is done")),
        };
    }
    let Some(upload) = table.upload else {
        return Err(BadTable::new("`upload` is missing"));
    };
    let reason = |reason: Option<Reason>| {
        reason
            .map(Error::from)
            .ok_or_else(|| BadTable::new("`reason` is missing"))
    };
    let change = if let Some(part) = table.part {
        Change::Part(part, table.md5.as_deref().map(read_md5).transpose()?)
    } else if let Some(marker) = table.marker {
        Change::Begun(marker)
    } else if let Some(ticket) = table.ticket {
        Change::Ticket(ticket)
    } else if let Some(runs) = table.plan {
        let size = table
            .file_size
            .ok_or_else(|| BadTable::new("`file_size` is missing"))?;
        Change::Plan(read_plan(runs, size)?)
    } else if let Some(lost) = table.lost {
        Change::Lost(read_numbers(&lost, u32::MAX)?.into_iter().collect())
    } else if let Some(at) = table.begun_at {
        Change::At(Milestone::Begun, time("begun_at", &at)?.into())
    } else if let Some(at) = table.done_at {
        Change::At(Milestone::Done, time("done_at", &at)?.into())
    } else if let Some(size) = table.size {
        let modified = table
            .modified
            .ok_or_else(|| BadTable::new("`modified` is missing"))?;
        Change::Fresh(identity(size, &modified, table.inode.unwrap_or(0))?)
    } else {
        match table
            .state
            .ok_or_else(|| BadTable::new("it says nothing of the upload"))?
        {
            Word::Processing => Change::Completed,
            Word::Done => Change::Done,
            Word::Paused => Change::Paused,
            Word::Removed => Change::Removed,
            Word::Clearing => Change::Clearing,
            Word::Failed => Change::Failed(reason(table.reason)?),
            Word::Changed => Change::Changed(reason(table.reason)?),
            Word::Skipped => Change::Skipped(reason(table.reason)?),
            Word::Queued | Word::Creating | Word::Uploading | Word::Completing => Change::Released,
        }
    };
    Ok(Record::Log(upload, change))
}

fn read_plan(runs: Vec<Run>, file_size: u64) -> Result<PartPlan, BadTable> {
    PartPlan::from_runs(runs, file_size).map_err(|bad| BadTable::new(bad.to_string()))
}

fn receipts(
    done: Option<&str>,
    md5: Option<&str>,
    parts: u32,
) -> Result<BTreeMap<PartNumber, Option<Md5>>, BadTable> {
    let numbers = read_numbers(done.unwrap_or(""), parts)?;
    let Some(md5) = md5 else {
        return Ok(numbers.into_iter().map(|part| (part, None)).collect());
    };
    if !md5.is_ascii() || md5.len() != numbers.len() * 32 {
        return Err(BadTable::new(
            "`md5` does not have 32 characters for each part in `done`",
        ));
    }
    let one = |at: usize| match &md5[at * 32..(at + 1) * 32] {
        text if text.bytes().all(|b| b == b'-') => Ok(None),
        text => read_md5(text).map(Some),
    };
    numbers
        .into_iter()
        .enumerate()
        .map(|(at, part)| Ok((part, one(at)?)))
        .collect()
}

/// An MD5 as 32 hexadecimal digits.
#[must_use]
pub fn write_md5(md5: Md5) -> String {
    md5.iter().fold(String::with_capacity(32), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

pub(super) fn read_md5(text: &str) -> Result<Md5, BadTable> {
    let bad = || BadTable::new("an MD5 has 32 hexadecimal digits");
    if text.len() != 32 || !text.is_ascii() {
        return Err(bad());
    }
    let mut md5 = [0; 16];
    for (at, byte) in md5.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).map_err(|_| bad())?;
    }
    Ok(md5)
}

/// Numbers in rising order as stretches: `1-37,39`.
#[must_use]
pub fn write_numbers(numbers: impl Iterator<Item = PartNumber>) -> String {
    let mut stretches: Vec<(PartNumber, PartNumber)> = Vec::new();
    for number in numbers {
        match stretches.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => stretches.push((number, number)),
        }
    }
    let words: Vec<String> = stretches
        .iter()
        .map(|(a, b)| {
            if a == b {
                a.to_string()
            } else {
                format!("{a}-{b}")
            }
        })
        .collect();
    words.join(",")
}

/// The numbers of such stretches; none may be above `most`, nor the text ask for endless memory.
fn read_numbers(text: &str, most: u32) -> Result<Vec<PartNumber>, BadTable> {
    /// More parts than any destination allows.
    const TOO_MANY: usize = 1_000_000;
    let bad = || {
        BadTable::new(format!(
            "{:?} is not a list of parts such as 1-37,39",
            clean(text)
        ))
    };
    let mut numbers = Vec::new();
    for stretch in text.split(',').filter(|stretch| !stretch.is_empty()) {
        let (first, last) = stretch.split_once('-').unwrap_or((stretch, stretch));
        let first: PartNumber = first.trim().parse().map_err(|_| bad())?;
        let last: PartNumber = last.trim().parse().map_err(|_| bad())?;
        let rising = numbers.last().is_none_or(|before| *before < first) && first <= last;
        if first == 0
            || !rising
            || last > most
            || numbers.len() + (last - first) as usize > TOO_MANY
        {
            return Err(bad());
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, num::NonZeroU64, os::unix::ffi::OsStringExt};

    use proptest::prelude::*;

    use super::*;

    fn file() -> Identity {
        Identity::new(100_000_000, 1_559_470_272, 123_456_789, 42)
    }

    fn plan() -> PartPlan {
        PartPlan::cut(100_000_000, NonZeroU64::new(5 << 20).unwrap())
            .recut(4, NonZeroU64::new(16 << 20).unwrap())
    }

    fn ticket(token: &str) -> Ticket {
        Ticket {
            media: "abcd1234".into(),
            upload: Some("up".into()),
            token: Some(token.into()),
            method: None,
        }
    }

    fn moment(seconds: i64) -> Moment {
        Timestamp::from_second(seconds).unwrap().into()
    }

    fn begun() -> Kept {
        let receipts = [(1, Some([7; 16])), (2, None), (5, Some([0xAB; 16]))].into();
        Kept {
            id: 7,
            path: "/archive/2019/wedding.mov".into(),
            identity: file(),
            times: Times {
                queued: moment(1_700_000_000),
                begun: moment(1_700_000_060),
                done: Moment::default(),
            },
            state: State::Paused,
            reason: Some(Error::new(Kind::Server, "the server \"failed\"").with_status(500)),
            progress: Some(Progress {
                marker: "m".into(),
                ticket: Some(ticket("t")),
                plan: Some(plan()),
                receipts,
                completed: true,
                clearing: true,
            }),
            unread: None,
        }
    }

    fn again(kept: &Kept) -> Record {
        let mut text = String::new();
        write_upload(&mut text, kept);
        assert!(text.ends_with("\n\n"));
        read_table(&text).unwrap()
    }

    #[test]
    fn an_upload_reads_back_as_it_was_written() {
        assert_eq!(again(&begun()), Record::Upload(Box::new(begun())));
    }

    #[test]
    fn a_path_that_could_not_be_read_reads_back_as_it_was_written() {
        let kept = Kept {
            identity: Identity::new(0, 0, 0, 0),
            state: State::Failed,
            reason: Some(Error::new(Kind::Local, "no permission to read it")),
            progress: None,
            unread: Some(2),
            ..begun()
        };
        assert_eq!(again(&kept), Record::Upload(Box::new(kept)));
    }

    #[test]
    fn every_change_reads_back_as_it_was_written() {
        let error = || Error::new(Kind::Changed, "it changed");
        for change in [
            Change::Begun("m".into()),
            Change::Ticket(ticket("a\n[[log]]\n\u{7f}\"")),
            Change::Plan(plan()),
            Change::Part(3, Some([9; 16])),
            Change::Part(3, None),
            Change::Lost([1, 2, 3, 9].into()),
            Change::Completed,
            Change::Done,
            Change::Released,
            Change::Paused,
            Change::Failed(error()),
            Change::Changed(error()),
            Change::Skipped(error()),
            Change::At(Milestone::Begun, moment(1_700_000_000)),
            Change::At(Milestone::Done, moment(1_700_000_001)),
            Change::Clearing,
            Change::Fresh(file()),
            Change::Removed,
        ] {
            let mut text = String::new();
            write_change(&mut text, 3, &change);
            assert_eq!(text.matches("\n\n").count(), 1, "{text}");
            assert_eq!(read_table(&text).unwrap(), Record::Log(3, change));
        }
    }

    #[test]
    fn a_receipt_costs_less_than_a_hundred_bytes() {
        let mut text = String::new();
        write_change(
            &mut text,
            1_000_000,
            &Change::Part(10_000, Some([0xFF; 16])),
        );
        assert!(text.len() < 100, "{} bytes", text.len());
    }

    #[test]
    fn a_table_from_before_times_were_kept_says_nothing_of_them() {
        let table = "[[upload]]\nid = 1\npath = \"a\"\nsize = 10\n\
                     modified = 2019-06-02T10:11:12Z\nstate = \"queued\"\n\n";
        let Record::Upload(kept) = read_table(table).unwrap() else {
            panic!("no upload")
        };
        assert_eq!(kept.times, Times::default());
        let mut text = String::new();
        write_upload(&mut text, &kept);
        assert_eq!(text, table);
    }

    #[test]
    fn a_newer_format_is_refused_and_not_guessed_at() {
        let newer = read_header("format = 2\nid = \"x\"\nwhatever = true\n").unwrap_err();
        assert!(newer.words.contains("newer"), "{}", newer.words);
    }

    #[test]
    fn tables_that_contradict_themselves_are_refused() {
        let head = "[[upload]]\nid = 1\npath = \"a\"\nsize = 10\nmodified = 2019-06-02T10:11:12Z\n";
        for rest in [
            "state = \"flying\"",
            "state = \"removed\"",
            "done = \"1\"\nstate = \"queued\"",
            "marker = \"m\"\nplan = [[1, 1, 5]]\nstate = \"queued\"",
            "marker = \"m\"\nplan = [[1, 2, 5]]\ndone = \"1-3\"\nstate = \"queued\"",
            "marker = \"m\"\nplan = [[1, 2, 5]]\ndone = \"2,1\"\nstate = \"queued\"",
            "marker = \"m\"\nplan = [[1, 2, 5]]\ndone = \"1\"\nmd5 = \"éé\"\nstate = \"queued\"",
            "state = \"queued\"\nsurprise = 1",
        ] {
            assert!(read_table(&format!("{head}{rest}\n")).is_err(), "{rest}");
        }
    }

    proptest! {
        #[test]
        fn any_path_and_any_token_come_back_and_never_break_the_file(
            path in proptest::collection::vec(1u8..=255, 1..60), token: String,
        ) {
            let mut kept = begun();
            kept.path = PathBuf::from(OsString::from_vec(path));
            kept.progress.as_mut().unwrap().ticket = Some(ticket(&token));
            prop_assert_eq!(again(&kept), Record::Upload(Box::new(kept)));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String, numbers in "[0-9,\\-]{0,40}") {
            let _ = read_table(&text);
            let _ = read_header(&text);
            let _ = read_table(&format!("[[upload]]\n{text}"));
            let _ = read_table(&format!("[[walk]]\n{text}"));
            let _ = read_table(&format!("[[log]]\nupload = 1\nlost = \"{numbers}\""));
        }
    }
}
