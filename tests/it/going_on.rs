//! Going on with a session, and finding it: what is printed as the next command does what it says.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::support::{Home, Mode, PART, Running, Server, Source, edited};

fn name(session: &Path) -> String {
    let stem = session.file_stem().unwrap();
    stem.to_str().unwrap().to_owned()
}

/// A session that was killed with some of its one file sent.
fn killed() -> (Server, Home, Source, PathBuf) {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("take.mov"), 2 * PART, 1);
    home.kill_after_the_first_part(&server);
    let session = home.session();
    (server, home, file, session)
}

#[test]
fn what_a_person_left_paused_goes_on_where_nobody_watches() {
    let (server, home, file, session) = killed();
    let paused = "[[log]]\nupload = 1\nstate = \"paused\"\n\n";
    fs::write(&session, edited(&session) + paused).unwrap();
    let ended = home.run(["sessions"]);
    assert!(ended.stdout.contains("  paused  "), "{}", ended.stdout);
    home.resume(&[]).end().assert_code(0);
    server.report().assert_holds(&[file]);
    server.report().assert_nothing_twice();
}

#[test]
fn resume_passes_over_a_session_that_runs_and_names_it_when_no_other_is_left() {
    let (server, home, file, older) = killed();
    let other = Source::write(home.dir.path().join("other/other.mov"), 1000, 2);
    server.no_faults();
    server.script(&json!([{ "fault": "hold", "on": "part", "part": 1 }]));
    let run = home.up_paths(&[&other.path], &[]);
    server.wait_until_held(1);
    let newer = home.session_besides(&[&older]);

    // The newest runs: the one before it is resumed.
    let ended = home.resume(&[]).end();
    ended.assert_code(0);
    assert_eq!(ended.summary()["session"], *name(&older));
    server.report().assert_nothing_twice();

    let ended = home.resume(&[]).end();
    ended.assert_code(1);
    let attach = format!("reelhaul attach {}", name(&newer));
    for words in ["still runs (process ", &attach] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
    let ended = home.resume(&[&name(&newer)]).end();
    ended.assert_code(2);
    assert!(ended.stderr.contains(&attach), "{}", ended.stderr);
    server.release();
    run.end().assert_code(0);
    server.report().assert_holds(&[file, other]);
}

#[test]
fn resume_names_each_session_that_runs_when_all_unfinished_ones_do() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    server.hold_parts();
    let film = |number: usize| {
        let path = home.tree().join(format!("{number}.mov"));
        Source::write(path, 1000 + number as u64, number as u64)
    };
    let films = [1, 2].map(film);
    let runs: Vec<Running> = films
        .iter()
        .map(|film| home.up_paths(&[&film.path], &[]))
        .collect();
    server.wait_until_held(2);
    let ended = home.resume(&[]).end();
    ended.assert_code(1);
    for session in home.sessions() {
        let attach = format!("reelhaul attach {}", name(&session));
        assert!(ended.stderr.contains(&attach), "{}", ended.stderr);
    }
    server.release();
    for run in runs {
        run.end().assert_code(0);
    }
    let ended = home.resume(&[]).end();
    ended.assert_code(2);
    let words = "no session is unfinished";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    server.report().assert_holds(&films);
}

#[test]
fn the_command_that_is_named_for_what_failed_tries_it_again() {
    let (server, home, file, session) = killed();
    let away = home.dir.path().join("away");
    fs::rename(&file.path, &away).unwrap();
    let ended = home.resume(&[]).end();
    ended.assert_code(1);
    let name = name(&session);
    let words =
        format!("1 file is left (1 failed); go on with: reelhaul resume {name} --retry-failed");
    assert!(ended.stderr.contains(&words), "{}", ended.stderr);
    fs::rename(&away, &file.path).unwrap();
    let ended = home.resume(&[&name, "--retry-failed"]).end();
    ended.assert_code(0);
    let words = format!("the media id of each file: reelhaul report {name}");
    assert!(ended.stderr.contains(&words), "{}", ended.stderr);
    server.report().assert_holds(&[file]);
}

