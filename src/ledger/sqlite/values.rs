//! Values as they are kept in columns: short, and read back as they were.

use std::{
    ffi::OsString,
    num::NonZeroU64,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use md5::{Digest as _, Md5 as Hasher};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};

use crate::{
    ledger::{Digest, ObjectState, samples::Samples},
    plan::{PartPlan, Run},
};

/// Any 64 bits, as a number of SQLite's, which has a sign.
pub(super) fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// What [`signed`] made.
pub(super) fn unsigned(number: i64) -> u64 {
    number.cast_unsigned()
}

/// A time to the nanosecond: nanoseconds since 1970, as 16 bytes where 8 are too few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Timestamp);

impl ToSql for Time {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let time = self.0.as_nanosecond();
        Ok(match i64::try_from(time) {
            Ok(time) => ToSqlOutput::Owned(Value::Integer(time)),
            Err(_) => ToSqlOutput::Owned(Value::Blob(time.to_be_bytes().to_vec())),
        })
    }
}

impl FromSql for Time {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let time = match value {
            ValueRef::Integer(time) => time.into(),
            ValueRef::Blob(bytes) => {
                i128::from_be_bytes(bytes.try_into().map_err(|_| FromSqlError::InvalidType)?)
            }
            _ => return Err(FromSqlError::InvalidType),
        };
        Timestamp::from_nanosecond(time)
            .map(Self)
            .map_err(|error| FromSqlError::Other(error.into()))
    }
}

/// A path, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a Path);

impl ToSql for Bytes<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let bytes = self.0.as_os_str().as_bytes();
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(bytes)))
    }
}

/// A path that was kept by [`Bytes`].
pub(super) fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

/// A path split where it is kept in two: its folder, and the rest, that put together are the path.
pub(super) fn split(path: &Path) -> (&Path, &Path) {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(base)) if folder.join(base).as_os_str() == path.as_os_str() => {
            (folder, Path::new(base))
        }
        // `..`, doubled slashes: what is not put together again as it was is kept whole.
        _ => (Path::new(""), path),
    }
}

impl ToSql for Samples {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(Value::Blob(self.to_bytes().to_vec())))
    }
}

impl FromSql for Samples {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::from_bytes(value.as_blob()?).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Digest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let bytes = [&self.whole[..], &self.bytes].concat();
        Ok(ToSqlOutput::Owned(Value::Blob(bytes)))
    }
}

impl FromSql for Digest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let (whole, bytes) = value
            .as_blob()?
            .split_first_chunk()
            .ok_or(FromSqlError::InvalidType)?;
        Ok(Self {
            whole: *whole,
            bytes: bytes.to_vec(),
        })
    }
}

const STATES: [ObjectState; 5] = [
    ObjectState::Open,
    ObjectState::Complete,
    ObjectState::Accepted,
    ObjectState::Failed,
    ObjectState::Discarded,
];

impl ToSql for ObjectState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let number = STATES.iter().position(|state| state == self);
        Ok(ToSqlOutput::Owned(Value::Integer(
            number
                .and_then(|number| number.try_into().ok())
                .unwrap_or(0),
        )))
    }
}

impl FromSql for ObjectState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        let state = usize::try_from(number).ok().and_then(|n| STATES.get(n));
        state.copied().ok_or(FromSqlError::OutOfRange(number))
    }
}

/// How a file is split: the size of its parts, as a number, where they all have one; else each run as
/// `COUNTxSIZE`, and after `^` the highest number that a part ever had.
pub(super) fn of_plan(plan: &PartPlan) -> Value {
    if let [run] = plan.runs()
        && let Some(size) = NonZeroU64::new(run.size)
        && PartPlan::split(plan.file_size(), size).as_ref() == Some(plan)
    {
        return Value::Integer(signed(run.size));
    }
    let runs = plan.runs().iter();
    let mut words: Vec<String> = runs
        .map(|run| format!("{}x{}", run.count, run.size))
        .collect();
    if plan.highest() != plan.count() {
        words.push(format!("^{}", plan.highest()));
    }
    Value::Text(words.join(" "))
}

/// What [`of_plan`] made for a file of this size.
pub(super) fn plan(value: ValueRef<'_>, size: u64) -> FromSqlResult<PartPlan> {
    let bad = || FromSqlError::Other("it is no plan of parts".into());
    let text = match value {
        ValueRef::Integer(part) => {
            let part = NonZeroU64::new(unsigned(part)).ok_or_else(bad)?;
            return PartPlan::split(size, part).ok_or_else(bad);
        }
        value => value.as_str()?,
    };
    let (mut runs, mut first, mut highest) = (Vec::new(), 1_u32, 0);
    for word in text.split(' ') {
        if let Some(number) = word.strip_prefix('^') {
            highest = number.parse().map_err(|_| bad())?;
            continue;
        }
        let (count, size) = word.split_once('x').ok_or_else(bad)?;
        let count: u32 = count.parse().map_err(|_| bad())?;
        let size = size.parse().map_err(|_| bad())?;
        runs.push(Run { first, count, size });
        first = first.checked_add(count).ok_or_else(bad)?;
    }
    let plan = PartPlan::from_runs(runs, size).map_err(|_| bad())?;
    Ok(plan.with_highest(highest))
}

/// What is left of a marker once its object is accepted: enough to see that a row is not another's.
pub(super) fn mark(marker: &str) -> i64 {
    let hash: [u8; 16] = Hasher::digest(marker).into();
    i32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]).into()
}
