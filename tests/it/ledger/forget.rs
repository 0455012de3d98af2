//! `reelhaul ledger forget`: files that count as not uploaded from now on.

use std::{ffi::OsStr, fs, path::Path};

use super::{assert_does_nothing, assert_films, films, media_of, name, reason, same_bytes};
use crate::support::{
    Ended, Home, Mode, PART, Server, Source, in_every_mode, path_of, terminal::Terminal,
};

fn forget(home: &Home, path: &Path, more: &[&str]) -> Ended {
    let mut args = vec!["ledger".as_ref(), "forget".as_ref(), path.as_os_str()];
    args.extend(more.iter().map(OsStr::new));
    home.run(args)
}

#[test]
fn a_forgotten_file_is_uploaded_again_whatever_old_sessions_say() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let mut films = films(&home.tree());
        home.up(&[]).end().assert_code(0);
        let media = media_of(&server.report(), &films[2]);
        let ended = forget(&home, &films[2].path, &[]);
        ended.assert_code(0);
        let words = format!("the media object {media} stays at ");
        assert!(ended.stdout.contains(&words), "{}", ended.output());
        assert_eq!(home.sessions().len(), 1, "the old session is there");

        home.up(&[]).end().assert_code(0);
        let again = films[2].clone();
        films.push(again);
        assert_films(&server, &films);
        assert_does_nothing(&server, || home.up(&[]).end());
    });
}

#[test]
fn a_forgotten_file_that_has_another_name_is_skipped_and_that_is_said() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("a.mov"), PART + 1, 1);
    let link = home.tree().join("b.mov");
    home.up(&[]).end().assert_code(0);
    fs::hard_link(&film.path, &link).unwrap();
    home.up(&[]).end().assert_code(0);
    let media = media_of(&server.report(), &film);

    let ended = forget(&home, &link, &[]);
    ended.assert_code(0);
    let words = format!("also known as {}, uploaded as {media}", film.path.display());
    assert!(ended.stdout.contains(&words), "{}", ended.output());
    let ended = assert_does_nothing(&server, || home.up(&[]).end());
    assert_eq!(reason(&ended, &link), same_bytes(&film.path, &media));

    let ended = home.run([
        "ledger".as_ref(),
        "forget".as_ref(),
        film.path.as_os_str(),
        link.as_os_str(),
    ]);
    ended.assert_code(0);
    home.up(&[]).end().assert_code(0);
    assert_films(&server, &[film.clone(), film]);
}

#[test]
fn what_a_session_uploads_now_is_not_forgotten() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 2 * PART + 1, 1);
        server.hold_part(2, 1);
        let mut run = home.up(&["--parts", "1"]);
        run.wait_for_event("part");
        server.wait_until_held(1);
        let ended = forget(&home, &film.path, &[]);
        ended.assert_code(1);
        let words = format!(
            "left, since session {} is uploading it",
            name(&home.session())
        );
        assert!(ended.stdout.contains(&words), "{}", ended.output());
        server.release();
        run.end().assert_code(0);
        assert_films(&server, &[film]);
        assert_does_nothing(&server, || home.up(&[]).end());
    });
}

#[test]
fn a_forgotten_upload_that_was_killed_is_not_continued_by_the_next_session() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 2 * PART + 1, 1);
        home.kill_after_the_first_part(&server);
        let first = server.report().media[0].id.clone();
        forget(&home, &film.path, &[]).assert_code(0);
        server.no_faults();
        home.up(&[]).end().assert_code(0);
        let media = server.report().media;
        assert_eq!(media.len(), 2, "{media:#?}");
        let ready: Vec<_> = media.iter().filter(|it| it.state == "ready").collect();
        assert!(ready.len() == 1 && ready[0].id != first, "{media:#?}");
        assert_eq!(ready[0].sha256.as_ref(), Some(&film.sha256));
    });
}

#[test]
fn several_files_below_a_folder_are_forgotten_only_when_that_is_confirmed() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let films = films(&home.tree());
    home.up(&[]).end().assert_code(0);
    let ended = forget(&home, &home.tree(), &[]);
    ended.assert_code(2);
    let words = format!("forgets {} uploads; say --yes", films.len());
    assert!(ended.stderr.contains(&words), "{}", ended.output());
    assert_does_nothing(&server, || home.up(&[]).end());

    let ended = forget(&home, &home.tree(), &["--yes", "--json"]);
    ended.assert_code(0);
    let mut forgotten: Vec<_> = ended.named("forgotten").iter().map(path_of).collect();
    forgotten.sort();
    let paths: Vec<_> = films.iter().map(|film| film.path.clone()).collect();
    assert_eq!(forgotten, paths);
    home.up(&[]).end().assert_code(0);
    assert_films(&server, &[films.clone(), films].concat());
}

#[test]
fn on_a_terminal_forgetting_a_folder_asks() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let films = films(&home.tree());
    home.up(&[]).end().assert_code(0);
    for (key, code) in [("n", 1), ("y", 0)] {
        let program = home.program.display();
        let command = format!("'{program}' ledger forget tree");
        let name = format!("forget-{key}");
        let Some(terminal) = Terminal::open(&name, &home, 120, 30, &command) else {
            return;
        };
        terminal.shows_text(&format!("forget {} uploads?", films.len()));
        terminal.keys(&[key, "Enter"]);
        terminal.shows_text(&format!("it ended with {code}"));
        if key == "n" {
            assert_does_nothing(&server, || home.up(&[]).end());
        }
    }
    home.up(&[]).end().assert_code(0);
    assert_films(&server, &[films.clone(), films].concat());
}

#[test]
fn a_file_that_is_gone_is_forgotten_by_a_path_from_here_and_one_unknown_is_an_error() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let unknown = || {
        let ended = forget(&home, Path::new("tree/take.mov"), &[]);
        ended.assert_code(1);
        let words = "nothing of that is uploaded";
        assert!(ended.stderr.contains(words), "{}", ended.output());
    };
    // There is no ledger yet.
    unknown();
    let film = Source::write(home.tree().join("take.mov"), 1000, 1);
    home.up(&[]).end().assert_code(0);
    fs::remove_file(&film.path).unwrap();
    forget(&home, Path::new("tree/take.mov"), &[]).assert_code(0);
    unknown();
    let film = Source::write(home.tree().join("other.mov"), 1000, 1);
    home.up(&[]).end().assert_code(0);
    assert_films(&server, &[film.clone(), film]);
}

#[test]
fn with_a_destination_only_what_is_at_its_account_is_forgotten() {
    in_every_mode(|mode| {
        let [server, other] = [Server::start(), Server::start()];
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 1000, 1);
        let there = mode.config(&other.url).replace(".it]", ".there]");
        home.write_config(&(mode.config(&server.url) + &there));
        for to in ["it", "there"] {
            home.up(&["--to", to]).end().assert_code(0);
        }
        forget(&home, &film.path, &["--to", "there"]).assert_code(0);
        assert_does_nothing(&server, || home.up(&["--to", "it"]).end());
        home.up(&["--to", "there"]).end().assert_code(0);
        assert_films(&server, std::slice::from_ref(&film));
        assert_films(&other, &[film.clone(), film]);
    });
}
