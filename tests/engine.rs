//! The engine as a library, without a screen or a command line: what its commands promise.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use reelhaul::{
    destination::jwplayer::{JwPlayer, JwPlayerOptions},
    engine::{
        self, Handle, Timing,
        protocol::{
            AddPaths, Command, Details, Phase, Query, Reply, Row, State, Summary, Targets,
            WindowQuery,
        },
        queue::Queue,
    },
    sandbox::{Options, SECRET, SITE, Sandbox, Storage},
    secret::Secret,
    session::{Header, folder, record::FORMAT},
    settings::{Concurrency, Settings},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

const MIB: u64 = 1 << 20;

struct World {
    home: TempDir,
    sandbox: Sandbox,
    handle: Handle,
    ended: JoinHandle<()>,
}

impl World {
    /// An engine with an empty queue, on a line of this speed.
    async fn new(speed: Option<u64>) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let home = tempfile::tempdir().unwrap();
        let storage = Storage::Keep(home.path().join("received"));
        let processing = Duration::ZERO;
        let options = Options {
            storage,
            speed,
            processing,
            ..Options::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sandbox = Sandbox::start(listener, options).await.unwrap();
        let options = JwPlayerOptions {
            url: sandbox.url(),
            calls_per_minute: 10_000,
            metadata: "tags = ['archive', 'family']".parse().unwrap(),
            ..JwPlayerOptions::new(SITE, Secret::new(SECRET))
        };
        let settings = Settings {
            part_size: "5MiB".parse().unwrap(),
            parts_in_flight: Concurrency::Fixed(2),
            ..Settings::default()
        };
        let (id, destination) = ("test".to_owned(), "sandbox".to_owned());
        let header = Header {
            format: FORMAT,
            id,
            destination,
            settings,
        };
        let session = folder::create_at(&home.path().join("test.toml"), header).unwrap();
        let (handle, ended) = engine::spawn(engine::Parts {
            session,
            queue: Queue::default(),
            destination: Arc::new(JwPlayer::new(options).unwrap()),
            timing: Timing {
                poll_first: Duration::from_millis(50),
                ..Timing::default()
            },
            events: None,
            elsewhere: Arc::default(),
        });
        Self {
            home,
            sandbox,
            handle,
            ended,
        }
    }

    /// An engine of which a film's first part has arrived, on a line that leaves time to act.
    async fn amid_a_film() -> (Self, PathBuf) {
        let world = Self::new(Some(10 * MIB)).await;
        let film = world.write("film.mp4", 40);
        world.add(&film).await;
        world
            .until("a part that arrived", |now| now.bytes.acknowledged > 0)
            .await;
        (world, film)
    }

    fn write(&self, name: &str, mib: u64) -> PathBuf {
        let path = self.home.path().join(name);
        fs::write(&path, vec![7; usize::try_from(mib * MIB).unwrap()]).unwrap();
        path
    }

    async fn tell(&self, command: Command) {
        let outcome = self.handle.command(command).await.unwrap();
        assert!(!outcome.refused, "{}", outcome.words);
    }

    async fn add(&self, path: &Path) {
        self.tell(Command::Add(AddPaths {
            paths: vec![path.into()],
            ..AddPaths::default()
        }))
        .await;
    }

    /// Waits for a summary that is as wanted.
    async fn until(&self, what: &str, is: impl Fn(&Summary) -> bool) -> Summary {
        let mut summary = self.handle.summary();
        let waited = tokio::time::timeout(Duration::from_mins(2), summary.wait_for(|now| is(now)));
        waited
            .await
            .unwrap_or_else(|_| panic!("in vain waited for {what}"))
            .unwrap()
            .clone()
    }

    async fn until_state(&self, state: State) -> Summary {
        self.until(state.word(), |now| now.counts.of(state) == 1)
            .await
    }

    async fn rows(&self) -> Vec<Row> {
        let query = WindowQuery {
            rows: 100,
            ..WindowQuery::default()
        };
        match self.handle.query(Query::Window(query)).await.unwrap() {
            Reply::Window(window) => window.rows,
            other => panic!("{other:?}"),
        }
    }

    async fn details(&self, id: u32) -> Box<Details> {
        match self.handle.query(Query::Details(id)).await.unwrap() {
            Reply::Details(Some(details)) => details,
            other => panic!("{other:?}"),
        }
    }

    /// Faults for requests to come, as `POST /_sandbox/faults` takes them; none takes all away.
    async fn script(&self, faults: serde_json::Value) {
        let url = format!("{}/_sandbox/faults", self.sandbox.url());
        let client = reqwest::Client::new();
        let request = if faults.is_null() {
            client.delete(url)
        } else {
            client.post(url).json(&faults)
        };
        request.send().await.unwrap().error_for_status().unwrap();
    }

    async fn retries(&self, retries: u16) {
        let mut settings = self.handle.summary().borrow().settings;
        settings.retries = retries;
        self.tell(Command::Tune(settings)).await;
    }

    /// How many bytes reached the sandbox.
    async fn received(&self) -> u64 {
        let url = format!("{}/_sandbox/report", self.sandbox.url());
        let report = reqwest::get(url).await.unwrap().text().await.unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        report["bytes_received"].as_u64().unwrap()
    }

