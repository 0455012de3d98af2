//! What happened to archives: two runs at once, a folder that is added again, another site, times that
//! shift, copies, nights that are killed.

use std::{fs, path::PathBuf};

use serde_json::json;

use super::{
    Shift, assert_does_nothing, assert_films, assert_uploaded_before, copy, films, media_of,
    modified, reason, same_bytes, set_modified, skipped,
};
use crate::support::{Home, MIB, Mode, PART, Running, Server, Source, in_every_mode, side_by_side};

/// What is said at the end of a run that skipped so many files.
fn skipped_words(count: usize) -> String {
    format!("{count} files skipped: already uploaded. Use --again to upload them again.")
}

#[test]
fn two_runs_of_one_tree_started_together_upload_each_file_once() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = |number| {
            let path = home.tree().join(format!("{number:02} take.mp4"));
            // Many are of one size.
            Source::write(path, 3000 + number % 3, number)
        };
        let films: Vec<_> = (0..60).map(film).collect();
        let runs = [(); 2].map(|()| home.up(&["--files", "4"]));
        for run in runs {
            run.end().assert_code(0);
        }
        assert_films(&server, &films);
        assert_eq!(server.report().media.len(), films.len());
    });
}

#[test]
fn a_folder_that_another_session_uploaded_is_not_uploaded_again_when_it_is_added_to_a_resumed_one()
{
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let folders = ["a", "b"].map(|name| home.tree().join(name));
        let [first, second] = [0, 10].map(|seed| {
            let path = folders[usize::from(seed > 0)].join(format!("take {seed}.mp4"));
            Source::write(path, 2 * PART + 77, seed)
        });
        home.up_paths(&[&folders[0]], &[]).end().assert_code(0);
        let uploaded = home.session();

        server.hold_part(2, 1);
        let mut run = home.up_paths(&[&folders[1]], &["--parts", "1"]);
        run.wait_for_event("part");
        server.wait_until_held(1);
        let session = home.session_besides(&[&uploaded]);
        home.interrupt(&run, &session, "INT");
        server.release();
        run.end().assert_code(130);

        let add = ["--session", session.to_str().unwrap()];
        let ended = home.up_paths(&[&folders[0]], &add).end();
        ended.assert_code(0);
        let films = [first, second];
        assert_films(&server, &films);
        assert_uploaded_before(
            &ended,
            &films[0].path,
            &media_of(&server.report(), &films[0]),
        );
        server.report().assert_nothing_twice();
    });
}

#[test]
fn a_destination_that_names_another_account_gets_every_file_there() {
    in_every_mode(|mode| {
        let [server, other] = [Server::start(), Server::start()];
        let home = Home::new(mode, &server.url);
        let films = films(&home.tree());
        home.up(&[]).end().assert_code(0);

        home.write_config(&mode.config(&other.url));
        let ended = home.up(&[]).end();
        ended.assert_code(0);
        assert!(ended.named("skipped").is_empty(), "{}", ended.stdout);
        assert_films(&other, &films);

        // Each remembers its own.
        for server in [&server, &other] {
            home.write_config(&mode.config(&server.url));
            let ended = assert_does_nothing(server, || home.up(&[]).end());
            for film in &films {
                assert_uploaded_before(&ended, &film.path, &media_of(&server.report(), film));
            }
        }
    });
}

#[test]
fn files_whose_times_shifted_or_lost_their_nanoseconds_are_not_uploaded_again() {
    side_by_side(Shift::ALL, |shift| {
        let server = Server::start();
        let home = Home::new(Mode::JwPlayer, &server.url);
        let films = films(&home.tree());
        home.up(&[]).end().assert_code(0);
        for film in &films {
            set_modified(&film.path, shift.of(modified(&film.path)));
        }
        let ended = assert_does_nothing(&server, || home.up(&[]).end());
        for film in &films {
            assert_uploaded_before(&ended, &film.path, &media_of(&server.report(), film));
        }
        // They are known by their new times.
        assert_does_nothing(&server, || home.up(&[]).end());
    });
}

