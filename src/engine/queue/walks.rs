//! The walks that the queue is filled by: those that are left, and the paths that they could not read.

use std::{collections::HashSet, path::PathBuf};

use super::Queue;
use crate::{
    engine::{protocol::State, record::Upload},
    error::Error,
    identity::Identity,
    ids::WalkId,
    session::{Kept, Times, Walk},
};

/// How many paths among the uploads could not be read.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Those that count as failures.
    failed: usize,
    /// Those that were left out since, too.
    all: usize,
}

impl Unread {
    pub(super) fn come(&mut self, upload: &Upload) {
        self.failed += usize::from(upload.unread().is_some());
        self.all += usize::from(upload.walk().is_some());
    }

    pub(super) fn go(&mut self, upload: &Upload) {
        self.failed -= usize::from(upload.unread().is_some());
        self.all -= usize::from(upload.walk().is_some());
    }
}

impl Queue {
    /// How many of those that failed are paths that a walk could not read.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.unread.failed
    }

    /// How many walks did not come to their end.
    #[must_use]
    pub fn walks_left(&self) -> usize {
        self.walks.open().count()
    }

    /// The walks that are of any use: while anything is left to upload, all of them, for what is queued lies
    /// in their folders and on their disks; after that those that did not come to their end, those that
    /// could not read something, and those that may tell so yet.
    pub fn walks_kept(&self) -> impl Iterator<Item = Walk> + '_ {
        // Of those that were left out, too: their tables name the walk. Mostly there are none, and a
        // million uploads need not be looked at.
        let uploads = self.uploads.iter().filter_map(Upload::walk);
        let unread: HashSet<WalkId> = match self.unread.all {
            0 => HashSet::new(),
            _ => uploads.collect(),
        };
        let is_needed = self.counts().left() > 0;
        let named = move |id: WalkId| unread.contains(&id) || self.walks.may_be_named(id);
        let walks = self.walks.iter();
        walks
            .filter(move |walk| is_needed || !walk.over || named(walk.id))
            .cloned()
    }

    /// Keeps a path that a walk could not read, as a failure; `None` when it is in the queue already, or
    /// that [is full](Self::is_full).
    pub fn add_unread(&mut self, path: PathBuf, walk: WalkId, why: Error) -> Option<Kept> {
        let kept = Kept {
            id: self.id_for(&path)?,
            path,
            identity: Identity::new(0, 0, 0, 0),
            times: Times::default(),
            again: false,
            state: State::Failed,
            reason: Some(why),
            account: None,
            progress: None,
            unread: Some(walk),
        };
        self.insert(kept.clone());
        Some(kept)
    }
}
