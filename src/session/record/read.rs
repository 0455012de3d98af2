//! Tables read: what stands in them, and whether it is something that can be.

use jiff::{Timestamp, civil, tz};
use serde::Deserialize;
use toml::{
    de::{DeTable, DeValue, Deserializer},
    value::{Datetime, Offset},
};

use super::{
    BadTable, Change, FORMAT, Header, Kept, MOST_PARTS, Progress, Record,
    receipts::{read_md5, read_numbers, receipts},
};
use crate::{
    destination::{PartReceipt, Ticket},
    error::{Error, Kind, clean},
    identity::{Identity, Mount},
    ids::{AccountId, Claim, MOST_UPLOADS, UploadId, WalkId},
    path,
    plan::{PartNumber, PartPlan, Run},
    session::{Milestone, Moment, Times, moves::Move, orphans::OrphanTable, walks::WalkTable},
    settings::{MOST_PARTS_IN_FLIGHT, Settings},
    state::State,
};

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
    let (name, body) = text.split_once('\n').unwrap_or((text, ""));
    let record = match name.trim() {
        "[[upload]]" => upload_table(body).and_then(upload),
        "[[log]]" => from_toml::<LogTable>(body).and_then(log),
        "[[walk]]" => from_toml::<WalkTable>(body).and_then(Record::try_from),
        "[[orphan]]" => from_toml::<OrphanTable>(body).and_then(Record::try_from),
        _ => {
            return Err(BadTable::new(
                "this is none of [[walk]], [[upload]], [[log]] and [[orphan]]",
            ));
        }
    };
    record.map_err(|bad| BadTable {
        offset: bad.offset.map(|at| at + name.len() + 1),
        ..bad
    })
}

fn from_toml<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, BadTable> {
    toml::from_str(text).map_err(|error| bad_toml(&error))
}

fn bad_toml(error: &toml::de::Error) -> BadTable {
    BadTable {
        words: clean(error.message()),
        offset: error.span().map(|span| span.start),
    }
}

/// An `[[upload]]` table as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UploadTable {
    id: UploadId,
    path: Option<String>,
    path_bytes: Option<String>,
    size: u64,
    #[serde(skip)]
    modified: Option<Timestamp>,
    #[serde(default)]
    inode: u64,
    #[serde(default)]
    file_system: u64,
    #[serde(skip)]
    times: Times,
    marker: Option<String>,
    claim: Option<Claim>,
    #[serde(default)]
    again: bool,
    account: Option<AccountId>,
    ticket: Option<Ticket>,
    plan: Option<Vec<Run>>,
    highest: Option<PartNumber>,
    done: Option<String>,
    md5: Option<String>,
    tags: Option<Vec<String>>,
    #[serde(default)]
    completed: bool,
    #[serde(default)]
    clearing: bool,
    unread: Option<WalkId>,
    reason: Option<Reason>,
    state: Word,
}

/// An `[[upload]]` table. Its times are taken out first: serde would have each written as text and read
/// again, which is a quarter of the time that a session of a million takes to open.
fn upload_table(text: &str) -> Result<UploadTable, BadTable> {
    let mut table = DeTable::parse(text).map_err(|error| bad_toml(&error))?;
    let mut time = |key| take_time(table.get_mut(), key);
    let modified = time("modified")?;
    let mut moment = |key| Ok(time(key)?.map(Moment::from).unwrap_or_default());
    let times = Times {
        queued: moment("queued_at")?,
        begun: moment("begun_at")?,
        done: moment("done_at")?,
    };
    let table =
        UploadTable::deserialize(Deserializer::from(table)).map_err(|error| bad_toml(&error))?;
    Ok(UploadTable {
        modified,
        times,
        ..table
    })
}

fn take_time(table: &mut DeTable<'_>, key: &str) -> Result<Option<Timestamp>, BadTable> {
    let Some(value) = table.remove(key) else {
        return Ok(None);
    };
    let read = match value.get_ref() {
        DeValue::Datetime(at) => time(key, at),
        _ => Err(no_time(key)),
    };
    read.map(Some).map_err(|bad| BadTable {
        offset: Some(value.span().start),
        ..bad
    })
}

fn upload(table: UploadTable) -> Result<Record, BadTable> {
    within("upload id", table.id, MOST_UPLOADS)?;
    let path = path::one_of(table.path, table.path_bytes).ok_or_else(BadTable::which_path)?;
    let identity = Identity {
        size: table.size,
        modified: table
            .modified
            .ok_or_else(|| BadTable::new("`modified` is missing"))?,
        inode: table.inode,
        file_system: table.file_system,
    };
    let plan = table
        .plan
        .map(|runs| read_plan(runs, identity.size, table.highest))
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
            claim: table.claim,
            ticket: table.ticket,
            receipts: receipts(
                table.done.as_deref(),
                table.md5.as_deref(),
                table.tags.as_deref(),
                parts,
            )?,
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
        times: table.times,
        again: table.again,
        state,
        reason,
        account: table.account,
        progress,
        unread: table.unread,
    })))
}

