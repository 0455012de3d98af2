//! Session files and configs that something happened to: they open, with a notice of what is missing,
//! or say clearly why they don't; never a panic, and never an empty session without a word.
//!
//! `tests/corpus` holds real ones. `PROPTEST_CASES=100000` tries that many accidents.

use std::{fs, io::Write as _, path::Path};

use proptest::prelude::*;
use reelhaul::{
    config::Config,
    engine::queue::Queue,
    session::{
        read::{Opened, Unreadable, read},
        record::Record,
    },
};
use tempfile::NamedTempFile;

use crate::support::damage;

/// The files of a folder of the corpus.
fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(folder);
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// What opening a session does: each table read, and taken over by a queue. How many there were.
fn open(bytes: &[u8]) -> Result<(Opened, Queue, usize), Unreadable> {
    open_file(file(bytes).path())
}

fn open_file(path: &Path) -> Result<(Opened, Queue, usize), Unreadable> {
    let (mut queue, mut tables) = (Queue::default(), 0);
    let opened = read(path, |record| {
        tables += 1;
        match record {
            Record::Settings(_) => Ok(()),
            record => queue.restore(record),
        }
    })?;
    queue.restored();
    Ok((opened, queue, tables))
}

/// How many whole tables there are in a session file, and where its head ends.
fn tables(bytes: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(bytes);
    let head = text.find("\n\n").map_or(usize::MAX, |at| at + 2);
    let tables = text.split_inclusive("\n\n").skip(1);
    // The line that begins a log is none.
    let tables = tables.filter(|table| table.starts_with("[["));
    (tables.filter(|table| table.ends_with("\n\n")).count(), head)
}

#[test]
fn a_real_session_opens_whole() {
    for bytes in corpus("sessions") {
        let (opened, queue, count) = open(&bytes).unwrap();
        assert_eq!((opened.torn, opened.good), (0, bytes.len() as u64));
        assert_eq!(count, tables(&bytes).0);
        assert!(!queue.is_empty());
        // What it says, it says once it is rewritten.
        let mut rewritten = Vec::new();
        queue.write_session(&opened.header, &mut rewritten).unwrap();
        let (opened, again, _) = open(&rewritten).unwrap();
        assert!(!opened.has_log);
        assert!(again.kept().eq(queue.kept()));
        assert!(again.orphans().eq(queue.orphans()));
        assert_eq!(
            (again.counts(), again.unread()),
            (queue.counts(), queue.unread())
        );
    }
}

#[test]
fn a_session_cut_off_anywhere_keeps_every_whole_table_and_tells_what_is_torn() {
    for bytes in corpus("sessions") {
        let (_, head) = tables(&bytes);
        let file = file(&bytes);
        for cut in (0..bytes.len()).rev() {
            file.as_file().set_len(cut as u64).unwrap();
            let opened = open_file(file.path());
            if cut < head {
                let error = opened.unwrap_err().to_string();
                assert!(error.contains("line "), "cut at {cut}: {error}");
                continue;
            }
            let (opened, _, count) = opened.unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            let whole = tables(&bytes[..cut]).0;
            assert_eq!(count, whole, "cut at {cut}");
            assert_eq!(opened.good + opened.torn, cut as u64, "cut at {cut}");
            // The line that begins a log stands for itself.
            let ends = bytes[..cut].ends_with(b"\n\n") || bytes[..cut].ends_with(b"damaged.\n");
            assert_eq!(opened.torn == 0, ends, "cut at {cut}");
        }
    }
}

#[test]
fn a_real_config_is_understood() {
    for bytes in corpus("configs") {
        let config = Config::load(Some(file(&bytes).path())).unwrap();
        assert!(!config.destinations.is_empty());
    }
}

proptest! {
    #[test]
    fn no_accident_to_a_session_makes_opening_panic(bytes in damage::damaged(corpus("sessions"))) {
        match open(&bytes) {
            // No more comes of it than there is in it.
            Ok((opened, queue, _)) => {
                prop_assert!(queue.len() <= bytes.windows(10).filter(|ten| ten == b"[[upload]]").count());
                prop_assert_eq!(opened.good + opened.torn, bytes.len() as u64);
            }
            Err(error) => prop_assert!(error.to_string().contains("line "), "{}", error),
        }
    }

    #[test]
    fn no_accident_to_a_config_makes_reading_panic(bytes in damage::damaged(corpus("configs"))) {
        if let Err(error) = Config::load(Some(file(&bytes).path())) {
            prop_assert!(error.to_string().chars().count() < 2000, "{}", error);
            // Nobody knows a secret for one that was moved to another place.
            let text = String::from_utf8_lossy(&bytes);
            let in_its_place = text.matches("\nsecret = \"a-secret-of-ours\"\n").count();
            if in_its_place == text.matches("a-secret-of-ours").count() {
                prop_assert!(!error.to_string().contains("a-secret"), "{}", error);
            }
        }
    }
}
