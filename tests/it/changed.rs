//! A file that changes under way, or between two runs, is never sent as a mix of old and new bytes:
//! it is told, and the others go on.

use std::{fs, io::Write as _, os::unix::fs::MetadataExt as _, path::Path};

use serde_json::json;

use crate::support::{
    Ended, Home, MIB, Mode, PART, Running, Server, Source, in_every_mode, side_by_side,
};

/// What can happen to a file, with the kind of failure it has to become.
const CHANGES: [(&str, &str); 5] = [
    ("rewritten", "changed"),
    ("grown", "changed"),
    ("truncated", "changed"),
    ("emptied", "changed"),
    ("vanished", "local"),
];

fn change(path: &Path, how: &str) {
    let open = || fs::OpenOptions::new().write(true).open(path).unwrap();
    match how {
        "rewritten" => {
            let size = fs::metadata(path).unwrap().len();
            Source::write(path, size, 999);
        }
        "grown" => {
            let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"one more take").unwrap();
        }
        "truncated" => open().set_len(2 * PART + 17).unwrap(),
        "emptied" => open().set_len(0).unwrap(),
        "vanished" => fs::remove_file(path).unwrap(),
        _ => unreachable!(),
    }
}

/// A run that is in the middle of the first file, of which one part has arrived, two are held, and one
/// was not read yet; it has another file to send.
fn under_way(mode: Mode) -> (Server, Home, [Source; 2], Running) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let files = write_two(&home);
    let run = start(&server, &home);
    (server, home, files, run)
}

fn write_two(home: &Home) -> [Source; 2] {
    [
        Source::write(home.tree().join("a first.mov"), 3 * PART + 5, 1),
        Source::write(home.tree().join("b other.mov"), MIB, 2),
    ]
}

fn start(server: &Server, home: &Home) -> Running {
    server.hold_parts_but_the_first();
    let mut run = home.up(&["--files", "1", "--parts", "2"]);
    run.wait_for_event("part");
    server.wait_until_held(2);
    run
}

/// Interrupts it, and has the parts in flight arrive.
fn interrupted(server: &Server, home: &Home, run: Running) {
    home.interrupt(&run, &home.session(), "INT");
    server.release();
    run.end().assert_code(130);
}

/// The first file is told as this kind of failure and is not there; the other is.
fn assert_told(server: &Server, files: &[Source; 2], ended: &Ended, how: &str, kind: &str) {
    ended.assert_code(1);
    let failed = ended.named("failed");
    assert_eq!(failed.len(), 1, "{how}: {failed:#?}");
    assert_eq!(failed[0]["kind"], kind, "{how}: {failed:#?}");
    assert_eq!(crate::support::path_of(&failed[0]), files[0].path);
    assert!(!failed[0]["next_step"].as_str().unwrap().is_empty());
    let report = server.report();
    let first = report.one(&files[0].title());
    assert!(!first.complete, "{how}: a mix was completed: {first:#?}");
    let other = report.one(&files[1].title());
    assert_eq!(other.sha256.as_deref(), Some(&*files[1].sha256));
    let state = if kind == "changed" {
        "changed"
    } else {
        "failed"
    };
    let uploads = &ended.summary()["uploads"];
    assert_eq!((&uploads["done"], &uploads[state]), (&1.into(), &1.into()));
}

fn between_runs(mode: Mode) {
    side_by_side(&CHANGES, |(how, kind)| {
        let (server, home, files, run) = under_way(mode);
        assert!(run.kill().0);
        server.release();
        server.wait_until_hung_up();
        change(&files[0].path, how);
        let ended = home.resume(&[]).end();
        assert_told(&server, &files, &ended, how, kind);
        // It stays so: nothing is sent of it by going on once more.
        let before = server.report().bytes_received;
        home.resume(&["--retry-failed"]).end().assert_code(1);
        assert!(server.report().bytes_received - before < MIB, "{how}");
    });
}

fn under_way_itself(mode: Mode) {
    side_by_side(&CHANGES, |(how, kind)| {
        let (server, _home, files, run) = under_way(mode);
        change(&files[0].path, how);
        server.release();
        assert_told(&server, &files, &run.end(), how, kind);
    });
}

#[test]
fn a_file_that_changes_between_runs_is_not_gone_on_with_at_jwplayer() {
    between_runs(Mode::JwPlayer);
}

