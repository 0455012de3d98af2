//! Orders of the queue that are kept, and the lines of them that a screen asks for. An order is made
//! once and kept until the queue changes in a way that matters to it, and made anew no more often than
//! it is cheap to.

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::{
    flights::Flights,
    order,
    protocol::{
        Entry, Filter, Folds, Line, LineId, Show, Sort, SortBy, State, UploadId, Window,
        WindowQuery,
    },
    queue::Queue,
    rows::{self, row},
    tree::{Tree, near_or_all},
};

/// How many orders are kept: a screen or two, each with what it showed before.
const KEPT: usize = 4;

/// An order that changes by itself (speed, progress) is made anew this often.
const FRESH: Duration = Duration::from_secs(1);

/// Making an order may take one part in this many of the time …
const SHARE: u32 = 20;

/// … unless it takes no longer than this.
const CHEAP: Duration = Duration::from_millis(1);

/// The orders that are kept.
#[derive(Debug, Default)]
pub struct Orders {
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    filter: Filter,
    sort: Sort,
    tree: Option<Folds>,
    version: u64,
    made: Instant,
    took: Duration,
    order: Order,
}

/// What a window is a stretch of.
#[derive(Debug, Clone)]
enum Order {
    Flat(Arc<[UploadId]>),
    Tree(Arc<Tree>),
}

impl Kept {
    fn is_for(&self, query: &WindowQuery) -> bool {
        self.filter == query.filter && self.sort == query.sort && self.tree == query.tree
    }

    /// Whether it may still be shown.
    fn holds(&self, queue: &Queue, now: Instant) -> bool {
        let moves = matches!(self.sort.by, SortBy::Speed | SortBy::Progress);
        let age = now - self.made;
        let stale = self.version != version(queue, &self.filter, self.sort);
        let stale = stale || (moves && age >= FRESH);
        !stale || (self.took > CHEAP && age < self.took * SHARE)
    }
}

/// A number that changes whenever such an order does, as far as it does not change by itself.
fn version(queue: &Queue, filter: &Filter, sort: Sort) -> u64 {
    let by_state = filter.show != Show::All || sort.by == SortBy::State;
    if by_state {
        queue.version()
    } else {
        queue.shape()
    }
}

impl Orders {
    /// The order that a query is about.
    fn get(&mut self, queue: &Queue, flights: &Flights, query: &WindowQuery) -> Order {
        let now = Instant::now();
        if let Some(at) = self.kept.iter().position(|kept| kept.is_for(query)) {
            let kept = self.kept.remove(at);
            if kept.holds(queue, now) {
                let order = kept.order.clone();
                self.kept.push(kept);
                return order;
            }
        }
        let order = make(queue, flights, query);
        if self.kept.len() >= KEPT {
            self.kept.remove(0);
        }
        self.kept.push(Kept {
            filter: query.filter.clone(),
            sort: query.sort,
            tree: query.tree.clone(),
            version: version(queue, &query.filter, query.sort),
            made: now,
            took: now.elapsed(),
            order: order.clone(),
        });
        order
    }

    /// The lines of a window.
    pub fn window(&mut self, queue: &Queue, flights: &Flights, query: &WindowQuery) -> Window {
        let plain = query.filter.is_none() && query.sort == Sort::default();
        let order = match query.tree {
            // The queue itself is this order.
            None if plain => None,
            _ => Some(self.get(queue, flights, query)),
        };
        match order {
            None => flat(queue, flights, queue.order(), query),
            Some(Order::Flat(ids)) => flat(queue, flights, &ids, query),
            Some(Order::Tree(tree)) => of_tree(queue, flights, &tree, query),
        }
    }
}

fn make(queue: &Queue, flights: &Flights, query: &WindowQuery) -> Order {
    let (filter, sort) = (&query.filter, query.sort);
    let Some(folds) = &query.tree else {
        return Order::Flat(order::select(queue, flights, filter, sort).into());
    };
    let plain;
    let ids = if filter.is_none() {
        queue.order()
    } else {
        plain = order::select(queue, flights, filter, Sort::default());
        &plain
    };
    // What was taken out leaves gaps in the order for a moment.
    let there: Vec<UploadId>;
    let ids = if queue.len() < queue.order().len() {
        let known = ids.iter().copied().filter(|id| queue.get(*id).is_some());
        there = known.collect();
        &there
    } else {
        ids
    };
    let sorted = order::arrange(queue, flights, sort);
    let tree = Tree::new(queue.folders(), ids, folds.clone(), sorted);
    Order::Tree(Arc::new(tree))
}

