//! What a run without a screen promises, held against an engine that is played by the test.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle};

use super::*;
use crate::{
    engine::{
        Request, Server,
        protocol::{Counts, Outcome, Walk},
    },
    error::{Error, Kind},
    ids::MediaId,
};

/// A place for lines that the test can read while they are written.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn objects(&self) -> Vec<Value> {
        let object = |line: &str| serde_json::from_str(line).unwrap();
        self.text().lines().map(object).collect()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe that nobody reads.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// No screens are attached, ever.
fn nobody() -> value::Receiver<usize> {
    value::channel(0).1
}

/// The engine, played by the test.
struct Stage {
    engine: Server,
    events: mpsc::UnboundedSender<Event>,
    stops: mpsc::Sender<()>,
    report: JoinHandle<Report>,
}

impl Stage {
    async fn new(style: Style, out: impl Write + Send + 'static) -> Self {
        let (handle, engine) = Handle::pair();
        let (events, heard) = mpsc::unbounded_channel();
        let (stops, wishes) = mpsc::channel(4);
        let report = tokio::spawn(run(handle, heard, wishes, out, style, nobody()));
        // What is shown from here on is news to the run.
        tokio::task::yield_now().await;
        Self {
            engine,
            events,
            stops,
            report,
        }
    }

    fn say(&self, event: Event) {
        self.events.send(event).unwrap();
    }

    fn say_all(&self) {
        for event in all_events() {
            self.say(event);
        }
    }

    fn show(&self, phase: Phase, states: &[State]) {
        self.engine.summary.send_modify(|summary| {
            summary.session = "s-1".to_owned();
            summary.phase = phase;
            summary.counts = Counts::default();
            for state in states {
                summary.counts.add(*state);
            }
        });
    }

    /// The next command, answered.
    async fn told(&mut self) -> Command {
        match self.engine.requests.recv().await {
            Some(Request::Command(command, answer)) => {
                answer_all_well(answer);
                command
            }
            other => panic!("{other:?}"),
        }
    }

    async fn end(self, states: &[State]) -> Report {
        self.show(Phase::Stopped, states);
        self.report.await.unwrap()
    }
}

fn answer_all_well(answer: oneshot::Sender<Outcome>) {
    let outcome = Outcome {
        reached: 0,
        words: String::new(),
        refused: false,
    };
    answer.send(outcome).unwrap();
}

fn path() -> PathBuf {
    PathBuf::from("/a/odd\n\u{1b}[31m.mp4")
}

/// One event of each sort.
fn all_events() -> Vec<Event> {
    let (id, path, media) = (7, path(), MediaId::from("abcd"));
    vec![
        Event::Queued {
            id,
            path: path.clone(),
            size: 2048,
        },
        Event::Skipped {
            path: path.clone(),
            reason: "not media".to_owned(),
            media: None,
        },
        Event::Unreadable {
            path: path.clone(),
            reason: "gone".to_owned(),
        },
        Event::Started {
            id,
            path: path.clone(),
            media: Some(media.clone()),
            parts: 2,
        },
        Event::Retrying {
            id,
            part: Some(2),
            error: Error::new(Kind::Server, "it broke"),
            retry_in_ms: 1500,
        },
        Event::Part {
            id,
            part: 2,
            bytes: 1024,
            attempt: 2,
        },
        Event::Done {
            id,
            path: path.clone(),
            media,
            size: 2048,
        },
        Event::Failed {
            id: 8,
            path,
            part: None,
            kind: Kind::Refused,
            message: "no".to_owned(),
            next_step: "mend it".to_owned(),
        },
    ]
}