#[test]
fn a_file_that_changes_between_runs_is_not_gone_on_with_at_apivideo() {
    between_runs(Mode::ApiVideoBytes);
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_not_completed_at_jwplayer() {
    under_way_itself(Mode::JwPlayer);
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_not_completed_at_apivideo() {
    under_way_itself(Mode::ApiVideoPart);
}

#[test]
fn a_file_that_is_replaced_while_it_is_sent_is_not_mixed_with_the_other() {
    in_every_mode(|mode| {
        let (server, _home, files, run) = under_way(mode);
        replace(&files[0], 77);
        server.release();
        assert_told(&server, &files, &run.end(), "replaced", "changed");
    });
}

#[test]
fn a_copy_of_the_same_bytes_in_its_place_while_it_is_sent_is_gone_on_with() {
    in_every_mode(|mode| {
        let (server, home, files, run) = under_way(mode);
        replace(&files[0], 1);
        server.release();
        let ended = run.end();
        ended.assert_code(0);
        assert!(
            ended.stderr.contains("what was sent is compared with it"),
            "{}",
            ended.stderr
        );
        server.report().assert_holds(&files);
        server.report().assert_nothing_twice();
        assert_inode_saved(&home, &files[0]);
    });
}

/// The one session has the inode that the file has now.
#[track_caller]
fn assert_inode_saved(home: &Home, source: &Source) {
    let saved = fs::read_to_string(home.session()).unwrap();
    let inode = fs::metadata(&source.path).unwrap().ino();
    let line = format!("inode = {inode}\n");
    assert!(saved.contains(&line), "no {line} in {saved}");
}

#[test]
fn a_file_that_becomes_unreadable_while_it_is_sent_arrives_or_fails_and_the_rest_goes_on() {
    use std::os::unix::fs::PermissionsExt as _;
    in_every_mode(|mode| {
        let server = Server::start();
        let mut home = Home::new(mode, &server.url);
        home.be_mortal();
        let [first, other] = write_two(&home);
        home.hand_over();
        let allow = |mode| {
            fs::set_permissions(&first.path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let run = start(&server, &home);
        allow(0o000);
        server.release();
        let ended = run.end();
        let failed = ended.named("failed");
        ended.assert_code(i32::from(!failed.is_empty()));
        assert!(
            failed.iter().all(|event| event["kind"] == "local"),
            "{failed:#?}"
        );
        let sent = server.report();
        assert_eq!(
            sent.one(&other.title()).sha256.as_deref(),
            Some(&*other.sha256)
        );
        allow(0o644);
        if !failed.is_empty() {
            home.resume(&["--retry-failed"]).end().assert_code(0);
        }
        server.report().assert_holds(&[first, other]);
        server.report().assert_nothing_twice();
    });
}

/// Puts another file in its place that looks the same from outside: size, name and time.
fn replace(source: &Source, seed: u64) -> Source {
    let time = fs::metadata(&source.path).unwrap().modified().unwrap();
    let new = source.path.with_extension("new");
    let written = Source::write(&new, source.size, seed);
    let file = fs::OpenOptions::new().write(true).open(&new).unwrap();
    file.set_modified(time).unwrap();
    fs::rename(&new, &source.path).unwrap();
    written
}

#[test]
fn another_file_that_only_looks_the_same_is_found_out_by_its_bytes() {
    in_every_mode(|mode| {
        let (server, home, files, run) = under_way(mode);
        interrupted(&server, &home, run);
        replace(&files[0], 77);
        let ended = home.resume(&[]).end();
        assert_told(&server, &files, &ended, "replaced", "changed");
    });
}

#[test]
fn a_copy_of_the_same_bytes_in_its_place_is_gone_on_with() {
    in_every_mode(|mode| {
        let (server, home, files, run) = under_way(mode);
        interrupted(&server, &home, run);
        replace(&files[0], 1);
        home.resume(&[]).end().assert_code(0);
        server.report().assert_holds(&files);
        server.report().assert_nothing_twice();
    });
}

/// What is said when the bytes of a file are compared with those that were sent.
const COMPARED: &str = "what was sent is compared with it";

#[test]
fn a_copy_in_its_place_is_compared_once_and_not_by_every_run_that_follows() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let file = Source::write(home.tree().join("take.mov"), 5 * PART + 5, 1);
        server.hold_parts_but_the_first();
        let mut run = home.up(&["--parts", "1"]);
        run.wait_for_event("part");
        server.wait_until_held(1);
        interrupted(&server, &home, run);
        replace(&file, 1);

        server.no_faults();
        server.hold_parts();
        let run = home.resume(&[]);
        server.wait_until_held(1);
        home.interrupt(&run, &home.session(), "INT");
        server.release();
        let ended = run.end();
        ended.assert_code(130);
        assert_inode_saved(&home, &file);
        assert!(ended.stderr.contains(COMPARED), "{}", ended.stderr);

        let ended = home.resume(&[]).end();
        ended.assert_code(0);
        assert!(!ended.stderr.contains(COMPARED), "{}", ended.stderr);
        server.report().assert_holds(&[file]);
        server.report().assert_nothing_twice();
    });
}

#[test]
fn a_part_that_was_found_after_a_kill_is_known_by_its_bytes_when_a_copy_is_in_its_place() {
    side_by_side([Mode::ApiVideoBytes, Mode::ApiVideoPart], |mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let file = Source::write(home.tree().join("take.mov"), 4 * PART + 5, 1);
        // All of the first part comes in, and is stored when nobody waits for the answer.
        server.script(&json!([{ "fault": "late", "on": "part", "part": 1 }]));
        let run = home.up(&["--parts", "1"]);
        server.wait_until_late(1);
        assert!(run.kill().0);
        server.do_what_is_late();
        server.wait_until_hung_up();
        let part = |server: &Server| server.report().one(&file.title()).parts[0].acknowledged;
        assert_eq!(part(&server), 1, "it never arrived");
        let saved = fs::read_to_string(home.session()).unwrap();
        assert!(!saved.contains("part = 1"), "its answer came: {saved}");

        // The next run finds it there, and sends another.
        server.no_faults();
        server.hold_parts();
        let run = home.resume(&[]);
        server.wait_until_held(1);
        interrupted(&server, &home, run);
        replace(&file, 1);
        home.resume(&[]).end().assert_code(0);
        server.report().assert_holds(&[file]);
        server.report().assert_nothing_twice();
    });
}
