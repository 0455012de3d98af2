//! What the engine answers when it is asked, and what it tells by itself: plain values for screens.

use std::time::Duration;

use tokio::time::Instant;

use super::{Actor, TaskHandle};
use crate::{
    destination::{self, LineSeen},
    engine::{
        Server,
        flights::millis,
        gates::Closed,
        protocol::{
            ByteTotals, Details, Entry, FailedPart, LimitedBy, Line, Parts, Phase, Query, Reply,
            State, Summary, UploadId, Wait,
        },
        record::{Begun, Hold, Upload},
        rows,
        upload::describe,
    },
    error::CallClass,
};

/// How many values of [`Summary::history`] are kept: ten minutes.
const HISTORY: usize = 300;

/// For how long nothing moves before that is worth a word.
const STALLED: Duration = Duration::from_secs(5);

/// What is told of a marker that is still to be made; of a done upload it is not kept.
const UNMADE: &str = "(reelhaul's own mark)";

impl Actor {
    pub(super) fn query(&mut self, query: Query) -> Reply {
        match query {
            Query::Window(query) => {
                let mut window = self.orders.window(&self.queue, &self.flights, &query);
                self.say_when(&mut window.lines);
                Reply::Window(window)
            }
            Query::Parts(id) => Reply::Parts(self.parts(id)),
            Query::Details(id) => Reply::Details(self.details(id).map(Box::new)),
            Query::Preview(settings) => Reply::Preview(self.preview(&settings)),
        }
    }

    fn parts(&self, id: UploadId) -> Option<Parts> {
        let upload = self.queue.get(id)?;
        let now = Instant::now();
        let Some(begun) = upload.begun() else {
            return Some(Parts {
                upload: id,
                count: 0,
                expected: self.expected_parts(upload),
                media: upload.media().map(ToString::to_string),
                states: vec![],
                running: vec![],
                failed: vec![],
            });
        };
        let failed = begun.troubled.iter().map(|(number, trouble)| FailedPart {
            number: *number,
            attempts: trouble.attempts,
            error: trouble.error.clone(),
            retry_in_ms: trouble
                .retry_at
                .map(|at| millis(at.saturating_duration_since(now))),
            waits_for: trouble
                .retry_at
                .and_then(|at| self.waits_for(upload, self.next_part_closed(id), at, now)),
        });
        Some(Parts {
            upload: id,
            count: begun.count(),
            expected: None,
            media: upload.media().map(ToString::to_string),
            states: begun.part_states(),
            running: self.flights.show(id, now),
            failed: failed.collect(),
        })
    }

    /// Has the notes of uploads that wait for nothing but a time begin with that.
    fn say_when(&self, lines: &mut [Line]) {
        let now = Instant::now();
        for line in lines {
            if let Entry::Upload(row) = &mut line.entry
                && let Some(note) = &mut row.note
                && let Some(wait) = self.wait_of(row.id, now)
            {
                let seconds = millis(wait).div_ceil(1000);
                *note = format!("again in {}: {note}", crate::format::duration(seconds));
            }
        }
    }

    /// How long an upload waits until its step, else a part of it, is tried again, where it waits for
    /// nothing else.
    fn wait_of(&self, id: UploadId, now: Instant) -> Option<Duration> {
        let upload = self.queue.get(id)?;
        let begun = upload.begun()?;
        let (closed, at) = match &begun.wait {
            Some(wait) => (self.calls_closed(CallClass::Write), wait.until),
            None => (self.next_part_closed(id), begun.next_retry()?),
        };
        let wait = at.saturating_duration_since(now);
        let alone = self.waits_for(upload, closed, at, now).is_none();
        alone.then_some(wait)
    }

    /// Why the next part of an upload may not be sent: it may have to ask the API first where it goes.
    fn next_part_closed(&self, id: UploadId) -> Option<Closed> {
        let asks_api = self.tasks.get(&id).is_some_and(TaskHandle::asks_api);
        let calls = || self.calls_closed(CallClass::Read);
        self.parts_closed(id)
            .or_else(|| calls().filter(|_| asks_api))
    }

    /// What something that is tried again at this time waits for besides; `closed` says why it may not go
    /// out now.
    fn waits_for(
        &self,
        upload: &Upload,
        closed: Option<Closed>,
        at: Instant,
        now: Instant,
    ) -> Option<String> {
        if self.halted.is_some() || !matches!(upload.hold, Hold::None) {
            return Some("when it goes on".to_owned());
        }
        if let Some(source) = self.source_waited_for(&upload.path) {
            return Some(format!("when {}", source.is_back()));
        }
        let due = at <= now;
        Some(match closed.filter(|closed| closed.until > at) {
            Some(closed) if closed.is_down => format!("when {}", closed.what.is_back()),
            Some(closed) => format!("when {} allows it", closed.what),
            None if due => "as soon as there is room".to_owned(),
            None => return None,
        })
    }

