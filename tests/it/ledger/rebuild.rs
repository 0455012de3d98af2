//! A ledger in the place of one that is damaged, or is to be made anew.

use std::{
    fs,
    path::{Path, PathBuf},
};

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
const DAMAGES: [&str; 3] = [
    "its pages are overwritten",
    "it is text",
    "it is another database",
];

fn damage(file: &Path, how: &str) {
    match how {
        "its pages are overwritten" => {
            let mut bytes = fs::read(file).unwrap();
            bytes[100..].fill(0xff);
            fs::write(file, bytes).unwrap();
        }
        "it is text" => fs::write(file, "a note\n".repeat(1000)).unwrap(),
        _ => {
            fs::remove_file(file).unwrap();
            let other = rusqlite::Connection::open(file).unwrap();
            other.execute_batch("CREATE TABLE mine (a)").unwrap();
        }
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
