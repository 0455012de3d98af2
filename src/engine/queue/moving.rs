//! Uploads moved within the order of the queue: by themselves, and as what is in a folder.
//!
//! [`Queue::apply_move`] alone changes the order, with the same [`Move`] when it happens and when it is
//! read from the log.

use std::collections::HashSet;

use super::Queue;
use crate::{
    engine::protocol::{FolderId, LineId, Place, UploadId},
    session::{Move, MoveTarget},
};

impl From<Place> for MoveTarget {
    fn from(place: Place) -> Self {
        match place {
            Place::Top => Self::Top,
            Place::Up => Self::Up,
            Place::Down => Self::Down,
            Place::Bottom => Self::Bottom,
        }
    }
}

impl Queue {
    /// Moves uploads within the order. Returns whether that changed it.
    pub fn apply_move(&mut self, moving: &Move) -> bool {
        self.tidy();
        let mut moved = vec![false; self.uploads.next_id() as usize];
        for (first, last) in &moving.moved {
            let end = moved.len().min((*last as usize).saturating_add(1));
            if let Some(stretch) = moved.get_mut(*first as usize..end) {
                stretch.fill(true);
            }
        }
        let is = |id: UploadId| moved[id as usize];
        let order = &mut self.order;
        let changed = match moving.to {
            MoveTarget::Top => put_first(order, is),
            MoveTarget::Bottom => put_first(order, |id| !is(id)),
            MoveTarget::Up => {
                let mut changed = false;
                for at in 1..order.len() {
                    if is(order[at]) && !is(order[at - 1]) {
                        order.swap(at, at - 1);
                        changed = true;
                    }
                }
                changed
            }
            MoveTarget::Down => {
                let mut changed = false;
                for at in (1..order.len()).rev() {
                    if is(order[at - 1]) && !is(order[at]) {
                        order.swap(at, at - 1);
                        changed = true;
                    }
                }
                changed
            }
            MoveTarget::Before(target) => {
                let at = order.iter().position(|id| *id == target);
                match at.filter(|_| !is(target)) {
                    Some(at) => {
                        let (before, behind) = order.split_at_mut(at);
                        let changed = put_first(before, |id| !is(id));
                        put_first(behind, is) || changed
                    }
                    None => false,
                }
            }
        };
        if changed {
            self.first_queued = 0;
            self.reshaped();
        }
        changed
    }

    /// What moving uploads of a folder one up or down among its neighbors comes to: past a file, or past
    /// all of another folder. `None` where there is no such neighbor.
    pub fn folder_move(&mut self, ids: Vec<UploadId>, folder: FolderId, up: bool) -> Option<Move> {
        self.tidy();
        let folders = &self.folders;
        // One that is all there is in the folder around it is shown together with that.
        let same =
            |outer: &FolderId| folders.totals(*outer).counts == folders.totals(folder).counts;
        let top = folders.common();
        let above = folders.upwards(folder).take_while(|at| *at != top);
        let folder = above.take_while(same).last().unwrap_or(folder);
        let around = folders.parent(folder);
        let beside = |id: UploadId| {
            let at = folders.of(id);
            let mut inside = folders.upwards(at).take_while(|at| *at != around);
            match inside.by_ref().last() {
                Some(other) => folders
                    .is_in(other, around)
                    .then_some(LineId::Folder(other)),
                None => (at == around).then_some(LineId::Upload(id)),
            }
        };
        // What is beside it, in the order of the first of each, up to the next behind it.
        let mut first: Vec<(LineId, usize)> = Vec::new();
        let mut known = HashSet::new();
        for (at, id) in self.order.iter().enumerate() {
            let Some(line) = beside(*id).filter(|line| known.insert(*line)) else {
                continue;
            };
            let behind = first
                .last()
                .is_some_and(|(last, _)| *last == LineId::Folder(folder));
            first.push((line, at));
            if behind || (up && line == LineId::Folder(folder)) {
                break;
            }
        }
        let own = first
            .iter()
            .position(|(line, _)| *line == LineId::Folder(folder))?;
        let to = if up {
            first[own.checked_sub(1)?].1
        } else {
            let (line, at) = *first.get(own + 1)?;
            let run = self.order[at..].iter();
            at + run.take_while(|id| beside(**id) == Some(line)).count()
        };
        let moved: HashSet<UploadId> = ids.iter().copied().collect();
        let stays = self.order[to..].iter().find(|id| !moved.contains(id));
        let to = stays.map_or(MoveTarget::Bottom, |id| MoveTarget::Before(*id));
        Some(Move::new(ids, to))
    }
}

/// Puts those first that `is` is true of; all keep the order they have among themselves. Returns whether
/// that changed the order.
fn put_first(ids: &mut [UploadId], is: impl Fn(UploadId) -> bool) -> bool {
    let (mut first, mut others) = (0, Vec::new());
    let mut changed = false;
    for at in 0..ids.len() {
        let id = ids[at];
        if is(id) {
            changed |= first != at;
            ids[first] = id;
            first += 1;
        } else {
            others.push(id);
        }
    }
    ids[first..].copy_from_slice(&others);
    changed
}
