//! Sessions are removed: by age, by name, and by themselves when they hold nothing. What they uploaded
//! stays known.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{
    ledger::{
        assert_does_nothing, assert_films, assert_uploaded_before, films, media_of, name,
        set_modified,
    },
    support::{
        Ended, Home, Mode, PART, Server, Source, edited, in_every_mode, program, terminal::Terminal,
    },
};

/// A session's file was changed last so many days ago.
fn age(session: &Path, days: u64) {
    set_modified(session, SystemTime::now() - Duration::from_hours(24 * days));
}

/// Appends tables to a session's file, as a person does by hand.
fn append(session: &Path, tables: &str) {
    fs::write(session, edited(session) + tables).unwrap();
}

/// All that lies in the folder with the sessions.
fn folder(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.state().join("sessions")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A session of one film was killed while the film's second part was held.
fn killed(mode: Mode) -> (Server, Home, Source, PathBuf) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let film = Source::write(home.tree().join("take.mov"), 2 * PART + 77, 1);
    home.kill_after_the_first_part(&server);
    server.no_faults();
    let session = home.session();
    (server, home, film, session)
}

/// A finished session of one film of its own.
fn finished(home: &Home, known: &[&Path]) -> (Source, PathBuf) {
    let path = home.dir.path().join("finished/take.mov");
    let film = Source::write(path, 3000, 9);
    home.up_paths(&[&film.path], &[]).end().assert_code(0);
    (film, home.session_besides(known))
}

/// What came of each session, by its name: `removed`, or why it stays.
fn outcomes(ended: &Ended) -> Vec<(String, String)> {
    let outcome = |line: &serde_json::Value| {
        let reason = line["reason"].as_str().unwrap_or("removed");
        assert_eq!(line["removed"], reason == "removed", "{line}");
        (
            line["session"].as_str().unwrap().to_owned(),
            reason.to_owned(),
        )
    };
    ended.events().iter().map(outcome).collect()
}

/// How many rows of the ledger a query counts.
fn rows(home: &Home, sql: &str) -> i64 {
    let ledger = rusqlite::Connection::open(home.state().join("ledger.db")).unwrap();
    ledger.query_row(sql, (), |row| row.get(0)).unwrap()
}

#[test]
fn a_pruned_session_leaves_no_file_and_nothing_of_it_is_uploaded_again() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = films(&home.tree());
        home.up(&[]).end().assert_code(0);
        let session = home.session();
        fs::write(session.with_extension("toml.log"), "a line\n").unwrap();
        age(&session, 31);

        let ended = home.run(["sessions", "prune"]);
        ended.assert_code(0);
        let count = films.len();
        let words = format!("removed {}: {count} files, finished 20", name(&session));
        assert!(ended.stdout.starts_with(&words), "{}", ended.stdout);
        assert!(
            ended.stdout.ends_with("\n1 session removed\n"),
            "{}",
            ended.stdout
        );
        assert_eq!(folder(&home), [] as [PathBuf; 0]);
        assert_eq!(rows(&home, "SELECT count(*) FROM owner"), 0);

        let ended = assert_does_nothing(&server, || home.up(&[]).end());
        for film in &films {
            assert_uploaded_before(&ended, &film.path, &media_of(&server.report(), film));
        }
        assert_films(&server, &films);
    });
}

#[test]
fn prune_never_removes_a_session_that_runs_or_is_unfinished_or_was_changed_not_long_ago() {
    let (server, home, _, unfinished) = killed(Mode::JwPlayer);
    let (_, recent) = finished(&home, &[&unfinished]);
    age(&unfinished, 400);
    age(&recent, 29);
    server.hold_parts();
    let film = Source::write(home.dir.path().join("running/take.mov"), 4000, 5);
    let run = home.up_paths(&[&film.path], &[]);
    server.wait_until_held(1);
    let running = home.session_besides(&[&unfinished, &recent]);
    let before = folder(&home);

    let ended = home.run(["sessions", "prune"]);
    ended.assert_code(0);
    let words = "no session removed; 3 stay: 1 unfinished, 2 changed not long ago\n";
    assert_eq!(ended.stdout, words);
    assert_eq!(folder(&home), before);

    let ended = home.run(["sessions", "prune", "--json", "--older", "0s"]);
    ended.assert_code(0);
    let mut found = outcomes(&ended);
    found.sort();
    let mut wanted = [
        (name(&unfinished), "unfinished".to_owned()),
        (name(&recent), "removed".to_owned()),
        (name(&running), "running".to_owned()),
    ];
    wanted.sort();
    assert_eq!(found, wanted);
    for (session, stays) in [(&unfinished, true), (&running, true), (&recent, false)] {
        assert_eq!(session.exists(), stays, "{}", session.display());
    }
    server.release();
    run.end().assert_code(0);
    home.resume_session(&unfinished, &[]).end().assert_code(0);
}

