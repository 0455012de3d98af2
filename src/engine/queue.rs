//! All uploads of the session, in order, with their counters; pure. Every change goes through
//! [`Queue::apply`] (what is kept) or [`Queue::with`] (what goes on now), which keep the counters
//! true without ever counting anew.
//!
//! Here is how uploads come, go and are looked up; `changing`, `moving`, `slots` (by id), `kept` (from a
//! session's file and to it), `gaps` (in a damaged one), `taken_out` and `walks` have the rest.

mod changing;
mod gaps;
mod kept;
mod moving;
mod slots;
mod taken_out;
mod walks;

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
};

use self::{gaps::Gaps, slots::Slots, taken_out::TakenOut, walks::Unread};
use super::{
    accounts::Accounts,
    folders::{Folders, Share},
    protocol::{ByteTotals, Counts, ROOT, State, UploadId},
    record::{Begun, Hold, Phase, Upload},
};
use crate::{
    identity::Identity,
    ids::{MOST_UPLOADS, MediaId},
    session::{Kept, Orphan, Progress, Times, Walks},
};

/// All uploads of a session.
#[derive(Debug, Default)]
pub struct Queue {
    uploads: Slots,
    order: Vec<UploadId>,
    /// No upload before this place of the order is queued.
    first_queued: usize,
    by_path: HashMap<u64, UploadId>,
    hasher: RandomState,
    /// Which files lie where, and what they add up to: over all, that is what the root says.
    folders: Folders,
    unread: Unread,
    taken_out: BTreeMap<UploadId, TakenOut>,
    /// By their markers.
    orphans: BTreeMap<String, Orphan>,
    accounts: Accounts,
    /// While a session file is read whose log has gaps.
    gaps: Option<Gaps>,
    /// What was to be walked.
    pub walks: Walks,
    /// Bytes acknowledged in this run.
    sent: u64,
    already_there: u64,
    removed: usize,
    version: u64,
    shape: u64,
}

impl Queue {
    /// How many uploads there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len() - self.removed
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The uploads in the order in which they go.
    #[must_use]
    pub fn order(&self) -> &[UploadId] {
        &self.order
    }

