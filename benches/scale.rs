//! What a queue of a thousand, a hundred thousand and a million files costs: to walk and queue, to
//! open, to hold, to ask, and to go on with. The engine is used as a library.
//!
//! `REELHAUL_BENCH_FILES` (1000000), `REELHAUL_BENCH_TREE` (100000), `REELHAUL_BENCH_RUNS` (5).
#![allow(clippy::unwrap_used)] // a panic ends a benchmark, and well

mod common;
#[path = "common/null.rs"]
mod null;

use std::{
    collections::BTreeMap,
    fs::File,
    hint::black_box,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command as Process,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{cpu_of, machine, memory_of, mib, middle, row, runs, scratch, setting};
use futures_util::FutureExt as _;
use md5::{Digest as _, Md5};
use null::Null;
use reelhaul::{
    destination::{
        Account, NewMedia, Ticket,
        jwplayer::{JwPlayer, JwPlayerOptions},
    },
    engine::{
        self, Handle, Parts, Timing,
        clock::Clock,
        protocol::{
            AddPaths, Command, Filter, Folds, Query, Reply, Show, Sort, SortBy, State, Targets,
            WindowQuery,
        },
        queue::Queue,
        record::{Sequence, Step},
        schedule::{self, Room, Start, Waiting},
        upload::Need,
    },
    identity::Identity,
    ids::AccountId,
    ledger,
    plan::PartPlan,
    sandbox::{Options, SECRET, SITE, Sandbox},
    scan::Scan,
    secret::Secret,
    session::{
        Change, Header, Kept, Move, MoveTarget, Progress, Times,
        folder::{self, Open},
        record::{FORMAT, write_change, write_upload},
    },
    settings::Settings,
};
use serde_json::json;

fn main() {
    // Peaks are a process's: each opening is one of its own.
    if let Some(path) = std::env::var_os("REELHAUL_BENCH_OPEN") {
        return open_once(Path::new(&path));
    }
    machine();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let files = u32::try_from(setting("FILES", 1_000_000)).unwrap();
    let sizes: Vec<u32> = [1_000, 100_000, 1_000_000]
        .into_iter()
        .filter(|size| *size <= files)
        .collect();
    walk(&runtime);
    println!();
    opening(files, State::Queued);
    opening(files, State::Done);
    println!();
    for size in &sizes {
        next_part(*size);
    }
    println!();
    for size in &sizes {
        runtime.block_on(questions(*size));
    }
    println!();
    for size in &sizes {
        runtime.block_on(masses(*size));
    }
    rewriting(files);
    println!();
    runtime.block_on(resume());
}

/// A file of the session that is measured.
fn kept(id: u32) -> Kept {
    let (year, event) = (1990 + id / 40_000, id / 200 % 200);
    let path = format!("/archive/video/{year}/event-{event:03}/camera-a/clip-{id:07}.mov");
    Kept {
        id,
        path: path.into(),
        identity: Identity::new(
            1_000_000 + u64::from(id) * 977 % 900_000_000,
            1_700_000_000 + i64::from(id),
            123_456_789,
            u64::from(id) + 10_000_000,
        ),
        times: Times::default(),
        again: false,
        state: State::Queued,
        reason: None,
        account: None,
        progress: None,
        unread: None,
    }
}

/// The same once it is uploaded.
fn done(id: u32) -> Kept {
    let at = |seconds: i64| {
        let seconds = 1_700_000_000 + i64::from(id) + seconds;
        jiff::Timestamp::from_second(seconds).unwrap().into()
    };
    Kept {
        times: Times {
            queued: at(0),
            begun: at(60),
            done: at(120),
        },
        state: State::Done,
        account: Some(AccountId::new(
            "jwplayer",
            "api.jwplayer.com",
            443,
            "AbCd1234",
        )),
        progress: Some(Progress {
            marker: "0123456789abcdefghijklmnop".into(),
            claim: None,
            ticket: Some(Ticket::of(format!("m{id:07}"))),
            ..Progress::default()
        }),
        ..kept(id)
    }
}

fn header() -> Header {
    Header {
        format: FORMAT,
        id: "bench".into(),
        owner: "owner".to_owned(),
        destination: "nowhere".into(),
        settings: Settings::default(),
    }
}

fn session(path: &Path) -> Open {
    drop(std::fs::remove_file(path));
    folder::create_at(path, header()).unwrap()
}

/// A session file with so many queued files.
fn saved(files: u32, state: State) -> PathBuf {
    let path = scratch().join(format!("session-{files}-{}.toml", state.word()));
    let mut session = session(&path);
    let mut uploads = String::new();
    for id in 1..=files {
        let upload = match state {
            State::Done => done(id),
            _ => kept(id),
        };
        write_upload(&mut uploads, &upload);
    }
    session.store.append(uploads);
    session.store.barrier().blocking_recv().unwrap();
    path
}

fn open(path: &Path) -> (Open, Queue) {
    Queue::open(path).unwrap()
}

/// An engine, and its end.
struct Engine {
    handle: Handle,
    ended: tokio::task::JoinHandle<()>,
}

impl Engine {
    async fn stop(self) {
        self.handle.command(Command::StopNow).await.unwrap();
        self.ended.await.unwrap();
    }
}

fn engine(session: Open, queue: Queue, account: Arc<dyn Account>) -> Engine {
    let of = ledger::Session {
        owner: &session.header.owner,
        name: &session.header.id,
        file: &session.path,
        adopts: false,
    };
    let folder = session.path.parent().unwrap();
    let parts = Parts {
        ledger: ledger::open(&folder.join(ledger::FILE), of, &*account).unwrap(),
        session,
        queue,
        account,
        timing: Timing::default(),
        events: None,
        no_wait: false,
        is_deep: false,
        clock: Clock::default(),
        open_files: reelhaul::engine::OpenFiles::default(),
    };
    let (handle, ended) = engine::spawn(parts);
    Engine { handle, ended }
}

/// Walk a tree and queue what is in it, with the session file written on the way.
fn walk(runtime: &tokio::runtime::Runtime) {
    let files = setting("TREE", 100_000);
    let tree = scratch().join(format!("tree-{files}"));
    if !tree.exists() {
        for number in 0..files {
            let folder = tree.join(format!("{:03}/{:02}", number / 1000, number / 50 % 20));
            if number % 50 == 0 {
                std::fs::create_dir_all(&folder).unwrap();
            }
            let file = File::create(folder.join(format!("clip-{number:06}.mp4"))).unwrap();
            file.set_len(1 + number).unwrap();
        }
    }
    let add = AddPaths {
        paths: vec![tree],
        ..AddPaths::default()
    };
    let me = std::process::id();
    #[allow(clippy::cast_precision_loss)]
    let files_f = files as f64;
    let mut cpu = Vec::new();
    let scan = |_: usize| {
        let begun = Instant::now();
        let mut found = 0;
        let _ = Scan::new(&add).unwrap().walk(&mut |batch| {
            found += batch.found.len() as u64;
            ControlFlow::Continue(())
        });
        assert_eq!(found, files);
        files_f / begun.elapsed().as_secs_f64()
    };
    row(
        &format!("walk {files} files: files/s"),
        middle((0..runs()).map(scan)),
        "",
    );
    let queue = |_| {
        runtime.block_on(async {
            let session = session(&scratch().join("walk.toml"));
            let engine = engine(session, Queue::default(), Arc::new(Null::new(false)));
            let mut summary = engine.handle.summary();
            let (begun, before) = (Instant::now(), cpu_of(me));
            engine
                .handle
                .command(Command::Add(add.clone()))
                .await
                .unwrap();
            summary
                .wait_for(|s| s.counts.total() as u64 == files && s.walk.is_none())
                .await
                .unwrap();
            let rate = files_f / begun.elapsed().as_secs_f64();
            cpu.push((cpu_of(me) - before) * 1e6 / files_f);
            engine.stop().await;
            rate
        })
    };
    let rates = middle((0..runs()).map(queue));
    row(
        &format!("walk and queue {files} files: files/s"),
        rates,
        "≥ 100000",
    );
    row(
        "  CPU of walk and queue, all threads: µs a file",
        middle(cpu),
        "",
    );
}

/// In a process of its own: opens a session and tells what that took.
fn open_once(path: &Path) {
    let me = std::process::id();
    let before = memory_of(me, "VmRSS:");
    let begun = Instant::now();
    let (session, queue) = open(path);
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = cpu_of(me);
    let (held, peak) = (memory_of(me, "VmRSS:") - before, memory_of(me, "VmHWM:"));
    println!("{seconds} {peak} {held} {cpu} {}", queue.len());
    drop(session);
}

fn opening(files: u32, state: State) {
    let path = saved(files, state);
    let length = path.metadata().unwrap().len();
    let mut measured: Vec<Vec<f64>> = Vec::new();
    for _ in 0..runs() {
        let out = Process::new(std::env::current_exe().unwrap())
            .env("REELHAUL_BENCH_OPEN", &path)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
        let text = String::from_utf8(out.stdout).unwrap();
        measured.push(
            text.split_whitespace()
                .map(|n| n.parse().unwrap())
                .collect(),
        );
    }
    let column = |at: usize| middle(measured.iter().map(|m| m[at]));
    let name = format!(
        "open a session of {files} {} ({:.0} MiB)",
        state.word(),
        mib(length)
    );
    row(&format!("{name}: seconds"), column(0), "≤ 5");
    row("  user and system time: seconds", column(3), "");
    let peak = middle(measured.iter().map(|m| m[1] / 1_048_576.0));
    row("  peak of memory: MiB", peak, "≤ 1024");
    let each = middle(measured.iter().map(|m| m[2] / f64::from(files)));
    row("  held once open: bytes a file", each, "≤ 400");
}

/// The least of several times of something short, in microseconds each.
fn micros(times: u32, mut each: impl FnMut()) -> common::Middle {
    middle((0..runs()).map(|_| {
        let begun = Instant::now();
        for _ in 0..times {
            each();
        }
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(times)
    }))
}

/// Start a part, and take its receipt, beside so many queued files.
fn next_part(files: u32) {
    const PARTS: u32 = 10_000;
    let mut queue = Queue::default();
    for id in 1..=files {
        let kept = kept(id);
        queue.add(kept.path, kept.identity, false).unwrap();
    }
    let plan = PartPlan::split(u64::from(PARTS) << 20, (1 << 20).try_into().unwrap()).unwrap();
    let begin = |queue: &mut Queue| {
        queue.apply(1, &Change::Begun("marker".into(), None));
        queue.apply(1, &Change::Plan(plan.clone()));
        queue.with_begun(1, |begun| begun.step = Step::Sending);
    };
    begin(&mut queue);
    let now = tokio::time::Instant::now();
    let mut done = 0;
    let mut log = String::new();
    let each = || {
        if done == PARTS {
            begin(&mut queue);
            done = 0;
        }
        let room = Room {
            parts: 8,
            parts_in_flight: 7,
            files: 2,
            files_active: 2,
            calls: true,
        };
        let waiting = [Waiting {
            upload: 1,
            need: Need::Part { asks_api: false },
            in_flight: 7,
        }];
        let queued = || queue.next_queued(|_, _| false).is_some();
        let Some(Start::Grant(id)) = schedule::next(&waiting, room, queued) else {
            panic!("nothing to start");
        };
        let next = queue
            .begun(id)
            .and_then(|begun| begun.next_part(Sequence::Any, now));
        let part = next.expect("a part is left");
        queue.with_begun(id, |begun| begun.start(part));
        let change = Change::Part(part.number, Some([7; 16]).into());
        queue.apply(id, &change);
        log.clear();
        write_change(&mut log, id, &change);
        black_box(&log);
        done += 1;
    };
    let took = micros(PARTS, each);
    row(
        &format!("{files} queued: start a part, log its receipt: µs"),
        took,
        "the same",
    );
}

/// What a screen asks, of an engine that is at work.
async fn questions(files: u32) {
    let path = saved_blocking(files).await;
    let (session, queue) = open(&path);
    let engine = engine(session, queue, Arc::new(Null::new(false)));
    let text = |text: &str| Filter {
        text: text.into(),
        ..Filter::default()
    };
    let show = |show| Filter {
        show,
        ..Filter::default()
    };
    let by = |by| Sort {
        by,
        descending: true,
    };
    let cases = [
        ("queue", Filter::default(), Sort::default()),
        ("failed", show(Show::Failed), Sort::default()),
        ("waiting", show(Show::Waiting), Sort::default()),
        ("text", text("CLIP-00004"), Sort::default()),
        ("by size", Filter::default(), by(SortBy::Size)),
        ("by name", Filter::default(), by(SortBy::Name)),
        ("tree", Filter::default(), Sort::default()),
        ("tree, by size", Filter::default(), by(SortBy::Size)),
        ("tree, text", text("CLIP-00004"), Sort::default()),
    ];
    for (name, filter, sort) in cases {
        let mut first = 0.0;
        let mut each = Vec::new();
        for turn in 0..50 {
            let query = WindowQuery {
                filter: filter.clone(),
                sort,
                start: turn * 7,
                rows: 50,
                follow: None,
                follow_running: false,
                tree: name.starts_with("tree").then(Folds::default),
            };
            let begun = Instant::now();
            let Ok(Reply::Window(window)) = engine.handle.query(Query::Window(query)).await else {
                panic!("no window");
            };
            let took = begun.elapsed().as_secs_f64() * 1e6;
            assert_eq!(window.total, files as usize);
            if turn == 0 {
                first = took;
            } else {
                each.push(took);
            }
        }
        let what = format!("{files} queued: ask for 50 rows, {name}: µs");
        row(
            &what,
            format!("{} first {first:.0}", middle(each)),
            "the same",
        );
    }
    engine.stop().await;
}

/// What is done to all files at once, and for how long it keeps a screen waiting meanwhile.
async fn masses(files: u32) {
    let path = saved_blocking(files).await;
    let (session, queue) = open(&path);
    let engine = engine(session, queue, Arc::new(Null::new(false)));
    let commands = [
        ("pause", Command::Pause as fn(Targets) -> Command),
        ("resume", Command::Resume),
        ("leave out", Command::Skip),
        ("remove", Command::Remove),
    ];
    for (name, command) in commands {
        let begun = Instant::now();
        let done = engine.handle.command(command(Targets::All));
        tokio::pin!(done);
        let mut longest = Duration::ZERO;
        let took = loop {
            if (&mut done).now_or_never().is_some() {
                break begun.elapsed();
            }
            let query = WindowQuery {
                rows: 50,
                ..WindowQuery::default()
            };
            let asked = Instant::now();
            engine.handle.query(Query::Window(query)).await.unwrap();
            longest = longest.max(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let what = format!("{files} queued: {name} all, and the longest wait meanwhile: ms");
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        row(&what, format!("{:.0} {:.1}", ms(took), ms(longest)), "");
    }
    engine.stop().await;
}

/// How long a session takes to be rewritten, and to be saved with all of its files moved to the end
/// one by one before that.
fn rewriting(files: u32) {
    let (mut session, mut queue) = open(&saved(files, State::Queued));
    let Open { store, header, .. } = &mut session;
    let rewrite = |_| {
        let begun = Instant::now();
        store
            .rewrite(|out| queue.write_session(header, out))
            .unwrap();
        begun.elapsed().as_secs_f64()
    };
    let seconds = middle((0..runs()).map(rewrite));
    row(
        &format!("rewrite a session of {files}: seconds"),
        seconds,
        "",
    );
    let peak = mib(memory_of(std::process::id(), "VmHWM:"));
    row(
        "  peak of memory of this process so far: MiB",
        format!("{peak:.0}"),
        "",
    );
    let odd: Vec<u32> = (1..=files).step_by(2).collect();
    for (what, ids) in [("every second one", odd), ("one", vec![files])] {
        let moving = Move::new(ids, MoveTarget::Top);
        let back = Move::new(vec![files], MoveTarget::Bottom);
        let each = micros(3, || {
            queue.apply_move(&moving);
            queue.apply_move(&back);
        });
        row(
            &format!("{files} queued: move {what} and back: µs"),
            each,
            "",
        );
    }
}

async fn saved_blocking(files: u32) -> PathBuf {
    tokio::task::spawn_blocking(move || saved(files, State::Queued))
        .await
        .unwrap()
}

/// Go on with a file of 5,000 parts of which half are there: until its next part is on its way.
async fn resume() {
    const PARTS: u32 = 5000;
    const PART: u64 = 5 << 20;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sandbox = Sandbox::start(listener, Options::default()).await.unwrap();
    let way = || {
        Arc::new(
            JwPlayer::new(JwPlayerOptions {
                url: sandbox.url(),
                calls_per_minute: u32::MAX,
                ..JwPlayerOptions::new(SITE, Secret::new(SECRET))
            })
            .unwrap(),
        )
    };
    let file = common::sparse(u64::from(PARTS) * PART);
    let identity = Identity::of(&file.metadata().unwrap());
    let media = NewMedia {
        marker: "bench0123456789".into(),
        title: "bench".into(),
        file_name: "bench.mp4".into(),
        mime: "video/mp4".into(),
        size: identity.size,
        parts: PARTS,
    };
    let ticket = way().create(&media).await.unwrap();
    // What was sent before is small here: the server does not look at it, and says its MD5.
    let receipts = put_some(
        &sandbox,
        ticket.text("upload").unwrap(),
        ticket.text("token").unwrap(),
        PARTS / 2,
    )
    .await;
    let kept = Kept {
        id: 1,
        path: file,
        identity,
        times: Times::default(),
        again: false,
        state: State::Queued,
        reason: None,
        account: None,
        progress: Some(Progress {
            marker: media.marker,
            claim: None,
            ticket: Some(ticket),
            plan: PartPlan::split(identity.size, PART.try_into().unwrap()),
            receipts: receipts
                .into_iter()
                .map(|(part, md5)| (part, md5.into()))
                .collect(),
            completed: false,
            clearing: false,
        }),
        unread: None,
    };
    let mut times = Vec::new();
    for _ in 0..runs() {
        let path = scratch().join("resume.toml");
        let mut fresh = session(&path);
        let mut text = String::new();
        write_upload(&mut text, &kept);
        fresh.store.append(text);
        fresh.store.barrier().await.unwrap();
        drop(fresh);
        let begun = Instant::now();
        let (session, queue) = open(&path);
        let engine = engine(session, queue, way());
        let mut summary = engine.handle.summary();
        summary.wait_for(|s| s.parts_running > 0).await.unwrap();
        times.push(begun.elapsed().as_secs_f64());
        // What an earlier round sent beyond it is there too.
        assert!(summary.borrow().bytes.already_there >= u64::from(PARTS / 2) * PART);
        engine.stop().await;
    }
    row(
        "go on with 25 GB, 2,500 of 5,000 parts there: seconds",
        middle(times),
        "≤ 1",
    );
    sandbox.stop().await;
}

async fn put_some(
    sandbox: &Sandbox,
    upload: &str,
    token: &str,
    count: u32,
) -> BTreeMap<u32, Option<[u8; 16]>> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut links = BTreeMap::new();
    for page in 1..=count.div_ceil(1000) {
        let url = format!(
            "{}/v2/uploads/{upload}/parts?page={page}&page_length=1000",
            sandbox.url()
        );
        let answer = client.get(url).bearer_auth(token).send().await.unwrap();
        let listed: serde_json::Value = answer.json().await.unwrap();
        for part in listed["parts"].as_array().unwrap_or(&vec![json!(null)]) {
            let number = u32::try_from(part["id"].as_u64().unwrap()).unwrap();
            links.insert(number, part["upload_link"].as_str().unwrap().to_owned());
        }
    }
    let mut receipts = BTreeMap::new();
    for (number, link) in links.into_iter().take(count as usize) {
        let body = number.to_string();
        receipts.insert(number, Some(Md5::digest(&body).into()));
        let answer = client
            .put(link)
            .body(body)
            .timeout(Duration::from_secs(30))
            .send()
            .await;
        assert!(answer.unwrap().status().is_success());
    }
    receipts
}
