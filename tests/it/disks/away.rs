//! A queued folder that is away for a while, and a disk that is unmounted while its mount point stays.

use std::{fs, path::Path};

use super::{assert_waited, takes, wait_until_said};
use crate::support::{
    Home, Mode, Running, Server, Source, disk::Disk, fuse::OddDisk, in_every_mode, wait_for,
};

/// How many files are sent: of one alone nothing else says how its disk is.
const COUNTS: [u64; 2] = [1, 40];

/// A run of the tree that has its first file in the middle, and all others before it.
fn amid_the_first(server: &Server, home: &Home) -> Running {
    server.hold_parts();
    let run = home.up(&["--files", "1", "--parts", "1"]);
    server.wait_until_held(1);
    run
}

/// The first part that comes is held, so that the file has not arrived; what it takes to read it again is
/// away once it fails.
fn fail_the_first(server: &Server) {
    server.script(&serde_json::json!([{ "fault": "reset", "on": "part", "after": 0 }]));
}

#[test]
fn a_queued_folder_that_is_away_for_a_while_is_waited_for() {
    in_every_mode(|mode| {
        for count in COUNTS {
            let server = Server::start();
            let home = Home::new(mode, &server.url);
            let files = super::local_takes(&home, "", count);
            folder_away(&server, &home, &files);
        }
    });
}

fn folder_away(server: &Server, home: &Home, files: &[Source]) {
    let elsewhere = home.dir.path().join("elsewhere");
    let mut run = if files.len() == 1 {
        // Its only part is refused, and has to be read again.
        fail_the_first(server);
        before_it_is_tried_again(server, home)
    } else {
        amid_the_first(server, home)
    };
    fs::rename(home.tree(), &elsewhere).unwrap();
    server.release();
    wait_until_said(&mut run, &home.tree());
    fs::rename(&elsewhere, home.tree()).unwrap();
    assert_waited(server, &run.end(), files, &home.tree());
}

/// A run whose part was refused, and waits for its second try.
fn before_it_is_tried_again(server: &Server, home: &Home) -> Running {
    let run = home.up(&["--files", "1", "--parts", "1"]);
    server.wait_until_met("reset");
    run
}

#[test]
fn a_disk_whose_mount_point_stays_is_waited_for() {
    for count in COUNTS {
        let server = Server::start();
        let mut home = Home::new(Mode::JwPlayer, &server.url);
        let Some(disk) = OddDisk::mount(&mut home, "tree") else {
            return;
        };
        let files = takes(&disk, count);
        let tree = home.tree();
        let (away, back) = (|| disk.unmount(), || assert!(disk.remount()));
        disk_away(&server, &home, &files, &tree, away, back);
    }
}

/// It is found again by what it holds, though the whole disk that is waited for lies below what was queued.
#[test]
fn a_disk_below_the_queued_folder_is_waited_for_and_the_others_go_on() {
    let server = Server::start();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    let Some(disk) = OddDisk::mount(&mut home, "tree/a disk") else {
        return;
    };
    let mut files = takes(&disk, 10);
    files.extend(super::local_takes(&home, "b local", 10));
    let mut run = amid_the_first(&server, &home);
    disk.unmount();
    server.release();
    wait_until_said(&mut run, &disk.at);
    let local = || {
        let report = server.report();
        let there = report.media.iter().filter(|media| media.complete);
        (there
            .filter(|media| media.title.starts_with("local"))
            .count()
            == 10
            || !run.is_running())
        .then_some(())
    };
    wait_for("the files of the other disk", local);
    assert!(disk.remount());
    assert_waited(&server, &run.end(), &files, &disk.at);
}

#[test]
fn a_real_disk_that_is_unmounted_is_waited_for() {
    for count in COUNTS {
        let server = Server::start();
        let mut home = Home::new(Mode::JwPlayer, &server.url);
        let files = super::local_takes(&home, "", count);
        let image = home.dir.path().join("disk.img");
        let make = format!(
            "truncate -s 16M '{0}' && mkfs.ext4 -q -d \"$1\" '{0}' && mount -o loop '{0}' \"$1\"",
            image.display()
        );
        let Some(disk) = Disk::mount(&mut home, "tree", &make) else {
            return;
        };
        // What the mount point would show instead.
        for file in &files {
            fs::remove_file(&file.path).unwrap();
        }
        let tree = home.tree();
        let back = || disk.run(&format!("mount -o loop '{}' \"$1\"", image.display()));
        let away = || disk.run("umount --lazy \"$1\"");
        disk_away(&server, &home, &files, &tree, away, back);
    }
}

fn disk_away(
    server: &Server,
    home: &Home,
    files: &[Source],
    at: &Path,
    away: impl Fn(),
    back: impl Fn(),
) {
    let mut run = if files.len() == 1 {
        fail_the_first(server);
        before_it_is_tried_again(server, home)
    } else {
        amid_the_first(server, home)
    };
    away();
    server.release();
    wait_until_said(&mut run, at);
    back();
    assert_waited(server, &run.end(), files, at);
}
