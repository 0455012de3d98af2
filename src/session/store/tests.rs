//! What the session file says when, on a real disk.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, time::Instant};

use super::{beside::temporary, writer::BETWEEN_SYNCS, *};
use crate::session::{checksum::Piece, lock::Lock};

fn new() -> (tempfile::TempDir, PathBuf, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.toml");
    let store = Store::create(&path, |out| out.write_all(b"head\n")).unwrap();
    (folder, path, store)
}

/// What the file says, but for the line that its log begins with.
fn text(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let is_own = |line: &&str| !Log::is_beginning(line.as_bytes());
    // A blank line goes with it.
    let lines = text.split_inclusive('\n').filter(|line| *line != "\n");
    lines.filter(is_own).collect()
}

/// Rewrites the file with this text.
fn rewrite(store: &mut Store, text: &str) -> io::Result<()> {
    store.rewrite(|out| out.write_all(text.as_bytes()))
}

/// Appends this; the answer comes when it is on disk.
fn append_durable(store: &mut Store, text: String) -> oneshot::Receiver<()> {
    store.append(text);
    store.barrier()
}

fn much(length: u64) -> String {
    "x".repeat(usize::try_from(length).unwrap())
}

#[test]
fn what_was_waited_for_is_in_the_file() {
    let (_folder, path, mut store) = new();
    store.append("one\n".into());
    append_durable(&mut store, "two\n".into())
        .blocking_recv()
        .unwrap();
    assert_eq!(text(&path), "head\none\ntwo\n");
}

#[test]
fn what_was_not_waited_for_is_in_the_file_when_it_is_closed() {
    let (_folder, path, mut store) = new();
    store.append("one\n".into());
    drop(store);
    assert_eq!(text(&path), "head\none\n");
}

#[test]
fn many_appends_are_few_syncs() {
    let (_folder, _path, mut store) = new();
    let begun = Instant::now();
    for _ in 0..20 {
        for _ in 0..50 {
            store.append("x\n".into());
        }
        append_durable(&mut store, "y\n".into())
            .blocking_recv()
            .unwrap();
    }
    let most = begun.elapsed().as_millis() / BETWEEN_SYNCS.as_millis() + 1;
    assert!(
        u128::from(store.syncs()) <= most,
        "{} syncs, {most} allowed",
        store.syncs()
    );
}

#[test]
fn what_a_kill_left_of_a_rewrite_is_removed_when_the_session_is_opened_and_no_others() {
    let (folder, path, store) = new();
    drop(store);
    let left = temporary(&path).unwrap().into_temp_path().keep().unwrap();
    let other = folder.path().join("s.toml.toml");
    let others = temporary(&other).unwrap();
    drop(Store::open(&path, 5, false, None).unwrap());
    assert!(!left.exists());
    assert!(others.path().exists());
}

#[test]
fn a_barrier_is_reached_with_nothing_to_write_and_leaves_nothing_due() {
    let (_folder, path, mut store) = new();
    store.append(String::new());
    assert!(store.saved(), "nothing was appended");
    store.barrier().blocking_recv().unwrap();
    store.append("one\n".into());
    store.barrier().blocking_recv().unwrap();
    assert_eq!(text(&path), "head\none\n");

    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let mut writer = Writer::new(
        path.clone(),
        file,
        path.metadata().unwrap().len(),
        Arc::default(),
    );
    writer.take(Job::Barrier(oneshot::channel().0));
    assert_eq!(writer.due(None), None);
    writer.write().unwrap();
    assert_eq!(writer.due(None), None);
}

#[test]
fn a_session_whose_folder_was_removed_is_put_back_with_all_it_said_and_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/s.toml");
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    let first = Lock::take(&path).unwrap();
    let mut store = Store::create(&path, |out| out.write_all(b"head\n")).unwrap();
    append_durable(&mut store, "one\n".into())
        .blocking_recv()
        .unwrap();
    std::fs::remove_dir_all(folder.path().join("deep")).unwrap();
    append_durable(&mut store, "two\n".into())
        .blocking_recv()
        .unwrap();
    assert_eq!(text(&path), "head\none\ntwo\n");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        Lock::take(&path).is_err(),
        "another process could take it too"
    );
    // Also when nothing is left to be written.
    std::fs::remove_file(&path).unwrap();
    store.barrier().blocking_recv().unwrap();
    assert_eq!(text(&path), "head\none\ntwo\n");
    drop(store);
    drop(first);
    Lock::take(&path).unwrap();
}

