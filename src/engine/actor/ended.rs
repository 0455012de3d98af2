//! How steps ended, and what follows from that: the next step, another try, or the end.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Actor;
use crate::{
    destination::MediaStatus,
    engine::{
        flights::millis,
        protocol::{Event, State, UploadId},
        retry::{Verdict, judge},
        upload::{Begun, Hold, NextPart, Phase, Step, Trouble},
        worker::{self, Checked, Completion, Done, Sent},
    },
    error::{Error, Kind, Result},
    identity::Identity,
    plan::{PartNumber, PartPlan},
    session::Change,
};

impl Actor {
    /// What follows from how a step ended.
    pub(super) fn done(&mut self, done: Done) {
        if let Done::Part(id, next, result) = done {
            return self.part_done(id, next, result);
        }
        self.under_way = self.under_way.saturating_sub(1);
        if done.reached_the_destination() {
            self.gate.line_is_up();
        }
        if let Some(id) = done.step_of() {
            self.step_ended(id);
        }
        match done {
            Done::Looked(id, result) => self.looked(id, result),
            Done::Created(id, Ok(ticket)) => {
                // Even of an upload that was paused meanwhile: the media object is there.
                let saved = self.keep_durable(id, &[Change::Ticket(ticket)]);
                self.queue
                    .with_begun(id, |begun| begun.checked = !begun.recover);
                self.spawn_step(id, async move {
                    // Should the disk be gone, nothing more goes out: the store's error holds that.
                    let _ = worker::on_disk(saved).await;
                    Done::TicketSaved(id)
                });
            }
            Done::Created(id, Err(error)) => {
                if matches!(error.kind, Kind::Broken | Kind::Server) {
                    self.queue.with_begun(id, |begun| begun.recover = true);
                }
                self.step_failed(id, error);
            }
            Done::TicketSaved(id) => self.ticket_saved(id),
            Done::PlanSaved(id) => drop(self.queue.with_begun(id, |b| b.saving_plan = false)),
            Done::Checked(id, Ok(checked)) => self.checked(id, checked),
            Done::Checked(id, Err(error)) | Done::Completed(id, Err(error)) => {
                self.step_failed(id, error);
            }
            Done::Completed(id, Ok(Completion::Missing(parts))) => self.missing(id, parts),
            Done::Completed(id, Ok(Completion::Agreed)) => self.completed(id),
            Done::Status(ids, result) => self.became(&ids, result),
            Done::Cleared(id, result) => self.cleared(id, result),
            Done::Part(..) => {}
        }
    }

    pub(super) fn is_active(&self, id: UploadId) -> bool {
        self.active.contains(&id)
    }

    /// The file was looked at: begin the upload, or go on with it.
    fn looked(&mut self, id: UploadId, result: Result<Identity>) {
        if !self.is_active(id) {
            return;
        }
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let Some(begun) = upload.begun() else { return };
        let now = match result {
            Ok(now) => now,
            Err(error) => return self.end_upload(id, &error),
        };
        let changed = upload.identity.check(&now);
        if begun.plan().is_none() {
            // Nothing was made of it yet: the file is what it is now.
            let limits = self.destination.limits();
            if now.size == 0 {
                return self.end_upload(id, &Error::new(Kind::Local, "it is empty now"));
            }
            if now.size > limits.file_max {
                let most = bytesize::ByteSize(limits.file_max).display().iec();
                let words = format!("it is larger than the destination takes ({most})");
                return self.end_upload(id, &Error::new(Kind::Refused, words));
            }
            let marker = begun.progress.marker.clone();
            let recover = begun.recover;
            let size = limits.part_size(self.settings.part_size, now.size, limits.parts_max);
            let plan = PartPlan::cut(now.size, size);
            if plan.count() > limits.parts_max {
                let words = "it can't be cut into as few parts as the destination takes";
                return self.end_upload(id, &Error::new(Kind::Refused, words));
            }
            if changed.is_err() {
                self.keep(id, &Change::Fresh(now));
            }
            self.keep(id, &Change::Begun(marker));
            self.keep(id, &Change::Plan(plan));
            self.queue.with_begun(id, |begun| begun.recover = recover);
            return self.start_step(id);
        }
        if let Err(error) = changed {
            return self.end_upload(id, &error);
        }
        let Some(ticket) = begun.progress.ticket.clone() else {
            return self.start_step(id);
        };
        if begun.progress.completed {
            return self.process(id);
        }
        if begun.checked {
            return self.step(id, Step::Sending);
        }
        let Some(plan) = begun.plan().cloned() else {
            return;
        };
        let receipts = begun.progress.receipts.clone();
        let path = upload.path.to_path_buf();
        let rehash = upload.identity.inode != now.inode && upload.identity.inode != 0;
        let destination = Arc::clone(&self.destination);
        self.step(id, Step::Checking);
        self.spawn_step(id, async move {
            let checked = worker::check(&*destination, &ticket, plan, receipts, path, rehash).await;
            Done::Checked(id, checked)
        });
    }

