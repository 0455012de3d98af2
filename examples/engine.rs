//! The engine as a library: uploads a folder to the embedded sandbox, without a screen or a command
//! line, and tells what it says.
//!
//! ```sh
//! cargo run --example engine -- FOLDER
//! ```

use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use reelhaul::{
    destination::jwplayer::{JwPlayer, JwPlayerOptions},
    engine::{
        self, Timing,
        clock::Clock,
        protocol::{AddPaths, Command, Phase, Query, Reply, WindowQuery},
        queue::Queue,
    },
    ledger,
    sandbox::{Options, SECRET, SITE, Sandbox},
    secret::Secret,
    session::{Header, folder, record::FORMAT},
    settings::Settings,
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("usage: engine FOLDER")?;
    drop(rustls::crypto::ring::default_provider().install_default());

    // A destination: here the sandbox, which speaks as JW Player does.
    let sandbox =
        Sandbox::start(TcpListener::bind("127.0.0.1:0").await?, Options::default()).await?;
    let options = JwPlayerOptions {
        url: sandbox.url(),
        ..JwPlayerOptions::new(SITE, Secret::new(SECRET))
    };
    let account = Arc::new(JwPlayer::new(options)?);

    // A session: one file, locked as long as it is open.
    let home = tempfile::tempdir()?;
    let settings = "8MiB".parse().map(|part_size| Settings {
        part_size,
        ..Settings::default()
    })?;
    let header = Header {
        format: FORMAT,
        id: "example".into(),
        owner: "owner".to_owned(),
        destination: "sandbox".into(),
        settings,
    };
    let session = folder::create_at(&home.path().join("example.toml"), header)?;

    // The engine owns both. All else is commands, queries, and a summary to watch.
    let of = ledger::Session {
        owner: &session.header.owner,
        name: &session.header.id,
        file: &session.path,
        adopts: false,
    };
    let (handle, ended) = engine::spawn(engine::Parts {
        ledger: ledger::open(&home.path().join(ledger::FILE), of, &*account)?,
        session,
        queue: Queue::default(),
        account,
        timing: Timing {
            poll_first: Duration::from_millis(300),
            ..Timing::default()
        },
        events: None,
        no_wait: false,
        is_deep: false,
        clock: Clock::default(),
        open_files: reelhaul::engine::OpenFiles::default(),
    });
    let add = AddPaths {
        paths: vec![path],
        ..AddPaths::default()
    };
    println!("{}", handle.command(Command::Add(add)).await?.words);
    let mut summary = handle.summary();
    loop {
        summary.changed().await?;
        let now = summary.borrow_and_update().clone();
        let (bytes, parts) = (now.bytes, now.parts_running);
        println!(
            "{} of {} bytes, {parts} parts in flight",
            bytes.acknowledged, bytes.total
        );
        if now.phase == Phase::Settled && now.walk.is_none() {
            break;
        }
    }
    let query = Query::Window(WindowQuery {
        rows: 100,
        ..WindowQuery::default()
    });
    if let Reply::Window(window) = handle.query(query).await? {
        for row in window.uploads() {
            println!("{}: {}", reelhaul::path::shown(&row.path), row.state.word());
        }
    }
    handle.command(Command::Stop).await?;
    ended.await?;
    sandbox.stop().await;
    Ok(())
}
