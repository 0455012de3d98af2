//! The session file is appended to while a session runs, and rewritten when it is opened and at a clean
//! end. Whatever happens in between, all that was saved is in it, the order too.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::support::{Home, Mode, PART, Running, Server, Source, wait_for};
use reelhaul::{
    attach::{self, Places, Role},
    engine::protocol::{Command, Outcome, Place, Summary, Targets},
};
use serde_json::json;
use tokio::runtime::Runtime;

/// Gives these commands to the run with this session, waits until it says that all is saved, and
/// returns the last answer.
fn command(home: &Home, session: &Path, commands: impl IntoIterator<Item = Command>) -> Outcome {
    let places = Places::usual(&home.state());
    Runtime::new().unwrap().block_on(async {
        let attached = attach::connect(session, &places, Role::Watcher).await;
        let attached = attached.unwrap();
        let mut last = None;
        for command in commands {
            let outcome = attached.handle.command(command).await.unwrap();
            assert!(!outcome.refused, "{}", outcome.words);
            last = Some(outcome);
        }
        let mut summary = attached.handle.summary();
        summary.wait_for(|now: &Summary| now.saved).await.unwrap();
        last.unwrap()
    })
}

/// A run with three files, the first of which is held in the middle.
fn amid_the_first_of_three(server: &Server) -> (Home, [Source; 3], Running) {
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = |name: &str, seed| Source::write(home.tree().join(name), 2 * PART, seed);
    let files = [file("a.mov", 1), file("b.mov", 2), file("c.mov", 3)];
    server.hold_part(2, 1);
    let mut run = home.up(&["--parts", "1", "--files", "1"]);
    run.wait_for_event("part");
    server.wait_until_held(1);
    let session = home.session();
    wait_for("the end of the scan", || {
        let text = fs::read_to_string(&session).unwrap();
        text.contains("walk = 1\nstate = \"done\"\n").then_some(())
    });
    (home, files, run)
}

/// Kills a run that is held, resumes it, and returns the names of its files in the order in which they
/// were done.
fn done_after_a_kill(server: &Server, home: &Home, run: Running) -> Vec<String> {
    assert!(run.kill().0);
    server.release();
    server.wait_until_hung_up();
    server.no_faults();
    let ended = home.resume(&["--parts", "1", "--files", "1"]).end();
    ended.assert_code(0);
    let done = ended.named("done");
    let name = |path: PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let names = done.iter().map(crate::support::path_of).map(name);
    names.collect()
}

fn to_top(id: u32) -> Command {
    Command::Move(Targets::Ids(vec![id]), Place::Top)
}

#[test]
fn a_changed_order_is_the_order_after_a_kill_as_soon_as_the_screen_says_that_all_is_saved() {
    let server = Server::start();
    let (home, files, run) = amid_the_first_of_three(&server);
    command(&home, &home.session(), [to_top(3)]);
    let done = done_after_a_kill(&server, &home, run);
    assert_eq!(done, ["c.mov", "a.mov", "b.mov"]);
    server.report().assert_holds(&files);
    server.report().assert_nothing_twice();
}

#[test]
fn a_changed_order_survives_a_kill_right_after_the_answer_to_a_save() {
    let server = Server::start();
    let (home, files, run) = amid_the_first_of_three(&server);
    let commands = [to_top(2), to_top(3), Command::Save];
    let answer = command(&home, &home.session(), commands);
    assert_eq!(answer.words, "saved");
    let done = done_after_a_kill(&server, &home, run);
    assert_eq!(done, ["c.mov", "b.mov", "a.mov"]);
    server.report().assert_holds(&files);
}

/// Which file there is by this name, and how long it is.
fn inode_and_length(path: &Path) -> (u64, u64) {
    let metadata = path.metadata().unwrap();
    (metadata.ino(), metadata.len())
}

#[test]
fn a_session_file_is_only_appended_to_while_the_session_runs() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    // First the one that is held, then more than any log that was ever shortened amid a run.
    Source::write(home.tree().join("a.mov"), 2 * PART, 1);
    for number in 0..3000 {
        let name = format!("{}-{number:04}.mov", "b".repeat(100));
        fs::write(home.tree().join(&name), &name).unwrap();
    }
    server.script(&json!([{ "fault": "hold", "on": "create" }]));
    let mut run = home.up(&["--files", "1"]);
    server.wait_until_held(1);
    let session = wait_for("the session", || home.sessions().pop());
    let (inode, before) = inode_and_length(&session);
    wait_for("the end of the scan", || {
        let text = fs::read_to_string(&session).unwrap();
        text.contains("walk = 1\nstate = \"done\"\n").then_some(())
    });
    let everything = Targets::All;
    let commands = [
        Command::Pause(everything.clone()),
        Command::Resume(everything),
        to_top(3000),
        Command::Save,
    ];
    command(&home, &session, commands);
    let (same, after) = inode_and_length(&session);
    assert_eq!(same, inode, "it was rewritten");
    assert!(after > before.max(600_000), "{after} bytes");
    assert!(run.is_running(), "{}", run.errors());
    assert!(run.kill().0);
}

/// How many tables in a session file are changes of what stands above them.
fn log_of(session: &Path) -> usize {
    let text = fs::read_to_string(session).unwrap();
    text.matches("\n[[log]]\n").count()
}

#[test]
fn a_session_is_rewritten_without_its_log_when_it_is_opened_and_at_a_clean_end() {
    let server = Server::start();
    let (home, files, run) = amid_the_first_of_three(&server);
    let session = home.session();
    assert!(run.kill().0);
    server.release();
    server.wait_until_hung_up();
    server.no_faults();
    let killed = inode_and_length(&session);
    assert!(log_of(&session) > 4, "{}", log_of(&session));

    server.script(&json!([{ "fault": "hold", "on": "list" }]));
    let run = home.resume(&[]);
    server.wait_until_held(1);
    let opened = inode_and_length(&session);
    assert_ne!(opened.0, killed.0, "it was not rewritten");
    assert_eq!(log_of(&session), 0);
    server.release();
    run.end().assert_code(0);
    assert_ne!(inode_and_length(&session).0, opened.0);
    assert_eq!(log_of(&session), 0);
    server.report().assert_holds(&files);
    server.report().assert_nothing_twice();
    let folder = fs::read_dir(session.parent().unwrap()).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names
        .filter(|name| name.to_string_lossy().starts_with(".saving"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
