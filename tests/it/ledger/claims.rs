//! Who may upload a film when several want to: the others wait for it, and take it over where it is
//! given back or its session dies.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reelhaul::engine::protocol::{Command, State};
use serde_json::{Value, json};

use super::{
    assert_does_nothing, assert_films, assert_uploaded_before, media_of, name, reason, same_bytes,
};
use crate::support::{
    Home, MIB, Mode, PART, Running, Screen, Server, Source, in_every_mode, path_of,
};

/// A session that waits for a film which another one sends.
struct Waiting {
    server: Server,
    home: Home,
    film: Source,
    /// The session that sends it.
    sending: PathBuf,
    run: Running,
}

impl Waiting {
    /// A run that sends a film, with these arguments, and one that waits for it. Of the film one part has
    /// arrived, and this befalls the next.
    fn start(mode: Mode, fault: &str, args: &[&str]) -> (Running, Self) {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 3 * PART + 77, 1);
        server.script(&json!([{ "fault": fault, "on": "part", "part": 2 }]));
        let mut first = home.up(&[&["--parts", "1"], args].concat());
        first.wait_for_event("part");
        server.wait_until_met(fault);
        let sending = home.session();
        let mut run = home.up(&["--parts", "1"]);
        assert_waits_for_session(&mut run, &film.path, &sending);
        (
            first,
            Self {
                server,
                home,
                film,
                sending,
                run,
            },
        )
    }

    /// It takes the film over and sends what is missing.
    fn takes_over(self) -> Done {
        let ended = self.run.end();
        ended.assert_code(0);
        assert_films(&self.server, std::slice::from_ref(&self.film));
        assert_eq!(self.server.report().media.len(), 1, "it was started over");
        self.server.report().assert_nothing_twice();
        Done {
            server: self.server,
            home: self.home,
            film: self.film,
            first: self.sending,
        }
    }
}

/// A film that a session took over from the first.
struct Done {
    server: Server,
    home: Home,
    film: Source,
    first: PathBuf,
}

impl Done {
    /// The first session, resumed, has nothing to do.
    fn leaves_nothing_to_the_first(self) {
        let resume = || self.home.resume_session(&self.first, &["--retry-failed"]);
        let ended = assert_does_nothing(&self.server, || resume().end());
        let media = media_of(&self.server.report(), &self.film);
        assert_uploaded_before(&ended, &self.film.path, &media);
    }
}

/// Waits until a run says of a file that it waits, and returns the file and for what it does.
#[track_caller]
fn waits(run: &mut Running) -> (PathBuf, String) {
    let is_told = |event: &Value| event["event"] == "waiting" || event["event"] == "skipped";
    let event = run.wait_for("a word on a file that is not sent", is_told);
    assert_eq!(event["event"], "waiting", "{event}");
    (
        path_of(&event),
        event["reason"].as_str().unwrap().to_owned(),
    )
}

/// Waits until a run says that this file waits for that session.
#[track_caller]
fn assert_waits_for_session(run: &mut Running, path: &Path, session: &Path) {
    let (file, reason) = waits(run);
    assert_eq!(file, path);
    let words = format!(
        "waits for session {}, which uploads {}",
        name(session),
        path.display()
    );
    assert_eq!(reason, words);
}

#[test]
fn a_film_that_another_session_sends_is_waited_for_and_skipped_when_it_is_accepted() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 2 * PART + 77, 1);
        let more = Source::write(home.dir.path().join("more/other.mov"), MIB, 2);
        server.hold_part(2, 1);
        let mut first = home.up(&["--parts", "1"]);
        first.wait_for_event("part");
        server.wait_until_held(1);
        let session = home.session();

        let paths = [&*home.tree(), more.path.parent().unwrap()];
        let mut second = home.up_paths(&paths, &["--files", "1", "--parts", "1"]);
        assert_waits_for_session(&mut second, &film.path, &session);
        // What waits takes no place of what can go.
        let done = second.wait_for_event("done");
        assert_eq!(path_of(&done), more.path);
        server.release();
        first.end().assert_code(0);
        let ended = second.end();
        ended.assert_code(0);
        // However often it looked whether it may go on.
        assert_eq!(ended.named("waiting").len(), 1, "{}", ended.stdout);
        let films = [film, more];
        assert_films(&server, &films);
        assert_eq!(server.report().media.len(), 2);
        server.report().assert_nothing_twice();
        let media = media_of(&server.report(), &films[0]);
        assert_uploaded_before(&ended, &films[0].path, &media);
    });
}

#[test]
fn a_film_is_taken_over_by_the_session_that_waits_for_it_when_the_one_that_sends_it_dies() {
    in_every_mode(|mode| {
        let (first, waiting) = Waiting::start(mode, "stall", &[]);
        assert!(first.kill().0);
        waiting.takes_over().leaves_nothing_to_the_first();
    });
}

