//! `reelhaul resume --all`: all unfinished sessions that do not run, one after another.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    ledger::{assert_films, name},
    support::{Ended, Home, Mode, PART, Running, Server, Source, in_every_mode},
};

/// A session of one film that is killed while the film's second part is held.
pub(crate) fn killed(
    server: &Server,
    home: &Home,
    number: u64,
    known: &[&Path],
) -> (Source, PathBuf) {
    let path = home.tree().join(format!("{number}/take {number}.mov"));
    let film = Source::write(path, 2 * PART + number, number);
    server.hold_part(2, 1);
    let mut run = home.up_paths(&[&film.path], &["--parts", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    assert!(run.kill().0);
    server.release();
    server.wait_until_hung_up();
    server.no_faults();
    (film, home.session_besides(known))
}

fn resume_all(home: &Home, more: &[&str]) -> Running {
    let mut args = vec!["resume", "--all", "--json"];
    args.extend(more);
    home.start(args)
}

/// The sessions that were resumed, in their order: each is introduced, and ends with its summary.
#[track_caller]
fn resumed(ended: &Ended) -> Vec<String> {
    let names = |event| -> Vec<String> {
        let events = ended.named(event);
        let names = events
            .iter()
            .map(|event| event["session"].as_str().unwrap());
        names.map(str::to_owned).collect()
    };
    let introduced = names("session");
    assert_eq!(introduced, names("summary"), "{}", ended.output());
    introduced
}

#[test]
fn all_unfinished_sessions_that_do_not_run_are_resumed_the_oldest_first() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let (first, older) = killed(&server, &home, 1, &[]);
        let finished = Source::write(home.tree().join("finished/take.mov"), 3000, 3);
        home.up_paths(&[&finished.path], &[]).end().assert_code(0);
        let done = home.session_besides(&[&older]);
        let (second, newer) = killed(&server, &home, 2, &[&older, &done]);
        let running = Source::write(home.tree().join("running/take.mov"), 4000, 4);
        server.hold_part(1, 1);
        let run = home.up_paths(&[&running.path], &[]);
        server.wait_until_held(1);

        let ended = resume_all(&home, &[]).end();
        ended.assert_code(0);
        assert_eq!(resumed(&ended), [name(&older), name(&newer)]);
        server.report().assert_nothing_twice();
        server.release();
        run.end().assert_code(0);
        assert_films(&server, &[first, finished, second, running]);

        let ended = resume_all(&home, &[]).end();
        ended.assert_code(0);
        assert_eq!(resumed(&ended), [] as [String; 0]);
        let words = "no session is to be resumed";
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    });
}

#[test]
fn each_session_is_introduced_by_a_line_for_people_too() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let (_, session) = killed(&server, &home, 1, &[]);
    let ended = home.run(["resume", "--all"]);
    ended.assert_code(0);
    let line = format!("session     {}\n", name(&session));
    assert!(ended.stdout.starts_with(&line), "{}", ended.stdout);
}

#[test]
fn a_session_whose_account_refuses_it_keeps_no_other_from_being_resumed() {
    let [server, other] = [Server::start(), Server::start()];
    let home = Home::new(Mode::JwPlayer, &server.url);
    let (_, refused) = killed(&server, &home, 1, &[]);
    // The destination of the first has another account now, and another is called `good`.
    let config = |url: &str| Mode::JwPlayer.config(url);
    let good = config(&other.url).replace("destination.it", "destination.good");
    home.write_config(&format!(
        "default = \"good\"\n{}\n{good}",
        config(&server.url)
    ));
    let (film, accepted) = killed(&other, &home, 2, &[&refused]);
    let bad = config(&server.url).replace(reelhaul::sandbox::SECRET, "wrong");
    home.write_config(&format!("default = \"good\"\n{bad}\n{good}"));

    let ended = resume_all(&home, &[]).end();
    ended.assert_code(2);
    let named: Vec<_> = ended.named("session");
    let named: Vec<_> = named
        .iter()
        .map(|event| event["session"].as_str().unwrap())
        .collect();
    assert_eq!(named, [name(&refused), name(&accepted)]);
    let words = format!("session {}: ", name(&refused));
    assert!(ended.stderr.contains(&words), "{}", ended.stderr);
    assert_films(&other, &[film]);
}

#[test]
fn the_exit_code_is_the_worst_and_what_failed_is_tried_again_in_each() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let (first, older) = killed(&server, &home, 1, &[]);
    let (second, newer) = killed(&server, &home, 2, &[&older]);
    let films = [&first, &second];
    let away = films.map(|film| film.path.with_extension("away"));
    for (film, away) in films.iter().zip(&away) {
        fs::rename(&film.path, away).unwrap();
    }
    resume_all(&home, &[]).end().assert_code(1);
    fs::rename(&away[0], &first.path).unwrap();
    let ended = resume_all(&home, &["--retry-failed"]).end();
    ended.assert_code(1);
    assert_eq!(resumed(&ended), [name(&older), name(&newer)]);
    fs::rename(&away[1], &second.path).unwrap();
    let ended = resume_all(&home, &["--retry-failed"]).end();
    ended.assert_code(0);
    assert_eq!(resumed(&ended), [name(&newer)]);
    assert_films(&server, &[first, second]);
}

#[test]
fn an_interrupt_ends_all_sessions_and_all_can_be_resumed_again() {
    for signal in ["INT", "TERM"] {
        let server = Server::start();
        let home = Home::new(Mode::JwPlayer, &server.url);
        let (first, older) = killed(&server, &home, 1, &[]);
        let (second, newer) = killed(&server, &home, 2, &[&older]);
        let untouched = fs::read(&newer).unwrap();
        server.hold_part(2, 1);
        let run = resume_all(&home, &["--parts", "1"]);
        server.wait_until_held(1);
        home.interrupt(&run, &older, signal);
        server.release();
        let ended = run.end();
        ended.assert_code(130);
        assert_eq!(resumed(&ended), [name(&older)]);
        let words = "continue with: reelhaul resume --all";
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        assert_eq!(fs::read(&newer).unwrap(), untouched);

        server.no_faults();
        let ended = resume_all(&home, &[]).end();
        ended.assert_code(0);
        assert_films(&server, &[first, second]);
        server.report().assert_nothing_twice();
    }
}

#[test]
fn an_interrupt_while_the_account_of_a_session_is_asked_ends_all_at_once() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let (_, session) = killed(&server, &home, 1, &[]);
    server.script(&json!([{ "fault": "hold", "on": "find", "times": 1_000_000 }]));
    let mut run = resume_all(&home, &[]);
    run.wait_for_event("session");
    server.wait_until_held(1);
    run.signal("INT");
    run.end().assert_code(130);
    // Nobody has it any more.
    server.release();
    server.no_faults();
    home.resume_session(&session, &[]).end().assert_code(0);
}

#[test]
fn a_session_that_can_not_be_read_is_said_and_is_no_success() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let folder = home.state().join("sessions");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("broken.toml"), "this is no session").unwrap();
    let ended = home.run(["resume", "--all"]);
    ended.assert_code(1);
    for words in ["broken.toml, line 1", "It is not resumed"] {
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}
