//! The crash table: a run that is killed at one point after another of an upload, by name or while a
//! request is held. The same session, resumed, ends the upload; so does another session, and the first
//! has nothing to do then. One media object is left of the film, and nothing is sent twice.

use std::{
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Account, assert_does_nothing, assert_films, assert_uploaded_before, media_of};
use crate::support::{
    Ended, Home, MIB, Media, Mode, PART, Server, Source, in_every_mode, side_by_side, wait_for,
};

/// What is left of a run that was killed.
pub(super) struct Killed {
    pub(super) server: Server,
    pub(super) home: Home,
    pub(super) film: Source,
    pub(super) session: PathBuf,
}

/// How many media objects are made for a film until one is there.
pub(super) type Made = RangeInclusive<usize>;

/// A film of several parts.
pub(super) const SEVERAL: u64 = 2 * PART + 77;

/// A film of one part goes another way, at one of the vendors.
pub(super) const ONE: u64 = MIB;

impl Killed {
    /// Nothing has happened yet.
    fn nothing_yet(mode: Mode, size: u64, server: Server) -> (Server, Home, Source) {
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), size, 1);
        (server, home, film)
    }

    fn new((server, home, film): (Server, Home, Source)) -> Self {
        server.wait_until_hung_up();
        server.no_faults();
        let session = home.session();
        Self {
            server,
            home,
            film,
            session,
        }
    }

    /// It was killed at this point.
    pub(super) fn at(mode: Mode, size: u64, point: &str) -> Self {
        let before = Self::nothing_yet(mode, size, Server::start());
        let (_, home, _) = &before;
        home.start_killed_at(point, Self::up(home))
            .end()
            .assert_killed();
        Self::new(before)
    }

    /// It was killed while requests that are struck by this fault waited for it to end; `until` waits for
    /// that. What comes after the kill is told by `then`.
    fn amid(
        mode: Mode,
        fault: &Value,
        until: impl FnOnce(&Server, &Home),
        then: impl FnOnce(&Server),
    ) -> Self {
        let server = Server::that_takes_nothing_ahead();
        server.script(fault);
        let before = Self::nothing_yet(mode, SEVERAL, server);
        let (server, home, _) = &before;
        let run = home.start(Self::up(home));
        until(server, home);
        assert!(run.kill().0);
        then(server);
        Self::new(before)
    }

    fn up(home: &Home) -> [String; 7] {
        let tree = home.tree().to_str().unwrap().to_owned();
        ["up", &tree, "--json", "--part-size", "5MiB", "--parts", "1"].map(str::to_owned)
    }

    /// The session is resumed: the film is there, and so many media objects were made for it by then.
    pub(super) fn ends_by_a_resume(&self, made: Made) {
        self.home
            .resume_session(&self.session, &[])
            .end()
            .assert_code(0);
        self.assert_there(made);
        let resume = || self.home.resume_session(&self.session, &[]).end();
        assert_does_nothing(&self.server, resume);
        assert_does_nothing(&self.server, || self.home.up(&[]).end());
    }

    /// Another session uploads the same tree: the film is there. The killed one, resumed, knows that and
    /// does nothing.
    pub(super) fn ends_by_another_session(&self, made: Made) {
        let ended = self.home.up(&["--parts", "1"]).end();
        ended.assert_code(0);
        self.assert_there(made);
        self.first_does_nothing();
    }

    fn first_does_nothing(&self) -> Ended {
        let resume = || self.home.resume_session(&self.session, &[]).end();
        let ended = assert_does_nothing(&self.server, resume);
        assert_eq!(ended.summary()["uploads"]["queued"], 0, "{}", ended.stdout);
        ended
    }

    pub(super) fn assert_there(&self, made: Made) {
        assert_films(&self.server, std::slice::from_ref(&self.film));
        let report = self.server.report();
        report.assert_nothing_twice();
        let count = report.media.len();
        assert!(
            made.contains(&count),
            "{count} were made: {:#?}",
            report.media
        );
    }
}

/// Makes both tests of the table with a run that was killed alike: the same session, and another one.
/// `made` says how many media objects are made for the film in each mode.
fn in_both_ways(killed: impl Fn(Mode) -> Killed + Sync, made: impl Fn(Mode) -> Made + Sync) {
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| [(mode, true), (mode, false)]);
    side_by_side(cases, |(mode, same_session)| {
        let killed = killed(mode);
        if same_session {
            killed.ends_by_a_resume(made(mode));
        } else {
            killed.ends_by_another_session(made(mode));
        }
    });
}