#[tokio::test]
async fn json_is_one_object_a_line_and_the_summary_is_the_last() {
    let page = Page::default();
    let mut stage = Stage::new(Style::Json, page.clone()).await;
    stage.say_all();
    stage.show(Phase::Settled, &[State::Done, State::Failed]);
    assert_eq!(stage.told().await, Command::Stop);
    stage.engine.summary.send_modify(|summary| {
        summary.bytes.total = 4096;
        summary.bytes.sent = 1024;
        summary.bytes.already_there = 1024;
    });
    let report = stage.end(&[State::Done, State::Failed]).await;
    assert_eq!(report.exit_code(), 1);
    let objects = page.objects();
    let names: Vec<&str> = objects
        .iter()
        .map(|o| o["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "queued",
            "skipped",
            "unreadable",
            "started",
            "retrying",
            "part",
            "done",
            "failed",
            "summary"
        ]
    );
    for object in &objects {
        if let Some(text) = object["path"].as_str() {
            assert_eq!(crate::path::decode(text), path());
        }
    }
    let last = objects.last().unwrap();
    assert_eq!(last["uploads"]["done"], 1);
    assert_eq!(last["uploads"]["failed"], 1);
    assert_eq!(
        last["bytes"],
        serde_json::json!({ "total": 4096, "sent": 1024, "already_there": 1024 })
    );
    assert_eq!(last["session"], "s-1");
    assert!(last["seconds"].is_number());
    assert_eq!(last["skipped"], 1);
    assert_eq!(last.as_object().unwrap().len(), 6);
    assert!(
        page.text()
            .lines()
            .all(|line| line.starts_with("{\"event\":"))
    );
}