/// A `[[log]]` table as it stands in the file: a few keys for each kind of change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogTable {
    upload: Option<UploadId>,
    walk: Option<WalkId>,
    path: Option<String>,
    path_bytes: Option<String>,
    part: Option<PartNumber>,
    md5: Option<String>,
    tag: Option<String>,
    marker: Option<String>,
    claim: Option<Claim>,
    account: Option<AccountId>,
    ticket: Option<Ticket>,
    plan: Option<Vec<Run>>,
    highest: Option<PartNumber>,
    file_size: Option<u64>,
    lost: Option<String>,
    begun_at: Option<Datetime>,
    done_at: Option<Datetime>,
    size: Option<u64>,
    modified: Option<Datetime>,
    inode: Option<u64>,
    #[serde(default)]
    file_system: u64,
    reason: Option<Reason>,
    state: Option<Word>,
    settings: Option<Settings>,
    moved: Option<String>,
    to: Option<toml::Value>,
}

fn log(table: LogTable) -> Result<Record, BadTable> {
    if let Some(settings) = table.settings {
        return Ok(Record::Settings(settings));
    }
    if let Some(walk) = table.walk {
        let path = path::one_of(table.path, table.path_bytes);
        return match (path, table.state) {
            (Some(path), None) => Ok(Record::Met(
                walk,
                Mount {
                    path,
                    file_system: table.file_system,
                },
            )),
            (None, Some(Word::Done)) => Ok(Record::WalkOver(walk)),
            _ => Err(BadTable::new(
                "of a walk the log only says that it is done, or a disk that it met",
            )),
        };
    }
    if let Some(moved) = table.moved {
        return Move::read(&moved, table.to.as_ref());
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
        within("part", part, MOST_PARTS)?;
        if part == 0 {
            return Err(BadTable::new("parts are numbered from 1"));
        }
        let receipt = PartReceipt {
            md5: table.md5.as_deref().map(read_md5).transpose()?,
            tag: table.tag.map(Into::into),
        };
        Change::Part(part, receipt)
    } else if let Some(marker) = table.marker {
        Change::Begun(marker, table.account)
    } else if let Some(claim) = table.claim {
        Change::Claimed(claim)
    } else if let Some(ticket) = table.ticket {
        Change::Ticket(ticket)
    } else if let Some(runs) = table.plan {
        let size = table
            .file_size
            .ok_or_else(|| BadTable::new("`file_size` is missing"))?;
        Change::Plan(read_plan(runs, size, table.highest)?)
    } else if let Some(lost) = table.lost {
        Change::Lost(read_numbers(&lost, MOST_PARTS)?.into_iter().collect())
    } else if let Some(at) = table.begun_at {
        Change::At(Milestone::Begun, time("begun_at", &at)?.into())
    } else if let Some(at) = table.done_at {
        Change::At(Milestone::Done, time("done_at", &at)?.into())
    } else if let Some(size) = table.size {
        let modified = table
            .modified
            .ok_or_else(|| BadTable::new("`modified` is missing"))?;
        Change::Fresh(Identity {
            size,
            modified: time("modified", &modified)?,
            inode: table.inode.unwrap_or(0),
            file_system: table.file_system,
        })
    } else if let Some(modified) = table.modified {
        Change::SameBytes {
            modified: time("modified", &modified)?,
            inode: table.inode.unwrap_or(0),
            file_system: table.file_system,
        }
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

/// A time with an offset.
pub(in crate::session) fn time(key: &str, at: &Datetime) -> Result<Timestamp, BadTable> {
    timestamp(at).ok_or_else(|| no_time(key))
}

fn no_time(key: &str) -> BadTable {
    BadTable::new(format!("`{key}` is not a time with an offset"))
}

fn timestamp(at: &Datetime) -> Option<Timestamp> {
    let (date, time) = (at.date?, at.time?);
    let minutes = match at.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => minutes,
    };
    let civil = civil::DateTime::new(
        i16::try_from(date.year).ok()?,
        i8::try_from(date.month).ok()?,
        i8::try_from(date.day).ok()?,
        i8::try_from(time.hour).ok()?,
        i8::try_from(time.minute).ok()?,
        // A leap second counts as the one before it.
        i8::try_from(time.second.unwrap_or(0).min(59)).ok()?,
        i32::try_from(time.nanosecond.unwrap_or(0)).ok()?,
    );
    let offset = tz::Offset::from_seconds(i32::from(minutes) * 60).ok()?;
    offset.to_timestamp(civil.ok()?).ok()
}

fn read_plan(
    runs: Vec<Run>,
    file_size: u64,
    highest: Option<PartNumber>,
) -> Result<PartPlan, BadTable> {
    /// A session of format 1 does not say which numbers an earlier plan had: as many more as there
    /// may have been in flight.
    const UNKNOWN: PartNumber = MOST_PARTS_IN_FLIGHT as PartNumber;
    let plan =
        PartPlan::from_runs(runs, file_size).map_err(|bad| BadTable::new(bad.to_string()))?;
    if plan.count() > MOST_PARTS {
        let count = plan.count();
        return Err(BadTable::new(format!(
            "this plan has {count} parts, and an upload has {MOST_PARTS} at most. {REMEDY}"
        )));
    }
    let unknown = match plan.runs() {
        [_] => 0,
        _ => plan.count().saturating_add(UNKNOWN),
    };
    Ok(plan.with_highest(highest.unwrap_or(unknown)))
}

/// What a person can do about a number that is impossible.
pub(super) const REMEDY: &str = "Correct the number, or restore the file from a copy";

/// Whether a number that memory or time is spent by is one that this program may have written.
pub(crate) fn within(what: &str, number: u32, most: u32) -> Result<(), BadTable> {
    if number <= most {
        return Ok(());
    }
    Err(BadTable::new(format!(
        "{what} {number} is impossible: the highest {what} is {most}. {REMEDY}"
    )))
}
