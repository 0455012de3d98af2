//! What a person says while answers are still on their way, and what then comes of those answers.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    sync::{Arc, atomic::Ordering},
};

use crate::support::{
    MIB,
    altered::Altered,
    an_hour_ago,
    engine::{Making, World, all, apivideo, jwplayer},
    side_by_side,
};
use reelhaul::{
    destination::{Account, Receipt},
    engine::{
        protocol::{Command, LimitedBy, State},
        queue::Queue,
    },
    error::{Error, Kind, Result},
    identity::Identity,
    plan::Part,
    session::{Kept, Times, record::Record},
    settings::Settings,
};
use serde_json::{Value, json};

/// Pauses in the middle of a film.
async fn pause(world: &World) {
    world.tell(Command::Pause(all())).await;
    world.until_state(State::Paused).await;
    world.release().await;
}

#[test]
fn a_start_over_whose_removal_fails_is_tried_again() {
    side_by_side(["error-before", "rate-limit", "lost-answer"], |fault| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(a_removal_fails(fault));
    });
}

async fn a_removal_fails(fault: &str) {
    let (world, film) = World::amid_a_film(jwplayer, Making::default()).await;
    pause(&world).await;
    world
        .fault(json!({ "fault": fault, "on": "delete", "times": 2 }))
        .await;
    world.tell(Command::StartOver(all())).await;
    world.until_settled().await;
    assert_eq!(world.met(fault).await, 2);
    assert_eq!(world.rows().await[0].state, State::Done);
    world.assert_one_is(&film).await;
    assert_eq!(world.media().await.len(), 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_over_that_the_destination_refuses_says_so_and_a_retry_tries_it_again() {
    let (world, film) = World::amid_a_film(apivideo, Making::default()).await;
    pause(&world).await;
    world
        .fault(json!({ "fault": "status", "on": "delete" }))
        .await;
    world.tell(Command::StartOver(all())).await;
    world.until_state(State::Failed).await;
    assert_eq!(world.met("status").await, 1);
    let note = world.rows().await.remove(0).note.unwrap();
    assert!(note.contains("could not be started over"), "{note}");
    world.tell(Command::Retry(all())).await;
    world.until_settled().await;
    assert_eq!(world.media().await.len(), 2);
    world.assert_one_is(&film).await;
    world.end().await;
}

/// A file that failed before it was begun, as an earlier run left it.
fn failed_before(path: &std::path::Path) -> Queue {
    let metadata = fs::metadata(path).unwrap();
    let mut queue = Queue::default();
    let kept = Kept {
        id: 1,
        path: path.to_owned(),
        identity: Identity::of(&metadata),
        state: State::Failed,
        reason: Some(Error::new(Kind::Local, "it could not be opened")),
        account: None,
        progress: None,
        times: Times::default(),
        again: false,
        unread: None,
    };
    queue.restore(Record::Upload(Box::new(kept))).unwrap();
    queue.restored();
    queue
}

#[tokio::test]
async fn however_often_it_is_said_a_start_over_makes_one_media_object() {
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("film.mp4");
    fs::write(&film, vec![7; usize::try_from(11 * MIB).unwrap()]).unwrap();
    let making = Making {
        queue: failed_before(&film),
        ..Making::default()
    };
    let world = World::new(jwplayer, making).await;
    let again = || Command::StartOver(all());
    world
        .tell_at_once([again(), again(), Command::Retry(all()), again()])
        .await;
    world.until_settled().await;
    assert_eq!(world.rows().await[0].state, State::Done);
    assert_eq!(world.media().await.len(), 1);
    world.assert_one_is(&film).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_or_paused_while_it_is_started_over_stays_so() {
    for (command, state) in [
        (Command::Skip(all()), State::Skipped),
        (Command::Pause(all()), State::Paused),
    ] {
        let (world, film) = World::amid_a_film(jwplayer, Making::default()).await;
        pause(&world).await;
        let held = world.met("hold").await;
        world
            .fault(json!({ "fault": "hold", "on": "delete" }))
            .await;
        world.tell(Command::StartOver(all())).await;
        world.until_held(held + 1).await;
        world.tell(command).await;
        world.release().await;
        world.until_settled().await;
        assert_eq!(world.rows().await[0].state, state);
        let media = world.media().await;
        assert_eq!(media.len(), 1, "{media:#?}");
        assert_eq!(media[0]["state"], "deleted");
        if state == State::Paused {
            world.tell(Command::Resume(all())).await;
            world.until_state(State::Done).await;
            world.assert_one_is(&film).await;
        }
        world.end().await;
    }
}

#[tokio::test]
async fn what_is_taken_out_while_it_is_started_over_is_gone() {
    let (world, _) = World::amid_a_film(jwplayer, Making::default()).await;
    pause(&world).await;
    world
        .tell_at_once([Command::StartOver(all()), Command::Remove(all())])
        .await;
    world
        .until("an empty queue", |now| now.counts.total() == 0)
        .await;
    assert_eq!(world.media().await.len(), 1);
    world.end().await;
}

/// Says of the first part that it arrived, and sends nothing.
fn liar(put: u32, _: Part) -> Option<Result<Receipt>> {
    (put == 1).then(|| Ok(Receipt::default()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_was_acknowledged_and_is_not_there_is_sent_when_its_file_is_tried_again() {
    let making = Making {
        settings: Settings {
            retries: 1,
            ..Making::default().settings
        },
        ..Making::default()
    };
    let to = |sandbox: &_| -> Arc<dyn Account> { Arc::new(Altered::new(apivideo(sandbox), liar)) };
    let world = World::new(to, making).await;
    let film = world.write("film.mp4", 16);
    world.add(&film).await;
    world.until_settled().await;
    assert_eq!(world.rows().await[0].state, State::Done);
    world.assert_one_is(&film).await;
    world.end().await;
}

#[tokio::test]
async fn of_two_part_sizes_in_a_row_the_second_counts() {
    // Long enough that a part of the second size can be cut after the three that have started.
    let (world, film) = World::amid_a_film_of(30, jwplayer, Making::default()).await;
    let tune = |size: &str| {
        Command::Tune(Settings {
            part_size: size.parse().unwrap(),
            ..Making::default().settings
        })
    };
    world.tell_at_once([tune("6MiB"), tune("8MiB")]).await;
    let id = world.rows().await[0].id;
    let cut_again = async || {
        let plan = world.details(id).await.plan;
        plan.iter().any(|run| run.2 == 8 * MIB)
    };
    world.look("parts of the second size", cut_again).await;
    world.release().await;
    world.until_state(State::Done).await;
    world.assert_one_is(&film).await;
    world.end().await;
}

#[tokio::test]
async fn a_start_over_that_was_cut_short_before_anything_was_removed_is_not_forgotten() {
    let (world, film) = World::amid_a_film(jwplayer, Making::default()).await;
    pause(&world).await;
    let world = world.begin_again_after(Command::StartOver(all())).await;
    world.until_state(State::Done).await;
    let mut states: Vec<_> = world.media().await;
    states.retain(|media| media["state"] == "deleted");
    assert_eq!(states.len(), 1, "what was begun first is removed");
    world.assert_one_is(&film).await;
    world.end().await;
}

/// The host that parts go to can't be reached; the API can.
#[allow(clippy::unnecessary_wraps, reason = "it is one of several")]
fn no_storage(_: u32, _: Part) -> Option<Result<Receipt>> {
    Some(Err(Error::new(Kind::Offline, "no route to the storage")))
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_api_do_not_hide_that_the_storage_is_unreachable() {
    let puts = Arc::new(std::sync::OnceLock::new());
    let counted = Arc::clone(&puts);
    let making = Making {
        settings: Settings {
            files_in_flight: 20,
            ..Making::default().settings
        },
        // Longer than this test takes.
        backoff: reelhaul::engine::retry::Backoff {
            first: std::time::Duration::from_hours(1),
            most: std::time::Duration::from_hours(1),
        },
        ..Making::default()
    };
    let to = move |sandbox: &_| -> Arc<dyn Account> {
        let altered = Altered::new(jwplayer(sandbox), no_storage).with_parts_at("storage.example");
        counted.set(altered.puts()).unwrap();
        Arc::new(altered)
    };
    let world = World::new(to, making).await;
    for number in 0..20_u8 {
        // Two parts, of which nothing is ever sent.
        let path = world.home.path().join(format!("{number}.mp4"));
        let file = fs::File::create(&path).unwrap();
        file.set_len(6 * MIB).unwrap();
        file.write_all_at(&[number], 0).unwrap();
        file.set_modified(an_hour_ago()).unwrap();
        world.add(&path).await;
    }
    let is_made = |report: &Value| {
        report["media"]
            .as_array()
            .is_some_and(|all| all.len() == 20)
    };
    world.until_report("all to be begun", is_made).await;
    let down = world
        .until("the line to be down", |now| {
            now.counts.of(State::Uploading) == 20
        })
        .await;
    assert!(
        down.limited_by == LimitedBy::Waits && down.waits[0].why.contains("storage"),
        "{down:#?}"
    );
    // Those that went out together before any of them told.
    let puts = puts.get().unwrap().load(Ordering::SeqCst);
    assert!((1..=2).contains(&puts), "{puts} parts were tried");
    world.tell(Command::StopNow).await;
    world.ended.await.unwrap();
}
