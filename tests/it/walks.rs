//! A tree is walked to its end whatever comes between, and what could not be read is not forgotten.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use crate::support::{
    Ended, Home, Mode, Running, Server, Source,
    engine::{self, Making, World},
    gate::AtGate,
    in_every_mode, path_of, wait_for,
};
use reelhaul::engine::{
    protocol::{Command, State, Targets},
    queue::Queue,
};
use serde_json::json;

/// A folder with so many small films, no two alike, made once for all runs of these tests: nothing may
/// be written to it. It gets its name when it is whole, so that several processes may make it at once.
fn takes(count: usize) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let tree = kept.join(format!("{count} films"));
    if tree.is_dir() {
        return tree;
    }
    fs::create_dir_all(kept).unwrap();
    let making = tempfile::tempdir_in(kept).unwrap();
    let whole = making.path().join("whole");
    fs::create_dir(&whole).unwrap();
    for number in 0..count {
        let name = format!("{number:06}.mp4");
        fs::write(whole.join(&name), &name).unwrap();
    }
    if let Err(error) = fs::rename(&whole, &tree) {
        assert!(tree.is_dir(), "{error}");
    }
    tree
}

/// The paths that a session file queues.
fn queued(session: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(session).unwrap();
    let paths: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("path = "))
        .map(str::to_owned)
        .collect();
    let distinct: BTreeSet<String> = paths.iter().cloned().collect();
    assert_eq!(distinct.len(), paths.len(), "a file is queued twice");
    distinct
}

#[test]
fn a_kill_amid_a_walk_of_100_000_files_leaves_none_of_them_unqueued() {
    const MANY: usize = 100_000;
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let tree = takes(MANY);
    let up = ["up".as_ref(), tree.as_os_str(), "--json".as_ref()];
    // They are to be queued here, not sent.
    let hold = json!([{ "fault": "hold", "on": "create", "times": 1_000_000 }]);
    server.script(&hold);
    let (run, gate) = home.start_gated("walk-batch:50", up);
    let _held = gate.reached();
    let saved = wait_for("some of the queue in the file", || {
        let session = home.sessions().pop()?;
        (!queued(&session).is_empty()).then_some(session)
    });
    assert!(run.kill().0);
    let before = queued(&saved).len();
    assert!(before < MANY, "the walk was through before the kill");

    let listed = home.run(["sessions", "--json"]);
    assert!(
        listed.stdout.contains("\"state\":\"unfinished\""),
        "{}",
        listed.stdout
    );
    let mut run = home.resume(&[]);
    let mut more = 0;
    while before + more < MANY {
        run.wait_for_event("queued");
        more += 1;
    }
    run.interrupt().assert_code(130);
    assert_eq!(queued(&saved).len(), MANY);
    // What is through is not walked again: that would be the end of it.
    server.no_faults();
    server.script(&hold);
    let mut resume = home.command(["resume", "--json"]);
    resume.env("REELHAUL_KILL_AT", "walk-starts");
    let run = Running::new(resume);
    server.wait_until_held(1);
    let ended = run.interrupt();
    ended.assert_code(130);
    assert!(ended.named("queued").is_empty());
    assert!(server.report().media.is_empty());
}

/// A walk that passes over more than it reports at once before it finds the one film, and is held when
/// it has reported the first of that.
fn long_search() -> (Server, Home, Source, Running, AtGate) {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let notes = home.tree().join("a notes");
    fs::create_dir(&notes).unwrap();
    for number in 0..1100 {
        fs::write(notes.join(format!("{number:04}.txt")), b"x").unwrap();
    }
    let film = Source::write(home.tree().join("z film.mp4"), 1000, 1);
    let tree = home.tree();
    let up = ["up".as_ref(), tree.as_os_str(), "--json".as_ref()];
    let (mut run, gate) = home.start_gated("walk-batch:2", up);
    let held = gate.reached();
    run.wait_for_event("skipped");
    (server, home, film, run, held)
}

fn found_after_all(server: &Server, home: &Home, film: Source) {
    assert!(server.report().media.is_empty(), "the walk was through");
    let ended = home.resume(&[]).end();
    ended.assert_code(0);
    assert_eq!(path_of(&ended.named("queued")[0]), film.path);
    server.report().assert_holds(&[film]);
}

#[test]
fn an_interrupt_before_a_walk_found_anything_is_one_and_the_walk_goes_on_later() {
    let (server, home, film, run, _held) = long_search();
    run.signal("INT");
    let ended = run.end();
    ended.assert_code(130);
    assert!(ended.named("queued").is_empty(), "the walk was through");
    let words = "the walk did not come to its end; go on with: reelhaul resume";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
    found_after_all(&server, &home, film);
}

#[test]
fn a_kill_before_a_walk_found_anything_leaves_a_session_that_walks_on() {
    let (server, home, film, run, _held) = long_search();
    assert!(run.kill().0);
    found_after_all(&server, &home, film);
}

#[test]
fn files_that_another_session_took_meanwhile_are_not_sent_twice() {
    let (server, home, film, run, _held) = long_search();
    run.signal("INT");
    run.end().assert_code(130);
    let cut_short = home.session();
    let path = film.path.to_str().unwrap();
    home.run(["up", path, "--json"]).assert_code(0);
    let name = cut_short.file_stem().unwrap().to_str().unwrap();
    let ended = home.resume(&[name]).end();
    ended.assert_code(0);
    assert!(ended.named("queued").is_empty(), "{}", ended.stdout);
    let skipped = ended.named("skipped");
    assert!(
        skipped.iter().any(|event| path_of(event) == film.path),
        "it was not found: {}",
        ended.stdout
    );
    server.report().assert_holds(&[film]);
}

