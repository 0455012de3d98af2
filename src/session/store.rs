//! What is written to a session file when: appends gathered into few syncs, and a whole new snapshot
//! in the old one's place. Knows nothing of what the text says.
//!
//! One thread owns the file. Whoever must not go on before a change is on disk waits for
//! [`Store::append_durable`] or [`Store::barrier`]; everything else is on disk at most [`BATCH`]
//! later. There are never more than ten syncs a second. A disk that is full or gone stops nobody else:
//! what could not be written is kept, tried again every second, and those who wait for it wait. A
//! file that someone removed is put back with all it said, since what goes on being written to a
//! file without a name is lost without a word; one that is no longer ours is left as it is, and told.

mod beside;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::oneshot;

use self::{
    beside::{beside, remove_temporary, sync_folder},
    writer::Writer,
};

/// How long a change that nobody waits for may stay in memory.
pub const BATCH: Duration = Duration::from_millis(200);

/// How many bytes of a snapshot may wait to be written.
const PIECES_WAITING: u64 = 4 << 20;

/// A log shorter than this is never worth a new snapshot, in bytes.
const SHORT_LOG: u64 = 256 * 1024;

enum Job {
    Append(String),
    Barrier(oneshot::Sender<()>),
    Begin,
    Piece(String),
    Place(String, oneshot::Sender<io::Result<()>>),
}

#[derive(Debug, Default)]
struct Shared {
    written: AtomicU64,
    syncs: AtomicU64,
    /// Bytes of a snapshot that were handed over and not written yet.
    pieces: AtomicU64,
    error: Mutex<Option<String>>,
}

/// The session file, open for writing.
#[derive(Debug)]
pub struct Store {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    appended: u64,
    snapshot: u64,
    log: u64,
    /// How long the snapshot is that is being written in pieces, so far.
    pieces: u64,
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
        let (temporary, length) = beside(path, write)?;
        temporary.as_file().sync_all()?;
        let file = temporary
            .persist_noclobber(path)
            .map_err(|error| error.error)?;
        sync_folder(path)?;
        Ok(Self::start(path, file, length, length))
    }

    /// Opens a session file, which has to be locked, whose first `good` bytes are whole tables; what was
    /// torn behind them is cut off.
    ///
    /// # Errors
    /// Those of opening.
    pub fn open(path: &Path, good: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() > good {
            file.set_len(good)?;
            file.sync_all()?;
        }
        remove_temporary(path);
        // How much of it is log is not known; counted as snapshot it is compacted later, not never.
        Ok(Self::start(path, file, good, good))
    }

    fn start(path: &Path, file: File, length: u64, snapshot: u64) -> Self {
        let (jobs, taken) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let mut writer = Writer::new(path.to_owned(), file, length, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("session".into())
            .spawn(move || writer.run(&taken))
            .expect("a program that can't start a thread can't go on");
        Self {
            jobs: Some(jobs),
            thread: Some(thread),
            shared,
            appended: 0,
            snapshot,
            log: 0,
            pieces: 0,
        }
    }

    fn send(&self, job: Job) {
        // The thread ends only after the sender is gone.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }

    /// Appends tables that nobody waits for.
    pub fn append(&mut self, text: String) {
        if text.is_empty() {
            return;
        }
        self.appended += 1;
        self.log += text.len() as u64;
        self.send(Job::Append(text));
    }

    /// Appends tables; the answer comes when they are on disk.
    pub fn append_durable(&mut self, text: String) -> oneshot::Receiver<()> {
        self.append(text);
        self.barrier()
    }

    /// The answer comes when all that was appended before is on disk.
    #[must_use]
    pub fn barrier(&self) -> oneshot::Receiver<()> {
        let (reached, answer) = oneshot::channel();
        self.send(Job::Barrier(reached));
        answer
    }

    /// Whether the log has outgrown the snapshot, so that a new one pays.
    #[must_use]
    pub fn should_compact(&self) -> bool {
        self.log > self.snapshot.max(SHORT_LOG)
    }

    /// Begins a new snapshot that is written piece by piece, while appends go on going to the old
    /// file. One that was begun before and not placed is given up.
    pub fn begin_snapshot(&mut self) {
        self.pieces = 0;
        self.send(Job::Begin);
    }

    /// Writes a piece of the snapshot. Pieces that can't be written are told when it is placed.
    pub fn snapshot_piece(&mut self, text: String) {
        let length = text.len() as u64;
        self.pieces += length;
        self.shared.pieces.fetch_add(length, Ordering::Relaxed);
        self.send(Job::Piece(text));
    }

    /// Whether the pieces so far were mostly written, so that more may come: what waits takes memory.
    #[must_use]
    pub fn takes_pieces(&self) -> bool {
        self.shared.pieces.load(Ordering::Relaxed) < PIECES_WAITING
    }

    /// Puts the snapshot in the place of snapshot and log, with `log` behind it: what was appended
    /// since it was begun and is not said by its pieces. The answer comes when it is in place.
    pub fn place_snapshot(&mut self, log: String) -> oneshot::Receiver<io::Result<()>> {
        let (done, answer) = oneshot::channel();
        // Where it can't be placed, another try is worth it when the log has grown by as much again.
        self.snapshot = self.pieces;
        self.log = log.len() as u64;
        self.send(Job::Place(log, done));
        self.appended += 1;
        answer
    }

    /// Whether all that was appended is on disk.
    #[must_use]
    pub fn saved(&self) -> bool {
        self.shared.written.load(Ordering::Acquire) == self.appended
    }

    /// Why it can't be written, while it can't.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.shared
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How often the file was synced so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.shared.syncs.load(Ordering::Relaxed)
    }
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
