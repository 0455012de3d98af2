//! The ledger in a file, for one machine: one connection on one thread behind a channel.
//!
//! SQLite's own journal, no write-ahead log: that gains nothing at a few commits an upload, and is for
//! one host alone. Every write begins with the lock that it needs, and no read stays open: an open
//! reader blocks all commits, and a read that turns into a write fails at once.
//!
//! | file | contents |
//! |---|---|
//! | `schema` | the tables, and how the file is opened |
//! | `values` | values as they are kept in columns |
//! | `core` | what claims and writes do to the rows |
//! | `worker` | the thread, and what shares a commit |
//! | `known` | what a scan asks |
//! | `import` | what older sessions and those of a lost ledger made |
//! | `accounts` | the ids of one account |
//! | `machine` | the machine that it belongs to |
//! | `removal` | what is left of a session whose file is removed |
//! | `catalog` | what a person lists and forgets |
//! | `anew` | a ledger in the place of one that is damaged, or is to be made anew |

mod accounts;
pub mod anew;
pub mod catalog;
mod core;
mod import;
mod known;
mod machine;
mod removal;
mod schema;
mod values;
mod worker;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Sender},
    },
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::{
    core::Core,
    known::{IN_ONE_GO, Index},
    worker::{Job, Work, failed},
};
pub use self::{
    machine::Machine,
    removal::{InLedger, Removal},
    schema::OpenFailed,
};
use super::{Claimed, InUse, Ledger, Request, Uploaded, Uses, Wait, Write, owner::Owner, seal};
use crate::{
    error::{Error, Kind, Result},
    identity::FileStat,
    ids::{AccountId, Claim, MediaId, ObjectId},
};

/// How long a write waits for those of other processes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a session opens its ledger with.
pub struct Options {
    /// The file; `None`: in memory, for one session alone.
    pub file: Option<PathBuf>,
    /// The folder of the owners' locks.
    pub owners: PathBuf,
    /// This session as an owner.
    pub owner: Owner,
    /// The session's name, and where its file is.
    pub session: (String, PathBuf),
    /// The account that it uploads to.
    pub account: AccountId,
    /// What tickets are encrypted with; `None`: none is kept.
    pub ticket_key: Option<[u8; seal::KEY]>,
    /// The machine that opens it.
    pub machine: Machine,
    /// The seconds since 1970.
    pub now: fn() -> i64,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("file", &self.file)
            .field("owner", &self.owner)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// The ledger of one session and account, in a file. The session lives as an owner as long as this does.
pub struct Sqlite {
    id: String,
    path: PathBuf,
    uses: Uses,
    /// `None` once it ends.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Loaded when it is first asked.
    known: Mutex<Option<Arc<Index>>>,
    owner: Owner,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("path", &self.path)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl Drop for Sqlite {
    /// What waits is written before the owner's lock ends.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Sqlite {
    /// Opens the ledger, and makes it where there is none.
    ///
    /// # Errors
    /// [`OpenFailed`] in words for a person; nothing is begun then.
    pub fn open(options: Options) -> Result<Self, OpenFailed> {
        Self::open_within(options, PATIENCE)
    }

    fn open_within(options: Options, patience: Duration) -> Result<Self, OpenFailed> {
        let (core, owner) = Core::open(options, patience)?;
        let (jobs, asked) = mpsc::channel();
        let (id, path, uses) = (core.id.clone(), core.path.clone(), core.uses.clone());
        let thread = std::thread::Builder::new().name("ledger".to_owned());
        let thread = thread.spawn(move || worker::run(core, &asked));
        let thread = thread.map_err(|error| OpenFailed::Io {
            path: path.clone(),
            error,
        })?;
        Ok(Self {
            id,
            path,
            uses,
            jobs: Some(jobs),
            thread: Some(thread),
            known: Mutex::new(None),
            owner,
        })
    }

    /// What is answered where the thread has ended, as after a panic of it.
    fn ended(&self) -> Error {
        let path = self.path.display();
        Error::new(Kind::Storage, format!("the ledger {path} has ended"))
    }

    fn ask(&self, job: Job) -> Result<()> {
        let jobs = self.jobs.as_ref().ok_or_else(|| self.ended())?;
        jobs.send(job).map_err(|_| self.ended())
    }

    /// Reads on the ledger's thread.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Core) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (to, answer) = oneshot::channel();
        self.ask(Job::Read(Box::new(move |core| {
            let _ = to.send(read(core).map_err(|error| failed(&core.path, &error)));
        })))?;
        self.answered(answer).await?
    }

