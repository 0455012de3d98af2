//! Whatever stops the program, and whenever: what is resumed arrives whole and once, and nothing that
//! the server has acknowledged is sent again.
//!
//! `REELHAUL_CHAOS=1000` kills that often instead of ten times, tree after tree; `REELHAUL_SEED` repeats the moments
//! of a run that failed.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use crate::support::{Home, MIB, Mode, PART, Server, Source};
use serde_json::json;

/// Parts in flight in these runs.
const PARTS: u64 = 3;

/// How often a run is killed before it may end.
const KILLS: u64 = 10;

/// How many runs there are, each with a tree of its own: as many as the kills asked for take.
fn runs() -> u64 {
    let asked = std::env::var("REELHAUL_CHAOS").ok();
    asked.map_or(1, |kills| kills.parse::<u64>().unwrap().div_ceil(KILLS))
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

/// Kills again and again, each time after a random while, and then lets it end. Faults that a script
/// names strike on the way.
fn killed_again_and_again(mode: Mode, faulty: bool) {
    let mut random = moments(&format!("{mode:?}, faults: {faulty}"));
    for _ in 0..runs() {
        killed_and_resumed(mode, faulty, &mut random);
    }
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
    killed_again_and_again(Mode::JwPlayer, false);
}

#[test]
fn killed_again_and_again_it_arrives_once_at_apivideo_by_byte_ranges() {
    killed_again_and_again(Mode::ApiVideoBytes, false);
}

#[test]
fn killed_again_and_again_it_arrives_once_at_apivideo_by_parts() {
    killed_again_and_again(Mode::ApiVideoPart, false);
}

#[test]
fn killed_among_faults_it_arrives_once_at_jwplayer() {
    killed_again_and_again(Mode::JwPlayer, true);
}

#[test]
fn killed_among_faults_it_arrives_once_at_apivideo_by_byte_ranges() {
    killed_again_and_again(Mode::ApiVideoBytes, true);
}

#[test]
fn killed_among_faults_it_arrives_once_at_apivideo_by_parts() {
    killed_again_and_again(Mode::ApiVideoPart, true);
}

/// A run that is in the midst of sending one large file, slowly.
fn amid_sending(mode: Mode) -> (Server, Home, Source, crate::support::Running) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let file = Source::write(home.tree().join("long.mov"), 8 * PART + 77, 7);
    server.line(6 * MIB);
    let mut run = home.up(&["--parts", "2"]);
    run.wait_for_event("part");
    (server, home, file, run)
}

/// Resumes to the end and holds what arrived against the file.
fn resumes_to_the_end(server: &Server, home: &Home, file: &Source, sent_before: u64) {
    server.wait_until_hung_up();
    server.report().assert_nothing_twice();
    server.line(0);
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

#[test]
fn an_interrupt_lets_parts_in_flight_end_and_saves() {
    for (mode, signal) in Mode::ALL.into_iter().zip(["INT", "TERM", "INT"]) {
        let (server, home, file, run) = amid_sending(mode);
        run.signal(signal);
        let ended = run.end();
        ended.assert_code(130);
        let sent = ended.summary()["bytes"]["sent"].as_u64().unwrap();
        assert!((PART..file.size).contains(&sent), "{sent}");
        // Those in flight came to their end: nothing of what was sent is lost.
        server.wait_until_hung_up();
        assert_eq!(server.report().wasted(), 0, "{mode:?}");
        assert!(ended.stderr.contains("reelhaul resume"), "{}", ended.stderr);
        resumes_to_the_end(&server, &home, &file, sent);
        assert_eq!(server.report().wasted(), 0, "{mode:?}");
    }
}

#[test]
fn a_second_interrupt_ends_it_at_once_and_it_is_saved_all_the_same() {
    for mode in Mode::ALL {
        let (server, home, file, run) = amid_sending(mode);
        // From now on no part in flight can come to its end within the time it is given.
        server.line(100 * 1024);
        run.signal("INT");
        let begun = Instant::now();
        run.signal("INT");
        // A signal that arrives before the first was taken is the same signal: send until it is.
        let mut run = run;
        while run.is_running() && begun.elapsed() < Duration::from_secs(10) {
            run.signal("INT");
            sleep(Duration::from_millis(20));
        }
        let ended = run.end();
        ended.assert_code(130);
        assert!(begun.elapsed() < Duration::from_secs(10), "it waited");
        server.line(0);
        let sent = ended.summary()["bytes"]["sent"].as_u64().unwrap();
        resumes_to_the_end(&server, &home, &file, sent);
    }
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
