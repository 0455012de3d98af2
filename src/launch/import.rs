//! What saved sessions made, taken into the ledger where it is not there: those of an older program, and
//! all of them where the ledger was lost.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    destinations::Chosen,
    same_account::{Has, NEWEST, has_one},
    sessions,
};
use crate::{
    engine::queue::Queue,
    error::{Error, Kind, Result},
    ids::{AccountId, MediaId},
    ledger::{
        import::{Import, Made, SessionFile, Upload},
        sqlite::Sqlite,
    },
    session::{Kept, lock},
    state::State,
};

/// Takes in what these sessions made at the account, where the ledger lacks it. One that can't be read,
/// or of which nothing shows that it was at this account, is passed over with a warning: its files are
/// uploaded once more.
///
/// # Errors
/// [`crate::error::Kind::Storage`] when the ledger can't be read or written.
pub(super) async fn sessions(
    ledger: &Arc<Sqlite>,
    files: Vec<PathBuf>,
    chosen: &Chosen,
) -> Result<()> {
    let files = files.iter().filter_map(|path| stat(path)).collect();
    let asked = Arc::clone(ledger);
    for file in blocking(move || asked.not_imported(files)).await?? {
        session(ledger, file, chosen).await?;
    }
    Ok(())
}

/// A session's file by its one name, as `stat` says it is.
fn stat(path: &Path) -> Option<SessionFile> {
    let path = path.canonicalize().ok()?;
    let found = path.metadata().ok()?;
    Some(SessionFile {
        path,
        size: found.len(),
        modified: found.modified().ok()?.try_into().ok()?,
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::new(Kind::Storage, format!("a session can't be read: {error}")))
}

/// What a session's file says.
struct Read {
    name: String,
    owner: String,
    destination: String,
    /// Whether a process has it open, so that more may follow.
    runs: bool,
    /// The uploads that made something.
    uploads: Vec<Kept>,
}

async fn session(ledger: &Arc<Sqlite>, file: SessionFile, chosen: &Chosen) -> Result<()> {
    let (path, asked) = (file.path.clone(), Arc::clone(ledger));
    let read = blocking(move || read(&path, &asked)).await??;
    let Some(read) = read else { return Ok(()) };
    let asked = Arc::clone(ledger);
    let ours = blocking(move || asked.account_ids()).await??;
    let found = of_account(read.uploads, &read.name, &read.destination, &ours, chosen);
    let Some(found) = found.await else {
        return Ok(());
    };
    let count = found.len();
    let name = read.name.clone();
    let import = Import {
        file,
        name: read.name,
        owner: read.owner,
        is_final: !read.runs,
        uploads: found,
    };
    let into = Arc::clone(ledger);
    let taken = blocking(move || into.import(import)).await??;
    if taken > 0 {
        tracing::info!("{taken} of {count} uploads of the session {name} are new to the ledger");
    }
    Ok(())
}

/// Reads a session; `None` where that is not needed, or fails.
fn read(path: &Path, ledger: &Sqlite) -> Result<Option<Read>> {
    // Before it is read: what a process writes after that is read the next time.
    let runs = lock::holder(path).is_some();
    let header = match crate::session::read::read_head(path) {
        Ok(header) => header,
        Err(error) => return Ok(passed_over(&error.to_string())),
    };
    if !header.owner.is_empty() && ledger.writes_here(&header.owner)? {
        return Ok(None);
    }
    let (opened, queue) = match sessions::glance(path) {
        Ok(read) => read,
        Err(stopped) => return Ok(passed_over(&stopped.words)),
    };
    let header = opened.header;
    Ok(Some(Read {
        name: sessions::name(&header.id, path),
        owner: header.owner,
        destination: header.destination,
        runs,
        uploads: made(&queue).collect(),
    }))
}

fn passed_over(words: &str) -> Option<Read> {
    tracing::warn!("{words}. What this session uploaded is not known, and may be uploaded again");
    None
}

/// The uploads that made something.
pub(super) fn made(queue: &Queue) -> impl Iterator<Item = Kept> + '_ {
    let kept = queue.kept();
    kept.filter(|kept| kept.unread.is_none() && kept.progress.is_some())
}

/// What of these uploads was made at the account. `None`: that could not be asked, and is asked the next
/// time.
async fn of_account(
    uploads: Vec<Kept>,
    name: &str,
    destination: &str,
    ours: &[AccountId],
    chosen: &Chosen,
) -> Option<Vec<Upload>> {
    let account = &chosen.account;
    // Neither a session of the first edition nor one from before a new key says that it was here.
    let is_unsaid = |kept: &Kept| match &kept.account {
        None => destination == chosen.name,
        Some(said) => {
            let may_be = account.has_id_of_its_key() && said.host() == account.id().host();
            may_be && !ours.contains(said)
        }
    };
    let newest_first = uploads.iter().rev().filter(|kept| is_unsaid(kept));
    let unsaid: Vec<MediaId> = newest_first.filter_map(media).take(NEWEST).collect();
    let is_proven = !unsaid.is_empty() && is_there(&unsaid, name, chosen).await?;
    let is_ours = |kept: &Kept| match &kept.account {
        Some(said) if ours.contains(said) => true,
        _ => is_proven && is_unsaid(kept),
    };
    let of_account = uploads.iter().filter(|kept| is_ours(kept)).cloned();
    Some(of_account.filter_map(upload).collect())
}

/// The media object of an upload.
fn media(kept: &Kept) -> Option<MediaId> {
    kept.progress.as_ref()?.ticket.as_ref()?.media.clone()
}

/// Whether the account has one of these media objects; `None` where it can't be asked.
async fn is_there(media: &[MediaId], name: &str, chosen: &Chosen) -> Option<bool> {
    let account = chosen.account.describe();
    let why = match has_one(&*chosen.account, media).await {
        Has::One => return Some(true),
        Has::None => {
            tracing::warn!(
                "{account} has none of the newest media objects of the session {name}: what that uploaded \
                 is not skipped"
            );
            return Some(false);
        }
        Has::Unknown(Some(error)) => error.to_string(),
        Has::Unknown(None) => "it did not answer for all".to_owned(),
    };
    tracing::warn!(
        "whether the session {name} uploaded to {account} is not known ({why}): what that uploaded is not \
         skipped"
    );
    None
}

/// What the ledger takes in of an upload; `None` where nothing of it is to be found by others.
pub(super) fn upload(kept: Kept) -> Option<Upload> {
    let progress = kept.progress?;
    let made = if kept.state == State::Done {
        Made::Accepted(progress.ticket?.media?)
    } else if progress.clearing || (progress.completed && kept.state == State::Failed) {
        // What is to be removed, or could not be used by the account.
        return None;
    } else {
        Made::Started {
            marker: Some(progress.marker).filter(|marker| !marker.is_empty())?,
            plan: progress.plan?,
            ticket: progress.ticket,
            is_complete: progress.completed,
            is_held: !kept.state.settled(),
        }
    };
    let known = if kept.state == State::Done {
        kept.times.done.known()
    } else {
        kept.times.begun.known()
    };
    Some(Upload {
        path: kept.path,
        identity: kept.identity,
        at: known.map_or(0, Timestamp::as_second),
        made,
    })
}
