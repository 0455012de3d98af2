//! Filtered and sorted orders of the queue, and the rows a screen asks for. An order is made once and
//! kept until the queue changes, and made anew no more often than it is cheap to.

use std::{cmp::Reverse, sync::Arc};

use tokio::time::{Duration, Instant};

use super::{
    flights::Flights,
    protocol::{Filter, Row, Show, Sort, SortBy, State, UploadId, Window, WindowQuery},
    queue::Queue,
    upload::{Hold, Upload},
};

/// How many orders are kept: a screen or two, each with what it showed before.
const KEPT: usize = 4;

/// An order that changes by itself (speed, progress) is made anew this often.
const FRESH: Duration = Duration::from_secs(1);

/// Making an order may take one part in this many of the time.
const SHARE: u32 = 20;

/// The orders that are kept.
#[derive(Debug, Default)]
pub struct Orders {
    kept: Vec<Order>,
}

#[derive(Debug)]
struct Order {
    filter: Filter,
    sort: Sort,
    version: u64,
    made: Instant,
    took: Duration,
    ids: Arc<[UploadId]>,
}

impl Orders {
    /// The uploads a filter lets through, sorted.
    pub fn get(
        &mut self,
        queue: &Queue,
        flights: &Flights,
        filter: &Filter,
        sort: Sort,
    ) -> Arc<[UploadId]> {
        let now = Instant::now();
        let at = self
            .kept
            .iter()
            .position(|o| o.filter == *filter && o.sort == sort);
        if let Some(at) = at {
            let order = self.kept.remove(at);
            let moves = matches!(sort.by, SortBy::Speed | SortBy::Progress);
            let age = now - order.made;
            let stale = order.version != queue.version() || (moves && age >= FRESH);
            if !stale || age < order.took * SHARE {
                let ids = Arc::clone(&order.ids);
                self.kept.push(order);
                return ids;
            }
        }
        let ids: Arc<[UploadId]> = select(queue, flights, filter, sort).into();
        if self.kept.len() >= KEPT {
            self.kept.remove(0);
        }
        let (filter, version) = (filter.clone(), queue.version());
        let took = now.elapsed();
        self.kept.push(Order {
            filter,
            sort,
            version,
            made: now,
            took,
            ids: Arc::clone(&ids),
        });
        ids
    }

    /// The rows of a window.
    pub fn window(&mut self, queue: &Queue, flights: &Flights, query: &WindowQuery) -> Window {
        let plain = query.filter == Filter::default() && query.sort == Sort::default();
        let made;
        let ids: &[UploadId] = if plain {
            queue.order()
        } else {
            made = self.get(queue, flights, &query.filter, query.sort);
            &made
        };
        let wanted = query.rows.min(WindowQuery::MOST_ROWS);
        let mut start = query.start.min(ids.len().saturating_sub(wanted));
        let place = |id: UploadId| ids.iter().position(|other| *other == id);
        if query.follow_running
            && let Some(at) = alive(queue, flights, ids, query.follow)
        {
            // What comes next is worth more rows than what is behind.
            if at < start || at >= start + (wanted - wanted / 4) {
                start = at.saturating_sub(wanted / 4);
                start = start.min(ids.len().saturating_sub(wanted));
            }
        } else if let Some(at) = query.follow.and_then(place)
            && wanted > 0
        {
            start = start.clamp((at + 1).saturating_sub(wanted), at);
        }
        let shown = ids.iter().skip(start).take(wanted);
        let rows = shown
            .filter_map(|id| Some(row(*id, queue.get(*id)?, flights)))
            .collect();
        Window {
            start,
            rows,
            matching: ids.len(),
            total: queue.len(),
            folder: queue.folder().to_owned(),
        }
    }
}

/// The place of `followed` while its parts are being sent, else of the first upload with parts in
/// flight.
fn alive(
    queue: &Queue,
    flights: &Flights,
    ids: &[UploadId],
    followed: Option<UploadId>,
) -> Option<usize> {
    let sent = |id: &UploadId| {
        let upload = queue.get(*id);
        upload.is_some_and(|upload| upload.state() == State::Uploading)
    };
    let kept = followed
        .filter(sent)
        .and_then(|id| ids.iter().position(|other| *other == id));
    kept.or_else(|| {
        let flying = flights.uploads();
        if flying.is_empty() {
            return None;
        }
        ids.iter().position(|id| flying.contains(id))
    })
}

