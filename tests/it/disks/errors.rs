//! A disk that gives errors: of all its files, it is waited for; of one file alone, that file fails.

use std::fs;

use fuser::Errno;

use super::{
    COUNTS, amid_the_first, assert_arrived, assert_waited, takes, wait_until_said, with_disk,
};
use crate::support::{
    Ended, Server, Source,
    fuse::{Call, Trouble},
    path_of, side_by_side,
};

#[test]
fn a_disk_that_gives_errors_for_all_its_files_is_waited_for() {
    let reads: &[Call] = &[Call::Read];
    let troubles = [
        (Errno::EIO, reads),
        (Errno::ESTALE, &Call::ALL),
        (Errno::ENOTCONN, &Call::ALL),
    ];
    let cases = troubles
        .into_iter()
        .flat_map(|trouble| COUNTS.map(|count| (trouble, count)));
    side_by_side(cases, |((errno, calls), count)| {
        let Some((server, home, disk)) = with_disk("tree") else {
            return;
        };
        let files = takes(&disk, count);
        let mut run = amid_the_first(&server, &home, files.len());
        disk.strike(calls, Trouble::Fails(errno));
        server.release();
        wait_until_said(&mut run, &disk.at);
        disk.heal();
        assert_waited(&server, &run.end(), &files, &disk.at);
    });
}

/// How often something is tried after its first failure.
const RETRIES: &str = "2";

/// This file alone failed, and all others arrived.
#[track_caller]
fn assert_failed_alone(server: &Server, ended: &Ended, bad: &Source, files: &[Source]) {
    ended.assert_code(1);
    let failed = ended.named("failed");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(path_of(&failed[0]), bad.path);
    let name = bad.path.file_name().unwrap().to_str().unwrap();
    assert!(ended.stderr.contains(name), "{}", ended.stderr);
    let report = server.report();
    report.assert_nothing_twice();
    for file in files.iter().filter(|file| file.path != bad.path) {
        let media = report.one(&file.title());
        assert_eq!(media.sha256.as_deref(), Some(&*file.sha256));
    }
    let there = report.media.iter().filter(|media| media.complete).count();
    assert_eq!(there, files.len() - 1);
}

#[test]
fn one_file_that_can_not_be_read_fails_after_its_tries_and_the_others_arrive() {
    let Some((server, home, disk)) = with_disk("tree") else {
        return;
    };
    let files = takes(&disk, 12);
    let name = "take 05.mov";
    disk.strike_file(name, &[Call::Read], Trouble::Fails(Errno::EIO));
    let ended = home.up(&["--retries", RETRIES]).end();
    assert_failed_alone(&server, &ended, &files[5], &files);
    // The error of a moment is not the end of a file.
    let tries = disk.seen(name, Call::Open).len();
    assert!(tries >= 3, "{tries} tries");
    disk.heal();
    home.resume(&["--retry-failed"]).end().assert_code(0);
    assert_arrived(&server, &files);
}

#[test]
fn one_file_that_is_gone_from_a_folder_that_is_there_fails_and_the_others_arrive() {
    let Some((server, home, disk)) = with_disk("tree") else {
        return;
    };
    let files = takes(&disk, 12);
    let run = amid_the_first(&server, &home, files.len());
    let (name, aside) = ("take 05.mov", disk.stored("aside"));
    fs::rename(disk.stored(name), &aside).unwrap();
    server.release();
    assert_failed_alone(&server, &run.end(), &files[5], &files);
    fs::rename(&aside, disk.stored(name)).unwrap();
    home.resume(&["--retry-failed"]).end().assert_code(0);
    assert_arrived(&server, &files);
}

/// A disk that is mounted again may be there when its file is looked for, and was not when it was opened.
#[test]
fn one_file_that_is_there_again_when_it_is_looked_for_arrives() {
    let Some((server, home, disk)) = with_disk("tree") else {
        return;
    };
    let files = takes(&disk, 12);
    disk.fail_once("take 05.mov", &[Call::Open], Errno::ENOENT);
    let ended = home.up(&[]).end();
    assert_eq!(disk.struck(), 1);
    ended.assert_code(0);
    assert!(ended.named("failed").is_empty(), "{}", ended.stdout);
    assert_arrived(&server, &files);
}

#[test]
fn one_file_that_may_not_be_read_fails_and_the_others_arrive() {
    side_by_side([Errno::EACCES, Errno::EPERM, Errno::EINVAL], |errno| {
        let Some((server, home, disk)) = with_disk("tree") else {
            return;
        };
        let files = takes(&disk, 12);
        disk.strike_file("take 05.mov", &[Call::Open], Trouble::Fails(errno));
        let ended = home.up(&["--retries", RETRIES]).end();
        assert_failed_alone(&server, &ended, &files[5], &files);
        disk.heal();
        home.resume(&["--retry-failed"]).end().assert_code(0);
        assert_arrived(&server, &files);
    });
}
