//! What is written to a session file when: appends gathered into few syncs, and a whole new snapshot
//! in the old one's place. Knows nothing of what the text says.
//!
//! One thread owns the file. Whoever must not go on before a change is on disk waits for
//! [`Store::append_durable`]; everything else is on disk at most [`BATCH`] later. There are never
//! more than ten syncs a second. A disk that is full or gone stops nobody else: what could not be
//! written is kept, tried again every second, and those who wait for it wait.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tempfile::NamedTempFile;
use tokio::sync::oneshot;

/// How long a change that nobody waits for may stay in memory.
pub const BATCH: Duration = Duration::from_millis(200);

/// The least time between two syncs.
const BETWEEN_SYNCS: Duration = Duration::from_millis(100);

/// How long after a failed write it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A log shorter than this is never worth a new snapshot, in bytes.
const SHORT_LOG: u64 = 256 * 1024;

enum Job {
    Append(String, Option<oneshot::Sender<()>>),
    Replace(NamedTempFile, u64, oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct Shared {
    written: AtomicU64,
    syncs: AtomicU64,
    error: Mutex<Option<String>>,
}

/// The session file, open for writing.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    appended: u64,
    snapshot: u64,
    log: u64,
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

    /// Opens a session file whose first `good` bytes are whole tables; what was torn behind them is
    /// cut off.
    ///
    /// # Errors
    /// Those of opening.
    pub fn open(path: &Path, good: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).mode(0o600).open(path)?;
        if file.metadata()?.len() > good {
            file.set_len(good)?;
            file.sync_all()?;
        }
        // How much of it is log is not known; counted as snapshot it is compacted later, not never.
        Ok(Self::start(path, file, good, good))
    }

    fn start(path: &Path, file: File, length: u64, snapshot: u64) -> Self {
        let (jobs, taken) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let mut writer = Writer {
            path: path.to_owned(),
            file,
            length,
            waiting: Vec::new(),
            waiters: Vec::new(),
            oldest: None,
            last_sync: None,
            shared: Arc::clone(&shared),
        };
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
            snapshot,
            log: 0,
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
        self.count(&text);
        self.send(Job::Append(text, None));
    }

    /// Appends tables; the answer comes when they are on disk.
    pub fn append_durable(&mut self, text: String) -> oneshot::Receiver<()> {
        self.count(&text);
        let (done, answer) = oneshot::channel();
        self.send(Job::Append(text, Some(done)));
        answer
    }

    fn count(&mut self, text: &str) {
        self.appended += 1;
        self.log += text.len() as u64;
    }

    /// Whether the log has outgrown the snapshot, so that [`Self::compact`] pays.
    #[must_use]
    pub fn should_compact(&self) -> bool {
        self.log > self.snapshot.max(SHORT_LOG)
    }

