//! What was taken over by another session, and what its first session does when it comes back: it knows
//! whose the media object is, whatever happened to the film, to the second session or to the ledger
//! meanwhile.

use std::fs;

use serde_json::json;

use super::{
    assert_does_nothing, assert_films, assert_uploaded_before, copy,
    crash::{Killed, ONE, SEVERAL, amid_the_parts},
    media_of, modified, set_modified, skipped,
};
use crate::support::{
    Home, Mode, Server, Source, disk::Fault, in_every_mode, side_by_side, wait_for,
};

/// Who ends an upload whose first session was killed, and its second one when it had taken over.
#[derive(Debug, Clone, Copy)]
enum By {
    First,
    Second,
    Third,
}

/// Sets the stage: the first session was killed, and so is the second, where it reaches this point.
/// Returns the second session.
fn second_is_killed(killed: &Killed, point: &str) -> std::path::PathBuf {
    let home = &killed.home;
    let tree = home.tree();
    let up = ["up", tree.to_str().unwrap(), "--json", "--parts", "1"];
    home.start_killed_at(point, up).end().assert_killed();
    killed.server.wait_until_hung_up();
    home.session_besides(&[&killed.session])
}

#[test]
fn a_take_over_that_is_killed_is_ended_by_whoever_comes_next() {
    let points = ["claimed", "part-answered", "all-sent", "completed"];
    let cases = points.into_iter().flat_map(|point| {
        let ends = [By::First, By::Second, By::Third].into_iter();
        ends.flat_map(move |by| Mode::ALL.map(|mode| (point, by, mode)))
    });
    for chunk in cases.collect::<Vec<_>>().chunks(9) {
        side_by_side(chunk.iter().copied(), |(point, by, mode)| {
            let killed = amid_the_parts(mode);
            let second = second_is_killed(&killed, point);
            let run = match by {
                By::First => killed.home.resume_session(&killed.session, &[]),
                By::Second => killed.home.resume_session(&second, &[]),
                By::Third => killed.home.up(&[]),
            };
            run.end().assert_code(0);
            killed.assert_there(1..=1);
            for session in [&killed.session, &second] {
                let resume = || killed.home.resume_session(session, &[]).end();
                assert_does_nothing(&killed.server, resume);
            }
        });
    }
}

#[test]
fn a_discard_by_the_second_session_that_is_killed_leaves_one_object_in_the_end() {
    let points = ["clearing-saved", "discarded-in-ledger"];
    let cases = points
        .into_iter()
        .flat_map(|point| [true, false].map(|first_ends| (point, first_ends)));
    side_by_side(cases, |(point, first_ends)| {
        // What was created can't be resumed by anybody, and is about to be deleted.
        let killed = Killed::at(Mode::JwPlayer, SEVERAL, "created");
        let second = second_is_killed(&killed, point);
        let sessions = if first_ends {
            [&killed.session, &second]
        } else {
            [&second, &killed.session]
        };
        for session in sessions {
            let ended = killed.home.resume_session(session, &[]).end();
            ended.assert_code(0);
        }
        assert_films(&killed.server, std::slice::from_ref(&killed.film));
        assert_does_nothing(&killed.server, || killed.home.up(&[]).end());
    });
}

#[test]
fn a_new_version_is_not_skipped_for_what_another_session_made_of_the_old_one() {
    in_every_mode(|mode| {
        for keeps_time in [false, true] {
            let killed = amid_the_parts(mode);
            killed.home.up(&[]).end().assert_code(0);
            killed.assert_there(1..=1);
            let time = modified(&killed.film.path);
            let new = Source::write(&killed.film.path, killed.film.size, 2);
            if keeps_time {
                set_modified(&new.path, time);
            }

            // What the first session had begun was the old version. This one is changed, or goes out.
            let ended = killed.home.resume_session(&killed.session, &[]).end();
            assert!(ended.named("skipped").is_empty(), "{}", ended.output());
            if ended.status.code() != Some(0) {
                ended.assert_code(1);
                assert_eq!(ended.named("failed")[0]["kind"], "changed");
                let start_over = killed
                    .home
                    .resume_session(&killed.session, &["--start-over"]);
                start_over.end().assert_code(0);
            }
            assert_films(&killed.server, &[killed.film, new]);
        }
    });
}

