//! Sessions whose logs were damaged: one kind of table lost at a time, and then whatever a hole takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    ops::Range,
    path::Path,
};

use proptest::prelude::*;

use super::*;
use crate::{
    add_paths::AddPaths,
    destination::Ticket,
    engine::protocol::State,
    error::{Error, Kind},
    identity::Identity,
    ids::{Claim, MediaId},
    plan::PartPlan,
    session::{
        Header, Kept, Milestone, Move, MoveTarget, Orphan, Times, Walk,
        folder::{self, Open},
        record::{
            FORMAT, Record, write_change, write_move, write_orphan, write_settings, write_upload,
        },
        walks::{write_walk, write_walk_over},
    },
    settings::Settings,
};

const SIZE: u64 = 10 << 20;

fn plan(mib: u64) -> PartPlan {
    PartPlan::split(SIZE, NonZeroU64::new(mib << 20).unwrap()).unwrap()
}

fn ticket(media: &str) -> Ticket {
    Ticket::of(media).with("token", "t".repeat(100))
}

fn file() -> Identity {
    Identity::new(SIZE, 1, 0, 1)
}

/// All changes of a start under this marker, and a part of it.
fn start(marker: &str, media: &str) -> Vec<Change> {
    vec![
        Change::Begun(marker.into(), None),
        Change::Claimed(Claim {
            object: 1,
            epoch: 1,
        }),
        Change::Plan(plan(1)),
        Change::Ticket(ticket(media)),
        Change::Part(3, Some([1; 16]).into()),
    ]
}

/// A queue of one started upload, and one that waits.
fn queue() -> Queue {
    let mut queue = Queue::default();
    for name in ["/t/a.mp4", "/t/b.mp4"] {
        queue.add(name.into(), file(), false).unwrap();
    }
    for change in start("m", "old") {
        queue.apply(1, &change);
    }
    queue
}

/// That queue after something was lost and these changes followed.
fn after(id: UploadId, changes: Vec<Change>) -> Queue {
    let mut queue = queue();
    queue.restore(Record::Gap).unwrap();
    for change in changes {
        queue.restore(Record::Log(id, change)).unwrap();
    }
    queue.restored();
    queue
}

fn progress(queue: &Queue, id: UploadId) -> Option<Progress> {
    queue.kept_of(id).unwrap().progress
}

#[test]
fn a_started_upload_is_queued_as_if_it_had_not_been_started() {
    let queue = after(1, vec![Change::Part(4, None.into())]);
    assert_eq!(progress(&queue, 1), None);
    let upload = queue.get(1).unwrap();
    assert_eq!(
        (upload.state(), upload.acknowledged(), upload.identity),
        (State::Queued, 0, file())
    );
    // What a person decided stays.
    let queue = after(1, vec![Change::Paused]);
    assert_eq!(queue.get(1).unwrap().state(), State::Paused);
    assert_eq!(progress(&queue, 1), None);
}

#[test]
fn what_was_started_behind_all_that_is_lost_is_known() {
    for id in [1, 2] {
        let progress = progress(&after(id, start("n", "new")), id).unwrap();
        assert_eq!((&*progress.marker, progress.receipts.len()), ("n", 1));
        assert_eq!(progress.ticket, Some(ticket("new")));
    }
}

#[test]
fn whatever_of_a_start_is_lost_nothing_of_it_is_believed() {
    for lost in 1..=5 {
        for id in [1, 2] {
            let queue = after(id, start("n", "new").split_off(lost));
            assert_eq!(progress(&queue, id), None, "{lost} tables of {id} are lost");
            assert_eq!(queue.get(id).unwrap().state(), State::Queued);
        }
    }
    // Of another plan, and of more parts than the one that is known.
    let queue = after(1, vec![Change::Part(90, None.into())]);
    assert_eq!(progress(&queue, 1), None);
}

#[test]
fn an_upload_that_is_complete_or_done_stays_that_with_its_media_object() {
    let kept = progress(&after(1, vec![Change::Completed]), 1).unwrap();
    assert!(kept.completed);
    assert_eq!(kept.ticket, Some(ticket("old")));
    for (id, media) in [(1, "old"), (2, "new")] {
        let mut changes = start("n", media).split_off(3);
        changes.extend([Change::Completed, Change::Done]);
        let queue = after(id, changes);
        assert_eq!(queue.get(id).unwrap().state(), State::Done);
        assert_eq!(queue.get(id).unwrap().media(), Some(&MediaId::from(media)));
    }
}

