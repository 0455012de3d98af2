//! One session file is one session, whatever it is called by, and the files beside it are its own.

use std::{fs, os::unix::fs::symlink};

use crate::support::{Home, Mode, PART, Running, Server, Source};
use reelhaul::{
    attach::{self, Places, Role},
    engine::protocol::Command,
};
use serde_json::json;
use tokio::runtime::Runtime;

/// A session `s.toml` in the home's own folder, interrupted while both parts of its file were held.
fn interrupted(server: &Server) -> (Home, Source) {
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("a.mp4"), PART + 1, 1);
    server.hold_parts();
    let run = home.up(&["--session", "s.toml"]);
    server.wait_until_held(1);
    home.interrupt(&run, &home.dir.path().join("s.toml"), "INT");
    run.signal("INT");
    let ended = run.end();
    ended.assert_code(130);
    let named = format!("resume {}", home.dir.path().join("s.toml").display());
    assert!(ended.stderr.contains(&named), "{}", ended.stderr);
    server.release();
    server.wait_until_hung_up();
    server.no_faults();
    (home, file)
}

/// Resumes it under this name, up to the completion, which is held.
fn resumed(server: &Server, home: &Home, name: &str) -> Running {
    server.script(&json!([{ "fault": "hold", "on": "complete" }]));
    let run = home.start(["resume", name, "--json"]);
    server.wait_until_held(1);
    run
}

#[test]
fn a_session_by_its_bare_name_can_be_saved_on_request() {
    let server = Server::start();
    let (home, file) = interrupted(&server);
    let mut run = resumed(&server, &home, "s.toml");
    let places = Places::usual(&home.state());
    let session = home.dir.path().join("s.toml");
    Runtime::new().unwrap().block_on(async {
        let attached = attach::connect(&session, &places, Role::Watcher).await;
        let saved = attached.unwrap().handle.command(Command::Save).await;
        let saved = saved.unwrap();
        assert!(!saved.refused, "{}", saved.words);
        assert_eq!(saved.words, "saved");
    });
    assert!(run.is_running());
    server.release();
    run.end().assert_code(0);
    server.report().assert_holds(&[file]);
}

#[test]
fn a_session_that_runs_is_in_use_through_a_symlink_too() {
    let server = Server::start();
    let (home, file) = interrupted(&server);
    symlink("s.toml", home.dir.path().join("l.toml")).unwrap();
    let run = resumed(&server, &home, "l.toml");
    for name in ["s.toml", "./l.toml"] {
        let second = home.run(["resume", name, "--json"]);
        second.assert_code(2);
        assert!(second.stderr.contains("in use by process"), "{name}");
    }
    server.release();
    run.end().assert_code(0);
    assert!(home.dir.path().join("l.toml").is_symlink());
    server.report().assert_holds(&[file]);
}

#[test]
fn a_file_that_is_no_session_and_its_lock_are_left_as_they_are() {
    let home = Home::bare();
    let [cargo, lock] = ["Cargo.toml", "Cargo.lock"].map(|name| home.dir.path().join(name));
    fs::write(&cargo, "[package]\nname = \"x\"\n").unwrap();
    fs::write(&lock, "version = 4\n").unwrap();
    let ended = home.run(["resume", "./Cargo.toml", "--headless"]);
    ended.assert_code(2);
    assert!(ended.stderr.contains("left as it is"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&lock).unwrap(), "version = 4\n");
    assert!(!home.dir.path().join("Cargo.toml.lock").exists());
}
