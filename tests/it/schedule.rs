//! A bandwidth that changes with the time of day, seen from outside the engine.

use std::sync::{Arc, Mutex};

use crate::support::{
    MIB,
    engine::{FILM, Making, World, jwplayer},
};
use jiff::{Zoned, civil::DateTime, tz::TimeZone};
use reelhaul::{
    engine::{
        clock::Clock,
        protocol::{Command, Query, Reply, State},
    },
    session::folder,
    settings::{Bandwidth, Settings},
};

/// The hands of a clock that a test moves: it stands still in between.
#[derive(Clone)]
struct Hands(Arc<Mutex<Zoned>>);

impl Hands {
    /// A clock that shows this time of a Thursday.
    fn at(time: &str) -> Self {
        Self(Arc::new(Mutex::new(thursday(time))))
    }

    fn clock(&self) -> Clock {
        let shown = Arc::clone(&self.0);
        Clock::new(move || shown.lock().unwrap().clone())
    }

    fn set(&self, time: &str) {
        *self.0.lock().unwrap() = thursday(time);
    }
}

fn thursday(time: &str) -> Zoned {
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let time: DateTime = format!("2026-11-26T{time}").parse().unwrap();
    time.to_zoned(zone).unwrap()
}

/// So shortly before six that a clock is looked at again and again, however long it stands still.
const BEFORE_SIX: &str = "17:59:59.95";

/// An engine on a fast line with this clock, and with this schedule.
async fn at(hands: &Hands, rules: &str) -> World {
    let mut making = Making {
        clock: hands.clock(),
        ..Making::default()
    };
    making.settings.wish_bandwidth(rules.parse().unwrap());
    World::new(jwplayer, making).await
}

/// The settings in force.
async fn settings(world: &World) -> Settings {
    let told = world.until("a word", |now| !now.bandwidth_why.is_empty());
    told.await.settings
}

const EVENING: &str = "Mon-Fri 08:00-18:00 64KiB/s; 18:00-20:00 unlimited; 1MiB/s";

#[tokio::test(flavor = "multi_thread")]
async fn at_its_time_the_schedule_sets_free_the_parts_that_are_on_their_way() {
    let hands = Hands::at(BEFORE_SIX);
    let world = at(&hands, EVENING).await;
    // At 64 KiB/s this would take longer than anything here is waited for.
    let film = world.write("film.mp4", FILM);
    world.add(&film).await;
    let before = world
        .until("a part on its way", |now| now.parts_running > 0)
        .await;
    assert_eq!(before.settings.bandwidth.to_string(), "64KiB/s");
    assert_eq!(before.bandwidth_why, "by schedule until 18:00");
    hands.set("18:00");
    let done = world.until_state(State::Done).await;
    assert_eq!(done.settings.bandwidth, Bandwidth::Unlimited);
    assert_eq!(done.bandwidth_why, "by schedule until 20:00");
    let row = world.rows().await.remove(0);
    assert_eq!(
        world.details(row.id).await.attempts,
        4,
        "each part went out once"
    );
    world.assert_one_is(&film).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_setting_would_do_to_running_parts_is_told_as_it_is() {
    let world = World::new(jwplayer, Making::default()).await;
    let told = async |settings| match world.handle.query(Query::Preview(settings)).await {
        Ok(Reply::Preview(preview)) => preview.words,
        other => panic!("{other:?}"),
    };
    let now = Making::default().settings;
    let slower = Settings {
        bandwidth: "2MiB/s".parse().unwrap(),
        ..now.clone()
    };
    assert_eq!(told(slower).await, "acts at once, on running parts too");
    let fewer = Settings {
        parts_in_flight: "1".parse().unwrap(),
        ..now
    };
    assert_eq!(told(fewer).await, "running parts go on as they are");
    world.tell(Command::Stop).await;
    world.ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bandwidth_set_by_hand_holds_until_the_schedules_next_change_also_after_a_resume() {
    let world = at(&Hands::at("12:00"), EVENING).await;
    let scheduled = settings(&world).await;
    let wanted = Settings {
        bandwidth: "4MiB/s".parse().unwrap(),
        ..scheduled
    };
    let preview = world.handle.query(Query::Preview(wanted.clone())).await;
    let Ok(Reply::Preview(preview)) = preview else {
        panic!("{preview:?}")
    };
    assert_eq!(
        preview.words,
        "holds until 18:00; then the schedule goes on"
    );
    let told = world.tell(Command::Tune(wanted)).await;
    assert_eq!(
        told.words,
        "bandwidth 4MiB/s holds until 18:00; then the schedule goes on"
    );
    let tuned = world.handle.summary().borrow().clone();
    assert_eq!(tuned.bandwidth_why, "by hand until 18:00");
    world.tell(Command::Stop).await;
    world.ended.await.unwrap();

    let saved = folder::open(&world.home.path().join("test.toml"), |_| Ok(())).unwrap();
    let mut settings = saved.header.settings.clone();
    assert_eq!(settings.schedule.to_string(), EVENING);
    settings.keep_to_schedule(&thursday("17:59:59"));
    assert_eq!(settings.bandwidth.to_string(), "4MiB/s");
    settings.keep_to_schedule(&thursday("21:00"));
    assert_eq!(settings.bandwidth.to_string(), "1MiB/s");
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_ends_when_the_schedule_changes() {
    let hands = Hands::at(BEFORE_SIX);
    let world = at(&hands, EVENING).await;
    let scheduled = settings(&world).await;
    let by_hand = Settings {
        bandwidth: "1KiB/s".parse().unwrap(),
        ..scheduled
    };
    world.tell(Command::Tune(by_hand)).await;
    let film = world.write("film.mp4", 10);
    world.add(&film).await;
    let held = world
        .until("a part on its way", |now| now.parts_running > 0)
        .await;
    assert_eq!(held.bandwidth_why, "by hand until 18:00");
    hands.set("18:00");
    let done = world.until_state(State::Done).await;
    assert_eq!(done.bandwidth_why, "by schedule until 20:00");
    assert_eq!(done.bytes.sent, 10 * MIB);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_with_nothing_to_do_keeps_to_its_schedule() {
    let hands = Hands::at(BEFORE_SIX);
    let world = at(&hands, EVENING).await;
    let afternoon = world
        .until("the afternoon", |now| {
            now.bandwidth_why == "by schedule until 18:00"
        })
        .await;
    assert_eq!(afternoon.settings.bandwidth.to_string(), "64KiB/s");
    hands.set("18:00");
    let evening = world
        .until("the evening", |now| {
            now.bandwidth_why == "by schedule until 20:00"
        })
        .await;
    assert_eq!(evening.settings.bandwidth, Bandwidth::Unlimited);
    world.end().await;
}
