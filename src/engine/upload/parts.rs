//! All parts of an upload, many at once: each is sent when the actor grants it a permit, until all were
//! acknowledged or only failed ones are left.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    sync::oneshot,
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

use super::{
    CONFLICT_ASKED_AGAIN, End, Next, Opened, Source, Task, Tries,
    messages::{Grant, Need, Permit, Sending, Stop, Told},
    part::{NotSent, PartJob, Sent, send},
};
use crate::{
    awaited::Awaited,
    body::Progress,
    destination::PartReceipt,
    engine::{
        record::{NextPart, RunChange, Sequence, Step, Trouble},
        retry::Verdict,
        timing::until,
    },
    error::{CallClass, Error, Kind, Result},
    fault_point::fault_point,
    session::Change,
};

/// How one part ended, and the permit that it was sent with.
type Landed = (Result<Sent, NotSent>, Permit);

/// A part in flight.
struct InFlight {
    part: NextPart,
    length: u64,
    /// When it failed last, else when it began.
    since: Instant,
    /// Whether the API answered when it was asked whether it has the part.
    was_answered: Arc<AtomicBool>,
    progress: Arc<Progress>,
    /// Whether it was to find out whether the API answers again.
    asks_api: bool,
}

impl InFlight {
    /// Whether the account may have received all of it.
    fn all_taken(&self) -> bool {
        self.progress.taken() == self.length
    }
}

/// The parts in flight of one upload, and what is to follow when they have landed.
#[derive(Default)]
struct Flights {
    running: JoinSet<Landed>,
    parts: HashMap<Id, InFlight>,
    /// The permit that is waited for.
    wanted: Option<(oneshot::Receiver<Grant>, bool)>,
    /// Whether the API did not say where a part goes: until it answers, one part at a time asks it.
    asks_api: bool,
    /// Whether what the account has is to be compared with the plan before another part is sent …
    compare: bool,
    /// … because another file is in the place of the one that parts were read from.
    replaced: bool,
    /// How many times the account reported bytes that do not fit the plan.
    conflicts: u32,
}

impl Flights {
    fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Which part is no longer in flight, and how it ended; `None`: it was cancelled.
    fn take(
        &mut self,
        landed: Result<(Id, Landed), JoinError>,
    ) -> Option<(InFlight, Option<Landed>)> {
        let (id, landed) = match landed {
            Ok((id, landed)) => (id, Some(landed)),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => (error.id(), None),
        };
        Some((self.parts.remove(&id)?, landed))
    }
}

impl Task {
    /// Sends all parts that were not acknowledged. No part is in flight when it returns.
    ///
    /// # Errors
    /// How the upload ended instead.
    pub(super) async fn send_parts(
        &mut self,
        opened: &mut Opened,
        source: &mut Source,
    ) -> Result<Next, End> {
        self.parts_host = opened.remote.parts_host().map(|host| Awaited::host(&host));
        self.tell(Told::Ready(opened.limits.clone()));
        self.step(Step::Sending);
        let mut flights = Flights::default();
        let sent = self.send_with(&mut flights, opened, source).await;
        if sent.is_err() {
            self.cancel(&mut flights).await;
        } else if flights.replaced {
            self.find_replacement(source).await?;
        }
        sent
    }

