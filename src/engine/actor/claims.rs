//! What is said to the ledger for uploads without a task, and the uploads that wait for others.
//!
//! An upload whose file somebody else is sending, under another name or in another session, stays queued
//! without a place. It asks again when that has come to an end.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::Actor;
use crate::{
    engine::{
        protocol::{Event, State, UploadId},
        record::Phase,
        upload::{Message, complete_row, why_uploaded},
    },
    error::{Error, Kind, Result},
    ids::{Claim, MediaId, ObjectId},
    ledger::{InUse, Uploaded, Wait, Write},
    path::shown,
};

/// How long what is to be written to the ledger is waited for at the end.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// What the actor has to do with the ledger.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Uploads that wait for others.
    waiting: HashMap<UploadId, Wait>,
    /// Other names of files that are about to be claimed.
    pub(super) second_names: Vec<UploadId>,
    /// When to look again whether they may go on.
    due: Option<Instant>,
    asking: bool,
    /// The objects that the account works on, kept from other names of their files.
    in_use: HashMap<UploadId, InUse>,
    /// What is being written.
    writes: TaskTracker,
    /// How many files were skipped in this run because they are uploaded already.
    pub(super) uploaded_before: usize,
}

impl Claims {
    /// Whether this upload waits for another.
    pub(super) fn waits(&self, id: UploadId) -> bool {
        self.waiting.contains_key(&id)
    }

    /// How many do.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When to look again whether they may go on.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
            .filter(|_| !self.asking && !self.waiting.is_empty())
    }

    /// Returns when all is written, or after a while.
    pub(super) async fn written(&self) {
        self.writes.close();
        if tokio::time::timeout(LAST_WRITES, self.writes.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                "the ledger could not be written; it learns of this when the session is opened again"
            );
        }
    }
}

impl Actor {
    /// An upload waits for another.
    pub(super) fn wait_for_another(&mut self, id: UploadId, wait: Wait) {
        let path = shown(&wait.path);
        let reason = match &wait.session {
            None => format!("waits for {path}"),
            Some(session) => format!("waits for session {session}, which uploads {path}"),
        };
        let known = self
            .queue
            .begun(id)
            .and_then(|begun| begun.waits_for.clone());
        if known.as_deref() != Some(&*reason) {
            tracing::info!("{} {reason}", self.place(id, None));
            let (path, reason) = (self.path_of(id), reason.clone());
            self.happened(|| Event::Waiting { id, path, reason });
        }
        self.queue
            .with_begun(id, |begun| begun.waits_for = Some(reason.into()));
        self.claims.waiting.insert(id, wait);
        let due = Instant::now() + self.timing.look_again;
        self.claims.due.get_or_insert(due);
    }

    /// A file was claimed, or its task has ended: its other names may ask for it.
    pub(super) fn look_at_second_names(&mut self) {
        for id in std::mem::take(&mut self.claims.second_names) {
            self.queue.look_again_from(id);
        }
    }

    /// How many uploads wait for others, where the run is to end without them.
    pub(super) fn left_waiting(&self) -> usize {
        if self.no_wait {
            self.claims.waiting()
        } else {
            0
        }
    }

    /// Asks the ledger, when it is time to, which of the uploads that wait may go on.
    pub(super) fn ask_who_may_go_on(&mut self) {
        let now = Instant::now();
        if self.claims.due().is_none_or(|due| due > now) || self.stopping.is_some() {
            return;
        }
        let queue = &self.queue;
        let is_queued = |id: &UploadId| {
            queue.get(*id).map(crate::engine::record::Upload::state) == Some(State::Queued)
        };
        // One that was paused or removed asks again when it is resumed.
        self.claims.waiting.retain(|id, _| is_queued(id));
        let mut objects = HashSet::new();
        let waits = self.claims.waiting.values();
        let waits: Vec<Wait> = waits
            .filter(|wait| objects.insert(wait.object))
            .cloned()
            .collect();
        self.claims.asking = true;
        let (ledger, told) = (Arc::clone(&self.shared.ledger), self.told.0.clone());
        self.running.spawn(async move {
            let changed = ledger.changed(waits).await;
            // Without an actor nobody wants to know.
            let _ = told.send(Message::MayGoOn(changed));
        });
    }

    /// Something became of these objects: whoever waits for one of them asks again.
    pub(super) fn may_go_on(&mut self, changed: Result<Vec<ObjectId>>) {
        self.claims.asking = false;
        self.claims.due = Some(Instant::now() + self.timing.look_again);
        let changed: HashSet<ObjectId> = match changed {
            Ok(changed) => changed.into_iter().collect(),
            Err(error) => return tracing::warn!("{error}"),
        };
        let waiting = self
            .claims
            .waiting
            .extract_if(|_, wait| changed.contains(&wait.object));
        for (id, _) in waiting.collect::<Vec<_>>() {
            self.queue.look_again_from(id);
        }
    }