#[test]
fn a_complete_upload_that_was_started_over_in_a_hole_is_not_complete() {
    let mut queue = queue();
    queue.apply(1, &Change::Completed);
    queue.restore(Record::Gap).unwrap();
    for change in start("n", "new").split_off(3) {
        queue.restore(Record::Log(1, change)).unwrap();
    }
    queue.restored();
    assert_eq!(progress(&queue, 1), None);
}

fn walk(id: WalkId, over: bool) -> Walk {
    Walk {
        id,
        add: AddPaths {
            paths: vec!["/t".into()],
            ..AddPaths::default()
        },
        mounts: Vec::new(),
        over,
    }
}

fn open_walks(queue: &Queue) -> Vec<WalkId> {
    queue.walks.open().map(|walk| walk.id).collect()
}

#[test]
fn a_scan_whose_files_may_be_lost_is_not_over_and_others_are() {
    let mut queue = queue();
    queue.restore(Record::Walk(walk(1, false))).unwrap();
    queue.restore(Record::WalkOver(1)).unwrap();
    queue.restore(Record::Walk(walk(2, false))).unwrap();
    queue.restore(Record::Gap).unwrap();
    queue.restore(Record::WalkOver(2)).unwrap();
    queue.restore(Record::Walk(walk(3, false))).unwrap();
    queue.restore(Record::WalkOver(3)).unwrap();
    queue.restored();
    assert_eq!(open_walks(&queue), [2]);
}

#[test]
fn a_lost_upload_has_its_scan_find_it_again() {
    // It is known to be lost by the id behind it, or by a change of it.
    for by_id in [true, false] {
        let mut queue = queue();
        queue.restore(Record::Walk(walk(1, false))).unwrap();
        queue.restore(Record::WalkOver(1)).unwrap();
        queue.restore(Record::Gap).unwrap();
        assert!(open_walks(&queue).is_empty());
        let restored = if by_id {
            let kept = super::super::queued(4, "/t/d.mp4".into(), file());
            queue.restore(Record::Upload(Box::new(kept)))
        } else {
            queue.restore(Record::Log(3, Change::Paused))
        };
        assert_eq!(restored.is_ok(), by_id);
        queue.restored();
        assert_eq!(open_walks(&queue), [1]);
    }
}

/// What was written to a log: which table of it is of which upload.
struct World {
    session: Open,
    queue: Queue,
    random: fastrand::Rng,
    /// The upload of each table of the log, if it is one's.
    tables: Vec<Option<UploadId>>,
    /// All that was ever written of an upload.
    written: BTreeMap<UploadId, Vec<Change>>,
    objects: u32,
}

impl World {
    fn new(path: &Path, seed: u64) -> Self {
        let header = Header {
            format: FORMAT,
            id: "s".into(),
            owner: "o".into(),
            destination: "d".into(),
            settings: Settings::default(),
        };
        let session = folder::create_at(path, header).unwrap();
        Self {
            session,
            queue: Queue::default(),
            random: fastrand::Rng::with_seed(seed),
            tables: Vec::new(),
            written: BTreeMap::new(),
            objects: 0,
        }
    }

    fn append(&mut self, id: Option<UploadId>, text: String) {
        assert_eq!(text.matches("\n\n").count(), 1);
        self.tables.push(id);
        self.session.store.append(text);
    }

    fn change(&mut self, id: UploadId, change: Change) {
        self.queue.apply(id, &change);
        let mut text = String::new();
        write_change(&mut text, id, &change);
        self.append(Some(id), text);
        self.written.entry(id).or_default().push(change);
    }

    fn add(&mut self) {
        let path = format!("/archive/a film with a name {}.mp4", self.random.u32(..));
        let identity = Identity::new(SIZE, 1, 0, self.random.u64(1..1000));
        let kept = self.queue.add(path.into(), identity, false).unwrap();
        let mut text = String::new();
        write_upload(&mut text, &kept);
        self.append(Some(kept.id), text);
        self.written.insert(kept.id, Vec::new());
    }

    fn start(&mut self, id: UploadId) {
        self.objects += 1;
        self.change(id, Change::Begun(format!("marker{}", self.objects), None));
        let now = jiff::Timestamp::from_second(1_700_000_000).unwrap();
        let at = Change::At(Milestone::Begun, now.into());
        self.change(id, at);
        self.change(id, Change::Plan(plan(1)));
        let media = format!("media{}", self.objects);
        self.change(id, Change::Ticket(ticket(&media)));
    }

