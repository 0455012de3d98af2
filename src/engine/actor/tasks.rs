//! The tasks of the uploads: which upload gets a place and a task, which permit is granted, and what is
//! recorded of what tasks tell. What an upload does is the task's own business
//! ([`crate::engine::upload`]).

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use super::Actor;
use crate::{
    awaited::Awaited,
    body::Progress,
    destination::{Limits, PartReceipt},
    engine::{
        flights::Flight,
        gates::Closed,
        protocol::{Event, State, UploadId},
        rate::Meter,
        record::{Begun, Hold, NextPart, Phase, RunChange, Step, StepWait, Upload},
        schedule::{self, Room, Start, Waiting},
        upload::{
            self, Conditions, End, Grant, Leave, Message, Need, Order, Permit, Sending, Stop, Task,
            Told, Want, new_marker,
        },
    },
    error::{CallClass, Error, Kind},
    format,
    identity::Identity,
    plan::PartNumber,
    session::{Change, Orphan, record},
};

/// The actor's side of a task.
#[derive(Debug)]
pub(super) struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    /// The permit it waits for.
    want: Option<Want>,
    /// The host that its parts go to, as far as that is known.
    parts_host: Option<Awaited>,
    /// The disk that its file is on.
    disk: Awaited,
    /// Where it is seen whether its file's disk answers, while it looks at that.
    at_disk: Option<Arc<Progress>>,
    /// How many permits for parts it has.
    parts: usize,
    /// The limits of its upload, once parts can be sent.
    pub(super) limits: Option<Limits>,
    /// Whether it was told to end: how it ends says nothing then.
    dismissed: bool,
}

impl Handle {
    /// Whether the part that it waits for asks the API first.
    pub(super) fn asks_api(&self) -> bool {
        let need = self.want.as_ref().map(|want| want.need);
        need == Some(Need::Part { asks_api: true })
    }

    /// The host that its parts go to, as far as that is known.
    pub(super) fn sends_to(&self) -> Option<&Awaited> {
        self.parts_host.as_ref()
    }

    /// The disk that its file is on.
    pub(super) fn disk(&self) -> &Awaited {
        &self.disk
    }

    /// Whether it looks at its file.
    pub(super) fn is_at_disk(&self) -> bool {
        self.at_disk.is_some()
    }

    /// For how long the disk has not answered, where it looks at its file.
    pub(super) fn at_disk_for(&self) -> Duration {
        let reading = self.at_disk.as_ref().and_then(|seen| seen.reading_for());
        reading.unwrap_or_default()
    }

    /// Tells the task something. One that has ended has told so, and that is about to be read.
    pub(super) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }
}

/// How many permits are out.
#[derive(Debug, Default)]
pub(super) struct Permits {
    calls: usize,
    parts: usize,
    /// The same by where they lead.
    by_host: HashMap<Awaited, usize>,
    /// All hosts that parts went to in this run.
    parts_hosts: BTreeSet<Awaited>,
}

impl Actor {
    /// Grants what may be granted now, and gives places to queued uploads.
    pub(super) fn start_what_may(&mut self) {
        self.wake_settled();
        self.look_at_sources();
        self.probe_when_due();
        loop {
            let waits = self.halted.is_some() || self.stopping.is_some() || self.masses.any();
            let store = &self.session.store;
            if waits || store.error().is_some() || store.is_behind() {
                return;
            }
            let forbids = self.refusals.forbids().is_some();
            let room = Room {
                parts: usize::from(self.parts_limit()),
                // What waits for its disk takes no place from others.
                parts_in_flight: self.permits.parts.saturating_sub(self.sources.slow_parts()),
                files: if forbids {
                    0
                } else {
                    usize::from(self.settings.files_in_flight.max(1))
                },
                files_active: self.files_active(),
                calls: self.may_call(CallClass::Write),
            };
            let waiting = |id: &UploadId| {
                let task = self.tasks.get(id)?;
                let want = task.want.as_ref()?;
                self.leads_to(want)?;
                let file = self.queue.get(*id).map(|upload| &upload.path);
                if let (Need::Part { .. }, Some(file)) = (want.need, file)
                    && self.sources.hold(file)
                {
                    return None;
                }
                if self.creates(*id) && !self.refusals.may_start(*id) {
                    return None;
                }
                Some(Waiting {
                    upload: *id,
                    need: want.need,
                    in_flight: task.parts,
                })
            };
            // One that was removed may still have to delete what was created for it.
            let removed = self
                .tasks
                .keys()
                .filter(|id| self.queue.get(**id).is_none());
            let with_tasks = self.active.iter().chain(removed);
            let waiting: Vec<Waiting> = with_tasks.filter_map(waiting).collect();
            match schedule::next(&waiting, room, || self.next_queued().is_some()) {
                None => return,
                Some(Start::Upload) => self.activate_next(),
                Some(Start::Grant(id)) => self.grant(id),
            }
        }
    }

