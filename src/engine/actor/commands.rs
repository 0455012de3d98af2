//! What a person can tell the engine, and what each command answers.

use std::time::Duration;

use tokio::{sync::oneshot, time::Instant};

use super::Actor;
use crate::{
    engine::{
        Server,
        protocol::{Command, Outcome, Preview, Sort, State, Targets, UploadId},
        upload::Hold,
        window,
        worker::{self, Done},
    },
    error::{Error, Kind},
    plan::{PartNumber, PartPlan},
    session::{Change, record},
    settings::{PartSize, Settings},
};

/// How long a save that was asked for is waited for before it is said that it goes on.
const SAVE_WAIT: Duration = Duration::from_secs(5);

/// How long after a move the new order is saved.
const REORDER: Duration = Duration::from_secs(2);

/// `1 file`, `2 files`.
fn files(count: usize) -> String {
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}

/// That so many paths, which could not be read, are looked at again.
fn walked_again(paths: usize) -> String {
    format!("{} walked again", crate::format::count(paths, "path"))
}

impl Actor {
    /// Does what was told, and answers; a walk answers for itself once it has begun.
    pub(super) async fn command(
        &mut self,
        server: &Server,
        command: Command,
        answer: oneshot::Sender<Outcome>,
    ) {
        let closing = self.stopping.is_some();
        let outcome = match command {
            _ if closing && !matches!(command, Command::Stop | Command::StopNow) => {
                Outcome::refused("the session is being closed")
            }
            Command::Add(add) => return self.add(&add, answer),
            Command::Pause(targets) => self.pause(&targets),
            Command::Resume(targets) => self.resume(&targets),
            Command::Retry(targets) => self.retry(&targets),
            Command::RetryPart { upload, part } => self.retry_part(upload, part),
            Command::StartOver(targets) => self.start_over(&targets),
            Command::Skip(targets) => self.skip(&targets),
            Command::Remove(targets) => self.remove(&targets),
            Command::Move(targets, place) => {
                let ids = self.ids(&targets);
                self.queue.move_to(&ids, place);
                // The order is the snapshot's: many moves in a row are one new snapshot.
                self.reorder_at = Some(Instant::now() + REORDER);
                Outcome::new(ids.len(), format!("{} moved", files(ids.len())))
            }
            Command::Tune(settings) => self.tune(settings),
            Command::Save => self.save().await,
            Command::Stop => {
                self.stop(self.timing.drain);
                Outcome::new(
                    self.flights.len(),
                    "closing: waiting for the parts in flight",
                )
            }
            Command::StopNow => {
                self.stop(Duration::ZERO);
                Outcome::new(self.flights.len(), "closing now")
            }
        };
        self.answer(server, outcome, answer);
    }

    /// Answers a command. Who has the answer sees in the summary what came of it.
    pub(super) fn answer(
        &mut self,
        server: &Server,
        outcome: Outcome,
        answer: oneshot::Sender<Outcome>,
    ) {
        self.tell(server, self.phase());
        let _ = answer.send(outcome);
    }

    fn ids(&self, targets: &Targets) -> Vec<UploadId> {
        match targets {
            Targets::All => self.queue.order().to_vec(),
            Targets::Ids(ids) => ids
                .iter()
                .copied()
                .filter(|id| self.queue.get(*id).is_some())
                .collect(),
            Targets::Filtered(filter) => {
                window::select(&self.queue, &self.flights, filter, Sort::default())
            }
        }
    }

    /// Those of the targets for which `is` holds.
    fn those(&self, targets: &Targets, is: impl Fn(State) -> bool) -> Vec<UploadId> {
        let is = |id: &UploadId| self.queue.get(*id).is_some_and(|upload| is(upload.state()));
        self.ids(targets).into_iter().filter(is).collect()
    }

    fn pause(&mut self, targets: &Targets) -> Outcome {
        let ids = self.those(targets, |state| {
            !state.settled() && state != State::Processing
        });
        for id in &ids {
            self.cut_short(*id);
            self.keep(*id, &Change::Paused);
            self.rest(*id);
        }
        Outcome::new(ids.len(), format!("{} paused", files(ids.len())))
    }

