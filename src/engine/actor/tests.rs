//! The actor's turns one by one, where what happens between two of them matters.

use std::{
    collections::BTreeMap, fs, os::unix::fs::symlink, path::Path, sync::Arc, time::Duration,
};

use tempfile::TempDir;
use tokio::{sync::oneshot, time::Instant};

use super::{Actor, Parts, Timing, snapshot::Snapshot, turns::Woken};
use crate::{
    destination::{
        Ticket,
        jwplayer::{JwPlayer, JwPlayerOptions},
    },
    engine::{
        Handle, Server,
        clock::Clock,
        protocol::{
            AddPaths, Command, Phase, Place, Query, Reply, State, Targets, UploadId, WindowQuery,
        },
        queue::Queue,
        retry::Way,
        upload::Trouble,
    },
    error::{Error, Kind},
    identity::Identity,
    plan::PartPlan,
    secret::Secret,
    session::{
        Change, Header, Kept, Walk,
        folder::{self, Open},
        record::FORMAT,
    },
    settings::Settings,
};

/// An engine that is not run, with a queue of so many files that its destination never hears of.
fn actor(files: u32) -> (TempDir, Actor, Handle, Server) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let home = tempfile::tempdir().unwrap();
    let header = Header {
        format: FORMAT,
        id: "test".to_owned(),
        destination: "nowhere".to_owned(),
        settings: Settings::default(),
    };
    let session = folder::create_at(&session(&home), header).unwrap();
    let mut queue = Queue::default();
    for number in 0..files {
        let path = format!("/{number}.mp4").into();
        queue.add(path, Identity::new(4, 1, 0, 1)).unwrap();
    }
    let (handle, server) = Handle::pair();
    (home, of_session(session, queue), handle, server)
}

fn of_session(session: Open, queue: Queue) -> Actor {
    let site = JwPlayerOptions::new("site", Secret::new("secret"));
    Actor::new(Parts {
        session,
        queue,
        account: Arc::new(JwPlayer::new(site).unwrap()),
        timing: Timing::default(),
        events: None,
        elsewhere: Arc::default(),
        clock: Clock::default(),
    })
}

fn session(home: &TempDir) -> std::path::PathBuf {
    home.path().join("test.toml")
}

fn tell(actor: &mut Actor, server: &Server, command: Command) {
    actor.command(server, command, oneshot::channel().0);
}

/// To walk this path.
fn add(path: &Path) -> Command {
    Command::Add(AddPaths {
        paths: vec![path.to_owned()],
        ..AddPaths::default()
    })
}

/// Writes the session anew, all of it.
async fn write_anew(actor: &mut Actor) {
    actor.begin_snapshot();
    while actor.snapshot.as_ref().is_some_and(Snapshot::goes_on) {
        actor.write_slice();
    }
    let placed = actor.steps.join_next().await.unwrap().unwrap();
    actor.done(placed);
    assert!(actor.snapshot.is_none());
}