#[test]
fn a_film_that_fails_in_one_session_is_taken_over_by_the_one_that_waits_for_it() {
    in_every_mode(|mode| {
        let (first, waiting) = Waiting::start(mode, "hold", &["--retries", "0"]);
        // The held part arrives, and the one after it fails.
        waiting
            .server
            .script(&json!([{ "fault": "status", "on": "part" }]));
        waiting.server.release_held();
        let ended = first.end();
        ended.assert_code(1);
        assert_eq!(ended.summary()["uploads"]["failed"], 1);
        waiting.takes_over().leaves_nothing_to_the_first();
    });
}

#[test]
fn a_film_that_is_paused_in_one_session_is_taken_over_by_the_one_that_waits_for_it() {
    in_every_mode(|mode| {
        let (first, waiting) = Waiting::start(mode, "stall", &[]);
        let screen = Screen::attach_to(&waiting.home, &waiting.sending);
        screen.tell(Command::Pause(screen.only(&waiting.film)));
        drop(screen);
        // The first stands by meanwhile.
        let done = waiting.takes_over();
        first.interrupt();
        done.leaves_nothing_to_the_first();
    });
}

#[test]
fn a_film_that_is_removed_from_one_session_is_uploaded_by_the_one_that_waits_for_it() {
    in_every_mode(|mode| {
        let (first, waiting) = Waiting::start(mode, "stall", &[]);
        let screen = Screen::attach_to(&waiting.home, &waiting.sending);
        screen.tell(Command::Remove(screen.only(&waiting.film)));
        drop(screen);
        first.end();
        waiting.run.end().assert_code(0);
        assert_films(&waiting.server, &[waiting.film]);
        assert_does_nothing(&waiting.server, || waiting.home.up(&[]).end());
    });
}

#[test]
fn a_stopped_process_is_not_dead() {
    in_every_mode(|mode| {
        let (first, waiting) = Waiting::start(mode, "hold", &[]);
        first.signal("STOP");
        // It would be taken over before this ends.
        let mut third = waiting.home.up(&["--no-wait"]);
        assert_waits_for_session(&mut third, &waiting.film.path, &waiting.sending);
        third.end().assert_code(1);
        assert_eq!(waiting.server.report().media.len(), 1);
        first.signal("CONT");
        waiting.server.release();
        first.end().assert_code(0);
        waiting.run.end().assert_code(0);
        assert_films(&waiting.server, &[waiting.film]);
        waiting.server.report().assert_nothing_twice();
    });
}

#[test]
fn a_run_that_does_not_wait_ends_with_1_and_keeps_what_is_left_queued() {
    in_every_mode(|mode| {
        let (
            first,
            Waiting {
                server,
                home,
                film,
                sending,
                run,
            },
        ) = Waiting::start(mode, "hold", &[]);
        let more = Source::write(home.dir.path().join("more/other.mov"), MIB, 2);
        let paths = [&*home.tree(), more.path.parent().unwrap()];
        let known = home.sessions();
        let known: Vec<&Path> = known.iter().map(|session| &**session).collect();
        let ended = home.up_paths(&paths, &["--no-wait"]).end();
        ended.assert_code(1);
        let uploads = &ended.summary()["uploads"];
        assert_eq!(
            (&uploads["queued"], &uploads["done"]),
            (&1.into(), &1.into())
        );
        let waits = ended.named("waiting");
        assert_eq!(path_of(&waits[0]), film.path, "{waits:#?}");
        let left = home.session_besides(&known);

        server.release();
        first.end().assert_code(0);
        run.end().assert_code(0);
        for session in [&left, &sending] {
            assert_does_nothing(&server, || home.resume_session(session, &[]).end());
        }
        assert_films(&server, &[film, more]);
    });
}

#[test]
fn a_film_that_waits_and_is_removed_is_waited_for_no_more() {
    let (first, waiting) = Waiting::start(Mode::JwPlayer, "hold", &[]);
    let second = waiting.home.session_besides(&[&waiting.sending]);
    let screen = Screen::attach_to(&waiting.home, &second);
    screen.tell(Command::Remove(screen.only(&waiting.film)));
    drop(screen);
    waiting.run.end().assert_code(0);
    assert_eq!(waiting.server.report().media.len(), 1);
    waiting.server.release();
    first.end().assert_code(0);
    assert_films(&waiting.server, &[waiting.film]);
}