fn flat(queue: &Queue, flights: &Flights, ids: &[UploadId], query: &WindowQuery) -> Window {
    let place = |id: UploadId| near_or_all(ids, 0, query.start, |other| *other == id);
    let wanted = match query.follow {
        Some(LineId::Upload(id)) => Some(id),
        _ => None,
    };
    let alive = || {
        let kept = wanted.filter(|id| is_sent(queue, *id)).and_then(place);
        kept.or_else(|| {
            let flying = flights.uploads();
            if flying.is_empty() {
                return None;
            }
            ids.iter().position(|id| flying.contains(id))
        })
    };
    let alive = query.follow_running.then(alive).flatten();
    let followed = alive.or_else(|| wanted.and_then(place));
    let start = begin(query, ids.len(), followed, alive.is_some());
    let shown = ids.iter().skip(start).take(rows_of(query));
    let line = |id: &UploadId| {
        let entry = Entry::Upload(row(*id, queue.get(*id)?, flights));
        Some(Line {
            depth: 0,
            parent: None,
            entry,
        })
    };
    Window {
        start,
        lines: shown.filter_map(line).collect(),
        length: ids.len(),
        followed,
        matching: ids.len(),
        total: queue.len(),
        folder: queue.folder(),
    }
}

fn of_tree(queue: &Queue, flights: &Flights, tree: &Tree, query: &WindowQuery) -> Window {
    let folders = queue.folders();
    let place = |line: LineId| tree.find(folders, line, query.start);
    let alive = || {
        let flying = flights.uploads();
        let wanted = query.follow.filter(|line| match line {
            LineId::Upload(id) => is_sent(queue, *id),
            LineId::Folder(folder) => {
                let inside = |id: &UploadId| folders.is_in(folders.of(*id), *folder);
                tree.folded(*folder) && flying.iter().any(inside)
            }
        });
        let first = || {
            flying
                .iter()
                .filter_map(|id| place(LineId::Upload(*id)))
                .min()
        };
        wanted.and_then(place).or_else(first)
    };
    let alive = query.follow_running.then(alive).flatten();
    let followed = alive.or_else(|| query.follow.and_then(place));
    let start = begin(query, tree.len(), followed, alive.is_some());
    Window {
        start,
        lines: rows::lines(queue, flights, tree, start, rows_of(query)),
        length: tree.len(),
        followed,
        matching: tree.matching(),
        total: queue.len(),
        folder: queue.folder(),
    }
}

fn is_sent(queue: &Queue, id: UploadId) -> bool {
    queue
        .get(id)
        .is_some_and(|upload| upload.state() == State::Uploading)
}

fn rows_of(query: &WindowQuery) -> usize {
    query.rows.min(WindowQuery::MOST_ROWS)
}

