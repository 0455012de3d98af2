//! One part on its way: file range → MD5 → blocks for a request body; knows no destination.
//!
//! A blocking thread reads and hashes ahead by a few blocks ([`BLOCK`] each), so a part costs the
//! same memory whatever its size, and neither disk nor MD5 ever runs on an async thread.

mod blocks;

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

use self::blocks::Blocks;
use crate::{hashing::Hashing, limiter::LimiterShare, plan::Part};

/// How many bytes are read, hashed and handed on at once.
pub const BLOCK: usize = 128 * 1024;

/// How many blocks are read ahead of the socket.
const AHEAD: usize = 2;

/// What all parts share that are read: memory, and who hashes. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    blocks: Blocks,
    hashing: Hashing,
    /// Where it is seen from outside that it waits for the disk.
    seen_in: Option<Arc<Progress>>,
}

impl Reading {
    /// The same, seen from outside while it waits for the disk.
    #[must_use]
    pub fn seen_in(&self, progress: &Arc<Progress>) -> Self {
        Self {
            seen_in: Some(Arc::clone(progress)),
            ..self.clone()
        }
    }

    /// The disk is waited for as long as what this returns is kept.
    pub fn waits(&self) -> Option<Waiting> {
        self.seen_in.as_ref().map(Progress::waits)
    }

    /// The MD5 of a part. Blocks.
    ///
    /// # Errors
    /// When the file can't be read, or ends before the part does.
    pub fn md5(&self, file: &File, part: Part) -> io::Result<[u8; 16]> {
        let mut md5 = self.hashing.stream();
        let mut left = part.range();
        while !left.is_empty() {
            md5.add(self.block(file, &mut left)?);
        }
        Ok(md5.finish())
    }

    /// Sends the part block by block, and leaves its MD5 in `progress` before the last block goes out,
    /// so that whoever has the answer to the request has the MD5 too. Ends early, and well, when the
    /// body was dropped.
    fn send(
        &self,
        file: &File,
        part: Part,
        body: &mpsc::Sender<io::Result<Bytes>>,
        progress: &Progress,
    ) -> io::Result<()> {
        let mut md5 = self.hashing.stream();
        let mut left = part.range();
        loop {
            let block = self.block(file, &mut left)?;
            if left.is_empty() {
                md5.add(block.clone());
                drop(progress.outcome.set(Ok(md5.finish())));
                drop(body.blocking_send(Ok(block)));
                return Ok(());
            }
            // The connection goes first.
            if body.blocking_send(Ok(block.clone())).is_err() {
                return Ok(());
            }
            md5.add(block);
        }
    }

    /// Reads what comes next.
    fn block(&self, file: &File, left: &mut Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(left.end - left.start)
            .unwrap_or(BLOCK)
            .min(BLOCK);
        let mut block = self.blocks.take();
        let waiting = self.waits();
        let read = file.read_exact_at(block.first(length), left.start);
        drop(waiting);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(error.kind(), "the file became shorter while it was read")
            }
            _ => error,
        })?;
        left.start += length as u64;
        Ok(block.filled())
    }
}

/// What can be seen of a part from outside while its body is sent.
#[derive(Debug, Default)]
pub struct Progress {
    taken: AtomicU64,
    held: AtomicBool,
    starved: AtomicU64,
    /// How many wait for the disk, and since when any has.
    waiting: Mutex<(usize, Option<Instant>)>,
    outcome: OnceLock<io::Result<[u8; 16]>>,
}

impl Progress {
    /// How many bytes the connection took so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether the connection would take bytes that the cap holds back.
    #[must_use]
    pub fn held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// For how long the connection would have taken bytes that were not read and hashed yet.
    #[must_use]
    pub fn starved(&self) -> Duration {
        Duration::from_micros(self.starved.load(Ordering::Relaxed))
    }

    /// The disk is waited for as long as what this returns is kept: the thread that reads may wait while the
    /// file is looked at.
    #[must_use]
    pub fn waits(self: &Arc<Self>) -> Waiting {
        let mut waiting = self.waiting();
        waiting.0 += 1;
        waiting.1.get_or_insert_with(Instant::now);
        Waiting(Arc::clone(self))
    }

    /// For how long the disk has been waited for; `None`: it is not.
    #[must_use]
    pub fn reading_for(&self) -> Option<Duration> {
        self.waiting().1.map(|since| since.elapsed())
    }

    fn waiting(&self) -> MutexGuard<'_, (usize, Option<Instant>)> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The MD5 of the part, once it was read to its end.
    #[must_use]
    pub fn md5(&self) -> Option<[u8; 16]> {
        self.outcome.get()?.as_ref().ok().copied()
    }

    /// Why the file could not be read, if that is what ended the part.
    #[must_use]
    pub fn read_error(&self) -> Option<&io::Error> {
        self.outcome.get()?.as_ref().err()
    }
}

/// Somebody waits for the disk, until this is dropped.
#[derive(Debug)]
pub struct Waiting(Arc<Progress>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.0 -= 1;
        if waiting.0 == 0 {
            waiting.1 = None;
        }
    }
}

/// The body of the request that sends one part: exactly the part's bytes, its length known
/// beforehand.
#[derive(Debug)]
pub struct PartBody {
    blocks: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
    left: u64,
    pace: LimiterShare,
    progress: Arc<Progress>,
    hungry_since: Option<Instant>,
}

impl PartBody {
    /// Opens the tap: from now on a blocking thread reads `part` of `file` ahead of the body.
    /// Bytes leave no faster than `pace` allows.
    ///
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn new(
        file: Arc<File>,
        part: Part,
        reading: &Reading,
        pace: LimiterShare,
        progress: Arc<Progress>,
    ) -> Self {
        let reading = reading.clone();
        let (sender, blocks) = mpsc::channel(AHEAD);
        let seen = Arc::clone(&progress);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = reading.send(&file, part, &sender, &seen) {
                let copy = io::Error::new(error.kind(), error.to_string());
                drop(seen.outcome.set(Err(error)));
                drop(sender.blocking_send(Err(copy)));
            }
        });
        Self {
            blocks,
            current: Bytes::new(),
            left: part.length,
            pace,
            progress,
            hungry_since: None,
        }
    }

    /// What can be seen of it from outside.
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// How many bytes are still to come.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.left
    }

    /// Whether nothing is to come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl http_body::Body for PartBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.current.is_empty() {
            let block = self.blocks.poll_recv(context);
            match self.hungry_since {
                None if block.is_pending() => self.hungry_since = Some(Instant::now()),
                Some(since) if block.is_ready() => {
                    let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.progress.starved.fetch_add(micros, Ordering::Relaxed);
                    self.hungry_since = None;
                }
                _ => {}
            }
            match ready!(block) {
                Some(Ok(block)) => self.current = block,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let gone = io::Error::other("the reader ended before the part did");
                    return Poll::Ready(Some(Err(gone)));
                }
            }
        }
        let length = self.current.len();
        let allowed = self.pace.poll_take(context, length);
        let held = allowed.is_pending();
        self.progress.held.store(held, Ordering::Relaxed);
        let allowed = ready!(allowed);
        let piece = self.current.split_to(allowed);
        self.left -= piece.len() as u64;
        self.progress
            .taken
            .fetch_add(piece.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_is_waited_for_as_long_as_anybody_waits() {
        let progress = Arc::<Progress>::default();
        assert!(progress.reading_for().is_none());
        let reader = progress.waits();
        let look = progress.waits();
        drop(reader);
        assert!(progress.reading_for().is_some(), "the look still waits");
        drop(look);
        assert!(progress.reading_for().is_none());
    }
}