#[test]
fn a_tree_that_was_copied_with_its_times_and_one_file_renamed_is_not_uploaded_again() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = films(&home.tree());
        home.up(&[]).end().assert_code(0);

        let other = home.dir.path().join("other disk/2019");
        let copies: Vec<PathBuf> = films
            .iter()
            .enumerate()
            .map(|(number, film)| {
                let name = film.path.file_name().unwrap().to_str().unwrap();
                let renamed = format!("renamed {name}");
                other.join(if number == 2 { &renamed } else { name })
            })
            .collect();
        for (film, copied) in films.iter().zip(&copies) {
            copy(&film.path, copied);
        }
        let ended = assert_does_nothing(&server, || home.up_paths(&[&other], &[]).end());
        for (film, copied) in films.iter().zip(&copies) {
            let media = media_of(&server.report(), film);
            assert_eq!(reason(&ended, copied), same_bytes(&film.path, &media));
        }
        assert!(
            ended.stderr.contains(&skipped_words(films.len())),
            "{}",
            ended.stderr
        );
    });
}

/// A night that is killed when one part of the first film has arrived and another is held.
fn killed_night(server: &Server, home: &Home) {
    server.hold_part(2, 1);
    let mut run = home.up(&["--files", "1", "--parts", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    kill(server, run);
    server.no_faults();
}

/// Kills a run while requests of it are held. What had come in of them is what arrives.
fn kill(server: &Server, run: Running) {
    assert!(run.kill().0);
    server.release();
    server.wait_until_hung_up();
}

#[test]
fn a_night_that_was_killed_is_finished_by_the_next_and_the_third_has_nothing_to_do() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = [
            Source::write(home.tree().join("a.mov"), 3 * PART + 77, 1),
            Source::write(home.tree().join("b.mov"), MIB, 2),
            Source::write(home.tree().join("c.mov"), PART + 1, 3),
        ];
        killed_night(&server, &home);
        let killed = home.session();

        let ended = home.up(&[]).end();
        ended.assert_code(0);
        assert_films(&server, &films);
        server.report().assert_nothing_twice();
        assert_eq!(
            server.report().media.len(),
            films.len(),
            "the first was started over"
        );
        let sent: u64 = films.iter().map(|film| film.size).sum();
        assert_eq!(ended.summary()["bytes"]["sent"], sent - PART);
        let second = home.session_besides(&[&killed]);

        let ended = assert_does_nothing(&server, || home.up(&[]).end());
        for film in &films {
            assert_uploaded_before(&ended, &film.path, &media_of(&server.report(), film));
        }
        assert!(
            ended.stderr.contains(&skipped_words(films.len())),
            "{}",
            ended.stderr
        );
        assert_eq!(ended.summary()["skipped"], films.len());
        let mut sessions = home.sessions();
        sessions.sort();
        let mut known = [killed.clone(), second];
        known.sort();
        assert_eq!(sessions, known, "the third night left a session behind");

        // The first session has nothing to do either.
        let ended = assert_does_nothing(&server, || home.resume_session(&killed, &[]).end());
        for film in &films {
            assert_uploaded_before(&ended, &film.path, &media_of(&server.report(), film));
        }
        let ended = home.resume(&[]).end();
        ended.assert_code(2);
        assert!(
            ended.stderr.contains("no session is unfinished"),
            "{}",
            ended.stderr
        );
    });
}

#[test]
fn three_nights_with_a_session_file_each_upload_each_film_once() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = films(&home.tree());
        for night in [
            "monday.toml",
            "tuesday.toml",
            "wednesday.toml",
            "monday.toml",
        ] {
            home.up(&["--session", night]).end().assert_code(0);
            assert_films(&server, &films);
        }
        assert_eq!(server.report().media.len(), films.len());
        // One that a person named stays, also when it had nothing to do.
        assert!(home.dir.path().join("wednesday.toml").exists());
    });
}

#[test]
fn a_session_file_in_another_folder_is_known_by_what_it_uploaded() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("take.mov"), PART + 1, 1);
    home.up(&["--session", "far away.toml"])
        .end()
        .assert_code(0);
    let ended = assert_does_nothing(&server, || home.up(&[]).end());
    assert_uploaded_before(&ended, &film.path, &media_of(&server.report(), &film));
    assert!(home.sessions().is_empty());
}

