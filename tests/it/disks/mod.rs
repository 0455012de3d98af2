//! What disks do to uploads: a disk or a folder that is away is waited for, one that hangs or gives errors
//! holds up nobody but its own files, and what goes on by itself loses nothing and sends nothing twice.

mod away;
mod switches;

use std::path::Path;

use crate::support::{Ended, Home, Running, Server, Source, fuse::OddDisk, wait_for};

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

/// Waits until the log says that something waits for what is at this path, or the run has ended.
fn wait_until_said(run: &mut Running, path: &Path) {
    wait_for("words about what is waited for", || {
        (says_waiting(&run.errors(), path) || !run.is_running()).then_some(())
    });
}

/// Whether a line of the log says that this is waited for, and since when.
fn says_waiting(log: &str, path: &Path) -> bool {
    let path = path.to_str().unwrap();
    log.lines()
        .any(|line| line.contains("wait") && line.contains(path) && line.contains("since"))
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
