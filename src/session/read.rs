//! Opening a session file: head, snapshot, log, and what to do about a torn end and a damaged middle. Reads
//! a table at a time, so that a million of them need no more memory than what they say.

use std::{
    cmp::Ordering,
    collections::BTreeSet,
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    ops::Range,
    path::Path,
};

use super::{
    checksum::{Log, Piece},
    record::{BadTable, Header, Record, read_header, read_table},
};
use crate::ids::UploadId;

/// No head is longer than this, in bytes; a film that was named by mistake is.
const HEAD: u64 = 1 << 20;

/// Why a session can't be opened. The file is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file can't be read.
    #[error("the session file {path} can't be read: {error}")]
    Io {
        /// Which file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// It says something this program does not understand.
    #[error("{path}, line {line}, column {column}: {words}. The file was left as it is")]
    Bad {
        /// Which file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What is wrong.
        words: String,
    },
}

/// What opening found beside the tables.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// The head.
    pub header: Header,
    /// How many bytes of the file are to stay; what lies behind was torn.
    pub good: u64,
    /// How many bytes at the end were torn by a crash and are dropped.
    pub torn: u64,
    /// Whether some of it is a log: tables that change what stands above them.
    pub has_log: bool,
    /// The log, where it has checksums.
    pub log: Option<Log>,
    /// What of the log is damaged and was dropped.
    pub damage: Vec<Damage>,
    /// How many more stretches were damaged than `damage` has.
    pub more_damage: usize,
}

/// A damaged stretch of a log, which was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Its first line, from 1 …
    pub first: usize,
    /// … and its last; before `first` where nothing is left of it.
    pub last: usize,
    /// What it was, as far as that can be told.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, what } = self;
        match last.cmp(first) {
            Ordering::Less => write!(f, "before line {first} of the session file, {what}"),
            Ordering::Equal => write!(f, "line {first} of the session file is dropped: {what}"),
            Ordering::Greater => write!(
                f,
                "lines {first}–{last} of the session file are dropped: {what}"
            ),
        }
    }
}

/// The most stretches of damage that are named.
const MOST_DAMAGE: usize = 20;

/// Reads the head of a session file alone.
///
/// # Errors
/// [`Unreadable`] when it is none, or one of a newer format.
pub fn read_head(path: &Path) -> Result<Header, Unreadable> {
    let head = head_table(path).map_err(|error| Unreadable::Io {
        path: path.display().to_string(),
        error,
    })?;
    read_header(&head.text).map_err(|error| bad(path, &head, error))
}

fn head_table(path: &Path) -> io::Result<Table> {
    let file = File::open(path)?;
    let mut chunks = Chunks::new(BufReader::new(file.take(HEAD)));
    Ok(chunks.next()?.unwrap_or_default().into_table())
}

/// Reads a session file, handing each table to `each` in order.
///
/// The last table of a file that lost its end (a power cut in the middle of an append) has no blank
/// line behind it; it is left out and counted in [`Opened::torn`]. What is damaged in a log with
/// [checksums](super::checksum) is left out too: `each` is handed [`Record::Gap`] in its place, may
/// refuse tables that need what is lost there, and those are left out as well.
///
/// # Errors
/// [`Unreadable`] when the file can't be read, or holds what this program does not understand
/// (`each` may refuse a table too).
pub fn read(
    path: &Path,
    each: impl FnMut(Record) -> Result<(), BadTable>,
) -> Result<Opened, Unreadable> {
    let io = |error| Unreadable::Io {
        path: path.display().to_string(),
        error,
    };
    let file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut chunks = Chunks::new(BufReader::with_capacity(1 << 20, file));
    let head = chunks.next().map_err(io)?.unwrap_or_default();
    let beginning = head.beginning().map(<[u8]>::to_vec);
    let offset = head.end();
    let head = head.into_table();
    let log = beginning.map(|line| begun_log(path, &line, &head));
    let log = log.transpose()?;
    let header = read_header(&head.text).map_err(|error| bad(path, &head, error))?;
    if head.not_text {
        return Err(bad(path, &head, no_text()));
    }
    if !head.whole {
        // What is said of the settings, and all behind it, may be lost.
        let words = "the file ends within its head, which ends with a blank line".to_owned();
        let offset = Some(head.text.len());
        return Err(bad(path, &head, BadTable { words, offset }));
    }
    let mut reader = Reader {
        path,
        each,
        opened: Opened {
            header,
            good: offset,
            torn: 0,
            has_log: false,
            log,
            damage: Vec::new(),
            more_damage: 0,
        },
        pending: None,
        has_gap: false,
    };
    while let Some(chunk) = chunks.next().map_err(io)? {
        if reader.opened.log.is_some() {
            reader.log(&chunk)?;
        } else if !reader.snapshot(chunk)? {
            break;
        }
    }
    Ok(reader.end(size))
}

