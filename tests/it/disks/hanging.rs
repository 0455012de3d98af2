//! A disk that hangs or is late holds up its own files alone, is not taken for a dead connection, and never
//! keeps the program from ending.

use serde_json::json;

use super::{
    amid_the_first, assert_arrived, assert_waited, local_takes, wait_for_local, wait_until_said,
    with_disk,
};
use crate::support::{
    Home, MIB, Mode, PART, Running, Server, Source,
    fuse::{Call, OddDisk, Trouble},
    side_by_side, wait_for,
};

/// Where a film hangs.
#[derive(Debug, Clone, Copy)]
enum Where {
    Look,
    Open,
    Read,
    /// In the middle of its second part.
    AmidAPart,
    /// Whatever is asked of its disk.
    Everything,
}

impl Where {
    const ALL: [Self; 5] = [
        Self::Look,
        Self::Open,
        Self::Read,
        Self::AmidAPart,
        Self::Everything,
    ];

    fn strike(self, disk: &OddDisk, file: &str) {
        match self {
            Self::Look => disk.strike_file(file, &[Call::Look], Trouble::Hangs),
            Self::Open => disk.strike_file(file, &[Call::Open], Trouble::Hangs),
            Self::Read => disk.strike_file(file, &[Call::Read], Trouble::Hangs),
            Self::AmidAPart => disk.strike_from(file, PART + 2 * MIB, Trouble::Hangs),
            Self::Everything => disk.strike(&Call::ALL, Trouble::Hangs),
        }
    }
}

const FILM: &str = "film.mov";

/// A film on a disk that comes first.
fn film(disk: &OddDisk) -> Source {
    disk.write(FILM, 3 * PART + 77, 7)
}

#[test]
fn one_film_on_a_disk_that_hangs_holds_up_no_other() {
    side_by_side(Where::ALL, |place| {
        let Some((server, home, disk)) = with_disk("tree/b disk") else {
            return;
        };
        let mut files = local_takes(&home, "a local", 1);
        files.push(film(&disk));
        let more = home.tree().join("c local");
        files.extend((0..40).map(|number| {
            Source::write(
                more.join(format!("local c{number}.mov")),
                3000 + number,
                number,
            )
        }));
        let mut run = amid_the_first(&server, &home, files.len());
        place.strike(&disk, FILM);
        server.release();
        disk.wait_until_hanging(1);
        wait_for_local(&server, &mut run, 41);
        // A few readers, and one that looks whether it answers again.
        assert!(disk.hanging() <= 5, "{} calls hang", disk.hanging());
        disk.heal();
        let ended = run.end();
        ended.assert_code(0);
        assert!(ended.named("failed").is_empty(), "{}", ended.stdout);
        assert!(!ended.stderr.contains("took no bytes"), "{}", ended.stderr);
        assert_arrived(&server, &files);
    });
}

/// A film amid which its disk hangs, and a run that notices.
fn amid_a_film(place: Where) -> Option<(Server, Home, OddDisk, Source, Running)> {
    let (server, home, disk) = with_disk("tree")?;
    let file = film(&disk);
    let run = amid_the_first(&server, &home, 1);
    place.strike(&disk, FILM);
    disk.wait_until_hanging(1);
    Some((server, home, disk, file, run))
}

#[test]
fn a_disk_that_hangs_for_ever_keeps_nobody_from_ending_the_program() {
    side_by_side(Where::ALL, |place| {
        let Some((server, home, disk, file, run)) = amid_a_film(place) else {
            return;
        };
        run.signal("TERM");
        let ended = run.end();
        ended.assert_code(130);
        assert!(ended.named("failed").is_empty(), "{}", ended.stdout);
        disk.heal();
        home.resume(&[]).end().assert_code(0);
        server.report().assert_holds(&[file]);
    });
}

#[test]
fn a_disk_that_hangs_is_named_and_the_film_goes_on_when_it_answers() {
    side_by_side(Where::ALL, |place| {
        let Some((server, _home, disk, file, mut run)) = amid_a_film(place) else {
            return;
        };
        wait_until_said(&mut run, &disk.at);
        disk.heal();
        let ended = run.end();
        assert_waited(&server, &ended, &[file], &disk.at);
        assert!(!ended.stderr.contains("took no bytes"), "{}", ended.stderr);
    });
}

/// How many connections are dead while the disk is late: longer than any is waited for.
const DEAD: usize = 3;

#[test]
fn a_disk_that_answers_late_is_no_dead_connection() {
    let server = Server::that_takes_nothing_ahead();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    let Some(disk) = OddDisk::mount(&mut home, "tree/disk") else {
        return;
    };
    let late = film(&disk);
    let local = Source::write(home.tree().join("local.mov"), PART, 1);
    disk.strike_from(FILM, MIB, Trouble::Hangs);
    let title = local.title();
    server.script(
        &json!([{ "fault": "stall", "on": "part", "file": title, "after": 0, "times": DEAD }]),
    );
    let mut run = up_with_a_short_stall(&home);
    disk.wait_until_hanging(1);
    wait_for("connections that were given up", || {
        let log = run.errors();
        let dead = log
            .lines()
            .filter(|line| line.contains("local.mov, part 1"));
        (dead.count() >= DEAD || !run.is_running()).then_some(())
    });
    // Nothing is read again meanwhile.
    let reads = disk.seen(FILM, Call::Read);
    for offset in [MIB, PART + MIB, 2 * PART + MIB] {
        let tries = reads.iter().filter(|seen| seen.offset == offset).count();
        assert!(tries <= 1, "{tries} at {offset}: {reads:?}");
    }
    disk.heal();
    let ended = run.end();
    ended.assert_code(0);
    let tried = ended
        .stderr
        .lines()
        .find(|line| line.contains("film.mov, part"));
    assert_eq!(tried, None);
    assert_arrived(&server, &[late, local]);
}

/// A run for which a connection is dead after a second, so that a test need not wait for a minute.
fn up_with_a_short_stall(home: &Home) -> Running {
    let tree = home.tree();
    let args = [
        "up",
        tree.to_str().unwrap(),
        "--json",
        "--part-size",
        "5MiB",
    ];
    let mut command = home.command(args);
    command.env("REELHAUL_STALL_MS", "1000");
    Running::new(command)
}