    /// Something that may happen to a session.
    fn step(&mut self) {
        let ids: Vec<UploadId> = self.queue.order().to_vec();
        let id = self.random.choice(&ids).copied();
        let Some(id) = id.filter(|id| self.queue.get(*id).is_some() && self.random.u8(..12) > 0)
        else {
            return self.add();
        };
        let begun = self.queue.begun(id).cloned();
        let done = self.queue.get(id).unwrap().state() == State::Done;
        let error = || Error::new(Kind::Server, "no");
        let Some(begun) = begun else {
            return match self.random.u8(..12) {
                _ if done => {}
                0 => self.change(id, Change::Paused),
                1 => self.change(id, Change::Skipped(error())),
                2 => self.change(id, Change::Removed),
                3 => self.other(id),
                _ => {
                    // The first one that is queued is the next to start.
                    if let Some(next) = self.queue.next_queued(|_, _| false)
                        && self.queue.begun(next).is_none()
                    {
                        self.start(next);
                    }
                }
            };
        };
        let part = self.random.u32(1..=begun.count());
        match self.random.u8(..24) {
            0 => self.change(id, Change::Lost([part].into())),
            1 => self.change(id, Change::Paused),
            2 => self.change(id, Change::Failed(error())),
            3 => self.change(id, Change::Released),
            4 => {
                self.change(id, Change::Clearing);
                let identity = Identity::new(SIZE, 2, 0, self.random.u64(1..1000));
                self.change(id, Change::Fresh(identity));
                self.start(id);
            }
            5 => {
                let size = NonZeroU64::new(self.random.u64(2..5) << 20).unwrap();
                let from = begun
                    .progress
                    .receipts
                    .keys()
                    .next_back()
                    .map_or(1, |n| n + 1);
                // Of a plan of one size the file does not say what it was made from.
                let plan = begun.plan().unwrap().resplit(from, size);
                if let Some(plan) = plan.filter(|plan| plan.runs().len() > 1) {
                    self.change(id, Change::Plan(plan));
                }
            }
            6 => {
                self.change(id, Change::Completed);
                self.change(id, Change::Done);
            }
            7 => self.change(id, Change::Removed),
            8 => self.other(id),
            _ => {
                let md5 = Some(self.random.u128(..).to_ne_bytes());
                self.change(id, Change::Part(part, md5.into()));
            }
        }
    }

    /// What is of no upload alone.
    fn other(&mut self, id: UploadId) {
        let mut text = String::new();
        match self.random.u8(..4) {
            0 => {
                let moving = Move::new(vec![id], MoveTarget::Top);
                if self.queue.apply_move(&moving) {
                    write_move(&mut text, &moving);
                }
            }
            1 => write_settings(&mut text, &Settings::default()),
            2 => {
                let walk = walk(self.queue.walks.next_id(), false);
                write_walk(&mut text, &walk);
                self.queue.walks.insert(walk);
            }
            _ => {
                let open = self.queue.walks.open().map(|walk| walk.id).next();
                if let Some(walk) = open {
                    self.queue.walk_over(walk);
                    write_walk_over(&mut text, walk);
                } else {
                    self.objects += 1;
                    let orphan = Orphan {
                        marker: format!("orphan{}", self.objects),
                        account: None,
                        media: None,
                        path: "/t".into(),
                        at: Times::default().begun,
                        gone: false,
                    };
                    write_orphan(&mut text, &orphan);
                    self.queue.note_orphan(orphan);
                }
            }
        }
        if !text.is_empty() {
            self.append(None, text);
        }
    }
}

/// What happens to a stretch of the file.
#[derive(Debug, Clone)]
enum Accident {
    Zeros,
    Random(u64),
    Removed,
}

fn accident() -> impl Strategy<Value = Accident> {
    prop_oneof![
        Just(Accident::Zeros),
        any::<u64>().prop_map(Accident::Random),
        Just(Accident::Removed),
    ]
}

/// Where each table of a log stands, and where the log begins.
fn places(bytes: &[u8]) -> (usize, Vec<Range<usize>>) {
    let text = std::str::from_utf8(bytes).unwrap();
    let begins = text.find("# The log begins here").unwrap();
    let log = begins + text[begins..].find("\n\n").unwrap() + 2;
    let mut places = Vec::new();
    let mut at = log;
    for table in text[log..].split_inclusive("\n\n") {
        places.push(at..at + table.len());
        at += table.len();
    }
    (log, places)
}

