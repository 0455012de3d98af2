//! Whatever stops the program, and whenever: what is resumed arrives whole and once, and nothing that
//! the server has acknowledged is sent again.
//!
//! It is killed at every step that matters, while requests are held and when faults strike. With
//! `REELHAUL_CHAOS=1000` it is killed that often at random moments besides, tree after tree;
//! `REELHAUL_SEED` repeats the moments of a run that failed.

use std::{thread::sleep, time::Duration};

use serde_json::{Value, json};

use crate::support::{Home, MIB, Mode, PART, Running, Server, Source, in_every_mode};

/// Parts in flight in these runs.
const PARTS: u64 = 3;

/// The points at which an upload can be killed, in the order in which it reaches them.
const POINTS: [&str; 7] = [
    "marker-saved",
    "created",
    "ticket-saved",
    "part-answered",
    "all-sent",
    "complete-answered",
    "completed",
];

/// A session that is killed, resumed and killed again: a life is what lies between.
struct Lives {
    server: Server,
    home: Home,
    files: Vec<Source>,
    number: u64,
    /// Kills and faults that may each have cost the parts in flight.
    costly: u64,
}

impl Lives {
    /// Files of these sizes, which go out in this order.
    fn new(mode: Mode, sizes: &[u64]) -> Self {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let file = |(number, size): (u64, &u64)| {
            let path = home.tree().join(format!("{number:02} take.mp4"));
            Source::write(path, *size, number)
        };
        let files = (0..).zip(sizes).map(file).collect();
        Self {
            server,
            home,
            files,
            number: 0,
            costly: 0,
        }
    }

    /// What starts the next life: the first command once more or a resume, in turn.
    fn next(&mut self, files: u64, parts: u64) -> Vec<String> {
        let tree = self.home.tree();
        let session = self.home.dir.path().join("killed.toml");
        let resumes = self.number % 2 == 1;
        self.number += 1;
        let [tree, session] = [tree, session].map(|path| path.to_str().unwrap().to_owned());
        let command = if resumes {
            format!("resume {session}")
        } else {
            format!("up {tree} --session {session} --part-size 5MiB")
        };
        let command = format!("{command} --json --files {files} --parts {parts}");
        command.split(' ').map(str::to_owned).collect()
    }

    /// One life, which ends where it reaches this point.
    fn killed_at(&mut self, point: &str, parts: u64) {
        let args = self.next(1, parts);
        eprintln!("life {}: killed at {point}", self.number);
        self.home.start_killed_at(point, args).end().assert_killed();
        self.server.wait_until_hung_up();
    }

    /// One life, which ends when so many requests are held. What the system has of them arrives.
    fn killed_while_held(&mut self, holds: &Value, count: u64) {
        self.server.script(holds);
        let args = self.next(2, PARTS);
        eprintln!("life {}: killed while held, {holds}", self.number);
        let run = self.home.start(args);
        self.server.wait_until_held(count);
        assert!(run.kill().0);
        self.costly += 1;
        self.server.release();
        self.server.wait_until_hung_up();
        self.server.no_faults();
    }

    /// One life, which ends at this point after this fault struck. There is one part in flight, so
    /// that nothing is there which the fault does not concern.
    fn killed_after(&mut self, fault: &str, on: &Value, point: &str) {
        let mut script = on.clone();
        script["fault"] = fault.into();
        self.server.script(&json!([script]));
        self.killed_at(point, 1);
        self.costly += 2;
        assert_eq!(self.server.met(fault), 1, "{fault} before {point}");
        self.server.no_faults();
    }

    /// The last life, which nothing ends: all is there, and no more was sent than had to be.
    fn ends(mut self) {
        let args = self.next(2, PARTS);
        let ended = self.home.start(args).end();
        ended.assert_code(0);
        let report = self.server.report();
        report.assert_holds(&self.files);
        report.assert_nothing_twice();
        let wasted = report.wasted();
        let allowed = self.costly * PARTS * PART;
        assert!(
            wasted <= allowed,
            "{wasted} bytes were wasted, of {allowed}"
        );
        let total: u64 = self.files.iter().map(|file| file.size).sum();
        let summary = ended.summary();
        assert_eq!(summary["uploads"]["done"], self.files.len(), "{summary}");
        assert_eq!(summary["bytes"]["total"], total);
    }
}