    async fn send_with(
        &mut self,
        flights: &mut Flights,
        opened: &mut Opened,
        source: &Source,
    ) -> Result<Next, End> {
        loop {
            let now = Instant::now();
            if flights.is_empty() {
                if self.record.all_acknowledged() {
                    return Ok(Next::Complete);
                }
                if flights.compare {
                    return Ok(Next::Compare);
                }
                if self.record.only_failed_parts_left(opened.sequence, now) {
                    return Err(End::Failed(self.parts_failed()));
                }
            }
            match self.stop {
                Some(Stop::Drain) if !flights.is_empty() => flights.wanted = None,
                Some(_) => return Err(End::Stopped),
                None if let Some(part) = self.too_large_part() => {
                    // It is known where the new ones may begin once all in flight have landed.
                    flights.wanted = None;
                    if flights.is_empty() {
                        match self.split_smaller(opened, part).await? {
                            Some(next) => return Ok(next),
                            None => continue,
                        }
                    }
                }
                None => {
                    self.replan(opened).await?;
                    self.want_part(flights, opened.sequence, now);
                }
            }
            let retry = self.record.next_retry().filter(|at| *at > now);
            tokio::select! {
                biased;
                order = self.orders.recv() => self.obey(order.as_ref()),
                Some(landed) = flights.running.join_next_with_id() => {
                    self.landed(flights, opened, landed).await?;
                }
                grant = granted(&mut flights.wanted) => {
                    let asks_api = flights.wanted.take().is_some_and(|(_, asks_api)| asks_api);
                    let permit = self.granted(grant)?;
                    if self.too_large_part().is_some() {
                        continue;
                    }
                    if opened.remote.completes_by_itself() && self.record.is_last_part_next() {
                        match self.check_unchanged().await {
                            Err(End::Failed(error)) if error.kind == Kind::Crowded => {
                                // What is in flight goes on meanwhile.
                                drop(permit);
                                self.retry(&mut Tries::begin(), error).await?;
                                self.step(Step::Sending);
                                continue;
                            }
                            checked => checked?,
                        }
                    }
                    self.start_part(flights, opened, source, permit, asks_api);
                }
                () = until(retry) => {}
            }
        }
    }

    /// Asks for a permit for the next part, if there is one that may be sent.
    fn want_part(&self, flights: &mut Flights, sequence: Sequence, now: Instant) {
        let may_send = !flights.compare && (!flights.asks_api || flights.is_empty());
        if !may_send || self.record.next_part(sequence, now).is_none() {
            // One that came meanwhile goes back.
            flights.wanted = None;
            return;
        }
        if flights
            .wanted
            .as_ref()
            .is_none_or(|(_, asks_api)| *asks_api != flights.asks_api)
        {
            let need = Need::Part {
                asks_api: flights.asks_api,
            };
            flights.wanted = Some((self.want(need), flights.asks_api));
        }
    }

    /// Sends the next part.
    fn start_part(
        &mut self,
        flights: &mut Flights,
        opened: &Opened,
        source: &Source,
        permit: Permit,
        asks_api: bool,
    ) {
        let next = self.record.next_part(opened.sequence, Instant::now());
        let plan = self.record.plan().cloned();
        let (Some(next), Some(plan)) = (next, plan) else {
            return;
        };
        let length = plan.part(next.number).map_or(0, |part| part.length);
        let failed = self.record.troubled.get(&next.number);
        let since = failed.map_or_else(Instant::now, |failed| failed.failed_at);
        let progress = Arc::<Progress>::default();
        let was_answered = Arc::<AtomicBool>::default();
        self.record.note(&RunChange::Starts(next));
        self.tell(Told::Sends(Sending {
            part: next,
            length,
            progress: Arc::clone(&progress),
        }));
        let job = PartJob {
            account: Arc::clone(&self.shared.account),
            remote: Arc::clone(&opened.remote),
            plan,
            path: self.path.clone(),
            identity: self.identity,
            source: source.inode,
            next,
            was_answered: Arc::clone(&was_answered),
            reading: self.shared.reading.seen_in(&progress),
            cap: self.shared.cap.clone(),
            progress: Arc::clone(&progress),
            patience: self.shared.timing.patience,
        };
        let permit = permit.of(next.number);
        let part = flights
            .running
            .spawn(async move { (send(job).await, permit) });
        let in_flight = InFlight {
            part: next,
            length,
            since,
            was_answered,
            progress,
            asks_api,
        };
        flights.parts.insert(part.id(), in_flight);
    }

