//! Files that failed though their host was well: each goes to the tail of the queue, twice, before it is
//! for the person.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::Actor;
use crate::{
    engine::{
        protocol::{State, UploadId},
        record::{Step, Upload},
        upload::Stop,
    },
    error::Error,
};

/// How many times a file goes to the tail in one run.
const TIMES: u8 = 2;

/// How often in a row one file may be the only one that tries a host that does not answer, while others
/// wait for a place.
const TRIES_ALONE: u32 = 3;

/// The files at the tail, and how often each was put there.
#[derive(Debug, Default)]
pub(super) struct Tail {
    waiting: VecDeque<UploadId>,
    times: HashMap<UploadId, u8>,
    /// The file that failed last at a host that does not answer, and how often in a row.
    alone: Option<(UploadId, u32)>,
}

impl Tail {
    /// Whether this file waits there.
    pub(super) fn has(&self, id: UploadId) -> bool {
        self.waiting.contains(&id)
    }

    /// Forgets a file: a person decides about it from here on, or it is done.
    pub(super) fn forget(&mut self, id: UploadId) {
        self.times.remove(&id);
        self.waiting.retain(|other| *other != id);
    }
}

impl Actor {
    /// Whether a file that fails with this goes to the tail of the queue.
    pub(super) fn goes_to_tail(&self, id: UploadId, error: &Error) -> bool {
        let times = self.tail.times.get(&id).copied().unwrap_or(0);
        error.kind.counted() && times < TIMES
    }

    /// Puts a file at the tail of the queue, with all its tries before it.
    pub(super) fn put_at_tail(&mut self, id: UploadId, error: &Error) {
        let place = self.place(id, None);
        tracing::warn!("{place}: {error}; tried again when the others have gone out");
        *self.tail.times.entry(id).or_default() += 1;
        self.tail.waiting.push_back(id);
        let now = Instant::now();
        self.queue.with_begun(id, |begun| {
            begun.step = Step::Idle;
            begun.wait = None;
            begun.retry(now, None);
        });
    }

    /// A file failed at a host that does not answer. Where it alone has tried that, and another waits for a
    /// place, it is that one's turn: it may be the file that fails, and not the host.
    pub(super) fn let_another_try(&mut self, id: UploadId) {
        let before = self.tail.alone.filter(|(alone, _)| *alone == id);
        let times = before.map_or(0, |(_, times)| times) + 1;
        self.tail.alone = Some((id, times));
        if times < TRIES_ALONE || !self.active.contains(&id) {
            return;
        }
        let Some(next) = self.next_queued().filter(|next| !self.tail.has(*next)) else {
            return;
        };
        let (place, next) = (self.place(id, None), self.place(next, None));
        tracing::info!("{place} lets {next} try, which may fare better");
        self.tail.alone = None;
        self.tail.waiting.push_back(id);
        self.dismiss(id, Stop::Cancel);
    }

    /// The first file at the tail that may go out; it leaves the tail when it does.
    pub(super) fn next_at_tail(&self) -> Option<UploadId> {
        let queued = |upload: &Upload| upload.state() == State::Queued;
        let mut waiting = self.tail.waiting.iter().copied();
        waiting.find(|id| self.queue.get(*id).is_some_and(queued) && !self.tasks.contains_key(id))
    }

    /// This file goes out now.
    pub(super) fn leaves_tail(&mut self, id: UploadId) {
        self.tail.waiting.retain(|other| *other != id);
    }
}