/// Reads tables, and keeps account of what was found.
struct Reader<'a, F> {
    path: &'a Path,
    each: F,
    opened: Opened,
    /// Damage of which it is not known yet whether it is the end of the file.
    pending: Option<Pending>,
    /// Whether `each` was handed a gap.
    has_gap: bool,
}

/// A damaged stretch that may go on.
struct Pending {
    first: usize,
    last: usize,
    /// Of which uploads it speaks.
    uploads: BTreeSet<String>,
    /// Whether it can be the beginning of one table, torn by a crash in the middle of an append.
    is_torn: bool,
}

impl Pending {
    /// The damage that this is, with what is lost by it.
    fn damage(self, lost: &str) -> Damage {
        let ids: Vec<String> = self.uploads.into_iter().collect();
        let of = match &*ids {
            [] => String::new(),
            [id] => format!(", of upload {id}"),
            ids => format!(", of uploads {}", ids.join(", ")),
        };
        Damage {
            first: self.first,
            last: self.last,
            what: format!("damaged{of}; {lost}"),
        }
    }
}

impl<F: FnMut(Record) -> Result<(), BadTable>> Reader<'_, F> {
    /// Reads a table without a checksum: `false` where the file ends within it.
    fn snapshot(&mut self, chunk: Chunk) -> Result<bool, Unreadable> {
        let beginning = chunk.beginning().map(<[u8]>::to_vec);
        let end = chunk.end();
        let table = chunk.into_table();
        if !table.whole {
            return Ok(false);
        }
        if let Some(line) = beginning {
            self.opened.log = Some(begun_log(self.path, &line, &table)?);
        }
        if table.not_text {
            return Err(bad(self.path, &table, no_text()));
        }
        let record = read_table(&table.text);
        let taken = record.and_then(|record| self.take(record));
        taken.map_err(|error| bad(self.path, &table, error))?;
        self.opened.good = end;
        Ok(true)
    }

    fn take(&mut self, record: Record) -> Result<(), BadTable> {
        self.opened.has_log |= is_log(&record);
        (self.each)(record)
    }

    /// Reads a stretch of a log with checksums.
    fn log(&mut self, chunk: &Chunk) -> Result<(), Unreadable> {
        let Some(log) = self.opened.log.clone() else {
            return Ok(());
        };
        for piece in log.pieces(&chunk.bytes) {
            match piece {
                Piece::Table(range, number) => {
                    let next = self.opened.log.as_ref().map_or(0, Log::next);
                    let bytes = &chunk.bytes[range.clone()];
                    // At the end of the file a table that lacks its blank line was torn.
                    let torn = chunk.is_last
                        && range.end == chunk.bytes.len()
                        && !bytes.ends_with(b"\n\n");
                    let text = std::str::from_utf8(bytes).ok();
                    let text = text.filter(|_| number >= next && !torn);
                    let Some(text) = text else {
                        self.extend_stretch(chunk, range);
                        continue;
                    };
                    self.end_stretch(number - next, chunk.line_at(range.start));
                    self.take_logged(text, chunk.line_at(range.start))?;
                    if let Some(log) = &mut self.opened.log {
                        log.was_read(number);
                    }
                    self.opened.good = chunk.offset + range.end as u64;
                }
                Piece::Damaged(range) if says_nothing(&chunk.bytes[range.clone()]) => {
                    if self.pending.is_none() && chunk.bytes[range.clone()].ends_with(b"\n") {
                        self.opened.good = chunk.offset + range.end as u64;
                    }
                }
                Piece::Damaged(range) => self.extend_stretch(chunk, range),
            }
        }
        Ok(())
    }

    /// These bytes are damaged, as what lies before them may be.
    fn extend_stretch(&mut self, chunk: &Chunk, range: Range<usize>) {
        let blank = chunk.bytes[range.clone()].iter();
        let blank = blank.take_while(|byte| **byte == b'\n').count();
        let range = range.start + blank..range.end;
        let bytes = &chunk.bytes[range.clone()];
        let is_first = self.pending.is_none();
        let pending = self.pending.get_or_insert_with(|| Pending {
            first: chunk.line_at(range.start),
            last: 0,
            uploads: BTreeSet::new(),
            is_torn: false,
        });
        pending.is_torn = is_first && chunk.is_last && is_torn(bytes);
        // The line that the stretch ends in, or its last whole one.
        pending.last = chunk.line_at(range.end - 1);
        for line in String::from_utf8_lossy(bytes).lines() {
            let upload = line.strip_prefix("upload = ");
            let upload = upload.filter(|id| id.parse::<UploadId>().is_ok());
            if let Some(id) = upload
                && pending.uploads.len() < MOST_NAMED
            {
                pending.uploads.insert(id.to_owned());
            }
        }
    }

    /// A table follows in this line: what is pending ends, and stands in the place of so many tables.
    fn end_stretch(&mut self, tables: u64, line: usize) {
        let pending = self.pending.take();
        if tables == 0 && pending.is_none() {
            return;
        }
        let lost = match tables {
            0 => "no table is lost".to_owned(),
            1 => "1 table is lost".to_owned(),
            tables => format!("{tables} tables are lost"),
        };
        let damage = match pending {
            None => Damage {
                first: line,
                last: line - 1,
                what: lost,
            },
            Some(pending) => pending.damage(&lost),
        };
        self.note_damage(damage);
        // Nothing is lost by what stands there twice, or was added.
        if tables > 0 {
            self.report_gap();
        }
    }

    /// Hands `each` a gap.
    fn report_gap(&mut self) {
        self.has_gap = true;
        // `each` refuses later tables that need what is lost; a gap itself it can't refuse.
        let _ = (self.each)(Record::Gap);
    }

    /// Reads a table whose checksum is right.
    fn take_logged(&mut self, text: &str, line: usize) -> Result<(), Unreadable> {
        let table = |text: &str| Table {
            text: text.to_owned(),
            line,
            whole: true,
            not_text: false,
        };
        // What was written as it stands, and is not understood, was written by another program.
        let record = read_table(text).map_err(|error| bad(self.path, &table(text), error))?;
        match self.take(record) {
            Ok(()) => Ok(()),
            Err(error) if self.has_gap => {
                self.note_damage(Damage {
                    first: line,
                    last: line + text.trim_end().lines().count() - 1,
                    what: format!("{}, which may be lost", error.words),
                });
                Ok(())
            }
            Err(error) => Err(bad(self.path, &table(text), error)),
        }
    }

    fn note_damage(&mut self, damage: Damage) {
        if self.opened.damage.len() < MOST_DAMAGE {
            self.opened.damage.push(damage);
        } else {
            self.opened.more_damage += 1;
        }
    }

    /// The end of a file of this size.
    fn end(mut self, size: u64) -> Opened {
        // What a crash tore was not on disk yet, so that nothing was done because of it. What else
        // stands at the end may have been.
        if let Some(pending) = self.pending.take().filter(|pending| !pending.is_torn) {
            let lost = "how many tables are lost at the end is not known";
            self.note_damage(pending.damage(lost));
            self.report_gap();
        }
        self.opened.torn = size.saturating_sub(self.opened.good);
        self.opened
    }
}