proptest! {
    #[test]
    fn whatever_a_hole_in_a_log_takes_the_session_opens_with_all_else_and_nothing_made_up(
        seed: u64, steps in 1usize..250, snapshot in 0usize..250,
        at: prop::sample::Index, length in 1usize..=4096, accident in accident(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.toml");
        let mut world = World::new(&path, seed);
        for step in 0..steps {
            if step == snapshot {
                let Open { store, header, .. } = &mut world.session;
                store.rewrite(|out| world.queue.write_session(header, out)).unwrap();
                world.tables.clear();
            }
            world.step();
        }
        let World { session, queue: whole, tables, written, .. } = world;
        drop(session);
        let bytes = std::fs::read(&path).unwrap();
        let (log, places) = places(&bytes);
        prop_assert_eq!(places.len(), tables.len());
        if places.is_empty() {
            return Ok(());
        }
        let begin = log + at.index(bytes.len() - log);
        let end = (begin + length).min(bytes.len());
        let mut damaged = bytes.clone();
        match accident {
            Accident::Zeros => damaged[begin..end].fill(0),
            Accident::Random(seed) => fastrand::Rng::with_seed(seed).fill(&mut damaged[begin..end]),
            Accident::Removed => drop(damaged.drain(begin..end)),
        }
        std::fs::write(&path, &damaged).unwrap();
        let touched = |place: &Range<usize>| place.start < end && begin < place.end;
        let lost: BTreeSet<UploadId> = places
            .iter()
            .zip(&tables)
            .filter(|(place, _)| touched(place))
            .filter_map(|(_, id)| *id)
            .collect();
        // A file that is shorter by whole tables, or ends within one, is what a crash leaves too.
        let is_cut = matches!(accident, Accident::Removed) && end + 1 >= bytes.len();
        let begun_at = |id| {
            let is_start = |at: &usize| {
                tables[*at] == Some(id)
                    && std::str::from_utf8(&bytes[places[*at].clone()]).unwrap().contains("\nmarker = ")
            };
            (0..tables.len()).rfind(is_start).map(|at| places[at].start)
        };

        let (mut session, queue) = Queue::open(&path).unwrap();
        for (id, all) in &written {
            let (is, was) = (queue.kept_of(*id), whole.kept_of(*id));
            let is_whole = !lost.contains(id);
            prop_assert!(!is_whole || is.is_some() == was.is_some(), "upload {}", id);
            let Some(is) = is else { continue };
            // A start behind the hole is known, and one before it counts only where it ended.
            if let (true, Some(was)) = (is_whole, &was) {
                prop_assert_eq!((&is.path, is.state), (&was.path, was.state), "upload {}", id);
                let is_behind = begun_at(*id).is_some_and(|at| at >= end);
                if is_behind || is.progress.is_some() || was.state == State::Done {
                    let progress = |kept: &Kept| kept.progress.clone().map(|mut progress| {
                        if progress.completed || progress.clearing {
                            // What it was complete with is known to the account.
                            (progress.plan, progress.receipts) = (None, [].into());
                        }
                        progress
                    });
                    prop_assert_eq!(progress(&is), progress(was), "upload {}", id);
                }
            }
            // Nothing is made up, and no two starts are mixed.
            let Some(progress) = is.progress.filter(|_| is.state != State::Done) else { continue };
            let begins = |change: &Change| *change == Change::Begun(progress.marker.clone(), None);
            let first = all.iter().position(begins);
            prop_assert!(first.is_some(), "upload {}: {:?}", id, progress);
            let of_start = &all[first.unwrap()..];
            for (number, receipt) in &progress.receipts {
                prop_assert!(of_start.contains(&Change::Part(*number, receipt.clone())));
            }
            let plan = progress.plan.clone().map(Change::Plan);
            prop_assert!(plan.is_none_or(|plan| of_start.contains(&plan)));
            let ticket = progress.ticket.clone().map(Change::Ticket);
            prop_assert!(ticket.is_none_or(|ticket| of_start.contains(&ticket)));
            if !is_whole && !is_cut {
                let is_known = progress.completed || progress.clearing;
                let is_behind = begun_at(*id).is_none_or(|at| at >= end);
                prop_assert!(is_known || is_behind, "upload {}: {:?}", id, progress);
            }
        }
        for id in queue.order() {
            prop_assert!(written.contains_key(id));
        }
        // Rewritten, it says all that and nothing is damaged any more.
        let Open { store, header, .. } = &mut session;
        store.rewrite(|out| queue.write_session(header, out)).unwrap();
        drop(session);
        let (session, again) = Queue::open(&path).unwrap();
        prop_assert_eq!((session.torn, session.damage.len()), (0, 0));
        prop_assert!(again.kept().eq(queue.kept()));
    }
}
