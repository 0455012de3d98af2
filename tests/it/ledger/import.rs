//! Sessions that the ledger knows nothing of: made by an older program, or before the ledger was lost.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reelhaul::session::lock::Lock;

use super::{assert_does_nothing, assert_films, assert_uploaded_before, films, media_of};
use crate::support::{Ended, Home, Mode, PART, Server, Source, edited, in_every_mode, path_of};

/// The ledger is lost.
fn lose_the_ledger(home: &Home) {
    fs::remove_file(home.state().join("ledger.db")).unwrap();
}

/// Rewrites a session's file as the first edition of the program would have written it, which knew
/// neither ledgers nor accounts.
pub(super) fn as_first_edition(session: &Path) {
    let text = edited(session);
    assert!(text.contains("\nformat = 2\n"), "{text}");
    let text = text.replace("\nformat = 2\n", "\nformat = 1\n");
    let newer = ["owner", "account", "file_system", "claim"];
    let is_old = |line: &&str| {
        let is_newer = |key| line.starts_with(&format!("{key} = "));
        // Checksums are comments.
        !line.starts_with('#') && !newer.iter().any(is_newer)
    };
    let mut old = String::new();
    for table in text.split_inclusive("\n\n") {
        let lines: String = table.split_inclusive('\n').filter(is_old).collect();
        // A change that says nothing but of which upload it is.
        let words: Vec<&str> = lines.split_whitespace().collect();
        if !matches!(words[..], ["[[log]]", "upload", "=", _]) {
            old.push_str(&lines);
        }
    }
    fs::write(session, old).unwrap();
}

/// A session of one film was killed while the film's second part was held.
fn killed_amid(mode: Mode) -> (Server, Home, Source, PathBuf) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let film = Source::write(home.tree().join("take.mov"), 2 * PART + 77, 1);
    home.kill_after_the_first_part(&server);
    let session = home.session();
    (server, home, film, session)
}

#[track_caller]
fn assert_nothing_to_do(server: &Server, home: &Home, films: &[Source]) -> Ended {
    let ended = assert_does_nothing(server, || home.up(&[]).end());
    for film in films {
        assert_uploaded_before(&ended, &film.path, &media_of(&server.report(), film));
    }
    ended
}

#[test]
fn what_a_first_edition_session_uploaded_is_not_uploaded_again() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = films(&home.tree());
        home.up(&[]).end().assert_code(0);
        as_first_edition(&home.session());
        lose_the_ledger(&home);

        assert_nothing_to_do(&server, &home, &films);
        // It is in the ledger now, whatever becomes of the session.
        for session in home.sessions() {
            fs::remove_file(session).unwrap();
        }
        assert_nothing_to_do(&server, &home, &films);
    });
}

#[test]
fn a_ledger_that_is_lost_is_made_again_from_the_sessions() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let films = films(&home.tree());
        home.up(&[]).end().assert_code(0);
        lose_the_ledger(&home);
        assert_nothing_to_do(&server, &home, &films);
        assert_films(&server, &films);
    });
}

#[test]
fn an_imported_film_that_was_changed_since_is_uploaded() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let path = home.tree().join("take.mov");
        let first = Source::write(&path, 200_000, 1);
        home.up(&[]).end().assert_code(0);
        as_first_edition(&home.session());
        lose_the_ledger(&home);
        // Another one of the same size, moved over it at another time.
        let second = Source::write(home.dir.path().join("new.mov"), 200_000, 2);
        fs::rename(&second.path, &path).unwrap();
        let ended = home.up(&[]).end();
        ended.assert_code(0);
        assert!(ended.named("skipped").is_empty(), "{}", ended.output());
        assert_films(&server, &[first, second]);
    });
}

#[test]
fn a_first_edition_session_of_another_account_is_no_reason_to_skip_a_file() {
    in_every_mode(|mode| {
        let [server, other] = [Server::start(), Server::start()];
        let home = Home::new(mode, &server.url);
        let films = films(&home.tree());
        home.up(&[]).end().assert_code(0);
        as_first_edition(&home.session());
        lose_the_ledger(&home);
        home.write_config(&mode.config(&other.url));
        let ended = home.up(&[]).end();
        ended.assert_code(0);
        assert_films(&other, &films);
        let words = "has none of the newest media objects of the session";
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    });
}

#[test]
fn another_session_goes_on_with_what_a_first_edition_session_left_and_that_one_deletes_nothing() {
    in_every_mode(|mode| {
        let (server, home, film, session) = killed_amid(mode);
        as_first_edition(&session);
        lose_the_ledger(&home);
        home.up(&["--parts", "1"]).end().assert_code(0);
        assert_films(&server, std::slice::from_ref(&film));
        let report = server.report();
        report.assert_nothing_twice();
        assert_eq!(report.media.len(), 1, "{:#?}", report.media);

        let resume = || home.resume_session(&session, &[]).end();
        let ended = assert_does_nothing(&server, resume);
        assert_eq!(ended.summary()["uploads"]["queued"], 0, "{}", ended.stdout);
        assert_films(&server, &[film]);
    });
}