/// The log that begins with this line, the last one of `table`.
fn begun_log(path: &Path, line: &[u8], table: &Table) -> Result<Log, Unreadable> {
    Log::read_beginning(line).ok_or_else(|| {
        let words = "the line that begins the log is damaged; delete it to have the log read without \
                     its checksums";
        let error = BadTable {
            words: words.to_owned(),
            offset: Some(table.text.len().saturating_sub(line.len())),
        };
        bad(path, table, error)
    })
}

/// The most uploads that are named of a damaged stretch.
const MOST_NAMED: usize = 5;

/// Whether these bytes are blank lines and comments alone.
fn says_nothing(bytes: &[u8]) -> bool {
    let is_comment = |line: &str| line.is_empty() || line.starts_with('#');
    std::str::from_utf8(bytes).is_ok_and(|text| {
        !text.contains(|c: char| c.is_control() && c != '\n') && text.lines().all(is_comment)
    })
}

/// Whether these last bytes of a file can be the beginning of one table, and no more: neither its blank
/// line is there nor what no table has.
fn is_torn(bytes: &[u8]) -> bool {
    // It may be torn within a character.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let names = text.lines().filter(|line| line.starts_with("[[")).count();
    let is_plain = !text.contains(|c: char| c.is_control() && c != '\n');
    text.starts_with('[') && names <= 1 && is_plain && !text.contains("\n\n")
}

