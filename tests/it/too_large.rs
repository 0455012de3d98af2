//! A part that a proxy or a storage refuses as too large (413): the part size is named as the cure, no other
//! part as large goes out, and the file arrives in smaller ones, as far as it can be split anew.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Home, MIB, Mode, Server, Source, in_every_mode};

/// How large parts are, unless that is too much.
const LARGE: u64 = 20 * MIB;

/// What the proxy takes: half of such a part, and what goes around it.
const TAKEN: u64 = 12 * MIB;

/// Has everything refused that is sent as part of a file and is larger than this.
fn refuse(server: &Server, above: u64) {
    server.script(&json!([
        { "fault": "status", "status": 413, "on": "part", "above": above, "times": 1_000_000 },
    ]));
}

fn up(home: &Home, parts: &str) -> crate::support::Running {
    let pace = ["--part-size", "20MiB", "--retries", "0", "--files", "1"];
    home.up_with(&[&pace[..], &["--parts", parts]].concat())
}

fn write(home: &Home, name: &str, size: u64, seed: u64) -> Source {
    Source::write(home.tree().join(name), size, seed)
}

#[test]
fn parts_that_are_too_large_are_refused_once_and_every_file_arrives_in_smaller_ones() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let files = [
            write(&home, "a.mov", 4 * LARGE + 77, 1),
            write(&home, "b.mov", 2 * LARGE, 2),
            // One part, which JW Player takes in another way.
            write(&home, "c.mov", 15 * MIB, 3),
        ];
        refuse(&server, TAKEN);
        let ended = up(&home, "2").end();
        ended.assert_code(0);
        let refused = server.met("status");
        assert!((1..=2).contains(&refused), "{refused} parts were too large");
        server.report().assert_holds(&files);
        server.report().assert_nothing_twice();
        let told = ended.named("retrying");
        let names_the_cure = |event: &Value| {
            let message = event["error"]["message"].as_str().unwrap();
            message.contains("20.0 MiB is more than 127.0.0.1")
                && message.contains("(413): parts are 10.0 MiB at most from now on")
        };
        assert!(told.iter().any(names_the_cure), "{told:#?}");
        assert!(ended.named("failed").is_empty(), "{}", ended.stdout);
    });
}

#[test]
fn a_file_of_one_part_that_is_too_large_arrives_in_several() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let file = write(&home, "film.mov", 18 * MIB, 1);
        refuse(&server, TAKEN);
        up(&home, "2").end().assert_code(0);
        assert_eq!(server.met("status"), 1);
        server.report().assert_holds(&[file]);
        server.report().assert_nothing_twice();
    });
}

#[test]
fn the_size_is_halved_until_it_is_taken() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let file = write(&home, "film.mov", 2 * LARGE + 77, 1);
        refuse(&server, 6 * MIB);
        up(&home, "1").end().assert_code(0);
        // Of 20 MiB, and of 10.
        assert_eq!(server.met("status"), 2);
        server.report().assert_holds(&[file]);
    });
}

/// Kills a run in the middle of the second of the smaller parts. After that nothing is refused.
fn kill_amid_smaller_parts(server: &Server, home: &Home) {
    refuse(server, TAKEN);
    server.hold_part(2, 1);
    let mut run = up(home, "1");
    run.wait_for_event("part");
    server.wait_until_held(1);
    assert!(run.kill().0);
    server.release();
    server.wait_until_hung_up();
    server.no_faults();
}

#[test]
fn a_run_that_is_killed_and_resumed_sends_no_part_that_was_too_large_before() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let files = [
            write(&home, "a.mov", 4 * LARGE + 77, 1),
            write(&home, "b.mov", 2 * LARGE, 2),
        ];
        kill_amid_smaller_parts(&server, &home);
        refuse(&server, TAKEN);
        home.resume(&[]).end().assert_code(0);
        assert_eq!(server.met("status"), 0, "a part was too large again");
        server.report().assert_holds(&files);
    });
}

#[test]
fn a_part_size_that_a_person_sets_anew_is_tried() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = write(&home, "film.mov", 4 * LARGE, 1);
    kill_amid_smaller_parts(&server, &home);
    let before = server.report().requests["jwplayer"]["part"];
    home.resume(&["--part-size", "60MiB"]).end().assert_code(0);
    server.report().assert_holds(&[file]);
    let parts = server.report().requests["jwplayer"]["part"] - before;
    assert!(parts <= 3, "{parts} parts");
}

#[test]
fn what_can_not_be_split_anew_fails_with_its_price_and_arrives_when_it_is_started_over() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let file = write(&home, "film.mov", 6 * LARGE, 1);
        // All parts arrive but the first, which is still to be sent when the proxy takes less.
        server.hold_part(1, 1);
        let mut run = up(&home, "2");
        for _ in 2..=6 {
            run.wait_for_event("part");
        }
        server.wait_until_held(1);
        assert!(run.kill().0);
        server.release();
        server.wait_until_hung_up();
        server.no_faults();
        refuse(&server, TAKEN);
        let ended = home.resume(&[]).end();
        ended.assert_code(1);
        assert_eq!(server.met("status"), 1);
        let failed = ended.named("failed");
        assert_eq!(failed.len(), 1, "{failed:#?}");
        let [message, next_step] = ["message", "next_step"].map(|key| failed[0][key].as_str());
        let message = message.unwrap();
        for words in [
            "part 1: 20.0 MiB is more than",
            "10.0 MiB at most",
            "100 MiB again",
        ] {
            assert!(message.contains(words), "{words}: {message}");
        }
        assert!(next_step.unwrap().contains("part_size"), "{failed:#?}");
        home.resume(&["--start-over"]).end().assert_code(0);
        assert_eq!(server.met("status"), 1, "a part was too large again");
        server.report().assert_holds(&[file]);
    });
}

#[test]
fn where_the_smallest_part_is_too_large_one_is_refused_and_what_is_smaller_arrives() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        write(&home, "a.mov", LARGE, 1);
        write(&home, "b.mov", LARGE, 2);
        let small = write(&home, "c.mov", MIB / 2, 3);
        refuse(&server, MIB);
        let ended = home
            .up(&["--parts", "1", "--files", "1", "--retries", "0"])
            .end();
        ended.assert_code(1);
        assert_eq!(server.met("status"), 1);
        let failed = ended.named("failed");
        assert_eq!(failed.len(), 2, "{failed:#?}");
        for event in &failed {
            let message = event["message"].as_str().unwrap();
            assert!(
                message.contains("parts may not be smaller than 5.0 MiB"),
                "{message}"
            );
        }
        let report = server.report();
        assert_eq!(report.one(&small.title()).state, "ready");
        // The proxy was mended: another run finds that out.
        server.no_faults();
        home.resume(&["--retry-failed"]).end().assert_code(0);
        assert_eq!(server.report().there().len(), 3);
    });
}

#[test]
fn what_is_known_of_the_largest_part_is_in_the_session() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    write(&home, "film.mov", 2 * LARGE, 1);
    refuse(&server, TAKEN);
    up(&home, "2").end().assert_code(0);
    let session = fs::read_to_string(home.session()).unwrap();
    assert!(session.contains("part_most = 10485760"), "{session}");
}