    /// Tries one file, where the account forbade all others, when that is due.
    fn probe_when_due(&mut self) {
        let now = Instant::now();
        if !self.refusals.is_due(now) || self.halted.is_some() || self.stopping.is_some() {
            return;
        }
        let begun = self.active.iter().copied().find(|id| self.creates(*id));
        let id = begun.or_else(|| {
            let next = self.next_queued()?;
            self.activate_next();
            Some(next)
        });
        if let Some(id) = id {
            self.refusals.probe(id, now);
        }
    }

    /// Whether an upload waits to create its media object.
    fn creates(&self, id: UploadId) -> bool {
        let want = self.tasks.get(&id).and_then(|task| task.want.as_ref());
        let begun = self.queue.begun(id);
        want.is_some_and(|want| matches!(want.need, Need::Call(_)))
            && begun.is_some_and(|begun| begun.step == Step::Creating)
    }

    /// The account accepted something: what it forbade before may be accepted, too.
    fn accepted(&mut self, class: CallClass) {
        for id in self.refusals.accepted(class) {
            let failed = |upload: &Upload| upload.state() == State::Failed;
            if self.queue.get(id).is_some_and(failed) {
                self.release(id);
                self.queue.look_again_from(id);
            }
        }
    }

    /// Why the API may not be called so now, if so.
    pub(super) fn calls_closed(&self, class: CallClass) -> Option<Closed> {
        let api = self.shared.api();
        self.shared.gates().closed(&api, class, Instant::now())
    }

    /// Why an upload may send no part now, if so.
    pub(super) fn parts_closed(&self, id: UploadId) -> Option<Closed> {
        let task = self.tasks.get(&id);
        let host = task.and_then(Handle::sends_to).cloned();
        let host = host.unwrap_or_else(|| self.shared.api());
        let gates = self.shared.gates();
        gates.closed(&host, CallClass::Part, Instant::now())
    }

    /// Whether the API may be called so now.
    pub(super) fn may_call(&self, class: CallClass) -> bool {
        self.may_start(&self.shared.api(), class)
    }

    /// Whether something of this class may go to this host now.
    fn may_start(&self, host: &Awaited, class: CallClass) -> bool {
        let permitted = self.permits.by_host.get(host).copied().unwrap_or(0);
        let polls = self.polls.asking && *host == self.shared.api();
        let under_way = permitted + usize::from(polls);
        let gates = self.shared.gates();
        gates.may_start(host, class, Instant::now(), under_way)
    }

    /// The host that something leads to, where it may go there now.
    fn leads_to(&self, want: &Want) -> Option<Awaited> {
        let (host, class) = match (want.need, &want.parts_host) {
            (Need::Call(class), _) => (self.shared.api(), class),
            (Need::Part { .. }, Some(host)) => (host.clone(), CallClass::Part),
            (Need::Part { .. }, None) => return self.any_parts_host(),
        };
        self.may_start(&host, class).then_some(host)
    }