/// Whether a table changes what stands above it.
fn is_log(record: &Record) -> bool {
    match record {
        Record::Upload(_) | Record::Walk(_) => false,
        Record::Orphan(orphan) => orphan.gone,
        Record::Log(..)
        | Record::WalkOver(_)
        | Record::Met(..)
        | Record::Moved(_)
        | Record::Settings(_)
        | Record::Gap => true,
    }
}

fn no_text() -> BadTable {
    BadTable {
        words: "this is not UTF-8 text".to_owned(),
        offset: None,
    }
}

/// Where in the file a table is bad, and why.
fn bad(path: &Path, table: &Table, bad: BadTable) -> Unreadable {
    let before = &table.text.as_bytes()[..bad.offset.unwrap_or(0).min(table.text.len())];
    let line_begin = before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    Unreadable::Bad {
        path: path.display().to_string(),
        line: table.line + before.split(|b| *b == b'\n').count() - 1,
        column: String::from_utf8_lossy(&before[line_begin..])
            .chars()
            .count()
            + 1,
        words: bad.words,
    }
}

/// The text of one table, or of the head.
#[derive(Debug, Default)]
struct Table {
    text: String,
    /// The number of its first line, from 1.
    line: usize,
    /// Whether a blank line ends it, or another table follows.
    whole: bool,
    /// Whether it held bytes that are no text.
    not_text: bool,
}

/// The bytes of one table, or of the head, as they stand in the file.
#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Where in the file it begins.
    offset: u64,
    /// The number of its first line, from 1.
    line: usize,
    /// Where in it the line is that begins the log.
    beginning: Option<usize>,
    /// Whether the file ends with it.
    is_last: bool,
}

impl Chunk {
    /// The line that begins the log, which is the last one then.
    fn beginning(&self) -> Option<&[u8]> {
        self.beginning.map(|at| &self.bytes[at..])
    }

    /// Where in the file it ends.
    fn end(&self) -> u64 {
        let kept = if self.is_last {
            self.whole_until().unwrap_or(self.bytes.len())
        } else {
            self.bytes.len()
        };
        self.offset + kept as u64
    }

    /// At the end of the file, what lies behind the last blank line was torn.
    fn whole_until(&self) -> Option<usize> {
        let end = self.bytes.windows(2).rposition(|two| two == b"\n\n");
        end.map(|at| at + 2)
    }

    /// The number of the line that this byte is in.
    fn line_at(&self, at: usize) -> usize {
        let lines = self.bytes[..at].split(|byte| *byte == b'\n');
        self.line + lines.count() - 1
    }

    /// Its text, as that of a table without a checksum.
    fn into_table(mut self) -> Table {
        let mut whole = true;
        if self.is_last {
            let end = self.whole_until();
            whole = end.is_some();
            self.bytes.truncate(end.unwrap_or(self.bytes.len()));
        }
        // A file system may have made the file longer before it wrote what belongs there.
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        let (text, not_text) = match String::from_utf8(self.bytes) {
            Ok(text) => (text, false),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
        };
        Table {
            text,
            line: self.line,
            whole,
            not_text,
        }
    }
}

/// Cuts a file before every line that begins with `[[`, and behind the one that begins the log.
struct Chunks<R> {
    reader: R,
    next_line: Vec<u8>,
    offset: u64,
    line: usize,
    in_log: bool,
}

