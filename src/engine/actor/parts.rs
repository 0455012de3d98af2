//! Parts that go out and come back: what follows from an answer, a failure, an interruption.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Actor, failures::soon};
use crate::{
    destination::{PartReceipt, Ticket},
    engine::{
        flights::Flight,
        protocol::{Event, UploadId},
        rate::Meter,
        retry::{Verdict, Way, judge},
        upload::{NextPart, Phase, Sequence, Step, Trouble},
        worker::{self, Done, Flown, NotSent, PartJob, Sent},
    },
    error::{Error, Kind, Result},
    fault_point::fault_point,
    plan::PartNumber,
    session::Change,
};

impl Actor {
    pub(super) fn start_part(&mut self, id: UploadId, next: NextPart) {
        let Some(remote) = self.remote(id) else {
            return;
        };
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let Some((marker, plan)) = upload
            .begun()
            .and_then(|begun| Some((begun.progress.marker.clone(), begun.plan()?.clone())))
        else {
            return;
        };
        let length = plan.part(next.number).map_or(0, |part| part.length);
        let progress = Arc::new(crate::body::Progress::default());
        let number = self.flights.next_number();
        let flown = Flown {
            next,
            flight: number,
            marker,
        };
        let job = PartJob {
            account: Arc::clone(&self.account),
            remote,
            plan,
            path: upload.path.to_path_buf(),
            identity: upload.identity,
            source: upload.begun().map_or(0, |begun| begun.source),
            next,
            reading: self.reading.clone(),
            cap: self.cap.clone(),
            progress: Arc::clone(&progress),
            patience: self.timing.patience,
        };
        self.queue.with(id, |upload| {
            if let Phase::Begun(begun) = &mut upload.phase {
                begun.start(next);
                upload.attempts += 1;
            }
        });
        self.under_way += 1;
        let abort = self.steps.spawn(async move {
            match worker::send(job).await {
                Ok(sent) => Done::Part(id, flown, Ok(sent)),
                Err(NotSent::Failed(error)) => Done::Part(id, flown, Err(error)),
                Err(NotSent::Unprepared(error)) => Done::Unprepared(id, flown, error),
                Err(NotSent::Replaced) => Done::Replaced(id, flown),
                Err(NotSent::Misplaced) => Done::Misplaced(id, flown),
            }
        });
        let begun = Instant::now();
        let meter = Meter::new(begun);
        let attempt = next.attempt;
        self.flights.start(
            id,
            next.number,
            Flight {
                number,
                progress,
                length,
                attempt,
                begun,
                meter,
                measured: 0,
                abort,
            },
        );
    }

