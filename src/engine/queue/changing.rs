//! Uploads changed: by what is kept, the same when it happens and when it is read again, and by what
//! goes on now.

use super::Queue;
use crate::{
    engine::{
        folders::Share,
        protocol::UploadId,
        record::{Begun, Hold, Phase, Upload},
    },
    ids::MediaId,
    session::{Change, Times},
};

impl Queue {
    /// Applies a change that is kept: the same when it happens and when it is read from the log.
    pub fn apply(&mut self, id: UploadId, change: &Change) {
        if *change == Change::Removed {
            return self.remove(id);
        }
        let acknowledged = self.bytes().acknowledged;
        if let Change::Begun(_, account) = change {
            let account = self.accounts.index(account.as_ref());
            self.with(id, |upload| upload.account = account);
        }
        self.with(id, |upload| apply(upload, change));
        if matches!(change, Change::Part(..)) {
            self.sent += self.bytes().acknowledged.saturating_sub(acknowledged);
        }
        if matches!(
            change,
            Change::Released | Change::Clearing | Change::Fresh(_)
        ) {
            self.look_again_from(id);
        }
    }

    /// Changes what goes on with an upload now, in memory alone.
    pub fn with<T>(&mut self, id: UploadId, change: impl FnOnce(&mut Upload) -> T) -> Option<T> {
        let upload = self.uploads.get_mut(id)?;
        let (before, size) = (Share::of(upload), upload.identity.size);
        self.unread.go(upload);
        let answer = change(upload);
        self.unread.come(upload);
        let after = Share::of(upload);
        self.version += u64::from(before.state != after.state);
        self.shape += u64::from(size != upload.identity.size);
        self.folders.change(id, before, after);
        Some(answer)
    }

    /// Changes what is under way of an upload; nothing if nothing is.
    pub fn with_begun<T>(
        &mut self,
        id: UploadId,
        change: impl FnOnce(&mut Begun) -> T,
    ) -> Option<T> {
        self.with(id, |upload| match &mut upload.phase {
            Phase::Begun(begun) => Some(change(begun)),
            _ => None,
        })?
    }

    /// What was acknowledged since `sent` bytes were sent was found at the destination, not sent.
    pub fn count_as_found(&mut self, sent: u64) {
        self.already_there += self.sent.saturating_sub(sent);
        self.sent = sent;
    }
}

fn apply(upload: &mut Upload, change: &Change) {
    if let Some(identity) = change.identity(&upload.identity) {
        upload.identity = identity;
    }
    match change {
        Change::Begun(marker, _) => match &mut upload.phase {
            Phase::Begun(begun) => begun.apply(change),
            phase => *phase = Phase::Begun(Box::new(Begun::under(marker.clone()))),
        },
        Change::Done => {
            let media = upload.media().cloned().unwrap_or_else(|| MediaId::from(""));
            upload.phase = Phase::Done(media);
            upload.hold = Hold::None;
        }
        Change::Released => upload.hold = Hold::None,
        Change::Clearing => {
            upload.hold = Hold::None;
            if let Phase::Begun(begun) = &mut upload.phase {
                begun.apply(change);
            }
        }
        Change::Paused => upload.hold = Hold::Paused,
        Change::Failed(error) => upload.hold = Hold::Failed(Box::new(error.clone())),
        Change::Changed(error) => upload.hold = Hold::Changed(Box::new(error.clone())),
        Change::Skipped(error) => upload.hold = Hold::Skipped(Box::new(error.clone())),
        Change::Fresh(_) => {
            upload.times = Times {
                queued: upload.times.queued,
                ..Times::default()
            };
            upload.phase = Phase::Waiting;
        }
        Change::At(milestone, at) => upload.times.note(*milestone, *at),
        // Done above, and the queue's own business.
        Change::SameBytes { .. } | Change::Removed => {}
        Change::Claimed(_)
        | Change::Ticket(_)
        | Change::Plan(_)
        | Change::Part(..)
        | Change::Lost(_)
        | Change::Completed => {
            if let Phase::Begun(begun) = &mut upload.phase {
                begun.apply(change);
            }
        }
    }
}
