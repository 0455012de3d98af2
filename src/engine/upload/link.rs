//! An upload's task: its copy of the record, and what it says to the actor. Waits for a permit, for the
//! session's disk and for the time of a retry are here, those for parts in `parts`. All but those for the
//! disk end early when the task is to end.

use std::{path::PathBuf, sync::Arc};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    Shared,
    messages::{Conditions, End, Failure, Grant, Message, Need, Order, Permit, Stop, Told, Want},
};
use crate::{
    awaited::Awaited,
    body::Progress,
    engine::{
        protocol::UploadId,
        record::{Begun, RunChange, Step, StepWait},
        retry::{Did, Tried, Verdict, judge},
    },
    error::{CallClass, Error, Kind, Result},
    fault_point::fault_point,
    identity::Identity,
    ids::ObjectId,
    ledger::{self, InUse},
    plan::PartNumber,
    session::Change,
    settings::PartSize,
};

/// The task of one upload.
#[derive(Debug)]
pub struct Task {
    /// The upload that it is the task of.
    pub id: UploadId,
    /// The file.
    pub path: PathBuf,
    /// The file as it was when it was queued, or started over.
    pub identity: Identity,
    /// Its copy of the record.
    pub record: Begun,
    /// Whether it is uploaded once more, where it is uploaded already.
    pub again: bool,
    /// The file as it was claimed.
    pub claimed: Option<ledger::File>,
    /// Whether nothing can have been created under its marker yet.
    pub is_fresh: bool,
    /// Held as long as it continues an object of the ledger.
    pub in_use: Option<InUse>,
    /// The object that it continues, where that may be another file's.
    pub borrowed: Option<ObjectId>,
    /// Whether another session started what it continues.
    pub is_taken_over: bool,
    /// Objects that its file was compared with, and whether the bytes are the same.
    pub compared: Vec<(ObjectId, bool)>,
    /// The host that its parts go to, as far as that is known.
    pub parts_host: Option<Awaited>,
    /// The disk that its file is on.
    pub disk: Awaited,
    /// What all tasks share.
    pub shared: Arc<Shared>,
    /// What it plans and retries by.
    pub conditions: Conditions,
    /// The part size by which the part plan was made; `None`: maybe another than is asked for now.
    pub split_by: Option<PartSize>,
    /// Where it tells the actor things.
    pub told: mpsc::UnboundedSender<Message>,
    /// Where the actor tells it things.
    pub orders: mpsc::UnboundedReceiver<Order>,
    /// Whether it is to end.
    pub stop: Option<Stop>,
    /// For the jitter of waits, and for markers.
    pub random: fastrand::Rng,
}

impl Task {
    /// Tells the actor something. Without an actor the runtime is about to end.
    pub(super) fn tell(&self, told: Told) {
        let _ = self.told.send(Message::Upload(self.id, told));
    }

    /// The file's name, as it is told to people.
    pub(super) fn name(&self) -> String {
        crate::path::tail(&self.path)
    }

    /// Changes the record in this run alone.
    pub(super) fn note(&mut self, change: RunChange) {
        self.record.note(&change);
        self.tell(Told::Noted(change));
    }

    /// A step begins.
    pub(super) fn step(&mut self, step: Step) {
        self.note(RunChange::Step(step));
    }

    /// Changes the record; it is saved soon.
    pub(super) fn keep(&mut self, changes: Vec<Change>) {
        self.apply(&changes);
        self.tell(Told::Changed(changes));
    }

    /// Changes the record, and returns when that is on disk.
    ///
    /// # Errors
    /// [`End::Stopped`] where the upload was removed meanwhile, so that nothing of it is saved.
    pub(super) async fn keep_durably(&mut self, changes: Vec<Change>) -> Result<(), End> {
        self.keep(changes);
        self.flush().await
    }

