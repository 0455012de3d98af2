//! The same command once more: what is uploaded already is skipped, unless it is wanted again.

use std::fs;

use crate::{
    ledger::{assert_films, assert_uploaded_before, media_of, reason, same_bytes, skipped},
    support::{Home, MIB, Mode, PART, Server, Source, in_every_mode},
};

#[test]
fn what_was_uploaded_before_is_skipped_unless_it_is_asked_for() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let file = Source::write(home.tree().join("take.mov"), PART + 1, 1);
        home.up(&[]).end().assert_code(0);
        let session = home.session();

        let ended = home.up(&[]).end();
        ended.assert_code(0);
        assert_eq!(skipped(&ended).len(), 1);
        assert_uploaded_before(&ended, &file.path, &media_of(&server.report(), &file));
        assert!(ended.stderr.contains("--again"), "{}", ended.stderr);
        assert_films(&server, std::slice::from_ref(&file));
        assert_eq!(server.report().media.len(), 1);
        assert_eq!(home.session(), session, "no second session is left behind");

        // Another version of the file is another file, and a new one is new.
        let other = Source::write(home.tree().join("take.mov"), PART + 2, 2);
        let new = Source::write(home.tree().join("new.mov"), MIB, 3);
        home.up(&[]).end().assert_code(0);
        let files = [file, other, new];
        assert_films(&server, &files);

        home.up(&["--again"]).end().assert_code(0);
        let [file, other, new] = files;
        assert_films(&server, &[file, other.clone(), other, new.clone(), new]);
    });
}

#[test]
fn a_file_that_was_uploaded_and_moved_is_not_uploaded_again() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("2019/take.mov"), PART + 1, 1);
    home.up(&[]).end().assert_code(0);
    let media = media_of(&server.report(), &film);
    fs::rename(home.tree().join("2019"), home.tree().join("2019 spring")).unwrap();

    let ended = home.up(&[]).end();
    ended.assert_code(0);
    let moved = home.tree().join("2019 spring/take.mov");
    assert_eq!(reason(&ended, &moved), same_bytes(&film.path, &media));
    assert_eq!(server.report().media.len(), 1);
    home.up(&["--again"]).end().assert_code(0);
    assert_eq!(server.report().media.len(), 2);
}

#[test]
fn what_is_new_is_sent_beside_what_is_skipped_and_a_broken_session_file_changes_nothing() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let old = Source::write(home.tree().join("old.mov"), MIB, 1);
    home.up(&[]).end().assert_code(0);
    fs::write(home.session(), "this is no session").unwrap();
    let new = Source::write(home.tree().join("new.mov"), MIB, 2);
    let ended = home.up(&[]).end();
    ended.assert_code(0);
    let said = "1 file skipped: already uploaded. Use --again to upload it again.";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert_eq!(ended.summary()["uploads"]["done"], 1);
    assert_uploaded_before(&ended, &old.path, &media_of(&server.report(), &old));
    assert_films(&server, &[old, new]);
}