    /// Uploads by state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.folders.totals(ROOT).counts
    }

    /// How much is left to do: uploads, and walks that may find more.
    #[must_use]
    pub fn left(&self) -> usize {
        self.counts().left() + self.walks_left()
    }

    /// Bytes over all uploads that are not skipped; `in_flight` is not known here.
    #[must_use]
    pub fn bytes(&self) -> ByteTotals {
        let totals = self.folders.totals(ROOT);
        ByteTotals {
            total: totals.bytes,
            acknowledged: totals.acknowledged,
            sent: self.sent,
            already_there: self.already_there,
            in_flight: 0,
        }
    }

    /// A number that changes whenever an upload comes, goes, moves, or changes its state.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// A number that changes whenever an upload comes, goes, moves, or changes its size: what its
    /// state does is no reason to put the others in another order.
    #[must_use]
    pub fn shape(&self) -> u64 {
        self.shape
    }

    /// The folders that the files lie in.
    #[must_use]
    pub fn folders(&self) -> &Folders {
        &self.folders
    }

    /// A folder that all files lie in, however deep; empty where they have none in common. It does
    /// not grow when files are taken out, for that would mean to look at all of them.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folders.path(self.folders.common())
    }

    /// The upload with this number.
    #[must_use]
    pub fn get(&self, id: UploadId) -> Option<&Upload> {
        self.uploads.get(id)
    }

    /// What is under way of this upload.
    #[must_use]
    pub fn begun(&self, id: UploadId) -> Option<&Begun> {
        self.get(id)?.begun()
    }

    /// The upload of this file, if it is queued.
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<UploadId> {
        let id = *self.by_path.get(&self.path_hash(path))?;
        self.get(id)
            .is_some_and(|upload| &*upload.path == path)
            .then_some(id)
    }

    fn path_hash(&self, path: &Path) -> u64 {
        self.hasher.hash_one(path)
    }

    /// Whether all ids are given out, so that nothing can be queued any more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.uploads.next_id() > MOST_UPLOADS
    }

    /// The id for the next upload; `None` when this path is queued already, or no id is free.
    fn id_for(&self, path: &Path) -> Option<UploadId> {
        (self.find(path).is_none() && !self.is_full()).then(|| self.uploads.next_id())
    }

    /// Queues a file at the end; `None` when it is queued already, or the queue [is full](Self::is_full).
    /// `again`: it is uploaded once more, where it is uploaded already.
    pub fn add(&mut self, path: PathBuf, identity: Identity, again: bool) -> Option<Kept> {
        let id = self.id_for(&path)?;
        let kept = Kept {
            again,
            ..queued(id, path, identity)
        };
        self.insert(kept.clone());
        Some(kept)
    }

    fn insert(&mut self, kept: Kept) {
        let Kept {
            id,
            path,
            identity,
            times,
            again,
            state,
            reason,
            account,
            progress,
            unread,
        } = kept;
        let path = path.into_boxed_path();
        let reason = reason.map(Box::new);
        let media = |progress: Option<Progress>| {
            progress
                .and_then(|progress| progress.ticket?.media)
                .unwrap_or_else(|| MediaId::from(""))
        };
        let (hold, phase) = match (state, reason) {
            (State::Done, _) if unread.is_none() => (Hold::None, Phase::Done(media(progress))),
            (state, reason) => {
                let hold = match (state, reason) {
                    (State::Paused, _) => Hold::Paused,
                    (State::Failed, Some(error)) => Hold::Failed(error),
                    (State::Changed, Some(error)) => Hold::Changed(error),
                    (State::Skipped, Some(error)) => Hold::Skipped(error),
                    _ => Hold::None,
                };
                let begun = |progress| Phase::Begun(Box::new(Begun::new(progress)));
                let phase = unread.map_or(Phase::Waiting, Phase::Unread);
                (hold, progress.map_or(phase, begun))
            }
        };
        if let Some(before) = self.by_path.insert(self.path_hash(&path), id) {
            self.taken_out.remove(&before);
        }
        let upload = Upload {
            path,
            identity,
            times,
            attempts: 0,
            account: self.accounts.index(account.as_ref()),
            again,
            hold,
            phase,
        };
        self.folders.come(id, &upload.path, Share::of(&upload));
        self.unread.come(&upload);
        self.uploads.insert(id, upload);
        self.order.push(id);
        self.reshaped();
    }

    fn reshaped(&mut self) {
        self.version += 1;
        self.shape += 1;
    }

    fn remove(&mut self, id: UploadId) {
        let Some(upload) = self.uploads.take(id) else {
            return;
        };
        self.folders.go(id, Share::of(&upload));
        self.unread.go(&upload);
        self.take_out(id, upload);
        self.removed += 1;
        self.reshaped();
    }

    /// Closes the gaps that removed uploads left in the order.
    pub fn tidy(&mut self) {
        if self.removed > 0 {
            let uploads = &self.uploads;
            self.order.retain(|id| uploads.get(*id).is_some());
            self.removed = 0;
            self.first_queued = 0;
        }
    }

    /// Looks for queued uploads from the first one on: some were passed over that may go out now.
    pub fn look_again(&mut self) {
        self.first_queued = 0;
    }

    /// This upload may wait for its turn again.
    pub fn look_again_from(&mut self, id: UploadId) {
        let place = self.order[..self.first_queued]
            .iter()
            .position(|other| *other == id);
        self.first_queued = place.unwrap_or(self.first_queued);
    }

    /// The first upload that waits for its turn, of those that are not `busy`. One that is has to be
    /// looked for again when it no longer is ([`Self::look_again_from`]).
    pub fn next_queued(
        &mut self,
        mut busy: impl FnMut(UploadId, &Upload) -> bool,
    ) -> Option<UploadId> {
        let mut queued = |queue: &Self, id| {
            let upload = queue.get(id);
            upload.is_some_and(|upload| upload.state() == State::Queued && !busy(id, upload))
        };
        while let Some(id) = self.order.get(self.first_queued) {
            if queued(self, *id) {
                return Some(*id);
            }
            self.first_queued += 1;
        }
        None
    }
}

/// A file as it is when it comes into the queue.
fn queued(id: UploadId, path: PathBuf, identity: Identity) -> Kept {
    Kept {
        id,
        path,
        identity,
        times: Times::default(),
        again: false,
        state: State::Queued,
        reason: None,
        account: None,
        progress: None,
        unread: None,
    }
}

#[cfg(test)]
mod tests;