/// The same for films of several parts and of one that were killed at this point, after which the one
/// media object that is made is gone on with.
fn killed_at(point: &str) {
    in_both_ways(|mode| Killed::at(mode, SEVERAL, point), |_| 1..=1);
    in_both_ways(|mode| Killed::at(mode, ONE, point), |_| 1..=1);
}

/// The same at a point where the receipt of the last part need not be on disk. Without it, JW Player has
/// no way to say what it has of a film of one part: that is deleted, and sent anew.
fn killed_after_the_part(point: &str) {
    in_both_ways(|mode| Killed::at(mode, SEVERAL, point), |_| 1..=1);
    let made = |mode: Mode| 1..=if mode.is_jwplayer() { 2 } else { 1 };
    in_both_ways(|mode| Killed::at(mode, ONE, point), made);
}

/// What can't be resumed without the answer to its create is deleted, and another one is made.
fn two_at_jwplayer(mode: Mode) -> Made {
    if mode.is_jwplayer() { 2..=2 } else { 1..=1 }
}

#[test]
fn killed_when_the_claim_is_in_the_ledger() {
    killed_at("claimed");
}

#[test]
fn killed_when_the_marker_is_in_the_session_file() {
    killed_at("marker-saved");
}

#[test]
fn killed_when_the_create_was_sent_and_made_nothing() {
    let create = json!([{ "fault": "hold", "on": "create" }]);
    let killed = |mode| {
        let until = |server: &Server, _: &Home| server.wait_until_held(1);
        Killed::amid(mode, &create, until, Server::release)
    };
    in_both_ways(killed, |_| 1..=1);
}

#[test]
fn killed_when_the_create_was_sent_and_makes_the_object_after_that() {
    let create = json!([{ "fault": "late", "on": "create" }]);
    let killed = |mode| {
        let until = |server: &Server, _: &Home| server.wait_until_late(1);
        let killed = Killed::amid(mode, &create, until, Server::do_what_is_late);
        assert_eq!(killed.server.report().media.len(), 1, "nothing was made");
        killed
    };
    in_both_ways(killed, two_at_jwplayer);
}

/// To look for an object takes two lists: of those with its marker, and of the newest.
const LISTS_A_LOOK: u64 = 2;

/// Lets so many looks for an object pass, and has this befall all lists of the next. JW Player's first list
/// is the check of the key.
fn after_looks(mode: Mode, pass: u64, fault: &str) -> Value {
    let pass = pass * LISTS_A_LOOK + u64::from(mode.is_jwplayer());
    let nothing = json!({ "fault": "delay", "ms": 0, "on": "find", "times": pass });
    json!([nothing, { "fault": fault, "on": "find", "times": LISTS_A_LOOK }])
}

#[test]
fn an_object_that_comes_of_a_lost_create_after_it_was_looked_for_once_is_found_all_the_same() {
    let create = json!([{ "fault": "late", "on": "create" }]);
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| [(mode, true), (mode, false)]);
    side_by_side(cases, |(mode, same_session)| {
        let server = Server::that_takes_nothing_ahead();
        let (server, home, film) = Killed::nothing_yet(mode, SEVERAL, server);
        server.script(&create);
        let run = home.start(Killed::up(&home));
        server.wait_until_late(1);
        assert!(run.kill().0);

        // It is looked for, and is not there yet.
        server.script(&after_looks(mode, 1, "hold"));
        let run = if same_session {
            home.resume(&[])
        } else {
            home.up(&["--parts", "1"])
        };
        server.wait_until_held(1);
        server.do_what_is_late();
        assert_eq!(server.report().media.len(), 1);
        server.release();
        run.end().assert_code(0);
        assert_films(&server, std::slice::from_ref(&film));
        let made = server.report().media.len();
        assert!(two_at_jwplayer(mode).contains(&made), "{made} were made");
    });
}

