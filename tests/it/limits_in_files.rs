//! Numbers in the config and in session files that memory or time is spent by: one that is impossible is
//! a clear error, and nothing is opened, sent or changed by it; one that is merely large costs nothing.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::support::{Ended, Home, MIB, Mode, PART, Server, Source, an_hour_ago, edited};

/// Makes the program one that may use this much address space, in MiB: far more than it needs.
fn limit_memory(home: &mut Home, mib: u64) {
    let script = home.dir.path().join("limited");
    let (program, kib) = (home.program.display(), mib << 10);
    let text = format!("#!/bin/sh\nulimit -v {kib}\nexec '{program}' \"$@\"\n");
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    home.program = script;
}

/// A file without any bytes on the disk.
fn sparse(path: &Path, size: u64) {
    let file = fs::File::create(path).unwrap();
    file.set_len(size).unwrap();
    file.set_modified(an_hour_ago()).unwrap();
}

#[track_caller]
fn assert_told(ended: &Ended, code: i32, words: &[&str]) {
    assert!(!ended.output().contains("panicked"), "{}", ended.output());
    ended.assert_code(code);
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?}: {}", ended.stderr);
    }
}

#[test]
fn a_largest_part_below_the_smallest_is_an_error_of_the_config_and_no_panic() {
    for mode in Mode::ALL {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        sparse(&home.tree().join("film.mov"), 5 << 30);
        let config = mode.config(&server.url);
        let line = config.lines().count() + 1;
        home.write_config(&format!("{config}part_max = \"1B\"\n"));
        let place = format!("config.toml: line {line}, column 12: destination.it.part_max: ");
        for ended in [home.up_with(&[]).end(), home.run(["check"])] {
            assert_told(&ended, 2, &[&place, "5.0 MiB"]);
        }
        assert!(home.sessions().is_empty());
        assert!(server.report().requests.is_empty());
    }
}

#[test]
fn a_smallest_part_above_the_largest_of_the_vendor_is_an_error_of_the_config() {
    let server = Server::start();
    let home = Home::new(Mode::ApiVideoBytes, &server.url);
    let config = Mode::ApiVideoBytes.config(&server.url);
    home.write_config(&format!("{config}part_min = \"201MiB\"\n"));
    let ended = home.run(["check"]);
    let place = "line 6, column 12: destination.it.part_min: ";
    assert_told(&ended, 2, &[place, "200 MiB"]);
}

#[test]
fn a_file_that_needs_more_parts_than_there_may_be_fails_with_the_limit_named_and_no_panic() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    sparse(&home.tree().join("film.mov"), 5 << 30);
    let config = Mode::JwPlayer.config(&server.url);
    home.write_config(&format!("{config}part_min = \"1B\"\npart_max = \"1B\"\n"));
    let ended = home.up_with(&[]).end();
    assert_told(
        &ended,
        1,
        &[
            "it can't be split into 10000 parts or fewer",
            "raise part_max",
        ],
    );
    assert!(server.report().media.is_empty());
}

/// A session with one queued file and one that is half sent.
struct Stopped {
    server: Server,
    home: Home,
    files: Vec<Source>,
    session: PathBuf,
    text: String,
}

impl Stopped {
    fn new() -> Self {
        let server = Server::start();
        let home = Home::new(Mode::JwPlayer, &server.url);
        let files = [("a.mov", 1), ("b.mov", 2)]
            .map(|(name, seed)| Source::write(home.tree().join(name), 4 * PART, seed));
        server.line(8 * MIB);
        let mut run = home.up(&["--parts", "1", "--files", "1"]);
        run.wait_for_event("part");
        run.signal("INT");
        run.end().assert_code(130);
        server.line(0);
        let session = home.session();
        let text = edited(&session);
        Self {
            server,
            home,
            files: files.into(),
            session,
            text,
        }
    }

    /// The session with the upload `from` known by another id in all its tables.
    fn renumbered(&self, from: u32, to: u32) -> String {
        let text = self.text.replace(
            &format!("[[upload]]\nid = {from}\n"),
            &format!("[[upload]]\nid = {to}\n"),
        );
        text.replace(&format!("upload = {from}\n"), &format!("upload = {to}\n"))
    }