    /// Cuts short what is in flight of an upload; its parts go out again later.
    pub(super) fn cut_short(&mut self, id: UploadId) {
        let now = Instant::now();
        let parts: Vec<PartNumber> = self.flights.of(id).map(|(part, _)| part).collect();
        for part in parts {
            let Some(flight) = self.cut_flight(id, part) else {
                continue;
            };
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

    fn cut_flight(&mut self, id: UploadId, part: PartNumber) -> Option<Flight> {
        let flight = self.flights.take(id, part)?;
        flight.abort.abort();
        self.under_way -= 1;
        Some(flight)
    }

    /// A part came back. It may have been cut short before, and its answer have come all the same: a
    /// failure says nothing then, and a success counts, unless it was another upload's by now.
    pub(super) fn part_done(&mut self, id: UploadId, flown: &Flown, result: Result<Sent>) {
        let next = flown.next;
        let landed = self.land(id, flown);
        let sent = match result {
            Ok(sent) => sent,
            Err(error) => {
                fault_point("part-failed");
                self.heard(Way::Parts, Some(Err(&error)));
                if let Some(flight) = landed {
                    let all = flight.progress.taken() == flight.length;
                    self.part_failed(id, next, error, all, Way::Parts);
                }
                return;
            }
        };
        self.heard(Way::Parts, Some(Ok(())));
        if landed.is_none() {
            let begun = self.queue.begun(id);
            if begun.is_none_or(|begun| begun.progress.marker != flown.marker) {
                return;
            }
            drop(self.cut_flight(id, next.number));
        }
        fault_point("part-answered");
        let part = Change::Part(next.number, sent.receipt);
        match sent.ticket {
            Some(ticket) => self.new_ticket(id, ticket, part),
            None => self.keep(id, &part),
        }
        // One whose link was known says nothing of an API that is waited for.
        let api_closed = self.gates.closed(Way::Calls, Instant::now()).is_some();
        let length = self.queue.with_begun(id, |begun| {
            begun.needs_api &= api_closed;
            if sent.verified {
                begun.verified.insert(next.number);
            }
            begun
                .plan()
                .and_then(|plan| plan.part(next.number))
                .map_or(0, |part| part.length)
        });
        let bytes = length.unwrap_or(0);
        self.tuner.arrived(Instant::now(), bytes);
        self.happened(|| Event::Part {
            id,
            part: next.number,
            bytes,
            attempt: next.attempt,
        });
        self.settle_if_stuck(id);
    }

    /// A part came with a ticket, by which the upload is opened from now on. It is on disk before another
    /// part goes out.
    fn new_ticket(&mut self, id: UploadId, ticket: Ticket, part: Change) {
        let saved = self.keep_durable(id, &[Change::Ticket(ticket), part]);
        self.remotes.remove(&id);
        if self.is_active(id) && self.stopping.is_none() && self.remote(id).is_some() {
            self.wait_for_disk(id, saved);
        }
    }

    /// Another file stands where the one was whose parts are being sent. When those in flight, which
    /// still come from the old one, have come back, it is looked whether it has the same bytes.
    pub(super) fn part_replaced(&mut self, id: UploadId, flown: &Flown) {
        let number = flown.next.number;
        if self.land(id, flown).is_none() {
            return;
        }
        let place = self.place(id, None);
        tracing::warn!(
            "{place}: another file stands in its place; what was sent is held against it"
        );
        self.queue.with_begun(id, |begun| {
            begun.requeue(number, None);
            begun.doubt();
        });
    }

    /// A part is no longer in flight; `None` where it was interrupted before it came back.
    fn land(&mut self, id: UploadId, flown: &Flown) -> Option<Flight> {
        let flight = self.flights.land(id, flown.next.number, flown.flight)?;
        self.under_way -= 1;
        Some(flight)
    }

    /// A part was not sent, because the API did not say where it goes. Until the API answers no part of
    /// this upload goes out; those of others do.
    pub(super) fn part_unprepared(&mut self, id: UploadId, flown: &Flown, error: Error) {
        self.heard(Way::Calls, Some(Err(&error)));
        if self.land(id, flown).is_none() {
            return;
        }
        self.queue
            .with_begun(id, |begun| begun.needs_api = !error.kind.counted());
        self.part_failed(id, flown.next, error, false, Way::Calls);
    }

    /// A part was not sent, because the account has bytes up to the middle of it: it is asked what it
    /// has, and the plan follows that.
    pub(super) fn part_misplaced(&mut self, id: UploadId, flown: &Flown) {
        let number = flown.next.number;
        if self.land(id, flown).is_none() {
            return;
        }
        self.queue.with_begun(id, |begun| {
            begun.requeue(number, None);
            begun.checked = false;
            begun.step = Step::Idle;
            begun.not_before = None;
        });
    }

    pub(super) fn part_failed(
        &mut self,
        id: UploadId,
        next: NextPart,
        error: Error,
        all_taken: bool,
        way: Way,
    ) {
        self.errors += 1;
        self.incidents
            .note(id, Some(next.number), next.attempt, &error);
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
        if matches!(error.kind, Kind::Broken | Kind::Throttled) {
            self.tuner.stumbled();
        }
        // What arrived with other bytes is known to be there, and of no use.
        let unsure = matches!(error.kind, Kind::Broken | Kind::Server)
            || error.status.is_some_and(|status| status >= 500);
        // Where parts follow each other, any byte that arrived moves the place of the next.
        let ordered = self
            .queue
            .begun(id)
            .is_some_and(|begun| begun.sequence == Sequence::Ordered);
        let maybe_there = (all_taken && unsure) || next.ask;
        let ask = ordered || (maybe_there && error.kind != Kind::Corrupt);
        let place = self.place(id, Some(next.number));
        let trouble = |attempts, error: &Error, retry_at| Trouble {
            attempts,
            error: error.clone(),
            retry_at,
            ask,
        };
        match verdict {
            Verdict::Done => self.keep(id, &Change::Part(next.number, PartReceipt::default())),
            Verdict::WhenOpen => {
                let when = self.close_gate(Way::of(&error, way), &error);
                tracing::warn!("{place}: {error}; {when}");
                let ask = ask.then_some((error, now));
                self.queue
                    .with_begun(id, |begun| begun.requeue(next.number, ask));
            }
            Verdict::At(at) => {
                let wait = at - now;
                tracing::warn!("{place}: {error}; again {}", soon(wait));
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
            Verdict::EndUpload => {
                self.queue
                    .with_begun(id, |begun| begun.requeue(next.number, None));
                self.end_upload(id, &error);
            }
            Verdict::EndAll => {
                self.queue
                    .with_begun(id, |begun| begun.requeue(next.number, None));
                self.halt(error);
            }
        }
        self.settle_if_stuck(id);
    }

    /// An upload of which only parts are left that wait for the person gives up its place.
    pub(super) fn settle_if_stuck(&mut self, id: UploadId) {
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

    /// A part is there that was not known to be.
    pub(super) fn find(&mut self, id: UploadId, number: PartNumber, md5: Option<[u8; 16]>) {
        let sent = self.queue.bytes().sent;
        self.keep(id, &Change::Part(number, md5.into()));
        self.queue.count_as_found(sent);
    }
}
