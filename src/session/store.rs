//! What is written to a session file when: appends gathered into few syncs, and a whole new snapshot
//! in the old one's place. Knows nothing of what the text says.
//!
//! One thread owns the file. Whoever must not go on before a change is on disk waits for
//! [`Store::append_durable`] or [`Store::barrier`]; everything else is on disk at most [`BATCH`]
//! later. There are never more than ten syncs a second. A disk that is full or gone stops nobody else:
//! what could not be written is kept, tried again every second, and those who wait for it wait. A
//! file that someone removed is put back with all it said, since what goes on being written to a
//! file without a name is lost without a word; one that is no longer ours is left as it is, and told.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt},
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

use super::lock::Lock;

/// How long a change that nobody waits for may stay in memory.
pub const BATCH: Duration = Duration::from_millis(200);

/// The least time between two syncs: no second has more than ten of them, wherever it begins.
const BETWEEN_SYNCS: Duration = Duration::from_millis(105);

/// How long after a failed write it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

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

/// A file beside the session's that takes its place later.
fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    // A temporary file of tempfile's has mode 0600.
    tempfile::Builder::new()
        .prefix(&temporary_prefix(path))
        .tempfile_in(folder_of(path))
}

/// How such a file's name begins: by its own, though no longer, for there is a longest name.
fn temporary_prefix(path: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    path.file_name().hash(&mut hasher);
    format!(".saving-{:x}-", hasher.finish())
}

