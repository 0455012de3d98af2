//! What the session file costs: bytes appended for each part and each file that is finished; how long
//! a file gets in a week, and how long that takes to open; syncs a second under any load; and what the
//! file takes from the throughput.
//!
//! `REELHAUL_BENCH_MIB` (1024) to send for the throughput, `REELHAUL_BENCH_RUNS` (5).
#![allow(clippy::unwrap_used)] // a panic ends a benchmark, and well

mod common;

use std::{
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

use common::{Client, MIB, Server, file, machine, middle, row, run, runs, scratch, setting};
use jiff::Timestamp;
use reelhaul::{
    destination::Ticket,
    engine::queue::Queue,
    identity::Identity,
    ids::{AccountId, Claim},
    plan::PartPlan,
    session::{
        Change, Header, Kept, Milestone, Times,
        checksum::Log,
        folder::{self, Open},
        record::{FORMAT, write_change, write_upload},
    },
    settings::Settings,
    state::State,
};

fn main() {
    machine();
    // The fewer parts a file has, the more its own tables weigh.
    for parts in [10_000, 1_000, 64, 1] {
        bytes_a_part(parts);
    }
    println!();
    for megabits in [100, 1000] {
        for parts in [64, 1] {
            log_of_a_week(megabits, parts);
        }
    }
    println!();
    syncs();
    println!();
    throughput();
}

fn session(path: &Path) -> Open {
    drop(std::fs::remove_file(path));
    let header = Header {
        format: FORMAT,
        id: "bench".into(),
        owner: "owner".to_owned(),
        destination: "nowhere".into(),
        settings: Settings::default(),
    };
    folder::create_at(path, header).unwrap()
}

/// The size of the parts here.
const PART: u64 = 16 * MIB;

/// What is appended for one file of so many parts from the moment it is queued until it is done: all of
/// its tables, and where among them those of its parts are.
fn tables(id: u32, parts: u32, random: &mut fastrand::Rng) -> (String, Range<usize>) {
    let size = u64::from(parts) * PART;
    let now = Timestamp::now().into();
    let mut text = String::new();
    let queued = Kept {
        id,
        path: format!("/archive/video/event/clip-{id:07}.mov").into(),
        identity: Identity::new(size, 1_700_000_000, 123_456_789, u64::from(id)),
        times: Times {
            queued: now,
            ..Times::default()
        },
        again: false,
        state: State::Queued,
        reason: None,
        account: None,
        progress: None,
        unread: None,
    };
    write_upload(&mut text, &queued);
    let account = AccountId::new("jwplayer", "api.jwplayer.com", 443, "AbCd1234");
    let ticket = Ticket::of(format!("abcd{id:04}"))
        .with("upload", "u".repeat(32))
        .with("token", "t".repeat(180));
    for change in [
        Change::Begun("0123456789abcdefghijklmnop".into(), Some(account)),
        Change::Claimed(Claim {
            object: id.into(),
            epoch: 1,
        }),
        Change::At(Milestone::Begun, now),
        Change::Plan(PartPlan::split(size, PART.try_into().unwrap()).unwrap()),
        Change::Ticket(ticket),
    ] {
        write_change(&mut text, id, &change);
    }
    let before = text.len();
    for part in 1..=parts {
        let md5 = Some(random.u128(..).to_ne_bytes());
        write_change(&mut text, id, &Change::Part(part, md5.into()));
    }
    let of_parts = before..text.len();
    for change in [
        Change::Completed,
        Change::At(Milestone::Done, now),
        Change::Done,
    ] {
        write_change(&mut text, id, &change);
    }
    (text, of_parts)
}

/// How many bytes are appended for a file of so many parts, and for each of its parts.
#[allow(clippy::cast_precision_loss)]
fn bytes_a_part(parts: u32) {
    let mut random = fastrand::Rng::with_seed(1);
    let (all, of_parts) = tables(12_345, parts, &mut random);
    // As they stand in the file: with their checksums, well into a log.
    let mut log = Log::begin().0;
    let _ = log.with_checksums(&"[[log]]\n\n".repeat(100_000));
    let mut appended = |tables: &str| log.with_checksums(tables).len();
    let before = appended(&all[..of_parts.start]);
    let end = of_parts.end;
    let (of_parts, behind) = (appended(&all[of_parts]), appended(&all[end..]));
    let of_part = of_parts as f64 / f64::from(parts);
    let of_file = before + behind;
    let each = (of_file + of_parts) as f64 / f64::from(parts);
    let what =
        format!("files of {parts} parts: bytes a part, a file, a part with its share of that");
    row(&what, format!("{of_part:.0}, {of_file}, {each:.0}"), "");
}

/// The session of a week of sending without an end, which would rewrite it: how long it gets, and how
/// long it takes to open.
#[allow(clippy::cast_precision_loss)]
fn log_of_a_week(megabits: u64, parts: u32) {
    const WEEK: u64 = 7 * 24 * 60 * 60;
    let sent = megabits * 1_000_000 / 8 * WEEK / PART;
    let files = u32::try_from(sent / u64::from(parts)).unwrap();
    let path = scratch().join("week.toml");
    let mut session = session(&path);
    let mut random = fastrand::Rng::with_seed(1);
    for id in 1..=files {
        session.store.append(tables(id, parts, &mut random).0);
        if session.store.is_behind() {
            session.store.barrier().blocking_recv().unwrap();
        }
    }
    drop(session);
    let length = path.metadata().unwrap().len();
    let open = |_| {
        let begun = Instant::now();
        let (_, queue) = Queue::open(&path).unwrap();
        assert_eq!(queue.len(), files as usize);
        begun.elapsed().as_secs_f64()
    };
    let seconds = middle((0..runs()).map(open));
    let what =
        format!("a week at {megabits} Mbit/s, {files} files of {parts} parts: MB, seconds to open");
    row(&what, format!("{:.0}, {seconds}", length as f64 / 1e6), "");
    std::fs::remove_file(&path).unwrap();
}

/// Appends as fast as the store takes it, much of it waited for.
fn syncs() {
    let mut session = session(&scratch().join("syncs.toml"));
    let begun = Instant::now();
    let before = session.store.syncs();
    let mut text = String::new();
    write_change(&mut text, 1, &Change::Part(1, Some([7; 16]).into()));
    let mut appends = 0;
    while begun.elapsed() < Duration::from_secs(5) {
        for _ in 0..1001 {
            session.store.append(text.clone());
        }
        session.store.barrier().blocking_recv().unwrap();
        appends += 1001;
    }
    #[allow(clippy::cast_precision_loss)]
    let each = (session.store.syncs() - before) as f64 / begun.elapsed().as_secs_f64();
    let what = format!("{appends} appends in 5 s: syncs a second");
    row(&what, format!("{each:.1}"), "≤ 10");
}

/// The same file in the smallest parts the vendor takes, with the session file on the disk and in
/// memory, where a sync is nothing.
fn throughput() {
    let file = file(setting("MIB", 1024) * MIB);
    let server = Server::start(&[]);
    let client = Client::of(&server.url);
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let options = ["--parts", "4", "--part-size", "5MiB"];
    let (mut disk, mut none) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        disk.push(run(&mut client.up("jw", &file, &options)).sent);
        let session = memory.path().join("session.toml");
        drop(std::fs::remove_file(&session));
        none.push(run(&mut client.up_in(&session, "jw", &file, &options)).sent);
    }
    row("session on disk: seconds", middle(disk.iter().copied()), "");
    row(
        "session in memory: seconds",
        middle(none.iter().copied()),
        "",
    );
    let ratio = middle(none.iter().zip(&disk).map(|(none, disk)| none / disk));
    row("throughput, on disk of in memory", ratio, "≥ 0.98");
}
