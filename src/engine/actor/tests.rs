//! The actor's turns one by one, where what happens between two of them matters.

use std::{os::unix::fs::symlink, sync::Arc};

use tempfile::TempDir;
use tokio::{sync::oneshot, time::Instant};

use super::{Actor, Parts, Timing, Woken, snapshot::Snapshot};
use crate::{
    destination::jwplayer::{JwPlayer, JwPlayerOptions},
    engine::{
        Handle, Server,
        clock::Clock,
        protocol::{AddPaths, Command, Place, State, Targets},
        queue::Queue,
    },
    identity::Identity,
    secret::Secret,
    session::{Header, folder, record::FORMAT},
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
    let site = JwPlayerOptions::new("site", Secret::new("secret"));
    let mut queue = Queue::default();
    for number in 0..files {
        let path = format!("/{number}.mp4").into();
        queue.add(path, Identity::new(1, 1, 0, 1)).unwrap();
    }
    let actor = Actor::new(Parts {
        session,
        queue,
        destination: Arc::new(JwPlayer::new(site).unwrap()),
        timing: Timing::default(),
        events: None,
        elsewhere: Arc::default(),
        clock: Clock::default(),
    });
    let (handle, server) = Handle::pair();
    (home, actor, handle, server)
}

fn session(home: &TempDir) -> std::path::PathBuf {
    home.path().join("test.toml")
}

fn tell(actor: &mut Actor, server: &Server, command: Command) {
    actor.command(server, command, oneshot::channel().0);
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
async fn what_is_unread_again_after_it_was_taken_out_leaves_a_session_that_opens() {
    let (home, mut actor, _handle, server) = actor(0);
    let lost = home.path().join("lost.mp4");
    symlink("nowhere", &lost).unwrap();
    let add = AddPaths {
        paths: vec![lost.clone()],
        ..AddPaths::default()
    };
    tell(&mut actor, &server, Command::Add(add));
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