    /// The file is uploaded already.
    pub(super) fn skip_uploaded(&mut self, id: UploadId, uploaded: Uploaded) {
        let (reason, media) = (why_uploaded(&uploaded), uploaded.media);
        tracing::info!("{} is skipped: {reason}", self.place(id, None));
        self.claims.uploaded_before += 1;
        let path = self.path_of(id);
        self.leave_out(id, Error::new(Kind::Local, &reason));
        self.happened(|| Event::Skipped {
            path,
            reason,
            media,
        });
    }

    /// The account works on what this upload has sent.
    pub(super) fn stays_in_use(&mut self, id: UploadId, in_use: InUse) {
        self.claims.in_use.insert(id, in_use);
    }

    /// What the ledger granted this upload.
    pub(super) fn claim_of(&self, id: UploadId) -> Option<Claim> {
        self.queue.begun(id)?.progress.claim
    }

    /// Writes to the row of a claim what became of its upload; its object stays in use until that is done,
    /// lest another name of the file continue it.
    pub(super) fn write_ledger(&mut self, id: UploadId, claim: Option<Claim>, write: Write) {
        let in_use = self.claims.in_use.remove(&id);
        let Some(claim) = claim else { return };
        let ledger = Arc::clone(&self.shared.ledger);
        self.claims.writes.spawn(async move {
            if let Err(error) = ledger.write(claim, write).await {
                tracing::warn!("{error}");
            }
            drop(in_use);
        });
    }

    /// A person ends a started upload that has no task: anybody may continue it.
    pub(super) fn give_back(&mut self, id: UploadId) {
        if !self.tasks.contains_key(&id) {
            let claim = self.claim_of(id);
            self.write_ledger(id, claim, Write::GivenBack);
        }
    }

    /// The account works on these uploads since an earlier run, which may not have told the ledger so. It
    /// is told, and what becomes of them is asked for once it has agreed.
    pub(super) fn were_completed(&mut self, ids: Vec<UploadId>) {
        for id in ids {
            let progress = self.queue.begun(id).map(|begun| &begun.progress);
            let row =
                progress.and_then(|it| Some((it.claim?, complete_row(it)?, it.marker.clone())));
            let Some((claim, complete, marker)) = row else {
                self.process(id);
                continue;
            };
            let in_use = self.shared.ledger.mark_in_use(claim.object);
            self.claims.in_use.insert(id, in_use);
            let (ledger, actor) = (Arc::clone(&self.shared.ledger), self.told.0.clone());
            self.claims.writes.spawn(async move {
                let told = ledger.write(claim, complete).await;
                // A ledger that lacks it was lost, and nobody has continued what it does not know.
                let is_ours = match told {
                    Ok(false) => ledger.has(claim, &marker).await.map(|has| !has),
                    told => told,
                };
                let is_ours = is_ours.unwrap_or_else(|error| {
                    tracing::warn!("{error}");
                    true
                });
                // Without an actor nobody wants to know.
                let _ = actor.send(Message::WasCompleted(id, is_ours));
            });
        }
    }

    /// The ledger knows that the account works on this upload; or else another session has continued it
    /// since, and the ledger is asked for the file again: what this session made may be deleted by now.
    pub(super) fn was_completed(&mut self, id: UploadId, is_ours: bool) {
        if !self.is_processing(id) {
            return;
        }
        if is_ours {
            return self.process(id);
        }
        tracing::info!("{}: another session went on with it", self.place(id, None));
        self.claims.in_use.remove(&id);
        // Its task asks for the file as for one that was left before it was complete.
        self.queue
            .with_begun(id, |begun| begun.progress.completed = false);
        self.queue.look_again_from(id);
    }

    /// Asks for what the ledger may not know to be accepted.
    pub(super) fn ask_for_unaccepted(&mut self) {
        let (ledger, told) = (Arc::clone(&self.shared.ledger), self.told.0.clone());
        self.running.spawn(async move {
            match ledger.unaccepted().await {
                Ok(objects) => drop(told.send(Message::Unaccepted(objects))),
                Err(error) => tracing::warn!("{error}"),
            }
        });
    }

    /// Those of these that are done here are accepted.
    pub(super) fn accept_done(&mut self, objects: Vec<(Claim, MediaId)>) {
        if objects.is_empty() {
            return;
        }
        let claims: HashMap<MediaId, Claim> = objects
            .into_iter()
            .map(|(claim, media)| (media, claim))
            .collect();
        let done = self.queue.order().iter().filter_map(|id| {
            let Phase::Done(media) = &self.queue.get(*id)?.phase else {
                return None;
            };
            Some((*id, *claims.get(media)?, media.clone()))
        });
        for (id, claim, media) in done.collect::<Vec<_>>() {
            self.write_ledger(id, Some(claim), Write::Accepted(media));
        }
    }
}
