//! What is done to many uploads at once: a slice at a time, so that whoever asks something meanwhile is
//! answered. Nothing new is begun until it is done, and other commands wait for it.

use std::{collections::VecDeque, time::Duration, vec};

use tokio::{sync::oneshot, time::Instant};

use super::Actor;
use crate::{
    engine::{
        Server, order,
        protocol::{Command, Filter, Outcome, Sort, State, Targets, UploadId},
        record::Hold,
        upload::{Order, Stop},
    },
    error::{Error, Kind},
    format,
    session::Change,
};

/// How long a slice may take …
pub(super) const SLICE: Duration = Duration::from_millis(5);
/// … looked at after so many uploads.
const BETWEEN: usize = 64;

/// What is done to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Pause,
    Resume,
    Retry,
    StartOver,
    Skip,
    Remove,
}

/// Something being done to many uploads.
pub(super) struct Mass {
    deed: Deed,
    left: vec::IntoIter<UploadId>,
    reached: Reached,
    answer: oneshot::Sender<Outcome>,
}

/// How far it reached.
#[derive(Debug, Default)]
struct Reached {
    uploads: usize,
    parts: usize,
    /// Those that can't be tried again.
    hopeless: usize,
    /// Paths that could not be read, to be walked again; and how many are.
    unread: Vec<UploadId>,
    walked: usize,
}

/// What is being done, and what was told meanwhile.
#[derive(Default)]
pub(super) struct Masses {
    now: Option<Mass>,
    pub(super) later: VecDeque<(Command, oneshot::Sender<Outcome>)>,
}

impl Masses {
    /// Whether something is being done.
    pub(super) fn any(&self) -> bool {
        self.now.is_some()
    }
}

impl Deed {
    fn outcome(self, reached: &Reached) -> Outcome {
        let most = reached.uploads.max(reached.parts).max(reached.walked);
        let count = format::count(reached.uploads, "file");
        let mut told = Vec::new();
        match self {
            Self::Retry => {
                let mut again = Vec::new();
                if reached.uploads > 0 {
                    again.push(count);
                }
                if reached.parts > 0 {
                    again.push(format::count(reached.parts, "part"));
                }
                let is = if reached.uploads + reached.parts == 1 {
                    "is"
                } else {
                    "are"
                };
                if !again.is_empty() {
                    told.push(format!("{} {is} tried again", again.join(" and ")));
                }
            }
            _ if reached.uploads == 0 => {}
            Self::Pause => told.push(format!("{count} paused")),
            Self::Resume => told.push(format!("{count} resumed")),
            Self::StartOver => told.push(format!("{count} will be started over")),
            Self::Skip => told.push(format!("{count} left out")),
            Self::Remove => told.push(format!("{count} taken out of the queue")),
        }
        if reached.walked > 0 {
            let paths = format::count(reached.walked, "path");
            told.push(format!("{paths} walked again"));
        }
        if reached.hopeless > 0 {
            let hopeless = format::count(reached.hopeless, "file");
            told.push(format!("{hopeless} can only be started over"));
        }
        if told.is_empty() {
            told.push(self.in_vain().to_owned());
        }
        Outcome::new(most, told.join("; "))
    }

    /// What is said when there was nothing to do it to.
    fn in_vain(self) -> &'static str {
        match self {
            Self::Pause => "nothing there is left to be paused",
            Self::Resume => "nothing there is paused",
            Self::Retry => "nothing there failed",
            Self::StartOver => "nothing there can be started over",
            Self::Skip => "nothing there can be left out",
            Self::Remove => "nothing there can be taken out of the queue",
        }
    }
}

impl Actor {
    /// Begins to do something to many uploads; few are done with at once.
    pub(super) fn begin_mass(
        &mut self,
        server: &Server,
        deed: Deed,
        targets: &Targets,
        answer: oneshot::Sender<Outcome>,
    ) {
        if matches!(deed, Deed::Resume | Deed::Retry | Deed::StartOver) {
            self.go_on();
        }
        if *targets == Targets::All && matches!(deed, Deed::Pause | Deed::Resume) {
            self.holding = deed == Deed::Pause;
        }
        self.masses.now = Some(Mass {
            deed,
            left: self.ids(targets).into_iter(),
            reached: Reached::default(),
            answer,
        });
        self.go_on_with_mass(server, Some(SLICE));
    }

    /// Does the next slice, of at most so much time; all that is left without. A few are done with at
    /// once whatever the time.
    pub(super) fn go_on_with_mass(&mut self, server: &Server, slice: Option<Duration>) {
        let Some(mut mass) = self.masses.now.take() else {
            return;
        };
        let begun = Instant::now();
        loop {
            for id in mass.left.by_ref().take(BETWEEN) {
                self.do_one(mass.deed, id, &mut mass.reached);
            }
            if mass.left.len() == 0 {
                return self.end_mass(server, mass);
            }
            if slice.is_some_and(|slice| begun.elapsed() >= slice) {
                break;
            }
        }
        self.masses.now = Some(mass);
    }

    fn end_mass(&mut self, server: &Server, mut mass: Mass) {
        mass.reached.walked = self.walk_unread(std::mem::take(&mut mass.reached.unread));
        if mass.deed == Deed::Remove {
            self.queue.tidy();
        }
        // A walk may have found nothing yet that could be paused, or nothing that is still there.
        let to_come = mass.deed != Deed::Resume && self.walks.any();
        self.holding &= to_come || self.queue.counts().of(State::Paused) > 0;
        self.answer(server, mass.deed.outcome(&mass.reached), mass.answer);
    }

