//! Asking what became of uploads that the destination works on: few calls, many at a time.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::Actor;
use crate::{
    destination::MediaStatus,
    engine::{
        protocol::{Event, State, UploadId},
        retry::{Verdict, Way, judge},
        upload::{Step, Upload},
        worker::Done,
    },
    error::{Error, Kind, Result},
    ids::MediaId,
    session::{Change, Milestone},
};

/// How many media objects are asked about at once.
const ASKED_AT_ONCE: usize = 50;

/// How many times longer than at first the destination is left alone while there is other work.
const WHILE_BUSY: u32 = 10;

impl Actor {
    /// Uploads that were complete when the session was left are asked about again.
    pub(super) fn find_processing(&mut self) {
        let processing = |id: &UploadId| {
            self.queue
                .get(*id)
                .is_some_and(|upload| upload.state() == State::Processing)
        };
        if self.queue.counts().of(State::Processing) == 0 {
            return;
        }
        let found: Vec<_> = self
            .queue
            .order()
            .iter()
            .copied()
            .filter(processing)
            .collect();
        for id in &found {
            self.step(*id, Step::Processing);
        }
        self.polls.waiting.extend(found);
        self.poll_soon();
    }

    pub(super) fn process(&mut self, id: UploadId) {
        self.step(id, Step::Processing);
        self.deactivate(id);
        self.polls.waiting.push_back(id);
        self.poll_soon();
    }

    /// Something new is to be asked about.
    fn poll_soon(&mut self) {
        let now = Instant::now();
        if self.polls.due.is_none() || !self.is_busy() {
            // The first of some, or the last of all.
            self.polls.wait = self.timing.poll_first;
            let due = now + self.poll_wait();
            self.polls.due = Some(self.polls.due.map_or(due, |before| before.min(due)));
        }
    }

    /// Asks what became of uploads the destination works on, when it is time to.
    pub(super) fn ask_what_became(&mut self) {
        let now = Instant::now();
        let due = self.polls.due.is_some_and(|due| due <= now);
        let open = self.may_start(Way::Calls);
        if !due || self.polls.asking || !open || self.halted.is_some() || self.stopping.is_some() {
            return;
        }
        let count = self.polls.waiting.len().min(ASKED_AT_ONCE);
        let ids: Vec<UploadId> = self.polls.waiting.iter().copied().take(count).collect();
        self.polls.waiting.rotate_left(count);
        let media_of = |id: &UploadId| self.queue.get(*id).and_then(Upload::media).cloned();
        let media: Vec<MediaId> = ids
            .iter()
            .map(|id| media_of(id).unwrap_or_else(|| MediaId::from("")))
            .collect();
        self.polls.asking = true;
        let account = Arc::clone(&self.account);
        self.spawn(async move { Done::Status(ids, account.status(&media).await) });
    }

    /// Whether there is more to do than to wait for the destination.
    pub(super) fn is_busy(&mut self) -> bool {
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

    pub(super) fn became(&mut self, ids: &[UploadId], result: Result<Vec<MediaStatus>>) {
        self.polls.asking = false;
        let now = Instant::now();
        match result {
            Ok(statuses) => {
                self.polls.failures = 0;
                let before = self.polls.waiting.len();
                for (id, status) in ids.iter().zip(statuses) {
                    self.media_is(*id, status);
                }
                let news = self.polls.waiting.len() < before;
                // News is a reason to ask for more of it; none, to wait longer.
                self.polls.wait = if news {
                    (self.polls.wait / 2).max(self.timing.poll_first)
                } else {
                    (self.polls.wait * 3 / 2).min(self.timing.poll_most)
                };
            }
            Err(error) => {
                let failures = self.polls.failures + 1;
                let (retries, random) = (self.settings.retries, self.random.f64());
                match judge(&error, failures, retries, &self.timing.backoff, now, random) {
                    Verdict::EndAll => self.halt(error),
                    Verdict::WhenOpen => {
                        drop(self.close_gate(Way::of(&error, Way::Calls), &error));
                    }
                    // It says nothing about any one of them: all are asked about again, for a while.
                    _ if failures <= u32::from(retries) => {
                        self.polls.failures = failures;
                        tracing::warn!("what became of files can't be told: {error}; asked again");
                    }
                    _ => {
                        self.polls.failures = 0;
                        self.nobody_tells(ids, &error);
                    }
                }
                self.errors += 1;
                self.polls.wait = (self.polls.wait * 2).min(self.timing.poll_most);
            }
        }
        let due = now + self.poll_wait();
        self.polls.due = (!self.polls.waiting.is_empty()).then_some(due);
    }

    /// The destination has these, and does not tell what became of them: for the person.
    fn nobody_tells(&mut self, ids: &[UploadId], error: &Error) {
        let error = Error {
            kind: Kind::Server,
            ..error
                .clone()
                .at("it is uploaded, but what became of it can't be told")
        };
        for id in ids {
            let processing = |upload: &Upload| upload.state() == State::Processing;
            if self.queue.get(*id).is_some_and(processing) {
                self.end_upload(*id, &error);
            }
        }
    }

    pub(super) fn media_is(&mut self, id: UploadId, status: MediaStatus) {
        let Some(upload) = self
            .queue
            .get(id)
            .filter(|u| u.state() == State::Processing)
        else {
            return;
        };
        let error = match status {
            MediaStatus::Processing(_) => return,
            MediaStatus::Ready => {
                let event = Event::Done {
                    id,
                    path: upload.path.to_path_buf(),
                    media: upload.media().cloned().unwrap_or_else(|| MediaId::from("")),
                    size: upload.identity.size,
                };
                let now = Timestamp::now().into();
                self.keep(id, &Change::At(Milestone::Done, now));
                self.keep(id, &Change::Done);
                self.deactivate(id);
                if let (None, Event::Done { media, .. }) = (&self.events, &event) {
                    tracing::info!("{} is done: {media}", self.place(id, None));
                }
                return self.happened(|| event);
            }
            MediaStatus::Failed(why) => Error::new(
                Kind::Refused,
                format!("the destination could not use it: {why}"),
            ),
            MediaStatus::Gone => Error::new(
                Kind::TicketGone,
                "the media object is gone from the destination",
            ),
        };
        self.end_upload(id, &error);
    }
}
