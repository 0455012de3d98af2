//! An account of your own, and an engine that uploads to it: parts go one after another by their
//! offset, and the media object gets its id at the end, as with tus.
//!
//! ```sh
//! cargo run --example ordered -- http://127.0.0.1:8080 archive.toml FOLDER
//! ```
//!
//! The server's side, which is small enough to write down:
//!
//! | request | answer |
//! |---|---|
//! | `POST /uploads?marker=M&name=N&size=S` | 201, `Location: /uploads/KEY` |
//! | `GET /uploads?marker=M` | 200, `Location` of what was created with this marker; 404 |
//! | `HEAD /uploads/KEY` | 200, `Upload-Offset: N`, and `Media-Id: ID` once complete; 404 |
//! | `PATCH /uploads/KEY`, `Upload-Offset: N`, bytes | 204 and as `HEAD`; 409: not its offset; 404 |
//! | `DELETE /uploads/KEY` | 204; 404 |
//! | `GET /media/ID` | 200 once it can be played; 404 |

mod account;

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use account::Resumable;
use reelhaul::{
    destination::{Limits, Ticket},
    engine::{
        self, Timing,
        clock::Clock,
        protocol::{AddPaths, Command, Event, Phase},
        queue::Queue,
    },
    ids::AccountId,
    ledger,
    session::{Header, folder, record::FORMAT},
    settings::Settings,
};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut args = env::args_os().skip(1);
    let usage = "usage: ordered URL SESSION [PATH]…";
    let (url, file) = args.next().zip(args.next()).ok_or(usage)?;
    let url = url.into_string().map_err(|_| usage)?;
    let url = url.trim_end_matches('/').to_owned();
    let parsed = url::Url::parse(&url).map_err(|error| format!("{url}: {error}"))?;
    let host = parsed.host_str().ok_or("the URL has no host")?;
    let port = parsed.port_or_known_default().unwrap_or_default();
    let paths: Vec<PathBuf> = args.map(Into::into).collect();
    if let Some(missing) = paths.iter().find(|path| !path.exists()) {
        return Err(format!("{}: not there", reelhaul::path::shown(missing)).into());
    }
    let account = Resumable {
        http: reqwest::Client::builder().no_proxy().build()?,
        id: AccountId::new("resumable", host, port, parsed.path()),
        limits: Limits {
            part_min: 1,
            part_max: 1 << 30,
            part_default: 4 << 20,
            parts_max: 100_000,
            file_max: 1 << 46,
            multiple_of: 1,
            uniform: false,
            ordered: true,
            first_alone: false,
            can_replan: true,
            parts_per_minute: None,
        },
        ticket: Ticket::default(),
        url,
    };

    // A session that is there is resumed.
    let (file, mut queue) = (Path::new(&file), Queue::default());
    let session = if file.exists() {
        folder::open(file, |record| queue.restore(record))?
    } else {
        let header = Header {
            format: FORMAT,
            id: "ordered".into(),
            owner: "owner".to_owned(),
            destination: "resumable".into(),
            settings: Settings::default(),
        };
        folder::create_at(file, header)?
    };
    queue.restored();

    let (sender, mut events) = mpsc::unbounded_channel();
    let of = ledger::Session {
        owner: &session.header.owner,
        name: &session.header.id,
        file: &session.path,
        adopts: false,
    };
    let (handle, ended) = engine::spawn(engine::Parts {
        ledger: ledger::open(&session.path.with_file_name(ledger::FILE), of, &account)?,
        session,
        queue,
        account: Arc::new(account),
        timing: Timing::default(),
        events: Some(sender),
        no_wait: false,
        is_deep: false,
        clock: Clock::default(),
        open_files: reelhaul::engine::OpenFiles::default(),
    });
    let add = AddPaths {
        paths,
        ..AddPaths::default()
    };
    if !add.paths.is_empty() {
        let added = handle.command(Command::Add(add)).await?;
        println!("{}", added.words);
    }
    let shown = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                Event::Done { path, media, .. } => {
                    println!("{}: {media}", reelhaul::path::shown(&path));
                }
                Event::Failed { path, message, .. } => {
                    eprintln!("{}: {message}", reelhaul::path::shown(&path));
                }
                _ => {}
            }
        }
    });
    let mut summary = handle.summary();
    let settled = summary.wait_for(|now| now.phase == Phase::Settled).await?;
    let all_is_uploaded = settled.left() == 0;
    drop(settled);
    handle.command(Command::Stop).await?;
    ended.await?;
    shown.await?;
    Ok(ExitCode::from(u8::from(!all_is_uploaded)))
}
