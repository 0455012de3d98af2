//! The session written anew, a slice at a time, so that nobody waits for a million uploads.
//!
//! The uploads are written in the order in which they stood when it was begun. What changes of one
//! that is still to come is in the snapshot when its turn comes; what changes of one that was written
//! already, or is new, goes behind the snapshot as a log. So every change is in the new file once, and
//! all of them are in the old one, which is the session until the new one is whole.

use std::time::Duration;

use tokio::{sync::oneshot, time::Instant};

use super::Actor;
use crate::{
    engine::{
        protocol::{Outcome, UploadId},
        worker::Done,
    },
    session::{Change, Header, record, walks::write_walk},
};

/// Why nothing more can be written.
const CLOSED: &str = "it is closed";

/// How much is written at once, in bytes: about a millisecond's work.
const SLICE: usize = 128 * 1024;

/// How long after a changed order could not be saved it is tried again: all uploads are written.
const AGAIN: Duration = Duration::from_mins(1);

/// How long a disk that is slower than we are is left alone until it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long a save that was asked for is waited for before it is said that it goes on.
const SAVE_WAIT: Duration = Duration::from_secs(5);

/// A snapshot under way.
#[derive(Debug)]
pub(super) struct Snapshot {
    order: std::vec::IntoIter<UploadId>,
    /// Which uploads are still to come, by number.
    to_come: Vec<bool>,
    /// What changed of others meanwhile.
    log: String,
    /// Whether all of it was handed over.
    whole: bool,
    /// Whether a changed order is what it is for.
    reordered: bool,
    /// Who waits for it.
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
}

impl Snapshot {
    /// Whether there is more to write.
    pub(super) fn goes_on(&self) -> bool {
        !self.whole
    }

    /// Whether it says an order that the file does not say yet.
    pub(super) fn is_of_a_new_order(&self) -> bool {
        self.reordered
    }

    /// Something is appended to the session: a change of this upload, or what is none's.
    pub(super) fn appended(&mut self, id: Option<UploadId>, text: &str) {
        let to_come = id.is_some_and(|id| self.to_come.get(id as usize) == Some(&true));
        if !to_come && !self.whole {
            self.log.push_str(text);
        }
    }
}