    /// Where a part may lead whose host is not known before its link is asked for: to any host that took
    /// parts before.
    fn any_parts_host(&self) -> Option<Awaited> {
        let known = &self.permits.parts_hosts;
        let open = |host: &Awaited| self.may_start(host, CallClass::Part);
        if known.is_empty() {
            return Some(self.shared.api()).filter(open);
        }
        known.iter().find(|host| open(host)).cloned()
    }

    /// Whether anything is asked of the account or sent to it. A task that waits for a permit, or to try
    /// again, does neither.
    pub(super) fn is_at_work(&self) -> bool {
        self.permits.calls + self.permits.parts > 0 || self.polls.asking
    }

    /// Whether what was created for a removed upload is deleted as soon as the API answers, which it is
    /// not known to refuse.
    pub(super) fn deletes_soon(&self) -> bool {
        let is_removed = |id: &UploadId| self.queue.get(*id).is_none();
        self.tasks.keys().any(is_removed) && self.calls_closed(CallClass::Write).is_none()
    }

    /// Whether nothing is left that has to come to its end. What does nothing but read its disk need not, and
    /// may never.
    pub(super) fn is_idle(&self) -> bool {
        let only_reads = |(id, task): (&UploadId, &Handle)| {
            self.sources.is_slow(*id) || (task.is_at_disk() && task.parts == 0)
        };
        self.tasks.iter().all(only_reads) && !self.polls.asking
    }

    /// The next upload that waits for a place. One whose task is about to end waits for that: two creates
    /// at once might make two media objects.
    pub(super) fn next_queued(&mut self) -> Option<UploadId> {
        let unclaimed = self
            .active
            .iter()
            .filter(|id| self.claim_of(**id).is_none());
        let unclaimed = unclaimed.filter_map(|id| Some(self.queue.get(*id)?.identity));
        let unclaimed: Vec<Identity> = unclaimed.collect();
        let (tasks, claims, tail) = (&self.tasks, &mut self.claims, &self.tail);
        let sources = &mut self.sources;
        let next = self.queue.next_queued(|id, upload| {
            // Under which of its names a file goes out is decided by their order, not by who is first
            // to claim it.
            let is_second_name = unclaimed.iter().any(|it| it.is_same_file(&upload.identity));
            if is_second_name {
                claims.second_names.push(id);
            }
            let is_held = sources.hold(&upload.path);
            if is_held {
                sources.passed_over();
            }
            is_held
                || is_second_name
                || tasks.contains_key(&id)
                || claims.waits(id)
                || tail.has(id)
                || sources.looking.contains(&id)
        });
        next.or_else(|| self.next_at_tail())
    }

    /// How many uploads have a place, or will go on as soon as their task has ended.
    fn files_active(&self) -> usize {
        let goes_on = |(id, task): (&UploadId, &Handle)| {
            let upload = self.queue.get(*id);
            task.dismissed && upload.is_some_and(|upload| matches!(upload.hold, Hold::None))
        };
        let slow = |id: &&UploadId| {
            let upload = self.queue.get(**id);
            let away = upload.is_some_and(|it| self.sources.hold(&it.path));
            away || self.sources.is_slow(**id)
        };
        let waiting = self.active.iter().filter(slow).count();
        self.active.len() - waiting + self.tasks.iter().filter(|task| goes_on(*task)).count()
    }

