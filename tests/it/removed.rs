//! A file that is removed, paused or interrupted while the media object is made for it: the object that
//! comes of that is used, deleted or remembered, and never forgotten.

use std::{fs, path::PathBuf};

use reelhaul::engine::protocol::{Command, State, Targets};
use serde_json::json;
use toml::Table;

use crate::support::{
    Home, MIB, Media, Mode, PART, Running, Screen, Server, Source, in_every_mode, side_by_side,
};

/// A run that makes the media object of one file, late, while the parts of another are held.
struct AmidACreate {
    server: Server,
    home: Home,
    /// The file whose media object is made late.
    removed: Source,
    /// Another one, if there is one.
    other: Vec<Source>,
    run: Running,
    screen: Screen,
}

impl AmidACreate {
    fn start(mode: Mode, size: u64, other: bool, args: &[&str]) -> Self {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let write = |name: &str, size, seed| Source::write(home.tree().join(name), size, seed);
        let removed = write("removed \u{e9}.mov", size, 1);
        let other: Vec<_> = other
            .then(|| write("other.mov", 2 * PART + 77, 2))
            .into_iter()
            .collect();
        server.script(&json!([
            { "fault": "late", "on": "create", "file": removed.title() },
        ]));
        server.hold_parts();
        let run = home.up(&[&["--files", "2"], args].concat());
        server.wait_until_late(1);
        server.wait_until_held(other.len() as u64);
        let screen = Screen::attach(&home);
        Self {
            server,
            home,
            removed,
            other,
            run,
            screen,
        }
    }

    fn remove(&self) {
        let only = self.screen.only(&self.removed);
        self.screen.tell(Command::Remove(only));
    }
}

/// A mode, the size of the file, and whether there is another. A small file goes another way, at one of
/// the vendors.
fn cases() -> impl Iterator<Item = (Mode, u64, bool)> {
    let kinds = [(2 * PART, true), (MIB, true), (2 * PART, false)];
    let of_a_mode = move |mode| kinds.map(|(size, other)| (mode, size, other));
    Mode::ALL.into_iter().flat_map(of_a_mode)
}

#[test]
fn the_object_of_a_file_that_is_removed_amid_its_create_is_deleted() {
    side_by_side(cases(), |(mode, size, other)| {
        let amid = AmidACreate::start(mode, size, other, &[]);
        amid.remove();
        // Nobody is left who could be waited for.
        drop(amid.screen);
        amid.server.do_what_is_late();
        amid.server.release();
        amid.run.end();
        let report = amid.server.report();
        let made = report.media.iter();
        let made: Vec<_> = made
            .filter(|media| media.title == amid.removed.title())
            .collect();
        assert_eq!(made.len(), 1, "it was made once: {made:#?}");
        assert_eq!(made[0].state, "deleted", "nobody knows of it");
        report.assert_holds(&amid.other);
    });
}

/// The media objects that sessions remember as orphans.
fn orphans(home: &Home) -> Vec<Table> {
    let remembered = |session: &PathBuf| {
        let text = fs::read_to_string(session).unwrap();
        let session: Table = toml::from_str(&text).unwrap();
        let orphans = session.get("orphan").and_then(|orphans| orphans.as_array());
        orphans.cloned().unwrap_or_default()
    };
    let all = home
        .sessions()
        .iter()
        .flat_map(remembered)
        .collect::<Vec<_>>();
    all.iter()
        .map(|orphan| orphan.as_table().unwrap().clone())
        .collect()
}

/// A media object that nobody uploads to is deleted, or remembered by its marker.
fn assert_not_forgotten(server: &Server, home: &Home, made: &Media) {
    let report = server.report();
    let there = report.media.iter().find(|media| media.id == made.id);
    let marker = |orphan: &Table| orphan.get("marker")?.as_str().map(str::to_owned);
    let orphans = orphans(home);
    let remembered = orphans.iter().any(|orphan| marker(orphan) == made.marker);
    assert!(
        there.unwrap().state == "deleted" || remembered,
        "nobody knows of {made:?}: {orphans:#?}"
    );
}

#[test]
fn the_object_of_a_file_that_is_removed_when_its_create_failed_is_not_forgotten() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let file = Source::write(home.tree().join("removed.mov"), 2 * PART, 1);
        // It is made all the same, and may not be looked for before an hour has passed.
        server.script(&json!([
            { "fault": "error-after", "on": "create", "ms": 3_600_000 },
        ]));
        let run = home.up(&[]);
        server.wait_until_met("error-after");
        let screen = Screen::attach(&home);
        screen.tell(Command::Remove(screen.only(&file)));
        drop(screen);
        run.end();
        let made = server.report().media[0].clone();
        assert_not_forgotten(&server, &home, &made);
        assert_eq!(server.report().media.len(), 1, "it was removed");
    });
}