impl Actor {
    /// Appends to the session what is on disk soon.
    pub(super) fn append(&mut self, id: Option<UploadId>, text: String) {
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.appended(id, &text);
        }
        self.session.store.append(text);
    }

    pub(super) fn compact_when_due(&mut self) {
        let reordered = self.reorder_at.is_some_and(|at| at <= Instant::now());
        if self.snapshot.is_none() && (reordered || self.session.store.should_compact()) {
            self.begin_snapshot();
        }
    }

    pub(super) fn begin_snapshot(&mut self) {
        self.queue.tidy();
        // What is out comes first: another upload may have its path since.
        let mut order: Vec<UploadId> = self.queue.all_taken_out().collect();
        order.extend_from_slice(self.queue.order());
        let highest = order.iter().max().map_or(0, |id| *id as usize + 1);
        let mut to_come = vec![false; highest];
        for id in &order {
            to_come[*id as usize] = true;
        }
        let header = Header {
            settings: self.settings.clone(),
            ..self.session.header.clone()
        };
        self.session.store.begin_snapshot();
        let mut head = record::write_header(&header);
        for walk in self.queue.walks_kept() {
            write_walk(&mut head, &walk);
        }
        self.session.store.snapshot_piece(head);
        self.snapshot = Some(Snapshot {
            order: order.into_iter(),
            to_come,
            log: String::new(),
            whole: false,
            reordered: self.reorder_at.take().is_some(),
            waiting: Vec::new(),
        });
    }

    /// Comes when there is more to write, and the disk has kept up so far.
    pub(super) fn slice_may_be_written(&self) -> impl Future<Output = ()> + use<> {
        let goes_on = self.snapshot.as_ref().is_some_and(Snapshot::goes_on);
        let takes_pieces = self.session.store.takes_pieces();
        async move {
            if !goes_on {
                std::future::pending::<()>().await;
            }
            if !takes_pieces {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// Writes the next slice; the last one puts the whole in place.
    pub(super) fn write_slice(&mut self) {
        let Some(snapshot) = self.snapshot.as_mut().filter(|it| it.goes_on()) else {
            return;
        };
        if !self.session.store.takes_pieces() {
            return;
        }
        let mut text = String::with_capacity(SLICE * 2);
        while text.len() < SLICE {
            let Some(id) = snapshot.order.next() else {
                snapshot.whole = true;
                break;
            };
            snapshot.to_come[id as usize] = false;
            if let Some(kept) = self.queue.kept_of(id) {
                record::write_upload(&mut text, &kept);
            } else if let Some(kept) = self.queue.kept_of_taken_out(id) {
                record::write_upload(&mut text, &kept);
                // Behind the walks that were begun meanwhile, since it stays out of them too.
                record::write_change(&mut snapshot.log, id, &Change::Removed);
            }
        }
        self.session.store.snapshot_piece(text);
        if snapshot.whole {
            let log = std::mem::take(&mut snapshot.log);
            let placed = self.session.store.place_snapshot(log);
            // No step of an upload's: nothing is under way because of it.
            self.steps.spawn(async move {
                let placed = placed.await.map_err(|_| CLOSED.to_owned());
                Done::Placed(placed.and_then(|placed| placed.map_err(|error| error.to_string())))
            });
        }
    }

    /// The snapshot is in place, or can't be put there. Then the old file goes on; appends to it tell
    /// of a disk that takes nothing at all.
    pub(super) fn placed(&mut self, placed: &Result<(), String>) {
        let Some(snapshot) = self.snapshot.take() else {
            return;
        };
        if placed.is_err() && snapshot.reordered {
            self.reorder_at.get_or_insert(Instant::now() + AGAIN);
        }
        for waiting in snapshot.waiting {
            drop(waiting.send(placed.clone()));
        }
    }

    /// Hands over all of a changed order at the end of a run: nothing else in the file says it. What is
    /// placed is on disk when the store's next barrier is reached. A snapshot that only shortens the
    /// log is given up.
    pub(super) async fn save_new_order(&mut self) {
        if self.reorder_at.is_some() {
            self.begin_snapshot();
        }
        while self
            .snapshot
            .as_ref()
            .is_some_and(|it| it.is_of_a_new_order() && it.goes_on())
        {
            self.slice_may_be_written().await;
            self.write_slice();
            tokio::task::yield_now().await;
        }
    }

    /// Writes the session file anew, and answers when it is on disk.
    pub(super) fn save(&mut self, answer: oneshot::Sender<Outcome>) {
        if self.snapshot.is_none() {
            self.begin_snapshot();
        }
        let (told, placed) = oneshot::channel();
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.waiting.push(told);
        }
        // One that is all written already says nothing of what came after that.
        let barrier = self.session.store.barrier();
        let saving = async {
            let closed = |_| CLOSED.to_owned();
            placed.await.map_err(closed)??;
            barrier.await.map_err(closed)
        };
        self.steps.spawn(async move {
            let saved = tokio::time::timeout(SAVE_WAIT, saving).await;
            Done::Saved(saved.ok(), answer)
        });
    }

    /// What is answered to who asked to save; `None`: it takes its time.
    pub(super) fn saved(&self, saved: Option<Result<(), String>>) -> Outcome {
        let error = match saved {
            Some(Ok(())) => return Outcome::new(self.queue.len(), "saved"),
            Some(Err(error)) => Some(error),
            None => self.session.store.error(),
        };
        Outcome::refused(match error {
            Some(error) => format!("the session can't be saved: {error}"),
            None => "saving takes its time and goes on".to_owned(),
        })
    }
}