#[test]
fn a_session_with_a_film_that_failed_or_is_paused_is_not_pruned() {
    let (_server, home, film, session) = killed(Mode::JwPlayer);
    let assert_stays = || {
        age(&session, 400);
        let ended = home.run(["sessions", "prune", "--json"]);
        ended.assert_code(0);
        let wanted = [(name(&session), "unfinished".to_owned())];
        assert_eq!(outcomes(&ended), wanted, "{}", ended.output());
        assert!(session.exists());
    };
    append(&session, "[[log]]\nupload = 1\nstate = \"paused\"\n\n");
    assert_stays();
    fs::remove_file(&film.path).unwrap();
    let ended = home.resume(&[]).end();
    ended.assert_code(1);
    assert_eq!(ended.summary()["uploads"]["failed"], 1);
    assert_stays();
}

#[test]
fn a_session_that_the_ledger_lacks_stays_until_it_is_imported() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = films(&home.tree());
        home.up(&[]).end().assert_code(0);
        let session = home.session();
        let name = name(&session);
        age(&session, 31);
        let import = format!("reelhaul ledger import {name}");
        let assert_stays = || {
            let ended = home.run(["sessions", "prune"]);
            ended.assert_code(0);
            for words in ["does not know ", &import] {
                assert!(ended.stdout.contains(words), "{}", ended.stdout);
            }
            let ended = home.run(["sessions", "rm", "--yes", &name]);
            ended.assert_code(2);
            assert!(ended.stderr.contains(&import), "{}", ended.stderr);
            assert!(session.exists());
        };
        // The ledger lacks one of them, then all.
        rows(&home, "DELETE FROM accepted WHERE size = 1000 RETURNING id");
        assert_stays();
        fs::remove_file(home.state().join("ledger.db")).unwrap();
        assert_stays();

        // A run imports what the ledger lacks.
        let again = || home.up(&[]).end();
        assert_does_nothing(&server, again);
        let ended = home.run(["sessions", "prune"]);
        assert!(
            ended.stdout.contains("1 session removed"),
            "{}",
            ended.stdout
        );
        assert!(!session.exists());
        assert_does_nothing(&server, again);
        assert_films(&server, &films);
    });
}

#[test]
fn what_is_no_file_among_the_sessions_holds_nobody_up() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let (_, session) = finished(&home, &[]);
    let pipe = session.with_file_name("pipe.toml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    fs::create_dir(session.with_file_name("folder.toml")).unwrap();
    let listed = home.run(["sessions"]);
    listed.assert_code(0);
    assert_eq!(listed.stdout.lines().count(), 1, "{}", listed.stdout);
    home.run(["sessions", "prune"]).assert_code(0);
    home.run(["resume", "--all"]).assert_code(0);
}

#[test]
fn a_session_whose_log_is_damaged_stays_until_it_was_resumed() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let (_, session) = finished(&home, &[]);
    // A table without a checksum.
    let mut file = fs::OpenOptions::new().append(true).open(&session).unwrap();
    file.write_all(b"[[log]]\nupload = 1\nstate = \"done\"\n\n")
        .unwrap();
    age(&session, 31);
    let stays = home.run(["sessions", "prune"]);
    assert!(
        stays.stdout.contains("its log is damaged"),
        "{}",
        stays.output()
    );
    let rm = home.run(["sessions", "rm", &name(&session)]);
    rm.assert_code(2);
    assert!(rm.stderr.contains("a damaged log"), "{}", rm.stderr);
    assert!(session.exists());
    home.resume_session(&session, &[]).end().assert_code(0);
    age(&session, 31);
    let pruned = home.run(["sessions", "prune"]);
    assert!(
        pruned.stdout.contains("1 session removed"),
        "{}",
        pruned.output()
    );
    assert_eq!(folder(&home), Vec::<PathBuf>::new());
}

