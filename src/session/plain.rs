//! A quick way through the tables of which there may be a million: uploads that were not begun or are
//! done, and receipts, to the letter as this program writes them. Knows nothing of any other table;
//! those are for the TOML parser, which reads these too, and reads them the same.

use std::str::FromStr;

use jiff::Timestamp;

use super::{
    record::{Change, Kept, MOST_PARTS, Progress, Record, read_md5},
    times::{Moment, Times},
};
use crate::{
    destination::{PartReceipt, Ticket},
    identity::Identity,
    ids::{AccountId, MOST_UPLOADS},
    state::State,
};

/// The table, if it is one of those. `None` says nothing against it.
pub(super) fn read(text: &str) -> Option<Record> {
    let (name, body) = text.split_once('\n')?;
    let lines = Lines(body);
    match name {
        "[[upload]]" => upload(lines),
        "[[log]]" => receipt(lines),
        _ => None,
    }
}

fn upload(mut lines: Lines<'_>) -> Option<Record> {
    let id = lines.number("id").filter(|id| *id <= MOST_UPLOADS)?;
    let path = lines.text("path")?.into();
    let size = lines.number("size")?;
    let modified = lines.time("modified")?;
    let inode = if lines.has("inode") {
        lines.number("inode")?
    } else {
        0
    };
    let times = Times {
        queued: lines.moment("queued_at")?,
        begun: lines.moment("begun_at")?,
        done: lines.moment("done_at")?,
    };
    let (account, progress) = if lines.has("marker") {
        begun(&mut lines)?
    } else {
        (None, None)
    };
    let state = match lines.text("state")? {
        "queued" => State::Queued,
        "done" => State::Done,
        _ => return None,
    };
    lines.end()?;
    let identity = Identity {
        size,
        modified,
        inode,
    };
    Some(Record::Upload(Box::new(Kept {
        id,
        path,
        identity,
        times,
        state,
        reason: None,
        account,
        progress,
        unread: None,
    })))
}

/// As much as is kept of a done upload.
fn begun(lines: &mut Lines<'_>) -> Option<(Option<AccountId>, Option<Progress>)> {
    let marker = lines.text("marker")?.to_owned();
    let account = if lines.has("account") {
        Some(AccountId::saved(lines.text("account")?))
    } else {
        None
    };
    let ticket = lines.value("ticket")?;
    let media = ticket.strip_prefix("{ media = ")?.strip_suffix(" }")?;
    let progress = Progress {
        marker,
        ticket: Some(Ticket::of(plain_text(media)?)),
        ..Progress::default()
    };
    Some((account, Some(progress)))
}

fn receipt(mut lines: Lines<'_>) -> Option<Record> {
    let upload = lines.number("upload")?;
    let part = lines
        .number("part")
        .filter(|part| (1..=MOST_PARTS).contains(part))?;
    let md5 = if lines.has("md5") {
        Some(read_md5(lines.text("md5")?).ok()?)
    } else {
        None
    };
    lines.end()?;
    Some(Record::Log(
        upload,
        Change::Part(part, PartReceipt::from(md5)),
    ))
}

/// The lines that are still to be read.
struct Lines<'a>(&'a str);

impl<'a> Lines<'a> {
    fn has(&self, key: &str) -> bool {
        self.0.starts_with(key)
    }