#[test]
fn a_list_that_lags_behind_a_lost_create_makes_no_second_object() {
    side_by_side([true, false], |same_session| {
        let killed = Killed::at(Mode::JwPlayer, SEVERAL, "created");
        let first = killed.server.report().media[0].id.clone();
        // The first look finds nothing of what was created.
        killed
            .server
            .script(&after_looks(Mode::JwPlayer, 0, "empty-list"));
        if same_session {
            killed.ends_by_a_resume(2..=2);
        } else {
            killed.ends_by_another_session(2..=2);
        }
        killed.server.assert_all_struck();
        let media = killed.server.report().media;
        let first = media.into_iter().find(|media| media.id == first);
        assert_eq!(first.unwrap().state, "deleted", "two were left");
    });
}

#[test]
fn killed_when_the_object_is_created() {
    in_both_ways(|mode| Killed::at(mode, SEVERAL, "created"), two_at_jwplayer);
    in_both_ways(|mode| Killed::at(mode, ONE, "created"), two_at_jwplayer);
}

#[test]
fn killed_when_the_ticket_is_in_the_session_file() {
    killed_at("ticket-saved");
}

#[test]
fn killed_when_the_ticket_is_in_the_session_file_and_that_is_lost() {
    in_every_mode(|mode| {
        let killed = Killed::at(mode, SEVERAL, "ticket-saved");
        fs::remove_file(&killed.session).unwrap();
        killed.home.up(&[]).end().assert_code(0);
        killed.assert_there(two_at_jwplayer(mode));
    });
}

#[test]
fn killed_when_the_ticket_is_in_the_ledger() {
    killed_at("ticket-in-ledger");
}

#[test]
fn killed_when_the_ticket_is_in_the_ledger_and_the_session_file_is_lost() {
    in_every_mode(|mode| {
        let killed = Killed::at(mode, SEVERAL, "ticket-in-ledger");
        fs::remove_file(&killed.session).unwrap();
        killed.home.up(&[]).end().assert_code(0);
        killed.assert_there(1..=1);
        assert_does_nothing(&killed.server, || killed.home.up(&[]).end());
    });
}

#[test]
fn killed_when_a_part_was_answered() {
    killed_after_the_part("part-answered");
}

/// Killed when one part had arrived, was acknowledged and saved, and the next was on its way.
pub(super) fn amid_the_parts(mode: Mode) -> Killed {
    let second = json!([{ "fault": "hold", "on": "part", "part": 2 }]);
    let until = |server: &Server, home: &Home| {
        server.wait_until_held(1);
        let session = home.session();
        wait_for("the receipt on disk", || {
            let saved = fs::read_to_string(&session).unwrap();
            saved.contains("md5 = ").then_some(())
        });
    };
    Killed::amid(mode, &second, until, Server::release)
}

#[test]
fn killed_amid_the_parts() {
    in_both_ways(amid_the_parts, |_| 1..=1);
}

#[test]
fn killed_amid_the_parts_and_the_session_file_is_lost() {
    in_every_mode(|mode| {
        let killed = amid_the_parts(mode);
        fs::remove_file(&killed.session).unwrap();
        let ended = killed.home.up(&[]).end();
        ended.assert_code(0);
        killed.assert_there(1..=1);
        assert_does_nothing(&killed.server, || killed.home.up(&[]).end());
    });
}

#[test]
fn killed_amid_the_parts_and_the_next_run_has_another_part_size() {
    in_every_mode(|mode| {
        for lost in [false, true] {
            let killed = amid_the_parts(mode);
            if lost {
                fs::remove_file(&killed.session).unwrap();
            }
            killed
                .home
                .up_with(&["--part-size", "6MiB"])
                .end()
                .assert_code(0);
            killed.assert_there(1..=1);
            if !lost {
                killed.first_does_nothing();
            }
        }
    });
}

#[test]
fn killed_when_all_parts_were_sent() {
    killed_after_the_part("all-sent");
}

#[test]
fn killed_when_the_complete_was_sent_and_did_nothing() {
    complete_was_sent("hold", Server::wait_until_held, Server::release);
}

#[test]
fn killed_when_the_complete_was_sent_and_completes_the_film_after_that() {
    complete_was_sent("late", Server::wait_until_late, Server::do_what_is_late);
}

