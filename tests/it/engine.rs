//! The engine as a library, without a screen or a command line: what its commands promise.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use crate::support::{
    MIB, an_hour_ago,
    engine::{self, FILM, Making, World},
};
use jiff::Timestamp;
use reelhaul::{
    destination::{
        Account,
        jwplayer::{JwPlayer, JwPlayerOptions},
    },
    engine::{
        protocol::{AddPaths, Command, LimitedBy, Phase, Query, Reply, State, Targets},
        queue::Queue,
        retry::Backoff,
    },
    sandbox::{SITE, Sandbox},
};
use serde_json::{Value, json};

/// A site of the sandbox's, with metadata of ours.
fn site(sandbox: &Sandbox) -> Arc<dyn Account> {
    Arc::new(
        JwPlayer::new(JwPlayerOptions {
            metadata: serde_json::from_str(r#"{ "tags": ["archive", "family"] }"#).unwrap(),
            ..engine::site(sandbox)
        })
        .unwrap(),
    )
}

/// An engine with an empty queue, on a line of this speed.
async fn on_a_line(speed: Option<u64>) -> World {
    World::new(
        site,
        Making {
            speed,
            ..Making::default()
        },
    )
    .await
}

/// An engine of which a film's first part has arrived.
async fn amid_a_film() -> (World, PathBuf) {
    World::amid_a_film(site, Making::default()).await
}

/// An engine that tries what failed so often again, on a line without a limit.
async fn with_retries(retries: u16) -> World {
    let mut making = Making::default();
    making.settings.retries = retries;
    World::new(site, making).await
}

/// How many bytes reached the sandbox.
async fn received(world: &World) -> u64 {
    let report = world.ask("GET", "report", Value::Null).await;
    report["bytes_received"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_away_for_a_while_is_gone_on_with_at_a_retry() {
    let (world, film) = amid_a_film().await;
    let away = film.with_extension("away");
    fs::rename(&film, &away).unwrap();
    world.release().await;
    world.until_state(State::Failed).await;
    let row = world.rows().await.remove(0);
    assert!(row.note.unwrap().contains("can't be opened"));

    fs::rename(&away, &film).unwrap();
    world.tell(Command::Retry(Targets::All)).await;
    let end = world.until_state(State::Done).await;
    assert_eq!(end.bytes.acknowledged, FILM * MIB);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_last_part_arrives_after_another_failed_gives_up_its_place() {
    let world = with_retries(0).await;
    let fault = json!({ "fault": "status", "on": "part", "part": 2 });
    world.fault(fault).await;
    let hold = json!({ "fault": "hold", "on": "part", "part": 4 });
    world.fault(hold).await;
    let film = world.write("film.mp4", FILM);
    world.add(&film).await;
    world.until_held(1).await;
    world
        .until("the failure", |now| {
            now.errors == 1 && now.parts_running == 1
        })
        .await;
    world.release().await;
    let failed = world.until_state(State::Failed).await;
    assert_eq!(failed.phase, Phase::Settled);
    assert_eq!(
        failed.bytes.acknowledged,
        (FILM - 5) * MIB,
        "all others have arrived"
    );
    let note = world.rows().await.remove(0).note.unwrap();
    assert!(note.contains("part 2"), "{note}");
    world.tell(Command::Retry(Targets::All)).await;
    world.until_state(State::Done).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_never_tells_what_became_of_a_file_is_not_asked_for_ever() {
    let world = with_retries(2).await;
    let fault = json!({ "fault": "status", "on": "status", "times": 1000 });
    world.fault(fault).await;
    let film = world.write("film.mp4", 6);
    world.add(&film).await;
    let failed = world.until_state(State::Failed).await;
    assert_eq!((failed.phase, failed.errors), (Phase::Settled, 3));
    let note = world.rows().await.remove(0).note.unwrap();
    assert!(note.starts_with("it is uploaded, but"), "{note}");

    world.ask("DELETE", "faults", Value::Null).await;
    world.tell(Command::Retry(Targets::All)).await;
    let done = world.until_state(State::Done).await;
    assert_eq!(done.bytes.sent, 6 * MIB, "nothing is sent again");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_stops_what_is_in_flight_and_going_on_sends_the_rest() {
    let (world, _) = amid_a_film().await;
    world.tell(Command::Pause(Targets::All)).await;
    world.until_state(State::Paused).await;
    let paused = world
        .until("nothing in flight", |now| now.phase == Phase::Settled)
        .await;
    assert_eq!(paused.parts_running, 0);
    assert_eq!(paused.bytes.acknowledged, 5 * MIB);
    world.release().await;
    world.tell(Command::Resume(Targets::All)).await;
    let end = world.until_state(State::Done).await;
    assert!(end.sending_ms > 0);
    assert_eq!(
        end.bytes.sent,
        FILM * MIB,
        "what was acknowledged before is not sent again"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_added_while_everything_is_paused_waits_until_everything_goes_on() {
    let (world, _) = amid_a_film().await;
    world.tell(Command::Pause(Targets::All)).await;
    world.until_state(State::Paused).await;
    world.release().await;
    world.add(&world.write("late.mp4", 2)).await;
    let waiting = world
        .until("both paused", |now| now.counts.of(State::Paused) == 2)
        .await;
    assert_eq!(waiting.phase, Phase::Settled);
    world.tell(Command::Resume(Targets::All)).await;
    world.add(&world.write("later.mp4", 2)).await;
    world
        .until("all three done", |now| now.counts.of(State::Done) == 3)
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_taken_out_leaves_a_session_that_opens_again() {
    let (world, _) = amid_a_film().await;
    let id = world.rows().await[0].id;
    world.tell(Command::Remove(Targets::Ids(vec![id]))).await;
    world.tell(Command::Save).await;
    world
        .until("an empty queue", |now| {
            now.counts.total() == 0 && now.parts_running == 0
        })
        .await;
    let session = world.home.path().join("test.toml");
    world.tell(Command::Stop).await;
    world.ended.await.unwrap();
    let (_, queue) = Queue::open(&session).unwrap();
    assert!(queue.is_empty());
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_over_makes_a_fresh_media_object_and_removes_the_old_one() {
    let (world, _) = amid_a_film().await;
    world.tell(Command::Pause(Targets::All)).await;
    world.until_state(State::Paused).await;
    world.release().await;
    let id = world.rows().await[0].id;
    let before = world.details(id).await.media.unwrap();
    world.tell(Command::StartOver(Targets::All)).await;
    world.until_state(State::Done).await;
    let after = world.details(id).await.media.unwrap();
    assert_ne!(before, after);
    let all = world.media().await;
    let state = |media: &str| all.iter().find(|one| one["id"] == media).unwrap()["state"].clone();
    assert_eq!(state(&before), "deleted");
    assert_ne!(state(&after), "deleted");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_details_of_a_file_tell_its_story_and_what_the_destination_is_told() {
    let world = on_a_line(None).await;
    let fault = json!({ "fault": "error-before", "on": "part", "part": 2, "times": 1 });
    world.fault(fault).await;
    let before = Timestamp::now();
    world.add(&world.write("the_film.mp4", 12)).await;
    world.until_state(State::Done).await;
    let id = world.rows().await[0].id;
    let details = world.details(id).await;

    let times = [details.queued, details.begun, details.done].map(Option::unwrap);
    assert!(times.is_sorted(), "{times:?}");
    assert!(times[0].as_second() >= before.as_second(), "{times:?}");
    assert_eq!(details.attempts, 4, "three parts, one of them twice");
    let [incident] = &details.incidents[..] else {
        panic!("{:?}", details.incidents)
    };
    assert_eq!((incident.part, incident.attempt), (Some(2), 1));
    let told = |name: &str| {
        let found = details.metadata.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no {name}")).1
    };
    assert_eq!(told("title"), "the film");
    assert_eq!(told("tags"), "archive, family");
    let media = details.media.as_ref().unwrap();
    let api = format!("{}/v2/sites/{SITE}/media/{media}/", world.sandbox.url());
    assert_eq!(details.address.as_ref(), Some(&api));

    // The moments are in the session, for whoever opens it next.
    let session = world.home.path().join("test.toml");
    world.tell(Command::Stop).await;
    world.ended.await.unwrap();
    let (_, queue) = Queue::open(&session).unwrap();
    let kept = queue.get(id).unwrap().times;
    assert_eq!(
        [kept.queued, kept.begun, kept.done].map(|at| at.known().unwrap()),
        times
    );
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_behind_a_large_one_arrive_long_before_it() {
    // How the line is shared shows only on one that is narrower than what reads and writes files.
    let world = on_a_line(Some(40 * MIB)).await;
    let clips: Vec<PathBuf> = (0..3)
        .map(|number| world.write(&format!("clip-{number}.mp4"), 7))
        .collect();
    let path = world.home.path().join("film.mp4");
    let file = fs::File::create(&path).unwrap();
    file.set_len(200 * MIB).unwrap();
    file.set_modified(an_hour_ago()).unwrap();
    world.add(&path).await;
    world
        .until("the film's first part", |now| now.bytes.acknowledged > 0)
        .await;
    let before = received(&world).await;
    world
        .tell(Command::Add(AddPaths {
            paths: clips,
            ..AddPaths::default()
        }))
        .await;
    // Counted where and when it arrives.
    let after = std::cell::Cell::new(0);
    world
        .until_report("all clips", |report| {
            let media = report["media"].as_array().unwrap();
            let whole = |title: &str| {
                media
                    .iter()
                    .any(|one| one["title"] == title && one["complete"] == true)
            };
            assert!(!whole("film"), "the film has arrived before the clips");
            after.set(report["bytes_received"].as_u64().unwrap());
            (0..3).all(|number| whole(&format!("clip-{number}")))
        })
        .await;
    // Of the film about as much as of the clips, with half of the line for each, and never most of it.
    let of_the_film = after.get() - before - 3 * 7 * MIB;
    assert!(
        of_the_film < 100 * MIB,
        "{of_the_film} bytes of the film arrived while the clips did"
    );
    world
        .until("all clips", |now| now.counts.of(State::Done) == 3)
        .await;
    world.tell(Command::StopNow).await;
    world.ended.await.unwrap();
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_refused_with_every_token_end_as_refused_credentials() {
    let world = World::new(engine::apivideo, Making::default()).await;
    let fault = json!({ "fault": "token-expired", "on": "part", "times": 1000 });
    world.fault(fault).await;
    let film = world.write("film.mp4", 10);
    world.add(&film).await;
    let halted = world
        .until("an end", |now| {
            matches!(now.limited_by, LimitedBy::Halted { .. })
        })
        .await;
    let LimitedBy::Halted { why } = halted.limited_by else {
        unreachable!()
    };
    assert!(
        why.contains("refuses every access token, fresh ones too"),
        "{why}"
    );
    assert!(why.contains("mend the key"), "{why}");

    world.ask("DELETE", "faults", Value::Null).await;
    world.tell(Command::Retry(Targets::All)).await;
    world.until_state(State::Done).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_wait_for_more_than_time_say_for_what() {
    let making = Making {
        // Longer than this test takes.
        backoff: Backoff {
            first: Duration::from_hours(1),
            most: Duration::from_hours(2),
        },
        ..Making::default()
    };
    let world = World::new(site, making).await;
    let fault = json!({ "fault": "error-before", "on": "part", "part": 2 });
    world.fault(fault).await;
    world.add(&world.write("film.mp4", 12)).await;
    world
        .until("a part that waits", |now| now.parts_retrying == 1)
        .await;
    let id = world.rows().await[0].id;
    let failed = async || match world.handle.query(Query::Parts(id)).await.unwrap() {
        Reply::Parts(Some(parts)) => parts.failed[0].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(failed().await.waits_for, None);
    world.tell(Command::Pause(Targets::All)).await;
    world.until_state(State::Paused).await;
    assert_eq!(failed().await.waits_for.as_deref(), Some("when it goes on"));
    world.tell(Command::StopNow).await;
    world.ended.await.unwrap();
}