#[test]
fn a_delete_that_fails_for_a_moment_after_a_removal_is_tried_again() {
    side_by_side(Mode::ALL, |mode| {
        let amid = AmidACreate::start(mode, 2 * PART, false, &["--retries", "3"]);
        amid.server.script(&json!([
            { "fault": "error-before", "on": "delete", "times": 2 },
        ]));
        amid.remove();
        drop(amid.screen);
        amid.server.do_what_is_late();
        amid.server.release();
        amid.run.end();
        let media = amid.server.report().media;
        let states: Vec<&str> = media.iter().map(|media| &*media.state).collect();
        assert_eq!(states, ["deleted"]);
        assert_eq!(orphans(&amid.home).len(), 0);
    });
}

#[test]
fn an_object_that_can_not_be_deleted_after_a_removal_is_remembered_and_logged() {
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| [true, false].map(|other| (mode, other)));
    side_by_side(cases, |(mode, other)| {
        let amid = AmidACreate::start(mode, 2 * PART, other, &["--retries", "1"]);
        amid.server.script(&json!([
            { "fault": "error-before", "on": "delete", "times": 1000 },
        ]));
        amid.remove();
        drop(amid.screen);
        amid.server.do_what_is_late();
        amid.server.release();
        let ended = amid.run.end();
        let report = amid.server.report();
        let left = report.one(&amid.removed.title());
        let orphans = orphans(&amid.home);
        assert_eq!(orphans.len(), 1, "{orphans:#?}");
        let text = |key: &str| orphans[0].get(key).and_then(|value| value.as_str());
        assert_eq!(text("media"), Some(&*left.id), "{orphans:#?}");
        assert_eq!(text("marker"), left.marker.as_deref(), "{orphans:#?}");
        assert_eq!(text("path"), amid.removed.path.to_str(), "{orphans:#?}");
        assert!(orphans[0].contains_key("at"), "{orphans:#?}");
        assert!(
            !orphans[0].contains_key("gone"),
            "it is there: {orphans:#?}"
        );
        assert!(
            ended.stderr.contains(&left.id),
            "not in the log: {}",
            ended.stderr
        );
        for file in &amid.other {
            let there = report.one(&file.title());
            assert_eq!(there.sha256.as_deref(), Some(&*file.sha256));
        }
    });
}

#[test]
fn a_kill_after_a_removal_amid_a_create_forgets_no_object() {
    in_every_mode(|mode| {
        let amid = AmidACreate::start(mode, 2 * PART, true, &[]);
        amid.remove();
        // From here on, the removal is on disk.
        amid.screen.tell(Command::Save);
        assert!(amid.run.kill().0);
        amid.server.do_what_is_late();
        amid.server.release();
        amid.server.wait_until_hung_up();
        amid.server.no_faults();
        let made = amid.server.report().one(&amid.removed.title()).clone();
        assert_eq!(made.state, "created", "by a create that nobody waits for");

        amid.home.resume(&[]).end().assert_code(0);
        let report = amid.server.report();
        assert_not_forgotten(&amid.server, &amid.home, &made);
        let same = report.media.iter();
        let same = same.filter(|media| media.title == amid.removed.title());
        assert_eq!(same.count(), 1, "it was removed");
        let other = report.one(&amid.other[0].title());
        assert_eq!(other.sha256.as_deref(), Some(&*amid.other[0].sha256));
    });
}

/// How often a media object was asked for.
fn creates(server: &Server) -> u64 {
    let requests = server.report().requests;
    let asked = requests.values().filter_map(|steps| steps.get("create"));
    asked.sum()
}

#[test]
fn a_file_that_is_paused_amid_its_create_goes_on_with_the_object_that_was_made() {
    side_by_side(cases(), |(mode, size, other)| {
        let amid = AmidACreate::start(mode, size, other, &[]);
        let all = amid.other.len() + 1;
        amid.screen.tell(Command::Pause(Targets::All));
        amid.screen
            .until("a pause", |now| now.counts.of(State::Paused) == all);
        amid.server.do_what_is_late();
        amid.server.release();
        amid.screen.tell(Command::Resume(Targets::All));
        drop(amid.screen);
        amid.run.end().assert_code(0);
        assert_eq!(creates(&amid.server), all as u64);
        let mut files = amid.other;
        files.push(amid.removed);
        amid.server.report().assert_holds(&files);
    });
}

#[test]
fn a_run_that_is_interrupted_amid_a_create_keeps_the_object_that_was_made() {
    in_every_mode(|mode| {
        let amid = AmidACreate::start(mode, 2 * PART, false, &[]);
        drop(amid.screen);
        amid.home.interrupt(&amid.run, &amid.home.session(), "INT");
        amid.server.do_what_is_late();
        amid.server.release();
        amid.run.end().assert_code(130);
        amid.home.resume(&[]).end().assert_code(0);
        assert_eq!(creates(&amid.server), 1);
        amid.server.report().assert_holds(&[amid.removed]);
    });
}