#[test]
fn a_file_that_is_back_in_its_place_is_no_trouble_any_more_though_nothing_is_to_be_written() {
    let (folder, path, store) = new();
    let away = folder.path().join("away");
    std::fs::rename(&path, &away).unwrap();
    std::fs::write(&path, "theirs\n").unwrap();
    let reached = store.barrier();
    while store.error().is_none() {
        std::thread::yield_now();
    }
    std::fs::rename(&away, &path).unwrap();
    reached.blocking_recv().unwrap();
    assert_eq!(store.error(), None);
}

#[test]
fn a_torn_end_is_cut_off_before_anything_is_appended() {
    let (_folder, path, store) = new();
    drop(store);
    std::fs::write(&path, "head\nto").unwrap();
    let mut store = Store::open(&path, 5, false, None).unwrap();
    store.append("one\n".into());
    drop(store);
    assert_eq!(text(&path), "head\none\n");
}

#[test]
fn a_full_disk_is_told_and_whoever_waits_waits() {
    let path = Path::new("/dev/full");
    let full = OpenOptions::new().write(true).open(path).unwrap();
    let mut store = Store::start(path, full, 0, false, (Log::begin().0, None));
    let mut answer = append_durable(&mut store, "one\n".into());
    while store.error().is_none() {
        std::thread::yield_now();
    }
    assert!(answer.try_recv().is_err());
    assert!(!store.saved());
    assert!(
        store.error().unwrap().contains("space"),
        "{:?}",
        store.error()
    );
}