    fn ticket_saved(&mut self, id: UploadId) {
        self.started(id);
        if self.is_active(id) {
            self.step_went_well(id);
            self.start_step(id);
        }
    }

    fn started(&self, id: UploadId) {
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let event = Event::Started {
            id,
            path: upload.path.to_path_buf(),
            media: upload.media().unwrap_or_default().to_owned(),
            parts: upload.begun().map_or(0, Begun::count),
        };
        self.happened(|| event);
    }

    fn step_went_well(&mut self, id: UploadId) {
        self.queue.with_begun(id, |begun| {
            begun.step = Step::Idle;
            begun.not_before = None;
            begun.step_failures = 0;
            begun.step_error = None;
        });
    }

    fn checked(&mut self, id: UploadId, checked: Checked) {
        if checked.complete {
            self.all_is_there(id);
            if self.is_active(id) {
                self.completed(id);
            }
            return;
        }
        for (number, md5) in checked.found {
            self.find(id, number, md5);
        }
        if !checked.lost.is_empty() {
            let count = checked.lost.len();
            tracing::warn!(
                upload = id,
                "{count} parts are not at the destination as they were sent"
            );
            self.keep(id, &Change::Lost(checked.lost));
        }
        self.queue.with_begun(id, |begun| {
            begun.verified.extend(checked.verified);
            begun.checked = true;
        });
        if self.is_active(id) {
            self.started(id);
            self.step_went_well(id);
            self.start_step(id);
        }
    }

    /// A part is there that was not known to be.
    fn find(&mut self, id: UploadId, number: PartNumber, md5: Option<[u8; 16]>) {
        let change = Change::Part(number, md5);
        self.queue.found(id, &change);
        let mut text = String::new();
        crate::session::record::write_change(&mut text, id, &change);
        self.session.store.append(text);
    }

    fn all_is_there(&mut self, id: UploadId) {
        let Some(begun) = self.queue.begun(id) else {
            return;
        };
        let unknown = (1..=begun.count()).filter(|n| !begun.progress.receipts.contains_key(n));
        for number in unknown.collect::<Vec<_>>() {
            self.find(id, number, None);
        }
    }

    fn missing(&mut self, id: UploadId, parts: Vec<PartNumber>) {
        let words = format!(
            "the destination lacks {} parts; they are sent again",
            parts.len()
        );
        tracing::warn!(upload = id, "{words}");
        self.keep(id, &Change::Lost(parts));
        self.errors += 1;
        if self.is_active(id) {
            // Counted as a failure of the step, so that a destination that loses everything ends.
            self.step_failed(id, Error::new(Kind::Server, words));
        }
    }

    fn completed(&mut self, id: UploadId) {
        self.cut_short(id);
        self.keep(id, &Change::Completed);
        self.step_went_well(id);
        if self.is_active(id) {
            self.process(id);
        }
    }

    fn became(&mut self, ids: &[UploadId], result: Result<Vec<MediaStatus>>) {
        self.polls.asking = false;
        let now = Instant::now();
        match result {
            Ok(statuses) => {
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
                let random = self.random.f64();
                match judge(&error, 1, u16::MAX, &self.timing.backoff, now, random) {
                    Verdict::EndAll => self.halt(error),
                    Verdict::WhenOpen => self.close_gate(&error),
                    _ => {}
                }
                self.errors += 1;
                self.polls.wait = (self.polls.wait * 2).min(self.timing.poll_most);
            }
        }
        let due = now + self.poll_wait();
        self.polls.due = (!self.polls.waiting.is_empty()).then_some(due);
    }