    fn resume(&mut self, targets: &Targets) -> Outcome {
        self.go_on();
        let ids = self.those(targets, |state| state == State::Paused);
        for id in &ids {
            self.release(*id);
        }
        Outcome::new(ids.len(), format!("{} resumed", files(ids.len())))
    }

    /// The person wants things to go: waits are forgotten, and what was halted is tried again.
    fn go_on(&mut self) {
        self.halted = None;
        self.gate.open(Instant::now());
    }

    fn release(&mut self, id: UploadId) {
        let completed = self
            .queue
            .begun(id)
            .is_some_and(|begun| begun.progress.completed && !begun.clearing);
        self.keep(id, &Change::Released);
        if completed {
            self.process(id);
        }
    }

    fn retry(&mut self, targets: &Targets) -> Outcome {
        self.go_on();
        let now = Instant::now();
        let (mut uploads, mut parts, mut hopeless) = (0, 0, 0);
        let mut unread = Vec::new();
        for id in self.ids(targets) {
            let Some(upload) = self.queue.get(id) else {
                continue;
            };
            if upload.unread().is_some() {
                unread.push(id);
                continue;
            }
            let failed = matches!(upload.hold, Hold::Failed(_));
            let gone = upload
                .reason()
                .is_some_and(|error| matches!(error.kind, Kind::TicketGone | Kind::Changed));
            if gone {
                hopeless += 1;
                continue;
            }
            parts += self
                .queue
                .with_begun(id, |begun| begun.retry(now, None))
                .unwrap_or(0);
            if failed {
                self.release(id);
                uploads += 1;
            } else {
                // One that waits for its next try goes at once.
                self.queue.with_begun(id, |begun| {
                    begun.not_before = begun.not_before.map(|_| now);
                });
            }
        }
        let walked = self.walk_unread(unread);
        let mut words = format!("{} and {parts} parts are tried again", files(uploads));
        if walked > 0 {
            words = format!("{words}; {}", walked_again(walked));
        }
        if hopeless > 0 {
            words = format!("{words}; {} can only be started over", files(hopeless));
        }
        Outcome::new(uploads.max(parts).max(walked), words)
    }

    fn retry_part(&mut self, upload: UploadId, part: PartNumber) -> Outcome {
        let now = Instant::now();
        let reached = self
            .queue
            .with_begun(upload, |begun| begun.retry(now, Some(part)));
        if reached.unwrap_or(0) == 0 {
            return Outcome::refused(format!("part {part} has not failed"));
        }
        self.go_on();
        if self
            .queue
            .get(upload)
            .is_some_and(|upload| matches!(upload.hold, Hold::Failed(_)))
        {
            self.release(upload);
        }
        Outcome::new(1, format!("part {part} is tried again"))
    }

    fn start_over(&mut self, targets: &Targets) -> Outcome {
        self.go_on();
        let held = |state| matches!(state, State::Failed | State::Changed | State::Paused);
        let ids = self.those(targets, held);
        let unread = |id: &UploadId| self.queue.get(*id).is_some_and(|u| u.unread().is_some());
        let (unread, ids): (Vec<_>, Vec<_>) = ids.into_iter().partition(unread);
        let walked = self.walk_unread(unread);
        for id in &ids {
            self.begin_over(*id);
            self.keep(*id, &Change::Released);
        }
        let mut words = format!("{} will be started over", files(ids.len()));
        if walked > 0 {
            words = format!("{words}; {}", walked_again(walked));
        }
        Outcome::new(ids.len().max(walked), words)
    }

    fn skip(&mut self, targets: &Targets) -> Outcome {
        let ids = self.those(targets, |state| {
            !matches!(state, State::Done | State::Skipped | State::Processing)
        });
        for id in &ids {
            self.cut_short(*id);
            let left_out = Error::new(Kind::Local, "left out by you");
            self.keep(*id, &Change::Skipped(left_out));
            self.deactivate(*id);
        }
        Outcome::new(ids.len(), format!("{} left out", files(ids.len())))
    }

    fn remove(&mut self, targets: &Targets) -> Outcome {
        let ids = self.ids(targets);
        for id in &ids {
            self.cut_short(*id);
            self.deactivate(*id);
            self.keep(*id, &Change::Removed);
        }
        self.queue.tidy();
        Outcome::new(
            ids.len(),
            format!("{} taken out of the queue", files(ids.len())),
        )
    }