/// Kills at one point after another. What was killed late may be complete already, so that the next
/// point is reached by another file of the same kind.
fn killed_at_every_point(mode: Mode, sizes: &[u64; 3]) {
    let mut lives = Lives::new(mode, sizes);
    for point in POINTS {
        lives.killed_at(point, PARTS);
        lives.costly += u64::from(point == "part-answered");
        lives.server.report().assert_nothing_twice();
    }
    lives.ends();
}

/// Kills while the server holds a request of each kind.
fn killed_while_requests_are_held(mode: Mode) {
    let mut lives = Lives::new(mode, &[2 * PART + 77, PART + MIB]);
    let hold = |on: &str, times: u64| json!({ "fault": "hold", "on": on, "times": times });
    lives.killed_while_held(&json!([hold("create", 2)]), 2);
    // All of the first part came in, and its answer does not go out.
    let answer = json!({ "fault": "hold", "on": "part", "part": 1, "after": PART });
    lives.killed_while_held(&json!([answer, hold("part", 100)]), 3);
    lives.killed_while_held(&json!([hold("part", 100)]), 2);
    if mode.is_jwplayer() {
        lives.killed_while_held(&json!([hold("complete", 1)]), 1);
    }
    // How one vendor says what became of files is a list of them.
    let polled = if mode.is_jwplayer() { "find" } else { "status" };
    lives.killed_while_held(&json!([hold(polled, 1)]), 1);
    lives.server.report().assert_nothing_twice();
    lives.ends();
}

/// Kills in the moment in which a fault struck, and after it was overcome.
fn killed_among_faults(mode: Mode) {
    let mut lives = Lives::new(mode, &[2 * PART + 77, PART + MIB, MIB]);
    let create = json!({ "on": "create" });
    let part = |number: u64| json!({ "on": "part", "part": number });
    lives.killed_after("lost-answer", &create, "step-failed");
    lives.killed_after("reset", &part(1), "part-failed");
    lives.killed_after("error-after", &part(2), "part-failed");
    lives.killed_after("error-before", &part(3), "part-failed");
    // What has expired is had again at once.
    let expired = if mode.is_jwplayer() {
        "link-expired"
    } else {
        "token-expired"
    };
    lives.killed_after(expired, &part(3), "part-answered");
    if mode.is_jwplayer() {
        let complete = json!({ "on": "complete" });
        lives.killed_after("lost-answer", &complete, "step-failed");
    }
    // The first file is complete by now.
    lives.killed_after("error-after", &create, "step-failed");
    lives.killed_after("lost-answer", &part(1), "part-failed");
    // This one is overcome before the kill.
    lives.killed_after("error-before", &part(2), "completed");
    lives.ends();
}

#[test]
fn killed_while_requests_are_held_it_arrives_once() {
    in_every_mode(killed_while_requests_are_held);
}

/// Kills at every step, and at random moments where that is asked for.
fn killed_again_and_again(mode: Mode) {
    killed_at_every_point(mode, &[2 * PART + 77, PART + MIB, PART + 1]);
    // A file of one part goes another way, at one of the vendors.
    killed_at_every_point(mode, &[MIB, PART, 2 * MIB]);
    chaos(mode, false);
}

fn killed_again_and_again_among_faults(mode: Mode) {
    killed_among_faults(mode);
    chaos(mode, true);
}

/// How often a run is killed at random moments before it may end.
const KILLS: u64 = 10;

/// Kills at random moments, as often as `REELHAUL_CHAOS` says; a tree is killed ten times.
fn chaos(mode: Mode, faulty: bool) {
    let Ok(kills) = std::env::var("REELHAUL_CHAOS") else {
        return;
    };
    let mut random = moments(&format!("{mode:?}, faults: {faulty}"));
    for _ in 0..kills.parse::<u64>().unwrap().div_ceil(KILLS) {
        killed_and_resumed(mode, faulty, &mut random);
    }
}

