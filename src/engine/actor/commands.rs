//! What a person can tell the engine, and what each command answers.

use std::time::Duration;

use tokio::{sync::oneshot, time::Instant};

use super::{Actor, mass::Deed};
use crate::{
    engine::{
        Server,
        protocol::{Command, Outcome, Place, Preview, State, Targets, UploadId},
        record::Hold,
        upload::{Conditions, Order},
    },
    format,
    plan::{PartNumber, PartPlan},
    session::{Change, Move, record},
    settings::{PartSize, Settings},
};

impl Actor {
    /// Does what was told, and answers; a walk answers for itself once it has begun.
    pub(super) fn command(
        &mut self,
        server: &Server,
        command: Command,
        answer: oneshot::Sender<Outcome>,
    ) {
        let ends = matches!(command, Command::Stop | Command::StopNow);
        if self.masses.any() && !ends {
            self.masses.later.push_back((command, answer));
            return;
        }
        let outcome = match command {
            _ if self.stopping.is_some() && !ends => {
                Outcome::refused("the session is being closed")
            }
            Command::Add(add) => return self.add(&add, answer),
            Command::Pause(targets) => {
                return self.begin_mass(server, Deed::Pause, &targets, answer);
            }
            Command::Resume(targets) => {
                return self.begin_mass(server, Deed::Resume, &targets, answer);
            }
            Command::Retry(targets) => {
                return self.begin_mass(server, Deed::Retry, &targets, answer);
            }
            Command::RetryPart { upload, part } => self.retry_part(upload, part),
            Command::StartOver(targets) => {
                return self.begin_mass(server, Deed::StartOver, &targets, answer);
            }
            Command::Skip(targets) => {
                return self.begin_mass(server, Deed::Skip, &targets, answer);
            }
            Command::Remove(targets) => {
                return self.begin_mass(server, Deed::Remove, &targets, answer);
            }
            Command::Move(targets, place) => {
                let ids = self.ids(&targets);
                let count = ids.len();
                let moving = match (targets, place) {
                    (Targets::Inside(folder, _), Place::Up | Place::Down) => {
                        self.queue.folder_move(ids, folder, place == Place::Up)
                    }
                    _ => Some(Move::new(ids, place.into())),
                };
                if let Some(moving) = moving
                    && self.queue.apply_move(&moving)
                {
                    let mut text = String::new();
                    record::write_move(&mut text, &moving);
                    self.append(text);
                }
                Outcome::new(count, format!("{} moved", format::count(count, "file")))
            }
            Command::Tune(settings) => self.tune(settings),
            Command::Save => return self.save(answer),
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

    /// The person wants things to go: waits are forgotten, and what was halted is tried again.
    pub(super) fn go_on(&mut self) {
        self.halted = None;
        self.refusals.clear();
        self.shared.gates().open(Instant::now());
        self.try_smallest_part_again();
    }

    pub(super) fn release(&mut self, id: UploadId) {
        let completed = self.is_processing(id);
        self.tail.forget(id);
        self.forget_tries(id);
        self.keep(id, &Change::Released);
        if completed {
            self.process(id);
        }
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
        if let Some(task) = self.tasks.get(&upload) {
            task.order(Order::Retry(Some(part)));
        }
        if self
            .queue
            .get(upload)
            .is_some_and(|upload| matches!(upload.hold, Hold::Failed(_)))
        {
            self.release(upload);
        }
        Outcome::new(1, format!("part {part} is tried again"))
    }

    fn tune(&mut self, settings: Settings) -> Outcome {
        let before = self.settings.clone();
        self.settings = settings.tuned(&before, &self.clock.now());
        let mut text = String::new();
        record::write_settings(&mut text, &self.settings);
        self.append(text);
        self.put_in_force(before.bandwidth);
        self.put_part_most_in_force();
        self.keep_to_schedule();
        self.tuner.keep_within(self.settings.parts_in_flight.most());
        self.say_what_does_not_fit();
        let by_hand = self.settings.by_hand_until.is_some();
        let words = if by_hand && self.settings.bandwidth != before.bandwidth {
            let bandwidth = self.settings.bandwidth;
            format!(
                "bandwidth {bandwidth} {}",
                self.until_the_schedule_changes()
            )
        } else {
            String::new()
        };
        let resized = before.part_size != self.settings.part_size;
        self.resized |= resized;
        let replanned = |id: &&UploadId| self.recut(**id, self.settings.part_size).is_some();
        let count = if resized {
            self.active.iter().filter(replanned).count()
        } else {
            0
        };
        for task in self.tasks.values() {
            task.order(Order::Tuned(self.conditions()));
        }
        match count {
            0 => Outcome::new(0, words),
            count => Outcome::new(count, format!("{} cut anew", format::count(count, "file"))),
        }
    }

    /// The plan of an upload whose parts are sent, with its tail split by another part size, if that
    /// changes it.
    fn recut(&self, id: UploadId, wish: PartSize) -> Option<PartPlan> {
        let begun = self.queue.begun(id)?;
        // What the account has of the others is not known yet.
        let limits = self.tasks.get(&id)?.limits.as_ref()?;
        let Conditions {
            at_once,
            line,
            late,
            ..
        } = self.conditions();
        begun.replanned(late, |plan, from| {
            let limits = limits.within(self.shared.largest.get());
            limits.replan(plan, from, wish, at_once, line)
        })
    }

    /// What [`Command::Tune`] with these settings would do.
    pub(super) fn preview(&self, settings: &Settings) -> Preview {
        if settings.part_size == self.settings.part_size {
            let now = self.clock.now();
            let would = settings.clone().tuned(&self.settings, &now);
            let by_hand = would.by_hand_until.is_some();
            return Preview {
                words: if by_hand && settings.bandwidth != self.settings.bandwidth {
                    self.until_the_schedule_changes()
                } else if settings.parts_in_flight == self.settings.parts_in_flight
                    && settings.files_in_flight == self.settings.files_in_flight
                    && settings.bandwidth != self.settings.bandwidth
                {
                    "acts at once, on running parts too".into()
                } else {
                    "running parts go on as they are".into()
                },
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
            (0, queued) => format!("{} will be cut so", format::count(queued, "queued file")),
            (running, queued) => {
                let mut words = format!(
                    "re-cuts {} of {} into {after}",
                    format::count(usize::try_from(before).unwrap_or(usize::MAX), "part"),
                    format::count(running, "running file")
                );
                if queued > 0 {
                    words = format!("{words}; {}", format::count(queued, "queued file"));
                }
                words
            }
        };
        Preview {
            files: running,
            parts_before: before,
            parts_after: after,
            queued,
            words,
        }
    }
}