/// Removes what a run that was killed left of its snapshots: as long as the session, tokens and all.
fn remove_temporary(path: &Path) {
    let prefix = temporary_prefix(path);
    let entries = std::fs::read_dir(folder_of(path));
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(prefix.as_bytes()) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

fn beside(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<(NamedTempFile, u64)> {
    let temporary = temporary(path)?;
    let mut buffered = BufWriter::with_capacity(1 << 20, temporary.as_file());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    let length = temporary.as_file().metadata()?.len();
    Ok((temporary, length))
}

/// Makes a rename in the folder of `path` last.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// The folder a file is in; that of a bare name is the one the program is in.
fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// The thread's side.
struct Writer {
    path: PathBuf,
    file: File,
    /// How long the file is with all that was written whole.
    length: u64,
    waiting: Vec<u8>,
    waiters: Vec<oneshot::Sender<()>>,
    /// Since when something is to be brought to disk: `waiting` is not empty, or `renamed`.
    oldest: Option<Instant>,
    /// A snapshot that is being written beside, or why it can't be.
    snapshot: Option<io::Result<NamedTempFile>>,
    /// Whether a new snapshot is in place, and its folder has yet to be synced.
    renamed: bool,
    /// The lock that had to be taken anew, where the first one's file was removed too.
    lock: Option<Lock>,
    last_sync: Option<Instant>,
    shared: Arc<Shared>,
}

impl Writer {
    fn new(path: PathBuf, file: File, length: u64, shared: Arc<Shared>) -> Self {
        Self {
            path,
            file,
            length,
            waiting: Vec::new(),
            waiters: Vec::new(),
            oldest: None,
            snapshot: None,
            renamed: false,
            lock: None,
            last_sync: None,
            shared,
        }
    }

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
                Ok(job) => {
                    let counts = matches!(job, Job::Append(_) | Job::Place(..));
                    taken += u64::from(counts);
                    self.take(job);
                    false
                }
                Err(mpsc::RecvTimeoutError::Timeout) => false,
                Err(mpsc::RecvTimeoutError::Disconnected) => true,
            };
            let later = self.due(failed_at).is_some_and(|due| due > Instant::now());
            if later && !over {
                continue;
            }
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

    fn take(&mut self, job: Job) {
        match job {
            Job::Append(text) => {
                self.waiting.extend_from_slice(text.as_bytes());
                self.oldest.get_or_insert_with(Instant::now);
            }
            Job::Barrier(waiter) => self.waiters.push(waiter),
            Job::Begin => self.snapshot = Some(temporary(&self.path)),
            Job::Piece(text) => {
                self.piece(&text);
                let length = text.len() as u64;
                self.shared.pieces.fetch_sub(length, Ordering::Relaxed);
            }
            Job::Place(log, done) => {
                self.piece(&log);
                let placed = match self.snapshot.take() {
                    Some(Ok(temporary)) => temporary
                        .as_file()
                        .metadata()
                        .and_then(|metadata| self.replace(temporary, metadata.len())),
                    Some(Err(error)) => Err(error),
                    None => Err(io::Error::other("no snapshot was begun")),
                };
                // The old file goes on then. Told here, since at the end nobody waits for the answer.
                if let Err(error) = &placed {
                    tracing::warn!("the session can't be written anew: {error}");
                }
                drop(done.send(placed));
            }
        }
    }

    /// Writes a piece of the snapshot that is under way. Once one failed, so has the whole.
    fn piece(&mut self, text: &str) {
        if let Some(Ok(temporary)) = &mut self.snapshot
            && let Err(error) = temporary.write_all(text.as_bytes())
        {
            self.snapshot = Some(Err(error));
        }
    }

    /// When what waits has to be written; `None` when nothing does. What failed is tried again also
    /// where that was but a look at the file: until it goes well nothing is begun that would be written.
    fn due(&self, failed_at: Option<Instant>) -> Option<Instant> {
        let Some(oldest) = self.oldest else {
            return failed_at.map(|at| at + AGAIN);
        };
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
        if self.renamed {
            self.settle()?;
        }
        self.stand_in_place()?;
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

    /// Sees to it that the file still goes by its name.
    fn stand_in_place(&mut self) -> io::Result<()> {
        let named = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
        match std::fs::metadata(&self.path) {
            Ok(there) if named(&there) == named(&self.file.metadata()?) => Ok(()),
            Ok(_) => Err(io::Error::other(
                "another file has taken the session file's place; save to replace it",
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.put_back(),
            Err(error) => Err(error),
        }
    }

    /// Makes the file that was removed anew, with all that the old one said.
    fn put_back(&mut self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder_of(&self.path))?;
        // Nobody else may open it from the moment it has its name again.
        if !Lock::is_there(&self.path) {
            self.lock = Some(Lock::take(&self.path).map_err(io::Error::other)?);
        }
        let (temporary, _) = beside(&self.path, |out| {
            let mut block = vec![0; 1 << 20];
            let mut at = 0;
            while at < self.length {
                let left = usize::try_from(self.length - at).unwrap_or(usize::MAX);
                let length = left.min(block.len());
                self.file.read_exact_at(&mut block[..length], at)?;
                out.write_all(&block[..length])?;
                at += length as u64;
            }
            Ok(())
        })?;
        temporary.as_file().sync_all()?;
        self.file = temporary
            .persist_noclobber(&self.path)
            .map_err(|error| error.error)?;
        tracing::warn!("the session file was removed from outside, and is put back");
        sync_folder(&self.path)
    }

    fn replace(&mut self, temporary: NamedTempFile, length: u64) -> io::Result<()> {
        temporary.as_file().sync_all()?;
        self.file = temporary.persist(&self.path).map_err(|error| error.error)?;
        // The new snapshot says all that was waiting.
        self.length = length;
        self.waiting.clear();
        self.renamed = true;
        self.oldest = Some(Instant::now());
        self.last_sync = Some(Instant::now());
        self.settle()
    }

    /// Makes the new snapshot's name last.
    fn settle(&mut self) -> io::Result<()> {
        sync_folder(&self.path)?;
        self.renamed = false;
        if self.waiting.is_empty() {
            self.oldest = None;
        }
        Ok(())
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

    fn write_anew(store: &mut Store, text: &str) -> oneshot::Receiver<io::Result<()>> {
        store.begin_snapshot();
        store.snapshot_piece(text.into());
        store.place_snapshot(String::new())
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
    fn a_new_snapshot_takes_the_place_of_the_log_with_what_came_meanwhile_and_comes_later_behind_it()
     {
        let (folder, path, mut store) = new();
        store.append("one\n".into());
        store.begin_snapshot();
        store.snapshot_piece("head, one, ".into());
        store
            .append_durable("two\n".into())
            .blocking_recv()
            .unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "head\none\ntwo\n",
            "until it is whole, the old file goes on"
        );
        store.snapshot_piece("three\n".into());
        store.append("four\n".into());
        let placed = store.place_snapshot("two\nfour\n".into());
        store.append("five\n".into());
        placed.blocking_recv().unwrap().unwrap();
        drop(store);
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "head, one, three\ntwo\nfour\nfive\n"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn after_a_new_snapshot_the_log_is_held_against_that() {
        let (_folder, _path, mut store) = new();
        let much = |length: u64| "x".repeat(usize::try_from(length).unwrap());
        store.append(much(SHORT_LOG + 1));
        assert!(store.should_compact());
        store.begin_snapshot();
        store.snapshot_piece(much(2 * SHORT_LOG));
        drop(store.place_snapshot("x".into()));
        assert!(!store.should_compact());
        store.append(much(2 * SHORT_LOG - 1));
        assert!(!store.should_compact(), "no longer than the snapshot");
        store.append("x".into());
        assert!(store.should_compact());
    }

    #[test]
    fn a_snapshot_that_is_given_up_leaves_nothing() {
        let (folder, path, mut store) = new();
        store.begin_snapshot();
        store.snapshot_piece("half".into());
        store.append("one\n".into());
        drop(store);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_kill_left_of_a_snapshot_is_removed_when_the_session_is_opened_and_no_others() {
        let (folder, path, store) = new();
        drop(store);
        let left = temporary(&path).unwrap().into_temp_path().keep().unwrap();
        let other = folder.path().join("s.toml.toml");
        let others = temporary(&other).unwrap();
        drop(Store::open(&path, 5).unwrap());
        assert!(!left.exists());
        assert!(others.path().exists());
    }

    #[test]
    fn a_barrier_is_reached_with_nothing_to_write_and_leaves_nothing_due() {
        let (_folder, path, mut store) = new();
        store.append(String::new());
        assert!(store.saved(), "nothing was appended");
        store.barrier().blocking_recv().unwrap();
        store.append("one\n".into());
        store.barrier().blocking_recv().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\n");

        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let mut writer = Writer::new(path, file, 9, Arc::default());
        writer.take(Job::Barrier(oneshot::channel().0));
        assert_eq!(writer.due(None), None);
        writer.write().unwrap();
        assert_eq!(writer.due(None), None);
    }

    #[test]
    fn a_snapshot_that_cant_be_put_in_place_is_told_and_the_old_file_goes_on() {
        let (folder, path, mut store) = new();
        // Where a folder is, no file can be put.
        let moved = folder.path().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        std::fs::create_dir(&path).unwrap();
        store.append("one\n".into());
        let placed = write_anew(&mut store, "head, one\n");
        assert!(placed.blocking_recv().unwrap().is_err());
        std::fs::rename(&path, folder.path().join("away")).unwrap();
        std::fs::rename(&moved, &path).unwrap();
        store
            .append_durable("two\n".into())
            .blocking_recv()
            .unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\ntwo\n");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn a_session_whose_folder_was_removed_is_put_back_with_all_it_said_and_locked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/s.toml");
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        let first = Lock::take(&path).unwrap();
        let mut store = Store::create(&path, |out| out.write_all(b"head\n")).unwrap();
        store
            .append_durable("one\n".into())
            .blocking_recv()
            .unwrap();
        std::fs::remove_dir_all(folder.path().join("deep")).unwrap();
        store
            .append_durable("two\n".into())
            .blocking_recv()
            .unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\ntwo\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(
            Lock::take(&path).is_err(),
            "another process could take it too"
        );
        // Also when nothing is left to be written.
        std::fs::remove_file(&path).unwrap();
        store.barrier().blocking_recv().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head\none\ntwo\n");
        drop(store);
        drop(first);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn another_file_in_its_place_is_told_and_left_as_it_is_until_a_save_replaces_it() {
        let (folder, path, mut store) = new();
        let other = folder.path().join("other");
        std::fs::write(&other, "theirs\n").unwrap();
        std::fs::rename(&other, &path).unwrap();
        let mut saved = store.append_durable("one\n".into());
        while store.error().is_none() {
            std::thread::yield_now();
        }
        assert!(store.error().unwrap().contains("place"));
        assert!(saved.try_recv().is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs\n");
        let placed = write_anew(&mut store, "head, one\n");
        placed.blocking_recv().unwrap().unwrap();
        saved.blocking_recv().unwrap();
        drop(store);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "head, one\n");
    }

    #[test]
    fn a_file_that_is_back_in_its_place_is_no_trouble_any_more_though_nothing_is_to_be_written() {
        let (folder, path, store) = new();
        let away = folder.path().join("away");
        std::fs::rename(&path, &away).unwrap();
        std::fs::write(&path, "theirs\n").unwrap();
        let reached = store.barrier();
        while store.error().is_none() {
            std::thread::yield_now();
        }
        std::fs::rename(&away, &path).unwrap();
        reached.blocking_recv().unwrap();
        assert_eq!(store.error(), None);
    }

    #[test]
    fn a_snapshot_that_cant_be_written_is_not_tried_again_at_once() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("sessions");
        std::fs::create_dir(&folder).unwrap();
        let mut store =
            Store::create(&folder.join("s.toml"), |out| out.write_all(b"head\n")).unwrap();
        let log = store.append_durable("x".repeat(usize::try_from(SHORT_LOG).unwrap() + 1));
        log.blocking_recv().unwrap();
        assert!(store.should_compact());
        // Where a file is, nothing can be written beside.
        std::fs::rename(&folder, parent.path().join("moved")).unwrap();
        std::fs::write(&folder, "").unwrap();
        let placed = write_anew(&mut store, "head, one\n");
        assert!(placed.blocking_recv().unwrap().is_err());
        assert!(!store.should_compact());
        store.append("x".repeat(usize::try_from(SHORT_LOG).unwrap() + 100));
        assert!(store.should_compact(), "but it is tried again");
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
        let path = Path::new("/dev/full");
        let full = OpenOptions::new().write(true).open(path).unwrap();
        let mut store = Store::start(path, full, 0, 0);
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
