//! A disk that is full, read-only, gone, or gives nothing back: the uploads concerned fail or wait with
//! the reason, the others go on, the session opens again, and nothing acknowledged is sent twice.

use std::{
    fs,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::support::{
    Ended, Home, Mode, PART, Running, Server, Source,
    disk::{Disk, Fault},
    in_every_mode, wait_for,
};

/// Small files, of which the session says far more than fits on the disk.
fn many(home: &Home) -> Vec<Source> {
    let name = |number| format!("a take with a long name {number}.m4a");
    (0..20)
        .map(|number| Source::write(home.tree().join(name(number)), 1000 + number, number))
        .collect()
}

fn assert_arrived(server: &Server, files: &[Source]) {
    let report = server.report();
    report.assert_holds(files);
    report.assert_nothing_twice();
}

/// A run that is in the middle of its many files when the disk with its session is full.
fn on_a_full_disk(mode: Mode) -> Option<(Server, Home, Vec<Source>, Disk, Running)> {
    let server = Server::start();
    let mut home = Home::new(mode, &server.url);
    let files = many(&home);
    // The session's disk alone: the ledger has another.
    let sessions = home.state().join("sessions");
    fs::create_dir_all(&sessions).unwrap();
    let disk = Disk::small(&mut home, "state/reelhaul/sessions", 12)?;
    let mut run = home.up(&[]);
    run.wait_for_error("the session can't be saved");
    Some((server, home, files, disk, run))
}

/// The one session on the disk, as the program sees it.
fn session_on(home: &Home, disk: &Disk) -> PathBuf {
    let sessions = home.state().join("sessions");
    let entries = fs::read_dir(disk.seen(&sessions)).unwrap();
    let mut names = entries.map(|entry| PathBuf::from(entry.unwrap().file_name()));
    let session = names.find(|name| name.extension() == Some("toml".as_ref()));
    sessions.join(session.unwrap())
}

#[test]
fn a_full_disk_is_waited_for_and_all_goes_on_when_there_is_room() {
    in_every_mode(full_disk);
}

fn full_disk(mode: Mode) {
    let Some((server, _home, files, disk, run)) = on_a_full_disk(mode) else {
        return;
    };
    assert!(run.errors().contains("No space left"), "{}", run.errors());
    assert!(run.errors().contains("make room"), "{}", run.errors());
    disk.resize(4096);
    let ended = run.end();
    ended.assert_code(0);
    assert!(
        ended.stderr.contains("can be saved again"),
        "{}",
        ended.stderr
    );
    assert_arrived(&server, &files);
}

#[test]
fn a_session_torn_by_a_full_disk_and_a_kill_opens_again() {
    in_every_mode(killed_on_a_full_disk);
}

fn killed_on_a_full_disk(mode: Mode) {
    let Some((server, home, files, disk, run)) = on_a_full_disk(mode) else {
        return;
    };
    assert!(run.kill().0);
    let session = disk.seen(&session_on(&home, &disk));
    let saved = fs::read_to_string(&session).unwrap();
    assert!(saved.len().is_multiple_of(4096), "{saved}");
    if saved.ends_with("\n\n") {
        // The last write went as far as the disk did, which happens to be the end of a table.
        let session = fs::OpenOptions::new().write(true).open(session).unwrap();
        session.set_len(saved.len() as u64 - 1).unwrap();
    }
    server.wait_until_hung_up();
    disk.resize(4096);
    let ended = home.resume(&[]).end();
    ended.assert_code(0);
    assert!(ended.stderr.contains("torn"), "{}", ended.stderr);
    assert_arrived(&server, &files);
}

#[test]
fn a_session_that_can_not_be_rewritten_for_lack_of_room_goes_on_as_it_is() {
    in_every_mode(opened_on_a_full_disk);
}

fn opened_on_a_full_disk(mode: Mode) {
    let Some((server, home, files, disk, run)) = on_a_full_disk(mode) else {
        return;
    };
    assert!(run.kill().0);
    server.wait_until_hung_up();
    let before = fs::metadata(disk.seen(&session_on(&home, &disk))).unwrap();
    let mut run = home.resume(&[]);
    run.wait_for_error("the session can't be saved");
    assert!(run.is_running(), "{}", run.errors());
    let words = "the session file can't be rewritten";
    assert!(run.errors().contains(words), "{}", run.errors());
    let after = fs::metadata(disk.seen(&session_on(&home, &disk))).unwrap();
    assert_eq!(after.ino(), before.ino());
    disk.resize(4096);
    run.end().assert_code(0);
    assert_arrived(&server, &files);
}

#[test]
fn a_session_of_the_first_edition_is_left_as_it_is_where_it_can_not_be_rewritten() {
    let Some((server, home, files, disk, run)) = on_a_full_disk(Mode::JwPlayer) else {
        return;
    };
    assert!(run.kill().0);
    server.wait_until_hung_up();
    let session = disk.seen(&session_on(&home, &disk));
    let text = fs::read_to_string(&session).unwrap();
    let older = text.replacen("\nformat = 2\n", "\nformat = 1\n", 1);
    let in_place = fs::OpenOptions::new().write(true).open(&session).unwrap();
    in_place.write_all_at(older.as_bytes(), 0).unwrap();
    let ended = home.resume(&[]).end();
    ended.assert_code(2);
    for words in ["No space left", session_on(&home, &disk).to_str().unwrap()] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    assert_eq!(fs::read_to_string(&session).unwrap(), older);
    disk.resize(4096);
    home.resume(&[]).end().assert_code(0);
    let head = fs::read_to_string(&session).unwrap();
    assert!(head.contains("\nformat = 2\n"), "{head}");
    assert_arrived(&server, &files);
}

#[test]
fn a_read_only_state_folder_is_told_and_nothing_is_begun_or_lost() {
    let server = Server::start();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("take.mov"), 2 * PART, 1);
    let Some(disk) = Disk::small(&mut home, "state", 4096) else {
        return;
    };
    let assert_told = |ended: &Ended, code: i32| {
        ended.assert_code(code);
        for words in ["Read-only file system", home.state().to_str().unwrap()] {
            assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        }
    };
    disk.read_only();
    assert_told(&home.up(&[]).end(), 2);
    assert!(server.report().media.is_empty());

    // The same with a session that is there already.
    disk.writable();
    server.hold_part(2, 1);
    let mut run = home.up(&["--parts", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    run.interrupt().assert_code(130);
    server.release();
    server.wait_until_hung_up();
    disk.read_only();
    let before = server.report().requests["jwplayer"]["part"];
    assert_told(&home.resume(&[]).end(), 2);
    assert_eq!(server.report().requests["jwplayer"]["part"], before);
    disk.writable();
    home.resume(&[]).end().assert_code(0);
    assert_arrived(&server, &[file]);
}

#[test]
fn a_disk_that_turns_read_only_amid_a_run_is_told_and_the_session_goes_on_after_it() {
    let server = Server::start();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    let files = [(1, 3 * PART), (2, 1000)].map(|(number, size)| {
        let path = home.tree().join(format!("take {number}.mov"));
        Source::write(path, size, number)
    });
    let Some(disk) = Disk::cautious(&mut home, "state") else {
        return;
    };
    server.hold_parts();
    let mut run = home.up(&["--parts", "1", "--files", "1"]);
    server.wait_until_held(1);
    server.release_held();
    run.wait_for_event("part");
    server.wait_until_held(2);
    disk.breaks();
    server.release_held();
    run.wait_for_error("the session can't be saved");
    assert!(run.is_running(), "{}", run.errors());
    let ended = run.interrupt();
    ended.assert_code(1);
    assert!(
        ended.stderr.contains("could not be saved"),
        "{}",
        ended.stderr
    );
    assert!(
        !server
            .report()
            .there()
            .iter()
            .any(|media| media.title == files[1].title())
    );
    server.release();
    server.wait_until_hung_up();
    // Mended as a person would, it is another mount of the same disk.
    disk.run("umount \"$1\" && mount -o loop $(dirname \"$1\")/disk.img \"$1\"");
    home.resume(&[]).end().assert_code(0);
    assert_arrived(&server, &files);
}

#[test]
fn a_file_on_a_disk_that_gives_errors_fails_and_the_others_go_on() {
    in_every_mode(errors_of_a_disk);
}

fn errors_of_a_disk(mode: Mode) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let bad = Source::write(home.tree().join("a bad.mov"), 3 * PART, 1);
    let good = Source::write(home.tree().join("b good.mov"), 1000, 2);
    server.hold_part(2, 1);
    let mut run = home.up(&["--parts", "1", "--files", "1", "--retries", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    let Some(fault) = Fault::strike(run.process(), &bad.path, "pread64", "error=EIO") else {
        return;
    };
    server.release();
    run.wait_for_event("failed");
    let ended = run.end();
    drop(fault);
    ended.assert_code(1);
    let failed = ended.named("failed");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(crate::support::path_of(&failed[0]), bad.path);
    assert_eq!(failed[0]["kind"], "local");
    let words = failed[0]["message"].as_str().unwrap();
    assert!(words.contains("Input/output error"), "{words}");
    let report = server.report();
    assert_eq!(
        report.one(&good.title()).sha256.as_deref(),
        Some(&*good.sha256)
    );
    assert!(!report.one(&bad.title()).complete);
    // It stays with the session, and goes on where it was when the disk is well again.
    home.resume(&[]).end().assert_code(1);
    home.resume(&["--retry-failed"]).end().assert_code(0);
    assert_arrived(&server, &[bad, good]);
}

/// A run that has sent the first part of a file, and is in the middle of its second.
fn under_way(mode: Mode) -> (Server, Home, Source, Running) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let file = Source::write(home.tree().join("long.mov"), 3 * PART + 77, 7);
    server.hold_parts();
    let mut run = home.up(&["--parts", "1"]);
    server.wait_until_held(1);
    server.release_held();
    run.wait_for_event("part");
    server.wait_until_held(2);
    (server, home, file, run)
}

#[test]
fn a_state_folder_that_is_removed_under_a_running_session_is_put_back() {
    in_every_mode(removed_and_put_back);
}

fn removed_and_put_back(mode: Mode) {
    let (server, home, file, mut run) = under_way(mode);
    fs::remove_dir_all(home.state()).unwrap();
    server.release_held();
    server.wait_until_held(3);
    wait_for("the session file", || home.sessions().pop());
    let second = home.resume(&[]).end();
    assert_ne!(second.status.code(), Some(0), "two at once: {second:?}");
    assert!(second.stderr.contains("still runs"), "{}", second.stderr);
    run.wait_for_event("part");
    assert!(run.kill().0);
    server.release();
    server.wait_until_hung_up();
    home.resume(&[]).end().assert_code(0);
    assert_arrived(&server, &[file]);
}

#[test]
fn a_state_folder_that_is_removed_is_there_again_at_the_end() {
    let (server, home, file, run) = under_way(Mode::JwPlayer);
    fs::remove_dir_all(home.dir.path().join("state")).unwrap();
    server.release();
    run.end().assert_code(0);
    assert_arrived(&server, &[file]);
    let listed = home.run(["sessions", "--json"]);
    assert!(
        listed.stdout.contains("\"state\":\"done\""),
        "{}",
        listed.stdout
    );
}

fn set_modified(path: &Path, time: SystemTime) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

/// Every year in it put ahead, which is what a clock that was set back since looks like.
fn in_years_to_come(text: &str) -> String {
    let year = |number: &str| {
        number
            .parse()
            .is_ok_and(|year: u32| (2020..2100).contains(&year))
    };
    let mut text = text.to_owned();
    let mut at = 0;
    while let Some(found) = text[at..].find("_at = ") {
        at += found + "_at = ".len();
        assert!(year(&text[at..at + 4]), "{text}");
        text.replace_range(at..at + 4, "2101");
    }
    text
}

#[test]
fn a_clock_that_was_set_back_between_two_runs_changes_nothing() {
    in_every_mode(clock_set_back);
}

fn clock_set_back(mode: Mode) {
    let later = SystemTime::now() + Duration::from_hours(24 * 365);
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let file = Source::write(home.tree().join("long.mov"), 2 * PART, 7);
    set_modified(&file.path, later);
    server.hold_part(2, 1);
    let mut run = home.up(&["--parts", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    run.interrupt().assert_code(130);
    server.release();
    server.wait_until_hung_up();
    let session = home.session();
    let text = fs::read_to_string(&session).unwrap();
    let ahead = in_years_to_come(&text);
    assert!(ahead.contains("begun_at = 2101"), "{ahead}");
    fs::write(&session, ahead).unwrap();
    set_modified(&session, later);
    home.resume(&[]).end().assert_code(0);
    assert_arrived(&server, &[file]);
    home.run(["sessions"]).assert_code(0);
}
