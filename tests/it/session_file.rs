//! One session file is one session, whatever it is called by, and the files beside it are its own.

use std::{fs, os::unix::fs::symlink};

use crate::support::{Home, MIB, Mode, PART, Server, Source};
use reelhaul::{
    attach::{self, Places, Role},
    engine::protocol::Command,
};
use tokio::runtime::Runtime;

/// A session `s.toml` in the home's own folder, interrupted in the middle.
fn interrupted(server: &Server) -> (Home, Source) {
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("a.mp4"), 2 * PART, 1);
    server.line(MIB);
    let run = home.up(&["--session", "s.toml"]);
    server.wait_for_bytes(128 << 10);
    run.signal("INT");
    run.signal("INT");
    let ended = run.end();
    ended.assert_code(130);
    let named = format!("resume {}", home.dir.path().join("s.toml").display());
    assert!(ended.stderr.contains(&named), "{}", ended.stderr);
    (home, file)
}

#[test]
fn a_session_by_its_bare_name_can_be_saved_on_request() {
    let server = Server::start();
    let (home, file) = interrupted(&server);
    let received = server.report().bytes_received;
    let mut run = home.start(["resume", "s.toml", "--json"]);
    server.wait_for_bytes(received + (128 << 10));
    // It goes on, but does not come to its end before it is let.
    server.line(1 << 10);
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
    server.line(0);
    run.end().assert_code(0);
    server.report().assert_holds(&[file]);
}

#[test]
fn a_session_that_runs_is_in_use_through_a_symlink_too() {
    let server = Server::start();
    let (home, file) = interrupted(&server);
    symlink("s.toml", home.dir.path().join("l.toml")).unwrap();
    let received = server.report().bytes_received;
    let run = home.start(["resume", "l.toml", "--json"]);
    server.wait_for_bytes(received + (128 << 10));
    // It goes on, but does not come to its end before it is let.
    server.line(1 << 10);
    for name in ["s.toml", "./l.toml"] {
        let second = home.run(["resume", name, "--json"]);
        second.assert_code(2);
        assert!(second.stderr.contains("in use by process"), "{name}");
    }
    server.line(0);
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
