//! Failures of steps, and the end of an upload or of everything: what is tried again, what is told.

use std::{path::PathBuf, time::Duration};

use tokio::time::Instant;

use super::Actor;
use crate::{
    awaited::Awaited,
    engine::{
        flights::millis,
        protocol::{Event, State, UploadId},
        record::{Step, Upload},
        retry::{Did, Verdict},
        upload::{Failure, Stop},
    },
    error::{CallClass, Error, Kind, Result},
    path::tail,
    plan::PartNumber,
    session::Change,
};

/// The share of a file that may be sent again without asking, as a divisor: a tenth.
const LITTLE: u64 = 10;

impl Actor {
    /// A request of an upload failed: what follows was decided by its task, which goes on with that.
    pub(super) fn failure(&mut self, id: UploadId, failure: Failure) {
        let Failure {
            part,
            attempt,
            error,
            awaited,
            class,
            verdict,
            now,
        } = failure;
        self.errors += 1;
        self.incidents.note(id, part, attempt, &error);
        if part.is_some() && matches!(error.kind, Kind::Broken | Kind::Throttled) {
            self.tuner.stumbled();
        }
        match error.kind {
            Kind::Crowded => self.is_crowded(),
            Kind::TooLarge => self.keep_part_most(),
            _ => {}
        }
        if error.kind == Kind::Disk && !verdict.counts() {
            self.try_others(id);
        }
        let place = self.place(id, part);
        match verdict {
            Verdict::WhenOpen => {
                let what = awaited.unwrap_or_else(|| self.shared.api());
                match self.close_gate(&what, class, &error, now) {
                    Ok(when) => {
                        tracing::warn!("{place}: {error}; {when}");
                        let is_of_host = error.is_of_host();
                        self.tell_of_wait(id, part, error, &what, class);
                        if is_of_host {
                            self.let_another_try(id);
                        }
                    }
                    Err(unreachable) => self.give_up(id, &what, &unreachable),
                }
            }
            // One that was paused or removed meanwhile is not tried again, and no failure.
            _ if !self.active.contains(&id) && verdict != Verdict::EndAll => {}
            Verdict::At(at) | Verdict::Uncounted(at) => {
                let wait = at - now;
                tracing::warn!("{place}: {error}; again {}", soon(wait));
                self.retrying(id, part, error, wait);
            }
            Verdict::Ask if part.is_some() && self.goes_to_tail(id, &error) => {
                tracing::warn!("{place}: {error}; it is tried again when the others have gone out");
            }
            Verdict::Ask if part.is_some() => {
                tracing::error!("{place}: {error}; {}", error.kind.next_step());
                self.failed(id, part, &error);
            }
            Verdict::EndAll => self.halt(error),
            // The upload ends, and its end is told.
            Verdict::Ask | Verdict::EndUpload | Verdict::Done => {}
        }
    }

    /// Nothing more goes to a host or disk that failed then for a while, or of a class of call that a host
    /// asks to wait with. Answers in words until when.
    ///
    /// # Errors
    /// Where it has not answered for as long as it may take.
    pub(super) fn close_gate(
        &mut self,
        what: &Awaited,
        class: CallClass,
        error: &Error,
        then: Instant,
    ) -> Result<String> {
        let at = self.moment();
        let backoff = &self.timing.backoff;
        let mut gates = self.shared.gates();
        if error.kind == Kind::Throttled {
            let wait = gates.asks_to_wait(what, class, error, at, backoff);
            return Ok(format!("{what} asks to wait: again {}", soon(wait)));
        }
        if gates.did(what, then, at.now) == Did::Well {
            // It answered somebody meanwhile.
            return Ok("again at once".to_owned());
        }
        let since = gates.failed(what, &error.message, at, backoff);
        drop(gates);
        let silent = at.now - since;
        if silent < self.settings.offline.longest() {
            return Ok(format!("again when {}", what.is_back()));
        }
        let silent = jiff::SignedDuration::try_from(silent).unwrap_or_default();
        let since = crate::format::since(at.clock - silent, at.clock);
        Err(Error {
            message: format!("{what} unreachable since {since}: {error}"),
            ..error.clone()
        })
    }

    /// What was begun and is tried again when a host or disk answers is told as any other retry.
    fn tell_of_wait(
        &self,
        id: UploadId,
        part: Option<PartNumber>,
        error: Error,
        what: &Awaited,
        class: CallClass,
    ) {
        if matches!(error.kind, Kind::Offline | Kind::Throttled) {
            return;
        }
        let now = Instant::now();
        let closed = self.shared.gates().closed(what, class, now);
        let wait = closed.map_or(Duration::ZERO, |closed| closed.until - now);
        self.retrying(id, part, error, wait);
    }

    /// A host or disk was waited for long enough: what waits for it ends here.
    fn give_up(&mut self, id: UploadId, what: &Awaited, error: &Error) {
        if *what == self.shared.api() {
            return self.halt(error.clone());
        }
        // Others may send their parts elsewhere.
        let waits = |(_, task): &(&UploadId, &super::TaskHandle)| task.sends_to() == Some(what);
        let waiting = self.tasks.iter().filter(waits).map(|(id, _)| *id);
        let mut waiting: Vec<UploadId> = waiting.collect();
        if !waiting.contains(&id) {
            waiting.push(id);
        }
        for id in waiting {
            self.dismiss(id, Stop::Cancel);
            self.end_upload(id, error);
        }
    }

