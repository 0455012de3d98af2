//! Three session processes upload overlapping trees of one account at once and are killed, each at random
//! moments and at named points, and started again until all are done: one media object is left of each
//! film, and none is missing.
//!
//! `REELHAUL_CHAOS=1000` kills that often; `REELHAUL_SEED` repeats the moments of a run that failed, as
//! far as the machine lets it.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    thread::{scope, sleep},
    time::Duration,
};

use super::{assert_does_nothing, assert_films, copy};
use crate::support::{Home, MIB, Mode, Server, Source};

/// How many lives each of the three processes loses in a round.
const LIVES: u64 = 5;

/// The longest life that ends at a moment, in milliseconds.
const LONGEST: u64 = 1400;

/// Where a process can be killed by name.
const POINTS: [&str; 14] = [
    "claimed",
    "marker-saved",
    "created",
    "ticket-saved",
    "ticket-in-ledger",
    "part-answered",
    "all-sent",
    "complete-answered",
    "completed",
    "complete-in-ledger",
    "accepted-in-ledger",
    "given-back-in-ledger",
    "discarded-in-ledger",
    "walk-batch",
];

/// A session that is killed again and again.
struct Victim<'a> {
    home: &'a Home,
    session: PathBuf,
    folders: Vec<PathBuf>,
    random: fastrand::Rng,
}

impl Victim<'_> {
    fn args(&mut self) -> Vec<String> {
        let session = self.session.to_str().unwrap().to_owned();
        let resumes = self.session.exists() && self.random.bool();
        let mut args = vec!["resume".to_owned(), session.clone()];
        if !resumes {
            args = vec!["up".to_owned(), "--session".to_owned(), session];
            args.extend(["--part-size", "5MiB"].map(str::to_owned));
            let folders = self.folders.iter();
            args.extend(folders.map(|folder| folder.to_str().unwrap().to_owned()));
        }
        args.extend(["--json", "--parts", "3", "--files", "2"].map(str::to_owned));
        args
    }

    /// One life, which is ended at a moment or at a point. Says whether it was; one that ended by itself
    /// did all it had to.
    fn lives(&mut self) -> bool {
        let args = self.args();
        if self.random.bool() {
            let point = self.random.choice(POINTS).unwrap();
            let point = format!("{point}:{}", self.random.u8(1..4));
            let run = self.home.start_killed_at(&point, args);
            // A point that is never reached may leave it alive for long.
            return self.kill_in(run);
        }
        let run = self.home.start(args);
        self.kill_in(run)
    }

    fn kill_in(&mut self, mut run: crate::support::Running) -> bool {
        sleep(Duration::from_millis(self.random.u64(20..LONGEST)));
        if run.is_running() {
            // For whoever looks into what was left.
            let log = run.errors();
            for line in log.lines().filter(|line| !line.contains(" INFO ")) {
                eprintln!("{}: {line}", self.session.display());
            }
            return run.kill().0;
        }
        let ended = run.end();
        match ended.status.code() {
            None => true,
            Some(code) => {
                assert_eq!(code, 0, "{}", ended.output());
                false
            }
        }
    }
}

fn chaos(mode: Mode) {
    let asked = std::env::var("REELHAUL_CHAOS").ok();
    let kills = asked.map_or(3 * LIVES, |kills| kills.parse().unwrap());
    let seed = std::env::var("REELHAUL_SEED").ok();
    let seed = seed.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("{mode:?}: REELHAUL_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..kills.div_ceil(3 * LIVES) {
        round(mode, &mut random);
    }
}

/// Films in three folders, and copies of some of them in others.
fn write_trees(home: &Home) -> Vec<Source> {
    let sizes = [11, 2, 17, 1, 6, 3, 12, 2, 16];
    let films: Vec<_> = (0..)
        .zip(sizes)
        .map(|(number, mib)| {
            let folder = ["a", "b", "both"][number % 3];
            let path = home
                .tree()
                .join(folder)
                .join(format!("{number:02} take.mp4"));
            let seed = u64::try_from(number).unwrap();
            Source::write(path, mib * MIB - seed * 1001, seed)
        })
        .collect();
    copy(&films[0].path, &home.tree().join("b/copy of 00.mp4"));
    copy(&films[1].path, &home.tree().join("a/01 take.mp4"));
    films
}

fn round(mode: Mode, random: &mut fastrand::Rng) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let films = write_trees(&home);
    // So slow that it can hardly be through before the last kill.
    let total: u64 = films.iter().map(|film| film.size).sum();
    server.line(total * 1000 / (LIVES * LONGEST * 2 / 3));
    server.latency(5);

    let folders = |names: &[&str]| names.iter().map(|name| home.tree().join(name)).collect();
    let trees: [Vec<PathBuf>; 3] = [
        folders(&["a", "both"]),
        folders(&["both", "b"]),
        folders(&["a", "b", "both"]),
    ];
    let mut victims: Vec<_> = (0..)
        .zip(trees)
        .map(|(number, folders)| Victim {
            home: &home,
            session: home.dir.path().join(format!("{number}.toml")),
            folders,
            random: random.fork(),
        })
        .collect();
    // The third is one that a kill left behind before.
    let mut left_behind = home.start(victims[2].args());
    left_behind.wait_for_event("part");
    assert!(left_behind.kill().0);

    let struck = AtomicU64::new(1);
    scope(|scope| {
        for victim in &mut victims {
            scope.spawn(|| {
                for _ in 0..LIVES {
                    struck.fetch_add(victim.lives().into(), Ordering::Relaxed);
                }
            });
        }
    });
    let struck = struck.into_inner();
    assert!(struck > LIVES, "only {struck} kills struck");

    server.line(0);
    server.latency(0);
    // All at once again, to their end.
    let resume = |victim: &Victim| home.resume_session(&victim.session, &[]);
    let runs: Vec<_> = victims.iter().map(resume).collect();
    for run in runs {
        run.end().assert_code(0);
    }
    assert_films(&server, &films);
    for victim in &victims {
        assert_does_nothing(&server, || home.resume_session(&victim.session, &[]).end());
    }
    assert_does_nothing(&server, || home.up(&[]).end());
    let objects = server.report().media.len();
    eprintln!(
        "{struck} kills, {objects} media objects made for {} films",
        films.len()
    );
}

#[test]
fn three_sessions_that_are_killed_again_and_again_leave_each_film_once_at_jwplayer() {
    chaos(Mode::JwPlayer);
}

#[test]
fn three_sessions_that_are_killed_again_and_again_leave_each_film_once_at_apivideo_by_byte_ranges()
{
    chaos(Mode::ApiVideoBytes);
}

#[test]
fn three_sessions_that_are_killed_again_and_again_leave_each_film_once_at_apivideo_by_parts() {
    chaos(Mode::ApiVideoPart);
}