#[test]
fn a_rewritten_file_takes_the_place_of_the_log_and_what_comes_later_goes_behind_it() {
    let (folder, path, mut store) = new();
    assert!(!store.has_log(), "it is new");
    store.append("one\n".into());
    assert!(store.has_log());
    rewrite(&mut store, "head, one\n").unwrap();
    assert_eq!(text(&path), "head, one\n");
    assert!(!store.has_log());
    store.append("two\n".into());
    drop(store);
    assert_eq!(text(&path), "head, one\ntwo\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn every_table_that_is_appended_has_the_checksum_of_the_log_it_is_in() {
    let (_folder, path, mut store) = new();
    let table = |word: &str| format!("[[log]]\nupload = 1\nstate = \"{word}\"\n\n");
    // How many tables of the file have it, and how many bytes are no table.
    let found = || {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        let is_beginning = |line: &&str| Log::is_beginning(line.as_bytes());
        let at = lines.iter().position(is_beginning).unwrap();
        let log = Log::read_beginning(lines[at].as_bytes()).unwrap();
        let rest = lines[at + 1..].concat();
        let pieces = log.pieces(rest.as_bytes());
        let numbers = pieces.iter().filter_map(|piece| match piece {
            Piece::Table(_, number) => Some(*number),
            Piece::Damaged(range) => {
                assert_eq!(&rest[range.clone()], "\n");
                None
            }
        });
        (numbers.collect::<Vec<_>>(), log)
    };
    store.append(table("paused") + &table("queued"));
    let saved = append_durable(&mut store, table("done"));
    saved.blocking_recv().unwrap();
    let (numbers, first) = found();
    assert_eq!(numbers, [1, 2, 3]);
    rewrite(&mut store, "head\n").unwrap();
    let saved = append_durable(&mut store, table("paused"));
    saved.blocking_recv().unwrap();
    let (numbers, second) = found();
    assert_eq!(numbers, [1]);
    assert_ne!(first, second);
    drop(store);
    // Without the line that begins it there is none yet; opened, it goes on where it was.
    for (log, expected) in [(Some(second), vec![1, 2]), (None, vec![1])] {
        let log = log.map(|mut log| {
            log.was_read(1);
            log
        });
        if log.is_none() {
            std::fs::write(&path, "head\n").unwrap();
        }
        let length = path.metadata().unwrap().len();
        let mut store = Store::open(&path, length, true, log).unwrap();
        store.append(table("queued"));
        drop(store);
        assert_eq!(found().0, expected);
    }
}

#[test]
fn a_rewrite_that_fails_anywhere_is_told_and_the_old_file_goes_on() {
    let (folder, path, mut store) = new();
    store.append("one\n".into());
    let failed = store.rewrite(|out| {
        out.write_all(b"half")?;
        Err(io::Error::other("no more room"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "no more room");
    // Nothing can be written beside it.
    let moved = folder.path().join("moved");
    std::fs::create_dir(&moved).unwrap();
    std::fs::rename(&path, moved.join("s.toml")).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(
        rewrite(&mut store, "head, one\n").is_err(),
        "a folder is there"
    );
    std::fs::remove_dir(&path).unwrap();
    std::fs::rename(moved.join("s.toml"), &path).unwrap();
    std::fs::remove_dir(&moved).unwrap();
    assert!(store.has_log(), "another try is worth it");
    let saved = append_durable(&mut store, "two\n".into());
    saved.blocking_recv().unwrap();
    assert_eq!(text(&path), "head\none\ntwo\n");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn another_file_in_its_place_is_told_and_left_as_it_is_until_a_save_replaces_it() {
    let (folder, path, mut store) = new();
    let other = folder.path().join("other");
    std::fs::write(&other, "theirs\n").unwrap();
    std::fs::rename(&other, &path).unwrap();
    let mut saved = append_durable(&mut store, "one\n".into());
    while store.error().is_none() {
        std::thread::yield_now();
    }
    assert!(store.error().unwrap().contains("place"));
    assert!(saved.try_recv().is_err());
    assert!(rewrite(&mut store, "head, one\n").is_err());
    assert_eq!(text(&path), "theirs\n");
    let saving = store.save();
    saving.reached.blocking_recv().unwrap();
    saved.blocking_recv().unwrap();
    assert_eq!(store.error(), None);
    assert_eq!(text(&path), "head\none\n");
    // One save replaces one file.
    std::fs::write(&other, "theirs again\n").unwrap();
    std::fs::rename(&other, &path).unwrap();
    drop(store);
    assert_eq!(text(&path), "theirs again\n");
}

#[test]
fn a_copy_in_its_place_is_told_before_anything_counts_as_saved() {
    let (folder, path, mut store) = new();
    append_durable(&mut store, "one\n".into())
        .blocking_recv()
        .unwrap();
    let copy = folder.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    let mut saved = append_durable(&mut store, "two\n".into());
    while store.error().is_none() {
        std::thread::yield_now();
    }
    assert!(store.error().unwrap().contains("place"));
    assert!(saved.try_recv().is_err());
    store.save().reached.blocking_recv().unwrap();
    saved.blocking_recv().unwrap();
    assert_eq!(text(&path), "head\none\ntwo\n");
}

#[test]
fn a_store_on_a_full_disk_is_behind_when_more_waits_than_may() {
    let path = Path::new("/dev/full");
    let full = OpenOptions::new().write(true).open(path).unwrap();
    let mut store = Store::start(path, full, 0, false, (Log::begin().0, None));
    store.append(much(BEHIND));
    assert_eq!((store.backlog(), store.is_behind()), (BEHIND, false));
    store.append("x".into());
    assert_eq!((store.backlog(), store.is_behind()), (BEHIND + 1, true));
}

#[test]
fn a_store_that_was_behind_has_caught_up_when_the_disk_has_room_or_all_was_rewritten() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for is_rewritten in [false, true] {
        let (_folder, _path, mut store) = new();
        store.append(much(BEHIND + 1));
        if is_rewritten {
            rewrite(&mut store, "head\n").unwrap();
        }
        runtime.block_on(store.caught_up());
        assert_eq!((store.backlog(), store.is_behind()), (0, false));
    }
}

#[tokio::test(start_paused = true)]
async fn a_save_that_takes_long_says_why_where_that_is_known() {
    let path = Path::new("/dev/full");
    let full = OpenOptions::new().write(true).open(path).unwrap();
    let mut store = Store::start(path, full, 0, false, (Log::begin().0, None));
    store.append("one\n".into());
    while store.error().is_none() {
        std::thread::yield_now();
    }
    let words = store.save().within(Duration::from_secs(5)).await;
    let words = words.unwrap_err();
    assert!(words.contains("can't be saved: No space"), "{words}");
    let never = Saving {
        reached: oneshot::channel().1,
        shared: Arc::default(),
    };
    let closed = never.within(Duration::from_secs(5)).await.unwrap_err();
    assert!(closed.contains("closed"), "{closed}");
    let (_reached, answer) = oneshot::channel();
    let slow = Saving {
        reached: answer,
        shared: Arc::default(),
    };
    let words = slow.within(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(words, "saving takes its time and goes on");
}