#[test]
fn a_killed_upload_is_continued_after_its_tree_was_renamed() {
    in_every_mode(|mode| {
        let killed = amid_the_parts(mode);
        let renamed = killed.home.dir.path().join("tree of 2019");
        fs::rename(killed.home.tree(), &renamed).unwrap();
        killed.home.up_paths(&[&renamed], &[]).end().assert_code(0);
        killed.assert_there(1..=1);
        // The session that was killed ends too, though it finds no file.
        let resume = || killed.home.resume_session(&killed.session, &[]).end();
        let ended = assert_does_nothing(&killed.server, resume);
        let renamed = renamed.join(killed.film.path.file_name().unwrap());
        let (_, reason) = &skipped(&ended)[0];
        assert!(reason.contains(renamed.to_str().unwrap()), "{reason}");
    });
}

#[test]
fn a_killed_upload_is_continued_from_a_copy_of_its_tree_on_another_disk() {
    in_every_mode(|mode| {
        let killed = amid_the_parts(mode);
        let other = killed.home.dir.path().join("other/take.mov");
        copy(&killed.film.path, &other);
        fs::remove_dir_all(killed.home.tree()).unwrap();
        let folder = other.parent().unwrap();
        killed.home.up_paths(&[folder], &[]).end().assert_code(0);
        killed.assert_there(1..=1);
    });
}

#[test]
fn a_copy_that_differs_in_what_was_sent_does_not_continue_a_killed_upload() {
    in_every_mode(|mode| {
        let killed = amid_the_parts(mode);
        let other = killed.home.dir.path().join("other/take.mov");
        copy(&killed.film.path, &other);
        // In the part that has arrived, between what is sampled.
        let file = fs::File::options().write(true).open(&other).unwrap();
        let at = killed.film.size / 16 + 1000;
        std::os::unix::fs::FileExt::write_all_at(&file, b"another take", at).unwrap();
        set_modified(&other, modified(&killed.film.path));
        let other = Source::of(other);
        assert_ne!(other.sha256, killed.film.sha256);

        let folder = other.path.parent().unwrap();
        killed.home.up_paths(&[folder], &[]).end().assert_code(0);
        assert_eq!(
            media_of(&killed.server.report(), &other).len(),
            other_id(mode)
        );
        killed
            .home
            .resume_session(&killed.session, &[])
            .end()
            .assert_code(0);
        assert_films(&killed.server, &[killed.film, other]);
    });
}

/// How long an id is.
fn other_id(mode: Mode) -> usize {
    if mode.is_jwplayer() { 8 } else { 24 }
}

#[test]
fn a_session_whose_complete_film_was_uploaded_anew_by_another_knows_that() {
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| [(mode, SEVERAL), (mode, ONE)]);
    side_by_side(cases, |(mode, size)| {
        // Its file alone says that the film is complete. The second session takes over, and leaves
        // nothing of that in its own; of one part at JW Player, the third can't know that it is there.
        let killed = Killed::at(mode, size, "completed");
        let second = second_is_killed(&killed, "claimed");
        killed.home.up(&[]).end().assert_code(0);
        assert_films(&killed.server, std::slice::from_ref(&killed.film));
        for session in [&killed.session, &second] {
            let resume = || killed.home.resume_session(session, &[]).end();
            assert_does_nothing(&killed.server, resume);
        }
    });
}

#[test]
fn an_upload_that_is_begun_anew_by_itself_is_given_to_nobody_in_between() {
    // The answer to its one part was never seen, and nothing else shows what JW Player has.
    let killed = Killed::at(Mode::JwPlayer, ONE, "part-answered");
    let resume = ["resume", killed.session.to_str().unwrap(), "--json"];
    let run = killed.home.start_killed_at("given-back-in-ledger", resume);
    let ended = run.end();
    ended.assert_code(0);
    assert!(ended.stderr.contains("begun anew"), "{}", ended.stderr);
    assert_films(&killed.server, std::slice::from_ref(&killed.film));
}

