//! The actor's turns: what wakes it, what may be begun now, and how it comes to its end.

use std::time::Duration;

use tokio::time::Instant;

use super::{Actor, TICK, mass::SLICE, walks::Walked};
use crate::{
    engine::{
        Request, Server,
        flights::Flights,
        protocol::Phase,
        timing::until,
        upload::{Message, Order, Stop},
    },
    error::CallClass,
    fault_point::fault_point,
};

/// What woke the actor.
pub(super) enum Woken {
    Request(Request),
    Told(Message),
    /// One of our futures is over; what came of it it told itself.
    Over,
    Walked(Walked),
    Time,
    /// There is more to be done of a command.
    Mass,
    NobodyLeft,
}

impl Actor {
    /// Runs until it is told to stop, or everyone who could tell it is gone.
    pub(in crate::engine) async fn run(mut self, mut server: Server) {
        self = self.rewrite().await;
        self.go_on_walking();
        self.ask_for_unaccepted();
        self.tell(&server, Phase::Running);
        loop {
            self.keep_to_schedule_when_due();
            // Where its host does not answer, what became of a file is worth a try more than a part is.
            self.ask_what_became();
            self.start_what_may();
            self.ask_who_may_go_on();
            if self
                .stopping
                .is_some_and(|until| self.is_idle() || until <= Instant::now())
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
                Woken::Told(message) => {
                    self.heard(message);
                    self.hear_more();
                }
                Woken::Walked(Walked::Began(run, outcome, answer)) => {
                    self.began(run, &outcome);
                    self.answer(&server, outcome, answer);
                }
                Woken::Walked(walked) => self.walked(walked),
                Woken::Over => {}
                Woken::Time => {
                    if self.stopping.is_some_and(|until| until <= Instant::now()) {
                        fault_point("waited-in-vain");
                    }
                    self.measure();
                    self.find_slow();
                    self.tune_parts();
                    self.tell(&server, self.phase());
                }
                Woken::Mass => {
                    self.go_on_with_mass(&server, Some(SLICE));
                    // Where there is one core, parts want it too.
                    tokio::task::yield_now().await;
                }
                Woken::NobodyLeft => self.stop(Duration::ZERO),
            }
            self.what_was_told_meanwhile(&server);
        }
        self.end(&server).await;
    }

    pub(super) async fn wake(&mut self, server: &mut Server) -> Woken {
        let due = self.due();
        let is_behind = self.session.store.is_behind();
        let caught_up = self.session.store.caught_up();
        tokio::select! {
            biased;
            request = server.requests.recv() => {
                request.map_or(Woken::NobodyLeft, Woken::Request)
            }
            Some(message) = self.told.1.recv() => Woken::Told(message),
            Some(ended) = self.running.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
                Woken::Over
            }
            () = until(due) => Woken::Time,
            () = std::future::ready(()), if self.masses.any() => Woken::Mass,
            // What a walk finds may come faster than it can be saved, for long.
            Some(walked) = self.walks.next(), if !is_behind => Woken::Walked(walked),
            () = caught_up, if is_behind => Woken::Time,
        }
    }

    /// Hears what else was told meanwhile, before anything is decided by it; not for ever.
    fn hear_more(&mut self) {
        const AT_ONCE: usize = 256;
        for _ in 0..AT_ONCE {
            let Ok(message) = self.told.1.try_recv() else {
                return;
            };
            self.heard(message);
        }
    }

    /// Whether anything moves that a screen would want to see.
    pub(super) fn lively(&self) -> bool {
        !self.flights.is_empty()
            || self.walks.any()
            || self.masses.any()
            || !self.session.store.saved()
            || self.stopping.is_some()
            || self.shared.gates().opens(Instant::now()).is_some()
            || self.speed.meter.rate() > 0
            || self.is_at_work()
            || self.is_at_disk()
    }

    /// When time itself is a reason to look again.
    pub(super) fn due(&self) -> Option<Instant> {
        let now = Instant::now();
        let tick = self.lively().then_some(self.speed.sampled + TICK);
        let resting = self.resting.iter().map(|(at, _)| *at).min();
        let poll = self
            .polls
            .due
            .filter(|_| !self.polls.asking && self.calls_closed(CallClass::Read).is_none());
        // What is due already waits for something else: room, the gate, the person.
        let future = |at: &Instant| *at > now;
        [
            resting.filter(future),
            self.scheduled.due(),
            self.file_room.due().filter(future),
            self.claims.due().filter(future),
            poll.filter(future),
            tick,
            self.shared.gates().opens(now),
            self.refusals
                .forbids()
                .map(|forbids| forbids.until)
                .filter(future),
            self.stopping,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn phase(&self) -> Phase {
        if self.stopping.is_some() {
            return Phase::Draining;
        }
        let working =
            self.is_at_work() || self.deletes_soon() || self.walks.any() || self.masses.any();
        let unsettled = self.queue.counts().unsettled();
        let is_left = unsettled > self.left_waiting();
        if working || (is_left && self.halted.is_none()) {
            Phase::Running
        } else {
            Phase::Settled
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

    pub(super) fn stop(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        self.stopping = Some(self.stopping.map_or(until, |before| before.min(until)));
        self.walks.stop();
        for task in self.tasks.values() {
            task.order(Order::Stop(Stop::Drain));
        }
    }

    pub(super) async fn end(mut self, server: &Server) {
        self.go_on_with_mass(server, None);
        self.what_was_told_meanwhile(server);
        self.hear_the_rest();
        self.running.abort_all();
        while self.running.join_next().await.is_some() {}
        // What was told at the last moment still counts.
        self.hear_the_rest();
        self.claims.written().await;
        self.flights = Flights::default();
        let saving = self.session.store.barrier();
        let saved = tokio::time::timeout(Duration::from_secs(5), saving).await;
        if matches!(saved, Ok(Ok(()))) {
            self = self.rewrite().await;
        } else {
            tracing::error!(
                "the session could not be saved: {:?}",
                self.session.store.error()
            );
        }
        self.measure();
        self.tell(server, Phase::Stopped);
    }

    /// Hears all that is left to be heard.
    fn hear_the_rest(&mut self) {
        while let Ok(message) = self.told.1.try_recv() {
            self.heard(message);
        }
    }
}