    fn media_is(&mut self, id: UploadId, status: MediaStatus) {
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
                    media: upload.media().unwrap_or_default().to_owned(),
                    size: upload.identity.size,
                };
                self.keep(id, &Change::Done);
                self.deactivate(id);
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

    fn cleared(&mut self, id: UploadId, result: Result<Identity>) {
        match result {
            Ok(identity) => self.keep(id, &Change::Fresh(identity)),
            Err(error) => {
                let words = format!("it could not be started over: {error}");
                self.keep(
                    id,
                    &Change::Failed(Error {
                        message: words,
                        ..error
                    }),
                );
            }
        }
    }

    fn part_done(&mut self, id: UploadId, next: NextPart, result: Result<Sent>) {
        let landed = self.flights.land(id, next.number);
        if landed.is_some() {
            self.under_way -= 1;
        }
        let sent = match result {
            Ok(sent) => sent,
            Err(error) => {
                if error.kind != Kind::Offline {
                    self.gate.line_is_up();
                }
                if let Some(flight) = landed {
                    let all = flight.progress.taken() == flight.length;
                    self.part_failed(id, next, error, all);
                }
                return;
            }
        };
        self.gate.line_is_up();
        self.keep(id, &Change::Part(next.number, sent.md5));
        let length = self.queue.with_begun(id, |begun| {
            if sent.verified {
                begun.verified.insert(next.number);
            }
            begun
                .plan()
                .and_then(|plan| plan.part(next.number))
                .map_or(0, |part| part.length)
        });
        self.happened(|| Event::Part {
            id,
            part: next.number,
            bytes: length.unwrap_or(0),
            attempt: next.attempt,
        });
    }

    fn part_failed(&mut self, id: UploadId, next: NextPart, error: Error, all_taken: bool) {
        self.errors += 1;
        let now = Instant::now();
        let random = self.random.f64();
        let retries = self.settings.retries;
        let verdict = judge(
            &error,
            next.attempt,
            retries,
            &self.timing.backoff,
            now,
            random,
        );
        self.tuning.trouble |= matches!(error.kind, Kind::Broken | Kind::Throttled);
        let ask = (all_taken && matches!(error.kind, Kind::Broken | Kind::Server)) || next.ask;
        let place = self.place(id, Some(next.number));
        let trouble = |attempts, error: &Error, retry_at| Trouble {
            attempts,
            error: error.clone(),
            retry_at,
            ask,
        };
        match verdict {
            Verdict::Done => self.keep(id, &Change::Part(next.number, None)),
            Verdict::WhenOpen => {
                tracing::warn!("{place}: {error}; again when the destination can be reached");
                self.close_gate(&error);
                let ask = ask.then_some((error, now));
                self.queue
                    .with_begun(id, |begun| begun.requeue(next.number, ask));
            }
            Verdict::At(at) => {
                let wait = at - now;
                tracing::warn!("{place}: {error}; again in {:.1} s", wait.as_secs_f64());
                let trouble = trouble(next.attempt, &error, Some(at));
                self.queue
                    .with_begun(id, |begun| begun.fail(next.number, trouble));
                self.retrying(id, Some(next.number), error, wait);
            }
            Verdict::Ask => {
                tracing::error!("{place}: {error}; {}", error.kind.next_step());
                let trouble = trouble(next.attempt, &error, None);
                self.queue
                    .with_begun(id, |begun| begun.fail(next.number, trouble));
                self.failed(id, Some(next.number), &error);
            }
            Verdict::EndUpload => self.end_upload(id, &error),
            Verdict::EndAll => {
                let none = None;
                self.queue
                    .with_begun(id, |begun| begun.requeue(next.number, none));
                self.halt(error);
            }
        }
        self.settle_if_stuck(id);
    }

    /// An upload of which only parts are left that wait for the person gives up its place.
    fn settle_if_stuck(&mut self, id: UploadId) {
        let now = Instant::now();
        let Some(begun) = self.queue.begun(id).filter(|begun| begun.stuck(now)) else {
            return;
        };
        let Some((number, trouble)) = begun.troubled.first_key_value() else {
            return;
        };
        let count = begun.troubled.len();
        let words = if count == 1 {
            format!("part {number} failed: {}", trouble.error)
        } else {
            format!(
                "{count} parts failed, the first is part {number}: {}",
                trouble.error
            )
        };
        let error = Error {
            message: words,
            ..trouble.error.clone()
        };
        self.end_upload(id, &error);
    }

