//! The checksums of a session's log. They show what is lost or altered in the middle of it, so that the
//! tables around that can still be read. Pure.
//!
//! The log begins with a comment line that holds a random number. Each table behind it ends with a comment
//! line: the table's number within the log, and a checksum of the random number, the table's number and
//! its text. So the reader detects a table that is lost, one that stands twice, and one of another log,
//! which a file system may return in place of a lost block. A file without the first line has no
//! checksums, whatever its comments say: a person who edits the log deletes that line.

use std::ops::Range;

use crc32fast::Hasher;

/// How the line begins that the log begins with.
const BEGINNING: &str = "# The log begins here (";

/// How many bytes the rest of it has: the number, a dash, its checksum.
const NUMBER: usize = 32 + 1 + 8;

/// What a person who opens the file has to know. It may be worded anew: no reader looks at it.
const ADVICE: &str = "Each table below ends with its number and its checksum. If you edit a table by hand, delete \
     this line: a table that does not fit its checksum is dropped as damaged.";

/// How the tables begin that a session file may have.
const NAMES: [&[u8]; 4] = [
    b"[[log]]\n",
    b"[[upload]]\n",
    b"[[walk]]\n",
    b"[[orphan]]\n",
];

/// A log with checksums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    seed: u32,
    next: u64,
}

/// A stretch of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A whole table with this number.
    Table(Range<usize>, u64),
    /// Something else.
    Damaged(Range<usize>),
}

impl Log {
    /// A log that has no tables yet, and the line that it begins with.
    #[must_use]
    pub fn begin() -> (Self, String) {
        let number = fastrand::u128(..);
        (Self::under(number), beginning(number) + "\n")
    }

    fn under(number: u128) -> Self {
        Self {
            seed: crc32fast::hash(&number.to_le_bytes()),
            next: 1,
        }
    }

    /// Whether this line is to begin a log.
    pub(super) fn is_beginning(line: &[u8]) -> bool {
        line.starts_with(BEGINNING.as_bytes())
    }

    /// The log that begins with this line; `None` where the line is damaged.
    pub(super) fn read_beginning(line: &[u8]) -> Option<Self> {
        let (number, advice) = line
            .strip_prefix(BEGINNING.as_bytes())?
            .split_at_checked(NUMBER)?;
        let (digits, checksum) = std::str::from_utf8(number).ok()?.split_once('-')?;
        let is_whole = advice.starts_with(b")") && checksum == checksum_of(digits);
        let number = u128::from_str_radix(digits, 16).ok().filter(|_| is_whole)?;
        Some(Self::under(number))
    }

    /// The number of the next table.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The table with this number was read.
    pub(super) fn was_read(&mut self, number: u64) {
        self.next = number.saturating_add(1);
    }

    /// Tables as they are appended: each with its number and checksum before its blank line.
    #[must_use]
    pub fn with_checksums(&mut self, tables: &str) -> String {
        let mut out = String::with_capacity(tables.len() + tables.len() / 4);
        for table in tables.split_inclusive("\n\n") {
            match table.strip_suffix('\n').filter(|text| text.ends_with('\n')) {
                Some(text) => {
                    out.push_str(text);
                    out.push_str(&comment(
                        self.next,
                        self.checksum(self.next, text.as_bytes()),
                    ));
                    out.push('\n');
                    self.next += 1;
                }
                None => out.push_str(table),
            }
        }
        out
    }

    fn checksum(&self, number: u64, text: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.seed);
        hasher.update(&number.to_le_bytes());
        hasher.update(text);
        hasher.finalize()
    }

    /// What of these bytes is a table, and what is not.
    pub(super) fn pieces(&self, bytes: &[u8]) -> Vec<Piece> {
        // Nearly always: one table and nothing else.
        if let Some((end, number)) = self.table(bytes)
            && end == bytes.len()
        {
            return vec![Piece::Table(0..end, number)];
        }
        let mut pieces = Vec::new();
        let mut done = 0;
        let begins = begins(bytes);
        let ends = begins.iter().skip(1).copied().chain([bytes.len()]);
        for (begin, end) in begins.iter().copied().zip(ends) {
            if let Some((length, number)) = self.table(&bytes[begin..end]) {
                pieces.push(Piece::Damaged(done..begin));
                done = begin + length;
                pieces.push(Piece::Table(begin..done, number));
            }
        }
        pieces.push(Piece::Damaged(done..bytes.len()));
        pieces.retain(|piece| match piece {
            Piece::Table(..) => true,
            Piece::Damaged(range) => !range.is_empty(),
        });
        pieces
    }

    /// The table that these bytes begin with, if its checksum is right: its length, with the blank line
    /// behind it where there is one, and its number.
    fn table(&self, bytes: &[u8]) -> Option<(usize, u64)> {
        NAMES.iter().find(|name| bytes.starts_with(name))?;
        let mut begin = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let end = begin + line.len();
            if let Some((number, checksum)) = read_comment(line) {
                let right = self.checksum(number, &bytes[..begin]) == checksum;
                let blank = usize::from(bytes.get(end) == Some(&b'\n'));
                return right.then_some((end + blank, number));
            }
            begin = end;
        }
        None
    }
}