    /// Returns when all changes of the record are on disk.
    ///
    /// # Errors
    /// [`End::Stopped`] where the upload was removed meanwhile.
    pub(super) async fn flush(&self) -> Result<(), End> {
        let (saved, on_disk) = oneshot::channel();
        self.tell(Told::Flushes(saved));
        on_disk.await.map_err(|_| End::Stopped)
    }

    pub(super) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            if let Some(identity) = change.identity(&self.identity) {
                self.identity = identity;
            }
            self.record.apply(change);
        }
    }

    /// A permit for calls to the API, of this class at most: granted when the API may be called so.
    ///
    /// # Errors
    /// [`End::Stopped`].
    pub(super) async fn permit(&mut self, class: CallClass) -> Result<Permit, End> {
        self.read_orders()?;
        let mut granted = self.want(Need::Call(class));
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => {
                    self.obey(order.as_ref());
                    self.check_stop()?;
                }
                grant = &mut granted => return self.granted(grant),
            }
        }
    }

    /// Asks for a permit.
    pub(super) fn want(&self, need: Need) -> oneshot::Receiver<Grant> {
        let (grant, granted) = oneshot::channel();
        self.tell(Told::Wants(Want {
            need,
            parts_host: self.parts_host.clone(),
            grant,
        }));
        granted
    }

    /// A permit came.
    pub(super) fn granted(
        &mut self,
        grant: Result<Grant, oneshot::error::RecvError>,
    ) -> Result<Permit, End> {
        let Grant { permit, conditions } = grant.map_err(|_| End::Stopped)?;
        self.conditions = conditions;
        Ok(permit)
    }

    /// Waits, unless the person wants a retry before.
    async fn sleep(&mut self, until: Instant) -> Result<(), End> {
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => {
                    let now = matches!(order, Some(Order::Retry(None)));
                    self.obey(order.as_ref());
                    self.check_stop()?;
                    if now {
                        return Ok(());
                    }
                }
                () = sleep_until(until) => return Ok(()),
            }
        }
    }

    /// Takes the orders that came meanwhile.
    ///
    /// # Errors
    /// [`End::Stopped`].
    pub(super) fn read_orders(&mut self) -> Result<(), End> {
        while let Ok(order) = self.orders.try_recv() {
            self.obey(Some(&order));
        }
        self.check_stop()
    }

    /// Does what the actor says. Without an actor there is nothing left to do it for.
    pub(super) fn obey(&mut self, order: Option<&Order>) {
        match order {
            Some(Order::Tuned(conditions)) => self.conditions = *conditions,
            Some(Order::Retry(only)) => self.note(RunChange::Retry {
                only: *only,
                at: Instant::now(),
            }),
            Some(Order::Stop(stop)) => self.stop = self.stop.max(Some(*stop)),
            None => self.stop = self.stop.max(Some(Stop::Cancel)),
        }
    }

    fn check_stop(&self) -> Result<(), End> {
        match self.stop {
            Some(_) => Err(End::Stopped),
            None => Ok(()),
        }
    }

    /// Whether the upload was removed.
    pub(super) fn is_removed(&mut self) -> bool {
        // What came meanwhile is what is asked for here.
        let _ = self.read_orders();
        self.stop == Some(Stop::Removed)
    }

    /// The host that a class of call goes to, as far as that is known.
    fn host_of(&self, class: CallClass) -> Awaited {
        let parts = self.parts_host.clone();
        let parts = parts.filter(|_| class == CallClass::Part);
        parts.unwrap_or_else(|| self.shared.api())
    }

    /// A host answered this class of call well.
    pub(super) fn came_through(&self, class: CallClass) {
        let host = self.host_of(class);
        let mut gates = self.shared.gates();
        gates.did_well(&host, class, Instant::now());
    }

    /// Looks at the file. What it is given says meanwhile whether the disk is waited for, which may hang.
    pub(super) async fn at_disk<T>(&self, look: impl AsyncFnOnce(Arc<Progress>) -> T) -> T {
        let seen = Arc::default();
        self.tell(Told::AtDisk(Some(Arc::clone(&seen))));
        let looked = look(seen).await;
        self.tell(Told::AtDisk(None));
        looked
    }

    /// The disk was read well.
    pub(super) fn was_read(&self) {
        let mut gates = self.shared.gates();
        gates.was_read(&self.path, &self.disk, Instant::now());
    }

    /// A step failed: returns when it is to be retried.
    ///
    /// # Errors
    /// [`End::Failed`] where it is not retried, [`End::Stopped`].
    pub(super) async fn retry(&mut self, tries: &mut Tries, error: Error) -> Result<(), End> {
        fault_point("step-failed");
        if error.kind == Kind::Disk {
            // It waits for its disk in the queue: a permit for a call would be granted at once.
            return Err(End::Failed(error));
        }
        let error = self.explain(error).await;
        let verdict = self.failed(None, tries, error.clone(), CallClass::Call);
        let now = Instant::now();
        let until = match verdict {
            // No step has a kind of error that means that it was done before.
            Verdict::Ask | Verdict::EndUpload | Verdict::Done => return Err(End::Failed(error)),
            Verdict::At(at) | Verdict::Uncounted(at) => at,
            // A permit is granted when the host may be asked again.
            Verdict::WhenOpen | Verdict::EndAll => now,
        };
        self.wait(StepWait { until, error }).await
    }

    /// What an error means ([`super::KeyCheck`]).
    pub(super) async fn explain(&self, error: Error) -> Error {
        let Shared { key, account, .. } = &*self.shared;
        key.explain(&**account, error).await
    }

    /// Waits before a step is tried again.
    ///
    /// # Errors
    /// [`End::Stopped`].
    pub(super) async fn wait(&mut self, wait: StepWait) -> Result<(), End> {
        let until = wait.until;
        self.note(RunChange::Waits(wait));
        self.sleep(until).await
    }

    /// Something failed that went out as this class of call: decides what follows, and tells it.
    pub(super) fn failed(
        &mut self,
        part: Option<PartNumber>,
        tries: &mut Tries,
        error: Error,
        class: CallClass,
    ) -> Verdict {
        let now = Instant::now();
        let named = error.endpoint.as_ref();
        let host = named.map_or_else(|| self.host_of(class), |it| Awaited::host(&it.host));
        let class = named.map_or(class, |it| it.class);
        let is_answer = named.is_some() && !error.is_of_host() && error.kind != Kind::Throttled;
        if is_answer {
            self.shared.gates().did_well(&host, class, now);
        }
        let awaited = match error.kind {
            Kind::Disk => Some(self.disk.clone()),
            _ if error.is_of_host() || error.kind == Kind::Throttled => Some(host),
            _ => None,
        };
        let failed = awaited.as_ref().filter(|_| error.kind != Kind::Throttled);
        let did = failed.map_or(Did::Well, |it| self.shared.gates().did(it, tries.last, now));
        let attempt = tries.failures + 1;
        let failure = Tried {
            failures: attempt,
            retries: self.conditions.retries,
            did,
            now,
            random: self.random.f64(),
        };
        let verdict = judge(&error, failure, &self.shared.timing.backoff);
        tries.last = now;
        if verdict.counts() && error.kind.counted() {
            tries.failures = attempt;
        }
        self.tell(Told::Failed(Failure {
            part,
            attempt,
            error,
            awaited,
            class,
            verdict: verdict.clone(),
            now,
        }));
        verdict
    }
}

/// The tries of a part or a step that failed so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tries {
    /// How many counted.
    pub(super) failures: u32,
    /// When the last one failed, else when the first one began.
    pub(super) last: Instant,
}

impl Tries {
    /// The first one begins now.
    pub(super) fn begin() -> Self {
        Self {
            failures: 0,
            last: Instant::now(),
        }
    }
}
