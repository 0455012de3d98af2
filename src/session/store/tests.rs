//! What the session file says when, on a real disk.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, time::Instant};

use super::{beside::temporary, writer::BETWEEN_SYNCS, *};
use crate::session::lock::Lock;

fn new() -> (tempfile::TempDir, PathBuf, Store) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.toml");
    let store = Store::create(&path, |out| out.write_all(b"head\n")).unwrap();
    (folder, path, store)
}

fn write_anew(store: &mut Store, text: &str) -> oneshot::Receiver<io::Result<()>> {
    store.begin_snapshot();
    store.snapshot_piece(text.into());
    store.place_snapshot(String::new())
}

#[test]
fn what_was_waited_for_is_in_the_file() {
    let (_folder, path, mut store) = new();
    store.append("one\n".into());
    store
        .append_durable("two\n".into())
        .blocking_recv()
        .unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "head\none\ntwo\n");
}

#[test]
fn what_was_not_waited_for_is_in_the_file_when_it_is_closed() {
    let (_folder, path, mut store) = new();
    store.append("one\n".into());
    drop(store);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "head\none\n");
}

#[test]
fn many_appends_are_few_syncs() {
    let (_folder, _path, mut store) = new();
    let begun = Instant::now();
    for _ in 0..20 {
        for _ in 0..50 {
            store.append("x\n".into());
        }
        store.append_durable("y\n".into()).blocking_recv().unwrap();
    }
    let most = begun.elapsed().as_millis() / BETWEEN_SYNCS.as_millis() + 1;
    assert!(
        u128::from(store.syncs()) <= most,
        "{} syncs, {most} allowed",
        store.syncs()
    );
}

#[test]
fn a_new_snapshot_takes_the_place_of_the_log_with_what_came_meanwhile_and_comes_later_behind_it() {
    let (folder, path, mut store) = new();
    store.append("one\n".into());
    store.begin_snapshot();
    store.snapshot_piece("head, one, ".into());
    store
        .append_durable("two\n".into())
        .blocking_recv()
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "head\none\ntwo\n",
        "until it is whole, the old file goes on"
    );
    store.snapshot_piece("three\n".into());
    store.append("four\n".into());
    let placed = store.place_snapshot("two\nfour\n".into());
    store.append("five\n".into());
    placed.blocking_recv().unwrap().unwrap();
    drop(store);
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "head, one, three\ntwo\nfour\nfive\n"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn after_a_new_snapshot_the_log_is_held_against_that() {
    let (_folder, _path, mut store) = new();
    let much = |length: u64| "x".repeat(usize::try_from(length).unwrap());
    store.append(much(SHORT_LOG + 1));
    assert!(store.should_compact());
    store.begin_snapshot();
    store.snapshot_piece(much(2 * SHORT_LOG));
    drop(store.place_snapshot("x".into()));
    assert!(!store.should_compact());
    store.append(much(2 * SHORT_LOG - 1));
    assert!(!store.should_compact(), "no longer than the snapshot");
    store.append("x".into());
    assert!(store.should_compact());
}