#[test]
fn a_session_that_can_not_be_read_or_lists_orphans_stays_and_is_named() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let (_, session) = finished(&home, &[]);
    let orphan = "[[orphan]]\nmarker = \"m1\"\nmedia = \"abcd1234\"\npath = \"/a.mov\"\nat = \
                  2026-01-01T00:00:00Z\n\n";
    append(&session, orphan);
    let damaged = session.with_file_name("damaged.toml");
    fs::write(&damaged, "this is no session").unwrap();
    age(&session, 31);
    age(&damaged, 31);
    let ended = home.run(["sessions", "prune"]);
    ended.assert_code(1);
    for words in [
        "damaged stays: ",
        "lists 1 media object that may be left",
        "2 stay: 2 for the reason above",
    ] {
        assert!(ended.stdout.contains(words), "{}", ended.stdout);
    }
    assert!(session.exists() && damaged.exists());
    // Nothing but the orphan would be lost.
    let rm = ["sessions", "rm", &name(&session)];
    let ended = home.run(rm);
    ended.assert_code(2);
    let words = "1 media object that may be left at the account";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert!(session.exists());
}

#[test]
fn an_unfinished_session_is_not_removed_without_a_yes() {
    let (_server, home, _, session) = killed(Mode::JwPlayer);
    let (before, text) = (folder(&home), fs::read(&session).unwrap());
    let started = "SELECT count(*) FROM started WHERE owner NOT NULL";
    assert_eq!(rows(&home, started), 1);
    let ended = home.run(["sessions", "rm", &name(&session)]);
    ended.assert_code(2);
    let command = format!("reelhaul sessions rm --yes {}", name(&session));
    for words in [
        "has 1 file that is not uploaded",
        "Nothing was removed",
        &command,
    ] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    assert_eq!(folder(&home), before);
    assert_eq!(fs::read(&session).unwrap(), text);
    assert_eq!(rows(&home, started), 1);
}

#[test]
fn what_a_removed_session_had_started_is_continued_inside_its_media_object() {
    in_every_mode(|mode| {
        let (server, home, film, session) = killed(mode);
        let ended = home.run(["sessions", "rm", "--yes", &name(&session)]);
        ended.assert_code(0);
        let tree = home.tree();
        let words = [
            format!("removed {}: 1 file, 1 of them not uploaded", name(&session)),
            format!(
                "1 upload that it had started can be continued by: reelhaul up {} --to it",
                tree.display()
            ),
        ];
        assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), words);
        assert_eq!(folder(&home), [] as [PathBuf; 0]);
        let open = "SELECT count(*) FROM started WHERE owner IS NULL AND state = 0";
        assert_eq!(rows(&home, open), 1);
        assert_eq!(rows(&home, "SELECT count(*) FROM owner"), 0);
        let owners = fs::read_dir(home.state().join("owners")).unwrap();
        assert_eq!(owners.count(), 0);

        home.up(&["--no-wait"]).end().assert_code(0);
        assert_films(&server, &[film]);
        let report = server.report();
        assert_eq!(report.media.len(), 1, "{:#?}", report.media);
        report.assert_nothing_twice();
    });
}

#[test]
fn a_session_that_runs_is_not_removed_and_neither_is_any_named_beside_it() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let (done, other) = finished(&home, &[]);
    server.hold_parts();
    let film = Source::write(home.tree().join("take.mov"), 4000, 5);
    let run = home.up(&[]);
    server.wait_until_held(1);
    let running = home.session_besides(&[&other]);
    for yes in [true, false] {
        let mut args = vec![
            "sessions".to_owned(),
            "rm".to_owned(),
            name(&other),
            name(&running),
        ];
        args.extend(yes.then(|| "--yes".to_owned()));
        let ended = home.run(args);
        ended.assert_code(2);
        let attach = format!("reelhaul attach {}", name(&running));
        for words in ["it runs (process ", &attach] {
            assert!(ended.stderr.contains(words), "{}", ended.stderr);
        }
        assert!(other.exists() && running.exists());
    }
    // A copy of it owns the same claims.
    let copy = running.with_file_name("copy.toml");
    fs::copy(&running, &copy).unwrap();
    let ended = home.run(["sessions", "rm", "--yes", "copy"]);
    ended.assert_code(2);
    let words = "another process has this session open, or a copy of it";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert!(copy.exists());
    let held = "SELECT count(*) FROM started WHERE owner NOT NULL";
    assert_eq!(rows(&home, held), 1);
    server.release();
    run.end().assert_code(0);
    assert_films(&server, &[done, film]);
    assert!(running.exists());
}

