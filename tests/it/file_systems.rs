//! State folders and session files on file systems that lack hard links, the sync of folders, locks, or
//! stable inode numbers.

use std::{fs, path::PathBuf};

use crate::support::{
    Ended, Home, Mode, PART, Server, Source,
    lacking::{INVAL, IO, NOLCK, NOSYS, OPNOTSUPP, PERM, lacks},
    side_by_side, wait_for,
};

fn home() -> (Server, Home, Source) {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let file = Source::write(home.tree().join("film.mp4"), 2 * PART + 77, 7);
    (server, home, file)
}

/// A run that is killed when its first part is saved, and a second one that goes on with it.
fn killed_and_resumed(
    server: &Server,
    home: &Home,
    session: &dyn Fn() -> PathBuf,
    up: &[&str],
) -> Ended {
    server.hold_part(3, 100);
    let mut run = home.up(up);
    wait_for("a part that is held", || {
        assert!(run.is_running(), "{}", run.errors());
        (server.met("hold") > 0).then_some(())
    });
    let part = "\npart = 1\n";
    wait_for("a receipt in the session", || {
        let text = fs::read_to_string(session()).ok()?;
        text.contains(part).then_some(())
    });
    assert!(run.kill().0);
    server.release();
    server.wait_until_hung_up();
    server.no_faults();
    home.start(["resume".as_ref(), session().as_os_str(), "--json".as_ref()])
        .end()
}

#[test]
fn a_session_is_kept_where_there_are_no_hard_links() {
    side_by_side([PERM, OPNOTSUPP, NOSYS], |errno| {
        let (server, mut home, file) = home();
        let state = home.state();
        if !lacks(&mut home, &state, "links", errno) {
            return;
        }
        let ended = killed_and_resumed(&server, &home, &|| home.session(), &["--parts", "1"]);
        ended.assert_code(0);
        server.report().assert_holds(&[file]);
    });
}

#[test]
fn a_session_is_kept_where_folders_can_not_be_synced_and_that_is_said_once() {
    side_by_side([INVAL, OPNOTSUPP, NOSYS], |errno| {
        let (server, mut home, file) = home();
        let state = home.state();
        if !lacks(&mut home, &state, "folder-sync", errno) {
            return;
        }
        let ended = killed_and_resumed(&server, &home, &|| home.session(), &["--parts", "1"]);
        ended.assert_code(0);
        server.report().assert_holds(&[file]);
        // It was synced in vain when it was opened, and at its end.
        let said = ended.stderr.matches("can't be synced").count();
        assert_eq!(said, 1, "{}", ended.stderr);
    });
}

#[test]
fn a_session_that_can_not_be_made_leaves_none_that_does_nothing() {
    let (server, mut home, _file) = home();
    let state = home.state();
    if !lacks(&mut home, &state, "folder-sync", IO) {
        return;
    }
    let ended = home.up(&[]).end();
    ended.assert_code(1);
    assert!(ended.stderr.contains("can't be saved"), "{}", ended.stderr);
    if let Some(session) = home.sessions().first() {
        let resumed = home.run(["resume".as_ref(), session.as_os_str()]);
        panic!("{} is left: {}", session.display(), resumed.output());
    }
    home.resume(&[]).end().assert_code(2);
    assert_eq!(server.report().media.len(), 0);
}

#[test]
fn a_session_file_where_no_locks_work_is_locked_in_the_state_folder() {
    side_by_side([NOLCK, NOSYS, OPNOTSUPP], |errno| {
        let (server, mut home, file) = home();
        let elsewhere = home.dir.path().join("elsewhere");
        let session = elsewhere.join("night.toml");
        if !lacks(&mut home, &elsewhere, "flock", errno) {
            return;
        }
        let up = ["--parts", "1", "--session", session.to_str().unwrap()];
        server.hold_part(3, 100);
        let mut run = home.up(&up);
        wait_for("a part that is held", || {
            assert!(run.is_running(), "{}", run.errors());
            (server.met("hold") > 0).then_some(())
        });
        let in_use = format!("in use by process {}", run.process());
        // Whatever the file is called by.
        std::os::unix::fs::symlink(&session, home.dir.path().join("link.toml")).unwrap();
        for name in ["elsewhere/night.toml", "./link.toml"] {
            let second = home.run(["resume", name]);
            second.assert_code(2);
            assert!(second.stderr.contains(&in_use), "{}", second.stderr);
        }
        // The file is put back where it was removed, though its lock is not beside it.
        fs::remove_file(&session).unwrap();
        server.release();
        run.end().assert_code(0);
        server.report().assert_holds(&[file]);
        let ended = home.run(["resume", "elsewhere/night.toml"]);
        ended.assert_code(0);
        assert!(
            ended.stderr.contains("file locks do not work"),
            "{}",
            ended.stderr
        );
        assert!(ended.stdout.contains("1 of 1 file"), "{}", ended.stdout);
    });
}

#[test]
fn a_state_folder_without_locks_is_refused_with_what_to_do() {
    side_by_side([NOLCK, NOSYS, OPNOTSUPP], |errno| {
        let (server, mut home, file) = home();
        let (state, able) = (home.state(), home.program.clone());
        if !lacks(&mut home, &state, "flock", errno) {
            return;
        }
        for args in [["up", "tree"], ["resume", "none"]] {
            let ended = home.run(args);
            ended.assert_code(2);
            assert_eq!(home.sessions(), [] as [PathBuf; 0]);
        }
        let refused = home.up(&[]).end();
        refused.assert_code(2);
        for words in [
            state.to_str().unwrap(),
            "file locks do not work",
            "set XDG_STATE_HOME",
        ] {
            assert!(
                refused.stderr.contains(words),
                "{words}: {}",
                refused.stderr
            );
        }
        assert_eq!(server.report().media.len(), 0);
        let sandbox = home.up(&["--to", "sandbox"]).end();
        sandbox.assert_code(1);
        let words = "where file locks work";
        assert!(sandbox.stderr.contains(words), "{}", sandbox.stderr);
        let left = fs::read_dir(state.join("sessions")).unwrap().count();
        assert_eq!(left, 0, "nothing is left of it");
        // A session of another time is refused alike.
        let lacking = std::mem::replace(&mut home.program, able);
        server.hold_part(1, 100);
        let run = home.up(&[]);
        server.wait_until_held(1);
        assert!(run.kill().0);
        server.release();
        server.no_faults();
        let able = std::mem::replace(&mut home.program, lacking);
        let refused = home.resume(&[]).end();
        refused.assert_code(2);
        assert!(
            refused.stderr.contains("set XDG_STATE_HOME"),
            "{}",
            refused.stderr
        );
        home.program = able;
        home.resume(&[]).end().assert_code(0);
        server.report().assert_holds(&[file]);
    });
}

#[test]
fn a_session_is_saved_where_its_file_has_another_inode_number_at_each_look() {
    let (server, mut home, file) = home();
    let state = home.state();
    if !lacks(&mut home, &state, "inodes", PERM) {
        return;
    }
    let ended = killed_and_resumed(&server, &home, &|| home.session(), &["--parts", "1"]);
    ended.assert_code(0);
    assert!(!ended.stderr.contains("another file"), "{}", ended.stderr);
    server.report().assert_holds(&[file]);
}