#[test]
fn a_snapshot_that_is_given_up_leaves_nothing() {
    let (folder, path, mut store) = new();
    store.begin_snapshot();
    store.snapshot_piece("half".into());
    store.append("one\n".into());
    drop(store);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_a_kill_left_of_a_snapshot_is_removed_when_the_session_is_opened_and_no_others() {
    let (folder, path, store) = new();
    drop(store);
    let left = temporary(&path).unwrap().into_temp_path().keep().unwrap();
    let other = folder.path().join("s.toml.toml");
    let others = temporary(&other).unwrap();
    drop(Store::open(&path, 5).unwrap());
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
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\n");

    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let mut writer = Writer::new(path, file, 9, Arc::default());
    writer.take(Job::Barrier(oneshot::channel().0));
    assert_eq!(writer.due(None), None);
    writer.write().unwrap();
    assert_eq!(writer.due(None), None);
}

#[test]
fn a_snapshot_that_cant_be_put_in_place_is_told_and_the_old_file_goes_on() {
    let (folder, path, mut store) = new();
    // Where a folder is, no file can be put.
    let moved = folder.path().join("moved");
    std::fs::rename(&path, &moved).unwrap();
    std::fs::create_dir(&path).unwrap();
    store.append("one\n".into());
    let placed = write_anew(&mut store, "head, one\n");
    assert!(placed.blocking_recv().unwrap().is_err());
    std::fs::rename(&path, folder.path().join("away")).unwrap();
    std::fs::rename(&moved, &path).unwrap();
    store
        .append_durable("two\n".into())
        .blocking_recv()
        .unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\ntwo\n");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_session_whose_folder_was_removed_is_put_back_with_all_it_said_and_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/s.toml");
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    let first = Lock::take(&path).unwrap();
    let mut store = Store::create(&path, |out| out.write_all(b"head\n")).unwrap();
    store
        .append_durable("one\n".into())
        .blocking_recv()
        .unwrap();
    std::fs::remove_dir_all(folder.path().join("deep")).unwrap();
    store
        .append_durable("two\n".into())
        .blocking_recv()
        .unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\ntwo\n");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        Lock::take(&path).is_err(),
        "another process could take it too"
    );
    // Also when nothing is left to be written.
    std::fs::remove_file(&path).unwrap();
    store.barrier().blocking_recv().unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\ntwo\n");
    drop(store);
    drop(first);
    Lock::take(&path).unwrap();
}

#[test]
fn another_file_in_its_place_is_told_and_left_as_it_is_until_a_save_replaces_it() {
    let (folder, path, mut store) = new();
    let other = folder.path().join("other");
    std::fs::write(&other, "theirs\n").unwrap();
    std::fs::rename(&other, &path).unwrap();
    let mut saved = store.append_durable("one\n".into());
    while store.error().is_none() {
        std::thread::yield_now();
    }
    assert!(store.error().unwrap().contains("place"));
    assert!(saved.try_recv().is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs\n");
    let placed = write_anew(&mut store, "head, one\n");
    placed.blocking_recv().unwrap().unwrap();
    saved.blocking_recv().unwrap();
    drop(store);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "head, one\n");
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
fn a_snapshot_that_cant_be_written_is_not_tried_again_at_once() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("sessions");
    std::fs::create_dir(&folder).unwrap();
    let mut store = Store::create(&folder.join("s.toml"), |out| out.write_all(b"head\n")).unwrap();
    let log = store.append_durable("x".repeat(usize::try_from(SHORT_LOG).unwrap() + 1));
    log.blocking_recv().unwrap();
    assert!(store.should_compact());
    // Where a file is, nothing can be written beside.
    std::fs::rename(&folder, parent.path().join("moved")).unwrap();
    std::fs::write(&folder, "").unwrap();
    let placed = write_anew(&mut store, "head, one\n");
    assert!(placed.blocking_recv().unwrap().is_err());
    assert!(!store.should_compact());
    store.append("x".repeat(usize::try_from(SHORT_LOG).unwrap() + 100));
    assert!(store.should_compact(), "but it is tried again");
}

#[test]
fn a_torn_end_is_cut_off_before_anything_is_appended() {
    let (_folder, path, store) = new();
    drop(store);
    std::fs::write(&path, "head\nto").unwrap();
    let mut store = Store::open(&path, 5).unwrap();
    store.append("one\n".into());
    drop(store);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "head\none\n");
}

#[test]
fn a_full_disk_is_told_and_whoever_waits_waits() {
    let path = Path::new("/dev/full");
    let full = OpenOptions::new().write(true).open(path).unwrap();
    let mut store = Store::start(path, full, 0, 0);
    let mut answer = store.append_durable("one\n".into());
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
