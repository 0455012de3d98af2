//! Files that were taken out while a walk went on: where that is cut short and begun anew, it comes upon
//! them again, and they are to stay out. Whoever names them in another walk wants them back.

use std::path::Path;

use super::{Queue, queued};
use crate::{
    engine::{
        protocol::UploadId,
        record::{Phase, Upload},
    },
    identity::Identity,
    ids::WalkId,
    session::Kept,
};

/// A file that was taken out.
#[derive(Debug)]
pub(super) struct TakenOut {
    path: Box<Path>,
    identity: Identity,
    /// The last walk that it is to stay out of.
    until: WalkId,
}

impl Queue {
    /// Keeps what was taken out, as long as a walk goes on.
    pub(super) fn take_out(&mut self, id: UploadId, upload: Upload) {
        if self.walks_left() == 0 || matches!(upload.phase, Phase::Unread(_)) {
            return self.forget_path(id, &upload.path);
        }
        let out = TakenOut {
            path: upload.path,
            identity: upload.identity,
            until: self.walks.last_id(),
        };
        self.taken_out.insert(id, out);
    }

    /// Another upload has this path now, or none is to be known by it.
    pub(super) fn forget_path(&mut self, id: UploadId, path: &Path) {
        let hash = self.path_hash(path);
        if self.by_path.get(&hash) == Some(&id) {
            self.by_path.remove(&hash);
        }
    }

    /// Whether a file was taken out that this walk has come upon.
    #[must_use]
    pub fn stays_out(&self, path: &Path, walk: WalkId) -> bool {
        if self.taken_out.is_empty() {
            return false;
        }
        let out = self.by_path.get(&self.path_hash(path));
        let out = out.and_then(|id| self.taken_out.get(id));
        out.is_some_and(|out| &*out.path == path && walk <= out.until)
    }

    /// A walk came to its end; whether that is news. What no walk that is left is to pass over is
    /// forgotten.
    pub fn walk_over(&mut self, walk: WalkId) -> bool {
        let ended = self.walks.end(walk);
        let first = self.walks.open().map(|walk| walk.id).next();
        let still = |out: &TakenOut| first.is_some_and(|first| first <= out.until);
        let over = self.taken_out.extract_if(.., |_, out| !still(out));
        for (id, out) in over.collect::<Vec<_>>() {
            self.forget_path(id, &out.path);
        }
        ended
    }

    /// The numbers of what is to stay out, each with the last walk it is to stay out of; by that.
    pub(super) fn taken_out_by_walk(&self) -> Vec<(WalkId, UploadId)> {
        let all = self.taken_out.iter();
        let mut all: Vec<_> = all.map(|(id, out)| (out.until, *id)).collect();
        all.sort_unstable();
        all
    }

    /// The numbers of what is to stay out.
    pub fn all_taken_out(&self) -> impl Iterator<Item = UploadId> + '_ {
        self.taken_out.keys().copied()
    }

    /// What is kept of an upload that is to stay out: as it was queued.
    #[must_use]
    pub fn kept_of_taken_out(&self, id: UploadId) -> Option<Kept> {
        let out = self.taken_out.get(&id)?;
        Some(queued(id, out.path.to_path_buf(), out.identity))
    }
}