/// The uploads a filter lets through, sorted.
#[must_use]
pub fn select(queue: &Queue, flights: &Flights, filter: &Filter, sort: Sort) -> Vec<UploadId> {
    let text = filter.text.to_lowercase();
    let through = |id: &UploadId| {
        queue.get(*id).is_some_and(|upload| {
            shows(filter.show, upload)
                && (text.is_empty() || upload.path.to_string_lossy().to_lowercase().contains(&text))
        })
    };
    let mut ids: Vec<UploadId> = queue.order().iter().copied().filter(through).collect();
    let upload = |id: &UploadId| queue.get(*id);
    match sort.by {
        SortBy::Queue => {}
        SortBy::Name => ids.sort_by(|a, b| {
            upload(a)
                .map(|upload| &upload.path)
                .cmp(&upload(b).map(|upload| &upload.path))
        }),
        SortBy::Size => ids.sort_by_key(|id| upload(id).map(|upload| upload.identity.size)),
        SortBy::State => ids.sort_by_key(|id| upload(id).map(Upload::state)),
        SortBy::Speed => ids.sort_by_cached_key(|id| Reverse(flights.rate(*id))),
        SortBy::Progress => ids.sort_by_key(|id| {
            upload(id).map(|u| {
                u128::from(u.acknowledged()) * 1_000_000 / u128::from(u.identity.size.max(1))
            })
        }),
    }
    if sort.descending {
        ids.reverse();
    }
    ids
}

fn shows(show: Show, upload: &Upload) -> bool {
    let state = upload.state();
    let troubled = || upload.begun().is_some_and(|begun| begun.troubles().1 > 0);
    match show {
        Show::All => true,
        Show::Running => {
            use State::{Completing, Creating, Processing, Uploading};
            matches!(state, Creating | Uploading | Completing | Processing)
        }
        Show::Failed => matches!(state, State::Failed | State::Changed) || troubled(),
        Show::Waiting => matches!(state, State::Queued | State::Paused),
        Show::Done => state == State::Done,
    }
}

/// One upload as a row.
#[must_use]
pub fn row(id: UploadId, upload: &Upload, flights: &Flights) -> Row {
    let begun = upload.begun();
    let size = upload.identity.size;
    let acknowledged = upload.acknowledged().min(size);
    let in_flight: u64 = flights
        .of(id)
        .map(|(_, flight)| flight.progress.taken())
        .sum();
    let rate = flights.rate(id);
    let left = size - acknowledged;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (parts_retrying, parts_failed) = begun.map_or((0, 0), super::upload::Begun::troubles);
    Row {
        id,
        path: upload.path.to_path_buf(),
        size,
        acknowledged,
        in_flight: in_flight.min(left),
        state: upload.state(),
        rate,
        eta: (rate > 0).then(|| left.saturating_sub(in_flight) / rate),
        parts: begun.map_or(0, super::upload::Begun::count),
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
            let error = begun.step_error.as_ref();
            let part = || {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{flights::tests::fly, upload::Step},
        identity::Identity,
        session::Change,
    };

    fn send(queue: &mut Queue, flights: &mut Flights, id: UploadId) {
        queue.apply(id, &Change::Begun("marker".into()));
        queue.with_begun(id, |begun| begun.step = Step::Sending);
        fly(flights, id, 1);
    }

    #[tokio::test]
    async fn a_window_that_follows_what_runs_stays_with_it_while_it_is_sent() {
        let mut queue = Queue::default();
        for number in 0..100 {
            let path = format!("/t/{number}.mp4").into();
            queue.add(path, Identity::new(9, 1, 0, 1)).unwrap();
        }
        let mut flights = Flights::default();
        let shown = |queue: &Queue, flights: &Flights, follow: Option<UploadId>| -> Vec<_> {
            let query = WindowQuery {
                rows: 8,
                follow,
                follow_running: true,
                ..WindowQuery::default()
            };
            let window = Orders::default().window(queue, flights, &query);
            window.rows.iter().map(|row| row.id).collect()
        };
        assert_eq!(shown(&queue, &flights, Some(40))[7], 40);
        send(&mut queue, &mut flights, 60);
        send(&mut queue, &mut flights, 90);
        let around = [58, 59, 60, 61, 62, 63, 64, 65];
        assert_eq!(shown(&queue, &flights, Some(1)), around);
        assert!(shown(&queue, &flights, Some(90)).contains(&90));
        queue.apply(90, &Change::Paused);
        flights.take(90, 1);
        assert_eq!(shown(&queue, &flights, Some(90)), around);
        send(&mut queue, &mut flights, 100);
        flights.take(60, 1);
        assert_eq!(shown(&queue, &flights, Some(100))[7], 100);
    }
}
