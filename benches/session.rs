//! What the session file costs: bytes written for each part that is finished, snapshots and all;
//! syncs a second under any load; and what the file takes from the throughput.
//!
//! `REELHAUL_BENCH_MIB` (1024) to send for the throughput, `REELHAUL_BENCH_RUNS` (5).
#![allow(clippy::unwrap_used)] // a panic ends a benchmark, and well

mod common;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use common::{Client, MIB, Server, file, machine, middle, row, run, runs, scratch, setting};
use reelhaul::{
    destination::Ticket,
    engine::queue::Queue,
    identity::Identity,
    ids::AccountId,
    plan::PartPlan,
    session::{
        Change, Header,
        folder::{self, Open},
        record::{FORMAT, write_change, write_header, write_upload},
    },
    settings::Settings,
};

fn main() {
    machine();
    // The fewer parts a file has, the more its own tables weigh; the longer the queue, the more a
    // snapshot does, and the rarer it is.
    for (files, parts, queued) in [
        (20, 10_000, 0),
        (20, 10_000, 100_000),
        (100, 1_000, 0),
        (2_000, 40, 0),
    ] {
        bytes_a_part(files, parts, queued);
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
        destination: "nowhere".into(),
        settings: Settings::default(),
    };
    folder::create_at(path, header).unwrap()
}

/// Sends files in memory alone, and counts what goes to disk for it: all that is appended, and every
/// snapshot.
fn bytes_a_part(files: u32, parts: u32, queued: u32) {
    let path = scratch().join("bytes.toml");
    let mut session = session(&path);
    let mut queue = Queue::default();
    let mut begin = String::new();
    let size = u64::from(parts) * 16 * MIB;
    for number in 0..files + queued {
        let path = format!("/archive/video/event/clip-{number:07}.mov");
        let identity = Identity::new(size, 1_700_000_000, 123_456_789, u64::from(number) + 1);
        write_upload(&mut begin, &queue.add(path.into(), identity).unwrap());
    }
    let begin = session.store.append_durable(begin);
    begin.blocking_recv().unwrap();
    drop(session);
    // As when it is gone on with: what is there counts as the snapshot.
    let mut session = folder::open(&path, |_| Ok(())).unwrap();

    let (mut appended, mut snapshots, mut count) = (0, 0, 0);
    let mut random = fastrand::Rng::with_seed(1);
    let ticket = |id: u32| {
        Ticket::of(format!("abcd{id:04}"))
            .with("upload", "u".repeat(32))
            .with("token", "t".repeat(180))
    };
    let account = AccountId::new("jwplayer", "api.jwplayer.com", 443, "AbCd1234");
    for id in 1..=files {
        let plan = PartPlan::split(size, (16 * MIB).try_into().unwrap()).unwrap();
        let before = [
            Change::Begun("0123456789abcdefghijklmnop".into(), Some(account.clone())),
            Change::Plan(plan),
            Change::Ticket(ticket(id)),
        ];
        let md5 = |random: &mut fastrand::Rng| Some(random.u128(..).to_ne_bytes());
        let each = (1..=parts).map(|part| Change::Part(part, md5(&mut random).into()));
        for change in before
            .into_iter()
            .chain(each)
            .chain([Change::Completed, Change::Done])
        {
            queue.apply(id, &change);
            let mut text = String::new();
            write_change(&mut text, id, &change);
            appended += text.len() as u64;
            session.store.append(text);
            if session.store.should_compact() {
                let mut whole = write_header(&session.header);
                queue
                    .kept()
                    .for_each(|kept| write_upload(&mut whole, &kept));
                session.store.begin_snapshot();
                session.store.snapshot_piece(whole);
                let placed = session.store.place_snapshot(String::new());
                placed.blocking_recv().unwrap().unwrap();
                snapshots += path.metadata().unwrap().len();
                count += 1;
            }
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let each = (appended + snapshots) as f64 / f64::from(files * parts);
    let what = format!("{files} files of {parts} parts, {queued} more queued: bytes a part");
    row(&what, format!("{each:.0} ({count} snapshots)"), "≤ 200");
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
        for _ in 0..1000 {
            session.store.append(text.clone());
        }
        session
            .store
            .append_durable(text.clone())
            .blocking_recv()
            .unwrap();
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