    /// Puts a new snapshot in the place of snapshot and log: written beside, synced, renamed. It has
    /// to say all that was appended so far. The answer comes when it is in place.
    ///
    /// # Errors
    /// When it can't be written beside; the old file goes on.
    pub fn compact(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<oneshot::Receiver<()>> {
        let (temporary, length) = beside(&self.path, write)?;
        let (done, answer) = oneshot::channel();
        self.send(Job::Replace(temporary, length, done));
        self.appended += 1;
        self.snapshot = length;
        self.log = 0;
        Ok(answer)
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

fn beside(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<(NamedTempFile, u64)> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // A temporary file of tempfile's has mode 0600.
    let temporary = tempfile::Builder::new()
        .prefix(".saving-")
        .tempfile_in(folder)?;
    let mut buffered = BufWriter::with_capacity(1 << 20, temporary.as_file());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    let length = temporary.as_file().metadata()?.len();
    Ok((temporary, length))
}

/// Makes a rename in the folder of `path` last.
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The thread's side.
struct Writer {
    path: PathBuf,
    file: File,
    /// How long the file is with all that was written whole.
    length: u64,
    waiting: Vec<u8>,
    waiters: Vec<oneshot::Sender<()>>,
    /// Since when `waiting` is not empty.
    oldest: Option<Instant>,
    last_sync: Option<Instant>,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(&mut self, jobs: &mpsc::Receiver<Job>) {
        let mut taken = 0;
        let mut failed_at: Option<Instant> = None;
        loop {
            let job = match self.due(failed_at) {
                None => jobs
                    .recv()
                    .map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                Some(due) => jobs.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            let over = match job {
                Ok(Job::Append(text, waiter)) => {
                    taken += 1;
                    self.waiting.extend_from_slice(text.as_bytes());
                    self.waiters.extend(waiter);
                    self.oldest.get_or_insert_with(Instant::now);
                    if self.due(failed_at).is_none_or(|due| due > Instant::now()) {
                        continue;
                    }
                    false
                }
                Ok(Job::Replace(temporary, length, done)) => {
                    taken += 1;
                    match self.replace(temporary, length) {
                        Ok(()) => drop(done.send(())),
                        Err(error) => self.tell(Some(&error)),
                    }
                    false
                }
                Err(mpsc::RecvTimeoutError::Timeout) => false,
                Err(mpsc::RecvTimeoutError::Disconnected) => true,
            };
            match self.write() {
                Ok(()) => {
                    failed_at = None;
                    self.tell(None);
                    self.shared.written.store(taken, Ordering::Release);
                    for waiter in self.waiters.drain(..) {
                        let _ = waiter.send(());
                    }
                }
                Err(error) => {
                    failed_at = Some(Instant::now());
                    self.tell(Some(&error));
                }
            }
            if over {
                return;
            }
        }
    }

    /// When what waits has to be written.
    fn due(&self, failed_at: Option<Instant>) -> Option<Instant> {
        let oldest = self.oldest?;
        let wanted = if self.waiters.is_empty() {
            oldest + BATCH
        } else {
            oldest
        };
        let allowed = self.last_sync.map_or(wanted, |last| last + BETWEEN_SYNCS);
        let again = failed_at.map_or(wanted, |at| at + AGAIN);
        Some(wanted.max(allowed).max(again))
    }

    fn write(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        // Always at the end of what was written whole: half a table of a failed try is written over.
        self.file.write_all_at(&self.waiting, self.length)?;
        self.last_sync = Some(Instant::now());
        self.file.sync_data()?;
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        self.length += self.waiting.len() as u64;
        self.waiting.clear();
        self.waiting.shrink_to(1 << 20);
        self.oldest = None;
        Ok(())
    }

    fn replace(&mut self, temporary: NamedTempFile, length: u64) -> io::Result<()> {
        temporary.as_file().sync_all()?;
        self.file = temporary.persist(&self.path).map_err(|error| error.error)?;
        // The new snapshot says all that was waiting.
        self.length = length;
        self.waiting.clear();
        self.oldest = None;
        self.last_sync = Some(Instant::now());
        sync_folder(&self.path)
    }

    fn tell(&self, error: Option<&io::Error>) {
        *self
            .shared
            .error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = error.map(ToString::to_string);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn new() -> (tempfile::TempDir, PathBuf, Store) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.toml");
        let store = Store::create(&path, |out| out.write_all(b"head\n")).unwrap();
        (folder, path, store)
    }

    #[test]
    fn what_was_waited_for_is_in_the_file() {
        let (_folder, path, mut store) = new();
        store.append("one\n".into());
        store
            .append_durable("two\n".into())
            .blocking_recv()
            .unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "head\none\ntwo\n");
    }

    #[test]
    fn what_was_not_waited_for_is_in_the_file_when_it_is_closed() {
        let (_folder, path, mut store) = new();
        store.append("one\n".into());
        drop(store);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "head\none\n");
    }

    #[test]
    fn many_appends_are_few_syncs() {
        let (_folder, _path, mut store) = new();
        let begun = Instant::now();
        for _ in 0..20 {
            for _ in 0..50 {
                store.append("x\n".into());
            }
            store.append_durable("y\n".into()).blocking_recv().unwrap();
        }
        let most = begun.elapsed().as_millis() / BETWEEN_SYNCS.as_millis() + 1;
        assert!(
            u128::from(store.syncs()) <= most,
            "{} syncs, {most} allowed",
            store.syncs()
        );
    }

    #[test]
    fn a_new_snapshot_takes_the_place_of_the_log_and_appends_go_behind_it() {
        let (folder, path, mut store) = new();
        store.append("one\n".into());
        let placed = store.compact(|out| out.write_all(b"head, one\n")).unwrap();
        store.append("two\n".into());
        placed.blocking_recv().unwrap();
        drop(store);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head, one\ntwo\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_torn_end_is_cut_off_before_anything_is_appended() {
        let (_folder, path, store) = new();
        drop(store);
        std::fs::write(&path, "head\nto").unwrap();
        let mut store = Store::open(&path, 5).unwrap();
        store.append("one\n".into());
        drop(store);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "head\none\n");
    }

    #[test]
    fn a_full_disk_is_told_and_whoever_waits_waits() {
        let folder = tempfile::tempdir().unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut store = Store::start(&folder.path().join("s.toml"), full, 0, 0);
        let mut answer = store.append_durable("one\n".into());
        while store.error().is_none() {
            std::thread::yield_now();
        }
        assert!(answer.try_recv().is_err());
        assert!(!store.saved());
        assert!(
            store.error().unwrap().contains("space"),
            "{:?}",
            store.error()
        );
    }
}
