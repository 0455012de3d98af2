//! One part on its way: file range → MD5 → blocks for a request body; knows no destination.
//!
//! A blocking thread reads and hashes ahead by a few blocks ([`BLOCK`] each), so a part costs the
//! same memory whatever its size, and neither disk nor MD5 ever runs on an async thread.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use md5::{Digest, Md5};
use tokio::sync::mpsc;

use crate::{engine::rate::Pace, plan::Part};

/// How many bytes are read, hashed and handed on at once.
pub const BLOCK: usize = 128 * 1024;

/// How many blocks are read ahead of the socket.
const AHEAD: usize = 2;

/// What can be seen of a part from outside while its body is sent.
#[derive(Debug, Default)]
pub struct Progress {
    taken: AtomicU64,
    held: AtomicBool,
    starved: AtomicU64,
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

/// The body of the request that sends one part: exactly the part's bytes, its length known
/// beforehand.
#[derive(Debug)]
pub struct PartBody {
    blocks: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
    left: u64,
    pace: Pace,
    progress: Arc<Progress>,
    hungry_since: Option<Instant>,
}

impl PartBody {
    /// Opens the tap: from now on a blocking thread reads `part` of `file` ahead of the body.
    /// Bytes leave no faster than `pace` allows.
    ///
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn new(file: Arc<File>, part: Part, pace: Pace, progress: Arc<Progress>) -> Self {
        let (sender, blocks) = mpsc::channel(AHEAD);
        let seen = Arc::clone(&progress);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = read_and_hash(&file, part, &sender, &seen) {
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

/// Reads the part block by block, and leaves its MD5 in `progress` before the last block goes out,
/// so that whoever has the answer to the request has the MD5 too. Ends early, and well, when the
/// body was dropped.
fn read_and_hash(
    file: &File,
    part: Part,
    blocks: &mpsc::Sender<io::Result<Bytes>>,
    progress: &Progress,
) -> io::Result<()> {
    let mut md5 = Md5::new();
    let mut used = Used::default();
    let mut at = part.offset;
    let end = part.range().end;
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
        let mut block = used.block(length);
        file.read_exact_at(&mut block, at)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    io::Error::new(error.kind(), "the file became shorter while it was read")
                }
                _ => error,
            })?;
        md5.update(&block);
        at += length as u64;
        if at == end {
            drop(progress.outcome.set(Ok(md5.finalize_reset().into())));
        }
        if blocks.blocking_send(Ok(used.hand_on(block))).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Blocks that were handed on, oldest first, to be filled again when nobody else holds them: a fresh
/// one has to be filled with zeros first.
#[derive(Debug, Default)]
struct Used(VecDeque<Bytes>);

impl Used {
    /// A block of this length, with anything in it.
    fn block(&mut self, length: usize) -> BytesMut {
        // They come free in the order in which they went.
        let again = self.0.pop_front().map(Bytes::try_into_mut);
        match again {
            Some(Ok(mut block)) => {
                block.resize(length, 0);
                block
            }
            Some(Err(held)) => {
                self.0.push_front(held);
                BytesMut::zeroed(length)
            }
            None => BytesMut::zeroed(length),
        }
    }

    fn hand_on(&mut self, block: BytesMut) -> Bytes {
        let block = block.freeze();
        self.0.push_back(block.clone());
        block
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