#[tokio::test]
async fn lines_for_people_steer_no_terminal_and_end_with_the_sum() {
    let page = Page::default();
    let stage = Stage::new(Style::Human, page.clone()).await;
    stage.say_all();
    stage.engine.summary.send_modify(|now| now.unreadable = 1);
    let states = [State::Done, State::Failed, State::Failed, State::Queued];
    stage.end(&states).await;
    let text = page.text();
    assert!(!text.contains('\u{1b}'));
    for line in [
        "queued      /a/odd\u{fffd}\u{fffd}[31m.mp4 (2.0 KiB)",
        "retrying    /a/odd\u{fffd}\u{fffd}[31m.mp4 part 2 in 2s: it broke",
        "failed      /a/odd\u{fffd}\u{fffd}[31m.mp4: no; mend it",
        "summary     1 of 3 files done, 1 failed, 1 left, 1 unreadable, 1 skipped, 0 B sent in 0s",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn all_done_is_a_success_and_what_was_skipped_is_no_failure() {
    let mut stage = Stage::new(Style::Human, io::sink()).await;
    stage.say(Event::Skipped {
        path: path(),
        reason: "empty".to_owned(),
        media: None,
    });
    stage.show(Phase::Settled, &[State::Done, State::Skipped]);
    assert_eq!(stage.told().await, Command::Stop);
    let report = stage.end(&[State::Done, State::Skipped]).await;
    assert_eq!(report.exit_code(), 0);
}

#[tokio::test]
async fn what_could_not_be_read_is_a_failure_though_all_else_is_done() {
    let stage = Stage::new(Style::Human, io::sink()).await;
    stage.say(Event::Unreadable {
        path: path(),
        reason: "denied".to_owned(),
    });
    stage.engine.summary.send_modify(|now| now.unreadable = 1);
    let report = stage.end(&[State::Done, State::Failed]).await;
    assert_eq!(report.exit_code(), 1);
}

#[tokio::test]
async fn a_walk_that_did_not_come_to_its_end_is_no_success() {
    let stage = Stage::new(Style::Human, io::sink()).await;
    stage.engine.summary.send_modify(|now| now.walks_left = 1);
    assert_eq!(stage.end(&[State::Done]).await.exit_code(), 1);
}

#[tokio::test]
async fn a_walk_under_way_is_waited_for() {
    let mut stage = Stage::new(Style::Human, io::sink()).await;
    stage.engine.summary.send_modify(|summary| {
        summary.phase = Phase::Settled;
        summary.walk = Some(Walk {
            files: 0,
            bytes: 0,
            skipped: 0,
            at: "/a".to_owned(),
        });
    });
    // One turn is what the run needs to see it; nothing else runs in this test.
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    assert!(stage.engine.requests.try_recv().is_err());
    let walked = |summary: &mut Summary| summary.walk = None;
    stage.engine.summary.send_modify(walked);
    assert_eq!(stage.told().await, Command::Stop);
    assert_eq!(stage.end(&[]).await.exit_code(), 0);
}

#[tokio::test]
async fn a_walk_that_was_cut_short_is_an_interruption_though_all_that_was_found_is_done() {
    let mut stage = Stage::new(Style::Human, io::sink()).await;
    stage.engine.summary.send_modify(|summary| {
        summary.walk = Some(Walk {
            files: 0,
            bytes: 0,
            skipped: 0,
            at: "/a".to_owned(),
        });
    });
    stage.stops.send(()).await.unwrap();
    assert_eq!(stage.told().await, Command::Stop);
    stage
        .engine
        .summary
        .send_modify(|summary| summary.walk = None);
    assert_eq!(stage.end(&[State::Done]).await.exit_code(), 130);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_settled_from_the_first_moment_ends_by_itself() {
    let (handle, engine) = Handle::pair();
    engine
        .summary
        .send_modify(|summary| summary.phase = Phase::Settled);
    let (events, heard) = mpsc::unbounded_channel();
    let (stops, wishes) = mpsc::channel(1);
    let report = tokio::spawn(run(
        handle,
        heard,
        wishes,
        io::sink(),
        Style::Json,
        nobody(),
    ));
    let mut stage = Stage {
        engine,
        events,
        stops,
        report,
    };
    assert_eq!(stage.told().await, Command::Stop);
    assert_eq!(stage.end(&[State::Done]).await.exit_code(), 0);
}

#[tokio::test]
async fn the_first_wish_to_end_stops_and_the_second_at_once() {
    let mut stage = Stage::new(Style::Human, io::sink()).await;
    stage.show(Phase::Running, &[State::Uploading]);
    stage.stops.send(()).await.unwrap();
    assert_eq!(stage.told().await, Command::Stop);
    stage.show(Phase::Draining, &[State::Uploading]);
    stage.stops.send(()).await.unwrap();
    assert_eq!(stage.told().await, Command::StopNow);
    let report = stage.end(&[State::Uploading]).await;
    assert_eq!(report.exit_code(), 130);
}

#[tokio::test]
async fn an_interrupted_session_that_could_not_be_saved_is_a_failure() {
    let mut stage = Stage::new(Style::Human, io::sink()).await;
    stage.show(Phase::Running, &[State::Uploading]);
    stage.stops.send(()).await.unwrap();
    assert_eq!(stage.told().await, Command::Stop);
    stage
        .engine
        .summary
        .send_modify(|summary| summary.save_error = Some("disk full".to_owned()));
    assert_eq!(stage.end(&[State::Uploading]).await.exit_code(), 1);
}

#[tokio::test]
async fn an_engine_that_dies_is_a_failure_and_no_wait() {
    let page = Page::default();
    let stage = Stage::new(Style::Json, page.clone()).await;
    stage.show(Phase::Running, &[State::Uploading]);
    drop(stage.engine);
    assert_eq!(stage.report.await.unwrap().exit_code(), 1);
    assert_eq!(page.objects().last().unwrap()["event"], "summary");
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_lines_and_not_the_uploads() {
    let mut stage = Stage::new(Style::Json, Broken).await;
    stage.say_all();
    stage.show(Phase::Settled, &[State::Done]);
    assert_eq!(stage.told().await, Command::Stop);
    let report = stage.end(&[State::Done]).await;
    assert_eq!(report.exit_code(), 0);
}

/// A reader that has stopped reading, and never goes on before it is told to.
struct Stuck(std::sync::mpsc::Receiver<()>, Page);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // It goes on for good once the other end is dropped.
        let _ = self.0.recv();
        self.1.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_stops_keeps_no_wish_to_end_from_being_heard() {
    let (go_on, stuck) = std::sync::mpsc::channel();
    let page = Page::default();
    let mut stage = Stage::new(Style::Human, Stuck(stuck, page.clone())).await;
    stage.say_all();
    stage.show(Phase::Running, &[State::Uploading]);
    stage.stops.send(()).await.unwrap();
    assert_eq!(stage.told().await, Command::Stop);
    let report = stage.end(&[State::Uploading]).await;
    assert_eq!(report.exit_code(), 130);
    assert_eq!(page.text(), "", "nobody read");
    drop(go_on);
}

#[tokio::test]
async fn lines_wait_for_their_reader_until_someone_asks_for_the_end() {
    let (go_on, stuck) = std::sync::mpsc::channel();
    let page = Page::default();
    let mut stage = Stage::new(Style::Json, Stuck(stuck, page.clone())).await;
    stage.say_all();
    stage.show(Phase::Settled, &[State::Done]);
    assert_eq!(stage.told().await, Command::Stop);
    stage.show(Phase::Stopped, &[State::Done]);
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    assert!(!stage.report.is_finished());
    stage.stops.send(()).await.unwrap();
    stage.report.await.unwrap();
    assert_eq!(page.text(), "", "nobody read");
    drop(go_on);
}

#[tokio::test]
async fn parts_alone_are_left_out_for_a_reader_that_stopped_and_that_is_told() {
    const PARTS: u32 = 30_000;
    let (go_on, stuck) = std::sync::mpsc::channel();
    let page = Page::default();
    let mut stage = Stage::new(Style::Json, Stuck(stuck, page.clone())).await;
    for part in 0..PARTS {
        stage.say(Event::Part {
            id: 7,
            part,
            bytes: 1,
            attempt: 1,
        });
    }
    stage.say_all();
    stage.show(Phase::Settled, &[State::Done]);
    assert_eq!(stage.told().await, Command::Stop);
    stage.show(Phase::Stopped, &[State::Done]);
    drop(go_on);
    stage.report.await.unwrap();
    let objects = page.objects();
    let named = |name: &str| objects.iter().filter(|o| o["event"] == name).count();
    let left_out: u64 = objects.iter().filter_map(|o| o["lines"].as_u64()).sum();
    assert!(left_out > 0);
    assert_eq!(named("part") as u64 + left_out, u64::from(PARTS) + 1);
    for name in ["queued", "started", "done", "failed", "summary"] {
        assert_eq!(named(name), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_only_when_there_is_any() {
    let page = Page::default();
    let stage = Stage::new(Style::Json, page.clone()).await;
    let at = |bytes: u64| {
        stage.engine.summary.send_modify(|summary| {
            summary.bytes.total = 100;
            summary.bytes.acknowledged = bytes;
        });
    };
    at(10);
    tokio::time::sleep(EVERY * 4).await;
    at(50);
    tokio::time::sleep(EVERY * 4).await;
    stage.end(&[]).await;
    let told: Vec<Value> = page.objects();
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0]["bytes"]["acknowledged"], 10);
    assert_eq!(told[1]["bytes"]["acknowledged"], 50);
}

#[tokio::test(start_paused = true)]
async fn a_person_sees_large_parts_move_before_the_first_of_them_arrives() {
    let page = Page::default();
    let stage = Stage::new(Style::Human, page.clone()).await;
    stage.engine.summary.send_modify(|summary| {
        summary.bytes.total = 8 << 30;
        summary.bytes.in_flight = 3 << 30;
    });
    tokio::time::sleep(EVERY * 2).await;
    stage.end(&[]).await;
    let told = page.text();
    assert!(
        told.contains("0 B and 3.0 GiB in flight of 8.0 GiB"),
        "{told}"
    );
}

#[tokio::test]
async fn signals_are_wishes_to_end_and_a_hangup_only_where_it_shall_be() {
    let mut wishes = stop_signals(false).unwrap();
    let send = |name: &str| {
        let (name, process) = (format!("-{name}"), std::process::id().to_string());
        let sent = std::process::Command::new("kill")
            .args([&name, &process])
            .status();
        assert!(sent.unwrap().success());
    };
    send("TERM");
    assert_eq!(wishes.recv().await, Some(()));
    send("HUP");
    send("INT");
    assert_eq!(wishes.recv().await, Some(()));
    assert!(wishes.try_recv().is_err());
    let mut wishes = stop_signals(true).unwrap();
    send("HUP");
    assert_eq!(wishes.recv().await, Some(()));
}

#[tokio::test]
async fn what_is_left_stays_for_the_screens_attached_and_what_is_paused_there_outlives_them() {
    let (handle, mut engine) = Handle::pair();
    let (_events, heard) = mpsc::unbounded_channel();
    let (_stops, wishes) = mpsc::channel(4);
    let (screens, attached) = value::channel(1);
    let out = io::sink();
    let report = tokio::spawn(run(handle, heard, wishes, out, Style::Json, attached));
    tokio::task::yield_now().await;
    let show = |state| {
        engine.summary.send_modify(|summary| {
            summary.phase = Phase::Settled;
            summary.counts = Counts::default();
            summary.counts.add(state);
        });
    };
    show(State::Failed);
    tokio::task::yield_now().await;
    assert!(
        engine.requests.try_recv().is_err(),
        "a screen may want it tried again"
    );
    show(State::Paused);
    tokio::task::yield_now().await;
    screens.send_replace(0);
    tokio::task::yield_now().await;
    assert!(
        engine.requests.try_recv().is_err(),
        "what is held stays held"
    );
    show(State::Failed);
    let Some(Request::Command(Command::Stop, answer)) = engine.requests.recv().await else {
        panic!("nobody is there and nothing is held, and it does not end")
    };
    answer_all_well(answer);
    engine
        .summary
        .send_modify(|summary| summary.phase = Phase::Stopped);
    report.await.unwrap();
}

#[tokio::test]
async fn who_watches_is_done_when_all_is_done_and_waits_while_something_is_left() {
    let (handle, engine) = Handle::pair();
    let (_stops, wishes) = mpsc::channel(4);
    let watched = tokio::spawn(watch(handle, wishes, io::sink(), Style::Json));
    let show = |states: &[State]| {
        engine.summary.send_modify(|summary| {
            summary.phase = Phase::Settled;
            summary.counts = Counts::default();
            for state in states {
                summary.counts.add(*state);
            }
        });
    };
    // Nothing was queued yet; and then a person may have the failed one tried again.
    for states in [&[][..], &[State::Done, State::Failed]] {
        show(states);
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        assert!(!watched.is_finished(), "{states:?}");
    }
    show(&[State::Done, State::Skipped]);
    let ended = watched.await.unwrap();
    assert!(matches!(ended, Watched::Ended(_)), "{ended:?}");
    assert_eq!(ended.exit_code(), 0);
}

#[tokio::test]
async fn lines_of_several_sessions_follow_the_name_of_each_and_count_for_themselves() {
    let page = Page::default();
    let (wish, stops) = mpsc::channel(4);
    let mut console = Console::new(page.clone(), Style::Json, stops);
    for name in ["first", "second"] {
        console.introduce(name);
        let (handle, engine) = Handle::pair();
        let (events, heard) = mpsc::unbounded_channel();
        if name == "first" {
            let (path, reason, media) = (path(), "not media".to_owned(), None);
            let skipped = Event::Skipped {
                path,
                reason,
                media,
            };
            events.send(skipped).unwrap();
        }
        engine.summary.send_modify(|summary| {
            summary.session = name.to_owned();
            summary.phase = Phase::Stopped;
        });
        let report = console.run(handle, heard, nobody()).await;
        assert!(!report.interrupted);
        assert!(!console.is_stopped());
    }
    // One that comes when no session runs is not missed.
    wish.send(()).await.unwrap();
    assert!(console.is_stopped());
    console.stopped().await;
    console.end().await;
    let told = page.objects();
    let names: Vec<_> = told
        .iter()
        .map(|line| (line["event"].as_str().unwrap(), line["session"].as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("session", Some("first")),
            ("skipped", None),
            ("summary", Some("first")),
            ("session", Some("second")),
            ("summary", Some("second")),
        ]
    );
    assert_eq!([&told[2]["skipped"], &told[4]["skipped"]], [1, 0]);
}