/// At api.video the last part completes a film.
fn complete_was_sent(fault: &str, until: fn(&Server, u64), then: fn(&Server)) {
    side_by_side([true, false], |same_session| {
        let complete = json!([{ "fault": fault, "on": "complete" }]);
        let until = |server: &Server, _: &Home| until(server, 1);
        let killed = Killed::amid(Mode::JwPlayer, &complete, until, then);
        let complete = killed.server.report().media[0].complete;
        assert_eq!(complete, fault == "late");
        if same_session {
            killed.ends_by_a_resume(1..=1);
        } else {
            killed.ends_by_another_session(1..=1);
        }
    });
}

#[test]
fn killed_when_the_complete_was_answered() {
    killed_after_the_part("complete-answered");
}

#[test]
fn killed_when_the_session_file_says_that_it_is_complete() {
    killed_at("completed");
}

#[test]
fn killed_when_the_ledger_says_that_it_is_complete() {
    killed_at("complete-in-ledger");
}

#[test]
fn killed_when_it_is_complete_and_the_session_file_is_lost() {
    in_every_mode(|mode| {
        let killed = Killed::at(mode, SEVERAL, "complete-in-ledger");
        fs::remove_file(&killed.session).unwrap();
        killed.home.up(&[]).end().assert_code(0);
        killed.assert_there(1..=1);
    });
}

#[test]
fn killed_when_the_ledger_says_that_it_is_accepted() {
    killed_at("accepted-in-ledger");
    in_every_mode(|mode| {
        let killed = Killed::at(mode, SEVERAL, "accepted-in-ledger");
        let ended = assert_does_nothing(&killed.server, || killed.home.up(&[]).end());
        let media = media_of(&killed.server.report(), &killed.film);
        assert_uploaded_before(&ended, &killed.film.path, &media);
    });
}

#[test]
fn killed_in_the_moment_in_which_it_is_done() {
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| [(mode, SEVERAL), (mode, ONE)]);
    side_by_side(cases, |(mode, size)| {
        let (server, home, film) = Killed::nothing_yet(mode, size, Server::start());
        let mut run = home.start(Killed::up(&home));
        run.wait_for_event("done");
        // It may be through by now.
        run.kill();
        let killed = Killed::new((server, home, film));
        assert_does_nothing(&killed.server, || killed.home.up(&[]).end());
        killed.first_does_nothing();
        assert_does_nothing(&killed.server, || killed.home.up(&[]).end());
    });
}

/// Killed when all was sent and the account is still to say whether it can use it; it can't.
fn useless(mode: Mode) -> Killed {
    let server = Server::with(|options| options.processing = Duration::from_millis(300));
    server.script(&json!([{ "fault": "bad-media", "on": "part" }]));
    let before = Killed::nothing_yet(mode, SEVERAL, server);
    let (_, home, _) = &before;
    let point = "complete-in-ledger";
    home.start_killed_at(point, Killed::up(home))
        .end()
        .assert_killed();
    Killed::new(before)
}

/// The media objects of the film that were found good, and how many there are besides.
fn good(killed: &Killed) -> (Vec<Media>, usize) {
    let report = killed.server.report();
    let there = report.there().into_iter().cloned();
    let (good, other): (Vec<_>, Vec<_>) = there.partition(|media| media.state == "ready");
    (good, other.len())
}

#[test]
fn killed_when_it_is_complete_and_the_account_can_not_use_it_it_is_not_skipped() {
    in_every_mode(|mode| {
        let killed = useless(mode);
        let ended = killed.home.resume_session(&killed.session, &[]).end();
        ended.assert_code(1);
        assert_eq!(ended.named("failed").len(), 1, "{}", ended.stdout);
        killed.home.up(&[]).end().assert_code(0);
        let (found, failed) = good(&killed);
        assert_eq!((found.len(), failed), (1, 1), "{found:#?}");
        assert_eq!(found[0].sha256.as_ref(), Some(&killed.film.sha256));
    });
}

#[test]
fn another_session_that_finds_a_film_which_the_account_can_not_use_uploads_it_in_the_end() {
    in_every_mode(|mode| {
        let killed = useless(mode);
        // It may end as failed here, or be uploaded anew at once.
        let ended = killed.home.up(&[]).end();
        if ended.status.code() != Some(0) {
            ended.assert_code(1);
            assert_eq!(ended.named("failed").len(), 1, "{}", ended.stdout);
            killed.home.up(&[]).end().assert_code(0);
        }
        let (found, _) = good(&killed);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].sha256.as_ref(), Some(&killed.film.sha256));
        assert_does_nothing(&killed.server, || killed.home.up(&[]).end());
    });
}

