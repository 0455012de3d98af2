//! What disks do to uploads: a disk or a folder that is away is waited for, one that hangs or gives errors
//! holds up nobody but its own files, and what goes on by itself loses nothing and sends nothing twice.

mod at_once;
mod away;
mod chaos;
mod errors;
mod hanging;
mod numbers;
mod switches;

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Ended, Home, Mode, Running, Server, Source, fuse::OddDisk, wait_for};

/// How many files are sent: of one alone nothing else says how its disk is.
const COUNTS: [u64; 2] = [1, 12];

/// A sandbox, and a home whose tree has a disk of switches in this folder. `None`, told loudly, where
/// that can't be done.
fn with_disk(at: &str) -> Option<(Server, Home, OddDisk)> {
    let server = Server::start();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    let disk = OddDisk::mount(&mut home, at)?;
    Some((server, home, disk))
}

/// A run of the tree whose first file is held in the middle; the others wait for it. Where there is no
/// other, its part failed instead, and waits for its second try.
fn amid_the_first(server: &Server, home: &Home, files: usize) -> Running {
    let up = ["--files", "1", "--parts", "1"];
    if files == 1 {
        server.script(&json!([{ "fault": "reset", "on": "part", "after": 0 }]));
        let run = home.up(&up);
        server.wait_until_met("reset");
        return run;
    }
    server.hold_parts();
    let run = home.up(&up);
    server.wait_until_held(1);
    run
}

/// Small files on a disk of switches.
fn takes(disk: &OddDisk, count: u64) -> Vec<Source> {
    (0..count)
        .map(|number| disk.write(&format!("take {number:02}.mov"), 1000 + number, number))
        .collect()
}

/// Small files in a folder of the tree.
fn local_takes(home: &Home, folder: &str, count: u64) -> Vec<Source> {
    let folder = home.tree().join(folder);
    (0..count)
        .map(|number| {
            let path = folder.join(format!("local {number:02}.mov"));
            Source::write(path, 2000 + number, 100 + number)
        })
        .collect()
}

/// Waits until so many files of [`local_takes`] have arrived, or the run has ended.
fn wait_for_local(server: &Server, run: &mut Running, count: usize) {
    wait_for("the local files", || {
        let report = server.report();
        let local = report.media.iter().filter(|media| media.complete);
        let local = local.filter(|media| media.title.starts_with("local"));
        (local.count() == count || !run.is_running()).then_some(())
    });
}

/// Waits until the log says that something waits for what is at this path, and the next line of progress
/// since when; or until the run has ended.
fn wait_until_said(run: &mut Running, path: &Path) {
    wait_for("words about what is waited for", || {
        (says_waiting(&run.errors(), path) || !run.is_running()).then_some(())
    });
    if run.is_running() {
        run.wait_for("progress that waits", |event| {
            event["event"] == "progress" && waits_since(event, path)
        });
    }
}

/// Whether a line of the log says that this is waited for.
fn says_waiting(log: &str, path: &Path) -> bool {
    let path = path.to_str().unwrap();
    let says = |line: &str| line.contains("waiting for") || line.contains("again when");
    log.lines().any(|line| says(line) && line.contains(path))
}

/// Whether this progress says since when this is waited for.
fn waits_since(progress: &Value, path: &Path) -> bool {
    let path = path.to_str().unwrap();
    let mut waits = progress["waits"].as_array().into_iter().flatten();
    waits.any(|wait| wait["what"].to_string().contains(path) && wait["since"].is_string())
}

/// Everything arrived once, none failed, and the log says what was waited for.
#[track_caller]
fn assert_waited(server: &Server, ended: &Ended, files: &[Source], path: &Path) {
    ended.assert_code(0);
    assert!(ended.named("failed").is_empty(), "{}", ended.stdout);
    assert!(says_waiting(&ended.stderr, path), "{}", ended.stderr);
    assert_arrived(server, files);
}

#[track_caller]
fn assert_arrived(server: &Server, files: &[Source]) {
    let report = server.report();
    report.assert_holds(files);
    report.assert_nothing_twice();
}