#[test]
fn again_uploads_once_more_and_only_that_once() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), PART + 1, 1);
        home.up(&["--session", "first.toml"]).end().assert_code(0);
        home.up(&["--session", "again.toml", "--again"])
            .end()
            .assert_code(0);
        assert_films(&server, &[film.clone(), film.clone()]);
        assert_does_nothing(&server, || home.up(&["--session", "third.toml"]).end());
        for session in ["first.toml", "again.toml", "third.toml"] {
            assert_does_nothing(&server, || home.resume_session(session.as_ref(), &[]).end());
        }
    });
}

#[test]
fn what_is_uploaded_once_more_and_was_killed_is_resumed_as_that() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 2 * PART + 1, 1);
        home.up(&["--session", "first.toml"]).end().assert_code(0);
        server.hold_part(2, 1);
        let args = ["--session", "again.toml", "--again", "--parts", "1"];
        let mut run = home.up(&args);
        run.wait_for_event("part");
        server.wait_until_held(1);
        kill(&server, run);
        server.no_faults();

        home.resume_session("again.toml".as_ref(), &[])
            .end()
            .assert_code(0);
        assert_films(&server, &[film.clone(), film]);
        assert_eq!(server.report().media.len(), 2, "it was started over");
        server.report().assert_nothing_twice();
    });
}

#[test]
fn other_names_of_a_film_are_skipped_and_named_by_what_was_uploaded() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("a film.mov"), PART + 1, 1);
        let [link, later] = ["b link.mov", "c later.mov"].map(|name| home.tree().join(name));
        fs::hard_link(&film.path, &link).unwrap();
        let ended = home.up(&[]).end();
        ended.assert_code(0);
        assert_films(&server, std::slice::from_ref(&film));
        let media = media_of(&server.report(), &film);
        let uploaded = ended.named("done");
        let uploaded = crate::support::path_of(&uploaded[0]);
        let other = if uploaded == link { &film.path } else { &link };
        assert_eq!(reason(&ended, other), same_bytes(&uploaded, &media));

        fs::hard_link(&film.path, &later).unwrap();
        let ended = assert_does_nothing(&server, || home.up(&[]).end());
        assert_eq!(reason(&ended, &later), same_bytes(&uploaded, &media));
        assert_eq!(skipped(&ended).len(), 3);
        assert!(ended.stderr.contains(&skipped_words(3)), "{}", ended.stderr);
    });
}

#[test]
fn the_date_of_a_skipped_file_is_that_of_the_place_where_the_program_runs() {
    // At every moment at least one of these has another date than Greenwich.
    side_by_side(["XXX-14", "XXX12"], |zone| {
        let server = Server::start();
        let home = Home::new(Mode::JwPlayer, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 1000, 1);
        let here = jiff::tz::TimeZone::posix(zone).unwrap();
        let today = || jiff::Timestamp::now().to_zoned(here.clone()).date();
        let up = || {
            let mut command = home.command(["up", home.tree().to_str().unwrap(), "--json"]);
            command.env("TZ", zone);
            Running::new(command).end()
        };
        let mut dates = vec![today()];
        up().assert_code(0);
        dates.push(today());
        let ended = up();
        let media = media_of(&server.report(), &film);
        let reason = reason(&ended, &film.path);
        let possible = dates
            .iter()
            .map(|date| format!("uploaded {date} as {media}"));
        assert!(
            possible.into_iter().any(|words| words == reason),
            "{reason}, {dates:?}"
        );
    });
}

#[test]
fn a_film_that_the_account_could_not_use_is_uploaded_by_the_next_run() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), PART + 1, 1);
        server.script(&json!([{ "fault": "bad-media", "on": "part" }]));
        home.up(&[]).end().assert_code(1);
        server.assert_all_struck();
        let failed = server.report().there()[0].id.clone();

        home.up(&[]).end().assert_code(0);
        let report = server.report();
        let good: Vec<_> = report
            .there()
            .into_iter()
            .filter(|media| media.id != failed)
            .collect();
        assert_eq!(good.len(), 1, "{good:#?}");
        assert_eq!(good[0].state, "ready");
        assert_eq!(good[0].sha256.as_ref(), Some(&film.sha256));
        assert_does_nothing(&server, || home.up(&[]).end());
    });
}