impl<R: BufRead> Chunks<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            next_line: Vec::new(),
            offset: 0,
            line: 1,
            in_log: false,
        }
    }

    fn next(&mut self) -> io::Result<Option<Chunk>> {
        let mut chunk = Chunk {
            bytes: std::mem::take(&mut self.next_line),
            offset: self.offset,
            line: self.line,
            ..Chunk::default()
        };
        let bytes = &mut chunk.bytes;
        let mut lines = usize::from(!bytes.is_empty());
        loop {
            let before = bytes.len();
            if self.reader.read_until(b'\n', bytes)? == 0 {
                chunk.is_last = true;
                break;
            }
            let line = &bytes[before..];
            if before > 0 && line.starts_with(b"[[") {
                self.next_line = bytes.split_off(before);
                break;
            }
            lines += 1;
            if !self.in_log && Log::is_beginning(line) && line.ends_with(b"\n") {
                self.in_log = true;
                chunk.beginning = Some(before);
                break;
            }
        }
        if chunk.bytes.is_empty() {
            return Ok(None);
        }
        self.line += lines;
        self.offset += chunk.bytes.len() as u64;
        Ok(Some(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::record::Change;

    const HEAD: &str = "format = 1\nid = \"s\"\ndestination = \"d\"\n\n";
    const ONE: &str = "[[log]]\nupload = 1\npart = 38\n\n";

    fn read_text(text: impl AsRef<[u8]>) -> Result<(Vec<Record>, Opened), Unreadable> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut records = Vec::new();
        let opened = read(file.path(), |record| {
            records.push(record);
            Ok(())
        })?;
        Ok((records, opened))
    }

    #[test]
    fn a_torn_end_is_dropped_wherever_it_was_torn_and_nothing_before_it() {
        for cut in 1..ONE.len() {
            let text = format!("{HEAD}{ONE}{}", &ONE[..cut]);
            let (records, opened) = read_text(&text).unwrap();
            assert_eq!(
                records,
                [Record::Log(1, Change::Part(38, None.into()))],
                "cut at {cut}"
            );
            assert_eq!(opened.good, (HEAD.len() + ONE.len()) as u64);
            assert_eq!(opened.torn, cut as u64);
        }
    }

    #[test]
    fn tables_without_a_blank_line_between_them_are_read_all_the_same() {
        let text = format!("{HEAD}{}{ONE}", ONE.trim_end().to_owned() + "\n");
        assert_eq!(read_text(text).unwrap().0.len(), 2);
    }

    #[test]
    fn zeros_that_a_power_cut_left_are_dropped() {
        let mut text = format!("{HEAD}{ONE}[[log]]\nupl").into_bytes();
        text.extend([0; 4096]);
        let (records, opened) = read_text(text).unwrap();
        assert_eq!((records.len(), opened.torn), (1, 4107));
        let mut text = format!("{HEAD}{ONE}").into_bytes();
        text.extend([0; 100]);
        let (records, opened) = read_text(text).unwrap();
        assert_eq!((records.len(), opened.torn), (1, 100));
    }

    /// A log of these tables, with its head, and where each table begins; the last one is the end.
    fn log_of(tables: &[&str]) -> (Vec<u8>, Vec<usize>) {
        let (mut log, line) = Log::begin();
        let mut text = format!("{HEAD}{line}");
        let mut begins = Vec::new();
        for table in tables {
            begins.push(text.len());
            text += &log.with_checksums(table);
        }
        begins.push(text.len());
        (text.into_bytes(), begins)
    }

    fn part(number: u32) -> String {
        format!("[[log]]\nupload = 1\npart = {number}\n\n")
    }

    fn parts(records: &[Record]) -> Vec<u32> {
        let part = |record: &Record| match record {
            Record::Log(1, Change::Part(number, _)) => *number,
            Record::Gap => 0,
            other => panic!("{other:?}"),
        };
        records.iter().map(part).collect()
    }

    fn named(opened: &Opened) -> Vec<String> {
        opened.damage.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_hole_in_the_middle_of_a_log_costs_the_tables_it_touches_and_is_named() {
        let tables = [1, 2, 3, 4, 5].map(part);
        let (text, begins) = log_of(&tables.each_ref().map(String::as_str));
        let line = |at: usize| text[..at].split(|byte| *byte == b'\n').count();
        for (hole, left) in [
            (begins[1]..begins[1] + 1, vec![1, 0, 3, 4, 5]),
            (begins[1]..begins[2], vec![1, 0, 3, 4, 5]),
            (begins[1] + 5..begins[3] + 9, vec![1, 0, 5]),
            (begins[0]..begins[4], vec![0, 5]),
        ] {
            let mut bytes = text.clone();
            bytes[hole.clone()].fill(0);
            let (records, opened) = read_text(&bytes).unwrap();
            assert_eq!(parts(&records), left, "{hole:?}");
            assert_eq!((opened.torn, opened.good), (0, bytes.len() as u64));
            let said = named(&opened).concat();
            let first = begins.iter().rev().find(|at| **at <= hole.start).unwrap();
            let first = format!(" {}", line(*first));
            assert!(said.contains(&first) && said.contains("damaged"), "{said}");
            // The same lost altogether: the file is shorter.
            let mut bytes = text.clone();
            bytes.drain(hole.clone());
            let (records, opened) = read_text(&bytes).unwrap();
            assert_eq!(parts(&records), left, "{hole:?}");
            assert_eq!((opened.torn, opened.good), (0, bytes.len() as u64));
            assert_eq!(opened.damage.len(), 1);
        }
    }

    #[test]
    fn a_table_that_is_lost_without_a_trace_or_stands_twice_is_noticed() {
        let tables = [1, 2, 3, 4].map(part);
        let (text, begins) = log_of(&tables.each_ref().map(String::as_str));
        let mut shorter = text.clone();
        shorter.drain(begins[1]..begins[3]);
        let (records, opened) = read_text(&shorter).unwrap();
        assert_eq!(parts(&records), [1, 0, 4]);
        let said = named(&opened).concat();
        assert!(said.contains("2 tables are lost"), "{said}");
        let mut twice = text.clone();
        let again = text[begins[0]..begins[2]].to_vec();
        twice.splice(begins[2]..begins[2], again);
        let (records, opened) = read_text(&twice).unwrap();
        assert_eq!(parts(&records), [1, 2, 3, 4]);
        let said = named(&opened).concat();
        assert!(said.contains("no table is lost"), "{said}");
    }

    #[test]
    fn an_edited_table_of_a_log_is_damaged_until_the_line_that_begins_the_log_is_deleted() {
        let tables = [1, 2, 3].map(part);
        let (text, _) = log_of(&tables.each_ref().map(String::as_str));
        let edited = String::from_utf8(text).unwrap();
        let edited = edited.replace("part = 2", "part = 7");
        assert_eq!(parts(&read_text(&edited).unwrap().0), [1, 0, 3]);
        let is_own = |line: &&str| !Log::is_beginning(line.as_bytes());
        let edited: String = edited.split_inclusive('\n').filter(is_own).collect();
        let (records, opened) = read_text(&edited).unwrap();
        assert_eq!(parts(&records), [1, 7, 3]);
        assert_eq!(opened.log, None);
    }

    #[test]
    fn what_a_crash_tore_is_no_damage_and_what_else_ends_a_file_is_a_gap() {
        let tables = [1, 2, 3].map(part);
        let (text, begins) = log_of(&tables.each_ref().map(String::as_str));
        for cut in begins[2] + 1..begins[3] {
            let (records, opened) = read_text(&text[..cut]).unwrap();
            assert_eq!(parts(&records), [1, 2], "cut at {cut}");
            assert_eq!(opened.good, begins[2] as u64);
            assert_eq!(opened.torn, (cut - begins[2]) as u64);
            let mut zeros = text.clone();
            zeros[cut - 1..].fill(0);
            let (records, opened) = read_text(&zeros).unwrap();
            assert_eq!(parts(&records), [1, 2, 0], "zeros from {cut}");
            assert_eq!(opened.good, begins[2] as u64);
        }
        let mut zeros = text.clone();
        zeros.extend([0; 100]);
        let (records, opened) = read_text(&zeros).unwrap();
        assert_eq!(parts(&records), [1, 2, 3, 0]);
        assert_eq!(opened.torn, 100);
    }

    #[test]
    fn a_log_goes_on_with_the_number_that_is_next() {
        let tables = [1, 2].map(part);
        let (text, _) = log_of(&tables.each_ref().map(String::as_str));
        let (_, opened) = read_text(&text).unwrap();
        let more = opened.log.unwrap().with_checksums(&part(3));
        let (records, opened) = read_text([text, more.into_bytes()].concat()).unwrap();
        assert_eq!(parts(&records), [1, 2, 3]);
        assert_eq!(named(&opened), [""; 0]);
    }

    #[test]
    fn damage_before_the_log_is_an_error_with_its_line() {
        let tables = [1, 2].map(part);
        let (text, _) = log_of(&tables.each_ref().map(String::as_str));
        let damaged = |at: usize| {
            let mut bytes = text.clone();
            bytes[at] = 0;
            read_text(&bytes).unwrap_err().to_string()
        };
        let begins = HEAD.len();
        let error = damaged(begins + 3);
        assert!(error.contains("line 5"), "{error}");
        let error = damaged(begins + 30);
        let way_out = "line 5, column 1: the line that begins the log is damaged; delete it";
        assert!(error.contains(way_out), "{error}");
    }

    #[test]
    fn nonsense_is_an_error_that_names_line_and_column() {
        let text = format!("{HEAD}{ONE}[[log]]\nupload = 1\npart = \"x\"\n\n{ONE}");
        let error = read_text(text).unwrap_err().to_string();
        assert!(error.contains("line 11, column 8:"), "{error}");
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error_and_no_panic() {
        let mut text = format!("{HEAD}[[log]]\nupload = ").into_bytes();
        text.extend(b"\xff\n\n");
        text.extend(ONE.bytes());
        assert!(read_text(text).is_err());
    }
}
