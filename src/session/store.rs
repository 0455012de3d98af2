//! What is written to a session file when: appends gathered into few syncs, and the whole file
//! rewritten. Knows nothing of what the text says; each table that is appended gets its
//! [checksum](super::checksum).
//!
//! One thread owns the file. Whoever must not go on before a change is on disk waits for
//! [`Store::barrier`]; everything else is on disk at most [`BATCH`]
//! later. There are never more than ten syncs a second, and nothing but the sync of earlier appends is
//! waited for: the file is rewritten ([`Store::rewrite`]) only when it is opened and at a clean end. A
//! disk that is full or gone stops nobody else: what could not be written is kept, tried again every
//! second, and those who wait for it wait. How much that may come to is for the caller to bound, who
//! sees [`Store::is_behind`]. A file that someone removed is put back with all it said, since what goes
//! on being written to a file without a name is lost without a word; one that is no longer ours is left
//! as it is, and told, until somebody saves ([`Store::save`]).

mod beside;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use tempfile::NamedTempFile;
use tokio::sync::{Notify, oneshot};

use self::{
    beside::{beside, persist_new, remove_temporary, sync_folder},
    writer::Writer,
};
use super::checksum::Log;

/// How long a change that nobody waits for may stay in memory.
pub const BATCH: Duration = Duration::from_millis(200);

/// How many bytes may wait for the disk before nothing is to be started that appends more. With ten syncs
/// a second this is several times what the fastest scan appends; with 4 MiB a scan waited for the disk.
const BEHIND: u64 = 16 << 20;

enum Job {
    Append(String),
    Barrier(oneshot::Sender<()>),
    /// The same, and a file that took ours's place is replaced.
    Save(oneshot::Sender<()>),
    /// This file, of this length, takes the place of the session's. The answer says whether it did, and
    /// whether that is on disk.
    Replace(NamedTempFile, u64, mpsc::Sender<(bool, io::Result<()>)>),
}

#[derive(Debug, Default)]
struct Shared {
    written: AtomicU64,
    syncs: AtomicU64,
    /// Bytes that were appended and are not on disk yet.
    backlog: AtomicU64,
    /// Notified whenever the backlog got smaller.
    caught_up: Notify,
    error: Mutex<Option<String>>,
}

impl Shared {
    fn is_behind(&self) -> bool {
        self.backlog.load(Ordering::Acquire) > BEHIND
    }

    fn error(&self) -> Option<String> {
        let error = self.error.lock();
        error.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The session file, open for writing.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    appended: u64,
    has_log: bool,
    /// The log that is appended to …
    log: Log,
    /// … and the line that it begins with, where that has yet to be written.
    beginning: Option<String>,
}

/// A save under way: see [`Store::save`].
#[derive(Debug)]
pub struct Saving {
    reached: oneshot::Receiver<()>,
    shared: Arc<Shared>,
}

impl Saving {
    /// Waits until all is on disk, for so long at the most.
    ///
    /// # Errors
    /// Why it is not, in words; that it takes its time, where no reason is known.
    pub async fn within(self, time: Duration) -> Result<(), String> {
        match tokio::time::timeout(time, self.reached).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the session can't be saved: it is closed".to_owned()),
            Err(_) => Err(self.shared.error().map_or_else(
                || "saving takes its time and goes on".to_owned(),
                |error| format!("the session can't be saved: {error}"),
            )),
        }
    }
}