/// Moments that differ with every run, and can be had again.
fn moments(test: &str) -> fastrand::Rng {
    let asked = std::env::var("REELHAUL_SEED").ok();
    let seed = asked.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("{test}: REELHAUL_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// Files of one part and of several, in turn, so that something is always made, sent and completed.
fn write_tree(home: &Home) -> Vec<Source> {
    let sizes = [17, 2, 11, 1, 23, 3, 12, 2, 16, 1, 6, 9];
    (0..)
        .zip(sizes)
        .map(|(number, mib)| {
            let path = home.tree().join(format!("{number:02} take.mp4"));
            Source::write(path, mib * MIB - number * 1001, number)
        })
        .collect()
}

fn killed_and_resumed(mode: Mode, faulty: bool, random: &mut fastrand::Rng) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let files = write_tree(&home);
    let session = home.dir.path().join("killed.toml");
    let session = session.to_str().unwrap();
    let parts = PARTS.to_string();

    // So slow that no run of lives this long can be through before the last kill.
    let total: u64 = files.iter().map(|file| file.size).sum();
    let longest = 1400;
    server.line(total * 1000 * 9 / 10 / (KILLS * (200 + longest) / 2));
    server.latency(5);

    let start = |life: u64| {
        if life % 2 == 1 && home.dir.path().join("killed.toml").exists() {
            home.start(["resume", session, "--json", "--parts", &parts])
        } else {
            home.up(&["--session", session, "--parts", &parts])
        }
    };
    let mut hits = 0;
    for life in 0..KILLS {
        if faulty {
            server.script(&some_faults(mode, random));
        }
        let run = start(life);
        sleep(Duration::from_millis(random.u64(20..longest)));
        let (was_running, said) = run.kill();
        hits += u64::from(was_running);
        for line in said.iter().filter(|line| line.contains("failed")) {
            eprintln!("life {life}: {line}");
        }
        server.wait_until_hung_up();
        if !faulty {
            server.report().assert_nothing_twice();
        }
    }
    assert!(
        hits * 10 >= KILLS * 7,
        "only {hits} of {KILLS} kills struck"
    );
    let strikes = if faulty { all_met(&server) } else { 0 };
    server.no_faults();

    server.line(0);
    server.latency(0);
    let ended = start(0).end();
    ended.assert_code(0);
    let report = server.report();
    report.assert_holds(&files);
    report.assert_nothing_twice();
    let wasted = report.wasted();
    let allowed = (hits * PARTS + strikes) * PART;
    assert!(
        wasted <= allowed,
        "{wasted} bytes were wasted, of {allowed}"
    );
    let summary = ended.summary();
    let bytes = &summary["bytes"];
    assert_eq!(summary["uploads"]["done"], files.len(), "{summary}");
    assert_eq!(bytes["total"], total);
    eprintln!("{hits} kills, {strikes} faults, {wasted} of {allowed} bytes wasted");
}

/// A few faults that strike one step or another, soon.
fn some_faults(mode: Mode, random: &mut fastrand::Rng) -> serde_json::Value {
    let mut scripts = Vec::new();
    for _ in 0..3 {
        // No part that arrives with other bytes is among them: JW Player gives no second link to
        // one that is there, so that a kill before it is mended leaves no way but to start over.
        let kinds: &[&str] = if mode.is_jwplayer() {
            &[
                "reset",
                "error-after",
                "lost-answer",
                "error-before",
                "link-expired",
            ]
        } else {
            &[
                "reset",
                "error-after",
                "lost-answer",
                "error-before",
                "token-expired",
            ]
        };
        let kind = *random.choice(kinds).unwrap();
        scripts.push(json!({ "fault": kind, "on": "part" }));
    }
    for step in ["create", "complete"] {
        let kind = *random.choice(&["lost-answer", "error-after"]).unwrap();
        scripts.push(json!({ "fault": kind, "on": step }));
    }
    scripts.into()
}

/// How often any fault was met; one has to be, however slow the machine is.
fn all_met(server: &Server) -> u64 {
    let kinds = [
        "reset",
        "error-after",
        "lost-answer",
        "error-before",
        "link-expired",
        "token-expired",
    ];
    let met = kinds.iter().map(|kind| server.met(kind)).sum();
    assert!(met > 0, "no fault was met");
    met
}

#[test]
fn killed_again_and_again_it_arrives_once_at_jwplayer() {
    killed_again_and_again(Mode::JwPlayer);
}

#[test]
fn killed_again_and_again_it_arrives_once_at_apivideo_by_byte_ranges() {
    killed_again_and_again(Mode::ApiVideoBytes);
}

#[test]
fn killed_again_and_again_it_arrives_once_at_apivideo_by_parts() {
    killed_again_and_again(Mode::ApiVideoPart);
}

#[test]
fn killed_among_faults_it_arrives_once_at_jwplayer() {
    killed_again_and_again_among_faults(Mode::JwPlayer);
}

#[test]
fn killed_among_faults_it_arrives_once_at_apivideo_by_byte_ranges() {
    killed_again_and_again_among_faults(Mode::ApiVideoBytes);
}

#[test]
fn killed_among_faults_it_arrives_once_at_apivideo_by_parts() {
    killed_again_and_again_among_faults(Mode::ApiVideoPart);
}

/// A run that is in the middle of one large file: the first part has arrived, and two are held.
fn amid_sending(mode: Mode, killed_at: &str) -> (Server, Home, Source, Running) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let file = Source::write(home.tree().join("long.mov"), 3 * PART + 77, 7);
    server.hold_parts_but_the_first();
    let tree = home.tree();
    let tree = tree.to_str().unwrap();
    let args = ["up", tree, "--json", "--part-size", "5MiB", "--parts", "2"];
    let mut run = home.start_killed_at(killed_at, args);
    run.wait_for_event("part");
    server.wait_until_held(2);
    (server, home, file, run)
}

