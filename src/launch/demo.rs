//! `demo`: a session of its own against the embedded sandbox, on files made for it.

use std::time::Duration;

use super::{
    Stopped, destinations, load,
    run::{LedgerAt, Work, run},
    screen::Shown,
    told::say,
    upload::create,
};
use crate::{
    cli::{self, Global},
    demo,
    engine::{
        protocol::{AddPaths, Command},
        queue::Queue,
    },
    ledger,
    sandbox::{self, Storage},
    settings::{Concurrency, PartSize, Settings},
};

/// `reelhaul demo`.
pub(super) async fn demo(global: &Global, asked: cli::Demo) -> Result<u8, Stopped> {
    let screen = Shown {
        lasting: false,
        ..Shown::start(asked.screen, global)?
    };
    let config = load(global)?;
    let failed = |error| Stopped::left(format!("the demo's files can't be written: {error}"));
    say("writing a small media tree …");
    let (seed, shrink) = (2026, asked.shrink);
    let tree = tokio::task::spawn_blocking(move || demo::temporary_tree(seed, shrink)).await;
    let tree = tree.map_err(Stopped::left)?.map_err(failed)?;
    let received = tempfile::tempdir().map_err(failed)?;
    let sessions = tempfile::tempdir().map_err(failed)?;
    let watched = !screen.is_headless();
    let faults = demo::FAULTS
        .iter()
        .map(|(kind, rate)| Ok((kind.parse()?, *rate)))
        .collect::<Result<_, sandbox::BadFault>>()
        .map_err(Stopped::left)?;
    let options = sandbox::Options {
        storage: Storage::Keep(received.path().to_owned()),
        speed: watched.then_some(demo::LINE),
        faults,
        processing: Duration::from_secs(2),
        ..sandbox::Options::default()
    };
    let chosen = destinations::embedded(options, 0).await?;
    let part_size = demo::PART_SIZE
        .try_into()
        .map_or(PartSize::Auto, PartSize::Fixed);
    // A number that stays, so that a person sees what a key does to it.
    let settings = asked.tuning.over(Settings {
        part_size,
        parts_in_flight: Concurrency::Fixed(4),
        ..Settings::default()
    });
    let session = create("demo", settings, Some(&sessions.path().join("demo.toml")))?;
    let add = AddPaths {
        paths: vec![tree.path().to_owned()],
        ..AddPaths::default()
    };
    let work = Work {
        session,
        queue: Queue::default(),
        ledger: LedgerAt {
            file: sessions.path().join(ledger::FILE),
            older: None,
            adopts: false,
        },
        no_wait: false,
        is_deep: false,
        commands: vec![Command::Add(add)],
        unnamed: false,
    };
    run((global, &config), chosen, work, screen, None).await
}
