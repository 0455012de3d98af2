//! A queued folder that is away for a while, and a disk that is unmounted while its mount point stays.

use std::fs;

use super::{
    COUNTS, amid_the_first, assert_waited, local_takes, takes, wait_for_local, wait_until_said,
    with_disk,
};
use crate::support::{Home, Mode, Server, disk::Ext4, side_by_side};

#[test]
fn a_queued_folder_that_is_away_for_a_while_is_waited_for() {
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| COUNTS.map(|count| (mode, count)));
    side_by_side(cases, |(mode, count)| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let files = local_takes(&home, "", count);
        let elsewhere = home.dir.path().join("elsewhere");
        let mut run = amid_the_first(&server, &home, files.len());
        fs::rename(home.tree(), &elsewhere).unwrap();
        server.release();
        wait_until_said(&mut run, &home.tree());
        fs::rename(&elsewhere, home.tree()).unwrap();
        assert_waited(&server, &run.end(), &files, &home.tree());
    });
}

#[test]
fn a_disk_whose_mount_point_stays_is_waited_for() {
    side_by_side(COUNTS, |count| {
        let Some((server, home, disk)) = with_disk("tree") else {
            return;
        };
        let files = takes(&disk, count);
        let mut run = amid_the_first(&server, &home, files.len());
        disk.unmount();
        server.release();
        wait_until_said(&mut run, &disk.at);
        assert!(disk.remount());
        assert_waited(&server, &run.end(), &files, &disk.at);
    });
}

/// It is found again by what it holds, though the whole disk that is waited for lies below what was queued.
#[test]
fn a_disk_below_the_queued_folder_is_waited_for_and_the_others_go_on() {
    let Some((server, home, disk)) = with_disk("tree/a disk") else {
        return;
    };
    let mut files = takes(&disk, 10);
    files.extend(local_takes(&home, "b local", 10));
    let mut run = amid_the_first(&server, &home, files.len());
    disk.unmount();
    server.release();
    wait_until_said(&mut run, &disk.at);
    wait_for_local(&server, &mut run, 10);
    assert!(disk.remount());
    assert_waited(&server, &run.end(), &files, &disk.at);
}

#[test]
fn a_real_disk_that_is_unmounted_is_waited_for() {
    side_by_side(COUNTS, |count| {
        let server = Server::start();
        let mut home = Home::new(Mode::JwPlayer, &server.url);
        let files = local_takes(&home, "", count);
        let Some(disk) = Ext4::mount(&mut home, "tree") else {
            return;
        };
        let mut run = amid_the_first(&server, &home, files.len());
        disk.unmount();
        server.release();
        wait_until_said(&mut run, &home.tree());
        disk.remount();
        assert_waited(&server, &run.end(), &files, &home.tree());
    });
}
