//! How many API calls an upload costs: no more than the protocol needs, and the rest waits for its
//! turn before the destination has to say no.

use std::{num::NonZeroU64, os::unix::fs::FileExt as _, path::Path, sync::Arc, time::Duration};

use crate::support::{MIB, an_hour_ago, engine::ledger};
use reelhaul::{
    destination::{
        Account,
        jwplayer::{JwPlayer, JwPlayerOptions},
    },
    engine::{
        self, Handle, Timing,
        clock::Clock,
        protocol::{AddPaths, Command, LimitedBy, Phase, State, Summary},
        queue::Queue,
    },
    sandbox::{Options, SECRET, SITE, Sandbox},
    secret::Secret,
    session::{Header, folder, record::FORMAT},
    settings::{PartSize, Settings},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

/// How long the destination is given at first before it is asked what became of a file.
const POLL: Duration = Duration::from_millis(300);

/// Files on their way to a sandbox.
struct Run {
    sandbox: Sandbox,
    handle: Handle,
    summary: watch::Receiver<Summary>,
    _folder: TempDir,
}

impl Run {
    /// Begins to send files of these sizes, in parts of 5 MiB, with so many calls a minute.
    async fn begin(sizes: &[u64], calls: u32, options: Options) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = Options {
            calls_per_minute: Some(calls),
            ..options
        };
        let sandbox = Sandbox::start(listener, options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        for (number, size) in sizes.iter().enumerate() {
            let file = std::fs::File::create(tree.join(format!("clip-{number:03}.mp4"))).unwrap();
            file.set_len(*size).unwrap();
            file.write_all_at(&number.to_le_bytes(), 0).unwrap();
            file.set_modified(an_hour_ago()).unwrap();
        }
        let destination = JwPlayer::new(JwPlayerOptions {
            url: sandbox.url(),
            calls_per_minute: calls,
            ..JwPlayerOptions::new(SITE, Secret::new(SECRET))
        });
        let handle = engine(folder.path(), Arc::new(destination.unwrap()));
        let add = AddPaths {
            paths: vec![tree],
            ..AddPaths::default()
        };
        let summary = handle.summary();
        handle.command(Command::Add(add)).await.unwrap();
        Self {
            sandbox,
            handle,
            summary,
            _folder: folder,
        }
    }

    async fn until(&mut self, reached: impl Fn(&Summary) -> bool) -> Summary {
        let reached = self.summary.wait_for(|summary| reached(summary));
        let within = tokio::time::timeout(Duration::from_mins(2), reached);
        within
            .await
            .expect("it takes far too long")
            .unwrap()
            .clone()
    }

    /// What the sandbox received.
    async fn report(&self) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/_sandbox/report", self.sandbox.url());
        client.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// Waits until so many files are done, and tells what the sandbox was asked.
    async fn done(mut self, files: usize) -> Value {
        let summary = self
            .until(|summary| summary.counts.of(State::Done) == files)
            .await;
        assert_eq!(summary.errors, 0);
        let report = self.report().await;
        self.handle.command(Command::StopNow).await.unwrap();
        self.until(|summary| summary.phase == Phase::Stopped).await;
        report
    }
}

fn engine(folder: &Path, account: Arc<dyn Account>) -> Handle {
    let header = Header {
        format: FORMAT,
        id: "budget".into(),
        owner: "owner".to_owned(),
        destination: "sandbox".into(),
        settings: Settings {
            part_size: PartSize::Fixed(NonZeroU64::new(5 * MIB).unwrap()),
            ..Settings::default()
        },
    };
    let session = folder::create_at(&folder.join("session.toml"), header).unwrap();
    let parts = engine::Parts {
        ledger: ledger(&session, &*account),
        session,
        queue: Queue::default(),
        account,
        timing: Timing {
            poll_first: POLL,
            ..Timing::default()
        },
        events: None,
        no_wait: false,
        is_deep: false,
        clock: Clock::default(),
        open_files: reelhaul::engine::OpenFiles::default(),
    };
    engine::spawn(parts).0
}

fn calls(report: &Value, step: &str) -> u64 {
    report["requests"]["jwplayer"][step].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_forty_parts_costs_a_create_two_lists_and_a_complete() {
    let options = Options {
        processing: Duration::ZERO,
        ..Options::default()
    };
    let report = Run::begin(&[40 * 5 * MIB], 60, options).await.done(1).await;
    let asked = ["create", "list", "part", "complete", "status", "find"];
    assert_eq!(asked.map(|step| calls(&report, step)), [1, 2, 40, 1, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_cost_a_create_each_and_share_their_status_calls() {
    let options = Options {
        processing: POLL * 3,
        ..Options::default()
    };
    let report = Run::begin(&[MIB; 40], 60, options).await.done(40).await;
    assert_eq!((calls(&report, "create"), calls(&report, "part")), (40, 40));
    let polls = calls(&report, "status") + calls(&report, "find");
    assert!(polls <= 6, "{polls} calls to ask what became of 40 files");
    assert_eq!((calls(&report, "list"), calls(&report, "complete")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_files_than_the_budget_wait_for_it_say_so_and_meet_no_429() {
    let options = Options {
        processing: Duration::ZERO,
        ..Options::default()
    };
    let mut run = Run::begin(&[MIB; 20], 8, options).await;
    let held = |summary: &Summary| matches!(summary.limited_by, LimitedBy::CallBudget { .. });
    let summary = run.until(held).await;
    let LimitedBy::CallBudget { budget, .. } = summary.limited_by else {
        unreachable!()
    };
    assert_eq!(budget, "8 API calls a minute");
    assert_eq!(summary.errors, 0, "a refused call is an error");
    let report = run.report().await;
    let asked = ["create", "list", "complete", "status", "find"].map(|step| calls(&report, step));
    assert_eq!(asked.iter().sum::<u64>(), 8, "{report}");
}
