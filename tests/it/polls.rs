//! What became of files that were uploaded is learnt also where the account has to be asked for each of
//! them, calls are rationed, and others wait for the same calls.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use md5::{Digest as _, Md5};
use serde_json::json;

use crate::support::{
    Home, MIB, Mode, Server, Source, engine, hex,
    memory::{Answer, Memory, Run, Step},
    scripted::{Scripted, answer},
};
use reelhaul::{
    destination::{
        Account as _,
        jwplayer::{JwPlayer, JwPlayerOptions},
    },
    engine::{Timing, protocol::State},
    error::{Error, Kind},
    secret::Secret,
    settings::{Concurrency, Settings},
};

#[test]
fn what_was_answered_before_a_429_counts_and_is_not_asked_for_again() {
    const FILES: u64 = 9;
    let server = Server::with(|options| options.processing = Duration::ZERO);
    let home = Home::new(Mode::JwPlayer, &server.url);
    for number in 0..FILES {
        let path = home.tree().join(format!("take {number}.mov"));
        Source::write(path, MIB, number);
    }
    let three_answers = json!({ "fault": "delay", "ms": 0, "on": "status", "times": 3 });
    let wait = json!({ "fault": "rate-limit", "ms": 1000, "on": "status" });
    server.script(&json!([
        // The first list is the check of the key.
        { "fault": "delay", "ms": 0, "on": "find" },
        { "fault": "empty-list", "on": "find", "times": 1_000_000 },
        three_answers, wait, three_answers, wait,
    ]));
    server.hold_part(1, FILES);
    let run = home.up(&["--files", "9", "--parts", "9"]);
    server.wait_until_held(FILES);
    // Complete together, they are asked about together.
    server.release();
    run.end().assert_code(0);
    assert_eq!(server.met("rate-limit"), 2);
    let requests = server.report().requests;
    let answered = requests["jwplayer"]["status"] - server.met("rate-limit");
    assert_eq!(answered, FILES, "each is answered ready once");
}

/// What a call to a site is for, as it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Create,
    List,
    Status,
}

/// How long a call takes at [`one_call_at_a_time`]: longer than all else that is done for a file, so that
/// creates of files in flight wait for their turn.
const CALL: Duration = Duration::from_millis(20);

/// A site whose lists are empty, and that allows one call more with each answer: calls are made one after
/// another, and whoever is next in turn has the next one.
async fn one_call_at_a_time() -> Scripted {
    let calls = AtomicU32::new(0);
    Scripted::start(move |asked| {
        if asked.line.starts_with("PUT /part") {
            let tag = format!("ETag: \"{}\"\r\n", hex(&Md5::digest(&asked.body)));
            return answer(200, &tag, "");
        }
        tokio::task::block_in_place(|| std::thread::sleep(CALL));
        let made = calls.fetch_add(1, Ordering::SeqCst) + 1;
        let body = match call(&asked.line) {
            Call::List => json!({ "media": [] }),
            Call::Status => json!({ "id": "m", "status": "ready" }),
            Call::Create => {
                let link = format!("http://{}/part/{made}", asked.header("host").unwrap());
                json!({ "id": format!("media{made}"), "upload_link": link })
            }
        };
        let budget = format!("JW-Request-Limit: {}\r\n", made + 1);
        answer(200, &budget, &body.to_string())
    })
    .await
}

