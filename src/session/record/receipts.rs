//! Which parts are there, and their MD5s, as short texts.

use std::fmt::Write as _;

use super::{BadTable, MOST_PARTS, read::REMEDY};
use crate::{
    destination::{Md5, PartReceipt, Receipts},
    error::clean,
    plan::PartNumber,
};

pub(super) fn receipts(
    done: Option<&str>,
    md5: Option<&str>,
    tags: Option<&[String]>,
    parts: u32,
) -> Result<Receipts, BadTable> {
    let numbers = read_numbers(done.unwrap_or(""), parts)?;
    if md5.is_some_and(|md5| !md5.is_ascii() || md5.len() != numbers.len() * 32) {
        return Err(BadTable::new(
            "`md5` does not have 32 characters for each part in `done`",
        ));
    }
    if tags.is_some_and(|tags| tags.len() != numbers.len()) {
        return Err(BadTable::new(
            "`tags` does not have one text for each part in `done`",
        ));
    }
    let md5_of = |at: usize| match md5.map(|md5| &md5[at * 32..(at + 1) * 32]) {
        None => Ok(None),
        Some(text) if text.bytes().all(|b| b == b'-') => Ok(None),
        Some(text) => read_md5(text).map(Some),
    };
    let tag_of = |at: usize| {
        let tag = tags.map(|tags| &*tags[at]);
        tag.filter(|tag| !tag.is_empty()).map(Into::into)
    };
    let receipt = |at| {
        Ok(PartReceipt {
            md5: md5_of(at)?,
            tag: tag_of(at),
        })
    };
    numbers
        .into_iter()
        .enumerate()
        .map(|(at, part)| Ok((part, receipt(at)?)))
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
    write_stretches(&stretches(numbers))
}

/// Numbers in rising order as stretches, each by its first and its last.
pub(in crate::session) fn stretches(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut stretches: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match stretches.last_mut() {
            Some((_, last)) if number - *last <= 1 => *last = number,
            _ => stretches.push((number, number)),
        }
    }
    stretches
}

/// Stretches of numbers, each by its first and its last: `1-37,39`.
pub(in crate::session) fn write_stretches(stretches: &[(u32, u32)]) -> String {
    let mut text = String::new();
    for (first, last) in stretches {
        let comma = if text.is_empty() { "" } else { "," };
        // Writing to a string can't fail.
        let _ = if first == last {
            write!(text, "{comma}{first}")
        } else {
            write!(text, "{comma}{first}-{last}")
        };
    }
    text
}

/// The numbers of such stretches. None may be above `most`, which bounds the memory that the text asks
/// for.
pub(super) fn read_numbers(text: &str, most: u32) -> Result<Vec<PartNumber>, BadTable> {
    let stretches = read_stretches("part", text, most.min(MOST_PARTS))?;
    let numbers = stretches.into_iter().flat_map(|(first, last)| first..=last);
    Ok(numbers.collect())
}

/// The stretches of numbers of `what` in such a text: from 1 on, rising, and none above `most`.
pub(in crate::session) fn read_stretches(
    what: &str,
    text: &str,
    most: u32,
) -> Result<Vec<(u32, u32)>, BadTable> {
    let bad = || {
        BadTable::new(format!(
            "{:?} is not a list of {what}s such as 1-37,39",
            clean(text)
        ))
    };
    let mut stretches: Vec<(u32, u32)> = Vec::new();
    for stretch in text.split(',').filter(|stretch| !stretch.is_empty()) {
        let (first, last) = stretch.split_once('-').unwrap_or((stretch, stretch));
        let first: u32 = first.trim().parse().map_err(|_| bad())?;
        let last: u32 = last.trim().parse().map_err(|_| bad())?;
        if last > most {
            return Err(BadTable::new(format!(
                "{} names the {what} {last}, and the highest here is {most}. {REMEDY}",
                clean(text)
            )));
        }
        let rising = stretches.last().is_none_or(|(_, before)| *before < first) && first <= last;
        if first == 0 || !rising {
            return Err(bad());
        }
        stretches.push((first, last));
    }
    Ok(stretches)
}