    /// A part is no longer in flight.
    async fn landed(
        &mut self,
        flights: &mut Flights,
        opened: &mut Opened,
        landed: Result<(Id, Landed), JoinError>,
    ) -> Result<(), End> {
        let Some((part, landed)) = flights.take(landed) else {
            return Ok(());
        };
        self.parts_host = opened.remote.parts_host().map(|host| Awaited::host(&host));
        let Some((result, permit)) = landed else {
            self.cancelled(&part);
            return Ok(());
        };
        let number = part.part.number;
        if part.was_answered.load(Ordering::Relaxed) {
            self.came_through(CallClass::Read);
        }
        if part.asks_api && !matches!(result, Err(NotSent::Unprepared(_))) {
            flights.asks_api = false;
        }
        let result = match result {
            Ok(sent) => self.arrived(opened, part.part, sent).await,
            Err(NotSent::Replaced) => {
                self.note(RunChange::Interrupted(number, None));
                (flights.compare, flights.replaced) = (true, true);
                Ok(())
            }
            Err(NotSent::DoesNotFit) => {
                self.note(RunChange::Interrupted(number, None));
                flights.compare = true;
                Ok(())
            }
            Err(NotSent::Unprepared(error)) => {
                let error = self.explain(error).await;
                let verdict = self.part_failed(opened, &part, false, error, CallClass::Call);
                flights.asks_api |= matches!(verdict, Ok(Verdict::WhenOpen));
                verdict.map(drop)
            }
            Err(NotSent::Failed(error)) if error.kind == Kind::Conflict => {
                self.part_conflicts(flights, part.part, error);
                Ok(())
            }
            Err(NotSent::Failed(error)) if error.kind == Kind::TooLarge => {
                flights.compare |= self.part_too_large(opened, part.part, part.length, error);
                Ok(())
            }
            Err(NotSent::Failed(error)) => {
                fault_point("part-failed");
                let error = self.explain(error).await;
                let all_taken = part.all_taken();
                let verdict = self.part_failed(opened, &part, all_taken, error, CallClass::Part);
                verdict.map(drop)
            }
        };
        // The actor knows by now what became of the part: till then it is shown as in flight.
        drop(permit);
        result
    }

    /// A part arrived. With a new ticket, that is on disk before another part is sent.
    async fn arrived(
        &mut self,
        opened: &mut Opened,
        part: NextPart,
        sent: Sent,
    ) -> Result<(), End> {
        fault_point("part-answered");
        if self.record_arrived(part, sent) {
            self.flush().await?;
            *opened = self.open()?;
        }
        Ok(())
    }

    /// Records that a part arrived. Returns whether it came with a new ticket.
    fn record_arrived(&mut self, part: NextPart, sent: Sent) -> bool {
        self.came_through(CallClass::Part);
        self.was_read();
        if sent.verified {
            self.note(RunChange::Verified(vec![part.number]));
        }
        let is_new = sent.ticket.is_some();
        if let Some(ticket) = sent.ticket {
            self.keep(vec![Change::Ticket(ticket)]);
        }
        self.record.acknowledge(part.number, sent.receipt.clone());
        self.tell(Told::Arrived(part, sent.receipt));
        is_new
    }

    /// The account reports bytes that do not fit the plan: it is asked again about this part after a
    /// pause. If that goes on, all that it has is compared with the plan.
    fn part_conflicts(&mut self, flights: &mut Flights, part: NextPart, error: Error) {
        flights.conflicts += 1;
        if flights.conflicts > CONFLICT_ASKED_AGAIN {
            self.note(RunChange::Interrupted(part.number, None));
            flights.compare = true;
            return;
        }
        let wait = self.conflict_wait(flights.conflicts, error);
        let trouble = Trouble {
            attempts: part.attempt.saturating_sub(1),
            error: wait.error,
            failed_at: Instant::now(),
            retry_at: Some(wait.until),
            ask: true,
        };
        self.note(RunChange::Fails(part.number, trouble));
    }

