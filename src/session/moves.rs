//! Moves within the queue as a session file keeps them: which uploads were moved, and where to. Pure.

use super::record::{BadTable, Record, Writer, read_stretches, stretches, within, write_stretches};
use crate::ids::{MOST_UPLOADS, UploadId};

/// Uploads moved within the order of the queue; they keep the order they have among themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The first and the last id of each stretch of those that were moved, rising. Ids that are no
    /// longer in the queue are ignored.
    pub moved: Vec<(UploadId, UploadId)>,
    /// Where to.
    pub to: MoveTarget,
}

/// Where uploads are moved to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveTarget {
    /// To the head.
    Top,
    /// To the end.
    Bottom,
    /// Each past the one before it.
    Up,
    /// Each past the one behind it.
    Down,
    /// All of them directly before this upload.
    Before(UploadId),
}

/// The targets that a word stands for.
const WORDS: [(MoveTarget, &str); 4] = [
    (MoveTarget::Top, "top"),
    (MoveTarget::Bottom, "bottom"),
    (MoveTarget::Up, "up"),
    (MoveTarget::Down, "down"),
];

impl Move {
    /// These uploads, in whatever order they are named.
    #[must_use]
    pub fn new(mut ids: Vec<UploadId>, to: MoveTarget) -> Self {
        ids.sort_unstable();
        let moved = stretches(ids.into_iter());
        Self { moved, to }
    }

    /// The highest id it names.
    #[must_use]
    pub fn highest(&self) -> UploadId {
        let last = self.moved.last().map_or(0, |(_, last)| *last);
        match self.to {
            MoveTarget::Before(id) => last.max(id),
            _ => last,
        }
    }

    /// Reads what a `[[log]]` table says of a move.
    pub(super) fn read(moved: &str, to: Option<&toml::Value>) -> Result<Record, BadTable> {
        let moved = read_stretches("upload id", moved, MOST_UPLOADS)?;
        let bad = || {
            BadTable::new(
                "`to` is one of \"top\", \"bottom\", \"up\" and \"down\", or the id of an upload",
            )
        };
        let to = match to.ok_or_else(|| BadTable::new("`to` is missing"))? {
            toml::Value::String(word) => {
                let known = WORDS.iter().find(|(_, known)| known == word);
                known.map(|(target, _)| *target).ok_or_else(bad)?
            }
            toml::Value::Integer(id) => {
                let id = UploadId::try_from(*id).map_err(|_| bad())?;
                within("upload id", id, MOST_UPLOADS)?;
                MoveTarget::Before(id)
            }
            _ => return Err(bad()),
        };
        Ok(Record::Moved(Self { moved, to }))
    }
}

/// Appends a `[[log]]` table: these uploads were moved.
pub fn write_move(out: &mut String, moving: &Move) {
    out.push_str("[[log]]\n");
    let mut writer = Writer(out);
    writer.text("moved", &write_stretches(&moving.moved));
    match moving.to {
        MoveTarget::Before(id) => writer.value("to", id),
        word => {
            let known = WORDS.iter().find(|(target, _)| *target == word);
            writer.text("to", known.map_or("", |(_, word)| word));
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::record::read_table;

    fn read(lines: &str) -> Result<Record, BadTable> {
        read_table(&format!("[[log]]\n{lines}\n\n"))
    }

    #[test]
    fn a_move_reads_back_as_it_was_written() {
        let targets = WORDS.map(|(target, _)| target);
        for to in targets.into_iter().chain([MoveTarget::Before(17)]) {
            let moving = Move::new(vec![9, 4, 3, 5, 4], to);
            let mut text = String::new();
            write_move(&mut text, &moving);
            assert!(text.contains("moved = \"3-5,9\"\n"), "{text}");
            assert_eq!(read_table(&text), Ok(Record::Moved(moving)));
        }
    }

    #[test]
    fn a_move_of_a_million_neighbours_is_one_short_line() {
        let mut text = String::new();
        let all = Move::new((1..=1_000_000).rev().collect(), MoveTarget::Top);
        write_move(&mut text, &all);
        assert!(text.len() < 60, "{text}");
    }

    #[test]
    fn a_move_that_can_not_be_is_refused_with_the_reason() {
        for (lines, named) in [
            ("moved = \"1\"", "`to` is missing"),
            ("moved = \"1\"\nto = \"left\"", "\"bottom\""),
            ("moved = \"1\"\nto = -1", "\"bottom\""),
            ("moved = \"1\"\nto = 99999999999", "\"bottom\""),
            ("moved = \"1\"\nto = [1]", "\"bottom\""),
            ("moved = \"1\"\nto = 8000001", "8000001"),
            ("moved = \"1-8000001\"\nto = \"up\"", "8000001"),
            ("moved = \"5-3\"\nto = \"up\"", "5-3"),
            ("moved = \"5,3\"\nto = \"up\"", "5,3"),
            ("moved = \"0\"\nto = \"up\"", "upload id"),
            ("moved = \"x\"\nto = \"up\"", "upload id"),
        ] {
            let bad = read(lines).unwrap_err();
            assert!(bad.words.contains(named), "{lines}: {}", bad.words);
        }
        read("moved = \"1-8000000\"\nto = 8000000").unwrap();
    }

    proptest! {
        #[test]
        fn no_text_of_a_move_makes_the_reader_panic(moved in "[0-9,\\-]{0,40}", to in "[a-z0-9\"-]{0,12}") {
            drop(read(&format!("moved = \"{moved}\"\nto = {to}")));
        }
    }
}
