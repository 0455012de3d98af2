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
        upload::{Hold, Phase, Upload},
    },
    identity::Identity,
};

/// Which uploads were begun, by hashes of their files' identities.
#[derive(Debug, Default)]
pub(super) struct Twins {
    begun: HashMap<u64, UploadId>,
    hasher: RandomState,
}

impl Twins {
    /// Keeps an upload that is begun or done. One that is neither any more is found out when it is
    /// looked up.
    pub(super) fn note(&mut self, id: UploadId, upload: &Upload) {
        if made(upload) {
            let identity = self.hasher.hash_one(upload.identity);
            self.begun.insert(identity, id);
        }
    }
}

/// Whether something was made of an upload, or may have been.
fn made(upload: &Upload) -> bool {
    match &upload.phase {
        Phase::Begun(begun) => begun.plan().is_some(),
        Phase::Done(_) => true,
        Phase::Waiting | Phase::Unread(_) => false,
    }
}

impl Queue {
    /// Another upload of the same file that is done, or goes on and will be: same size, same time of
    /// change to the nanosecond, same inode. A file whose inode is not known has no such other.
    #[must_use]
    pub fn twin(&self, id: UploadId, identity: &Identity) -> Option<&Upload> {
        if identity.inode == 0 {
            return None;
        }
        let other = *self
            .twins
            .begun
            .get(&self.twins.hasher.hash_one(identity))?;
        let upload = self.get(other).filter(|_| other != id)?;
        let goes_on = matches!(upload.hold, Hold::None | Hold::Paused);
        (upload.identity == *identity && made(upload) && goes_on).then_some(upload)
    }
}