    /// Whatever opens this session says these words, and neither it nor the destination is changed.
    fn is_refused(&self, text: &str, words: &[&str]) {
        fs::write(&self.session, text).unwrap();
        let before = self.server.report().requests;
        let name = self.session.file_stem().unwrap().to_str().unwrap();
        let ended = self.home.resume(&[name]).end();
        assert_told(&ended, 2, words);
        let listed = self.home.run(["sessions"]);
        listed.assert_code(0);
        for word in words {
            assert!(listed.stdout.contains(word), "{word:?}: {}", listed.stdout);
        }
        assert_eq!(fs::read_to_string(&self.session).unwrap(), text);
        assert_eq!(self.server.report().requests, before);
    }

    /// As it was, or as it is now where that says nothing impossible, it is uploaded to its end.
    fn goes_on(&self, text: &str) {
        fs::write(&self.session, text).unwrap();
        self.home.resume(&[]).end().assert_code(0);
        self.server.report().assert_holds(&self.files);
        self.server.report().assert_nothing_twice();
    }
}

/// The line of the first table that says this, from 1.
fn line_of(text: &str, table: &str) -> String {
    let (before, _) = text.split_once(table).unwrap();
    format!("line {}, ", before.matches('\n').count() + 1)
}

#[test]
fn an_upload_id_that_is_impossible_is_told_with_its_line_and_takes_no_memory() {
    let mut stopped = Stopped::new();
    limit_memory(&mut stopped.home, 1024);
    for id in [9_000_001, u32::MAX] {
        let text = stopped.renumbered(2, id);
        let line = line_of(&text, &format!("[[upload]]\nid = {id}\n"));
        let named = format!("upload id {id} ");
        stopped.is_refused(&text, &[&line, &named, "8000000", "Correct the number"]);
    }
    stopped.goes_on(&stopped.text);
}

#[test]
fn wide_gaps_in_the_ids_take_no_memory() {
    let mut stopped = Stopped::new();
    limit_memory(&mut stopped.home, 768);
    stopped.goes_on(&stopped.renumbered(2, 7_999_999));
}

#[test]
fn a_part_beyond_the_plan_is_told_and_does_not_count_as_sent() {
    let stopped = Stopped::new();
    for (part, named) in [
        ("5", "part 5"),
        ("4000000000", "part 4000000000"),
        ("0", "from 1"),
    ] {
        let text = format!("{}[[log]]\nupload = 1\npart = {part}\n\n", stopped.text);
        let line = line_of(&text, &format!("[[log]]\nupload = 1\npart = {part}\n\n"));
        stopped.is_refused(&text, &[&line, named]);
    }
    stopped.goes_on(&stopped.text);
}

#[test]
fn a_plan_of_more_parts_than_any_destination_takes_is_told() {
    let stopped = Stopped::new();
    let size = 4 * PART;
    let table = format!("[[log]]\nupload = 1\nfile_size = {size}\nplan = [[1, {size}, 1]]\n\n");
    let text = format!("{}{table}", stopped.text);
    let named = format!("{size} parts");
    stopped.is_refused(&text, &[&line_of(&text, &table), &named, "1000000"]);
    stopped.goes_on(&stopped.text);
}

#[test]
fn receipts_beyond_the_plan_are_told() {
    let stopped = Stopped::new();
    for done in ["1-5", "1-4000000000"] {
        let table = format!("[[log]]\nupload = 1\nlost = \"{done}\"\n\n");
        let text = format!("{}{table}", stopped.text);
        let last = done.split_once('-').unwrap().1;
        let named = format!("part {last}");
        stopped.is_refused(&text, &[&line_of(&text, &table), &named]);
    }
    stopped.goes_on(&stopped.text);
}

#[test]
fn a_walk_id_after_which_there_is_no_other_is_told() {
    let stopped = Stopped::new();
    let table = "[[walk]]\nid = 4294967295\npaths = [\"/nowhere\"]\nover = true\n\n";
    let text = format!("{}{table}", stopped.text);
    stopped.is_refused(&text, &[&line_of(&text, table), "walk id 4294967295"]);
    stopped.goes_on(&stopped.text);
}