#[test]
fn an_interrupt_ends_a_run_that_waits_and_it_is_resumed_later() {
    let (first, waiting) = Waiting::start(Mode::JwPlayer, "hold", &[]);
    let second = waiting.home.session_besides(&[&waiting.sending]);
    waiting.run.signal("INT");
    let ended = waiting.run.end();
    ended.assert_code(130);
    assert_eq!(ended.summary()["uploads"]["queued"], 1);
    assert_eq!(ended.named("waiting").len(), 1, "{}", ended.stdout);
    waiting.server.release();
    first.end().assert_code(0);
    let resume = || waiting.home.resume_session(&second, &[]).end();
    let ended = assert_does_nothing(&waiting.server, resume);
    let media = media_of(&waiting.server.report(), &waiting.film);
    assert_uploaded_before(&ended, &waiting.film.path, &media);
}

#[test]
fn two_sessions_whose_files_have_one_name_are_two() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("take.mov"), 2 * PART, 1);
    let other = Source::write(home.dir.path().join("other/take.mov"), 1000, 2);
    let sessions = ["here/night.toml", "there/night.toml"].map(|name| home.dir.path().join(name));
    for session in &sessions {
        fs::create_dir(session.parent().unwrap()).unwrap();
    }
    let [here, there] = sessions.each_ref().map(|session| session.to_str().unwrap());
    server.hold_part(2, 1);
    let first = home.up(&["--session", here, "--parts", "1"]);
    server.wait_until_held(1);
    let folder = other.path.parent().unwrap();
    home.up_paths(&[folder], &["--session", there])
        .end()
        .assert_code(0);
    // What one of them sends, the other waits for.
    let mut second = home.up_paths(&[&film.path], &["--session", there]);
    let (path, reason) = waits(&mut second);
    assert_eq!(path, film.path);
    let words = format!(
        "waits for session {here}, which uploads {}",
        film.path.display()
    );
    assert_eq!(reason, words);
    server.release();
    first.end().assert_code(0);
    second.end().assert_code(0);
    assert_films(&server, &[film, other]);
}

#[test]
fn a_resumed_session_waits_for_the_one_that_took_its_film_over() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 3 * PART + 77, 1);
        server.hold_part(2, 1);
        let mut first = home.up(&["--parts", "1"]);
        first.wait_for_event("part");
        server.wait_until_held(1);
        let first_session = home.session();
        assert!(first.kill().0);
        server.release();
        server.wait_until_hung_up();
        server.no_faults();

        server.hold_part(3, 1);
        let mut second = home.up(&["--parts", "1"]);
        second.wait_for_event("part");
        server.wait_until_held(1);
        let second_session = home.session_besides(&[&first_session]);
        let mut first = home.resume_session(&first_session, &[]);
        assert_waits_for_session(&mut first, &film.path, &second_session);
        server.release();
        second.end().assert_code(0);
        let ended = first.end();
        ended.assert_code(0);
        assert_films(&server, std::slice::from_ref(&film));
        assert_eq!(server.report().media.len(), 1);
        server.report().assert_nothing_twice();
        assert_uploaded_before(&ended, &film.path, &media_of(&server.report(), &film));
    });
}

/// One session with a film and another name of it, which waits: one part of the film has arrived, and
/// the next is held.
struct Names {
    server: Server,
    home: Home,
    film: Source,
    link: Source,
    run: Running,
}

impl Names {
    fn start(mode: Mode, args: &[&str]) -> Self {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("a film.mov"), 3 * PART + 77, 1);
        let link = Source {
            path: home.tree().join("b link.mov"),
            ..film.clone()
        };
        fs::hard_link(&film.path, &link.path).unwrap();
        server.hold_part(2, 1);
        let mut run = home.up(&[&["--parts", "1"], args].concat());
        let (other, reason) = waits(&mut run);
        // Whichever came first.
        let (film, link) = if other == film.path {
            (link, film)
        } else {
            (film, link)
        };
        assert_eq!(other, link.path);
        assert_eq!(reason, format!("waits for {}", film.path.display()));
        server.wait_until_held(1);
        Self {
            server,
            home,
            film,
            link,
            run,
        }
    }
}

#[test]
fn another_name_waits_for_the_first_and_is_skipped_when_that_is_accepted() {
    in_every_mode(|mode| {
        let Names {
            server,
            film,
            link,
            run,
            home,
        } = Names::start(mode, &[]);
        let screen = Screen::attach(&home);
        screen.until("a queued file", |now| now.counts.of(State::Queued) == 1);
        drop(screen);
        server.release();
        let ended = run.end();
        ended.assert_code(0);
        assert_films(&server, std::slice::from_ref(&film));
        assert_eq!(server.report().media.len(), 1);
        let media = media_of(&server.report(), &film);
        assert_eq!(reason(&ended, &link.path), same_bytes(&film.path, &media));
    });
}