/// Takes what the walks under way tell, until they are over.
async fn walk_on(actor: &mut Actor) {
    while let Some(walked) = actor.walks.next().await {
        actor.walked(walked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_while_the_session_is_written_anew_waits_for_that_and_does_not_hold_it_up() {
    let (_home, mut actor, _handle, mut server) = actor(5000);
    actor.begin_snapshot();
    let last = Targets::Ids(vec![5000]);
    tell(&mut actor, &server, Command::Move(last, Place::Top));
    actor.reorder_at = Some(Instant::now());
    while actor.snapshot.as_ref().is_some_and(Snapshot::goes_on) {
        let woken = actor.wake(&mut server).await;
        assert!(matches!(woken, Woken::Slice), "it wakes for nothing");
        actor.write_slice();
    }
    let placed = actor.steps.join_next().await.unwrap().unwrap();
    actor.done(placed);
    actor.compact_when_due();
    let next = actor.snapshot.as_ref();
    assert!(next.is_some_and(Snapshot::is_of_a_new_order));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_finds_much_does_not_hold_up_the_session_that_is_written_anew() {
    let (_home, mut actor, _handle, mut server) = actor(5000);
    let tree = tempfile::tempdir().unwrap();
    for number in 0..5000 {
        fs::write(tree.path().join(format!("{number}.mp4")), "x").unwrap();
    }
    tell(&mut actor, &server, add(tree.path()));
    for _ in 0..2 {
        let walked = actor.walks.next().await.unwrap();
        actor.walked(walked);
    }
    actor.begin_snapshot();
    while actor.snapshot.as_ref().is_some_and(Snapshot::goes_on) {
        match actor.wake(&mut server).await {
            Woken::Slice => actor.write_slice(),
            Woken::Time => actor.measure(),
            Woken::Walked(_) => panic!("the walk went first"),
            _ => {}
        }
    }
    walk_on(&mut actor).await;
    assert_eq!(actor.queue.len(), 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_has_found_nothing_yet_is_paused_with_everything() {
    let (home, mut actor, _handle, server) = actor(0);
    fs::write(home.path().join("film.mp4"), "film").unwrap();
    tell(&mut actor, &server, add(home.path()));
    tell(&mut actor, &server, Command::Pause(Targets::All));
    walk_on(&mut actor).await;
    assert_eq!(actor.queue.counts().of(State::Paused), 1);
    tell(&mut actor, &server, Command::Resume(Targets::All));
    fs::write(home.path().join("second.mp4"), "second").unwrap();
    tell(&mut actor, &server, add(home.path()));
    walk_on(&mut actor).await;
    assert_eq!(actor.queue.counts().of(State::Queued), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_walk_finds_stays_paused_with_everything_when_all_that_it_found_was_taken_out() {
    let (home, mut actor, _handle, server) = actor(1);
    fs::write(home.path().join("film.mp4"), "film").unwrap();
    tell(&mut actor, &server, add(home.path()));
    tell(&mut actor, &server, Command::Pause(Targets::All));
    tell(&mut actor, &server, Command::Remove(Targets::All));
    walk_on(&mut actor).await;
    assert_eq!(actor.queue.counts().of(State::Paused), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_settled_while_a_command_for_many_goes_on() {
    let (_home, mut actor, _handle, server) = actor(1);
    tell(&mut actor, &server, Command::Pause(Targets::All));
    assert_eq!(actor.phase(), Phase::Settled);
    // More than a slice: what the last of them are for is not known yet.
    let many = Targets::Ids(vec![1; 2_000_000]);
    tell(&mut actor, &server, Command::Retry(many));
    assert!(actor.masses.any());
    assert_eq!(actor.phase(), Phase::Running);
    actor.go_on_with_mass(&server, None);
    assert_eq!(actor.phase(), Phase::Settled);
}

/// Goes on with what is in the session, as after a kill.
fn again(home: &TempDir, before: Actor) -> Actor {
    drop(before);
    let mut queue = Queue::default();
    let session = folder::open(&session(home), |record| queue.restore(record)).unwrap();
    queue.restored();
    of_session(session, queue)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_out_amid_a_walk_stays_out_when_that_is_begun_anew_until_it_is_named_again()
{
    for anew in [false, true] {
        let (home, mut actor, _handle, server) = actor(0);
        let tree = tempfile::tempdir().unwrap();
        for name in ["a.mp4", "b.mp4", "c.mp4"] {
            fs::write(tree.path().join(name), name).unwrap();
        }
        tell(&mut actor, &server, add(tree.path()));
        while actor.queue.len() < 3 {
            let walked = actor.walks.next().await.unwrap();
            actor.walked(walked);
        }
        let out = tree.path().join("b.mp4");
        let id = actor.queue.find(&out).unwrap();
        tell(&mut actor, &server, Command::Remove(Targets::Ids(vec![id])));
        // Killed twice before the walk came to its end.
        for _ in 0..2 {
            if anew {
                write_anew(&mut actor).await;
            }
            actor = again(&home, actor);
        }
        actor.go_on_walking();
        walk_on(&mut actor).await;
        assert_eq!((actor.queue.len(), actor.queue.find(&out)), (2, None));
        assert_eq!(actor.queue.walks_left(), 0);
        assert_eq!(actor.queue.all_taken_out().count(), 0);
        tell(&mut actor, &server, add(tree.path()));
        walk_on(&mut actor).await;
        assert!(actor.queue.find(&out).is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unread_again_after_it_was_taken_out_leaves_a_session_that_opens() {
    let (home, mut actor, _handle, server) = actor(0);
    let lost = home.path().join("lost.mp4");
    symlink("nowhere", &lost).unwrap();
    tell(&mut actor, &server, add(&lost));
    walk_on(&mut actor).await;
    let unread = actor.queue.find(&lost).unwrap();

    // Walked again, taken out meanwhile, written anew, and only then read, in vain.
    actor.walk_unread(vec![unread]);
    tell(&mut actor, &server, Command::Remove(Targets::All));
    write_anew(&mut actor).await;
    walk_on(&mut actor).await;
    assert_eq!(actor.queue.unread(), 1);
    drop(actor);

    let mut queue = Queue::default();
    folder::open(&session(&home), |record| queue.restore(record)).unwrap();
    assert_eq!(queue.counts().of(State::Failed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_changed_before_or_while_the_session_is_written_anew_is_there_after_the_end() {
    for (before, slices, after) in [(true, 0, false), (true, 2, false), (true, 2, true)]
        .into_iter()
        .chain([
            (false, 2, true),
            (true, usize::MAX, false),
            (true, usize::MAX, true),
        ])
    {
        let (home, mut actor, _handle, server) = actor(5000);
        let to_top = |id| Command::Move(Targets::Ids(vec![id]), Place::Top);
        if before {
            tell(&mut actor, &server, to_top(5000));
        }
        if slices > 0 {
            actor.begin_snapshot();
        }
        for _ in 0..slices {
            if !actor.snapshot.as_ref().is_some_and(Snapshot::goes_on) {
                break;
            }
            actor.write_slice();
        }
        if after {
            tell(&mut actor, &server, to_top(4000));
        }
        let order = actor.queue.order().to_vec();
        assert_eq!(order[0], if after { 4000 } else { 5000 });
        actor.end(&server).await;

        let mut queue = Queue::default();
        folder::open(&session(&home), |record| queue.restore(record)).unwrap();
        assert_eq!(queue.order(), order, "{before} {slices} {after}");
    }
}

/// What is kept of all uploads, those that are to stay out too, and the walks that did not come to their
/// end.
fn all_kept(queue: &Queue) -> (BTreeMap<UploadId, Kept>, Vec<UploadId>, Vec<Walk>) {
    let kept = queue.kept().map(|kept| (kept.id, kept));
    let (out, open) = (queue.all_taken_out(), queue.walks.open().cloned());
    (kept.collect(), out.collect(), open.collect())
}

/// Something a person may do.
fn any_command(actor: &Actor, random: &mut fastrand::Rng, tree: &Path) -> Command {
    let highest = UploadId::try_from(actor.queue.order().len()).unwrap() + 1;
    let count = random.u32(0..40);
    let some = match count {
        0 => Targets::All,
        _ => Targets::Ids((0..count).map(|_| random.u32(1..=highest)).collect()),
    };
    match random.u8(0..10) {
        0 => Command::Pause(some),
        1 => Command::Resume(some),
        2 => Command::Skip(some),
        3 if some != Targets::All => Command::Remove(some),
        4 => Command::StartOver(some),
        5 | 6 => Command::Retry(some),
        7 => Command::Move(some, Place::Top),
        8 => Command::Tune(Settings {
            retries: random.u16(0..9),
            ..actor.settings.clone()
        }),
        _ => add(tree),
    }
}

/// Something that may become of an upload.
fn any_change(random: &mut fastrand::Rng, id: UploadId, begun: bool) -> Vec<Change> {
    let ticket = Ticket::of(format!("m{id}"));
    match random.u8(0..4) {
        0 => vec![Change::Failed(Error::new(Kind::Server, "no"))],
        1 if begun => vec![Change::Done],
        2 if begun => vec![Change::Fresh(Identity::new(4, 2, 0, 2))],
        _ => vec![
            Change::Begun(format!("marker{id}"), None),
            Change::Plan(PartPlan::split(4, 2.try_into().unwrap()).unwrap()),
            Change::Ticket(ticket),
            Change::Part(1, Some([7; 16]).into()),
        ],
    }
}

/// A file comes, goes, or can't be read any more.
fn any_file(random: &mut fastrand::Rng, tree: &Path) {
    let path = tree.join(format!("{}.mp4", random.u8(0..60)));
    drop(fs::remove_file(&path));
    match random.u8(0..3) {
        0 => symlink("nowhere", &path).unwrap(),
        1 => fs::write(&path, "film").unwrap(),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_while_a_session_is_written_anew_is_in_it_once() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (home, mut actor, _handle, server) = actor(3000);
        write_anew(&mut actor).await;
        let tree = home.path().join("tree");
        fs::create_dir(&tree).unwrap();
        for _ in 0..random.u32(50..200) {
            let written = actor.snapshot.as_ref().map(Snapshot::goes_on);
            match (random.u8(0..10), written) {
                (0, None) => actor.begin_snapshot(),
                (0, Some(true)) => actor.write_slice(),
                (0, Some(false)) => {
                    let placed = actor.steps.join_next().await.unwrap().unwrap();
                    actor.done(placed);
                }
                (1..=3, _) => {
                    let command = any_command(&actor, &mut random, &tree);
                    tell(&mut actor, &server, command);
                }
                (4 | 5, _) => {
                    let id = random.u32(1..3100);
                    let file = actor.queue.get(id).filter(|it| it.walk().is_none());
                    let begun = file.is_some_and(|it| it.begun().is_some());
                    if file.is_some_and(|it| it.state() != State::Done) {
                        for change in any_change(&mut random, id, begun) {
                            actor.keep(id, &change);
                        }
                    }
                }
                (6 | 7, _) => any_file(&mut random, &tree),
                _ if actor.walks.any() => {
                    let walked = actor.walks.next().await.unwrap();
                    actor.walked(walked);
                }
                _ => {}
            }
            actor.go_on_with_mass(&server, None);
        }
        let there = all_kept(&actor.queue);
        let (unread, counts) = (actor.queue.unread(), actor.queue.counts());
        drop(actor);
        let mut queue = Queue::default();
        folder::open(&session(&home), |record| queue.restore(record))
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        queue.restored();
        assert_eq!(all_kept(&queue), there, "seed {seed}");
        let again = (queue.unread(), queue.counts());
        assert_eq!(again, (unread, counts), "seed {seed}");
    }
}

#[tokio::test]
async fn two_files_of_one_name_are_told_apart_where_one_of_them_fails() {
    let (_home, mut actor, _handle, _server) = actor(0);
    for path in ["/t/2019/clip.mp4", "/t/2020/clip.mp4"] {
        let identity = Identity::new(4, 1, 0, 1);
        actor.queue.add(path.into(), identity).unwrap();
    }
    assert_eq!(actor.place(1, None), "2019/clip.mp4");
    assert_eq!(actor.place(2, Some(7)), "2020/clip.mp4, part 7");
}

/// What is said of the first file in the queue, on a screen.
fn note(actor: &mut Actor) -> String {
    let query = WindowQuery {
        rows: 1,
        ..WindowQuery::default()
    };
    let Reply::Window(window) = actor.query(Query::Window(query)) else {
        panic!("another answer");
    };
    let row = window.lines[0].upload().unwrap();
    row.note.clone().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_file_that_waits_says_when_it_is_tried_again_unless_it_waits_for_more() {
    let (_home, mut actor, _handle, _server) = actor(1);
    let begun = Change::Begun("marker".to_owned(), None);
    let plan = Change::Plan(PartPlan::split(4, 2.try_into().unwrap()).unwrap());
    actor.keep(1, &begun);
    actor.keep(1, &plan);
    assert_eq!(note(&mut actor), "");

    let trouble = |seconds| Trouble {
        attempts: 1,
        error: Error::new(Kind::Server, "answered 503"),
        retry_at: Some(Instant::now() + Duration::from_secs(seconds)),
        ask: false,
    };
    for (number, seconds) in [(1, 75), (2, 12)] {
        let trouble = trouble(seconds);
        actor
            .queue
            .with_begun(1, |begun| begun.fail(number, trouble));
    }
    assert_eq!(note(&mut actor), "again in 12s: answered 503");
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(note(&mut actor), "again in 7s: answered 503");
    tokio::time::advance(Duration::from_secs(8)).await;
    assert_eq!(note(&mut actor), "answered 503", "as soon as there is room");

    actor.queue.with_begun(1, |begun| {
        begun.troubled.clear();
        begun.not_before = Some(Instant::now() + Duration::from_secs(90));
        begun.step_error = Some(Error::new(Kind::Server, "answered 500"));
    });
    assert_eq!(note(&mut actor), "again in 1m 30s: answered 500");
    let slow = Error {
        wait: Some(Duration::from_mins(10)),
        ..Error::new(Kind::Throttled, "answered 429")
    };
    actor.close_gate(Way::Calls, &slow);
    assert_eq!(
        note(&mut actor),
        "answered 500",
        "the destination has a say"
    );
}