    /// A step that is no part failed.
    fn step_failed(&mut self, id: UploadId, error: Error) {
        self.errors += 1;
        if !self.is_active(id) {
            return;
        }
        let now = Instant::now();
        let random = self.random.f64();
        let failures = self.queue.begun(id).map_or(0, |begun| begun.step_failures) + 1;
        let retries = self.settings.retries;
        let verdict = judge(&error, failures, retries, &self.timing.backoff, now, random);
        let place = self.place(id, None);
        let at = match verdict {
            Verdict::WhenOpen => {
                tracing::warn!("{place}: {error}; again when the destination can be reached");
                self.close_gate(&error);
                now
            }
            Verdict::At(at) => {
                let wait = at - now;
                tracing::warn!("{place}: {error}; again in {:.1} s", wait.as_secs_f64());
                self.retrying(id, None, error.clone(), wait);
                at
            }
            Verdict::Done => return self.completed(id),
            Verdict::Ask | Verdict::EndUpload => return self.end_upload(id, &error),
            Verdict::EndAll => {
                self.halt(error.clone());
                now
            }
        };
        self.queue.with_begun(id, |begun| {
            begun.step = Step::Idle;
            begun.not_before = Some(at);
            begun.step_failures = if error.kind.counted() {
                failures
            } else {
                failures - 1
            };
            begun.step_error = Some(error);
        });
    }

    fn close_gate(&mut self, error: &Error) {
        let now = Instant::now();
        let random = self.random.f64();
        if error.kind == Kind::Offline {
            self.gate
                .line_is_down(now, &error.message, &self.timing.backoff, random);
        } else {
            let wait = error
                .wait
                .unwrap_or(self.timing.backoff.first.mul_f64(1.0 + random));
            self.gate.wait(now + wait, &error.message);
        }
    }

    /// An upload ends here until the person does something.
    pub(super) fn end_upload(&mut self, id: UploadId, error: &Error) {
        self.cut_short(id);
        let place = self.place(id, None);
        tracing::error!("{place}: {error}; {}", error.kind.next_step());
        let change = match error.kind {
            Kind::Changed => Change::Changed(error.clone()),
            _ => Change::Failed(error.clone()),
        };
        self.keep(id, &change);
        self.rest(id);
        self.failed(id, None, error);
    }

    /// An upload that is held has no step under way, and gives up its place.
    pub(super) fn rest(&mut self, id: UploadId) {
        self.deactivate(id);
        self.queue.with(id, |upload| {
            if let (Phase::Begun(begun), Hold::Failed(_) | Hold::Changed(_) | Hold::Paused) =
                (&mut upload.phase, &upload.hold)
            {
                begun.step = Step::Idle;
                begun.not_before = None;
                begun.step_failures = 0;
                begun.step_error = None;
            }
        });
    }

    /// Nothing more is begun until the person has mended something.
    fn halt(&mut self, error: Error) {
        tracing::error!("{error}; {}", error.kind.next_step());
        self.halted = Some(error);
    }

    fn place(&self, id: UploadId, part: Option<PartNumber>) -> String {
        let name = self.queue.get(id).map(|upload| worker::named(&upload.path));
        let name = name.unwrap_or_else(|| format!("upload {id}"));
        part.map_or_else(|| name.clone(), |part| format!("{name}, part {part}"))
    }

    fn retrying(&self, id: UploadId, part: Option<PartNumber>, error: Error, wait: Duration) {
        self.happened(|| Event::Retrying {
            id,
            part,
            error,
            retry_in_ms: millis(wait),
        });
    }

    fn failed(&self, id: UploadId, part: Option<PartNumber>, error: &Error) {
        let path = self.queue.get(id).map(|upload| upload.path.to_path_buf());
        self.happened(|| Event::Failed {
            id,
            path: path.unwrap_or_default(),
            part,
            kind: error.kind,
            message: error.message.clone(),
            next_step: error.kind.next_step().to_owned(),
        });
    }
}