    /// Gives the next queued upload a place and a task.
    fn activate_next(&mut self) {
        let Some(id) = self.next_queued() else {
            return;
        };
        self.leaves_tail(id);
        if let Some(Phase::Waiting) = self.queue.get(id).map(|upload| &upload.phase) {
            // It has a marker of its own from here on, which is saved before anything is created.
            let marker = new_marker(self.shared.ledger.id(), &mut self.random);
            self.begin_under(id, marker);
        }
        self.queue
            .with_begun(id, |begun| begun.step = Step::Creating);
        let file = self.path_of(id);
        self.source_tried(&file);
        let disk = self.disk_of(&file);
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let Some(record) = upload.begun().cloned() else {
            return;
        };
        let (orders, taken) = mpsc::unbounded_channel();
        let task = Task {
            id,
            path: upload.path.to_path_buf(),
            identity: upload.identity,
            record,
            again: upload.again,
            claimed: None,
            is_fresh: false,
            in_use: None,
            borrowed: None,
            is_taken_over: false,
            parts_host: None,
            disk: disk.clone(),
            compared: Vec::new(),
            shared: std::sync::Arc::clone(&self.shared),
            conditions: self.conditions(),
            split_by: (!self.resized).then_some(self.settings.part_size),
            told: self.told.0.clone(),
            orders: taken,
            stop: None,
            random: self.random.fork(),
        };
        self.active.push(id);
        self.tasks.insert(
            id,
            Handle {
                orders,
                want: None,
                parts_host: None,
                disk,
                at_disk: None,
                parts: 0,
                limits: None,
                dismissed: false,
            },
        );
        self.running.spawn(upload::run(task));
    }

    /// Has a marker for an upload in memory: nothing of it is created yet, and nothing saved.
    fn begin_under(&mut self, id: UploadId, marker: String) {
        let account = self.shared.account.id().clone();
        self.queue.apply(id, &Change::Begun(marker, Some(account)));
    }

    /// How things are, for tasks.
    pub(super) fn conditions(&self) -> Conditions {
        Conditions {
            part_size: self.settings.part_size,
            retries: self.settings.retries,
            at_once: self.parts_limit(),
            line: self.line_seen(),
            late: self.session.late_parts,
        }
    }

    fn grant(&mut self, id: UploadId) {
        let (conditions, told) = (self.conditions(), self.told.0.clone());
        let want = |task: &mut Handle| task.want.take();
        let Some(want) = self.tasks.get_mut(&id).and_then(want) else {
            return;
        };
        let host = self.leads_to(&want);
        let host = host.unwrap_or_else(|| self.shared.api());
        if let Need::Part { .. } = want.need {
            self.source_tried(&self.path_of(id));
        }
        let Want {
            need,
            parts_host,
            grant,
        } = want;
        *self.permits.by_host.entry(host.clone()).or_default() += 1;
        self.permits.parts_hosts.extend(parts_host);
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        match need {
            Need::Call(_) => self.permits.calls += 1,
            Need::Part { .. } => {
                self.permits.parts += 1;
                task.parts += 1;
            }
        }
        let permit = Permit::new(id, Leave { need, host }, told);
        // A task that no longer waits gives the permit back as it drops it.
        let _ = grant.send(Grant { permit, conditions });
    }

