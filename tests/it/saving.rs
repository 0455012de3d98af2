//! The session is written anew while all goes on: nothing waits for that, and nothing is lost by it.

use std::{cell::Cell, collections::BTreeMap};

use crate::support::engine::{Making, World, jwplayer};
use reelhaul::{
    engine::{
        protocol::{Command, State, Targets, UploadId},
        queue::Queue,
    },
    identity::Identity,
    session::{Kept, Times, folder, record::Record},
};

const UPLOADS: UploadId = 40_000;

/// A queue of many uploads that are held.
fn held() -> Queue {
    let mut queue = Queue::default();
    for id in 1..=UPLOADS {
        let kept = Kept {
            id,
            path: format!("/archive/{id}.mp4").into(),
            identity: Identity::new(1000, 1, 0, 1),
            times: Times::default(),
            state: State::Paused,
            reason: None,
            account: None,
            progress: None,
            unread: None,
        };
        queue.restore(Record::Upload(Box::new(kept))).unwrap();
    }
    queue.restored();
    queue
}

#[tokio::test]
async fn what_changes_while_the_session_is_written_anew_is_in_it() {
    let making = Making {
        queue: held(),
        ..Making::default()
    };
    let world = World::new(jwplayer, making).await;
    let film = world.write("film.mp4", 6);
    let mut random = fastrand::Rng::with_seed(11);
    let mut states: BTreeMap<UploadId, State> =
        (1..=UPLOADS).map(|id| (id, State::Paused)).collect();
    for round in 0..3 {
        let changes = Cell::new(0);
        let saving = async {
            let saved = world.tell(Command::Save).await;
            assert_eq!(saved.words, "saved");
            assert!(changes.get() > 0, "nothing changed while it was written");
        };
        let changing = async {
            for number in 0..200 {
                let id = random.u32(1..=UPLOADS);
                if random.bool() {
                    world.tell(Command::Skip(Targets::Ids(vec![id]))).await;
                    states.entry(id).and_modify(|state| *state = State::Skipped);
                } else {
                    world.tell(Command::Remove(Targets::Ids(vec![id]))).await;
                    states.remove(&id);
                }
                changes.set(changes.get() + 1);
                if round == 1 && number == 0 {
                    world.add(&film).await;
                }
            }
        };
        tokio::join!(saving, changing);
    }
    world
        .until("the film", |now| now.counts.of(State::Done) == 1)
        .await;
    world.tell(Command::StopNow).await;
    world.ended.await.unwrap();
    drop(world.handle);

    let mut queue = Queue::default();
    let path = world.home.path().join("test.toml");
    folder::open(&path, |record| queue.restore(record)).unwrap();
    queue.restored();
    let mut found: BTreeMap<UploadId, State> =
        queue.kept().map(|kept| (kept.id, kept.state)).collect();
    assert_eq!(found.remove(&(UPLOADS + 1)), Some(State::Done), "the film");
    assert_eq!(found, states);
    let left: Vec<_> = std::fs::read_dir(world.home.path())
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with(".saving")
        })
        .collect();
    assert_eq!(left.len(), 0, "{left:?}");
    world.sandbox.stop().await;
}

#[tokio::test]
async fn an_engine_that_writes_its_session_anew_answers_meanwhile() {
    let making = Making {
        queue: held(),
        ..Making::default()
    };
    let world = World::new(jwplayer, making).await;
    // Both are told before the engine can have done anything: the save is the first.
    let skip = Command::Skip(Targets::Ids(vec![1]));
    let order = std::sync::Mutex::new(Vec::new());
    tokio::join!(
        async {
            world.tell(Command::Save).await;
            order.lock().unwrap().push("saved");
        },
        async {
            world.tell(skip).await;
            order.lock().unwrap().push("left out");
        }
    );
    assert_eq!(*order.lock().unwrap(), ["left out", "saved"]);
    world.end().await;
}