    /// The value in the next line, if that is of this key.
    fn value(&mut self, key: &str) -> Option<&'a str> {
        let rest = self.0.strip_prefix(key)?.strip_prefix(" = ")?;
        let (value, rest) = rest.split_once('\n')?;
        self.0 = rest;
        Some(value)
    }

    fn number<T: FromStr>(&mut self, key: &str) -> Option<T> {
        let digits = self.value(key)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.len() <= 18
            && (digits == "0" || !digits.starts_with('0'));
        plain.then(|| digits.parse().ok())?
    }

    fn text(&mut self, key: &str) -> Option<&'a str> {
        plain_text(self.value(key)?)
    }

    /// A time in UTC, to the nanosecond at most.
    fn time(&mut self, key: &str) -> Option<Timestamp> {
        let text = self.value(key)?;
        let shape = text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            19 => byte == b'.' || byte == b'Z',
            _ => byte.is_ascii_digit() || (byte == b'Z' && at + 1 == text.len()),
        });
        (shape && (20..=30).contains(&text.len()) && text.ends_with('Z'))
            .then(|| text.parse().ok())?
    }

    /// A moment, where there is one of this key.
    fn moment(&mut self, key: &str) -> Option<Moment> {
        if self.has(key) {
            return Some(self.time(key)?.into());
        }
        Some(Moment::default())
    }

    /// The blank line that ends a table.
    fn end(&self) -> Option<()> {
        (self.0 == "\n").then_some(())
    }
}

/// What stands in quotes, where it stands for itself.
fn plain_text(value: &str) -> Option<&str> {
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    let itself = |byte: u8| byte >= b' ' && !matches!(byte, b'"' | b'\\' | 0x7f);
    text.bytes().all(itself).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::record::{parse_table, write_change, write_upload};

    fn kept(path: &str, size: u64, inode: u64, seconds: i64, nanoseconds: i32) -> Kept {
        Kept {
            id: 7,
            path: path.into(),
            identity: Identity::new(size, seconds, nanoseconds, inode),
            times: Times {
                queued: Timestamp::from_second(seconds % (1 << 32)).unwrap().into(),
                ..Times::default()
            },
            state: State::Queued,
            reason: None,
            account: None,
            progress: None,
            unread: None,
        }
    }

    fn done(mut kept: Kept, media: &str) -> Kept {
        kept.state = State::Done;
        kept.times.begun = kept.times.queued;
        kept.times.done = kept.times.queued;
        kept.account = Some(AccountId::new(
            "jwplayer",
            "api.jwplayer.com",
            443,
            "AbCd1234",
        ));
        kept.progress = Some(Progress {
            ticket: Some(Ticket::of(media)),
            ..Progress::default()
        });
        kept
    }

    fn written(kept: &Kept) -> String {
        let mut text = String::new();
        write_upload(&mut text, kept);
        text
    }

    #[test]
    fn queued_and_done_uploads_and_receipts_go_the_quick_way() {
        let queued = kept(
            "/archive/wedding – 1.mov",
            10,
            3,
            1_559_470_272,
            123_456_789,
        );
        let done = done(kept("/archive/a.mov", 10, 0, 0, 0), "abcd1234");
        for kept in [queued, done] {
            let expected = Record::Upload(Box::new(kept.clone()));
            assert_eq!(read(&written(&kept)), Some(expected));
        }
        for md5 in [Some([9; 16]), None] {
            let change = Change::Part(3, md5.into());
            let mut text = String::new();
            write_change(&mut text, 5, &change);
            assert_eq!(read(&text), Some(Record::Log(5, change)));
        }
    }

    proptest! {
        #[test]
        fn what_goes_the_quick_way_is_what_toml_says(
            path in "[ -~\u{e4}\n\t]{1,30}",
            media in "[ -~]{0,12}",
            (size, inode) in any::<(u64, u64)>(),
            seconds in -1_000_000_000_000i64..1_000_000_000_000,
            nanoseconds in 0..1_000_000_000i32,
            is_done in any::<bool>(),
            (at, with) in (0usize..400, "[ -~\n]{0,3}"),
        ) {
            let mut kept = kept(&path, size, inode, seconds, nanoseconds);
            if is_done {
                kept = done(kept, &media);
            }
            let mut text = written(&kept);
            if let Some(record) = read(&text) {
                prop_assert_eq!(Ok(record), parse_table(&text));
            }
            // And with a slip of the pen somewhere.
            let from = text.floor_char_boundary(at % text.len());
            let to = text.ceil_char_boundary((from + with.len()).min(text.len()));
            text.replace_range(from..to, &with);
            if let Some(record) = read(&text) {
                prop_assert_eq!(Ok(record), parse_table(&text));
            }
        }
    }
}