fn beginning(number: u128) -> String {
    let digits = format!("{number:032x}");
    let checksum = checksum_of(&digits);
    format!("{BEGINNING}{digits}-{checksum}). {ADVICE}\n")
}

fn checksum_of(digits: &str) -> String {
    format!("{:08x}", crc32fast::hash(digits.as_bytes()))
}

fn comment(number: u64, checksum: u32) -> String {
    format!("# {number} {checksum:08x}\n")
}

/// The number and the checksum in a line that is what [`comment`] writes.
fn read_comment(line: &[u8]) -> Option<(u64, u32)> {
    let line = line.strip_prefix(b"# ")?.strip_suffix(b"\n")?;
    let (number, checksum) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if checksum.len() != 8 || !is_digits(number) || !is_digits(checksum) {
        return None;
    }
    let checksum = u32::from_str_radix(checksum, 16).ok()?;
    Some((number.parse().ok()?, checksum))
}

/// Where tables may begin. What stands before one need not be a line's end: it may be damaged.
fn begins(bytes: &[u8]) -> Vec<usize> {
    let begins = |at: &usize| NAMES.iter().any(|name| bytes[*at..].starts_with(name));
    let brackets = bytes.windows(2).enumerate();
    let brackets = brackets.filter(|(_, two)| *two == b"[[").map(|(at, _)| at);
    brackets.filter(begins).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str =
        "[[log]]\nupload = 1\npart = 38\n\n[[log]]\nupload = 1\nstate = \"done\"\n\n";

    fn written() -> (Log, String) {
        let (mut log, line) = Log::begin();
        let text = log.with_checksums(TABLES);
        let line = line.strip_suffix('\n').unwrap();
        (Log::read_beginning(line.as_bytes()).unwrap(), text)
    }

    fn numbers(pieces: &[Piece]) -> Vec<u64> {
        let number = |piece: &Piece| match piece {
            Piece::Table(_, number) => Some(*number),
            Piece::Damaged(_) => None,
        };
        pieces.iter().filter_map(number).collect()
    }

    #[test]
    fn tables_with_their_checksums_are_toml_and_are_found_whole() {
        let (log, text) = written();
        toml::from_str::<toml::Table>(&text).unwrap();
        let pieces = log.pieces(text.as_bytes());
        assert_eq!(numbers(&pieces), [1, 2]);
        assert_eq!(pieces.len(), 2);
    }

    #[test]
    fn a_changed_byte_costs_its_table_and_no_other() {
        let (log, text) = written();
        let second = text.rfind("[[log]]").unwrap();
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let left: &[u64] = match at {
                // Both blank lines: the tables stand as they did.
                _ if at == second - 1 => &[1, 2],
                at if at < second => &[2],
                _ => &[1],
            };
            assert_eq!(numbers(&log.pieces(&bytes)), left, "at {at}");
        }
    }

    #[test]
    fn what_is_not_a_table_is_told_apart_wherever_it_stands() {
        let (log, text) = written();
        let second = text.rfind("[[log]]").unwrap();
        let (one, two) = text.split_at(second);
        let junk = "\0\0[[lo";
        let bytes = format!("{junk}{one}{junk}{two}{junk}");
        let pieces = log.pieces(bytes.as_bytes());
        assert_eq!(numbers(&pieces), [1, 2]);
        assert_eq!(pieces.len(), 5);
    }

    #[test]
    fn a_table_of_another_log_is_none_of_this_one() {
        let (log, _) = written();
        let (other, text) = written();
        assert_ne!(log, other);
        assert!(numbers(&log.pieces(text.as_bytes())).is_empty());
    }

    #[test]
    fn a_damaged_beginning_is_no_beginning() {
        let (_, line) = Log::begin();
        let line = line.strip_suffix('\n').unwrap().as_bytes();
        assert!(Log::is_beginning(line));
        let advice = BEGINNING.len() + NUMBER + 1;
        for at in 0..advice {
            let mut bytes = line.to_vec();
            bytes[at] ^= 1;
            assert_eq!(Log::read_beginning(&bytes), None, "at {at}");
            assert_eq!(Log::read_beginning(&line[..at]), None, "cut at {at}");
        }
        assert!(Log::read_beginning(&line[..advice]).is_some());
    }
}