    /// How many parts an upload that was not begun would be cut into now.
    fn expected_parts(&self, upload: &Upload) -> Option<u32> {
        if upload.state() != State::Queued {
            return None;
        }
        let limits = self.shared.account.limits();
        let limits = limits.within(self.shared.largest.get());
        let (wish, file) = (self.settings.part_size, upload.identity.size);
        if file > limits.file_max {
            return None;
        }
        let plan = limits.plan(wish, file, self.parts_limit(), self.line_seen())?;
        Some(plan.count())
    }

    fn details(&self, id: UploadId) -> Option<Details> {
        let upload = self.queue.get(id)?;
        let begun = upload.begun();
        let runs = begun
            .and_then(Begun::plan)
            .map(|plan| plan.runs().to_vec())
            .unwrap_or_default();
        let marker = begun.map(|begun| begun.progress.marker.clone());
        let announced = describe(
            &upload.path,
            upload.identity.size,
            marker.clone().unwrap_or_else(|| UNMADE.to_owned()),
            begun.map_or(0, Begun::count),
        );
        let page = |media| self.shared.account.page_url(media).map(String::from);
        Some(Details {
            row: rows::row(id, upload, &self.flights),
            modified: upload.identity.modified,
            queued: upload.times.queued.known(),
            begun: upload.times.begun.known(),
            done: upload.times.done.known(),
            metadata: destination::in_words(&self.shared.account.metadata(&announced)),
            mime: announced.mime,
            marker,
            media: upload.media().map(ToString::to_string),
            address: upload.media().and_then(page),
            plan: runs.into_iter().map(Into::into).collect(),
            attempts: upload.attempts,
            incidents: self.incidents.of(id),
            failure: upload.reason().cloned(),
        })
    }

    /// Measures speeds.
    pub(super) fn measure(&mut self) {
        let now = Instant::now();
        let taken = self.flights.taken();
        self.flights.sample(now);
        self.speed.meter.sample(now, taken);
        self.speed.sampled = now;
        if taken != self.speed.taken || self.flights.is_empty() {
            (self.speed.moved, self.speed.taken) = (now, taken);
        }
        let sent_for = self.speed.sending.look(now, !self.flights.is_empty());
        // Of the rest before the first part nothing is to be learnt.
        if !sent_for.is_zero() {
            let rate = self.speed.meter.rate();
            self.speed.steady.sample(rate, sent_for.as_secs_f64());
        }
        let since = millis(now - self.speed.noted);
        if since >= Summary::HISTORY_STEP_MS {
            let moved = taken.saturating_sub(self.speed.noted_taken);
            self.speed.noted = now;
            self.speed.noted_taken = taken;
            self.speed.history.push(moved.saturating_mul(1000) / since);
            let surplus = self.speed.history.len().saturating_sub(HISTORY);
            self.speed.history.drain(..surplus);
        }
    }

    /// What the last seconds told of the line, while parts were on it.
    pub(super) fn line_seen(&self) -> Option<LineSeen> {
        let rate = self.speed.meter.rate();
        let parts = u16::try_from(self.flights.len()).unwrap_or(u16::MAX);
        (rate > 0 && parts > 0).then_some(LineSeen { rate, parts })
    }

    /// Thinks over how many parts are to be in flight, where that is ours to find.
    pub(super) fn tune_parts(&mut self) {
        if self.settings.parts_in_flight.fixed().is_some() {
            return self.tuner.look_away();
        }
        let before = self.tuner.limit();
        let free = !self.shared.cap.holds() && self.shared.account.rate_limit_wait().is_none();
        let sample = self.flights.for_tuner(free);
        self.tuner.tick(Instant::now(), sample);
        let (limit, why) = (self.tuner.limit(), self.tuner.why());
        if limit != before {
            tracing::debug!("{limit} parts in flight instead of {before}: {why}");
        }
    }

    /// Tells the summary, if it says anything new.
    pub(super) fn tell(&mut self, server: &Server, phase: Phase) {
        let summary = self.summary(phase);
        self.say_what_is_awaited(&summary.waits);
        if summary != self.published {
            // Told once each way: without a screen nothing else says why nothing goes on.
            match (&self.published.save_error, &summary.save_error) {
                (None, Some(error)) => tracing::error!(
                    "the session can't be saved: {error}; nothing more is begun until it can; {}",
                    crate::error::Kind::Storage.next_step()
                ),
                (Some(_), None) => tracing::info!("the session can be saved again"),
                _ => {}
            }
            self.published = summary.clone();
            server.summary.send_replace(summary);
        }
    }

