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
    path::shown,
    session::{Kept, lock},
    state::State,
};

/// What came of taking a session in.
#[derive(Debug, Default)]
pub(super) struct Imported {
    /// How many of its uploads are in the ledger now, and how many of them were not before.
    pub(super) uploads: usize,
    pub(super) new: usize,
    /// How many it made at other accounts.
    pub(super) elsewhere: usize,
    /// How many nothing shows of that they were made at this account.
    pub(super) unproven: usize,
    /// Why not all of it is taken in.
    pub(super) why: Option<String>,
}

impl Imported {
    fn nothing(why: impl Into<String>) -> Self {
        Self {
            why: Some(why.into()),
            ..Self::default()
        }
    }
}

/// Takes in what these sessions made at the account, where the ledger lacks it. One that can't be read,
/// or of which nothing shows that it was at this account, is passed over with a warning: its files are
/// uploaded once more. Returns what came of those that the ledger did not know.
///
/// # Errors
/// [`crate::error::Kind::Storage`] when the ledger can't be read or written.
pub(super) async fn sessions(
    ledger: &Arc<Sqlite>,
    files: Vec<PathBuf>,
    chosen: &Chosen,
) -> Result<Vec<Imported>> {
    let files = files.iter().filter_map(|path| stat(path)).collect();
    let asked = Arc::clone(ledger);
    let mut all = Vec::new();
    for file in blocking(move || asked.not_imported(files)).await?? {
        let imported = session(ledger, file, chosen, Trust::SameName).await?;
        if let Some(why) = &imported.why {
            tracing::warn!("{why}. What this session uploaded may be uploaded again");
        }
        all.push(imported);
    }
    Ok(all)
}

/// Takes in what the session in this file made at the account, which a person says it uploaded to.
///
/// # Errors
/// [`crate::error::Kind::Storage`] when the ledger can't be read or written.
pub(super) async fn named(ledger: &Arc<Sqlite>, file: &Path, chosen: &Chosen) -> Result<Imported> {
    match stat(file) {
        Some(file) => session(ledger, file, chosen, Trust::AnyName).await,
        None => Ok(Imported::nothing(format!(
            "there is no session {}",
            shown(file)
        ))),
    }
}

/// Which sessions that do not name their account may be asked about at this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Those that uploaded to a destination of the same name.
    SameName,
    /// All.
    AnyName,
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

async fn session(
    ledger: &Arc<Sqlite>,
    file: SessionFile,
    chosen: &Chosen,
    trust: Trust,
) -> Result<Imported> {
    let (path, asked) = (file.path.clone(), Arc::clone(ledger));
    let read = match blocking(move || read(&path, &asked)).await?? {
        Ok(read) => read,
        Err(imported) => return Ok(imported),
    };
    let asked = Arc::clone(ledger);
    let ours = blocking(move || asked.account_ids()).await??;
    let asks = trust == Trust::AnyName || read.destination == chosen.name;
    let (found, mut imported) = of_account(read.uploads, &read.name, asks, &ours, chosen).await;
    let Some(found) = found else {
        return Ok(imported);
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
    (imported.uploads, imported.new) = (count, taken);
    Ok(imported)
}

/// Reads a session; or what came of it, where that is not needed or fails.
fn read(path: &Path, ledger: &Sqlite) -> Result<std::result::Result<Read, Imported>> {
    // Before it is read: what a process writes after that is read the next time.
    let runs = lock::holder(path).is_some();
    let header = match crate::session::read::read_head(path) {
        Ok(header) => header,
        Err(error) => return Ok(Err(Imported::nothing(error.to_string()))),
    };
    if !header.owner.is_empty() && ledger.writes_here(&header.owner)? {
        // Its file says nothing new.
        return Ok(Err(Imported::default()));
    }
    let (opened, queue) = match sessions::glance(path) {
        Ok(read) => read,
        Err(stopped) => return Ok(Err(Imported::nothing(stopped.words))),
    };
    let header = opened.header;
    Ok(Ok(Read {
        name: sessions::name(&header.id, path),
        owner: header.owner,
        destination: header.destination,
        runs,
        uploads: made(&queue).collect(),
    }))
}

/// The uploads that made something.
pub(super) fn made(queue: &Queue) -> impl Iterator<Item = Kept> + '_ {
    let kept = queue.kept();
    kept.filter(|kept| kept.unread.is_none() && kept.progress.is_some())
}

/// What of these uploads was made at the account, and what is to be said of the others. `None`: that could
/// not be asked, and is asked the next time. `asks`: those that do not say their account are asked for.
async fn of_account(
    uploads: Vec<Kept>,
    name: &str,
    asks: bool,
    ours: &[AccountId],
    chosen: &Chosen,
) -> (Option<Vec<Upload>>, Imported) {
    let account = &chosen.account;
    // Neither a session of the first edition nor one from before a new key says that it was here.
    let is_unsaid = |kept: &Kept| match &kept.account {
        None => true,
        Some(said) => {
            let may_be = account.has_id_of_its_key() && said.host() == account.id().host();
            may_be && !ours.contains(said)
        }
    };
    let is_asked = |kept: &Kept| is_unsaid(kept) && (asks || kept.account.is_some());
    let is_ours = |kept: &Kept| {
        kept.account
            .as_ref()
            .is_some_and(|said| ours.contains(said))
    };
    let of = |what: &dyn Fn(&Kept) -> bool| uploads.iter().filter(|kept| what(kept)).count();
    let mut imported = Imported {
        elsewhere: of(&|kept| !is_ours(kept) && !is_unsaid(kept)),
        unproven: of(&is_unsaid),
        ..Imported::default()
    };
    let newest_first = uploads.iter().rev().filter(|kept| is_asked(kept));
    let asked: Vec<MediaId> = newest_first.filter_map(media).take(NEWEST).collect();
    let mut is_proven = false;
    if !asked.is_empty() {
        match is_there(&asked, name, chosen).await {
            Ok(()) => {
                is_proven = true;
                imported.unproven -= of(&is_asked);
            }
            Err((why, was_answered)) => {
                imported.why = Some(why);
                if !was_answered {
                    return (None, imported);
                }
            }
        }
    }
    let of_account = uploads
        .iter()
        .filter(|kept| is_ours(kept) || (is_proven && is_asked(kept)));
    (
        Some(of_account.cloned().filter_map(upload).collect()),
        imported,
    )
}

/// The media object of an upload.
fn media(kept: &Kept) -> Option<MediaId> {
    kept.progress.as_ref()?.ticket.as_ref()?.media.clone()
}

/// Asks whether the account has one of these media objects.
///
/// # Errors
/// Why that is not so, and whether the account said it.
async fn is_there(
    media: &[MediaId],
    name: &str,
    chosen: &Chosen,
) -> std::result::Result<(), (String, bool)> {
    let account = chosen.account.describe();
    let why = match has_one(&*chosen.account, media).await {
        Has::One => return Ok(()),
        Has::None => {
            let words =
                format!("{account} has none of the newest media objects of the session {name}");
            return Err((words, true));
        }
        Has::Unknown(Some(error)) => error.to_string(),
        Has::Unknown(None) => "it did not answer for all".to_owned(),
    };
    let words = format!("whether the session {name} uploaded to {account} is not known ({why})");
    Err((words, false))
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
