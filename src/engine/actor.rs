//! The one task that owns the session. It alone decides: requests, ends of steps and time come in
//! here, one after another, and every change goes through the queue and to disk from here.

mod cap;
mod commands;
mod ended;
mod failures;
mod mass;
mod parts;
mod polls;
mod show;
mod snapshot;
mod steps;
#[cfg(test)]
mod tests;
mod walks;

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::Instant,
};

use self::{
    cap::Scheduled,
    mass::{Masses, SLICE},
    snapshot::Snapshot,
    walks::{Walked, Walks},
};
use super::{
    Request, Server,
    clock::Clock,
    elsewhere::Elsewhere,
    flights::Flights,
    incidents::Incidents,
    protocol::{Event, Phase, Summary, UploadId},
    queue::Queue,
    rate::{Cap, Meter, Steady, Stopwatch},
    retry::{Backoff, Gates, Way},
    schedule::{self, Room, Start},
    tune::Tuner,
    window::Orders,
    worker::{Done, Patience},
};
use crate::{
    body::Reading,
    destination::Destination,
    error::Error,
    session::{Change, folder::Open, record},
    settings::Settings,
};

/// How often speeds are measured and the summary is told, while anything moves.
const TICK: Duration = Duration::from_millis(200);

/// How long the engine waits for things, and when it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How long steps may take.
    pub patience: Patience,
    /// How long to wait before a part or step is tried again.
    pub backoff: Backoff,
    /// For how long the line may be down before the program gives up; the session stays.
    pub offline: Duration,
    /// How long parts in flight are waited for at the end.
    pub drain: Duration,
    /// How long the destination is given before it is asked again what became of a file …
    pub poll_first: Duration,
    /// … and at most, after having been asked many times.
    pub poll_most: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            patience: Patience {
                stall: Duration::from_mins(1),
                answer: Duration::from_mins(5),
            },
            backoff: Backoff {
                first: Duration::from_secs(1),
                most: Duration::from_mins(2),
            },
            offline: Duration::from_hours(24),
            drain: Duration::from_secs(15),
            poll_first: Duration::from_secs(1),
            poll_most: Duration::from_mins(1),
        }
    }
}

/// What an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The session, open and locked.
    pub session: Open,
    /// Its uploads.
    pub queue: Queue,
    /// Where they go.
    pub destination: Arc<dyn Destination>,
    /// How long to wait for things.
    pub timing: Timing,
    /// Where to tell what happens, one by one.
    pub events: Option<mpsc::UnboundedSender<Event>>,
    /// What other sessions hold, and is therefore not queued here. Whoever keeps a share of it can
    /// tell at the end what was left out.
    pub elsewhere: Arc<Elsewhere>,
    /// What a schedule goes by.
    pub clock: Clock,
}

/// The owner of the session.
pub(super) struct Actor {
    session: Open,
    queue: Queue,
    destination: Arc<dyn Destination>,
    timing: Timing,
    events: Option<mpsc::UnboundedSender<Event>>,
    elsewhere: Arc<Elsewhere>,
    settings: Settings,
    clock: Clock,
    reading: Reading,
    cap: Cap,
    scheduled: Scheduled,
    /// Uploads that take one of the places of `files_in_flight`.
    active: Vec<UploadId>,
    /// Uploads whose files may still be written to, and when to look at them again.
    resting: Vec<(Instant, UploadId)>,
    /// Uploads that were begun anew by themselves in this run; never more than once each.
    renewed: HashSet<UploadId>,
    /// Whether the part size was tuned in this run: what is found at the destination only now is
    /// cut anew then.
    resized: bool,
    /// When a changed order of the queue is saved.
    reorder_at: Option<Instant>,
    /// The session that is being written anew, where it is.
    snapshot: Option<Snapshot>,
    flights: Flights,
    steps: JoinSet<Done>,
    /// Steps under way that speak with the destination, parts among them.
    under_way: usize,
    polls: Polls,
    gates: Gates,
    /// Why nothing more is begun until the person has done something.
    halted: Option<Error>,
    /// Whether a person paused everything: what is added meanwhile is part of that.
    holding: bool,
    stopping: Option<Instant>,
    walks: Walks,
    masses: Masses,
    orders: Orders,
    speed: Speed,
    /// How many parts at once, where that is found and not set.
    tuner: Tuner,
    errors: u64,
    incidents: Incidents,
    random: fastrand::Rng,
    told: Summary,
}

/// Uploads whose media object the destination works on.
#[derive(Debug, Default)]
struct Polls {
    waiting: std::collections::VecDeque<UploadId>,
    due: Option<Instant>,
    wait: Duration,
    asking: bool,
    /// How often in a row no answer came that says anything.
    failures: u32,
}