fn call(line: &str) -> Call {
    if line.starts_with("POST") {
        Call::Create
    } else if line.contains('?') {
        Call::List
    } else {
        Call::Status
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_of_many_calls_waits_for_its_turn_once_among_creates() {
    const FILES: usize = 80;
    const AT_ONCE: u16 = 16;
    let server = one_call_at_a_time().await;
    let mut options = JwPlayerOptions::new("Site0001", Secret::new("SECRET-0"));
    options.url.clone_from(&server.url);
    options.calls_per_minute = 10_000;
    let account = JwPlayer::new(options).unwrap();
    // From its answer on, one call is made at a time.
    account.check().await.unwrap();

    let home = tempfile::tempdir().unwrap();
    let tree = home.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    for number in 0..FILES {
        Source::write(tree.join(format!("take {number}.mov")), 1000, number as u64);
    }
    let settings = Settings {
        files_in_flight: AT_ONCE,
        parts_in_flight: Concurrency::Fixed(AT_ONCE),
        ..Settings::default()
    };
    let timing = Timing {
        poll_first: Duration::from_millis(1),
        ..Timing::default()
    };
    let session = home.path().join("it.toml");
    let (handle, _ended) = engine::beginning(&session, settings, Arc::new(account), timing);
    let mut summary = handle.summary();
    handle.command(engine::add(&tree)).await.unwrap();
    let all_done = summary.wait_for(|summary| summary.counts.of(State::Done) == FILES);
    let all_done = tokio::time::timeout(Duration::from_mins(2), all_done).await;
    assert!(
        all_done.is_ok(),
        "not all are done: {:#?}",
        handle.summary().borrow()
    );

    let asked = server.asked();
    let calls = asked.iter().filter(|asked| !asked.line.starts_with("PUT"));
    let calls: Vec<Call> = calls.map(|asked| call(&asked.line)).skip(1).collect();
    let last_create = calls
        .iter()
        .rposition(|call| *call == Call::Create)
        .unwrap();
    // How many creates went between one call of a poll and the next of the same one.
    let mut creates_between = Vec::new();
    let mut creates = 0;
    for call in &calls[..last_create] {
        match call {
            Call::Create => creates += 1,
            Call::List => creates = 0,
            Call::Status => creates_between.push(std::mem::take(&mut creates)),
        }
    }
    // How many polls there are meanwhile is a matter of how fast the rest is.
    assert!(creates_between.len() >= 2, "{calls:?}");
    // Behind every create, it would be as many as there are files in flight.
    assert!(
        creates_between.iter().all(|creates| *creates <= 2),
        "{calls:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_waited_long_for_calls_leaves_as_much_time_to_others() {
    let account = Memory::new();
    account.process(true);
    account.take_for_a_status(Duration::from_hours(3));
    account.script("busy.mp4", Step::Put(1), Answer::Hang);
    let run = Run::new(&account);
    run.add("film.mp4", 1).await;
    run.until("an upload that is processed", |run| {
        run.is(State::Processing)
    })
    .await;
    run.add("busy.mp4", 1).await;
    run.until_asked("busy.mp4", Step::Put(1)).await;
    let before = account.statuses().len();
    run.until("polls", |run| run.account.statuses().len() >= before + 4)
        .await;
    let statuses = &account.statuses()[before..];
    for two in statuses.windows(2) {
        let apart = two[1].at - two[0].at;
        assert!(apart >= Duration::from_hours(6), "{statuses:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_waited_longest_are_asked_for_first_and_each_in_its_turn() {
    const FILES: usize = 25;
    let account = Memory::new();
    account.process(true);
    let run = Run::new(&account);
    for number in 0..FILES {
        run.add(&format!("{number}.mp4"), 1).await;
    }
    run.until("uploads", |run| {
        run.summary().counts.of(State::Processing) == FILES
    })
    .await;
    let run = run.restart().await;
    let before = account.statuses().len();
    run.until("polls", |run| {
        run.account.statuses().len() >= before + 3 * FILES
    })
    .await;
    let statuses = account.statuses();
    for round in statuses[before..].chunks_exact(FILES) {
        let files: HashSet<_> = round.iter().map(|asked| &asked.of).collect();
        assert_eq!(files.len(), FILES, "{round:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_was_refused_is_gone_on_with_where_it_was() {
    let account = Memory::new();
    let wait =
        Error::new(Kind::Throttled, "too many calls").with_wait(Some(Duration::from_hours(9)));
    account.process(true);
    let run = Run::new(&account);
    for name in ["1.mp4", "2.mp4", "3.mp4"] {
        run.add(name, 1).await;
    }
    run.until("uploads", |run| {
        run.summary().counts.of(State::Processing) == 3
    })
    .await;
    let run = run.restart().await;
    let before = account.statuses().len();
    run.until("polls", |run| run.account.statuses().len() >= before + 6)
        .await;
    account.script("2.mp4", Step::Status, Answer::Fail(wait));
    account.process(false);
    run.until_done().await;
    let statuses = account.statuses();
    let refused = statuses
        .windows(2)
        .find(|two| two[1].at - two[0].at >= Duration::from_hours(9));
    let refused = refused.expect("the account is left alone as long as it asked for");
    assert!(
        refused.iter().all(|asked| asked.of == "2.mp4"),
        "{statuses:#?}"
    );
}