    fn summary(&self, phase: Phase) -> Summary {
        let bytes = self.queue.bytes();
        let left = bytes.total.saturating_sub(bytes.acknowledged);
        let in_flight = self.flights.in_flight().min(left);
        let troubles = |id: &UploadId| self.queue.begun(*id).map(Begun::troubles);
        let (retrying, failed) = self
            .active
            .iter()
            .filter_map(troubles)
            .fold((0, 0), |(a, b), (retrying, failed)| {
                (a + retrying, b + failed)
            });
        let moving = phase == Phase::Running && !self.flights.is_empty();
        Summary {
            session: self.session.header.id.clone(),
            destination: self.shared.account.describe(),
            settings: self.settings.clone(),
            bandwidth_why: self.scheduled.why.clone(),
            parts_limit: self.parts_limit(),
            parts_limit_why: match self.settings.parts_in_flight.fixed() {
                _ if self.is_short_of_open_files() => "as many as open files allow".to_owned(),
                None => self.tuner.why().to_owned(),
                Some(_) => String::new(),
            },
            counts: self.queue.counts(),
            bytes: ByteTotals { in_flight, ..bytes },
            rate: self.speed.meter.rate(),
            history: self.speed.history.clone(),
            eta: self
                .speed
                .steady
                .seconds_for(left - in_flight, self.settings.bandwidth)
                .filter(|_| moving),
            sending_ms: millis(self.speed.sending.total()),
            parts_running: u32::try_from(self.flights.len()).unwrap_or(u32::MAX),
            parts_retrying: retrying,
            parts_failed: failed,
            errors: self.errors,
            unreadable: self.queue.unread(),
            walks_left: self.queue.walks_left(),
            uploaded_before: self.claims.uploaded_before,
            left_waiting: self.left_waiting(),
            orphans: self.queue.orphans().count(),
            limited_by: self.limited_by(),
            waits: self.waits(),
            phase,
            walk: self.walks.show(),
            saved: self.session.store.saved(),
            save_error: self.session.store.error(),
        }
    }

    /// What uploads wait for.
    fn waits(&self) -> Vec<Wait> {
        let now = Instant::now();
        let told = |closed: Closed| Wait {
            what: closed.what,
            since: closed.since,
            retry_in_ms: (closed.until > now).then(|| millis(closed.until - now)),
            why: closed.why,
        };
        let forbids = self.refusals.forbids().map(|forbids| Wait {
            what: self.shared.api(),
            since: forbids.since,
            retry_in_ms: Some(millis(forbids.until.saturating_duration_since(now))),
            why: format!(
                "{} files were refused alike: {}",
                forbids.files, forbids.error
            ),
        });
        let gates = self.shared.gates();
        let mut waits: Vec<Wait> = gates.waits(now).map(told).chain(forbids).collect();
        for slow in self.slow_disks() {
            if waits.iter().all(|wait| wait.what != slow.what) {
                waits.push(slow);
            }
        }
        waits
    }

    fn limited_by(&self) -> LimitedBy {
        let now = Instant::now();
        if let Some(error) = &self.halted {
            let next = error.kind.next_step();
            return LimitedBy::Halted {
                why: format!("{error} — {next}"),
            };
        }
        if self.queue.counts().all_paused() {
            return LimitedBy::Paused;
        }
        // While parts go out, it is not those that wait that limit them.
        let nothing_goes_out = self.flights.is_empty();
        let forbids = self.refusals.forbids().is_some();
        if nothing_goes_out && (forbids || self.shared.gates().waits(now).next().is_some()) {
            return LimitedBy::Waits;
        }
        if let Some(wait) = self.shared.account.rate_limit_wait() {
            return LimitedBy::CallBudget {
                budget: wait.budget,
                left_ms: millis(wait.remaining),
            };
        }
        if nothing_goes_out {
            return LimitedBy::Idle;
        }
        if self.shared.cap.holds() {
            return LimitedBy::Bandwidth;
        }
        let still = now - self.speed.moved;
        let room = self.flights.len() < usize::from(self.parts_limit());
        let files_full = self.active.len() >= usize::from(self.settings.files_in_flight.max(1));
        if self.flights.starved(now) {
            LimitedBy::Disk
        } else if still >= STALLED {
            LimitedBy::Stalled {
                for_ms: millis(still),
            }
        } else if room && files_full && self.queue.counts().of(State::Queued) > 0 {
            LimitedBy::Files
        } else {
            LimitedBy::Line
        }
    }
}
