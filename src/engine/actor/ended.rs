//! How steps ended, and what follows from that: the next step, another try, or the end.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::Actor;
use crate::{
    destination::{Completed, Ticket},
    engine::{
        protocol::{Event, UploadId},
        retry::Way,
        upload::{Begun, Hold, Phase, Step, Upload},
        worker::{self, Checked, Done},
    },
    error::{Error, Kind, Result},
    fault_point::fault_point,
    format,
    identity::Identity,
    ids::MediaId,
    plan::PartNumber,
    session::{Change, Milestone},
};

impl Actor {
    /// What follows from how a step ended.
    pub(super) fn done(&mut self, done: Done) {
        let done = match done {
            Done::Part(id, flown, result) => return self.part_done(id, &flown, result),
            Done::Replaced(id, flown) => return self.part_replaced(id, &flown),
            Done::Misplaced(id, flown) => return self.part_misplaced(id, &flown),
            Done::Unprepared(id, flown, error) => {
                return self.part_unprepared(id, &flown, error);
            }
            done => done,
        };
        self.under_way = self.under_way.saturating_sub(1);
        self.heard(Way::Calls, done.heard());
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
                if self.stopping.is_some() {
                    // The end waits for the disk, and no longer than it should.
                    return;
                }
                self.spawn_step(id, async move {
                    // Should the disk be gone, nothing more goes out: the store's error holds that.
                    let _ = worker::on_disk(saved).await;
                    Done::TicketSaved(id)
                });
            }
            Done::Created(id, Err(error)) => {
                // An error of the server's own may have come after the media object was made; that
                // it asks to wait with it says nothing of that.
                let failed = error.status.is_some_and(|status| status >= 500);
                if failed || matches!(error.kind, Kind::Broken | Kind::Server) {
                    self.queue.with_begun(id, |begun| begun.recover = true);
                }
                self.step_failed(id, error);
            }
            Done::TicketSaved(id) => self.ticket_saved(id),
            Done::PlanSaved(id) => self.plan_saved(id),
            Done::Checked(id, Ok(checked)) => self.checked(id, checked),
            Done::Checked(id, Err(error)) => self.step_failed(id, error),
            Done::Completed(id, Err(error)) => self.not_completed(id, error),
            Done::Completed(id, Ok(Completed::Missing(parts))) => self.missing(id, parts),
            Done::Completed(id, Ok(Completed::Complete(media))) => self.completed(id, Some(media)),
            Done::Status(ids, batch) => self.became(&ids, batch),
            Done::Cleared(id, result) => self.cleared(id, result),
            Done::Part(..) | Done::Replaced(..) | Done::Misplaced(..) | Done::Unprepared(..) => {}
        }
    }

    pub(super) fn is_active(&self, id: UploadId) -> bool {
        self.active.contains(&id)
    }

    /// The file was looked at: begin the upload, or go on with it.
    pub(super) fn looked(&mut self, id: UploadId, result: Result<Identity>) {
        if !self.is_active(id) {
            return;
        }
        if let Ok(now) = &result {
            self.queue
                .with_begun(id, |begun| begun.comes_from(now.inode));
        }
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let Some(begun) = upload.begun() else { return };
        let now = match result {
            Ok(now) => now,
            Err(error) => return self.end_upload(id, &error),
        };
        if begun.progress.clearing {
            return self.start_step(id);
        }
        let twin = self.queue.twin(id, &now);
        if let Some(twin) = twin.filter(|_| !begun.progress.completed) {
            let (clear, reason) = (!begun.made_nothing(), same_file(twin));
            return self.has_twin(id, clear, reason);
        }
        let changed = upload.identity.check(&now);
        if begun.plan().is_none() {
            // Nothing was made of it yet: the file is what it is now.
            let limits = self.account.limits();
            if now.size == 0 {
                return self.end_upload(id, &Error::new(Kind::Local, "it is empty now"));
            }
            if now.size > limits.file_max {
                let most = bytesize::ByteSize(limits.file_max).display().iec();
                let words = format!("it is larger than the destination takes ({most})");
                return self.end_upload(id, &Error::new(Kind::Refused, words));
            }
            if let Some(wait) = upload.identity.unrest(&now, Timestamp::now()) {
                return self.let_rest(id, &now, wait);
            }
            let marker = begun.progress.marker.clone();
            let (wish, line) = (self.settings.part_size, self.line_seen());
            let plan = limits.plan(wish, now.size, self.parts_limit(), line);
            let Some(plan) = plan else {
                let words = format!(
                    "it can't be split into {} parts or fewer, each of {} at most: raise part_max",
                    limits.parts_max,
                    format::bytes(limits.part_max)
                );
                return self.end_upload(id, &Error::new(Kind::Refused, words));
            };
            if upload.identity != now {
                // Another file with the same bytes stands in its place: that is what is uploaded.
                self.keep(id, &Change::Fresh(now));
            }
            let start = self.start_under(marker);
            self.keep(id, &start);
            let at = Timestamp::now().into();
            self.keep(id, &Change::At(Milestone::Begun, at));
            self.keep(id, &Change::Plan(plan));
            self.queue.with_begun(id, |begun| {
                // The plan is on disk before anything is created: nothing was.
                begun.recover = false;
                begun.comes_from(now.inode);
            });
            self.queue.goes_out(id);
            return self.start_step(id);
        }
        if let Err(error) = changed {
            return self.end_upload(id, &error);
        }
        self.queue.goes_out(id);
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let Some(begun) = upload.begun() else { return };
        if begun.progress.ticket.is_none() {
            return self.start_step(id);
        }
        if begun.progress.completed {
            return self.process(id);
        }
        if begun.checked {
            return self.step(id, Step::Sending);
        }
        if self.stopping.is_some() {
            return self.step(id, Step::Idle);
        }
        let Some(plan) = begun.plan().cloned() else {
            return;
        };
        let receipts = begun.progress.receipts.clone();
        let path = upload.path.to_path_buf();
        let other = upload.identity.inode != now.inode && upload.identity.inode != 0;
        let rehash = begun.doubtful || other;
        let reading = self.reading.clone();
        let Some(remote) = self.remote(id) else {
            return;
        };
        self.step(id, Step::Checking);
        self.spawn_step(id, async move {
            let checked = worker::check(&*remote, plan, receipts, path, reading, rehash);
            Done::Checked(id, checked.await)
        });
    }

    /// A file goes out under another name, or did: it is left out under this one. What an earlier try
    /// may have made under it is removed first; then it is looked at once more.
    fn has_twin(&mut self, id: UploadId, clear: bool, reason: String) {
        let place = self.place(id, None);
        if clear {
            tracing::warn!("{place}: {reason}; what was made of it under this name is removed");
            self.begin_over(id);
            return self.start_step(id);
        }
        tracing::info!("{place} is left out: {reason}");
        let path = self.queue.get(id).map(|upload| upload.path.to_path_buf());
        self.leave_out(id, Error::new(Kind::Local, &reason));
        self.happened(|| Event::Skipped {
            path: path.unwrap_or_default(),
            reason,
        });
    }

    /// A file that may still be written to gives up its place, and is looked at again later.
    pub(super) fn let_rest(&mut self, id: UploadId, now: &Identity, wait: Duration) {
        let marker = self
            .queue
            .begun(id)
            .map(|begun| begun.progress.marker.clone());
        if self
            .queue
            .get(id)
            .is_some_and(|upload| upload.identity != *now)
        {
            self.keep(id, &Change::Fresh(*now));
            let start = self.start_under(marker.unwrap_or_default());
            self.queue.apply(id, &start);
        }
        let at = Instant::now() + wait;
        self.deactivate(id);
        self.queue.with_begun(id, |begun| {
            begun.step = Step::Idle;
            begun.recover = false;
            begun.not_before = Some(at);
            let words = "it may still be written to: waiting until it rests";
            begun.step_error = Some(Error::new(Kind::Changed, words));
        });
        self.resting.push((at, id));
    }

    /// Files that have been left alone long enough wait for their turn again.
    pub(super) fn wake_resting(&mut self) {
        let now = Instant::now();
        let (due, resting) = self.resting.iter().partition(|(at, _)| *at <= now);
        self.resting = resting;
        let due: Vec<(Instant, UploadId)> = due;
        for (_, id) in due {
            self.queue.with_begun(id, |begun| {
                begun.not_before = None;
                begun.step_error = None;
            });
            self.queue.look_again_from(id);
        }
    }

    pub(super) fn ticket_saved(&mut self, id: UploadId) {
        fault_point("ticket-saved");
        self.started(id);
        if self.is_active(id) {
            self.step_went_well(id);
            self.start_step(id);
        }
    }

    fn plan_saved(&mut self, id: UploadId) {
        let again = self.queue.with_begun(id, |begun| {
            begun.saving_plan = false;
            std::mem::take(&mut begun.cut_again)
        });
        if again == Some(true) {
            self.cut_anew(id);
        }
    }

    /// Tells that it goes out, once.
    pub(super) fn started(&mut self, id: UploadId) {
        let announced = |begun: &mut Begun| std::mem::replace(&mut begun.announced, true);
        if self.queue.with_begun(id, announced) != Some(false) {
            return;
        }
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let media = upload.media().cloned();
        let parts = upload.begun().map_or(0, Begun::count);
        if self.events.is_none() {
            let (place, cut) = (self.place(id, None), format::count(parts as usize, "part"));
            if let Some(media) = &media {
                tracing::info!("{place} goes to {media} in {cut}");
            } else {
                tracing::info!("{place} goes out in {cut}");
            }
        }
        self.happened(|| Event::Started {
            id,
            path: upload.path.to_path_buf(),
            media,
            parts,
        });
    }

    pub(super) fn step_went_well(&mut self, id: UploadId) {
        self.queue.with_begun(id, |begun| {
            begun.step = Step::Idle;
            begun.not_before = None;
            begun.step_failures = 0;
            begun.step_error = None;
        });
    }

    pub(super) fn checked(&mut self, id: UploadId, checked: Checked) {
        if checked.complete {
            self.all_is_there(id);
            if !self.is_active(id) {
                return;
            }
            if self.queue.get(id).and_then(Upload::media).is_some() {
                return self.completed(id, None);
            }
            // Its id comes with the answer to a complete.
            self.queue.with_begun(id, |begun| begun.checked = true);
            self.step_went_well(id);
            return self.start_step(id);
        }
        if !checked.lost.is_empty() {
            let count = checked.lost.len();
            tracing::warn!(
                upload = id,
                "{count} parts are not at the destination as they were sent"
            );
            self.keep(id, &Change::Lost(checked.lost));
        }
        if let Some(plan) = checked.plan {
            self.replan(id, plan);
        }
        for (number, md5) in checked.found {
            self.find(id, number, md5);
        }
        self.queue.with_begun(id, |begun| {
            begun.verified.extend(checked.verified);
            begun.checked = true;
            begun.doubtful = false;
        });
        if self.is_active(id) {
            if self.resized {
                self.cut_anew(id);
            }
            self.started(id);
            self.step_went_well(id);
            self.start_step(id);
        }
    }

    pub(super) fn all_is_there(&mut self, id: UploadId) {
        let Some(begun) = self.queue.begun(id) else {
            return;
        };
        let unknown = (1..=begun.count()).filter(|n| !begun.progress.receipts.contains_key(n));
        for number in unknown.collect::<Vec<_>>() {
            self.find(id, number, None);
        }
    }

    pub(super) fn missing(&mut self, id: UploadId, parts: BTreeSet<PartNumber>) {
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

    /// The destination did not agree that all is there. Should that be the end of it, a retry asks
    /// what is there instead of insisting.
    pub(super) fn not_completed(&mut self, id: UploadId, error: Error) {
        self.step_failed(id, error);
        let held = self
            .queue
            .get(id)
            .is_some_and(|upload| upload.reason().is_some());
        if held {
            self.queue.with_begun(id, |begun| begun.checked = false);
        }
    }

    /// The account has it all. Some name the media object only now.
    pub(super) fn completed(&mut self, id: UploadId, media: Option<MediaId>) {
        self.cut_short(id);
        let begun = self.queue.begun(id);
        let ticket = begun.and_then(|begun| begun.progress.ticket.clone());
        if let Some(ticket) = ticket.filter(|ticket| media.is_some() && ticket.media != media) {
            self.keep(id, &Change::Ticket(Ticket { media, ..ticket }));
        }
        self.keep(id, &Change::Completed);
        fault_point("completed");
        self.step_went_well(id);
        if self.is_active(id) {
            self.process(id);
        }
    }

    pub(super) fn cleared(&mut self, id: UploadId, result: Result<Identity>) {
        let identity = match result {
            Ok(identity) => identity,
            Err(error) => return self.step_failed(id, error.at("it could not be started over")),
        };
        // The person may have held it meanwhile.
        let held = self.queue.get(id).and_then(|upload| match &upload.hold {
            Hold::Paused => Some(Change::Paused),
            Hold::Skipped(error) => Some(Change::Skipped(Error::clone(error))),
            _ => None,
        });
        self.deactivate(id);
        self.keep(id, &Change::Fresh(identity));
        if let Some(held) = held {
            self.keep(id, &held);
        }
    }
}

/// Why a file is left out, of which this is another upload.
fn same_file(twin: &Upload) -> String {
    let path = crate::path::shown(&twin.path);
    match (&twin.phase, twin.media()) {
        (Phase::Done(_), Some(media)) => format!("the same file as {path}, uploaded as {media}"),
        _ => format!("the same file as {path}, which is queued already"),
    }
}