#[test]
fn finished_sessions_are_removed_at_once_by_the_beginning_of_their_names_or_their_files() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("take.mov"), 4000, 5);
    let night = home.dir.path().join("nights/one.toml");
    let tree = home.tree();
    let session = ["--session", night.to_str().unwrap()];
    home.up(&session).end().assert_code(0);
    let (other, by_name) = finished(&home, &[]);
    let name = name(&by_name);

    let ended = home.run(["sessions", "rm", &name, "tuesday"]);
    ended.assert_code(2);
    let words = "there is no session tuesday; `reelhaul sessions` lists them";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    assert!(by_name.exists());

    // Named twice, it is removed once.
    let ended = home.run([
        "sessions",
        "rm",
        &name[..12],
        &name,
        night.to_str().unwrap(),
    ]);
    ended.assert_code(0);
    assert_eq!(ended.stdout.lines().count(), 2, "{}", ended.stdout);
    assert_eq!(folder(&home), [] as [PathBuf; 0]);
    assert_eq!(fs::read_dir(night.parent().unwrap()).unwrap().count(), 0);
    assert_does_nothing(&server, || home.up_paths(&[&tree, &other.path], &[]).end());
    assert_films(&server, &[film, other]);
}

#[test]
fn a_file_that_is_no_session_is_not_removed() {
    let home = Home::bare();
    let cargo = home.dir.path().join("Cargo.toml");
    fs::write(&cargo, "[package]\nname = \"x\"\n").unwrap();
    let ended = home.run(["sessions", "rm", "--yes", "./Cargo.toml"]);
    ended.assert_code(2);
    assert!(ended.stderr.contains("left as it is"), "{}", ended.stderr);
    assert!(cargo.exists() && !home.dir.path().join("Cargo.toml.lock").exists());
}

#[test]
fn a_terminal_is_asked_before_an_unfinished_session_is_removed() {
    let (_server, home, _, session) = killed(Mode::JwPlayer);
    let program = program();
    let rm = format!("{} sessions rm {}", program.display(), name(&session));
    // The second answer is typed to another run.
    let Some(terminal) = Terminal::open("rm", &home, 160, 24, &format!("{rm}; {rm}")) else {
        return;
    };
    let question = "has 1 file that is not uploaded; remove it? [y/N]";
    terminal.shows_text(question);
    terminal.keys(&["Enter"]);
    terminal.shows("the question again", |screen| {
        screen.matches(question).count() == 2
    });
    assert!(session.exists());
    terminal.keys(&["-l", "y"]);
    terminal.keys(&["Enter"]);
    terminal.shows_text("it ended with 0");
    assert_eq!(folder(&home), [] as [PathBuf; 0]);
}

#[test]
fn a_session_in_which_nothing_was_to_be_uploaded_stays_where_it_was_named_or_resumed() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let (film, first) = finished(&home, &[]);
    let state = |session: &Path| {
        let listed = home.run(["sessions", "--json"]).events();
        let found = listed.iter().find(|line| line["session"] == *name(session));
        found.map(|line| line["state"].as_str().unwrap().to_owned())
    };

    // Made by itself, it goes, with its lock.
    let ended = assert_does_nothing(&server, || home.up_paths(&[&film.path], &[]).end());
    assert_eq!(ended.named("skipped").len(), 1);
    assert_eq!(home.session(), first);
    assert_eq!(folder(&home).len(), 2, "{:?}", folder(&home));

    // Named, it stays.
    let named = home.state().join("sessions/named.toml");
    let session = ["--session", named.to_str().unwrap()];
    assert_does_nothing(&server, || home.up_paths(&[&film.path], &session).end());
    assert_eq!(state(&named).as_deref(), Some("done"));

    // Resumed, it stays: what it had queued is uploaded by another session meanwhile.
    let other = Source::write(home.tree().join("take.mov"), 2 * PART + 77, 1);
    home.kill_after_the_first_part(&server);
    server.no_faults();
    let killed = home.session_besides(&[&first, &named]);
    home.up(&["--session", named.to_str().unwrap()])
        .end()
        .assert_code(0);
    assert_does_nothing(&server, || home.resume_session(&killed, &[]).end());
    assert_eq!(state(&killed).as_deref(), Some("done"));
    assert_films(&server, &[film, other]);
}
