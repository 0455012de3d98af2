//! A ledger in the place of one that is damaged, or is to be made anew.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{assert_does_nothing, assert_films, assert_uploaded_before, films, media_of};
use crate::support::{
    Ended, Home, Mode, PART, Server, Source, in_every_mode, path_of, side_by_side,
};

fn ledger(home: &Home) -> PathBuf {
    home.state().join("ledger.db")
}

fn rebuild(home: &Home) -> Ended {
    home.run(["ledger", "rebuild", "--json"])
}

/// What can become of a ledger's file.
const DAMAGES: [&str; 2] = ["its pages are overwritten", "it is text"];

fn damage(file: &Path, how: &str) {
    match how {
        "its pages are overwritten" => {
            let mut bytes = fs::read(file).unwrap();
            bytes[100..].fill(0xff);
            fs::write(file, bytes).unwrap();
        }
        _ => fs::write(file, "a note\n".repeat(1000)).unwrap(),
    }
}

#[test]
fn a_damaged_ledger_is_moved_aside_and_made_anew_from_the_sessions() {
    side_by_side(DAMAGES, |how| {
        let server = Server::start();
        let home = Home::new(Mode::JwPlayer, &server.url);
        let films = films(&home.tree());
        home.up(&[]).end().assert_code(0);
        for number in 1..=2 {
            damage(&ledger(&home), how);
            let damaged = fs::read(ledger(&home)).unwrap();
            let ended = assert_does_nothing(&server, || home.up(&[]).end());
            for film in &films {
                assert_uploaded_before(&ended, &film.path, &media_of(&server.report(), film));
            }
            let aside = home.state().join(format!("ledger.db.damaged-{number}"));
            assert_eq!(fs::read(&aside).unwrap(), damaged, "{how}");
            let words = format!("it is {} now", aside.display());
            let said = ended.stderr.lines().filter(|line| line.contains(&words));
            assert_eq!(said.count(), 1, "{}", ended.stderr);
        }
    });
}

#[test]
fn while_another_session_runs_a_damaged_ledger_stays_and_nothing_is_started() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("take.mov"), 2 * PART + 1, 1);
    server.hold_part(2, 1);
    let mut run = home.up(&["--parts", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    let session = home.session();
    let sound = fs::read(ledger(&home)).unwrap();
    damage(&ledger(&home), "its pages are overwritten");
    let damaged = fs::read(ledger(&home)).unwrap();
    let ended = home.up(&[]).end();
    ended.assert_code(2);
    for words in ["is damaged", "once no session runs"] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    let ended = rebuild(&home);
    ended.assert_code(2);
    assert!(ended.stderr.contains("a session runs"), "{}", ended.stderr);
    assert_eq!(fs::read(ledger(&home)).unwrap(), damaged);
    assert_eq!(home.sessions(), [session], "nothing is left of the other");

    fs::write(ledger(&home), sound).unwrap();
    server.release();
    run.end().assert_code(0);
    assert_films(&server, &[film]);
}

#[test]
fn a_session_whose_ledger_was_damaged_is_resumed_inside_its_media_object() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 2 * PART + 1, 1);
        home.kill_after_the_first_part(&server);
        server.no_faults();
        damage(&ledger(&home), "its pages are overwritten");
        home.resume(&[]).end().assert_code(0);
        assert_films(&server, &[film]);
        let report = server.report();
        assert_eq!(report.media.len(), 1, "{:#?}", report.media);
        report.assert_nothing_twice();
    });
}

#[test]
fn a_ledger_made_anew_knows_what_sessions_say_and_what_was_forgotten_and_names_what_is_lost() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = |name, seed| Source::write(home.tree().join(name), PART + 1, seed);
        let kept = film("kept.mov", 1);
        let forgotten = film("forgotten.mov", 2);
        let lost = film("lost.mov", 3);
        home.up_paths(&[&kept.path, &forgotten.path], &[])
            .end()
            .assert_code(0);
        let session = home.session();
        home.up_paths(&[&lost.path], &[]).end().assert_code(0);
        fs::remove_file(home.session_besides(&[&session])).unwrap();
        let path = forgotten.path.to_str().unwrap();
        home.run(["ledger", "forget", path]).assert_code(0);

        let ended = rebuild(&home);
        ended.assert_code(0);
        let named: Vec<_> = ended.named("lost").iter().map(path_of).collect();
        assert_eq!(named, [&*lost.path]);
        let rebuilt = &ended.named("rebuilt")[0];
        assert_eq!(rebuilt["uploads"], 1, "{rebuilt}");
        assert_eq!(rebuilt["lost"], 1, "{rebuilt}");
        let old = reelhaul::path::decode(rebuilt["old"].as_str().unwrap());
        assert!(old.exists() && old != ledger(&home), "{rebuilt}");

        let ended = home.up(&[]).end();
        ended.assert_code(0);
        assert_uploaded_before(&ended, &kept.path, &media_of(&server.report(), &kept));
        let films = [&kept, &forgotten, &forgotten, &lost, &lost].map(Clone::clone);
        assert_films(&server, &films);
    });
}

