//! A disk that comes back with other numbers: inodes, its own id, and coarser times. The files are the
//! same, and so nothing is sent twice.

use std::time::Duration;

use super::{amid_the_first, assert_arrived, local_takes, takes, with_disk};
use crate::support::{Home, MIB, Mode, PART, Server, Source, disk::Ext4, side_by_side};

/// How a program goes on when the disk is back.
#[derive(Debug, Clone, Copy)]
enum GoesOn {
    ByItself,
    ByResume,
}

const WAYS: [GoesOn; 2] = [GoesOn::ByItself, GoesOn::ByResume];

#[test]
fn files_that_come_back_under_other_inode_numbers_go_on() {
    side_by_side(WAYS, |how| {
        let Some((server, home, disk)) = with_disk("tree") else {
            return;
        };
        let mut files = takes(&disk, 3);
        files.push(disk.write("a film.mov", 3 * PART + 77, 7));
        let unmount = || disk.unmount();
        comes_back(&server, &home, how, unmount, || {
            disk.renumber();
            assert!(disk.remount());
        });
        assert_arrived(&server, &files);
        assert!(server.report().wasted() < MIB);
    });
}

#[test]
fn files_that_come_back_on_a_disk_with_another_id_go_on() {
    side_by_side(WAYS, |how| {
        let server = Server::start();
        let mut home = Home::new(Mode::JwPlayer, &server.url);
        let mut files = local_takes(&home, "", 3);
        let film = home.tree().join("a film.mov");
        files.push(Source::write(film, 3 * PART + 77, 7));
        let Some(disk) = Ext4::mount(&mut home, "tree") else {
            return;
        };
        let before = disk.id();
        let unmount = || disk.unmount();
        comes_back(&server, &home, how, unmount, || {
            disk.renew_id();
            disk.remount();
            assert_ne!(disk.id(), before);
        });
        assert_arrived(&server, &files);
        assert!(server.report().wasted() < MIB);
    });
}

/// The disk goes when one part of the first file has arrived and the second is held, and is another when it
/// comes back.
fn comes_back(
    server: &Server,
    home: &Home,
    how: GoesOn,
    unmount: impl FnOnce(),
    change: impl FnOnce(),
) {
    server.hold_parts_but_the_first();
    let mut run = home.up(&["--files", "1", "--parts", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    match how {
        GoesOn::ByItself => {
            unmount();
            server.release();
            change();
            run.end().assert_code(0);
        }
        GoesOn::ByResume => {
            home.interrupt(&run, &home.session(), "INT");
            server.release();
            run.end().assert_code(130);
            unmount();
            change();
            home.resume(&[]).end().assert_code(0);
        }
    }
}

#[test]
fn files_whose_times_are_told_less_finely_than_before_are_not_changed_for_ever() {
    let steps = [Duration::from_secs(2), Duration::from_micros(1)];
    let cases = steps
        .into_iter()
        .flat_map(|step| WAYS.map(|how| (step, how)));
    side_by_side(cases, |(step, how)| {
        let Some((server, home, disk)) = with_disk("tree") else {
            return;
        };
        let mut files = takes(&disk, 3);
        files.push(disk.write("a film.mov", 3 * PART + 77, 7));
        let unmount = || disk.unmount();
        comes_back(&server, &home, how, unmount, || {
            disk.cut_times(step);
            assert!(disk.remount());
        });
        assert_arrived(&server, &files);
    });
}

#[test]
fn a_disk_with_coarse_times_is_as_good_as_any() {
    let Some((server, home, disk)) = with_disk("tree") else {
        return;
    };
    disk.cut_times(Duration::from_secs(2));
    let files = takes(&disk, 3);
    let run = amid_the_first(&server, &home, files.len());
    disk.unmount();
    assert!(disk.remount());
    server.release();
    run.end().assert_code(0);
    assert_arrived(&server, &files);
}
