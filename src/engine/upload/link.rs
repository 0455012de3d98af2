//! An upload's task as it works: its copy of the record, and what it says to the actor. Everything a
//! task waits for besides the account and the disk is waited for here, and ends early when the task
//! is to end.

use std::{path::PathBuf, sync::Arc};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    Shared,
    messages::{Claim, End, Failure, Grant, Message, Need, Order, Permit, Scene, Stop, Told, Want},
};
use crate::{
    engine::{
        protocol::UploadId,
        record::{Begun, Now, Step, StepWait},
        retry::{Verdict, Way, judge},
    },
    error::{Error, Result},
    fault_point::fault_point,
    identity::Identity,
    plan::PartNumber,
    session::Change,
    settings::PartSize,
};

/// The task of one upload.
#[derive(Debug)]
pub struct Task {
    /// Whose.
    pub id: UploadId,
    /// The file.
    pub path: PathBuf,
    /// The file as it was when it was queued, or started over.
    pub identity: Identity,
    /// Its copy of the record.
    pub record: Begun,
    /// What all tasks share.
    pub shared: Arc<Shared>,
    /// How things are.
    pub scene: Scene,
    /// The part size by which the part plan was made; `None`: maybe another than is asked for now.
    pub split_by: Option<PartSize>,
    /// Where it tells the actor things.
    pub told: mpsc::UnboundedSender<Message>,
    /// Where the actor tells it things.
    pub orders: mpsc::UnboundedReceiver<Order>,
    /// Whether it is to end.
    pub stop: Option<Stop>,
    /// Chance.
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
    pub(super) fn note(&mut self, now: Now) {
        self.record.note(&now);
        self.tell(Told::Noted(now));
    }

    /// A step begins.
    pub(super) fn step(&mut self, step: Step) {
        self.note(Now::Step(step));
    }

    /// Changes the record; it is saved soon.
    pub(super) fn keep(&mut self, changes: Vec<Change>) {
        self.apply(&changes);
        self.tell(Told::Changed(changes, None));
    }

    /// Changes the record, and returns when that is on disk. Without changes: when all those before are.
    ///
    /// # Errors
    /// [`End::Stopped`] where the upload was removed meanwhile, so that nothing of it is saved.
    pub(super) async fn keep_durably(&mut self, changes: Vec<Change>) -> Result<(), End> {
        self.apply(&changes);
        let (saved, on_disk) = oneshot::channel();
        self.tell(Told::Changed(changes, Some(saved)));
        on_disk.await.map_err(|_| End::Stopped)
    }

    pub(super) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Fresh(identity) => self.identity = *identity,
                Change::Inode { inode, file_system } => {
                    self.identity.inode = *inode;
                    self.identity.file_system = *file_system;
                }
                _ => {}
            }
            self.record.apply(change);
        }
    }

    /// Asks for the file, and returns when `changes` are on disk; `Some`: why another upload has it,
    /// and nothing was changed.
    ///
    /// # Errors
    /// [`End::Stopped`] where the upload was removed meanwhile.
    pub(super) async fn claim(
        &mut self,
        file: Identity,
        changes: Vec<Change>,
    ) -> Result<Option<String>, End> {
        let (answer, answered) = oneshot::channel();
        self.tell(Told::Claims(Claim {
            file,
            changes: changes.clone(),
            answer,
        }));
        match answered.await.map_err(|_| End::Stopped)? {
            Ok(saved) => {
                self.apply(&changes);
                saved.await.map_err(|_| End::Stopped)?;
                Ok(None)
            }
            Err(reason) => Ok(Some(reason)),
        }
    }

    /// A permit for calls to the API: granted when the API may be called.
    ///
    /// # Errors
    /// [`End::Stopped`].
    pub(super) async fn permit(&mut self) -> Result<Permit, End> {
        self.read_orders()?;
        let mut granted = self.want(Need::Call);
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => {
                    self.obey(order.as_ref());
                    self.go_on()?;
                }
                grant = &mut granted => return self.granted(grant),
            }
        }
    }

    /// Asks for a permit.
    pub(super) fn want(&self, need: Need) -> oneshot::Receiver<Grant> {
        let (grant, granted) = oneshot::channel();
        self.tell(Told::Wants(Want { need, grant }));
        granted
    }

    /// A permit came.
    pub(super) fn granted(
        &mut self,
        grant: Result<Grant, oneshot::error::RecvError>,
    ) -> Result<Permit, End> {
        let Grant { permit, scene } = grant.map_err(|_| End::Stopped)?;
        self.scene = scene;
        Ok(permit)
    }

    /// Waits, unless the person wants a retry before.
    async fn pause(&mut self, until: Instant) -> Result<(), End> {
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => {
                    let now = matches!(order, Some(Order::Retry(None)));
                    self.obey(order.as_ref());
                    self.go_on()?;
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
        self.go_on()
    }

    /// Does what the actor says. Without an actor there is nothing left to do it for.
    pub(super) fn obey(&mut self, order: Option<&Order>) {
        match order {
            Some(Order::Tuned(scene)) => self.scene = *scene,
            Some(Order::Retry(only)) => self.note(Now::Retry {
                only: *only,
                at: Instant::now(),
            }),
            Some(Order::Stop(stop)) => self.stop = self.stop.max(Some(*stop)),
            None => self.stop = self.stop.max(Some(Stop::Hold)),
        }
    }

    fn go_on(&self) -> Result<(), End> {
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

    /// The account answered well.
    pub(super) fn came_through(&self, way: Way) {
        self.tell(Told::CameThrough(way));
    }

    /// A step failed: returns when it is to be retried. `failures` counts those in a row that say
    /// something of the step; a host that can't be reached, or is busy, leaves the count as it is.
    ///
    /// # Errors
    /// [`End::Failed`] where it is not retried, [`End::Stopped`].
    pub(super) async fn retry(&mut self, failures: &mut u32, error: Error) -> Result<(), End> {
        fault_point("step-failed");
        *failures += 1;
        let (verdict, now) = self.failed(None, *failures, &error, Way::Calls);
        if !error.kind.counted() {
            *failures -= 1;
        }
        let until = match verdict {
            Verdict::Ask | Verdict::EndUpload => return Err(End::Failed(error)),
            Verdict::At(at) => at,
            Verdict::Done | Verdict::WhenOpen | Verdict::EndAll => now,
        };
        self.wait(StepWait { until, error }).await
    }

    /// Waits before a step is tried again.
    ///
    /// # Errors
    /// [`End::Stopped`].
    pub(super) async fn wait(&mut self, wait: StepWait) -> Result<(), End> {
        let until = wait.until;
        self.note(Now::Waits(wait));
        self.pause(until).await
    }

    /// Something failed: decides what follows, and tells it.
    pub(super) fn failed(
        &mut self,
        part: Option<PartNumber>,
        attempt: u32,
        error: &Error,
        way: Way,
    ) -> (Verdict, Instant) {
        let now = Instant::now();
        let (retries, random) = (self.scene.retries, self.random.f64());
        let backoff = &self.shared.timing.backoff;
        let verdict = judge(error, attempt, retries, backoff, now, random);
        self.tell(Told::Failed(Failure {
            part,
            attempt,
            error: error.clone(),
            way,
            verdict: verdict.clone(),
            now,
        }));
        (verdict, now)
    }
}