    /// Has the task of an upload end, and frees its place.
    pub(super) fn dismiss(&mut self, id: UploadId, stop: Stop) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.want = None;
            task.dismissed = true;
            task.order(Order::Stop(stop));
        }
        self.deactivate(id);
    }

    /// Frees the place of an upload.
    pub(super) fn deactivate(&mut self, id: UploadId) {
        self.active.retain(|other| *other != id);
        self.polls.waiting.retain(|other| *other != id);
    }

    /// What one of our futures told.
    pub(super) fn heard(&mut self, message: Message) {
        match message {
            Message::Upload(id, told) => self.told(id, told),
            Message::Statuses(ids, batch) => self.became(&ids, batch),
            Message::MayGoOn(changed) => self.may_go_on(changed),
            Message::WasCompleted(id, is_ours) => self.was_completed(id, is_ours),
            Message::TriedOthers(disk, since, read) => self.tried_others(&disk, since, read),
            Message::Looked(id, error, away) => self.looked(id, error, away),
            Message::Unaccepted(objects) => self.accept_done(objects),
        }
    }

    fn told(&mut self, id: UploadId, told: Told) {
        match told {
            Told::Wants(want) => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.parts_host.clone_from(&want.parts_host);
                    task.want = Some(want);
                }
            }
            Told::Returned(leave, part) => self.returned(id, &leave, part),
            Told::Changed(changes) => {
                self.keep_all(id, &changes);
                if changes
                    .iter()
                    .any(|change| matches!(change, Change::Claimed(_)))
                {
                    self.look_at_second_names();
                }
            }
            Told::Flushes(saved) => {
                // Of an upload that was removed nothing is saved, and nobody is told that it is.
                if self.queue.get(id).is_some() {
                    self.session.store.barrier_for(saved);
                }
            }
            Told::Noted(change) => {
                self.queue.with_begun(id, |begun| begun.note(&change));
                if matches!(change, RunChange::Created) {
                    self.accepted(CallClass::Write);
                }
            }
            Told::StaysInUse(in_use) => self.stays_in_use(id, in_use),
            Told::Found(parts) => {
                for (number, receipt) in parts {
                    let sent = self.queue.bytes().sent;
                    self.keep(id, &Change::Part(number, receipt));
                    self.queue.count_as_found(sent);
                }
            }
            Told::Ready(limits) => self.ready(id, limits),
            Told::Sends(sending) => self.sends(id, sending),
            Told::Arrived(part, receipt) => self.arrived(id, part, receipt),
            Told::AtDisk(seen) => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.at_disk = seen;
                }
            }
            Told::Failed(failure) => self.failure(id, failure),
            Told::Orphaned(orphan) => self.orphaned(orphan),
            Told::Ended(end) => self.ended(id, end),
        }
    }

    fn returned(&mut self, id: UploadId, leave: &Leave, part: Option<PartNumber>) {
        if let Some(count) = self.permits.by_host.get_mut(&leave.host) {
            *count -= 1;
        }
        match leave.need {
            Need::Call(_) => self.permits.calls -= 1,
            Need::Part { .. } => {
                self.permits.parts -= 1;
                // One that came too late for a task may come back when the next has begun.
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.parts = task.parts.saturating_sub(1);
                }
            }
        }
        if let Some(part) = part {
            self.flights.end(id, part);
        }
    }

    /// Parts of an upload can be sent from now on: that is told once for each task.
    fn ready(&mut self, id: UploadId, limits: Limits) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        if task.limits.replace(limits).is_some() {
            return;
        }
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let media = upload.media().cloned();
        let parts = upload.begun().map_or(0, Begun::count);
        if self.events.is_none() {
            let (place, count) = (self.place(id, None), format::count(parts as usize, "part"));
            if let Some(media) = &media {
                tracing::info!("{place} goes to {media} in {count}");
            } else {
                tracing::info!("{place} goes out in {count}");
            }
        }
        self.happened(|| Event::Started {
            id,
            path: upload.path.to_path_buf(),
            media,
            parts,
        });
    }

    fn sends(&mut self, id: UploadId, sending: Sending) {
        let Sending {
            part,
            length,
            progress,
        } = sending;
        self.queue.with(id, |upload| {
            if let Phase::Begun(begun) = &mut upload.phase {
                begun.note(&RunChange::Starts(part));
                upload.attempts += 1;
            }
        });
        let begun = Instant::now();
        let flight = Flight {
            progress,
            length,
            attempt: part.attempt,
            begun,
            meter: Meter::new(begun),
            measured: 0,
        };
        self.flights.start(id, part.number, flight);
    }

    fn arrived(&mut self, id: UploadId, part: NextPart, receipt: PartReceipt) {
        self.accepted(CallClass::Part);
        let number = part.number;
        self.keep(id, &Change::Part(number, receipt));
        let plan = self.queue.begun(id).and_then(Begun::plan);
        let length = plan.and_then(|plan| plan.part(number));
        let bytes = length.map_or(0, |part| part.length);
        self.tuner.arrived(Instant::now(), bytes);
        self.happened(|| Event::Part {
            id,
            part: number,
            bytes,
            attempt: part.attempt,
        });
    }

    /// An object may be left at the account that no upload stands for.
    pub(super) fn orphaned(&mut self, orphan: Orphan) {
        let mut text = String::new();
        record::write_orphan(&mut text, &orphan);
        self.queue.note_orphan(orphan);
        self.append(text);
    }

    /// The orphan that removing this upload leaves, if it does.
    pub(super) fn orphan_of(&self, id: UploadId) -> Option<Orphan> {
        let upload = self.queue.get(id)?;
        let begun = upload.begun()?;
        let left = !begun.made_nothing() && !begun.progress.completed;
        left.then(|| Orphan {
            marker: begun.progress.marker.clone(),
            account: Some(self.shared.account.id().clone()),
            media: upload.media().cloned(),
            path: upload.path.to_path_buf(),
            at: jiff::Timestamp::now().into(),
            gone: false,
        })
    }

    /// A task has ended.
    fn ended(&mut self, id: UploadId, end: End) {
        let task = self.tasks.remove(&id);
        self.active.retain(|other| *other != id);
        self.look_at_second_names();
        self.queue.with_begun(id, |begun| {
            begun.step = Step::Idle;
            begun.wait = None;
            if !matches!(end, End::Waits(_)) {
                begun.waits_for = None;
            }
        });
        if !self.goes_on(id) {
            return;
        }
        match end {
            _ if self.is_processing(id) => self.process(id),
            // What was held meanwhile, and goes on by now, is begun again from the record.
            _ if task.is_some_and(|task| task.dismissed) => self.queue.look_again_from(id),
            End::Failed(error) if error.kind == Kind::Forbidden => self.forbidden(id, error),
            End::Failed(error) if error.kind == Kind::Disk => self.disk_failed(id, error),
            End::Failed(error) if error.kind == Kind::Local => self.look_above(id, error),
            End::Failed(error) if self.goes_to_tail(id, &error) => self.put_at_tail(id, &error),
            End::Failed(error) => self.end_upload(id, &error),
            End::Uploaded(uploaded) => self.skip_uploaded(id, uploaded),
            End::Waits(wait) => self.wait_for_another(id, wait),
            End::Unsettled(file, at) => self.let_settle(id, &file, at),
            End::Complete | End::Stopped => self.queue.look_again_from(id),
        }
    }

    /// Whether nothing holds an upload that is in the queue.
    pub(super) fn goes_on(&self, id: UploadId) -> bool {
        let upload = self.queue.get(id);
        upload.is_some_and(|upload| matches!(upload.hold, Hold::None))
    }

    /// Whether the account has all of it, and it is not to be started over.
    pub(super) fn is_processing(&self, id: UploadId) -> bool {
        let begun = self.queue.begun(id);
        begun.is_some_and(|begun| begun.progress.completed && !begun.progress.clearing)
    }

    /// A file that may still be written to gives up its place, and is looked at again later.
    fn let_settle(&mut self, id: UploadId, file: &Identity, at: Instant) {
        if self
            .queue
            .get(id)
            .is_some_and(|upload| upload.identity != *file)
        {
            let begun = self.queue.begun(id);
            let marker = begun.map(|begun| begun.progress.marker.clone());
            self.keep(id, &Change::Fresh(*file));
            self.begin_under(id, marker.unwrap_or_default());
        }
        let words = "it may still be written to: waiting until it rests";
        let wait = StepWait {
            until: at,
            error: Error::new(Kind::Changed, words),
        };
        self.queue.with_begun(id, |begun| begun.wait = Some(wait));
        self.resting.push((at, id));
    }

    /// Files that have been left alone long enough wait for their turn again.
    fn wake_settled(&mut self) {
        let now = Instant::now();
        let (due, resting) = self.resting.iter().partition(|(at, _)| *at <= now);
        self.resting = resting;
        let due: Vec<(Instant, UploadId)> = due;
        for (_, id) in due {
            self.queue.with_begun(id, |begun| begun.wait = None);
            self.queue.look_again_from(id);
        }
    }

    fn keep_all(&mut self, id: UploadId, changes: &[Change]) {
        for change in changes {
            self.keep(id, change);
        }
    }
}
