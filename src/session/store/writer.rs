//! The thread that owns the session file: what it was given is on disk soon, in few syncs, and the
//! file goes by its name. Asks nobody anything; what it can't do it tells, and tries again.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    sync::{Arc, PoisonError, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use tempfile::NamedTempFile;
use tokio::sync::oneshot;

use super::{
    BATCH, Job, Shared,
    beside::{beside, folder_of, persist_new, sync_folder},
};
use crate::{session::lock::Lock, state_dir::make_private};

/// The least time between two syncs: no second has more than ten of them, wherever it begins.
pub(super) const BETWEEN_SYNCS: Duration = Duration::from_millis(105);

/// How long after a failed write it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How many bytes at the end of a session file show which one it is: they hold checksums under a number
/// that no other file has.
const END: usize = 4096;

/// The thread's side.
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    /// How long the file is with all that was written whole.
    length: u64,
    /// Whether what lies behind that was cut off: a later write may be shorter than it is.
    is_cut: bool,
    waiting: Vec<u8>,
    waiters: Vec<oneshot::Sender<()>>,
    /// Since when something is to be brought to disk: `waiting` is not empty, or `renamed`.
    oldest: Option<Instant>,
    /// Whether a file that took the place of ours is to be replaced.
    reclaims: bool,
    /// Whether a rewritten file is in place, and its folder has yet to be synced.
    renamed: bool,
    /// The lock that had to be taken anew, where the first one's file was removed too.
    lock: Option<Lock>,
    last_sync: Option<Instant>,
    shared: Arc<Shared>,
}

impl Writer {
    pub(super) fn new(path: PathBuf, file: File, length: u64, shared: Arc<Shared>) -> Self {
        Self {
            path,
            file,
            length,
            is_cut: false,
            waiting: Vec::new(),
            waiters: Vec::new(),
            oldest: None,
            reclaims: false,
            renamed: false,
            lock: None,
            last_sync: None,
            shared,
        }
    }

    pub(super) fn run(&mut self, jobs: &mpsc::Receiver<Job>) {
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
                    taken += u64::from(matches!(job, Job::Append(_)));
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

    pub(super) fn take(&mut self, job: Job) {
        match job {
            Job::Append(text) => {
                self.waiting.extend_from_slice(text.as_bytes());
                self.oldest.get_or_insert_with(Instant::now);
            }
            Job::Barrier(reached) => self.waiters.push(reached),
            Job::Save(reached) => {
                self.reclaims = true;
                self.waiters.push(reached);
            }
            Job::Replace(temporary, length, done) => {
                let replaced = self.replace(temporary, length);
                let is_in_place = replaced.is_ok();
                let saved = replaced.and_then(|()| self.settle());
                let _ = done.send((is_in_place, saved));
            }
        }
    }

    /// When what waits has to be written; `None` when nothing does. What failed is tried again also
    /// where that was but a look at the file: until it goes well nothing is begun that would be written.
    pub(super) fn due(&self, failed_at: Option<Instant>) -> Option<Instant> {
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

    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.renamed {
            self.settle()?;
        }
        self.stand_in_place()?;
        if self.waiting.is_empty() {
            return Ok(());
        }
        if !self.is_cut {
            if self.file.metadata()?.len() > self.length {
                self.file.set_len(self.length)?;
                self.file.sync_all()?;
            }
            self.is_cut = true;
        }
        // Always at the end of what was written whole: half a table of a failed try is written over.
        self.file.write_all_at(&self.waiting, self.length)?;
        self.last_sync = Some(Instant::now());
        self.file.sync_data()?;
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        self.length += self.waiting.len() as u64;
        self.nothing_waits();
        self.oldest = None;
        // A file that had to be recognised by what it says is certain only now.
        self.stand_in_place()
    }

    /// All that was appended is on disk.
    fn nothing_waits(&mut self) {
        let length = self.waiting.len() as u64;
        self.waiting.clear();
        self.waiting.shrink_to(1 << 20);
        self.shared.backlog.fetch_sub(length, Ordering::AcqRel);
        self.shared.caught_up.notify_waiters();
    }

    /// Sees to it that the file still goes by its name.
    fn stand_in_place(&mut self) -> io::Result<()> {
        match std::fs::metadata(&self.path) {
            Ok(there) if self.is_ours(&there)? => {}
            Ok(_) if self.reclaims => self.put_back()?,
            Ok(_) => {
                return Err(io::Error::other(
                    "another file has taken the session file's place; save to replace it",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.put_back()?,
            Err(error) => return Err(error),
        }
        self.reclaims = false;
        Ok(())
    }

    /// Whether the file that goes by our name is ours. Some file systems make up an inode number at each look:
    /// there it is ours if it ends as ours does. So does a copy that took its place, until something is
    /// appended.
    fn is_ours(&self, there: &Metadata) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) {
            return Ok(true);
        }
        if there.len() != ours.len() {
            return Ok(false);
        }
        let begin = self.length.saturating_sub(END as u64);
        let end = |file: &File| {
            let mut bytes = vec![0; END.min(usize::try_from(self.length).unwrap_or(END))];
            file.read_exact_at(&mut bytes, begin).map(|()| bytes)
        };
        Ok(end(&File::open(&self.path)?)? == end(&self.file)?)
    }

    /// Makes the file that lost its name anew, with all that the old one said.
    fn put_back(&mut self) -> io::Result<()> {
        make_private(folder_of(&self.path))?;
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
        let placed = if self.reclaims {
            temporary.persist(&self.path).map_err(io::Error::from)
        } else {
            persist_new(temporary, &self.path)
        };
        self.file = placed?;
        tracing::warn!("the session file was removed or replaced from outside, and is put back");
        sync_folder(&self.path)
    }

    /// Puts a rewritten file in the place of the old one; its name [has yet to last](Self::settle).
    fn replace(&mut self, temporary: NamedTempFile, length: u64) -> io::Result<()> {
        self.stand_in_place()?;
        self.file = temporary.persist(&self.path).map_err(|error| error.error)?;
        self.length = length;
        // The new file says all that was waiting.
        self.nothing_waits();
        self.renamed = true;
        self.oldest = Some(Instant::now());
        self.last_sync = Some(Instant::now());
        Ok(())
    }

    /// Makes the rewritten file's name last.
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