    async fn end(self) {
        self.tell(Command::Stop).await;
        self.ended.await.unwrap();
        self.sandbox.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_away_for_a_while_is_gone_on_with_at_a_retry() {
    let (world, film) = World::amid_a_film().await;
    let away = film.with_extension("away");
    fs::rename(&film, &away).unwrap();
    world.until_state(State::Failed).await;
    let row = world.rows().await.remove(0);
    assert!(row.note.unwrap().contains("can't be opened"));

    fs::rename(&away, &film).unwrap();
    world.tell(Command::Retry(Targets::All)).await;
    let end = world.until_state(State::Done).await;
    assert_eq!(end.bytes.acknowledged, 40 * MIB);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_last_part_arrives_after_another_failed_gives_up_its_place() {
    let world = World::new(None).await;
    world.retries(0).await;
    let fault = serde_json::json!([{ "fault": "error-before", "on": "part", "part": 2 }]);
    world.script(fault).await;
    let film = world.write("film.mp4", 40);
    world.add(&film).await;
    let failed = world.until_state(State::Failed).await;
    assert_eq!(failed.phase, Phase::Settled);
    assert_eq!(
        failed.bytes.acknowledged,
        35 * MIB,
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
    let world = World::new(None).await;
    world.retries(2).await;
    let fault = serde_json::json!([{ "fault": "error-before", "on": "status", "times": 1000 }]);
    world.script(fault).await;
    let film = world.write("film.mp4", 6);
    world.add(&film).await;
    let failed = world.until_state(State::Failed).await;
    assert_eq!((failed.phase, failed.errors), (Phase::Settled, 3));
    let note = world.rows().await.remove(0).note.unwrap();
    assert!(note.starts_with("it is uploaded, but"), "{note}");

    world.script(serde_json::Value::Null).await;
    world.tell(Command::Retry(Targets::All)).await;
    let done = world.until_state(State::Done).await;
    assert_eq!(done.bytes.sent, 6 * MIB, "nothing is sent again");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_stops_what_is_in_flight_and_going_on_sends_the_rest() {
    let (world, _) = World::amid_a_film().await;
    world.tell(Command::Pause(Targets::All)).await;
    let paused = world.until_state(State::Paused).await;
    assert_eq!(paused.parts_running, 0);
    assert_eq!(paused.phase, Phase::Settled);
    world.tell(Command::Resume(Targets::All)).await;
    let end = world.until_state(State::Done).await;
    assert!(end.sending_ms > 0);
    assert_eq!(
        end.bytes.sent,
        40 * MIB,
        "what was acknowledged before is not sent again"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_taken_out_leaves_a_session_that_opens_again() {
    let world = World::new(Some(10 * MIB)).await;
    let film = world.write("film.mp4", 40);
    world.add(&film).await;
    world
        .until("parts in flight", |now| now.parts_running > 0)
        .await;
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
    let mut queue = Queue::default();
    folder::open(&session, |record| queue.restore(record)).unwrap();
    assert!(queue.is_empty());
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starting_over_makes_a_fresh_media_object_and_removes_the_old_one() {
    let (world, _) = World::amid_a_film().await;
    world.tell(Command::Pause(Targets::All)).await;
    let id = world.rows().await[0].id;
    let before = world.details(id).await.media.unwrap();
    world.tell(Command::StartOver(Targets::All)).await;
    world.until_state(State::Done).await;
    let after = world.details(id).await.media.unwrap();
    assert_ne!(before, after);
    let report = reqwest::get(format!("{}/_sandbox/report", world.sandbox.url()))
        .await
        .unwrap();
    let report: serde_json::Value = report.json().await.unwrap();
    let state = |media: &str| {
        let all = report["media"].as_array().unwrap();
        all.iter().find(|one| one["id"] == media).unwrap()["state"].clone()
    };
    assert_eq!(state(&before), "deleted");
    assert_ne!(state(&after), "deleted");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_details_of_a_file_tell_its_story_and_what_the_destination_is_told() {
    let world = World::new(None).await;
    let faults = r#"[{"fault": "error-before", "on": "part", "part": 2, "times": 1}]"#;
    let script = reqwest::Client::new()
        .post(format!("{}/_sandbox/faults", world.sandbox.url()))
        .body(faults);
    assert!(script.send().await.unwrap().status().is_success());
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
    let mut queue = Queue::default();
    folder::open(&session, |record| queue.restore(record)).unwrap();
    let kept = queue.get(id).unwrap().times;
    assert_eq!(
        [kept.queued, kept.begun, kept.done].map(|at| at.known().unwrap()),
        times
    );
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_behind_a_large_one_arrive_long_before_it() {
    let world = World::new(Some(10 * MIB)).await;
    let clips: Vec<PathBuf> = (0..5)
        .map(|number| world.write(&format!("clip-{number}.mp4"), 7))
        .collect();
    for clip in &clips {
        // One that was just written would be left alone for a while.
        let file = fs::File::options().write(true).open(clip).unwrap();
        let long_ago = SystemTime::now() - Duration::from_hours(1);
        file.set_modified(long_ago).unwrap();
    }
    let film = world.write("film.mp4", 200);
    world.add(&film).await;
    world
        .until("the film's first part", |now| now.bytes.acknowledged > 0)
        .await;
    let before = world.received().await;
    world
        .tell(Command::Add(AddPaths {
            paths: clips,
            ..AddPaths::default()
        }))
        .await;
    world
        .until("all clips", |now| now.counts.of(State::Done) == 5)
        .await;
    // Counted where it arrives: of the film about as much as of the clips, with half of the line for
    // each, and never most of it.
    let of_the_film = world.received().await - before - 5 * 7 * MIB;
    assert!(
        of_the_film < 100 * MIB,
        "{of_the_film} bytes of the film arrived while the clips did"
    );
    world.end().await;
}
