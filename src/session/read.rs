//! Opening a session file: head, snapshot, log, and what to do about a torn end. Reads a table at a
//! time, so that a million of them need no more memory than what they say.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use super::record::{BadTable, Header, Record, read_header, read_table};

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
    /// How many bytes of the file are whole tables; what lies behind was torn.
    pub good: u64,
    /// How many bytes at the end were torn by a crash and are dropped.
    pub torn: u64,
    /// Whether some of it is a log: tables that change what stands above them.
    pub has_log: bool,
}

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
    let mut tables = Tables::new(BufReader::new(file.take(HEAD)));
    Ok(tables.next()?.unwrap_or_default())
}

/// Reads a session file, handing each table to `each` in order.
///
/// The last table of a file that lost its end (a power cut in the middle of an append) has no blank
/// line behind it; it is left out and counted in [`Opened::torn`].
///
/// # Errors
/// [`Unreadable`] when the file can't be read, or holds what this program does not understand
/// (`each` may refuse a table too).
pub fn read(
    path: &Path,
    mut each: impl FnMut(Record) -> Result<(), BadTable>,
) -> Result<Opened, Unreadable> {
    let io = |error| Unreadable::Io {
        path: path.display().to_string(),
        error,
    };
    let file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut tables = Tables::new(BufReader::with_capacity(1 << 20, file));
    let bad = |table: &Table, error| bad(path, table, error);
    let head = tables.next().map_err(io)?.unwrap_or_default();
    let header = read_header(&head.text).map_err(|error| bad(&head, error))?;
    if head.not_text {
        return Err(bad(&head, no_text()));
    }
    if !head.whole {
        // What is said of the settings, and all behind it, may be missing.
        let words = "the file ends within its head, which ends with a blank line".to_owned();
        let offset = Some(head.text.len());
        return Err(bad(&head, BadTable { words, offset }));
    }
    let mut good = head.text.len() as u64;
    let mut has_log = false;
    while let Some(table) = tables.next().map_err(io)? {
        if !table.whole {
            break;
        }
        if table.not_text {
            return Err(bad(&table, no_text()));
        }
        read_table(&table.text)
            .and_then(|record| {
                has_log |= is_log(&record);
                each(record)
            })
            .map_err(|error| bad(&table, error))?;
        good += table.text.len() as u64;
    }
    Ok(Opened {
        header,
        good,
        torn: size.saturating_sub(good),
        has_log,
    })
}

/// Whether a table changes what stands above it.
fn is_log(record: &Record) -> bool {
    match record {
        Record::Upload(_) | Record::Walk(_) => false,
        Record::Orphan(orphan) => orphan.gone,
        Record::Log(..) | Record::WalkOver(_) | Record::Moved(_) | Record::Settings(_) => true,
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

/// Cuts a file before every line that begins with `[[`.
struct Tables<R> {
    reader: R,
    next_line: Vec<u8>,
    line: usize,
}

impl<R: BufRead> Tables<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            next_line: Vec::new(),
            line: 1,
        }
    }

    fn next(&mut self) -> io::Result<Option<Table>> {
        let first_line = self.line;
        let mut bytes = std::mem::take(&mut self.next_line);
        let mut lines = usize::from(!bytes.is_empty());
        loop {
            let before = bytes.len();
            if self.reader.read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            if before > 0 && bytes[before..].starts_with(b"[[") {
                self.next_line = bytes.split_off(before);
                break;
            }
            lines += 1;
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        self.line += lines;
        // A file system may have made the file longer before it wrote what belongs there.
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        let mut whole = true;
        if self.next_line.is_empty() {
            // At the end of the file, what lies behind the last blank line was torn.
            let end = bytes.windows(2).rposition(|two| two == b"\n\n");
            whole = end.is_some();
            bytes.truncate(end.map_or(bytes.len(), |at| at + 2));
        }
        let (text, not_text) = match String::from_utf8(bytes) {
            Ok(text) => (text, false),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
        };
        Ok(Some(Table {
            text,
            line: first_line,
            whole,
            not_text,
        }))
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
