//! Statuses that say something of one try and nothing of what was asked: the try is made again, once, and
//! the file arrives.

use serde_json::json;

use crate::support::{Home, MIB, Mode, PART, Server, Source, side_by_side};

/// A proxy that lost patience, a connection meant for another host, a lock, a request that came too early,
/// a client that is said to have hung up.
const PASSING: [u16; 5] = [408, 421, 423, 425, 499];

fn cases() -> impl Iterator<Item = (Mode, u16)> {
    let of_a_mode = |mode| PASSING.map(|status| (mode, status));
    Mode::ALL.into_iter().flat_map(of_a_mode)
}

#[test]
fn a_status_that_says_nothing_of_the_request_is_tried_again_once_at_each_step() {
    side_by_side(cases(), |(mode, status)| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let steps: &[&str] = if mode.is_jwplayer() {
            &["create", "part", "complete", "list"]
        } else {
            &["create", "part"]
        };
        let write = |name: &str, size, seed| {
            let path = home.tree().join(format!("{name}.mov"));
            Source::write(path, size, seed)
        };
        let seeds = 1..;
        let of_a_step = steps.iter().zip(seeds);
        let mut files: Vec<Source> = of_a_step
            .map(|(step, seed)| write(step, 2 * PART + 77, seed))
            .collect();
        let strike = |file: &Source, step: &str| json!({ "fault": "status", "status": status, "on": step, "file": file.title() });
        let mut faults: Vec<_> = files
            .iter()
            .zip(steps)
            .map(|(file, step)| strike(file, step))
            .collect();
        // A file of one part, which JW Player takes in another way.
        let small = write("small", MIB, 9);
        faults.push(strike(&small, "part"));
        files.push(small);
        server.script(&json!(faults));

        let ended = home.up(&["--retries", "1"]).end();
        ended.assert_code(0);
        server.assert_all_struck();
        let retried = ended.named("retrying");
        assert_eq!(retried.len(), files.len(), "{retried:#?}");
        let names_it = |event: &serde_json::Value| {
            let message = event["error"]["message"].as_str().unwrap();
            message.contains(&status.to_string())
        };
        assert!(retried.iter().all(names_it), "{retried:#?}");
        server.report().assert_holds(&files);
        server.report().assert_nothing_twice();
    });
}