#[test]
fn a_damaged_ledger_is_made_anew_on_demand_and_that_it_could_not_be_read_is_said() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    films(&home.tree());
    home.up(&[]).end().assert_code(0);
    damage(&ledger(&home), "it is text");
    let ended = home.run(["ledger", "rebuild"]);
    ended.assert_code(0);
    let words = "the old one can't be read";
    assert!(ended.stdout.contains(words), "{}", ended.output());
    assert_does_nothing(&server, || home.up(&[]).end());
}

/// Runs `ledger import` for these sessions, and returns its code and its lines.
fn import(home: &Home, sessions: &[&Path], code: i32) -> Vec<serde_json::Value> {
    let mut args = vec!["ledger".as_ref(), "import".as_ref(), "--json".as_ref()];
    args.extend(sessions.iter().map(|path| path.as_os_str()));
    let ended = home.run(args);
    ended.assert_code(code);
    ended.named("imported")
}

#[test]
fn a_session_of_another_machine_is_imported_and_what_it_uploaded_is_skipped_here() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = films(&home.tree());
        home.up(&[]).end().assert_code(0);
        let carried = home.dir.path().join("carried.toml");
        fs::rename(home.session(), &carried).unwrap();
        fs::remove_dir_all(home.state()).unwrap();

        let imported = import(&home, &[&carried], 0);
        assert_eq!(imported[0]["new"], films.len(), "{imported:?}");
        let ended = assert_does_nothing(&server, || home.up(&[]).end());
        for film in &films {
            assert_uploaded_before(&ended, &film.path, &media_of(&server.report(), film));
        }
        let again = import(&home, &[&carried], 0);
        assert_eq!(again[0]["new"], 0, "{again:?}");
        assert_eq!(again[0]["uploads"], films.len(), "{again:?}");
    });
}

#[test]
fn a_session_that_nothing_shows_to_be_of_the_account_is_not_imported() {
    in_every_mode(|mode| {
        let [server, other] = [Server::start(), Server::start()];
        let home = Home::new(mode, &server.url);
        let films = films(&home.tree());
        home.up(&[]).end().assert_code(0);
        let session = home.session();
        // Its uploads name their account, which is another one.
        home.write_config(&mode.config(&other.url));
        let imported = import(&home, &[&session], 0);
        assert_eq!(imported[0]["elsewhere"], films.len(), "{imported:?}");
        assert_eq!(imported[0]["new"], 0, "{imported:?}");
        // They do not, and the account has none of their media objects.
        super::import::as_first_edition(&session);
        let imported = import(&home, &[&session], 1);
        assert_eq!(imported[0]["unproven"], films.len(), "{imported:?}");
        assert_eq!(imported[0]["new"], 0, "{imported:?}");
        let reason = imported[0]["reason"].as_str().unwrap();
        assert!(reason.contains("has none of the newest media"), "{reason}");
        home.up(&[]).end().assert_code(0);
        assert_films(&other, &films);
        let missing = import(&home, &[Path::new("nowhere.toml")], 1);
        let reason = missing[0]["reason"].as_str().unwrap();
        assert!(reason.contains("there is no session"), "{reason}");
    });
}

#[test]
fn a_ledger_with_a_damaged_page_ends_the_run_and_the_next_one_makes_it_anew() {
    const PAGE: usize = 4096;
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let mut films = films(&home.tree());
    home.up(&[]).end().assert_code(0);
    let pages = fs::read(ledger(&home)).unwrap().len() / PAGE;
    for page in 1..pages {
        let mut bytes = fs::read(ledger(&home)).unwrap();
        let Some(found) = bytes.get_mut(page * PAGE..(page + 1) * PAGE) else {
            break;
        };
        found.fill(0);
        fs::write(ledger(&home), bytes).unwrap();
        let path = home.tree().join(format!("new {page}.mp4"));
        films.push(Source::write(path, 50_000, 100 + page as u64));
        // The first may meet it while it runs, or not at all.
        let first = home.up(&[]).end();
        assert!(first.status.code().is_some_and(|code| code <= 2), "{page}");
        home.up(&[]).end().assert_code(0);
        assert_films(&server, &films);
    }
}