/// A film that failed in one session when one part had arrived.
fn failed(mode: Mode) -> (Server, Home, Source) {
    let server = Server::start();
    let home = Home::new(mode, &server.url);
    let film = Source::write(home.tree().join("take.mov"), SEVERAL, 1);
    server.script(&json!([{ "fault": "status", "on": "part", "part": 2 }]));
    let ended = home.up(&["--parts", "1", "--retries", "0"]).end();
    ended.assert_code(1);
    server.assert_all_struck();
    server.no_faults();
    (server, home, film)
}

#[test]
fn a_claim_that_was_given_back_and_is_taken_again_survives_a_kill() {
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| [(mode, true), (mode, false)]);
    side_by_side(cases, |(mode, same_session)| {
        let (server, home, film) = failed(mode);
        let session = home.session();
        let resume = [
            "resume",
            session.to_str().unwrap(),
            "--json",
            "--retry-failed",
        ];
        home.start_killed_at("claimed", resume)
            .end()
            .assert_killed();
        server.wait_until_hung_up();
        let run = if same_session {
            home.resume_session(&session, &["--retry-failed"])
        } else {
            home.up(&[])
        };
        run.end().assert_code(0);
        assert_films(&server, std::slice::from_ref(&film));
        assert_eq!(server.report().media.len(), 1, "it was started over");
        server.report().assert_nothing_twice();
        let resume = || home.resume_session(&session, &["--retry-failed"]).end();
        assert_does_nothing(&server, resume);
    });
}

#[test]
fn a_kill_right_after_a_claim_was_given_back_loses_nothing() {
    let cases = Mode::ALL
        .into_iter()
        .flat_map(|mode| [(mode, true), (mode, false)]);
    side_by_side(cases, |(mode, same_session)| {
        let server = Server::start();
        let home = Home::new(mode, &server.url);
        let film = Source::write(home.tree().join("take.mov"), SEVERAL, 1);
        server.script(&json!([{ "fault": "status", "on": "part", "part": 2 }]));
        let tree = home.tree();
        let up = [
            "up",
            tree.to_str().unwrap(),
            "--json",
            "--part-size",
            "5MiB",
            "--parts",
            "1",
        ];
        let args = up.into_iter().chain(["--retries", "0"]);
        let point = "given-back-in-ledger";
        home.start_killed_at(point, args).end().assert_killed();
        server.wait_until_hung_up();
        server.no_faults();
        let session = home.session();
        let run = if same_session {
            home.resume_session(&session, &["--retry-failed"])
        } else {
            home.up(&[])
        };
        run.end().assert_code(0);
        assert_films(&server, std::slice::from_ref(&film));
        assert_eq!(server.report().media.len(), 1, "it was started over");
        server.report().assert_nothing_twice();
    });
}

#[test]
fn what_another_session_has_finished_is_not_deleted_while_the_ledger_can_not_be_written() {
    in_every_mode(|mode| {
        let (server, home, film) = failed(mode);
        let session = home.session();
        home.up(&[]).end().assert_code(0);
        let media = media_of(&server.report(), &film);

        let resume = [
            "resume",
            session.to_str().unwrap(),
            "--json",
            "--start-over",
        ];
        let (mut run, gate) = home.start_gated("clearing-saved", resume);
        let held = gate.reached();
        let ledger = home.state().join("ledger.db");
        let Some(fault) = Fault::strike(run.process(), &ledger, "fcntl", "error=EIO") else {
            return;
        };
        drop(held);
        // It says that the ledger is away, or has ended for that.
        wait_for("a word on the ledger", || {
            let told = run.errors().contains("ledger");
            (told || !run.is_running()).then_some(())
        });
        drop(fault);
        let ended = run.end();
        ended.assert_code(0);
        assert_films(&server, std::slice::from_ref(&film));
        assert_eq!(media_of(&server.report(), &film), media, "it was deleted");
        assert_uploaded_before(&ended, &film.path, &media);
    });
}
