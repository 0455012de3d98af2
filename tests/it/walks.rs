//! A tree is walked to its end whatever comes between, and what could not be read is not forgotten.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use crate::support::engine::{self, Making, World};
use crate::support::{Ended, Home, MIB, Mode, Running, Server, Source, path_of};
use reelhaul::{
    engine::{
        protocol::{Command, State, Targets},
        queue::Queue,
    },
    session::folder,
};
use tempfile::TempDir;

/// As many files in one folder as are asked for, in memory where there is such a disk. No walk of them
/// is through before a test has acted.
fn many(count: usize, name: &str, extension: &str) -> TempDir {
    let memory = Path::new("/dev/shm");
    let tree = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let tree = tree.unwrap();
    let folder = tree.path().join(name);
    fs::create_dir(&folder).unwrap();
    for number in 0..count {
        fs::write(folder.join(format!("{number:06}.{extension}")), b"x").unwrap();
    }
    tree
}

fn up(home: &Home, tree: &TempDir) -> Running {
    home.start(["up".as_ref(), tree.path().as_os_str(), "--json".as_ref()])
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
    let tree = many(MANY, "takes", "mp4");
    // They are to be queued here, not sent.
    server.latency(2000);
    let mut run = up(&home, &tree);
    run.wait_for_event("queued");
    let saved = crate::support::wait_for("some of the queue in the file", || {
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
    run.signal("INT");
    run.signal("INT");
    run.end().assert_code(130);
    assert_eq!(queued(&saved).len(), MANY);
    // What is through is not walked again.
    let mut run = home.resume(&[]);
    run.wait_for_event("progress");
    run.signal("INT");
    let ended = run.end();
    ended.assert_code(130);
    assert!(ended.named("queued").is_empty());
}

/// A walk that has much to pass over before it finds the one film.
fn long_search() -> (Server, Home, TempDir, Source, Running) {
    let server = Server::start();
    let home = Home::new(Mode::JwPlayer, &server.url);
    let tree = many(50_000, "a notes", "txt");
    let film = Source::write(tree.path().join("z film.mp4"), MIB, 1);
    let mut run = up(&home, &tree);
    run.wait_for_event("skipped");
    (server, home, tree, film, run)
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
    let (server, home, _tree, film, run) = long_search();
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
    let (server, home, _tree, film, run) = long_search();
    assert!(run.kill().0);
    found_after_all(&server, &home, film);
}

#[test]
fn files_that_another_session_took_meanwhile_are_not_sent_twice() {
    let (server, home, _tree, film, run) = long_search();
    run.signal("INT");
    run.end().assert_code(130);
    let cut_short = home.session();
    let path = film.path.to_str().unwrap();
    home.run(["up", path, "--json"]).assert_code(0);
    let name = cut_short.file_stem().unwrap().to_str().unwrap();
    let ended = home.resume(&[name]).end();
    assert!(ended.named("queued").is_empty(), "{}", ended.stdout);
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
    for mode in Mode::ALL {
        let server = Server::start();
        let mut home = Home::new(mode, &server.url);
        home.be_mortal();
        let open = Source::write(home.tree().join("open.mp4"), 70_000, 1);
        let closed = home.tree().join("closed");
        let hidden = Source::write(closed.join("hidden.mp4"), 70_000, 2);
        Source::write(closed.join("raw/unwanted.mp4"), 70_000, 3);
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
    }
}

#[test]
fn what_could_not_be_read_and_is_gone_is_no_failure_any_more() {
    let server = Server::start();
    let mut home = Home::new(Mode::JwPlayer, &server.url);
    home.be_mortal();
    let open = Source::write(home.tree().join("open.mp4"), 70_000, 1);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_what_could_not_be_read_among_what_failed_and_tries_it_again() {
    let world = World::new(engine::jwplayer, Making::default()).await;
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
async fn what_could_not_be_read_and_is_left_out_stays_so_in_a_session_that_is_written_anew() {
    let world = World::new(engine::jwplayer, Making::default()).await;
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
    let mut queue = Queue::default();
    folder::open(&session, |record| queue.restore(record)).unwrap();
    assert_eq!(queue.counts().of(State::Skipped), 1);
    assert_eq!(queue.unread(), 0);
    world.sandbox.stop().await;
}