    fn do_one(&mut self, deed: Deed, id: UploadId, reached: &mut Reached) {
        use State::{Changed, Done, Failed, Paused, Processing, Skipped};
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let state = upload.state();
        match deed {
            Deed::Retry | Deed::StartOver if upload.unread().is_some() => {
                return reached.unread.push(id);
            }
            Deed::Retry => return self.retry_one(id, reached),
            Deed::Pause if !state.settled() && state != Processing => {
                self.keep(id, &Change::Paused);
                self.give_back(id);
                self.dismiss(id, Stop::Cancel);
            }
            Deed::Resume if state == Paused => self.release(id),
            Deed::StartOver if matches!(state, Failed | Changed | Paused) => {
                self.keep(id, &Change::Clearing);
            }
            Deed::Skip if !matches!(state, Done | Skipped | Processing) => {
                self.give_back(id);
                self.leave_out(id, Error::new(Kind::Local, "left out by you"));
            }
            Deed::Remove => {
                if let Some(orphan) = self.orphan_of(id) {
                    self.orphaned(orphan);
                }
                self.give_back(id);
                self.dismiss(id, Stop::Removed);
                self.keep(id, &Change::Removed);
            }
            _ => return,
        }
        reached.uploads += 1;
    }

    fn retry_one(&mut self, id: UploadId, reached: &mut Reached) {
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let now = Instant::now();
        // One that changed may have the same bytes again, or still.
        let failed = matches!(upload.hold, Hold::Failed(_) | Hold::Changed(_));
        let gone = upload
            .reason()
            .is_some_and(|error| error.kind == Kind::TicketGone);
        if gone {
            reached.hopeless += 1;
            return;
        }
        reached.parts += self
            .queue
            .with_begun(id, |begun| begun.retry(now, None))
            .unwrap_or(0);
        if failed {
            self.release(id);
            reached.uploads += 1;
        } else if let Some(task) = self.tasks.get(&id) {
            // One that waits for its next try goes at once.
            task.order(Order::Retry(None));
        }
    }

    /// The uploads that a command is for, in the order of the queue or as they were named.
    pub(super) fn ids(&self, targets: &Targets) -> Vec<UploadId> {
        let there = |id: &UploadId| self.queue.get(*id).is_some();
        match targets {
            Targets::All => self.queue.order().to_vec(),
            Targets::Ids(ids) => ids.iter().copied().filter(there).collect(),
            Targets::Filtered(filter) => {
                order::select(&self.queue, &self.flights, filter, Sort::default())
            }
            Targets::Inside(folder, filter) => self.marked(&[(*folder, filter)], &[], &[]),
            Targets::Marked {
                inside,
                except,
                ids,
            } => {
                let inside: Vec<_> = inside.iter().map(|(at, filter)| (*at, filter)).collect();
                self.marked(&inside, except, ids)
            }
        }
    }

    fn marked(
        &self,
        inside: &[(u32, &Filter)],
        except: &[UploadId],
        ids: &[UploadId],
    ) -> Vec<UploadId> {
        let folders = self.queue.folders();
        let rules: Vec<_> = inside
            .iter()
            .map(|(at, filter)| (folders.all_in(*at), order::through(&self.queue, filter)))
            .collect();
        let (except, named) = (Set::of(except), Set::of(ids));
        let is = |id: &UploadId| {
            let folder = folders.of(*id) as usize;
            let mut rules = rules.iter();
            named.has(*id)
                || !except.has(*id) && rules.any(|(inside, through)| inside[folder] && through(*id))
        };
        let there = |id: &UploadId| self.queue.get(*id).is_some() && is(id);
        self.queue.order().iter().copied().filter(there).collect()
    }
}

/// Numbers, to be looked up a million times.
struct Set(Vec<UploadId>);

impl Set {
    fn of(ids: &[UploadId]) -> Self {
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        Self(sorted)
    }

    fn has(&self, id: UploadId) -> bool {
        self.0.binary_search(&id).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_is_told_and_what_was_not_is_left_out() {
        let told = |deed: Deed, uploads, parts| {
            let reached = Reached {
                uploads,
                parts,
                ..Reached::default()
            };
            deed.outcome(&reached).words
        };
        assert_eq!(told(Deed::Retry, 0, 1), "1 part is tried again");
        assert_eq!(told(Deed::Retry, 1, 0), "1 file is tried again");
        assert_eq!(told(Deed::Retry, 0, 5), "5 parts are tried again");
        assert_eq!(
            told(Deed::Retry, 3, 1200),
            "3 files and 1,200 parts are tried again"
        );
        assert_eq!(told(Deed::Retry, 0, 0), "nothing there failed");
        assert_eq!(told(Deed::Pause, 2, 0), "2 files paused");
        assert_eq!(
            told(Deed::Pause, 0, 0),
            "nothing there is left to be paused"
        );
        let walked = Reached {
            walked: 1,
            hopeless: 2,
            ..Reached::default()
        };
        assert_eq!(
            Deed::Retry.outcome(&walked).words,
            "1 path walked again; 2 files can only be started over"
        );
    }
}
