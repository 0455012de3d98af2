//! What a ledger of a million names costs: on disk, in memory, to load, to ask by a scan, and to write
//! with eight uploads under way. The ledger is used as a library.
//!
//! `REELHAUL_BENCH_NAMES` (1000000), `REELHAUL_BENCH_UPLOADS` (4000), `REELHAUL_BENCH_RUNS` (5).
#![allow(clippy::unwrap_used)] // a panic ends a benchmark, and well

mod common;

use std::{
    hint::black_box,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use common::{machine, memory_of, mib, middle, row, runs, scratch, setting};
use jiff::Timestamp;
use reelhaul::{
    destination::Ticket,
    identity::{FileStat, Identity},
    ids::AccountId,
    ledger::{
        Claimed, Digest, File, Ledger, Request, Write,
        owner::Owner,
        samples::Samples,
        sqlite::{Machine, Options, Sqlite},
    },
    plan::PartPlan,
};
use rusqlite::{Connection, params};

/// The size of the parts of all files.
const PART: u64 = 64 << 20;

/// How many files a scan asks for at once.
const BATCH: usize = 1_000;

fn main() {
    machine();
    let names = setting("NAMES", 1_000_000);
    let path = filled(names);
    on_disk(&path, names);
    asked(&path, names);
    written(&path);
}

/// A film of an archive, with the look of such paths, sizes and times.
fn film(number: u64) -> File {
    let (year, event) = (1990 + number / 40_000, number / 50 % 800);
    let path = format!("/archive/video/{year}/event-{event:03}/camera-a/clip-{number:07}.mov");
    let seconds = 1_700_000_000 + i64::try_from(number).unwrap();
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    hash[8..].copy_from_slice(&number.to_be_bytes());
    File {
        path: path.into(),
        stat: FileStat {
            identity: Identity::new(
                100_000_000 + number * 7_919_777 % 20_000_000_000,
                seconds,
                123_456_789,
                number + 10_000_000,
            )
            .on(0xEF53_0000_1234),
            changed: Some(Timestamp::new(seconds + 5_000_000, 987_654_321).unwrap()),
        },
        samples: Samples {
            hash,
            weak: false,
            whole: false,
        },
    }
}

fn plan(file: &File) -> PartPlan {
    PartPlan::split(file.stat.identity.size, NonZeroU64::new(PART).unwrap()).unwrap()
}

fn digest(file: &File) -> Digest {
    Digest::of(&vec![file.samples.hash; plan(file).count() as usize])
}

fn open(path: &Path) -> Sqlite {
    let owners = scratch().join("owners");
    Sqlite::open(Options {
        file: Some(path.to_owned()),
        owner: Owner::take(&owners, "bench").unwrap(),
        owners,
        session: ("bench".into(), "/sessions/bench.toml".into()),
        account: AccountId::new("jwplayer", "api.jwplayer.com", 443, "AbCd1234"),
        ticket_key: Some([7; 32]),
        machine: Machine::default(),
        now: || 1_764_000_000,
    })
    .unwrap()
}

/// A ledger that has so many accepted objects, of one name each: as [`written`] leaves them, but all in
/// one commit.
fn filled(names: u64) -> PathBuf {
    let path = scratch().join(format!("ledger-{names}.db"));
    drop(std::fs::remove_file(&path));
    drop(open(&path));
    let mut connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("PRAGMA synchronous = OFF")
        .unwrap();
    let all = connection.transaction().unwrap();
    all.execute(
        "INSERT INTO file_system VALUES (1, ?1)",
        [0xEF53_0000_1234_i64],
    )
    .unwrap();
    {
        let mut object = all
            .prepare("INSERT INTO accepted VALUES (?1, 1, '', ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8)")
            .unwrap();
        let mut name = all
            .prepare("INSERT INTO name VALUES (?1, 0, ?2, ?3, ?4, ?5, 1, ?6)")
            .unwrap();
        let mut folder = (0, PathBuf::new());
        for number in 1..=names {
            let file = film(number);
            let above = file.path.parent().unwrap();
            if folder.1 != above {
                folder = (folder.0 + 1, above.to_owned());
                let above = above.to_str().unwrap().as_bytes();
                // Folders come again, as years do.
                let known =
                    all.query_row("SELECT id FROM folder WHERE path = ?1", [above], |row| {
                        row.get::<_, i64>(0)
                    });
                folder.0 = known.unwrap_or_else(|_| {
                    all.execute("INSERT INTO folder (path) VALUES (?1)", [above])
                        .unwrap();
                    all.last_insert_rowid()
                });
            }
            let identity = file.stat.identity;
            let digest = digest(&file);
            let digest = [&digest.whole[..], &digest.bytes].concat();
            let number = number.cast_signed();
            object
                .execute(params![
                    number,
                    identity.size.cast_signed(),
                    file.samples.to_bytes(),
                    number.wrapping_mul(2_654_435_761) % 0x7FFF_FFFF,
                    PART.cast_signed(),
                    format!("{number:08}"),
                    digest,
                    1_764_000_000 + number,
                ])
                .unwrap();
            let nanoseconds = |time: Timestamp| i64::try_from(time.as_nanosecond()).unwrap();
            name.execute(params![
                number,
                folder.0,
                file.path.file_name().unwrap().to_str().unwrap().as_bytes(),
                nanoseconds(identity.modified),
                nanoseconds(file.stat.changed.unwrap()),
                identity.inode.cast_signed(),
            ])
            .unwrap();
        }
    }
    all.execute(
        "INSERT OR REPLACE INTO sqlite_sequence (name, seq) VALUES ('started', ?1)",
        [names.cast_signed()],
    )
    .unwrap();
    all.commit().unwrap();
    path
}

/// How many bytes a name with its object takes on disk, and one more name of the same object.
fn on_disk(path: &Path, names: u64) {
    #[allow(clippy::cast_precision_loss)]
    let each = |bytes: u64| format!("{:.1}", bytes as f64 / names as f64);
    let length = path.metadata().unwrap().len();
    row(
        &format!("a ledger of {names} names: bytes on disk a name"),
        each(length),
        "≤ 100",
    );
    let names_alone = Connection::open(path).unwrap().query_row(
        "SELECT sum(pgsize) FROM dbstat WHERE name = 'name'",
        (),
        |row| row.get::<_, i64>(0),
    );
    row(
        "  of that the name alone, as for one more of an object",
        each(names_alone.unwrap().cast_unsigned()),
        "",
    );
}

/// What a scan asks, and what that is answered from.
fn asked(path: &Path, names: u64) {
    let me = std::process::id();
    let ledger = open(path);
    let known: Vec<File> = (1..=names).map(film).collect();
    let mut unknown = known.clone();
    for file in &mut unknown {
        file.stat.changed = Some(Timestamp::UNIX_EPOCH);
    }
    let before = memory_of(me, "VmRSS:");
    let begun = Instant::now();
    ledger
        .known(&[(Path::new("/none"), known[0].stat)])
        .unwrap();
    row(
        &format!("load the names of a ledger of {names}: seconds"),
        format!("{:.2}", begun.elapsed().as_secs_f64()),
        "",
    );
    let held = memory_of(me, "VmRSS:").saturating_sub(before);
    row("  memory: MiB", format!("{:.1}", mib(held)), "≤ 64");
    let ask = |files: &[File], wanted: bool| {
        let begun = Instant::now();
        for files in files.chunks(BATCH) {
            let asked: Vec<(&Path, FileStat)> =
                files.iter().map(|file| (&*file.path, file.stat)).collect();
            let answers = ledger.known(&asked).unwrap();
            assert!(answers.iter().all(|answer| answer.is_some() == wanted));
            black_box(answers);
        }
        #[allow(clippy::cast_precision_loss)]
        let each = begun.elapsed().as_secs_f64() * 1e6 / names as f64;
        each
    };
    let misses = middle((0..runs()).map(|_| ask(&unknown, false)));
    row("ask for files that are not known: µs a file", misses, "≤ 5");
    let hits = middle((0..runs()).map(|_| ask(&known, true)));
    row("ask for files that are known: µs a file", hits, "≤ 5");
    let mut shuffled = known;
    fastrand::Rng::with_seed(1).shuffle(&mut shuffled);
    let hits = middle((0..runs()).map(|_| ask(&shuffled, true)));
    row("the same in any order: µs a file", hits, "≤ 5");
}

/// Whole lives of uploads, eight at once, each of which goes on at once with what comes next.
fn written(path: &Path) {
    let uploads = setting("UPLOADS", 4_000);
    let first = 100_000_000;
    let before = commits(path);
    let ledger: Arc<dyn Ledger> = Arc::new(open(path));
    let next = Arc::new(AtomicU64::new(first));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let size = path.metadata().unwrap().len();
    let begun = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (ledger, next) = (Arc::clone(&ledger), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= first + uploads {
                            return;
                        }
                        upload(&*ledger, number).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    drop(ledger);
    let commits = commits(path) - before;
    #[allow(clippy::cast_precision_loss)]
    let of = |number: u64| number as f64 / uploads as f64;
    row(
        &format!("{uploads} uploads, 8 at once, four writes each: commits an upload"),
        format!("{:.2}", of(commits)),
        "≤ 2",
    );
    row(
        "  uploads a second",
        format!("{:.0}", 1.0 / (seconds * of(1))),
        "",
    );
    let grown = path.metadata().unwrap().len() - size;
    row(
        "  bytes on disk a name",
        format!("{:.1}", of(grown)),
        "≤ 100",
    );
}

async fn upload(ledger: &dyn Ledger, number: u64) {
    let file = film(number);
    let media = format!("{number:08x}");
    let request = Request {
        marker: format!("rhabcdefgh{number:016}"),
        plan: plan(&file),
        before: None,
        started: None,
        again: false,
        is_deep: false,
        compared: Vec::new(),
        file: file.clone(),
    };
    let Claimed::Granted {
        claim,
        in_use: _in_use,
        ..
    } = ledger.claim(request).await.unwrap()
    else {
        panic!("{number} is not granted");
    };
    let token = "t".repeat(600);
    let ticket = Ticket::of(media.as_str()).with("token", token);
    for write in [
        Write::Ticket(ticket),
        Write::Complete {
            media: media.as_str().into(),
            digest: Some(digest(&file)),
        },
        Write::Accepted(media.as_str().into()),
    ] {
        assert!(ledger.write(claim, write).await.unwrap());
    }
}

/// How many commits a ledger saw that nobody has open, by the counter in its head.
fn commits(path: &Path) -> u64 {
    use std::io::Read as _;
    let mut head = [0; 28];
    let mut file = std::fs::File::open(path).unwrap();
    file.read_exact(&mut head).unwrap();
    u32::from_be_bytes(head[24..].try_into().unwrap()).into()
}