#[test]
fn a_ledger_that_is_taken_away_ends_the_run_with_words() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let films = films(&home.tree());
    server.hold_part(1, 1);
    let run = home.up(&["--files", "1"]);
    server.wait_until_held(1);
    fs::rename(ledger(&home), home.state().join("elsewhere")).unwrap();
    server.release();
    let ended = run.end();
    ended.assert_code(1);
    let words = "was removed or replaced while it was open";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    home.resume(&[]).end().assert_code(0);
    assert_films(&server, &films);
}

#[test]
fn what_is_no_ledger_is_left_as_it_is_when_it_is_named_as_one() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("take.mp4"), 50_000, 1);
    let database = home.dir.path().join("other.db");
    let other = rusqlite::Connection::open(&database).unwrap();
    other.execute_batch("CREATE TABLE mine (a)").unwrap();
    drop(other);
    let config = Mode::JwPlayer.config(&server.url);
    for named in [&film.path, &database] {
        fs::set_permissions(named, Permissions::from_mode(0o644)).unwrap();
        let before = fs::read(named).unwrap();
        home.write_config(&format!("{config}\n[ledger]\npath = {named:?}\n"));
        for command in [
            vec!["up", home.tree().to_str().unwrap()],
            vec!["ledger", "rebuild"],
        ] {
            let ended = home.run(command);
            ended.assert_code(2);
            assert!(ended.stderr.contains("is not a ledger"), "{}", ended.stderr);
        }
        assert_eq!(fs::read(named).unwrap(), before);
        assert_eq!(
            named.metadata().unwrap().permissions().mode() & 0o777,
            0o644
        );
        let beside = fs::read_dir(named.parent().unwrap()).unwrap();
        let names = beside.map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names
            .filter(|name| name.to_string_lossy().contains("damaged"))
            .collect();
        assert_eq!(left, Vec::<std::ffi::OsString>::new());
    }
    assert!(server.report().media.is_empty());
}

#[test]
fn an_upload_that_was_forgotten_and_resumed_is_known_to_a_ledger_that_is_made_anew() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 2 * PART + 1, 1);
        home.kill_after_the_first_part(&server);
        server.no_faults();
        let forget = ["ledger", "forget", film.path.to_str().unwrap()];
        home.run(forget).assert_code(0);
        home.resume(&[]).end().assert_code(0);
        rebuild(&home).assert_code(0);
        assert_does_nothing(&server, || home.up(&[]).end());
        assert_films(&server, &[film]);
    });
}

#[test]
fn a_ledger_from_a_backup_mixes_up_no_films() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = |name: &str, number| {
            let path = home.dir.path().join(name).join("take.mov");
            Source::write(path, 2 * PART + 1, number)
        };
        let films = [film("first", 1), film("second", 2), film("third", 3)];
        let up = |film: &Source| home.up_paths(&[film.path.parent().unwrap()], &[]);
        up(&films[0]).end().assert_code(0);
        let backup = fs::read(ledger(&home)).unwrap();
        let first = home.session();
        server.script(&json!([{ "fault": "status", "on": "part", "part": 2 }]));
        let folder = films[1].path.parent().unwrap();
        let fails = home.up_paths(&[folder], &["--parts", "1", "--retries", "0"]);
        fails.end().assert_code(1);
        server.no_faults();
        let second = home.session_besides(&[&first]);
        let folder = films[2].path.parent().unwrap().to_str().unwrap();
        let third = ["up", folder, "--json", "--part-size", "5MiB"];
        home.start_killed_at("completed", third)
            .end()
            .assert_killed();
        let third = home.session_besides(&[&first, &second]);
        fs::write(ledger(&home), backup).unwrap();

        up(&films[0]).end().assert_code(0);
        home.resume_session(&third, &[]).end().assert_code(0);
        for film in &films {
            up(film).end().assert_code(0);
        }
        assert_films(&server, &films);
    });
}

#[test]
fn a_film_that_was_complete_is_not_sent_again_when_the_ledger_is_lost() {
    let points = ["completed", "complete-in-ledger"];
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| points.map(|point| (mode, point)));
    side_by_side(cases, |(mode, point)| {
        for lost in ["deleted", "it is text"] {
            let server = Server::start();
            let home = Home::new(mode, &server.url);
            let film = Source::write(home.tree().join("take.mov"), 2 * PART + 1, 1);
            let tree = home.tree();
            let up = [
                "up",
                tree.to_str().unwrap(),
                "--json",
                "--part-size",
                "5MiB",
            ];
            home.start_killed_at(point, up).end().assert_killed();
            match lost {
                "deleted" => fs::remove_file(ledger(&home)).unwrap(),
                how => damage(&ledger(&home), how),
            }
            home.resume(&[]).end().assert_code(0);
            assert_films(&server, &[film]);
            assert_eq!(server.report().media.len(), 1);
        }
    });
}
