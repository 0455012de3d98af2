//! The one task that owns the session: the records of all uploads, their queue, who has a place and a
//! permit, and what is saved. Requests, what the uploads' tasks tell, and time come in here, one after
//! another.

mod cap;
mod claims;
mod commands;
mod failures;
mod mass;
mod open_files;
mod part_most;
mod polls;
mod saving;
mod show;
mod sources;
mod tail;
mod tasks;
#[cfg(test)]
mod tests;
mod turns;
mod walks;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use self::{
    cap::Scheduled,
    claims::Claims,
    mass::Masses,
    open_files::FileRoom,
    part_most::worth_keeping,
    sources::Sources,
    tail::Tail,
    tasks::{Handle as TaskHandle, Permits},
    walks::Walks,
};
use super::{
    clock::Clock,
    flights::Flights,
    incidents::Incidents,
    protocol::{Event, Summary, UploadId},
    queue::Queue,
    rate::{Meter, Steady, Stopwatch},
    refusals::Refusals,
    room::OpenFiles,
    timing::Timing,
    tune::Tuner,
    upload::{KeyCheck, LargestPart, Message, Shared},
    window::Orders,
};
use crate::{
    body::Reading,
    destination::Account,
    error::Error,
    ledger::Ledger,
    limiter::BandwidthLimiter,
    session::{Change, folder::Open, record},
    settings::Settings,
};

/// How often speeds are measured and the summary is told, while anything moves.
const TICK: Duration = Duration::from_millis(200);

/// What an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The session, open and locked.
    pub session: Open,
    /// Its uploads.
    pub queue: Queue,
    /// Where they go.
    pub account: Arc<dyn Account>,
    /// How long to wait for things.
    pub timing: Timing,
    /// Where to tell what happens, one by one.
    pub events: Option<mpsc::UnboundedSender<Event>>,
    /// What is uploaded where.
    pub ledger: Arc<dyn Ledger>,
    /// Whether a run ends without the files that other sessions upload, instead of waiting for them.
    pub no_wait: bool,
    /// Whether all bytes of a file decide whether it is uploaded already, and not what `stat` and samples
    /// show.
    pub is_deep: bool,
    /// What a schedule goes by.
    pub clock: Clock,
    /// The files that this process may have open.
    pub open_files: OpenFiles,
}

/// The owner of the session.
pub(super) struct Actor {
    session: Open,
    queue: Queue,
    /// What the uploads' tasks share.
    shared: Arc<Shared>,
    timing: Timing,
    events: Option<mpsc::UnboundedSender<Event>>,
    claims: Claims,
    no_wait: bool,
    settings: Settings,
    clock: Clock,
    scheduled: Scheduled,
    file_room: FileRoom,
    /// Uploads that take one of the places of `files_in_flight`.
    active: Vec<UploadId>,
    /// The tasks of those, and of others that are about to end.
    tasks: HashMap<UploadId, TaskHandle>,
    permits: Permits,
    /// What tasks and polls run in, and where they tell what.
    running: JoinSet<()>,
    told: (
        mpsc::UnboundedSender<Message>,
        mpsc::UnboundedReceiver<Message>,
    ),
    /// Uploads whose files may still be written to, and when to look at them again.
    resting: Vec<(Instant, UploadId)>,
    /// Uploads that were begun anew by themselves in this run; never more than once each.
    renewed: HashSet<UploadId>,
    /// Whether the part size was changed in this run: what is found at the destination only now is
    /// split again then.
    resized: bool,
    flights: Flights,
    polls: Polls,
    /// Files that the account forbade.
    refusals: Refusals,
    /// Files that failed and are tried again when the others have gone out.
    tail: Tail,
    /// The disks and folders that files are read from.
    sources: Sources,
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
    published: Summary,
}

/// Uploads whose media object the destination works on.
#[derive(Debug, Default)]
struct Polls {
    waiting: std::collections::VecDeque<UploadId>,
    due: Option<Instant>,
    wait: Duration,
    asking: bool,
    /// When it was asked last.
    asked: Option<Instant>,
    /// How often in a row no answer came that says anything.
    failures: u32,
    /// When one did not come, last.
    failed: Option<Instant>,
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

impl Actor {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            session,
            queue,
            account,
            timing,
            events,
            ledger,
            no_wait,
            is_deep,
            clock,
            open_files,
        } = parts;
        let now = Instant::now();
        let mut settings = session.header.settings.clone();
        settings.part_most = worth_keeping(settings.part_most, account.limits());
        let mut actor = Self {
            session,
            queue,
            shared: Arc::new(Shared {
                account,
                timing,
                reading: Reading::default(),
                cap: BandwidthLimiter::new(settings.bandwidth),
                ledger,
                is_deep,
                gates: Mutex::default(),
                key: KeyCheck::default(),
                largest: LargestPart::new(settings.part_most),
            }),
            timing,
            events,
            claims: Claims::default(),
            no_wait,
            scheduled: Scheduled::default(),
            file_room: FileRoom::new(open_files),
            tuner: Tuner::within(settings.parts_in_flight.most()),
            settings,
            clock,
            active: Vec::new(),
            tasks: HashMap::new(),
            permits: Permits::default(),
            running: JoinSet::new(),
            told: mpsc::unbounded_channel(),
            resting: Vec::new(),
            renewed: HashSet::new(),
            resized: false,
            flights: Flights::default(),
            polls: Polls {
                wait: timing.poll_first,
                ..Polls::default()
            },
            refusals: Refusals::default(),
            tail: Tail::default(),
            sources: Sources::default(),
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
            published: Summary::default(),
        };
        actor.read_mounts();
        actor.keep_to_schedule();
        actor.say_what_does_not_fit();
        actor.find_processing();
        actor.tell_what_failed_before();
        actor
    }

    /// How many parts may be in flight now: as many as are set, or were found by watching, and fit.
    fn parts_limit(&self) -> u16 {
        let fixed = self.settings.parts_in_flight.fixed();
        let wish = fixed.map_or_else(|| self.tuner.limit(), |number| number.max(1));
        wish.min(self.most_parts())
    }

    /// Makes a change that is kept, in memory and in the file.
    fn keep(&mut self, id: UploadId, change: &Change) {
        let text = self.changed(id, change);
        self.append(text);
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
}