impl Store {
    /// Makes a new session file whose snapshot `write` writes; it is on disk when this returns.
    ///
    /// # Errors
    /// Those of writing.
    pub fn create(
        path: &Path,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Self> {
        let (temporary, length, log) = snapshot(path, write)?;
        temporary.as_file().sync_all()?;
        let file = persist_new(temporary, path)?;
        if let Err(error) = sync_folder(path) {
            // Nobody is to find a session that holds nothing.
            drop(std::fs::remove_file(path));
            return Err(error);
        }
        Ok(Self::start(path, file, length, false, (log, None)))
    }

    /// Opens a session file, which has to be locked, whose first `good` bytes are whole tables; what was
    /// torn behind them is cut off before anything is appended. `has_log` says whether a rewrite would
    /// make it shorter or newer; `log` is what was read of its log, where that has checksums.
    ///
    /// # Errors
    /// Those of opening.
    pub fn open(path: &Path, good: u64, has_log: bool, log: Option<Log>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        remove_temporary(path);
        let log = log.map_or_else(
            || {
                let (log, line) = Log::begin();
                (log, Some(line))
            },
            |log| (log, None),
        );
        Ok(Self::start(path, file, good, has_log, log))
    }

    /// Starts the thread that owns `file`, of which the first `length` bytes count.
    fn start(
        path: &Path,
        file: File,
        length: u64,
        has_log: bool,
        (log, beginning): (Log, Option<String>),
    ) -> Self {
        let (jobs, taken) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let mut writer = Writer::new(path.to_owned(), file, length, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("session".into())
            .spawn(move || writer.run(&taken))
            .expect("a program that can't start a thread can't go on");
        Self {
            path: path.to_owned(),
            jobs: Some(jobs),
            thread: Some(thread),
            shared,
            appended: 0,
            has_log,
            log,
            beginning,
        }
    }

    /// One whose disk takes nothing and gives no answer, and that is behind.
    #[cfg(test)]
    pub(crate) fn stuck() -> Self {
        let shared = Arc::new(Shared::default());
        shared.backlog.store(BEHIND + 1, Ordering::Release);
        Self {
            path: PathBuf::new(),
            jobs: None,
            thread: None,
            shared,
            appended: 1,
            has_log: true,
            log: Log::begin().0,
            beginning: None,
        }
    }

    fn send(&self, job: Job) {
        // The thread ends only after the sender is gone.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }

    /// Appends tables that nobody waits for.
    pub fn append(&mut self, tables: String) {
        if tables.is_empty() {
            return;
        }
        let mut text = self.beginning.take().unwrap_or_default();
        text.push_str(&self.log.with_checksums(&tables));
        drop(tables);
        self.appended += 1;
        self.has_log = true;
        let length = text.len() as u64;
        self.shared.backlog.fetch_add(length, Ordering::AcqRel);
        self.send(Job::Append(text));
    }

    /// The answer comes when all that was appended before is on disk.
    #[must_use]
    pub fn barrier(&self) -> oneshot::Receiver<()> {
        let (reached, answer) = oneshot::channel();
        self.barrier_for(reached);
        answer
    }

    /// The same with the answer sent here.
    pub fn barrier_for(&self, reached: oneshot::Sender<()>) {
        self.send(Job::Barrier(reached));
    }

    /// Saves what was appended before, on request: the same as [`Self::barrier`], and a file that took
    /// the place of the session's is replaced.
    #[must_use]
    pub fn save(&self) -> Saving {
        let (reached, answer) = oneshot::channel();
        self.send(Job::Save(reached));
        Saving {
            reached: answer,
            shared: Arc::clone(&self.shared),
        }
    }

    /// Whether a rewrite would make the file shorter or newer: something was appended since the last
    /// one, or was there when the file was opened.
    #[must_use]
    pub fn has_log(&self) -> bool {
        self.has_log
    }

    /// Rewrites the file: what `write` writes, which has to say all that was appended, takes its place.
    /// Blocks until it is on disk. Where anything fails, the file stays as it is and goes on.
    ///
    /// # Errors
    /// Those of writing, and that another file has taken the session file's place.
    pub fn rewrite(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let (temporary, length, log) = snapshot(&self.path, write)?;
        temporary.as_file().sync_all()?;
        let (done, answer) = mpsc::channel();
        self.send(Job::Replace(temporary, length, done));
        let (replaced, saved) = answer.recv().map_err(io::Error::other)?;
        if replaced {
            // Also where the folder can't be synced yet: it is the file that is appended to.
            self.log = log;
            self.beginning = None;
        }
        saved?;
        self.has_log = false;
        Ok(())
    }

    /// How many bytes were appended and are not on disk yet.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.shared.backlog.load(Ordering::Acquire)
    }

    /// Whether so much waits for the disk that nothing is to be started that appends more.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.shared.is_behind()
    }

    /// Comes when it [is not behind](Self::is_behind) any more.
    pub fn caught_up(&self) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            loop {
                let smaller = shared.caught_up.notified();
                if !shared.is_behind() {
                    return;
                }
                smaller.await;
            }
        }
    }

    /// Whether all that was appended is on disk.
    #[must_use]
    pub fn saved(&self) -> bool {
        self.shared.written.load(Ordering::Acquire) == self.appended
    }

    /// Why it can't be written, while it can't.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.shared.error()
    }

    /// How often the file was synced so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.shared.syncs.load(Ordering::Relaxed)
    }
}

/// Writes a snapshot beside the session's file, and behind it the beginning of its log; with its length.
///
/// Snapshot and beginning take the file's place at once, so that nothing that happens to what is appended
/// later makes it unknown where the log begins.
fn snapshot(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<(NamedTempFile, u64, Log)> {
    let (log, line) = Log::begin();
    let (temporary, length) = beside(path, |out| {
        write(out)?;
        out.write_all(line.as_bytes())
    })?;
    Ok((temporary, length, log))
}

impl Drop for Store {
    /// Waits until all that was appended is on disk, or can't be written.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