    /// A part failed: it is retried, or waits for the person, or ends its upload. Returns which.
    fn part_failed(
        &mut self,
        opened: &Opened,
        part: &InFlight,
        all_taken: bool,
        error: Error,
        class: CallClass,
    ) -> Result<Verdict, End> {
        let NextPart {
            number,
            attempt,
            ask,
        } = part.part;
        // What arrived with other bytes is known to be there, and of no use.
        let unsure = matches!(error.kind, Kind::Broken | Kind::Server)
            || error.status.is_some_and(|status| status >= 500);
        // Where parts follow each other, any byte that arrived moves the place of the next.
        let ordered = opened.sequence == Sequence::Ordered;
        let maybe_there = (all_taken && unsure) || ask;
        let ask = ordered || (maybe_there && error.kind != Kind::Corrupt);
        let mut tries = Tries {
            failures: attempt.saturating_sub(1),
            last: part.since,
        };
        let verdict = self.failed(Some(number), &mut tries, error.clone(), class);
        let trouble = |retry_at| Trouble {
            attempts: tries.failures,
            error: error.clone(),
            failed_at: tries.last,
            retry_at,
            ask,
        };
        match &verdict {
            Verdict::Done => self.keep(vec![Change::Part(number, PartReceipt::default())]),
            Verdict::WhenOpen => self.note(RunChange::Fails(number, trouble(Some(tries.last)))),
            Verdict::At(at) | Verdict::Uncounted(at) => {
                self.note(RunChange::Fails(number, trouble(Some(*at))));
            }
            Verdict::Ask => self.note(RunChange::Fails(number, trouble(None))),
            Verdict::EndAll => self.note(RunChange::Interrupted(number, None)),
            Verdict::EndUpload => {
                self.note(RunChange::Interrupted(number, None));
                return Err(End::Failed(error));
            }
        }
        Ok(verdict)
    }

    /// Cancels all parts in flight. Those that arrived at the last moment count.
    async fn cancel(&mut self, flights: &mut Flights) {
        flights.wanted = None;
        flights.running.abort_all();
        while let Some(landed) = flights.running.join_next_with_id().await {
            match flights.take(landed) {
                // Its permit is given back behind this: it is in flight till then.
                Some((part, Some((Ok(sent), _permit)))) => {
                    self.record_arrived(part.part, sent);
                }
                Some((part, _)) => self.cancelled(&part),
                None => {}
            }
        }
    }

    /// A part was cancelled. Where all of it was taken, the account is asked before it is sent again.
    fn cancelled(&mut self, part: &InFlight) {
        let trouble = part.all_taken().then(|| Trouble {
            attempts: part.part.attempt.saturating_sub(1),
            error: Error::new(Kind::Broken, "it was cancelled before the answer came"),
            failed_at: Instant::now(),
            retry_at: Some(Instant::now()),
            ask: true,
        });
        self.note(RunChange::Interrupted(part.part.number, trouble));
    }

    /// What is said of an upload of which only failed parts are left.
    fn parts_failed(&self) -> Error {
        let count = self.record.troubled.len();
        let Some((number, trouble)) = self.record.troubled.first_key_value() else {
            return Error::new(Kind::Server, "no part is left that can be sent");
        };
        let words = if count == 1 {
            format!("part {number} failed: {}", trouble.error)
        } else {
            format!(
                "{count} parts failed, the first is part {number}: {}",
                trouble.error
            )
        };
        // Its disk did well for others meanwhile: it is this file that can't be read.
        let kind = match trouble.error.kind {
            Kind::Disk => Kind::Local,
            kind => kind,
        };
        Error {
            kind,
            message: words,
            ..trouble.error.clone()
        }
    }
}

/// The permit that is waited for, if one is.
async fn granted(
    wanted: &mut Option<(oneshot::Receiver<Grant>, bool)>,
) -> Result<Grant, oneshot::error::RecvError> {
    match wanted {
        Some((grant, _)) => grant.await,
        None => std::future::pending().await,
    }
}
