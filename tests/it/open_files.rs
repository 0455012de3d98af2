//! Too few open files fail no film: the limit is raised as far as it may be, no more parts go out than fit,
//! and what finds no room all the same is tried again without a word against the file.

use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::Path,
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::{
    Home, MIB, Mode, PART, Running, Server, Source, an_hour_ago, in_every_mode, wait_for,
};

/// Makes the program one that starts with these limits of open files.
fn limit(home: &mut Home, limits: &str) {
    let script = home.dir.path().join("limited");
    let program = home.program.display();
    let text = format!("#!/bin/sh\n{limits}\nexec '{program}' \"$@\"\n");
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    home.program = script;
}

/// Films that are all of one part, and of which no two are the same.
fn films(tree: &Path, count: u64) -> Vec<Source> {
    let write = |number| Source::write(tree.join(format!("{number:03}.mov")), MIB, number);
    (1..=count).map(write).collect()
}

#[test]
fn more_parts_than_open_files_allow_all_arrive_and_it_is_said_how_many_go_at_once() {
    let server = Server::start();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    limit(&mut home, "ulimit -n 256");
    let films = films(&home.tree(), 160);
    // Long enough that as many as may be are under way at once.
    server.latency(300);
    let ended = home.up(&["--parts", "128", "--files", "128"]).end();
    ended.assert_code(0);
    server.report().assert_holds(&films);
    server.report().assert_nothing_twice();
    let said = "128 parts at once need 448 open files, and this login allows 256: 32 parts at once";
    assert_eq!(ended.stderr.matches(said).count(), 1, "{}", ended.stderr);
}

#[test]
fn many_parts_of_one_film_arrive_where_few_files_may_be_open() {
    let server = Server::start();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    limit(&mut home, "ulimit -n 80");
    let path = home.tree().join("film.mov");
    let file = fs::File::create(&path).unwrap();
    file.set_len(64 * PART).unwrap();
    file.write_all_at(b"film", 0).unwrap();
    file.set_modified(an_hour_ago()).unwrap();
    server.latency(300);
    let ended = home.up(&["--parts", "64"]).end();
    ended.assert_code(0);
    let report = server.report();
    assert!(report.one("film").complete);
    report.assert_nothing_twice();
}

#[test]
fn a_low_limit_is_raised_where_the_system_allows_more() {
    let server = Server::start();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    limit(&mut home, "ulimit -Sn 60");
    let films = films(&home.tree(), 60);
    server.latency(300);
    let ended = home.up(&["--parts", "64", "--files", "64"]).end();
    ended.assert_code(0);
    server.report().assert_holds(&films);
    assert!(!ended.stderr.contains("open files"), "{}", ended.stderr);
}

/// Has a run open nothing more: what it has open stays so. Returns what it was allowed before.
fn open_nothing_more(run: &Running) -> Rlimit {
    let limits = fs::read_to_string(format!("/proc/{}/limits", run.process())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(4)?.parse().ok());
    set_limit(
        run,
        Rlimit {
            current: Some(3),
            maximum: hard,
        },
    )
}

fn set_limit(run: &Running, limit: Rlimit) -> Rlimit {
    let pid = Pid::from_raw(run.process().try_into().unwrap());
    prlimit(pid, Resource::Nofile, limit).unwrap()
}

fn wait_until_it_finds_no_room(run: &Running) {
    wait_for("a file that finds no room", || {
        let errors = run.errors();
        errors.contains("Too many open files").then_some(())
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_part_that_finds_no_open_file_to_spare_waits_and_nothing_in_flight_is_dropped() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("film.mov"), 16 * PART + 77, 1);
        server.hold_part(2, 1);
        // The others take long enough that some are still to come.
        server.latency(500);
        let run = home.up(&["--parts", "2", "--retries", "0"]);
        server.wait_until_held(1);
        let before = open_nothing_more(&run);
        wait_until_it_finds_no_room(&run);
        set_limit(&run, before);
        server.latency(0);
        server.release();
        let ended = run.end();
        ended.assert_code(0);
        assert!(ended.named("failed").is_empty(), "{}", ended.stdout);
        let report = server.report();
        report.assert_holds(&[film]);
        report.assert_nothing_twice();
        assert_eq!(report.wasted(), 0, "{:#?}", report.media);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_film_whose_turn_comes_when_no_open_file_is_to_spare_waits() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = [("a.mov", 1), ("b.mov", 2)];
        let films = films.map(|(name, seed)| Source::write(home.tree().join(name), MIB, seed));
        server.hold_part(1, 1);
        let run = home.up(&["--parts", "1", "--files", "1", "--retries", "0"]);
        server.wait_until_held(1);
        let before = open_nothing_more(&run);
        server.release();
        wait_until_it_finds_no_room(&run);
        set_limit(&run, before);
        let ended = run.end();
        ended.assert_code(0);
        assert!(ended.named("failed").is_empty(), "{}", ended.stdout);
        server.report().assert_holds(&films);
        server.report().assert_nothing_twice();
    });
}