/// A session whose upload failed when one part of it had arrived, and that was killed at this point when
/// it was started over.
fn started_over(mode: Mode, point: &str) -> Killed {
    let server = Server::start();
    server.script(&json!([{ "fault": "status", "on": "part", "part": 2 }]));
    let before = Killed::nothing_yet(mode, SEVERAL, server);
    let (server, home, _) = &before;
    home.up(&["--parts", "1", "--retries", "0"])
        .end()
        .assert_code(1);
    server.assert_all_struck();
    let session = home.session();
    let resume = [
        "resume",
        session.to_str().unwrap(),
        "--json",
        "--start-over",
    ];
    home.start_killed_at(point, resume).end().assert_killed();
    Killed::new(before)
}

#[test]
fn killed_when_the_session_file_says_that_it_is_started_over() {
    start_over_is_killed_at("clearing-saved");
}

#[test]
fn killed_when_the_ledger_says_that_it_is_discarded() {
    start_over_is_killed_at("discarded-in-ledger");
}

fn start_over_is_killed_at(point: &str) {
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| [(mode, true), (mode, false)]);
    side_by_side(cases, |(mode, same_session)| {
        let killed = started_over(mode, point);
        let film = std::slice::from_ref(&killed.film);
        let resume = || killed.home.resume_session(&killed.session, &[]).end();
        if same_session {
            resume().assert_code(0);
            assert_films(&killed.server, film);
            // The first one was deleted.
            assert_eq!(killed.server.report().media.len(), 2);
        } else {
            killed.home.up(&[]).end().assert_code(0);
            let report = killed.server.report();
            let media = media_of(&report, &killed.film);
            // The first deletes what it was about to delete, if anything, and never what another session
            // has finished.
            let ended = resume();
            ended.assert_code(0);
            assert_films(&killed.server, film);
            assert_eq!(media_of(&killed.server.report(), &killed.film), media);
            assert_uploaded_before(&ended, &killed.film.path, &media);
        }
        let before = Account::of(&killed.server);
        assert_does_nothing(&killed.server, resume);
        assert_does_nothing(&killed.server, || killed.home.up(&[]).end());
        assert_eq!(Account::of(&killed.server), before);
    });
}

#[test]
fn killed_at_a_start_over_of_what_changed_and_another_session_uploads_what_it_is_now() {
    let points = ["clearing-saved", "discarded-in-ledger"];
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| points.map(|point| (mode, point)));
    side_by_side(cases, |(mode, point)| {
        let killed = amid_the_parts(mode);
        let changed = Source::write(&killed.film.path, killed.film.size, 2);
        let resume = |more: &[&str]| killed.home.resume_session(&killed.session, more);
        resume(&[]).end().assert_code(1);
        let session = killed.session.to_str().unwrap();
        let start_over = ["resume", session, "--json", "--start-over"];
        killed
            .home
            .start_killed_at(point, start_over)
            .end()
            .assert_killed();
        killed.server.wait_until_hung_up();

        killed.home.up(&[]).end().assert_code(0);
        let media = media_of(&killed.server.report(), &changed);
        let ended = resume(&[]).end();
        ended.assert_code(0);
        // What was sent of the version before is deleted, and nothing else.
        assert_films(&killed.server, std::slice::from_ref(&changed));
        assert_uploaded_before(&ended, &changed.path, &media);
    });
}

#[test]
fn a_copy_that_waited_for_a_killed_upload_takes_it_over_under_its_own_name() {
    in_every_mode(|mode| {
        let killed = amid_the_parts(mode);
        let other = killed.home.dir.path().join("other/film.mov");
        super::copy(&killed.film.path, &other);
        let folder: &Path = other.parent().unwrap();
        killed.home.up_paths(&[folder], &[]).end().assert_code(0);
        killed.assert_there(1..=1);
        let media = media_of(&killed.server.report(), &killed.film);
        // The object was begun under this name, too.
        let ended = killed.first_does_nothing();
        assert_uploaded_before(&ended, &killed.film.path, &media);
    });
}
