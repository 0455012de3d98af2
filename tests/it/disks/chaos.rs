//! Whatever a disk does while files of it are sent, in whatever order: when it is well again, nothing is
//! lost, nothing was sent twice, and every warning says what it is about.

use std::time::Duration;

use fuser::Errno;

use super::{assert_arrived, local_takes, takes, with_disk};
use crate::support::{
    Home, PART, Running, Server, Source,
    fuse::{Call, OddDisk, Trouble},
    side_by_side, wait_for,
};

const ROUNDS: usize = 24;

/// Errors of a disk that is away or broken.
const ERRORS: [Errno; 5] = [
    Errno::EIO,
    Errno::ESTALE,
    Errno::ENOTCONN,
    Errno::ETIMEDOUT,
    Errno::ENODEV,
];

#[test]
fn chaos_of_a_disk_loses_nothing_sends_nothing_twice_and_every_warning_names_what_it_is_about() {
    side_by_side([1, 2, 3], |seed| {
        let Some((server, home, disk)) = with_disk("tree/disk") else {
            return;
        };
        let mut files = takes(&disk, 12);
        files.extend((0..2).map(|n| disk.write(&format!("film {n}.mov"), 3 * PART + n, 50 + n)));
        files.extend(local_takes(&home, "local", 6));
        // So slow that there is something to do all along.
        server.line(3 << 20);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut run = home.up(&["--files", "3", "--parts", "3"]);
        run.wait_for_event("queued");
        for _ in 0..ROUNDS {
            trouble(&disk, &files, &mut random);
            wait_until_it_struck(&disk, &mut run);
            if random.bool() {
                disk.heal();
            }
        }
        disk.heal();
        if !disk.is_mounted() {
            assert!(disk.remount());
        }
        server.line(0);
        let ended = run.end();
        ended.assert_code(0);
        assert!(ended.named("failed").is_empty(), "{}", ended.stdout);
        assert_named(&ended.stderr, &home, &files, &server);
        assert_arrived(&server, &files);
    });
}

/// Something happens to the disk, or to one of its files. Errors are the whole disk's: one file that alone
/// can't be read fails, as it has to.
fn trouble(disk: &OddDisk, files: &[Source], random: &mut fastrand::Rng) {
    let call = Call::ALL[random.usize(..Call::ALL.len())];
    let late = Trouble::Late(Duration::from_millis(random.u64(1..300)));
    match random.u8(..8) {
        0 | 1 if disk.is_mounted() => disk.unmount(),
        0 | 1 => assert!(disk.remount()),
        2 | 3 => {
            let error = ERRORS[random.usize(..ERRORS.len())];
            disk.strike(&Call::ALL, Trouble::Fails(error));
        }
        4 => disk.strike(&[call], Trouble::Hangs),
        5 => disk.strike(&Call::ALL, late),
        _ => {
            let on_it = files.iter().filter(|file| file.path.starts_with(&disk.at));
            let on_it: Vec<_> = on_it.collect();
            let file = on_it[random.usize(..on_it.len())];
            let name = file.path.file_name().unwrap().to_str().unwrap();
            disk.strike_file(name, &[call], Trouble::Hangs);
        }
    }
    if random.u8(..4) == 0 {
        disk.renumber();
    }
}

/// Waits until the program has noticed something, as far as there is anything left to notice.
fn wait_until_it_struck(disk: &OddDisk, run: &mut Running) {
    let (struck, said) = (disk.struck(), run.errors().len());
    wait_for("a call in trouble", || {
        let noticed = disk.struck() > struck || run.errors().len() > said;
        (noticed || disk.hanging() > 0 || !run.is_running()).then_some(())
    });
}

/// Every warning and error names a file, the disk or the host.
#[track_caller]
fn assert_named(log: &str, home: &Home, files: &[Source], server: &Server) {
    let host = server.url.trim_start_matches("http://");
    let mut names: Vec<&str> = files
        .iter()
        .map(|file| file.path.file_name().unwrap().to_str().unwrap())
        .collect();
    let tree = home.tree();
    names.extend([tree.to_str().unwrap(), host]);
    for line in log
        .lines()
        .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
    {
        assert!(names.iter().any(|name| line.contains(name)), "{line}");
    }
}
