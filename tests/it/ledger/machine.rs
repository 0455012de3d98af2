//! A ledger that was made on another machine is used only by who says so.

use std::{fs, path::Path};

use rusqlite::Connection;

use super::{assert_does_nothing, assert_films, films};
use crate::support::{Ended, Home, Mode, PART, Running, Server, Source, in_every_mode};

/// Runs the program on a machine with this id; without one, where it is empty.
fn on(home: &Home, machine: &str, args: &[&str]) -> Ended {
    let mut command = home.command(args);
    command.env("REELHAUL_MACHINE_ID", machine);
    Running::new(command).end()
}

fn up<'a>(tree: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let up: &[&str] = &["up", tree.to_str().unwrap(), "--json"];
    [up, more].concat()
}

fn open(home: &Home) -> Connection {
    Connection::open(home.state().join("ledger.db")).unwrap()
}

/// The ledger's id, which markers begin with.
fn id(home: &Home) -> String {
    let ledger = open(home);
    let find = "SELECT value FROM meta WHERE key = 'id'";
    ledger.query_row(find, (), |row| row.get(0)).unwrap()
}

#[test]
fn the_ledger_of_another_machine_is_used_only_by_who_adopts_it() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let (tree, films) = (home.tree(), films(&home.tree()));
    on(&home, "one", &up(&tree, &[])).assert_code(0);
    let (first, sessions) = (id(&home), home.sessions());
    let new = tree.join("new.mp4");
    fs::write(&new, "a new one").unwrap();

    let refused = on(&home, "another", &up(&tree, &[]));
    refused.assert_code(2);
    for words in ["made on another machine", "--adopt"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert_eq!(home.sessions(), sessions, "a session is left of the try");
    assert_films(&server, &films);

    fs::remove_file(new).unwrap();
    let adopts = || on(&home, "another", &up(&tree, &["--adopt"]));
    assert_does_nothing(&server, adopts);
    assert_ne!(id(&home), first, "the other machine may use it yet");
    // Once is enough. A machine without an id is no other one.
    for machine in ["another", ""] {
        assert_does_nothing(&server, || on(&home, machine, &up(&tree, &[])));
    }
    on(&home, "one", &up(&tree, &[])).assert_code(2);
}

#[test]
fn what_another_machine_has_started_is_continued_after_its_ledger_was_adopted() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 2 * PART + 77, 1);
        home.kill_after_the_first_part(&server);
        let session = home.session();
        server.no_faults();
        // This machine may have no id.
        let ledger = open(&home);
        let is_of_one = "INSERT OR REPLACE INTO meta (key, value) VALUES ('machine', 'one')";
        ledger.execute(is_of_one, ()).unwrap();
        drop(ledger);
        let resume = |more: &[&str]| {
            let resume: &[&str] = &["resume", session.to_str().unwrap(), "--json"];
            on(&home, "another", &[resume, more].concat())
        };
        resume(&[]).assert_code(2);
        resume(&["--adopt"]).assert_code(0);
        assert_films(&server, &[film]);
        assert_eq!(server.report().media.len(), 1);
    });
}