    /// An upload that can't go on (its ticket is gone: a link that expired during a pause, say), and
    /// of which hardly anything was acknowledged yet, is begun anew: little is lost by that. Once in
    /// a run, no more; in smaller parts as often as there are smaller ones.
    pub(super) fn begin_anew(&mut self, id: UploadId, error: &Error) -> bool {
        let few = match error.kind {
            Kind::TooLarge if self.may_go_out_smaller() => self.one_round(),
            Kind::TicketGone => 0,
            _ => return false,
        };
        let little = self.queue.get(id).is_some_and(|upload| {
            let clearing = upload.begun().is_none_or(|begun| begun.progress.clearing);
            !clearing && upload.acknowledged() <= few.max(upload.identity.size / LITTLE)
        });
        if !little || (error.kind == Kind::TicketGone && !self.renewed.insert(id)) {
            return false;
        }
        tracing::warn!("{}: {error}; it is begun anew", self.place(id, None));
        self.deactivate(id);
        self.keep(id, &Change::Clearing);
        true
    }

    /// The account forbids an upload. Where it forbids one file after another, nothing more is started
    /// but one now and then.
    pub(super) fn forbidden(&mut self, id: UploadId, error: Error) {
        let (now, clock) = (Instant::now(), jiff::Timestamp::now());
        let Some(silent) = self.refusals.add(id, &error, now, clock) else {
            return self.end_upload(id, &error);
        };
        let place = self.place(id, None);
        let files = self.refusals.forbids().map_or(0, |forbids| forbids.files);
        let many = format!("{files} files were refused alike: {error}");
        self.back_to_queue(id);
        if silent >= self.settings.offline.longest() {
            return self.halt(Error {
                message: many,
                ..error
            });
        }
        tracing::error!(
            "{place}: {many}; no more is started, and one file is tried each 10 minutes; {}",
            error.kind.next_step()
        );
    }

    /// An upload ends here until the person does something.
    pub(super) fn end_upload(&mut self, id: UploadId, error: &Error) {
        let place = self.place(id, None);
        if self.begin_anew(id, error) {
            return;
        }
        self.give_back(id);
        let error = &self.with_its_price(id, error);
        tracing::error!("{place}: {error}; {}", error.kind.next_step());
        let change = match error.kind {
            Kind::Changed => Change::Changed(error.clone()),
            _ => Change::Failed(error.clone()),
        };
        self.keep(id, &change);
        self.set_aside(id);
        self.failed(id, None, error);
    }

    /// An upload is skipped, for a reason that is no failure.
    pub(super) fn leave_out(&mut self, id: UploadId, reason: Error) {
        self.keep(id, &Change::Skipped(reason));
        self.dismiss(id, Stop::Cancel);
    }

    /// Where nothing is left but to start over, how much that means to send again.
    fn with_its_price(&self, id: UploadId, error: &Error) -> Error {
        let mut error = error.clone();
        let sent = self.queue.get(id).map_or(0, Upload::acknowledged);
        if matches!(error.kind, Kind::TicketGone | Kind::TooLarge) && sent > 0 {
            let sent = crate::format::bytes(sent);
            error.message = format!("{error} (to start over is to send {sent} again)");
        }
        error
    }

    /// An upload without a task gives up its place, and has no step in progress.
    pub(super) fn set_aside(&mut self, id: UploadId) {
        self.deactivate(id);
        self.queue.with_begun(id, |begun| {
            begun.step = Step::Idle;
            begun.wait = None;
        });
    }

    /// Nothing more is begun until the person has mended something.
    pub(super) fn halt(&mut self, error: Error) {
        tracing::error!("{error}; {}", error.kind.next_step());
        self.halted = Some(error);
    }

    pub(super) fn place(&self, id: UploadId, part: Option<PartNumber>) -> String {
        let name = self.queue.get(id).map(|upload| tail(&upload.path));
        let name = name.unwrap_or_else(|| format!("upload {id}"));
        part.map_or_else(|| name.clone(), |part| format!("{name}, part {part}"))
    }

    /// What failed in an earlier run is told at the beginning of this one.
    pub(super) fn tell_what_failed_before(&self) {
        let counts = self.queue.counts();
        if self.events.is_none() || counts.of(State::Failed) + counts.of(State::Changed) == 0 {
            return;
        }
        for id in self.queue.order() {
            let failed = self
                .queue
                .get(*id)
                .filter(|upload| matches!(upload.state(), State::Failed | State::Changed));
            match failed.and_then(|upload| Some((upload, upload.reason()?))) {
                Some((upload, why)) if upload.unread().is_some() => {
                    self.happened(|| Event::Unreadable {
                        path: upload.path.to_path_buf(),
                        reason: why.message.clone(),
                    });
                }
                Some((_, why)) => self.failed(*id, None, why),
                None => {}
            }
        }
    }

    /// Where the upload's file is; empty where the upload is gone.
    pub(super) fn path_of(&self, id: UploadId) -> PathBuf {
        let upload = self.queue.get(id);
        upload.map_or_else(PathBuf::new, |upload| upload.path.to_path_buf())
    }

    pub(super) fn retrying(
        &self,
        id: UploadId,
        part: Option<PartNumber>,
        error: Error,
        wait: Duration,
    ) {
        self.happened(|| Event::Retrying {
            id,
            part,
            error,
            retry_in_ms: millis(wait),
        });
    }

    pub(super) fn failed(&self, id: UploadId, part: Option<PartNumber>, error: &Error) {
        let path = self.path_of(id);
        self.happened(|| Event::Failed {
            id,
            path,
            part,
            kind: error.kind,
            message: error.message.clone(),
            next_step: error.kind.next_step().to_owned(),
        });
    }
}

/// When something is tried again, in words.
pub(super) fn soon(wait: Duration) -> String {
    if wait < Duration::from_millis(50) {
        "at once".to_owned()
    } else {
        format!("in {:.1} s", wait.as_secs_f64())
    }
}
