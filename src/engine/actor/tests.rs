//! The actor's turns one by one, where what happens between two of them matters.

use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc, thread, time::Duration};

use tempfile::TempDir;
use tokio::{sync::oneshot, time::Instant};

use super::{Actor, Parts, Timing, turns::Woken};
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
        record::{Step, StepWait, Trouble},
        upload::{End, Message, Told},
    },
    error::{CallClass, Error, Kind},
    identity::Identity,
    ledger,
    plan::PartPlan,
    secret::Secret,
    session::{
        Change, Header, Kept, Walk,
        folder::{self, Open},
        record::FORMAT,
        store::Store,
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
        owner: "owner".to_owned(),
        destination: "nowhere".to_owned(),
        settings: Settings::default(),
    };
    let session = folder::create_at(&session(&home), header).unwrap();
    let mut queue = Queue::default();
    for number in 0..files {
        let path = format!("/{number}.mp4").into();
        queue.add(path, Identity::new(4, 1, 0, 1), false).unwrap();
    }
    let (handle, server) = Handle::pair();
    (home, of_session(session, queue), handle, server)
}

fn of_session(session: Open, queue: Queue) -> Actor {
    let site = JwPlayerOptions::new("site", Secret::new("secret"));
    let account = JwPlayer::new(site).unwrap();
    let of = ledger::Session {
        owner: &session.header.owner,
        name: &session.header.id,
        file: &session.path,
        adopts: false,
    };
    // A scan of the engine before, which is about to end, may still have it.
    let opened = loop {
        match ledger::open(&session.path.with_file_name(ledger::FILE), of, &account) {
            Ok(opened) => break opened,
            Err(error) if error.message.contains("has this session open") => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    Actor::new(Parts {
        ledger: opened,
        session,
        queue,
        account: Arc::new(account),
        timing: Timing::default(),
        events: None,
        no_wait: false,
        is_deep: false,
        clock: Clock::default(),
        open_files: crate::engine::OpenFiles::default(),
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

/// Takes what the walks under way tell, until they are over.
async fn walk_on(actor: &mut Actor) {
    while let Some(walked) = actor.walks.next().await {
        actor.walked(walked);
    }
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

/// Goes on with what is in the session, as after a kill; rewritten first or not.
async fn again(home: &TempDir, before: Actor, is_rewritten: bool) -> Actor {
    drop(before);
    let (session, queue) = Queue::open(&session(home)).unwrap();
    let actor = of_session(session, queue);
    if is_rewritten {
        actor.rewrite().await
    } else {
        actor
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_out_amid_a_walk_stays_out_when_that_is_begun_anew_until_it_is_named_again()
{
    for is_rewritten in [false, true] {
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
            actor = again(&home, actor, is_rewritten).await;
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

    // Walked again, taken out meanwhile, rewritten, and only then read, in vain.
    actor.walk_unread(vec![unread]);
    tell(&mut actor, &server, Command::Remove(Targets::All));
    actor = actor.rewrite().await;
    walk_on(&mut actor).await;
    assert_eq!(actor.queue.unread(), 1);
    drop(actor);

    let (_, queue) = Queue::open(&session(&home)).unwrap();
    assert_eq!(queue.counts().of(State::Failed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_out_and_named_again_comes_back_though_the_walk_was_cut_short_twice() {
    let (home, mut actor, _handle, server) = actor(0);
    let tree = tempfile::tempdir().unwrap();
    let film = tree.path().join("film.mp4");
    fs::write(&film, "film").unwrap();
    tell(&mut actor, &server, add(tree.path()));
    while actor.queue.is_empty() {
        let walked = actor.walks.next().await.unwrap();
        actor.walked(walked);
    }
    tell(&mut actor, &server, Command::Remove(Targets::Ids(vec![1])));
    // Killed before either walk came to its end, and again after the session was rewritten.
    tell(&mut actor, &server, add(&film));
    for _ in 0..2 {
        actor = again(&home, actor, true).await;
    }
    assert_eq!(actor.queue.walks_left(), 2);
    actor.go_on_walking();
    walk_on(&mut actor).await;
    assert!(actor.queue.find(&film).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_changed_is_there_after_a_kill_and_after_an_end() {
    for ends in [false, true] {
        let (home, mut actor, _handle, server) = actor(50);
        actor = saved(actor);
        for (id, place) in [(50, Place::Top), (20, Place::Up), (1, Place::Bottom)] {
            let one = Targets::Ids(vec![id]);
            tell(&mut actor, &server, Command::Move(one, place));
        }
        let order = actor.queue.order().to_vec();
        assert_eq!((order[0], order[49]), (50, 1));
        if ends {
            actor.end(&server).await;
        } else {
            drop(actor);
        }
        let (opened, queue) = Queue::open(&session(&home)).unwrap();
        assert_eq!(queue.order(), order, "after an end: {ends}");
        assert_eq!(opened.store.has_log(), !ends);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_changes_nothing_is_not_saved() {
    let (home, mut actor, _handle, server) = actor(3);
    let first = Targets::Ids(vec![1]);
    tell(&mut actor, &server, Command::Move(first, Place::Top));
    drop(actor);
    let text = fs::read_to_string(session(&home)).unwrap();
    assert!(!text.contains("moved"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_of_a_walk_and_nothing_started_while_the_disk_is_behind() {
    let (_home, mut actor, _handle, mut server) = actor(1);
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("film.mp4"), "film").unwrap();
    tell(&mut actor, &server, add(tree.path()));
    while actor.walks.waiting() < 3 {
        tokio::task::yield_now().await;
    }
    let disk = std::mem::replace(&mut actor.session.store, Store::stuck());
    assert!(actor.session.store.is_behind());
    actor.start_what_may();
    assert_eq!(actor.active.len(), 0);
    for _ in 0..2 {
        let woken = actor.wake(&mut server).await;
        assert!(matches!(woken, Woken::Time), "the walk went on");
    }
    actor.session.store = disk;
    actor.start_what_may();
    assert_eq!(actor.active.len(), 1);
    walk_on(&mut actor).await;
    assert_eq!(actor.queue.len(), 2);
}

/// The engine with all of its queue in its session file.
fn saved(mut actor: Actor) -> Actor {
    let Open { store, header, .. } = &mut actor.session;
    store
        .rewrite(|out| actor.queue.write_session(header, out))
        .unwrap();
    actor
}

/// What a session has to say of its queue: all uploads in their order, those that are to stay out, the
/// walks that did not come to their end, and what was counted.
fn all_kept(queue: &Queue) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        queue.kept().collect::<Vec<Kept>>(),
        queue.all_taken_out().collect::<Vec<UploadId>>(),
        queue.walks.open().cloned().collect::<Vec<Walk>>(),
        (queue.unread(), queue.counts()),
    )
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
        7 => Command::Move(some, any_place(random)),
        8 => Command::Tune(Settings {
            retries: random.u16(0..9),
            ..actor.settings.clone()
        }),
        _ => add(tree),
    }
}

fn any_place(random: &mut fastrand::Rng) -> Place {
    let places = [Place::Top, Place::Up, Place::Down, Place::Bottom];
    random.choice(places).unwrap()
}

/// Something that may become of an upload.
fn any_change(random: &mut fastrand::Rng, id: UploadId, begun: bool) -> Vec<Change> {
    let ticket = Ticket::of(format!("m{id}"));
    match random.u8(0..5) {
        0 => vec![Change::Failed(Error::new(Kind::Server, "no"))],
        1 if begun => vec![Change::Done],
        2 if begun => vec![Change::Fresh(Identity::new(4, 2, 0, 2))],
        3 if begun => vec![Change::SameBytes {
            modified: Identity::new(4, i64::from(random.u8(..)), 0, 1).modified,
            inode: random.u64(..),
            file_system: random.u64(..),
        }],
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

/// Something happens to the session, to an upload, or to a file.
async fn anything(actor: &mut Actor, server: &Server, random: &mut fastrand::Rng, tree: &Path) {
    match random.u8(0..10) {
        0..=3 => {
            let command = any_command(actor, random, tree);
            tell(actor, server, command);
        }
        4 | 5 => {
            let id = random.u32(1..3100);
            let file = actor.queue.get(id).filter(|it| it.walk().is_none());
            let begun = file.is_some_and(|it| it.begun().is_some());
            if file.is_some_and(|it| it.state() != State::Done) {
                for change in any_change(random, id, begun) {
                    actor.keep(id, &change);
                }
            }
        }
        6 | 7 => any_file(random, tree),
        _ if actor.walks.any() => {
            let walked = actor.walks.next().await.unwrap();
            actor.walked(walked);
        }
        _ => {}
    }
    actor.go_on_with_mass(server, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_is_there_after_a_kill_and_after_each_rewrite() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (home, actor, _handle, server) = actor(3000);
        let mut actor = saved(actor);
        let tree = home.path().join("tree");
        fs::create_dir(&tree).unwrap();
        for round in 0..3 {
            for _ in 0..random.u32(20..70) {
                anything(&mut actor, &server, &mut random, &tree).await;
            }
            let before = all_kept(&actor.queue);
            actor = again(&home, actor, false).await;
            assert_eq!(all_kept(&actor.queue), before, "seed {seed}, {round}: log");
            actor = actor.rewrite().await;
            assert!(!actor.session.store.has_log());
            actor = again(&home, actor, false).await;
            assert_eq!(all_kept(&actor.queue), before, "seed {seed}, {round}: file");
            actor.go_on_walking();
        }
    }
}

#[tokio::test]
async fn two_files_of_one_name_are_told_apart_where_one_of_them_fails() {
    let (_home, mut actor, _handle, _server) = actor(0);
    for path in ["/t/2019/clip.mp4", "/t/2020/clip.mp4"] {
        let identity = Identity::new(4, 1, 0, 1);
        actor.queue.add(path.into(), identity, false).unwrap();
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
        failed_at: Instant::now(),
        retry_at: Some(Instant::now() + Duration::from_secs(seconds)),
        ask: false,
    };
    for (number, seconds) in [(1, 75), (2, 12)] {
        let trouble = trouble(seconds);
        actor.queue.with_begun(1, |begun| {
            begun.step = Step::Sending;
            begun.fail(number, trouble);
        });
    }
    assert_eq!(note(&mut actor), "again in 12s: answered 503");
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(note(&mut actor), "again in 7s: answered 503");
    tokio::time::advance(Duration::from_secs(8)).await;
    assert_eq!(note(&mut actor), "answered 503", "as soon as there is room");

    actor.queue.with_begun(1, |begun| {
        begun.troubled.clear();
        begun.wait = Some(StepWait {
            until: Instant::now() + Duration::from_secs(90),
            error: Error::new(Kind::Server, "answered 500"),
        });
    });
    assert_eq!(note(&mut actor), "again in 1m 30s: answered 500");
    let slow = Error {
        wait: Some(Duration::from_mins(10)),
        ..Error::new(Kind::Throttled, "answered 429")
    };
    let api = actor.shared.api();
    actor
        .close_gate(&api, CallClass::Write, &slow, Instant::now())
        .unwrap();
    assert_eq!(
        note(&mut actor),
        "answered 500",
        "the destination has a say"
    );
}

/// The uploads whose task was started, each as often as it was.
fn tasks_of(actor: &Actor) -> Vec<UploadId> {
    let mut ids = actor.active.clone();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn an_upload_whose_task_is_alive_gets_no_second_one_whatever_its_record_says() {
    let (_home, mut actor, _handle, server) = actor(1);
    actor.settings.files_in_flight = 4;
    actor.start_what_may();
    assert_eq!(tasks_of(&actor), [1]);
    // A task that starts over says so in two messages, and between them the record is a queued one's.
    let fresh = Change::Fresh(Identity::new(5, 2, 0, 2));
    let begun = Change::Begun("another".to_owned(), None);
    for changes in [vec![fresh], vec![begun]] {
        actor.heard(Message::Upload(1, Told::Changed(changes)));
        actor.start_what_may();
        assert_eq!(tasks_of(&actor), [1]);
        assert_eq!(actor.running.len(), 1);
    }
    // Paused and resumed, it waits until that task has ended.
    tell(&mut actor, &server, Command::Pause(Targets::All));
    tell(&mut actor, &server, Command::Resume(Targets::All));
    actor.start_what_may();
    assert_eq!((tasks_of(&actor), actor.running.len()), (vec![], 1));
    actor.heard(Message::Upload(1, Told::Ended(End::Stopped)));
    actor.start_what_may();
    assert_eq!(tasks_of(&actor), [1]);
}

#[tokio::test]
async fn files_that_were_paused_and_resumed_count_until_their_tasks_have_ended() {
    let (_home, mut actor, _handle, server) = actor(3);
    actor.settings.files_in_flight = 1;
    actor.start_what_may();
    tell(&mut actor, &server, Command::Pause(Targets::All));
    tell(&mut actor, &server, Command::Resume(Targets::All));
    actor.start_what_may();
    assert!(tasks_of(&actor).is_empty(), "before its task has ended");
    actor.heard(Message::Upload(1, Told::Ended(End::Stopped)));
    actor.start_what_may();
    assert_eq!(tasks_of(&actor), [1]);
}