/// Resumes to the end and holds what arrived against the file.
fn resumes_to_the_end(server: &Server, home: &Home, file: &Source, sent_before: u64) {
    server.report().assert_nothing_twice();
    let ended = home.resume(&[]).end();
    ended.assert_code(0);
    let report = server.report();
    report.assert_holds(std::slice::from_ref(file));
    report.assert_nothing_twice();
    let bytes = &ended.summary()["bytes"];
    assert_eq!(bytes["total"], file.size);
    assert!(
        bytes["sent"].as_u64().unwrap() + sent_before <= file.size,
        "sent before: {sent_before}, and now {bytes}"
    );
}

/// Parts that arrived whole.
fn arrived(server: &Server, file: &Source) -> usize {
    let report = server.report();
    let parts = &report.one(&file.title()).parts;
    parts.iter().filter(|part| part.acknowledged > 0).count()
}

#[test]
fn an_interrupt_lets_parts_in_flight_end_and_saves() {
    in_every_mode(|mode| {
        let (server, home, file, run) = amid_sending(mode, "never");
        let signal = if mode == Mode::ApiVideoBytes {
            "TERM"
        } else {
            "INT"
        };
        home.interrupt(&run, &home.session(), signal);
        assert_eq!(arrived(&server, &file), 1);
        server.release();
        let ended = run.end();
        ended.assert_code(130);
        // Those in flight came to their end, and no other started: nothing of what was sent is lost.
        server.wait_until_hung_up();
        assert_eq!(ended.summary()["bytes"]["sent"], 3 * PART);
        assert_eq!(arrived(&server, &file), 3);
        assert_eq!(server.report().wasted(), 0);
        assert!(ended.stderr.contains("reelhaul resume"), "{}", ended.stderr);
        resumes_to_the_end(&server, &home, &file, 3 * PART);
        assert_eq!(server.report().wasted(), 0);
    });
}

#[test]
fn a_second_interrupt_ends_it_at_once_and_it_is_saved_all_the_same() {
    in_every_mode(|mode| {
        // If it waits for those in flight until the time for that is over, it is killed there.
        let (server, home, file, run) = amid_sending(mode, "waited-in-vain");
        home.interrupt(&run, &home.session(), "INT");
        run.signal("INT");
        let ended = run.end();
        ended.assert_code(130);
        // Those in flight are held still.
        assert_eq!(arrived(&server, &file), 1);
        assert_eq!(ended.summary()["bytes"]["sent"], PART);
        server.release();
        server.wait_until_hung_up();
        resumes_to_the_end(&server, &home, &file, PART);
    });
}

#[test]
fn what_is_resumed_when_all_is_done_does_nothing() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("short.mov"), MIB, 7);
    home.up(&[]).end().assert_code(0);
    let before = server.report().requests;
    let name = home.session();
    let name = name.file_stem().unwrap().to_str().unwrap();
    home.resume(&[name]).end().assert_code(0);
    let report = server.report();
    report.assert_holds(&[file]);
    assert_eq!(
        report.requests["jwplayer"]["create"],
        before["jwplayer"]["create"]
    );
    assert_eq!(
        report.requests["jwplayer"]["part"],
        before["jwplayer"]["part"]
    );
    // Without a name there is none to go on with.
    let ended = home.resume(&[]).end();
    ended.assert_code(2);
    assert!(ended.stderr.contains("no session is unfinished"));
}
