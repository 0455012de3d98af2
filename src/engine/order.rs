//! Which uploads a filter lets through, and what uploads and folders are sorted by; pure.

use std::{cmp::Reverse, path::Path};

use super::{
    flights::Flights,
    folders::Folders,
    protocol::{Filter, FolderId, LineId, Show, Sort, SortBy, State, UploadId},
    queue::Queue,
    rows::moving,
};

/// The uploads a filter lets through, sorted.
#[must_use]
pub fn select(queue: &Queue, flights: &Flights, filter: &Filter, sort: Sort) -> Vec<UploadId> {
    let through = through(queue, filter);
    let through = |id: &UploadId| through(*id);
    let mut ids: Vec<UploadId> = queue.order().iter().copied().filter(through).collect();
    put_in_order(&mut ids, sort, |id| {
        upload_key(queue, flights, *id, sort.by, |path| path)
    });
    ids
}

/// Puts what lies in one folder in order: files by what they are, folders by what they add up to.
pub fn arrange<'a>(
    queue: &'a Queue,
    flights: &'a Flights,
    sort: Sort,
) -> impl FnMut(&mut [LineId]) + use<'a> {
    let folders = queue.folders();
    let moving = moving(folders, flights);
    move |entries| {
        put_in_order(entries, sort, |entry| match *entry {
            LineId::Upload(id) => upload_key(queue, flights, id, sort.by, file_name),
            LineId::Folder(id) => {
                let rate = moving.get(&id).map_or(0, |(_, rate)| *rate);
                folder_key(folders, id, sort.by, rate)
            }
        });
    }
}

/// What lines are sorted by.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    /// As they came.
    None,
    /// Folder by folder.
    Name(&'a Path),
    Size(u64),
    State(State),
    /// The fastest first.
    Speed(Reverse<u64>),
    Progress(u64),
}

/// Sorts lines by their keys.
fn put_in_order<'a, T>(lines: &mut [T], sort: Sort, key: impl Fn(&T) -> Key<'a>) {
    if sort.by != SortBy::Queue {
        lines.sort_by_cached_key(key);
    }
    if sort.descending {
        lines.reverse();
    }
}

/// An upload's; `name` takes from its path what is its name here.
fn upload_key<'a>(
    queue: &'a Queue,
    flights: &Flights,
    id: UploadId,
    by: SortBy,
    name: impl Fn(&'a Path) -> &'a Path,
) -> Key<'a> {
    let Some(upload) = queue.get(id) else {
        return Key::None;
    };
    match by {
        SortBy::Queue => Key::None,
        SortBy::Name => Key::Name(name(&upload.path)),
        SortBy::Size => Key::Size(upload.identity.size),
        SortBy::State => Key::State(upload.state()),
        SortBy::Speed => Key::Speed(Reverse(flights.rate(id))),
        SortBy::Progress => Key::Progress(share(upload.acknowledged(), upload.identity.size)),
    }
}

/// A folder's, by what it adds up to; `rate` in bytes a second.
fn folder_key(folders: &Folders, id: FolderId, by: SortBy, rate: u64) -> Key<'_> {
    let totals = folders.totals(id);
    match by {
        SortBy::Queue => Key::None,
        SortBy::Name => Key::Name(Path::new(folders.name(id))),
        SortBy::Size => Key::Size(totals.bytes),
        SortBy::State => Key::State(totals.state()),
        SortBy::Speed => Key::Speed(Reverse(rate)),
        SortBy::Progress => Key::Progress(share(totals.acknowledged, totals.bytes)),
    }
}

/// The last of a path's names alone.
fn file_name(path: &Path) -> &Path {
    path.file_name().map_or(path, Path::new)
}

/// In millionths.
fn share(part: u64, whole: u64) -> u64 {
    let share = u128::from(part) * 1_000_000 / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// Whether a filter lets an upload through.
pub fn through<'a>(queue: &'a Queue, filter: &Filter) -> impl Fn(UploadId) -> bool + 'a {
    let show = filter.show;
    let text = filter.text.to_lowercase();
    move |id| {
        queue.get(id).is_some_and(|upload| {
            let troubled = || upload.begun().is_some_and(|begun| begun.troubles().1 > 0);
            (show == Show::All || show.shows(upload.state(), troubled()))
                && (text.is_empty() || upload.path.to_string_lossy().to_lowercase().contains(&text))
        })
    }
}
