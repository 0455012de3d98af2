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
    let steps = active.iter().find(|id| step_is_due(queue, **id, now));
    if let Some(id) = steps {
        return Some(Start::Step(*id));
    }
    if active.len() < room.files && queue.next_queued().is_some() {
        return Some(Start::Upload);
    }
    if room.parts_running >= room.parts {
        return None;
    }
    let ready = |id: &UploadId| {
        let begun = queue.begun(*id)?;
        if begun.step != Step::Sending || begun.saving_plan {
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
        Step::Sending => begun.all_acknowledged() && begun.running.is_empty(),
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
