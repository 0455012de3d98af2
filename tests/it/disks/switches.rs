//! The disk of switches does what its switches say.

use std::time::Duration;

use fuser::Errno;

use crate::support::{
    Home, Mode, PART, Server,
    fuse::{Call, OddDisk, Trouble},
};

#[test]
fn each_switch_of_the_disk_is_seen_by_a_program() {
    let mut home = Home::bare();
    let Some(disk) = OddDisk::mount(&mut home, "tree") else {
        return;
    };
    let file = disk.write("one/a film.mov", PART + 1, 1);
    let sum = || disk.ask("sha256sum 'one/a film.mov'");
    assert!(sum().starts_with(&file.sha256), "{}", sum());
    assert_eq!(disk.ask("ls one"), "a film.mov\n");
    let number = || disk.ask("stat -c %i 'one/a film.mov'");
    let before = number();
    disk.unmount();
    assert_eq!(disk.ask("ls"), "");
    disk.renumber();
    assert!(disk.remount());
    assert_ne!(number(), before);

    let time = || disk.ask("stat -c %y 'one/a film.mov'");
    disk.cut_times(Duration::from_secs(2));
    assert!(time().contains(".000000000 "), "{}", time());

    let name = "one/a film.mov";
    disk.strike_from(name, PART, Trouble::Fails(Errno::EIO));
    assert!(sum().contains("Input/output error"), "{}", sum());
    let read = disk.seen(name, Call::Read);
    assert!(read.iter().any(|seen| seen.offset == 0), "{read:?}");
    disk.heal();
    for (errno, words) in [
        (Errno::ESTALE, "Stale file handle"),
        (Errno::EPERM, "not permitted"),
    ] {
        disk.strike(&[Call::Open], Trouble::Fails(errno));
        assert!(sum().contains(words), "{}", sum());
        disk.heal();
    }
    disk.strike_file("one", &[Call::Look], Trouble::Fails(Errno::ENOTCONN));
    assert!(sum().contains("not connected"), "{}", sum());
    disk.heal();
    let list = disk.count(Call::List);
    disk.ask("ls one");
    assert_eq!(disk.count(Call::List), list + 1);

    // What hangs ends with whoever waits for it.
    disk.strike(&[Call::Read], Trouble::Hangs);
    let killed = disk.ask("timeout -s KILL 0.2 sha256sum 'one/a film.mov' || echo ended");
    assert!(killed.contains("ended"), "{killed}");
    std::thread::scope(|scope| {
        let reader = scope.spawn(sum);
        disk.wait_until_hanging(1);
        assert!(!reader.is_finished());
        disk.heal();
        assert!(reader.join().unwrap().starts_with(&file.sha256));
    });
}

#[test]
fn files_of_the_disk_arrive() {
    let server = Server::start();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    let Some(disk) = OddDisk::mount(&mut home, "tree") else {
        return;
    };
    let files = [
        disk.write("long.mov", 2 * PART + 77, 1),
        disk.write("folder/short.mov", 1000, 2),
    ];
    home.up(&[]).end().assert_code(0);
    super::assert_arrived(&server, &files);
}
