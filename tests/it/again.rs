//! The same command once more: nothing that another session holds is begun a second time, and what
//! is left out is told with what to do.

use std::{fs, path::Path};

use crate::support::{Ended, Home, MIB, Mode, PART, Server, Source, in_every_mode};

fn name(session: &Path) -> String {
    let stem = session.file_stem().unwrap();
    stem.to_str().unwrap().to_owned()
}

/// Why each file was left out.
fn reasons(ended: &Ended) -> Vec<String> {
    let skipped = ended.named("skipped");
    let reason = |event: &serde_json::Value| event["reason"].as_str().unwrap().to_owned();
    skipped.iter().map(reason).collect()
}

#[test]
fn what_was_uploaded_before_is_left_out_unless_it_is_asked_for() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let file = Source::write(home.tree().join("take.mov"), PART + 1, 1);
        home.up(&[]).end().assert_code(0);
        let session = home.session();
        let media = server.report().one(&file.title()).id.clone();

        let ended = home.up(&[]).end();
        ended.assert_code(0);
        let before = format!("uploaded before, as {media}, in session {}", name(&session));
        assert_eq!(reasons(&ended), [before]);
        assert!(ended.stderr.contains("--again"), "{}", ended.stderr);
        server.report().assert_holds(std::slice::from_ref(&file));
        assert_eq!(server.report().media.len(), 1);
        assert_eq!(home.session(), session, "no second session is left behind");

        // Another version of the file is another file, and a new one is new.
        let other = Source::write(home.tree().join("take.mov"), PART + 2, 2);
        let new = Source::write(home.tree().join("new.mov"), MIB, 3);
        home.up(&[]).end().assert_code(0);
        let report = server.report();
        assert_eq!(report.there().len(), 3);
        for wanted in [&other, &new] {
            let holds =
                |media: &&crate::support::Media| media.sha256.as_ref() == Some(&wanted.sha256);
            assert_eq!(report.there().into_iter().filter(holds).count(), 1);
        }

        home.up(&["--again"]).end().assert_code(0);
        assert_eq!(server.report().there().len(), 5);
    });
}

#[test]
fn a_file_that_was_uploaded_and_moved_is_not_uploaded_again() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("2019/take.mov"), PART + 1, 1);
    home.up(&[]).end().assert_code(0);
    let session = home.session();
    let media = server.report().one(&film.title()).id.clone();
    fs::rename(home.tree().join("2019"), home.tree().join("2019 spring")).unwrap();

    let ended = home.up(&[]).end();
    ended.assert_code(0);
    let name = name(&session);
    let before = format!("uploaded before under another name, as {media}, in session {name}");
    assert_eq!(reasons(&ended), [before]);
    assert_eq!(server.report().media.len(), 1);
    home.up(&["--again"]).end().assert_code(0);
    assert_eq!(server.report().media.len(), 2);
}

#[test]
fn what_an_unfinished_session_holds_is_left_to_it() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let files = [
            Source::write(home.tree().join("a.mov"), 2 * PART, 1),
            Source::write(home.tree().join("b.mov"), MIB, 2),
        ];
        server.hold_part(2, 1);
        let mut run = home.up(&["--files", "1", "--parts", "1"]);
        run.wait_for_event("part");
        server.wait_until_held(1);
        let session = home.session();

        // While it runs …
        let ended = home.up(&[]).end();
        ended.assert_code(1);
        let attach = format!("which runs: reelhaul attach {}", name(&session));
        let left = reasons(&ended);
        assert!(
            left.iter().all(|reason| reason.contains(&attach)),
            "{left:?}"
        );
        assert_eq!(left.len(), 2);

        // … and when it was killed.
        assert!(run.kill().0);
        server.release();
        server.wait_until_hung_up();
        let begun = server.report().media.len();
        let ended = home.up(&[]).end();
        ended.assert_code(1);
        let resume = format!("reelhaul resume {}", name(&session));
        assert!(
            reasons(&ended)
                .iter()
                .all(|reason| reason.ends_with(&resume)),
            "{:?}",
            reasons(&ended)
        );
        let said = format!(
            "they are in the unfinished session {}: {resume}",
            name(&session)
        );
        assert!(ended.stderr.contains(&said), "{}", ended.stderr);
        assert_eq!(server.report().media.len(), begun);

        assert_eq!(home.session(), session);
        home.resume(&[]).end().assert_code(0);
        server.report().assert_holds(&files);
        server.report().assert_nothing_twice();
    });
}

#[test]
fn what_is_new_is_sent_beside_what_is_left_out_and_broken_sessions_are_passed_over() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let old = Source::write(home.tree().join("old.mov"), MIB, 1);
    home.up(&[]).end().assert_code(0);
    let broken = home.state().join("sessions/broken.toml");
    fs::write(&broken, "this is no session").unwrap();
    let new = Source::write(home.tree().join("new.mov"), MIB, 2);
    let ended = home.up(&[]).end();
    ended.assert_code(0);
    assert!(ended.stderr.contains("broken.toml"), "{}", ended.stderr);
    assert_eq!(ended.summary()["uploads"]["done"], 1);
    server.report().assert_holds(&[old, new]);
}
