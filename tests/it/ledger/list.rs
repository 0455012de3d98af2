//! `reelhaul ledger list`: what is uploaded where.

use std::{fs, path::PathBuf};

use super::{films, media_of, name};
use crate::support::{Ended, Home, Mode, PART, Server, Source, in_every_mode, path_of};

fn list(home: &Home, more: &[&str]) -> Ended {
    let mut args = vec!["ledger", "list"];
    args.extend(more);
    let ended = home.run(args);
    ended.assert_code(0);
    ended
}

fn paths(ended: &Ended) -> Vec<PathBuf> {
    ended.events().iter().map(path_of).collect()
}

#[test]
fn each_path_of_each_upload_is_listed_by_path_without_config_and_server() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = films(&home.tree());
        home.up(&[]).end().assert_code(0);
        let copy = home.tree().join("02 second name.mp4");
        fs::hard_link(&films[0].path, &copy).unwrap();
        home.up(&[]).end().assert_code(0);
        let report = server.report();
        drop(server);
        fs::remove_file(home.config_file()).unwrap();

        let ended = list(&home, &["--json"]);
        let mut wanted: Vec<_> = films.iter().map(|film| film.path.clone()).collect();
        wanted.push(copy.clone());
        wanted.sort();
        assert_eq!(paths(&ended), wanted);
        for film in &films {
            let events = ended.events();
            let found = events.iter().find(|event| path_of(event) == film.path);
            let found = found.unwrap();
            assert_eq!(found["media"], *media_of(&report, film));
            assert_eq!(found["state"], "done");
            assert!(found.get("same_as").is_none(), "{found}");
        }
        let words = list(&home, &[]).stdout;
        let line = words
            .lines()
            .find(|line| line.starts_with(copy.to_str().unwrap()));
        let line = line.unwrap();
        let media = media_of(&report, &films[0]);
        let same = format!(", same bytes as {}", films[0].path.display());
        assert!(line.contains(&format!(" as {media} to ")), "{line}");
        assert!(line.ends_with(&same), "{line}");

        let folder = home.tree();
        let folder = folder.to_str().unwrap();
        assert_eq!(paths(&list(&home, &["--json", folder])), wanted);
        let file = copy.to_str().unwrap();
        assert_eq!(paths(&list(&home, &["--json", file])), [&*copy]);
        let beside = list(&home, &["--json", &folder[..folder.len() - 1]]);
        assert_eq!(paths(&beside), [] as [PathBuf; 0]);
    });
}

#[test]
fn without_a_ledger_that_is_said_and_none_is_made() {
    let home = Home::bare();
    let ended = list(&home, &[]);
    assert!(
        ended.stderr.contains("there is no ledger"),
        "{}",
        ended.stderr
    );
    assert!(!home.state().join("ledger.db").exists());
}

#[test]
fn what_a_session_uploads_is_listed_with_that_session_and_after_a_kill_as_unfinished() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        Source::write(home.tree().join("take.mov"), 2 * PART + 1, 1);
        server.hold_part(2, 1);
        let mut run = home.up(&["--parts", "1"]);
        run.wait_for_event("part");
        server.wait_until_held(1);
        let listed = list(&home, &["--json"]).events();
        assert_eq!(listed[0]["state"], "uploading");
        assert_eq!(listed[0]["session"], name(&home.session()));
        assert!(run.kill().0);
        server.release();
        let listed = list(&home, &["--json"]).events();
        assert_eq!(listed[0]["state"], "unfinished");
    });
}

#[test]
fn with_a_destination_only_its_account_is_listed_and_a_site_takes_no_secret_for_that() {
    let [server, other] = [Server::start(), Server::start()];
    let mode = Mode::JwPlayer;
    let home = Home::new(mode, &server.url);
    Source::write(home.tree().join("take.mov"), 1000, 1);
    let there = mode.config(&other.url).replace(".it]", ".there]");
    let config = mode.config(&server.url) + &there;
    home.write_config(&config);
    for to in ["it", "there"] {
        home.up(&["--to", to]).end().assert_code(0);
    }
    let no_secret = format!("secret = \"{}\"", reelhaul::sandbox::SECRET);
    home.write_config(&config.replace(&no_secret, "secret = { env = \"NOT_SET_ANYWHERE\" }"));
    assert_eq!(list(&home, &["--json"]).events().len(), 2);
    for (to, server) in [("it", &server), ("there", &other)] {
        let listed = list(&home, &["--json", "--to", to]).events();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0]["media"], *server.report().media[0].id);
    }
}

#[test]
fn a_ledger_that_the_config_puts_elsewhere_is_the_one_of_all_commands() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let film = Source::write(home.tree().join("take.mov"), 1000, 1);
    let elsewhere = "\n[ledger]\npath = \"ours/films.db\"\n";
    home.write_config(&(Mode::JwPlayer.config(&server.url) + elsewhere));
    home.up(&[]).end().assert_code(0);
    let folder = home.config_file().with_file_name("ours");
    assert!(folder.join("films.db").exists() && folder.join("owners").exists());
    assert!(!home.state().join("ledger.db").exists());
    super::assert_does_nothing(&server, || home.up(&[]).end());
    assert_eq!(paths(&list(&home, &["--json"])), [&*film.path]);
    let path = film.path.to_str().unwrap();
    home.run(["ledger", "forget", path]).assert_code(0);
    let ended = home.run(["ledger", "rebuild"]);
    ended.assert_code(0);
    assert!(folder.join("films.db.old-1").exists(), "{}", ended.output());
    home.up(&[]).end().assert_code(0);
    super::assert_films(&server, &[film.clone(), film]);
}