#[test]
fn a_session_whose_ledger_was_lost_deletes_nothing_that_another_went_on_with() {
    in_every_mode(|mode| {
        let (server, home, film, session) = killed_amid(mode);
        lose_the_ledger(&home);
        home.up(&["--parts", "1"]).end().assert_code(0);
        let report = server.report();
        report.assert_nothing_twice();
        assert_eq!(report.media.len(), 1, "{:#?}", report.media);
        let resume = || home.resume_session(&session, &[]).end();
        assert_does_nothing(&server, resume);
        assert_films(&server, &[film]);
    });
}

#[test]
fn what_an_older_program_uploads_now_is_waited_for() {
    in_every_mode(|mode| {
        let (server, home, film, session) = killed_amid(mode);
        as_first_edition(&session);
        lose_the_ledger(&home);
        // As long as the older program has it open.
        let lock = Lock::take(&session.canonicalize().unwrap()).unwrap();
        let ended = home.up(&["--no-wait"]).end();
        ended.assert_code(1);
        let waits = ended.named("waiting");
        let reason = waits[0]["reason"].as_str().unwrap();
        assert!(reason.starts_with("waits for session "), "{reason}");
        assert_eq!(server.report().media.len(), 1);

        let mut run = home.up(&["--parts", "1"]);
        run.wait_for_event("waiting");
        drop(lock);
        run.end().assert_code(0);
        assert_films(&server, &[film]);
        assert_eq!(server.report().media.len(), 1);
    });
}

#[test]
fn a_damaged_session_is_passed_over_with_a_warning() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let films = films(&home.tree());
    home.up(&[]).end().assert_code(0);
    let sound = home.session();
    lose_the_ledger(&home);
    let damaged = sound.with_file_name("damaged.toml");
    let text = fs::read_to_string(&sound).unwrap();
    // In what is not its log.
    fs::write(&damaged, text.replacen("\nsize = ", "\nsize = x", 1)).unwrap();
    let ended = assert_nothing_to_do(&server, &home, &films);
    assert!(
        ended.stderr.contains("damaged.toml, line "),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_session_is_read_again_only_when_it_was_written_since() {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let films = films(&home.tree());
    home.up(&[]).end().assert_code(0);
    let session = home.session();
    assert_nothing_to_do(&server, &home, &films);
    // Same size and time, and it can't be read any more: nobody says so.
    let modified = fs::metadata(&session).unwrap().modified().unwrap();
    let size = fs::metadata(&session).unwrap().len();
    fs::write(&session, vec![b'x'; usize::try_from(size).unwrap()]).unwrap();
    super::set_modified(&session, modified);
    let ended = assert_nothing_to_do(&server, &home, &films);
    assert!(
        !ended.stderr.contains("may be uploaded again"),
        "{}",
        ended.stderr
    );
    // Written since.
    fs::write(&session, "x").unwrap();
    let ended = assert_nothing_to_do(&server, &home, &films);
    assert!(
        ended.stderr.contains("may be uploaded again"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_deep_look_skips_what_was_imported_without_checksums_and_says_that_it_was_not_compared() {
    in_every_mode(|mode| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), PART + 1, 1);
        home.up(&[]).end().assert_code(0);
        as_first_edition(&home.session());
        lose_the_ledger(&home);
        let ended = assert_does_nothing(&server, || home.up(&["--deep"]).end());
        let media = media_of(&server.report(), &film);
        let words = format!(" as {media} (not compared: no checksums are known)");
        let reason = super::reason(&ended, &film.path);
        assert!(reason.ends_with(&words), "{reason}");
        let warned = ended.stderr.lines().any(|line| {
            line.contains("WARN") && line.contains("take.mov") && line.contains(&words)
        });
        assert!(warned, "{}", ended.stderr);
    });
}

/// The media objects that a session's text names.
fn media_in(text: &str) -> Vec<&str> {
    let behind = text.split("media = \"").skip(1);
    behind
        .filter_map(|it| Some(it.split_once('"')?.0))
        .collect()
}

#[test]
fn sessions_that_the_first_edition_wrote_are_taken_in() {
    let takes = ["2019/take 1.mov", "2019/take 2.mov", "2019/take 3.mov"];
    let clip = ["clip.mp4"];
    let cases: [(&str, Mode, &[&str]); 3] = [
        ("jwplayer", Mode::JwPlayer, &takes),
        (
            "apivideo",
            Mode::ApiVideoBytes,
            &[takes.as_slice(), &clip].concat(),
        ),
        ("done", Mode::JwPlayer, &clip),
    ];
    for (name, mode, files) in cases {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), 200_000, 1);
        home.up(&[]).end().assert_code(0);
        // It is proved by a media object that the account has.
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/sessions");
        let text = fs::read_to_string(corpus.join(name).with_extension("toml")).unwrap();
        let there = media_of(&server.report(), &film);
        let proved = text.replace(media_in(&text)[0], &there);
        let session = home.dir.path().join("first.toml");
        for (text, taken) in [(text, 0), (proved, files.len())] {
            fs::write(&session, text).unwrap();
            home.run(["ledger", "import", session.to_str().unwrap()]);
            let list = home.run(["ledger", "list", "/archive", "--json"]);
            let paths: Vec<PathBuf> = list.events().iter().map(path_of).collect();
            assert_eq!(paths.len(), taken, "{name}: {}", list.output());
            for path in &paths {
                let below = path.strip_prefix("/archive").unwrap();
                assert!(files.contains(&below.to_str().unwrap()), "{name}: {path:?}");
            }
        }
    }
}
