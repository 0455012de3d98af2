//! Failures of steps, and the end of an upload or of everything: what is tried again, what is told.

use std::{path::PathBuf, time::Duration};

use tokio::time::Instant;

use super::Actor;
use crate::{
    engine::{
        flights::millis,
        protocol::{Event, State, UploadId},
        record::{Step, Upload},
        retry::{Verdict, Way},
        upload::{Failure, Stop},
    },
    error::{Error, Kind},
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
            way,
            verdict,
            now,
        } = failure;
        self.errors += 1;
        let way = Way::of(&error, way);
        self.on_error(way, &error);
        self.incidents.note(id, part, attempt, &error);
        if part.is_some() && matches!(error.kind, Kind::Broken | Kind::Throttled) {
            self.tuner.stumbled();
        }
        match error.kind {
            Kind::Crowded => self.is_crowded(),
            Kind::TooLarge => self.keep_part_most(),
            _ => {}
        }
        let place = self.place(id, part);
        match verdict {
            Verdict::WhenOpen => {
                let when = self.close_gate(way, &error);
                tracing::warn!("{place}: {error}; {when}");
            }
            // One that was paused or removed meanwhile is not tried again, and no failure.
            _ if !self.active.contains(&id) && verdict != Verdict::EndAll => {}
            Verdict::At(at) => {
                let wait = at - now;
                tracing::warn!("{place}: {error}; again {}", soon(wait));
                self.retrying(id, part, error, wait);
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

    /// An error came this way: it may be an answer all the same.
    pub(super) fn on_error(&mut self, way: Way, error: &Error) {
        if error.kind == Kind::Throttled {
            self.gates.line_is_up(way);
        } else if error.kind.is_an_answer() {
            self.gates.came_through(way);
        }
    }

    /// Nothing more goes this way for a while. Answers in words until when.
    pub(super) fn close_gate(&mut self, way: Way, error: &Error) -> String {
        let now = Instant::now();
        let random = self.random.f64();
        let backoff = self.timing.backoff;
        if error.kind != Kind::Offline {
            let wait = self.gates.asks_to_wait(way, now, error, &backoff, random);
            return format!("it asks to wait: again {}", soon(wait));
        }
        let down = self.gates.down_for(way, now);
        self.gates
            .line_is_down(way, now, &error.message, &backoff, random);
        if down.is_some_and(|down| down > self.timing.offline) {
            let words = format!("the destination could not be reached for long: {error}");
            self.halt(Error::new(Kind::Offline, words));
        }
        "again when the destination can be reached".to_owned()
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
    fn set_aside(&mut self, id: UploadId) {
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
