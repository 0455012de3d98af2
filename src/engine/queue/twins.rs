//! Files that stand in the queue under a second name: by another link to them, by another way to their
//! folder, or because they were moved. Of each file one media object is made.
//!
//! The walk leaves out second names that it comes by itself; these are the ones that come with a later
//! walk, or with another way through the tree.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use super::Queue;
use crate::{
    engine::{
        protocol::UploadId,
        record::{Hold, Phase, Upload},
    },
    identity::Identity,
};

/// Which upload each file goes out under, by hashes of the files' identities.
#[derive(Debug, Default)]
pub(super) struct Twins {
    goes_as: HashMap<u64, UploadId>,
    hasher: RandomState,
}

/// Whether a file is uploaded by this upload, or will be where nothing comes between: something was made
/// of it, or may have been, and it goes on by itself or when the person lets it. What arrived whole is
/// there whatever became of it since.
fn holds(upload: &Upload) -> bool {
    let goes_on = matches!(upload.hold, Hold::None | Hold::Paused);
    match &upload.phase {
        Phase::Begun(begun) => begun.plan().is_some() && (goes_on || begun.progress.completed),
        Phase::Done(_) => true,
        Phase::Waiting | Phase::Unread(_) => false,
    }
}

impl Queue {
    /// Another upload of the same file ([`Identity::is_same_file`]) that is done, or goes on and will be. A
    /// file whose inode is not known has no such other.
    #[must_use]
    pub fn twin(&self, id: UploadId, identity: &Identity) -> Option<&Upload> {
        if identity.inode == 0 {
            return None;
        }
        let twins = &self.twins;
        // One that was recorded before file systems were known may be it as well.
        let others = [*identity, identity.on(0)];
        others.iter().find_map(|other| {
            let other = *twins.goes_as.get(&twins.hasher.hash_one(other))?;
            let upload = self.get(other).filter(|_| other != id)?;
            (upload.identity.is_same_file(identity) && holds(upload)).then_some(upload)
        })
    }

    /// A file goes out under this name now, since it has no [`Self::twin`], or has another inode: one that
    /// failed under another name finds this one when it is tried again.
    pub fn goes_out(&mut self, id: UploadId) {
        if let Some(upload) = self.uploads.get(id) {
            let key = self.twins.hasher.hash_one(upload.identity);
            self.twins.goes_as.insert(key, id);
        }
    }

    /// Which upload each file goes out under, found out anew: one that is done before one that goes on.
    pub(super) fn find_twins(&mut self) {
        let done = |upload: &Upload| matches!(upload.phase, Phase::Done(_));
        for id in &self.order {
            let Some(upload) = self.uploads.get(*id).filter(|it| holds(it)) else {
                continue;
            };
            let key = self.twins.hasher.hash_one(upload.identity);
            let goes_as = self.twins.goes_as.entry(key).or_insert(*id);
            if done(upload) {
                *goes_as = *id;
            }
        }
    }
}