/// What it told of paths that could not be read.
fn unreadable(ended: &Ended) -> Vec<(String, String)> {
    let told = ended.named("unreadable");
    told.iter()
        .map(|event| {
            let name = path_of(event).file_name().unwrap().to_owned();
            let reason = event["reason"].as_str().unwrap().to_owned();
            (name.into_string().unwrap(), reason)
        })
        .collect()
}

#[test]
fn what_could_not_be_read_stays_with_the_session_until_it_could() {
    in_every_mode(|mode| {
        let server = Server::start();
        let mut home = Home::new(mode, &server.url);
        home.be_mortal();
        let open = Source::write(home.tree().join("open.mp4"), 1000, 1);
        let closed = home.tree().join("closed");
        let hidden = Source::write(closed.join("hidden.mp4"), 1000, 2);
        Source::write(closed.join("raw/unwanted.mp4"), 1000, 3);
        home.hand_over();
        let allow = |mode| fs::set_permissions(&closed, fs::Permissions::from_mode(mode)).unwrap();
        allow(0o000);
        let ended = home.up(&["--exclude", "closed/raw"]).end();
        ended.assert_code(1);
        let told = vec![("closed".to_owned(), "no permission to read it".to_owned())];
        assert_eq!(unreadable(&ended), told);
        assert!(ended.stderr.contains("--retry-failed"), "{}", ended.stderr);

        // A run that says nothing of it is as much of a failure, and so is one that tries in vain.
        for flags in [&[][..], &["--retry-failed"]] {
            let ended = home.resume(flags).end();
            ended.assert_code(1);
            let again = unreadable(&ended);
            assert!(
                again.iter().all(|one| *one == told[0]) && !again.is_empty(),
                "{again:?}"
            );
            assert_eq!(ended.summary()["uploads"]["failed"], 1);
        }
        let listed = home.run(["sessions"]);
        assert!(listed.stdout.contains("1 failed"), "{}", listed.stdout);

        allow(0o755);
        let ended = home.resume(&["--retry-failed"]).end();
        ended.assert_code(0);
        assert_eq!(ended.summary()["uploads"]["failed"], 0);
        server.report().assert_holds(&[open, hidden]);
        server.report().assert_nothing_twice();
        let ended = home.resume(&[]).end();
        assert!(
            ended.stderr.contains("no session is unfinished"),
            "{}",
            ended.stderr
        );
    });
}

#[test]
fn what_could_not_be_read_and_is_gone_is_no_failure_any_more() {
    let server = Server::start();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    home.be_mortal();
    let open = Source::write(home.tree().join("open.mp4"), 1000, 1);
    let closed = home.tree().join("closed");
    fs::create_dir(&closed).unwrap();
    home.hand_over();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    home.up(&[]).end().assert_code(1);
    fs::remove_dir(&closed).unwrap();
    let ended = home.resume(&["--retry-failed"]).end();
    ended.assert_code(0);
    assert_eq!(ended.named("skipped")[0]["reason"], "it is no longer there");
    server.report().assert_holds(&[open]);
}

fn making() -> Making {
    Making {
        speed: None,
        ..Making::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_could_not_be_read_among_what_failed_and_tries_it_again() {
    let world = World::new(engine::jwplayer, making()).await;
    let tree = world.home.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let link = tree.join("lost.mp4");
    symlink("nowhere", &link).unwrap();
    world.add(&tree).await;
    let summary = world.until_settled().await;
    assert_eq!(
        (summary.unreadable, summary.counts.of(State::Failed)),
        (1, 1)
    );
    let rows = world.rows().await;
    assert_eq!((&rows[0].path, rows[0].state), (&link, State::Failed));
    let note = rows[0].note.as_deref().unwrap();
    assert!(note.contains("leads nowhere"), "{note}");

    let retry = || Command::Retry(Targets::Ids(vec![rows[0].id]));
    let outcome = world.try_to(retry()).await;
    assert!(
        outcome.words.contains("1 path walked again"),
        "{}",
        outcome.words
    );
    let summary = world.until_settled().await;
    assert_eq!(summary.unreadable, 1, "it still leads nowhere");

    let film = world.write("nowhere", 1);
    fs::rename(&film, tree.join("nowhere")).unwrap();
    world.tell(retry()).await;
    let summary = world
        .until("the file", |now| now.counts.of(State::Done) == 1)
        .await;
    assert_eq!((summary.unreadable, summary.counts.left()), (0, 0));
    world.assert_one_is(&link).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_read_and_is_left_out_stays_so_in_a_session_that_is_rewritten() {
    let world = World::new(engine::jwplayer, making()).await;
    let tree = world.home.path().join("tree");
    fs::create_dir(&tree).unwrap();
    symlink("nowhere", tree.join("lost.mp4")).unwrap();
    world.add(&tree).await;
    world.until_settled().await;
    world.tell(Command::Skip(engine::all())).await;
    assert_eq!(world.tell(Command::Save).await.words, "saved");
    let session = world.home.path().join("test.toml");
    world.tell(Command::Stop).await;
    world.ended.await.unwrap();
    let (_, queue) = Queue::open(&session).unwrap();
    assert_eq!(queue.counts().of(State::Skipped), 1);
    assert_eq!(queue.unread(), 0);
    world.sandbox.stop().await;
}