/// The speed of the whole.
#[derive(Debug)]
struct Speed {
    meter: Meter,
    steady: Steady,
    history: Vec<u64>,
    /// For how long parts were in flight.
    sending: Stopwatch,
    sampled: Instant,
    /// When bytes of parts in flight were last seen to move, or none was in flight.
    moved: Instant,
    taken: u64,
    noted: Instant,
    noted_taken: u64,
}

/// What woke the actor.
enum Woken {
    Request(Request),
    Step(Done),
    Walked(Walked),
    Time,
    /// There is more to be done of a command.
    Mass,
    /// There is more to be written of the session.
    Slice,
    NobodyLeft,
}

impl Actor {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            session,
            queue,
            destination,
            timing,
            events,
            elsewhere,
            clock,
        } = parts;
        let now = Instant::now();
        let parts_apart = destination.parts_go_elsewhere();
        let settings = session.header.settings.clone();
        let mut actor = Self {
            session,
            queue,
            destination,
            timing,
            events,
            elsewhere,
            reading: Reading::default(),
            cap: Cap::new(settings.bandwidth),
            scheduled: Scheduled::default(),
            tuner: Tuner::within(settings.parts_in_flight.most()),
            settings,
            clock,
            active: Vec::new(),
            resting: Vec::new(),
            renewed: HashSet::new(),
            resized: false,
            reorder_at: None,
            snapshot: None,
            flights: Flights::default(),
            steps: JoinSet::new(),
            under_way: 0,
            polls: Polls {
                wait: timing.poll_first,
                ..Polls::default()
            },
            gates: Gates::new(parts_apart),
            halted: None,
            holding: false,
            stopping: None,
            walks: Walks::default(),
            masses: Masses::default(),
            orders: Orders::default(),
            speed: Speed {
                meter: Meter::new(now),
                steady: Steady::default(),
                history: Vec::new(),
                sending: Stopwatch::default(),
                sampled: now,
                moved: now,
                taken: 0,
                noted: now,
                noted_taken: 0,
            },
            errors: 0,
            incidents: Incidents::default(),
            random: fastrand::Rng::new(),
            told: Summary::default(),
        };
        actor.keep_to_schedule();
        actor.find_processing();
        actor.tell_what_failed_before();
        actor
    }

    /// Runs until it is told to stop, or everyone who could tell it is gone.
    pub(super) async fn run(mut self, mut server: Server) {
        self.go_on_walking();
        self.tell(&server, Phase::Running);
        loop {
            self.keep_to_schedule_when_due();
            self.start_what_may();
            self.ask_what_became();
            if self
                .stopping
                .is_some_and(|until| self.under_way == 0 || until <= Instant::now())
            {
                break;
            }
            if !self.lively() {
                self.tell(&server, self.phase());
            }
            match self.wake(&mut server).await {
                Woken::Request(Request::Command(command, answer)) => {
                    self.command(&server, command, answer);
                }
                Woken::Request(Request::Query(query, answer)) => {
                    let _ = answer.send(self.query(query));
                }
                Woken::Step(done) => self.done(done),
                Woken::Walked(Walked::Began(run, outcome, answer)) => {
                    self.began(run, &outcome);
                    self.answer(&server, outcome, answer);
                }
                Woken::Walked(walked) => self.walked(walked),
                Woken::Time => {
                    self.measure();
                    self.tune_parts();
                    self.tell(&server, self.phase());
                }
                Woken::Mass => {
                    self.go_on_with_mass(&server, Some(SLICE));
                    // Where there is one core, parts want it too.
                    tokio::task::yield_now().await;
                }
                Woken::Slice => {
                    self.write_slice();
                    tokio::task::yield_now().await;
                }
                Woken::NobodyLeft => self.stop(Duration::ZERO),
            }
            self.what_was_told_meanwhile(&server);
            self.compact_when_due();
        }
        self.end(&server).await;
    }

    async fn wake(&mut self, server: &mut Server) -> Woken {
        let due = self.due();
        let slice = self.slice_may_be_written();
        tokio::select! {
            biased;
            request = server.requests.recv() => {
                request.map_or(Woken::NobodyLeft, Woken::Request)
            }
            Some(done) = self.steps.join_next() => match done {
                Ok(done) => Woken::Step(done),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => Woken::Time, // cut short by ourselves, and counted there
            },
            () = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            } => Woken::Time,
            () = std::future::ready(()), if self.masses.any() => Woken::Mass,
            // Before what is walked: that may come faster than it can be taken, for long.
            () = slice => Woken::Slice,
            Some(walked) = self.walks.next() => Woken::Walked(walked),
        }
    }

    /// Whether anything moves that a screen would want to see.
    fn lively(&self) -> bool {
        !self.flights.is_empty()
            || self.walks.any()
            || self.masses.any()
            || !self.session.store.saved()
            || self.stopping.is_some()
            || self.gates.opens(Instant::now()).is_some()
            || self.speed.meter.rate() > 0
            || self.under_way > 0
    }

    /// When time itself is a reason to look again.
    fn due(&self) -> Option<Instant> {
        let now = Instant::now();
        let tick = self.lively().then_some(self.speed.sampled + TICK);
        let retry = schedule::next_due(&self.queue, &self.active);
        let resting = self.resting.iter().map(|(at, _)| *at).min();
        let poll = self
            .polls
            .due
            .filter(|_| !self.polls.asking && self.gates.of(Way::Calls).closed(now).is_none());
        // What is due already waits for something else: room, the gate, the person.
        let future = |at: &Instant| *at > now;
        [
            retry.filter(future),
            resting.filter(future),
            // While one snapshot is written, a new order waits for the next.
            self.reorder_at.filter(|_| self.snapshot.is_none()),
            self.scheduled.due(),
            poll.filter(future),
            tick,
            self.gates.opens(now),
            self.stopping,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn phase(&self) -> Phase {
        if self.stopping.is_some() {
            return Phase::Draining;
        }
        let working = self.under_way > 0 || self.walks.any() || self.masses.any();
        let unsettled = self.queue.counts().unsettled() > 0 && self.halted.is_none();
        if working || unsettled {
            Phase::Running
        } else {
            Phase::Settled
        }
    }

    fn start_what_may(&mut self) {
        self.wake_resting();
        loop {
            let now = Instant::now();
            let waits = self.halted.is_some() || self.stopping.is_some() || self.masses.any();
            if waits || self.session.store.error().is_some() {
                return;
            }
            let parts = if self.may_start(Way::Parts) {
                usize::from(self.parts_limit())
            } else {
                0
            };
            let room = Room {
                parts,
                parts_running: self.flights.len(),
                files: usize::from(self.settings.files_in_flight.max(1)),
                steps: self.may_start(Way::Calls),
            };
            match schedule::next(&mut self.queue, &self.active, room, now) {
                None => return,
                Some(Start::Upload) => self.activate_next(),
                Some(Start::Step(id)) => self.start_step(id),
                Some(Start::Part(id, next)) => self.start_part(id, next),
            }
        }
    }

    /// Whether something may be begun now that goes this way.
    fn may_start(&self, way: Way) -> bool {
        let parts = self.flights.len();
        let calls = self.under_way.saturating_sub(parts);
        self.gates.may_start(way, Instant::now(), parts, calls)
    }

    fn parts_limit(&self) -> u16 {
        let fixed = self.settings.parts_in_flight.fixed();
        fixed.map_or_else(|| self.tuner.limit(), |number| number.max(1))
    }

    /// Makes a change that is kept, in memory and in the file.
    fn keep(&mut self, id: UploadId, change: &Change) {
        let text = self.changed(id, change);
        self.append(Some(id), text);
    }

    /// Makes a change that is kept; the answer comes when it is on disk.
    fn keep_durable(&mut self, id: UploadId, changes: &[Change]) -> oneshot::Receiver<()> {
        let text = changes
            .iter()
            .map(|change| self.changed(id, change))
            .collect();
        self.append(Some(id), text);
        self.session.store.barrier()
    }

    fn changed(&mut self, id: UploadId, change: &Change) -> String {
        let mut text = String::new();
        // A step that ends after its upload was taken out of the queue has nothing to say any more.
        if self.queue.get(id).is_none() {
            return text;
        }
        self.queue.apply(id, change);
        record::write_change(&mut text, id, change);
        text
    }

    fn happened(&self, event: impl FnOnce() -> Event) {
        if let Some(events) = &self.events {
            let _ = events.send(event());
        }
    }

    /// Does what was told while something was being done to many uploads.
    fn what_was_told_meanwhile(&mut self, server: &Server) {
        while !self.masses.any()
            && let Some((command, answer)) = self.masses.later.pop_front()
        {
            self.command(server, command, answer);
        }
    }

    fn stop(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        self.stopping = Some(self.stopping.map_or(until, |before| before.min(until)));
        self.walks.stop();
    }

    async fn end(mut self, server: &Server) {
        self.go_on_with_mass(server, None);
        self.what_was_told_meanwhile(server);
        self.steps.abort_all();
        while let Some(done) = self.steps.join_next().await {
            // What came back at the last moment still counts.
            if let Ok(done) = done {
                self.done(done);
            }
        }
        self.flights = Flights::default();
        self.save_new_order().await;
        let saving = self.session.store.barrier();
        let saved = tokio::time::timeout(Duration::from_secs(5), saving).await;
        if !matches!(saved, Ok(Ok(()))) {
            tracing::error!(
                "the session could not be saved: {:?}",
                self.session.store.error()
            );
        }
        self.measure();
        self.tell(server, Phase::Stopped);
    }
}