#[test]
fn another_name_goes_out_when_the_first_is_removed() {
    in_every_mode(|mode| {
        let Names {
            server,
            home,
            film,
            link,
            run,
        } = Names::start(mode, &[]);
        let screen = Screen::attach(&home);
        screen.tell(Command::Remove(screen.only(&film)));
        drop(screen);
        server.release();
        let ended = run.end();
        ended.assert_code(0);
        assert_eq!(path_of(&ended.named("done")[0]), link.path);
        assert_films(&server, &[link]);
        assert_eq!(server.report().media.len(), 1, "it was started over");
    });
}

#[test]
fn another_name_goes_out_when_the_first_fails() {
    in_every_mode(|mode| {
        let names = Names::start(mode, &["--retries", "0"]);
        names
            .server
            .script(&json!([{ "fault": "status", "on": "part" }]));
        names.server.release();
        let Names {
            server,
            home,
            film,
            link,
            run,
        } = names;
        let ended = run.end();
        ended.assert_code(1);
        assert_eq!(path_of(&ended.named("failed")[0]), film.path);
        assert_eq!(path_of(&ended.named("done")[0]), link.path);
        assert_films(&server, std::slice::from_ref(&link));
        assert_eq!(server.report().media.len(), 1, "it was started over");

        let ended = assert_does_nothing(&server, || home.resume(&["--retry-failed"]).end());
        // The object was begun under this name, too.
        let media = media_of(&server.report(), &link);
        assert_uploaded_before(&ended, &film.path, &media);
    });
}

#[test]
fn another_name_goes_out_when_the_create_of_the_first_is_refused_for_good() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("a film.mov"), PART + 77, 1);
        let link = home.tree().join("b link.mov");
        fs::hard_link(&film.path, &link).unwrap();
        server.script(&json!([{ "fault": "status", "on": "create" }]));
        let ended = home.up(&["--retries", "0"]).end();
        ended.assert_code(1);
        server.assert_all_struck();
        let [failed, done] = ["failed", "done"].map(|what| ended.named(what));
        assert_eq!((failed.len(), done.len()), (1, 1), "{}", ended.stdout);
        assert_ne!(path_of(&failed[0]), path_of(&done[0]));
        assert_films(&server, &[film]);
    });
}

#[test]
fn copies_in_one_tree_are_uploaded_once() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("a/take.mov"), PART + 77, 1);
        let small = Source::write(home.tree().join("a/small.mov"), 1000, 2);
        for (from, to) in [
            (&film, "b/take.mov"),
            (&film, "c/other.mov"),
            (&small, "b/x.mov"),
        ] {
            super::copy(&from.path, &home.tree().join(to));
        }
        let ended = home.up(&["--files", "5"]).end();
        ended.assert_code(0);
        assert_films(&server, &[film, small]);
        assert_eq!(server.report().media.len(), 2);
        assert_eq!(ended.named("skipped").len(), 3, "{}", ended.stdout);
        assert_does_nothing(&server, || home.up(&[]).end());
    });
}

#[test]
fn a_copy_of_a_session_file_does_not_upload_what_the_session_does() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 3 * PART + 77, 1);
        server.hold_part(2, 1);
        let mut run = home.up(&["--session", "night.toml", "--parts", "1"]);
        run.wait_for_event("part");
        server.wait_until_held(1);
        let [session, copied] = ["night.toml", "copy.toml"].map(|name| home.dir.path().join(name));
        fs::copy(&session, &copied).unwrap();
        let ended = home.resume_session(&copied, &[]).end();
        ended.assert_code(2);
        let words = "another process has this session open";
        assert!(ended.stderr.contains(words), "{}", ended.stderr);

        assert!(run.kill().0);
        server.release();
        server.wait_until_hung_up();
        server.no_faults();
        fs::copy(&session, &copied).unwrap();
        home.resume_session(&copied, &[]).end().assert_code(0);
        assert_films(&server, std::slice::from_ref(&film));
        assert_eq!(server.report().media.len(), 1);
        server.report().assert_nothing_twice();
        assert_does_nothing(&server, || home.resume_session(&session, &[]).end());
    });
}

#[test]
fn sessions_that_all_wait_for_one_end_when_it_does() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("take.mov"), 2 * PART, 1);
    server.hold_part(2, 1);
    let mut first = home.up(&["--parts", "1"]);
    first.wait_for_event("part");
    server.wait_until_held(1);
    let session = home.session();
    let others = [(); 3].map(|()| {
        let mut other = home.up(&[]);
        assert_waits_for_session(&mut other, &film.path, &session);
        other
    });
    // One of them takes over, and the others wait for that one.
    assert!(first.kill().0);
    server.release();
    let mut done = 0;
    for other in others {
        let ended = other.end();
        ended.assert_code(0);
        done += ended.named("done").len();
    }
    assert_eq!(done, 1);
    assert_films(&server, std::slice::from_ref(&film));
    assert_eq!(server.report().media.len(), 1);
    assert_does_nothing(&server, || home.resume_session(&session, &[]).end());
}