    /// The answer of the ledger's thread. It is waited for where blocking is allowed, so that a clock
    /// that is paused for a test does not run on meanwhile.
    async fn answered<T: Send + 'static>(&self, answer: oneshot::Receiver<T>) -> Result<T> {
        let answer = tokio::task::spawn_blocking(move || answer.blocking_recv()).await;
        answer
            .ok()
            .and_then(std::result::Result::ok)
            .ok_or_else(|| self.ended())
    }

    /// The same, and blocks.
    fn read_blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Core) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (to, answer) = mpsc::sync_channel(1);
        self.ask(Job::Read(Box::new(move |core| {
            let _ = to.send(read(core).map_err(|error| failed(&core.path, &error)));
        })))?;
        answer.recv().map_err(|_| self.ended())?
    }

    /// The names of what is uploaded, read once and in several goes: claims wait for none of them long.
    fn index(&self) -> Result<Arc<Index>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = &*known {
            return Ok(Arc::clone(index));
        }
        let (mut after, last) = self.read_blocking(|core| core.accepted_range())?;
        let mut entries = Vec::new();
        while after < last {
            let mut more = std::mem::take(&mut entries);
            entries = self.read_blocking(move |core| {
                core.load(after, &mut more)?;
                Ok(more)
            })?;
            after += IN_ONE_GO;
        }
        let index = Arc::new(Index::of(entries));
        tracing::debug!("the ledger knows {} names", index.len());
        *known = Some(Arc::clone(&index));
        Ok(index)
    }
}

#[async_trait]
impl Ledger for Sqlite {
    fn id(&self) -> &str {
        &self.id
    }

    fn known(&self, files: &[(&Path, FileStat)]) -> Result<Vec<Option<Uploaded>>> {
        let index = self.index()?;
        let mut answers = vec![None; files.len()];
        let found = files.iter().enumerate();
        let mut found: Vec<(ObjectId, usize)> = found
            .filter_map(|(at, (path, stat))| Some((index.find(path, stat)?, at)))
            .collect();
        if found.is_empty() {
            return Ok(answers);
        }
        found.sort_unstable();
        let objects: Vec<ObjectId> = found.iter().map(|(object, _)| *object).collect();
        let rows = self.read_blocking(move |core| core.accepted(&objects))?;
        for ((_, at), row) in found.into_iter().zip(rows) {
            answers[at] = row;
        }
        Ok(answers)
    }

    async fn claim(&self, request: Request) -> Result<Claimed> {
        let (to, answer) = oneshot::channel();
        self.ask(Job::Work(Work::Claim(Box::new(request), to)))?;
        self.answered(answer).await?
    }

    async fn write(&self, claim: Claim, write: Write) -> Result<bool> {
        let (to, answer) = oneshot::channel();
        self.ask(Job::Work(Work::Write(claim, Box::new(write), Some(to))))?;
        self.answered(answer).await?
    }

    async fn changed(&self, waits: Vec<Wait>) -> Result<Vec<ObjectId>> {
        if waits.is_empty() {
            return Ok(Vec::new());
        }
        self.read(move |core| core.changed(&waits)).await
    }

    async fn unaccepted(&self) -> Result<Vec<(Claim, MediaId)>> {
        self.read(|core| core.unaccepted()).await
    }

    async fn has(&self, claim: Claim, marker: &str) -> Result<bool> {
        let marker = marker.to_owned();
        self.read(move |core| core.has_object(claim.object, &marker))
            .await
    }

    async fn accepted(&self, claim: Claim, marker: &str) -> Result<Option<Uploaded>> {
        let marker = marker.to_owned();
        self.read(move |core| core.accepted_as(claim.object, &marker))
            .await
    }

    fn mark_in_use(&self, object: ObjectId) -> InUse {
        self.uses.mark(object)
    }
}

#[cfg(test)]
mod tests;
