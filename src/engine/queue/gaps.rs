//! What is still believed of uploads and scans where a damaged log lost some of its tables. Each place where
//! tables are lost is a gap.
//!
//! The ledger has marker, plan and ticket of every started upload, and the account has its parts. So an
//! upload of which something may be lost is queued as if it had not been started: when it asks for its
//! file, the ledger returns its own row, and the account is asked for its parts.
//!
//! | lost | what happens |
//! |---|---|
//! | a start, ticket, part plan or receipt | the upload starts from its row in the ledger |
//! | the start of an upload that is done | it is done; only its media object's id may be lost |
//! | an `[[upload]]` table | its scan finds the file again |
//! | the end of a scan | it scans again, and passes over what is queued |
//! | a `[[walk]]` table | nothing is known of it: the warning says how to add its paths again |
//! | that an upload was paused, skipped, changed, removed, moved or to start over, an orphan, settings | it stays as it was before |

use std::collections::BTreeSet;

use super::Queue;
use crate::{
    engine::{protocol::UploadId, record::Phase},
    ids::WalkId,
    session::{Change, Progress},
};

/// What is known while a log with gaps is read.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// Uploads that were started behind the last gap: nothing of them is lost.
    started_since: BTreeSet<UploadId>,
    /// Scans that may have found files whose tables are lost.
    walks: BTreeSet<WalkId>,
}

impl Queue {
    /// There is a gap here.
    pub(super) fn note_gap(&mut self) {
        let open: Vec<WalkId> = self.walks.open().map(|walk| walk.id).collect();
        let gaps = self.gaps.get_or_insert_default();
        gaps.started_since.clear();
        gaps.walks.extend(open);
    }

    /// Whether files of this scan may be lost, so that its end is not believed.
    pub(super) fn is_walk_incomplete(&self, walk: WalkId) -> bool {
        let gaps = self.gaps.as_ref();
        gaps.is_some_and(|gaps| gaps.walks.contains(&walk))
    }

    /// A table names an upload with this id. Ids rise by one: behind a gap, those that were passed over are
    /// lost. Where it is not known which scan found them, all scan again.
    pub(super) fn note_passed_over(&mut self, before: UploadId) {
        let is_lost = before > self.uploads.next_id();
        let Some(gaps) = self.gaps.as_mut().filter(|_| is_lost) else {
            return;
        };
        if gaps.walks.is_empty() {
            gaps.walks = self.walks.iter().map(|walk| walk.id).collect();
            for walk in &gaps.walks {
                self.walks.reopen(*walk);
            }
        }
    }

    /// Whether a change is applied: not every one is behind a gap, where the upload was started before that
    /// or its start is lost. Of such an upload its media object's id counts, should it be done.
    pub(super) fn counts_behind_gap(&mut self, id: UploadId, change: &Change) -> bool {
        let Some(gaps) = &mut self.gaps else {
            return true;
        };
        if let Change::Begun(..) = change {
            gaps.started_since.insert(id);
        }
        if gaps.started_since.contains(&id) {
            return true;
        }
        let of_parts = matches!(change, Change::Plan(_) | Change::Part(..) | Change::Lost(_));
        let lacks_start = match self.get(id).map(|upload| &upload.phase) {
            Some(Phase::Waiting) => of_parts || matches!(change, Change::Ticket(_)),
            // It was started over.
            Some(Phase::Begun(begun)) if begun.progress.completed => {
                of_parts || matches!(change, Change::Ticket(_))
            }
            _ => false,
        };
        if lacks_start {
            self.apply(id, &Change::Begun(String::new(), None));
        }
        !of_parts
    }

    /// All was read. What is not known in full of a started upload is forgotten.
    pub(super) fn settle_gaps(&mut self) {
        let Some(gaps) = self.gaps.take() else {
            return;
        };
        let is_doubtful = |id: &UploadId| {
            let progress = self.begun(*id).map(|begun| &begun.progress);
            !gaps.started_since.contains(id) && progress.is_some_and(|it| !is_known(it))
        };
        let doubtful: Vec<UploadId> = self.order.iter().copied().filter(is_doubtful).collect();
        for id in doubtful {
            if let Some(identity) = self.get(id).map(|upload| upload.identity) {
                self.apply(id, &Change::Fresh(identity));
            }
        }
    }
}

/// Whether an upload needs nothing that a gap may have taken: all was sent, or is to be deleted.
fn is_known(progress: &Progress) -> bool {
    let ticket = progress.ticket.as_ref();
    let is_sent = progress.completed && ticket.is_some_and(|ticket| ticket.media.is_some());
    !progress.marker.is_empty() && (is_sent || progress.clearing)
}

#[cfg(test)]
mod tests;
