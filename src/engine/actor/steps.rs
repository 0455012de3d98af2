//! The steps of an upload, each begun here; how they end is for [`super::ended`].

use std::{path::Path, sync::Arc};

use super::Actor;
use crate::{
    destination::{NewMedia, RemoteUpload},
    engine::{
        protocol::UploadId,
        upload::{Phase, Sequence, Step},
        worker::{self, Done},
    },
    metadata,
    session::Change,
};

/// How many letters and digits a marker has: enough that none is ever made twice.
const MARKER_LENGTH: usize = 26;

impl Actor {
    pub(super) fn spawn(&mut self, step: impl Future<Output = Done> + Send + 'static) {
        self.under_way += 1;
        self.steps.spawn(step);
    }

    /// Begins a step of an upload. Until it has ended no other is begun, whatever becomes of the
    /// upload meanwhile: two creates under way at once might make two media objects.
    pub(super) fn spawn_step(
        &mut self,
        id: UploadId,
        step: impl Future<Output = Done> + Send + 'static,
    ) {
        self.queue.with_begun(id, |begun| begun.busy = true);
        self.spawn(step);
    }

    pub(super) fn step_ended(&mut self, id: UploadId) {
        self.queue.with_begun(id, |begun| begun.busy = false);
        if !self.is_active(id) {
            self.queue.look_again_from(id);
        }
    }

    /// Gives the next queued upload a place, and looks at its file first.
    pub(super) fn activate_next(&mut self) {
        let Some(id) = self.queue.next_queued() else {
            return;
        };
        self.active.push(id);
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let path = upload.path.to_path_buf();
        if let Phase::Waiting = upload.phase {
            // From here on it has a marker of its own. It is on disk before anything is made.
            let marker: String = (0..MARKER_LENGTH)
                .map(|_| self.random.choice(MARKER_LETTERS).unwrap_or(&'0'))
                .collect();
            let start = self.start_under(marker);
            self.queue.apply(id, &start);
            self.queue.with_begun(id, |begun| begun.recover = false);
        }
        self.queue
            .with_begun(id, |begun| begun.step = Step::Creating);
        self.spawn_step(
            id,
            async move { Done::Looked(id, worker::look(path).await) },
        );
    }

    /// Frees the place of an upload.
    pub(super) fn deactivate(&mut self, id: UploadId) {
        self.active.retain(|other| *other != id);
        self.remotes.remove(&id);
        self.polls.waiting.retain(|other| *other != id);
    }

    /// Begins the next step of an active upload that is no part.
    pub(super) fn start_step(&mut self, id: UploadId) {
        let Some((path, identity)) = self
            .queue
            .get(id)
            .map(|upload| (upload.path.to_path_buf(), upload.identity))
        else {
            return;
        };
        let Some(begun) = self.queue.begun(id) else {
            return;
        };
        if self.stopping.is_some() {
            // What has ended is saved; what would follow is for the next run.
            return self.step(id, Step::Idle);
        }
        if begun.progress.clearing {
            return self.clear(id);
        }
        let account = Arc::clone(&self.account);
        let Some(plan) = begun.plan().cloned() else {
            return self.look_again(id, path);
        };
        if begun.progress.ticket.is_none() {
            let marker = begun.progress.marker.clone();
            let media = announce(&path, identity.size, marker, plan.count());
            let recover = begun.recover;
            // Marker and plan were kept before; this only waits for the disk.
            let saved = self.session.store.barrier();
            self.step(id, Step::Creating);
            return self.spawn_step(id, async move {
                let created = worker::create(&*account, saved, &media, recover).await;
                Done::Created(id, created)
            });
        }
        if begun.progress.completed {
            return self.process(id);
        }
        if !begun.checked {
            return self.look_again(id, path);
        }
        if begun.all_acknowledged() {
            let receipts = begun.progress.receipts.clone();
            let Some(remote) = self.remote(id) else {
                return;
            };
            self.step(id, Step::Completing);
            return self.spawn_step(id, async move {
                Done::Completed(id, worker::complete(&*remote, &plan, &receipts).await)
            });
        }
        self.step(id, Step::Sending);
    }

    /// That an upload starts under this marker, at the account there is.
    pub(super) fn start_under(&self, marker: String) -> Change {
        Change::Begun(marker, Some(self.account.id().clone()))
    }

    /// The upload at its account, opened by its ticket. `None` where it has none, or where that says
    /// too little: then the upload has ended here.
    pub(super) fn remote(&mut self, id: UploadId) -> Option<Arc<dyn RemoteUpload>> {
        if let Some(remote) = self.remotes.get(&id) {
            return Some(Arc::clone(remote));
        }
        let ticket = self.queue.begun(id)?.progress.ticket.clone()?;
        match self.account.open(ticket) {
            Ok(remote) => {
                let remote: Arc<dyn RemoteUpload> = remote.into();
                let sequence = Sequence::of(&remote.limits());
                self.queue.with_begun(id, |begun| begun.sequence = sequence);
                self.remotes.insert(id, Arc::clone(&remote));
                Some(remote)
            }
            Err(error) => {
                self.end_upload(id, &error);
                None
            }
        }
    }

    pub(super) fn look_again(&mut self, id: UploadId, path: std::path::PathBuf) {
        self.step(id, Step::Checking);
        self.spawn_step(
            id,
            async move { Done::Looked(id, worker::look(path).await) },
        );
    }

    pub(super) fn step(&mut self, id: UploadId, step: Step) {
        self.queue.with_begun(id, |begun| {
            begun.step = step;
            begun.not_before = None;
        });
    }

    /// An upload is to be begun as if it never had been; what it made at the destination is removed
    /// first, when its turn comes.
    pub(super) fn begin_over(&mut self, id: UploadId) {
        self.keep(id, &Change::Clearing);
    }

    /// Removes what an upload made at the destination, and looks at its file anew.
    pub(super) fn clear(&mut self, id: UploadId) {
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let Some(begun) = upload.begun() else { return };
        let path = upload.path.to_path_buf();
        let marker = begun.progress.marker.clone();
        let media = announce(&path, upload.identity.size, marker, begun.count());
        let ticket = begun.progress.ticket.clone();
        let account = Arc::clone(&self.account);
        // Whoever goes on after a crash has to know what was to be removed.
        let saved = self.session.store.barrier();
        self.step(id, Step::Creating);
        self.spawn_step(id, async move {
            let cleared = worker::clear(&*account, saved, &media, ticket, path).await;
            Done::Cleared(id, cleared)
        });
    }
}

/// What a destination is told of a file when its media object is made.
pub(super) fn announce(path: &Path, size: u64, marker: String, parts: u32) -> NewMedia {
    NewMedia {
        marker,
        title: metadata::title(path),
        file_name: metadata::file_name(path),
        mime: metadata::mime(path)
            .unwrap_or("application/octet-stream")
            .to_owned(),
        size,
        parts,
    }
}

/// What markers are made of: safe in every URL and query.
const MARKER_LETTERS: &[char] = &[
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j',
    'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'y', 'z',
];
