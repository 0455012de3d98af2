//! `reelhaul ledger`: what is known to be uploaded, over all sessions, seen and changed by a person.

mod forget;
mod import;
mod list;
mod rebuild;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    Stopped,
    destinations::{self, Chosen},
    same_account,
};
use crate::{
    cli::{self, Global},
    config::Config,
    error::clean,
    format,
    ids::AccountId,
    ledger::{
        self, ObjectState,
        sqlite::{
            Sqlite,
            catalog::{Entry, Filter},
        },
    },
    path::{encode, shown},
    session::folder::new_owner,
    settings::Offline,
};

/// Does what the command line says.
pub(super) async fn run(global: &Global, asked: cli::Ledger) -> Result<u8, Stopped> {
    match asked {
        cli::Ledger::List(asked) => list::list(global, asked).await,
        cli::Ledger::Forget(asked) => forget::forget(global, asked).await,
        cli::Ledger::Import(asked) => import::import(global, asked).await,
        cli::Ledger::Rebuild(asked) => rebuild::rebuild(global, asked).await,
    }
}

/// Which uploads are meant by these paths, which need not be there, and this destination.
async fn filter(
    config: &Config,
    paths: Vec<PathBuf>,
    to: Option<String>,
) -> Result<Filter, Stopped> {
    let account = match to {
        None => None,
        Some(name) => Some(destinations::account(config, &name).await?),
    };
    // As `up` names them.
    let paths = paths.into_iter().map(std::path::absolute).collect();
    let paths: std::io::Result<Vec<PathBuf>> = paths;
    let paths = paths.map_err(Stopped::usage)?;
    Ok(Filter { paths, account })
}

/// Runs what blocks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Stopped> + Send + 'static,
) -> Result<T, Stopped> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(Stopped::left)?
}

/// An entry of the ledger, as JSON has it.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(with = "crate::path::text")]
    path: PathBuf,
    /// The path that its object was uploaded from, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    same_as: Option<String>,
    account: AccountId,
    media: Option<String>,
    state: &'static str,
    /// The session that uploads it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// When it came so far.
    at: Option<Timestamp>,
}

/// The same, with what happened to it.
#[derive(Debug, Serialize)]
struct Happened {
    event: &'static str,
    #[serde(flatten)]
    listed: Listed,
    /// Another path that its object has still.
    #[serde(skip_serializing_if = "Option::is_none")]
    also_at: Option<String>,
}

/// What happened to an entry, as a line of JSON.
fn event(event: &'static str, entry: Entry, also_at: Option<&Path>) -> String {
    let happened = Happened {
        event,
        listed: entry.into(),
        also_at: also_at.map(encode),
    };
    serde_json::to_string(&happened).unwrap_or_default()
}

impl From<Entry> for Listed {
    fn from(entry: Entry) -> Self {
        let state = match (entry.state, &entry.session) {
            (ObjectState::Open, Some(_)) => "uploading",
            (ObjectState::Open, None) => "unfinished",
            (ObjectState::Complete, _) => "processing",
            (ObjectState::Accepted, _) => "done",
            // The catalog has none of these.
            (ObjectState::Failed | ObjectState::Discarded, _) => "failed",
        };
        let at = Some(entry.at).filter(|at| *at > 0);
        Self {
            path: entry.path,
            same_as: entry.same_as.as_deref().map(encode),
            account: entry.account,
            media: entry.media.map(|media| media.as_str().to_owned()),
            state,
            session: entry.session,
            at: at.and_then(|at| Timestamp::from_second(at).ok()),
        }
    }
}

/// How far an entry is, where and as what: `uploaded 2026-11-23 as AbCd1234 to JW Player site S`.
fn in_words(entry: &Entry) -> String {
    let media = entry.media.as_ref();
    let as_media = media.map_or_else(String::new, |media| {
        format!(" as {}", clean(media.as_str()))
    });
    let state = match (entry.state, &entry.session) {
        (ObjectState::Accepted, _) => {
            let day = format::day(entry.at);
            format!("uploaded{day}{as_media}")
        }
        (ObjectState::Complete, _) => format!("processing{as_media}"),
        (_, Some(session)) => format!("session {} uploads it{as_media}", clean(session)),
        (_, None) => format!("unfinished{as_media}"),
    };
    let same = entry.same_as.as_ref().map_or_else(String::new, |path| {
        format!(", same bytes as {}", shown(path))
    });
    format!("{state} to {}{same}", clean(&entry.account.in_words()))
}

/// Opens the ledger for a command that takes sessions in, which is a session of its own meanwhile.
async fn open(file: &Path, chosen: &Chosen) -> Result<Arc<Sqlite>, Stopped> {
    let owner = new_owner(&mut fastrand::Rng::new());
    let session = ledger::Session {
        owner: &owner,
        name: "reelhaul ledger",
        file: Path::new(""),
        adopts: false,
    };
    same_account::open_ledger(file, session, &*chosen.account, Offline::Fail).await
}
