//! The steps of an upload, each begun here; how they end is for [`super::ended`].

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Actor;
use crate::{
    destination::NewMedia,
    engine::{
        flights::Flight,
        protocol::{State, UploadId},
        rate::Meter,
        upload::{NextPart, Phase, Step},
        worker::{self, Done, PartJob},
    },
    error::{Error, Kind},
    metadata,
    plan::PartNumber,
    session::Change,
};

/// How many media objects are asked about at once.
const ASKED_AT_ONCE: usize = 50;

/// How many times longer than at first the destination is left alone while there is other work.
const WHILE_BUSY: u32 = 10;

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

    /// Uploads that were complete when the session was left are asked about again.
    pub(super) fn find_processing(&mut self) {
        let processing = |id: &UploadId| {
            self.queue
                .get(*id)
                .is_some_and(|upload| upload.state() == State::Processing)
        };
        if self.queue.counts().of(State::Processing) > 0 {
            let found: Vec<_> = self
                .queue
                .order()
                .iter()
                .copied()
                .filter(processing)
                .collect();
            for id in found {
                self.process(id);
            }
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
            self.queue.apply(id, &Change::Begun(marker));
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
        self.polls.waiting.retain(|other| *other != id);
    }

    /// Cuts short what is in flight of an upload; its parts go out again later.
    pub(super) fn cut_short(&mut self, id: UploadId) {
        let now = Instant::now();
        let parts: Vec<PartNumber> = self.flights.of(id).map(|(part, _)| part).collect();
        for part in parts {
            let Some(flight) = self.flights.land(id, part) else {
                continue;
            };
            flight.abort.abort();
            self.under_way -= 1;
            let all = flight.progress.taken() == flight.length;
            let ask = all.then(|| {
                (
                    Error::new(Kind::Broken, "it was cut short before the answer came"),
                    now,
                )
            });
            self.queue.with_begun(id, |begun| begun.requeue(part, ask));
        }
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
        let destination = Arc::clone(&self.destination);
        let Some(plan) = begun.plan().cloned() else {
            return self.look_again(id, path);
        };
        let Some(ticket) = begun.progress.ticket.clone() else {
            let media = NewMedia {
                marker: begun.progress.marker.clone(),
                title: metadata::title(&path),
                file_name: metadata::file_name(&path),
                mime: metadata::mime(&path)
                    .unwrap_or("application/octet-stream")
                    .to_owned(),
                size: identity.size,
                parts: plan.count(),
            };
            let recover = begun.recover;
            // Marker and plan were kept before; this only waits for the disk.
            let saved = self.session.store.append_durable(String::new());
            self.step(id, Step::Creating);
            return self.spawn_step(id, async move {
                let created = worker::create(&*destination, saved, &media, recover).await;
                Done::Created(id, created)
            });
        };
        if begun.progress.completed {
            return self.process(id);
        }
        if !begun.checked {
            return self.look_again(id, path);
        }
        if begun.all_acknowledged() {
            let receipts = begun.progress.receipts.clone();
            self.step(id, Step::Completing);
            return self.spawn_step(id, async move {
                let ended = worker::complete(&*destination, &ticket, &plan, &receipts).await;
                Done::Completed(id, ended)
            });
        }
        self.step(id, Step::Sending);
    }

    fn look_again(&mut self, id: UploadId, path: std::path::PathBuf) {
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

    pub(super) fn start_part(&mut self, id: UploadId, next: NextPart) {
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let Some((ticket, plan)) = upload
            .begun()
            .and_then(|begun| Some((begun.progress.ticket.clone()?, begun.plan()?.clone())))
        else {
            return;
        };
        let length = plan.part(next.number).map_or(0, |part| part.length);
        let progress = Arc::new(crate::body::Progress::default());
        let job = PartJob {
            destination: Arc::clone(&self.destination),
            ticket,
            plan,
            path: upload.path.to_path_buf(),
            identity: upload.identity,
            next,
            cap: self.cap.clone(),
            progress: Arc::clone(&progress),
            patience: self.timing.patience,
        };
        self.queue.with_begun(id, |begun| begun.start(next));
        self.under_way += 1;
        let abort = self
            .steps
            .spawn(async move { Done::Part(id, next, worker::send(job).await) });
        let begun = Instant::now();
        let meter = Meter::new(begun);
        let attempt = next.attempt;
        self.flights.start(
            id,
            next.number,
            Flight {
                progress,
                length,
                attempt,
                begun,
                meter,
                abort,
            },
        );
    }

    /// Asks what became of uploads the destination works on, when it is time to.
    pub(super) fn ask_what_became(&mut self) {
        let now = Instant::now();
        let due = self.polls.due.is_some_and(|due| due <= now);
        let open = self.gate.may_start(now, self.under_way);
        if !due || self.polls.asking || !open || self.halted.is_some() || self.stopping.is_some() {
            return;
        }
        let count = self.polls.waiting.len().min(ASKED_AT_ONCE);
        let ids: Vec<UploadId> = self.polls.waiting.iter().copied().take(count).collect();
        self.polls.waiting.rotate_left(count);
        let media: Vec<String> = ids
            .iter()
            .map(|id| {
                self.queue
                    .get(*id)
                    .and_then(|u| u.media())
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect();
        self.polls.asking = true;
        let destination = Arc::clone(&self.destination);
        self.spawn(async move { Done::Status(ids, destination.status(&media).await) });
    }

    pub(super) fn process(&mut self, id: UploadId) {
        self.step(id, Step::Processing);
        self.deactivate(id);
        self.polls.waiting.push_back(id);
        let now = Instant::now();
        if self.polls.due.is_none() || !self.is_busy() {
            // The first of some, or the last of all.
            self.polls.wait = self.timing.poll_first;
            let due = now + self.poll_wait();
            self.polls.due = Some(self.polls.due.map_or(due, |before| before.min(due)));
        }
    }

    /// Whether there is more to do than to wait for the destination.
    fn is_busy(&mut self) -> bool {
        !self.active.is_empty() || self.queue.next_queued().is_some()
    }

    /// How long until the destination is asked again what became of uploads. While others are under
    /// way nobody waits for the answer, and calls are better spent on those.
    pub(super) fn poll_wait(&mut self) -> Duration {
        if self.is_busy() {
            self.polls.wait.max(self.timing.poll_first * WHILE_BUSY)
        } else {
            self.polls.wait
        }
    }
}

/// What markers are made of: safe in every URL and query.
const MARKER_LETTERS: &[char] = &[
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'j',
    'k', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x', 'y', 'z',
];