/// The first line of a window on an order of this length, so that what is followed is in it.
#[must_use]
pub fn begin(query: &WindowQuery, length: usize, followed: Option<usize>, alive: bool) -> usize {
    let rows = rows_of(query);
    let last = length.saturating_sub(rows);
    let start = query.start.min(last);
    match followed {
        // What comes next is worth more rows than what is behind.
        Some(at) if alive && (at < start || at >= start + (rows - rows / 4)) => {
            at.saturating_sub(rows / 4).min(last)
        }
        Some(at) if !alive && rows > 0 => start.clamp((at + 1).saturating_sub(rows), at),
        _ => start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{flights::tests::fly, record::Step},
        identity::Identity,
        session::{Change, Move, MoveTarget},
    };

    fn send(queue: &mut Queue, flights: &mut Flights, id: UploadId) {
        queue.apply(id, &Change::Begun("marker".into(), None));
        queue.with_begun(id, |begun| begun.step = Step::Sending);
        fly(flights, id, 1);
    }

    // Time stands still: an order that took long to make is kept for longer.
    #[tokio::test(start_paused = true)]
    async fn a_tree_is_kept_when_states_change_and_made_anew_when_files_come_or_go() {
        let mut queue = Queue::default();
        let add = |queue: &mut Queue, path: &str| {
            queue
                .add(path.into(), Identity::new(9, 1, 0, 1), false)
                .unwrap();
        };
        for path in ["/t/a/1.mov", "/t/b/2.mov", "/t/b/3.mov"] {
            add(&mut queue, path);
        }
        let flights = Flights::default();
        let mut orders = Orders::default();
        let query = WindowQuery {
            rows: 9,
            tree: Some(Folds::default()),
            ..WindowQuery::default()
        };
        let mut tree = |queue: &Queue, query: &WindowQuery| match orders.get(queue, &flights, query)
        {
            Order::Tree(tree) => tree,
            Order::Flat(ids) => panic!("{ids:?}"),
        };
        let first = tree(&queue, &query);
        assert_eq!(first.len(), 5);
        queue.apply(1, &Change::Paused);
        assert!(Arc::ptr_eq(&first, &tree(&queue, &query)));
        // By state it is another matter.
        let waiting = WindowQuery {
            filter: Filter {
                show: Show::Waiting,
                ..Filter::default()
            },
            ..query.clone()
        };
        assert_eq!(tree(&queue, &waiting).matching(), 3);
        queue.apply(1, &Change::Done);
        assert_eq!(tree(&queue, &waiting).matching(), 2);
        assert!(Arc::ptr_eq(&first, &tree(&queue, &query)));
        add(&mut queue, "/t/b/4.mov");
        assert_eq!(tree(&queue, &query).len(), 6);
        queue.apply(1, &Change::Removed);
        let left = tree(&queue, &query);
        assert_eq!((left.len(), left.matching()), (4, 3));
        queue.tidy();
        let top = [4, 2, 3];
        queue.apply_move(&Move::new(vec![top[0]], MoveTarget::Top));
        let lines: Vec<_> = (1..4)
            .filter_map(|at| tree(&queue, &query).line(at))
            .collect();
        assert_eq!(lines, top.map(LineId::Upload));
    }

    #[test]
    fn entries_of_a_folder_are_sorted_by_what_they_are_and_folders_by_what_they_add_up_to() {
        let mut queue = Queue::default();
        for (path, size) in [
            ("/t/b/1.mov", 3),
            ("/t/b/2.mov", 4),
            ("/t/5.mov", 5),
            ("/t/a/9.mov", 1),
            ("/t/c/8.mov", 6),
        ] {
            queue
                .add(path.into(), Identity::new(size, 1, 0, 1), false)
                .unwrap();
        }
        let told = |by, descending| -> Vec<String> {
            let query = WindowQuery {
                rows: 99,
                sort: Sort { by, descending },
                tree: Some(Folds::default()),
                ..WindowQuery::default()
            };
            let window = Orders::default().window(&queue, &Flights::default(), &query);
            let name = |line: &Line| match &line.entry {
                Entry::Folder(folder) => folder.name.display().to_string(),
                Entry::Upload(row) => row.size.to_string(),
            };
            window.lines.iter().map(name).collect()
        };
        assert_eq!(
            told(SortBy::Queue, false),
            ["b", "3", "4", "5", "a", "1", "c", "6"]
        );
        assert_eq!(
            told(SortBy::Name, false),
            ["5", "a", "1", "b", "3", "4", "c", "6"]
        );
        assert_eq!(
            told(SortBy::Size, true),
            ["b", "4", "3", "c", "6", "5", "a", "1"]
        );
    }

    #[tokio::test]
    async fn a_window_that_follows_what_runs_stays_with_it_while_it_is_sent() {
        let mut queue = Queue::default();
        for number in 0..100 {
            let path = format!("/t/{number}.mp4").into();
            queue.add(path, Identity::new(9, 1, 0, 1), false).unwrap();
        }
        let mut flights = Flights::default();
        let shown = |queue: &Queue, flights: &Flights, follow: Option<UploadId>| -> Vec<_> {
            let query = WindowQuery {
                rows: 8,
                follow: follow.map(LineId::Upload),
                follow_running: true,
                ..WindowQuery::default()
            };
            let window = Orders::default().window(queue, flights, &query);
            window.uploads().map(|row| row.id).collect()
        };
        assert_eq!(shown(&queue, &flights, Some(40))[7], 40);
        send(&mut queue, &mut flights, 60);
        send(&mut queue, &mut flights, 90);
        let around = [58, 59, 60, 61, 62, 63, 64, 65];
        assert_eq!(shown(&queue, &flights, Some(1)), around);
        assert!(shown(&queue, &flights, Some(90)).contains(&90));
        queue.apply(90, &Change::Paused);
        flights.end(90, 1);
        assert_eq!(shown(&queue, &flights, Some(90)), around);
        send(&mut queue, &mut flights, 100);
        flights.end(60, 1);
        assert_eq!(shown(&queue, &flights, Some(100))[7], 100);
    }
}