#[test]
fn the_command_that_is_named_for_what_changed_begins_it_anew() {
    let (server, home, file, session) = killed();
    let file = Source::write(&file.path, file.size, 9);
    let ended = home.resume(&[]).end();
    ended.assert_code(1);
    let name = name(&session);
    let words = format!("(1 changed); go on with: reelhaul resume {name} --start-over");
    assert!(ended.stderr.contains(&words), "{}", ended.stderr);
    home.resume(&[&name, "--start-over"]).end().assert_code(0);
    server.report().assert_holds(&[file]);
}

#[test]
fn sessions_are_listed_with_state_date_and_folder_and_found_by_the_beginning_of_their_name() {
    let (server, home, file, session) = killed();
    let ended = home.run(["sessions"]);
    ended.assert_code(0);
    let name = name(&session);
    let tree = home.tree();
    let line = &ended.stdout;
    assert!(line.starts_with(&format!("{name}  unfinished  ")), "{line}");
    assert!(
        line.contains(&format!("  {} to it: ", tree.display())),
        "{line}"
    );
    assert!(line.contains(": 0 of 1 file done"), "{line}");
    let (_, time) = line.split_once("unfinished  ").unwrap();
    let (time, _) = time.split_once("  ").unwrap();
    assert!(!time.contains('Z'), "local time: {time}");

    let listed = home.run(["sessions", "--json"]).events();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["state"], "unfinished");
    assert_eq!(listed[0]["session"], *name);
    assert_eq!(listed[0]["folder"], tree.to_str().unwrap());
    let changed = listed[0]["changed"].as_str().unwrap();
    assert!(!changed.contains('.'), "{changed}");

    let unknown = home.resume(&["tuesday"]).end();
    unknown.assert_code(2);
    let words = "there is no session tuesday; `reelhaul sessions` lists them";
    assert!(unknown.stderr.contains(words), "{}", unknown.stderr);
    let twin = session.with_file_name(format!("{name}-twin.toml"));
    fs::copy(&session, &twin).unwrap();
    let ambiguous = home.resume(&[&name[..8]]).end();
    ambiguous.assert_code(2);
    assert!(
        ambiguous.stderr.contains("2 sessions begin like that"),
        "{}",
        ambiguous.stderr
    );
    fs::remove_file(&twin).unwrap();
    home.resume(&[&name[..8]]).end().assert_code(0);
    server.report().assert_holds(&[file]);
    let ended = home.run(["sessions"]);
    assert!(ended.stdout.contains("  done  "), "{}", ended.stdout);
}

#[test]
fn a_run_that_finds_nothing_leaves_no_session_behind() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    fs::write(home.tree().join("notes.txt"), "no film").unwrap();
    home.up(&[]).end().assert_code(0);
    let folder = home.state().join("sessions");
    let left: Vec<_> = fs::read_dir(folder).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_mistyped_command_is_told_from_a_mistyped_path() {
    let home = Home::bare();
    let ended = home.run(["sesions"]);
    ended.assert_code(2);
    let words = "was `reelhaul sessions` meant?";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    let ended = home.run(["no such film.mov"]);
    ended.assert_code(2);
    assert!(!ended.stderr.contains("meant"), "{}", ended.stderr);
}

#[test]
fn the_report_names_the_media_object_of_each_file_while_it_runs_and_when_it_is_done() {
    let (server, home, file, session) = killed();
    let shown = file.path.to_str().unwrap();
    let begun = &home.run(["report", "--json"]).events()[0];
    assert_eq!(begun["path"], shown);
    assert_eq!(begun["state"], "begun");
    assert!(begun["acknowledged"].as_u64() < Some(file.size));
    let media = begun["media"].as_str().unwrap().to_owned();
    home.resume(&[]).end().assert_code(0);

    let ended = home.run(["report", &name(&session)]);
    ended.assert_code(0);
    let columns: Vec<&str> = ended.stdout.split_whitespace().collect();
    assert_eq!(columns, ["done", &media, shown]);
    let done = &home.run(["report", "--json"]).events()[0];
    assert_eq!(
        (&done["state"], &done["media"]),
        (&"done".into(), &media.into())
    );
    assert_eq!(done["acknowledged"], file.size);
    assert!(done["done"].as_str() >= begun["begun"].as_str());
    server.report().assert_holds(&[file]);
    home.run(["report", "tuesday"]).assert_code(2);
}
