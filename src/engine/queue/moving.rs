//! Uploads moved within the order of the queue: by themselves, and as what is in a folder.

use std::collections::HashSet;

use super::Queue;
use crate::engine::protocol::{FolderId, LineId, Place, UploadId};

impl Queue {
    /// Moves uploads within the order, keeping their own.
    pub fn move_to(&mut self, ids: &[UploadId], place: Place) {
        self.tidy();
        let mut moved = vec![false; self.uploads.next_id() as usize];
        for id in ids {
            if let Some(is) = moved.get_mut(*id as usize) {
                *is = true;
            }
        }
        let is = |id: &UploadId| moved[*id as usize];
        match place {
            Place::Top => self.order.sort_by_key(|id| !is(id)),
            Place::Bottom => self.order.sort_by_key(is),
            Place::Up => {
                for at in 1..self.order.len() {
                    if is(&self.order[at]) && !is(&self.order[at - 1]) {
                        self.order.swap(at, at - 1);
                    }
                }
            }
            Place::Down => {
                for at in (1..self.order.len()).rev() {
                    if is(&self.order[at - 1]) && !is(&self.order[at]) {
                        self.order.swap(at, at - 1);
                    }
                }
            }
        }
        self.first_queued = 0;
        self.reshaped();
    }

    /// Moves uploads of a folder one up or down among what is beside it: past a file, or past all of
    /// another folder.
    pub fn move_folder(&mut self, ids: &[UploadId], folder: FolderId, up: bool) {
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
        let Some(own) = first
            .iter()
            .position(|(line, _)| *line == LineId::Folder(folder))
        else {
            return;
        };
        let to = match (
            up,
            own.checked_sub(1).and_then(|at| first.get(at)),
            first.get(own + 1),
        ) {
            (true, Some((_, at)), _) => *at,
            (false, _, Some((line, at))) => {
                let run = self.order[*at..].iter();
                at + run.take_while(|id| beside(**id) == Some(*line)).count()
            }
            _ => return,
        };
        let moved: HashSet<UploadId> = ids.iter().copied().collect();
        let (before, behind) = self.order.split_at(to);
        let stay = |part: &[UploadId]| -> Vec<UploadId> {
            let all = part.iter().copied();
            all.filter(|id| !moved.contains(id)).collect()
        };
        self.order = [stay(before), ids.to_vec(), stay(behind)].concat();
        self.first_queued = 0;
        self.reshaped();
    }
}
