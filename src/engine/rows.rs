//! Uploads and folders as the rows that a screen shows.

use std::collections::HashMap;

use super::{
    flights::Flights,
    folders::Folders,
    protocol::{Entry, FolderId, FolderRow, Line, LineId, Row, UploadId},
    queue::Queue,
    record::{Begun, Hold, Step, Upload},
    tree::Tree,
};

/// What is on its way in each folder: bytes, and bytes a second.
type Moving = HashMap<FolderId, (u64, u64)>;

/// The lines of a tree from `start` on, so many; those of uploads that are gone are left out.
#[must_use]
pub fn lines(
    queue: &Queue,
    flights: &Flights,
    tree: &Tree,
    start: usize,
    count: usize,
) -> Vec<Line> {
    let folders = queue.folders();
    let moving = moving(folders, flights);
    let end = start.saturating_add(count).min(tree.len());
    let line = |at: usize| {
        let id = tree.line(at)?;
        let entry = match id {
            LineId::Upload(upload) => Entry::Upload(row(upload, queue.get(upload)?, flights)),
            LineId::Folder(at) => Entry::Folder(folder(folders, tree, at, &moving)),
        };
        Some(Line {
            depth: tree.depth(folders, id),
            parent: tree.parent(folders, id),
            entry,
        })
    };
    (start..end).filter_map(line).collect()
}

/// One folder as a row.
#[must_use]
pub fn folder(folders: &Folders, tree: &Tree, id: FolderId, moving: &Moving) -> FolderRow {
    let (in_flight, rate) = moving.get(&id).copied().unwrap_or_default();
    FolderRow {
        id,
        path: folders.path(id),
        name: folders.tail(id, tree.names(id)),
        folded: tree.folded(id),
        totals: *folders.totals(id),
        matching: tree.matching_in(id),
        in_flight,
        rate,
    }
}

/// What is on its way in each folder that anything is on its way in.
#[must_use]
pub fn moving(folders: &Folders, flights: &Flights) -> Moving {
    let mut moving = Moving::new();
    for id in flights.uploads() {
        let taken = flights.in_flight_of(id);
        let rate = flights.rate(id);
        for folder in folders.upwards(folders.of(id)) {
            let sums = moving.entry(folder).or_default();
            *sums = (sums.0 + taken, sums.1 + rate);
        }
    }
    moving
}

/// One upload as a row.
#[must_use]
pub fn row(id: UploadId, upload: &Upload, flights: &Flights) -> Row {
    let begun = upload.begun();
    let size = upload.identity.size;
    let acknowledged = upload.acknowledged().min(size);
    let in_flight = flights.in_flight_of(id);
    let rate = flights.rate(id);
    let left = size - acknowledged;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (parts_retrying, parts_failed) = begun.map_or((0, 0), Begun::troubles);
    Row {
        id,
        path: upload.path.to_path_buf(),
        size,
        acknowledged,
        in_flight: in_flight.min(left),
        state: upload.state(),
        rate,
        eta: (rate > 0).then(|| left.saturating_sub(in_flight) / rate),
        parts: begun.map_or(0, Begun::count),
        parts_done: begun.map_or(0, |begun| count(begun.progress.receipts.len())),
        parts_running: begun.map_or(0, |begun| count(begun.running.len())),
        parts_failed,
        parts_retrying,
        note: note(upload),
    }
}

fn note(upload: &Upload) -> Option<String> {
    match &upload.hold {
        Hold::Failed(error) | Hold::Changed(error) => {
            let next = error.kind.next_step();
            let step = if next.is_empty() {
                String::new()
            } else {
                format!(" — {next}")
            };
            Some(format!("{error}{step}"))
        }
        Hold::Skipped(error) => Some(error.message.clone()),
        Hold::None | Hold::Paused => {
            let begun = upload.begun()?;
            if let Some(words) = &begun.waits_for {
                return Some(words.to_string());
            }
            let error = begun.wait.as_ref().map(|wait| &wait.error);
            // Without a task, nothing is about to be retried.
            let part = || {
                if begun.step == Step::Idle {
                    return None;
                }
                begun
                    .troubled
                    .values()
                    .next_back()
                    .map(|trouble| &trouble.error)
            };
            error.or_else(part).map(|error| error.message.clone())
        }
    }
}
