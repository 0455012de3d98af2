//! What to start next; pure. A decision looks at the uploads under way alone, never at the queue's
//! length.

use tokio::time::Instant;

use super::{
    protocol::UploadId,
    queue::Queue,
    upload::{NextPart, Step},
};

/// How much may be under way, and how much is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many parts may be in flight.
    pub parts: usize,
    /// How many are.
    pub parts_running: usize,
    /// How many files may be under way.
    pub files: usize,
    /// Whether steps that are no parts may be begun, or a part for which the API has to be asked.
    pub steps: bool,
}

/// What to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Take the next upload from the queue.
    Upload,
    /// Do the next step of this upload that is no part.
    Step(UploadId),
    /// Send a part of this upload.
    Part(UploadId, NextPart),
}

/// The next thing to start, if there is room for one.
///
/// Of the uploads under way the one with the fewest parts in flight comes first, so that a small file
/// is not starved by a large one.
#[must_use]
pub fn next(queue: &mut Queue, active: &[UploadId], room: Room, now: Instant) -> Option<Start> {
    if room.steps {
        let steps = active.iter().find(|id| step_is_due(queue, **id, now));
        if let Some(id) = steps {
            return Some(Start::Step(*id));
        }
        if active.len() < room.files && queue.next_queued().is_some() {
            return Some(Start::Upload);
        }
    }
    if room.parts_running >= room.parts {
        return None;
    }
    let ready = |id: &UploadId| {
        let begun = queue.begun(*id)?;
        if begun.step != Step::Sending || begun.saving_plan || begun.doubtful {
            return None;
        }
        // One part asks the API, for all of its upload.
        if begun.needs_api && (!room.steps || !begun.running.is_empty()) {
            return None;
        }
        Some((begun.running.len(), *id, begun.next_part(now)?))
    };
    let (_, id, part) = active
        .iter()
        .filter_map(ready)
        .min_by_key(|(running, ..)| *running)?;
    Some(Start::Part(id, part))
}

fn step_is_due(queue: &Queue, id: UploadId, now: Instant) -> bool {
    queue.begun(id).is_some_and(|begun| match begun.step {
        Step::Idle => begun.not_before.is_none_or(|at| at <= now),
        Step::Sending => (begun.all_acknowledged() || begun.doubtful) && begun.running.is_empty(),
        _ => false,
    })
}

/// When the next thing is due that waits for its time, among the uploads under way.
#[must_use]
pub fn next_due(queue: &Queue, active: &[UploadId]) -> Option<Instant> {
    let due = |id: &UploadId| {
        let begun = queue.begun(*id)?;
        match begun.step {
            Step::Idle => begun.not_before,
            Step::Sending => begun.next_retry(),
            _ => None,
        }
    };
    active.iter().filter_map(due).min()
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, num::NonZeroU64};

    use super::*;
    use crate::{identity::Identity, plan::PartPlan, session::Change};

    const MIB: u64 = 1 << 20;

    /// A queue of these files, each of so many parts of 1 MiB, played until all is sent: parts end
    /// in the order in which they began. Gives for each part that ended, in turn, whose it was.
    fn play(files: &[u64], room: Room) -> Vec<UploadId> {
        let now = Instant::now();
        let mut queue = Queue::default();
        for (number, parts) in files.iter().enumerate() {
            let identity = Identity::new(parts * MIB, 1, 0, 1);
            queue
                .add(format!("/{number}.mp4").into(), identity)
                .unwrap();
        }
        let mut active: Vec<UploadId> = Vec::new();
        let mut flying: VecDeque<(UploadId, NextPart)> = VecDeque::new();
        let mut ended = Vec::new();
        loop {
            let parts_running = flying.len();
            let room = Room {
                parts_running,
                ..room
            };
            match next(&mut queue, &active, room, now) {
                Some(Start::Upload) => {
                    let id = queue.next_queued().unwrap();
                    let size = queue.get(id).unwrap().identity.size;
                    let plan = PartPlan::split(size, NonZeroU64::new(MIB).unwrap()).unwrap();
                    queue.apply(id, &Change::Begun(format!("marker{id}"), None));
                    queue.apply(id, &Change::Plan(plan));
                    queue.with_begun(id, |begun| begun.step = Step::Sending);
                    active.push(id);
                }
                Some(Start::Step(id)) => {
                    queue.apply(id, &Change::Completed);
                    queue.with_begun(id, |begun| begun.step = Step::Processing);
                    active.retain(|other| *other != id);
                }
                Some(Start::Part(id, part)) => {
                    queue.with_begun(id, |begun| begun.start(part));
                    flying.push_back((id, part));
                    assert!(flying.len() <= room.parts);
                    assert!(active.len() <= room.files);
                }
                None => {
                    let Some((id, part)) = flying.pop_front() else {
                        return ended;
                    };
                    queue.apply(id, &Change::Part(part.number, None.into()));
                    ended.push(id);
                }
            }
        }
    }

    #[test]
    fn small_files_are_not_starved_by_a_large_one() {
        let room = Room {
            parts: 8,
            parts_running: 0,
            files: 2,
            steps: true,
        };
        // 25 GB in parts of 5 MB, and behind it 50 files of 3 parts.
        let files: Vec<u64> = [5000].into_iter().chain([3; 50]).collect();
        let ended = play(&files, room);
        assert_eq!(ended.len(), 5150, "every part goes out once");
        let last_small = ended.iter().rposition(|id| *id != 1).unwrap();
        let of_the_large = last_small + 1 - 150;
        // A file of 3 parts takes 3 of the 8 places.
        assert!(
            of_the_large <= 150 * 8 / 3,
            "{of_the_large} parts of the large file went before the last small one"
        );
        // Nor does the large one wait for them: it keeps half of what may go at once.
        let shares = ended[8..last_small].chunks_exact(20);
        for share in shares {
            assert!(share.iter().filter(|id| **id == 1).count() >= 8);
        }
    }

    #[test]
    fn files_under_way_share_the_parts_evenly() {
        let room = Room {
            parts: 6,
            parts_running: 0,
            files: 3,
            steps: true,
        };
        let ended = play(&[100, 100, 100], room);
        for share in ended[6..240].chunks_exact(6) {
            for id in 1..=3 {
                assert_eq!(share.iter().filter(|other| **other == id).count(), 2);
            }
        }
    }
}