    fn tune(&mut self, settings: Settings) -> Outcome {
        let before = self.settings;
        self.settings = settings;
        let mut text = String::new();
        record::write_settings(&mut text, &settings);
        self.session.store.append(text);
        if before.bandwidth != settings.bandwidth {
            self.cap.set(settings.bandwidth);
        }
        if before.part_size == settings.part_size {
            return Outcome::new(0, "tuned");
        }
        self.resized = true;
        let under_way = self.active.clone();
        for id in &under_way {
            // One whose plan is just being saved is cut anew after that.
            self.queue
                .with_begun(*id, |begun| begun.cut_again = begun.saving_plan);
        }
        let count = under_way
            .into_iter()
            .filter(|id| self.cut_anew(*id))
            .count();
        Outcome::new(count, format!("{} cut anew", files(count)))
    }

    /// Cuts anew what was never begun of an upload, by the present part size. Whether that changed
    /// anything.
    pub(super) fn cut_anew(&mut self, id: UploadId) -> bool {
        if self.stopping.is_some() {
            return false;
        }
        let Some(plan) = self.recut(id, self.settings.part_size) else {
            return false;
        };
        // The new plan is on disk before its first part goes out.
        let saved = self.keep_durable(id, &[Change::Plan(plan)]);
        self.queue.with_begun(id, |begun| begun.saving_plan = true);
        self.spawn(async move {
            drop(worker::on_disk(saved).await);
            Done::PlanSaved(id)
        });
        true
    }

    /// The plan of an upload under way with its tail cut by another part size, if that changes it.
    fn recut(&self, id: UploadId, wish: PartSize) -> Option<PartPlan> {
        // One whose parts at the destination are not known yet must keep its plan.
        let begun = self.queue.begun(id).filter(|begun| begun.checked)?;
        let limits = self.destination.limits();
        let (at_once, line) = (self.parts_limit(), self.line_seen());
        begun.recut(
            |plan, from| limits.recut(plan, from, wish, at_once, line),
            limits,
        )
    }

    /// What [`Command::Tune`] with these settings would do.
    pub(super) fn preview(&self, settings: &Settings) -> Preview {
        if settings.part_size == self.settings.part_size {
            return Preview {
                words: "running parts go on as they are".into(),
                ..Preview::default()
            };
        }
        let (mut running, mut before, mut after) = (0, 0, 0);
        for id in &self.active {
            let Some(plan) = self.recut(*id, settings.part_size) else {
                continue;
            };
            let Some(old) = self.queue.begun(*id).and_then(|begun| begun.plan()) else {
                continue;
            };
            let kept = old
                .parts()
                .zip(plan.parts())
                .take_while(|(a, b)| a == b)
                .count() as u64;
            running += 1;
            before += u64::from(old.count()) - kept;
            after += u64::from(plan.count()) - kept;
        }
        let queued = self.queue.counts().of(State::Queued);
        let words = match (running, queued) {
            (0, 0) => "nothing is left to be cut".to_owned(),
            (0, queued) => format!("{} in the queue will be cut so", files(queued)),
            (running, queued) => format!(
                "re-cuts {before} parts of {} under way into {after}; {} in the queue",
                files(running),
                files(queued)
            ),
        };
        Preview {
            files: running,
            parts_before: before,
            parts_after: after,
            queued,
            words,
        }
    }

    async fn save(&mut self) -> Outcome {
        let saving = match self.compact() {
            Ok(saving) => saving,
            Err(error) => return Outcome::refused(format!("the session can't be saved: {error}")),
        };
        match tokio::time::timeout(SAVE_WAIT, saving).await {
            Ok(Ok(Ok(()))) => Outcome::new(self.queue.len(), "saved"),
            Ok(Ok(Err(error))) => Outcome::refused(format!("the session can't be saved: {error}")),
            _ => Outcome::refused(match self.session.store.error() {
                Some(error) => format!("the session can't be saved: {error}"),
                None => "saving takes its time and goes on".to_owned(),
            }),
        }
    }

    /// Whether everything that is not settled is held by the person.
    pub(super) fn all_paused(&self) -> bool {
        let counts = self.queue.counts();
        counts.unsettled() == 0 && counts.of(State::Paused) > 0
    }
}
