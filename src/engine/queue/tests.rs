//! A queue and its counters, after every change, in every order.

use std::num::NonZeroU64;

use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::{
    destination::Ticket,
    engine::{
        protocol::{AddPaths, FolderId},
        record::{Sequence, Step},
        schedule::{Room, Start, Waiting, next},
        upload::Need,
    },
    error::{Error, Kind},
    identity::Mount,
    plan::PartPlan,
    session::{
        Change, Header, Milestone, Move, MoveTarget, Walk,
        record::{FORMAT, Record},
    },
    settings::Settings,
};

const MIB: u64 = 1 << 20;

fn file(size: u64) -> Identity {
    Identity::new(size, 1, 0, 1)
}

fn plan(size: u64, part: u64) -> PartPlan {
    PartPlan::split(size, NonZeroU64::new(part).unwrap()).unwrap()
}

fn ticket() -> Ticket {
    Ticket::of("m")
}

/// A queue of files of 10 parts each.
fn queue(files: u32) -> Queue {
    let mut queue = Queue::default();
    for number in 0..files {
        queue
            .add(format!("/t/{number}.mp4").into(), file(10 * MIB), false)
            .unwrap();
    }
    queue
}

fn begin(queue: &mut Queue, id: UploadId) {
    for change in [
        Change::Begun(format!("marker{id}"), None),
        Change::Plan(plan(10 * MIB, MIB)),
        Change::Ticket(ticket()),
    ] {
        queue.apply(id, &change);
    }
    queue.with_begun(id, |begun| begun.step = Step::Sending);
}

/// The counters of what is in a folder as they are when counted anew.
fn counted(queue: &Queue, folder: &Path) -> (Counts, u64, u64) {
    let mut counts = Counts::default();
    let (mut total, mut acknowledged) = (0, 0);
    for id in queue.order() {
        let Some(upload) = queue.get(*id).filter(|one| one.path.starts_with(folder)) else {
            continue;
        };
        counts.add(upload.state());
        if upload.state() != State::Skipped {
            total += upload.identity.size;
            acknowledged += upload.acknowledged();
        }
    }
    (counts, total, acknowledged)
}

#[test]
fn the_same_file_is_queued_once() {
    let mut queue = queue(1);
    assert!(queue.add("/t/0.mp4".into(), file(1), false).is_none());
    queue.apply(1, &Change::Removed);
    queue.tidy();
    assert_eq!(
        queue.add("/t/0.mp4".into(), file(1), false).unwrap().id,
        2,
        "no number is used again"
    );
}

#[test]
fn the_folder_that_is_told_is_one_that_all_files_lie_in() {
    let folder_of = |paths: &[&str]| {
        let mut queue = Queue::default();
        for path in paths {
            queue.add(path.into(), file(1), false).unwrap();
        }
        queue.folder()
    };
    assert_eq!(folder_of(&[]), Path::new(""));
    assert_eq!(folder_of(&["/a/b/1.mov"]), Path::new("/a/b"));
    assert_eq!(
        folder_of(&["/a/b/1.mov", "/a/bc/2.mov", "/a/b/c/3.mov"]),
        Path::new("/a")
    );
    assert_eq!(folder_of(&["/a/1.mov", "/b/2.mov"]), Path::new("/"));
    assert_eq!(folder_of(&["/a/1.mov", "b/2.mov"]), Path::new(""));
}

#[test]
fn an_emptied_queue_tells_the_folder_of_what_comes_next() {
    let mut queue = Queue::default();
    queue.add("/a/1.mov".into(), file(1), false).unwrap();
    queue.apply(1, &Change::Removed);
    queue.add("/b/2.mov".into(), file(1), false).unwrap();
    assert_eq!(queue.folder(), Path::new("/b"));
}

#[test]
fn a_rewritten_session_opens_as_the_same_queue() {
    let mut queue = queue(5);
    begin(&mut queue, 2);
    queue.apply(2, &Change::Part(3, Some([7; 16]).into()));
    let at = jiff::Timestamp::from_second(1_700_000_000).unwrap().into();
    queue.apply(2, &Change::At(Milestone::Begun, at));
    queue.apply(3, &Change::Failed(Error::new(Kind::Refused, "no")));
    begin(&mut queue, 4);
    queue.apply(4, &Change::Done);
    queue.apply(5, &Change::Paused);
    let kept: Vec<_> = queue.kept().collect();
    let (again, text) = rewritten(&queue);
    assert!(!text.contains("\n[[log]]\n"), "{text}");
    assert_eq!(again.kept().collect::<Vec<_>>(), kept);
    assert_eq!(again.bytes().already_there, 11 * MIB);
    assert_eq!(again.bytes().sent, 0);
    assert_eq!(again.get(4).unwrap().media(), Some(&"m".into()));
}

#[test]
fn a_session_that_contradicts_itself_is_refused() {
    let mut queue = queue(1);
    let kept = queue.kept().next().unwrap();
    assert!(
        queue
            .restore(Record::Upload(Box::new(kept.clone())))
            .is_err()
    );
    assert!(queue.restore(Record::Log(99, Change::Done)).is_err());
    let far = Kept {
        id: u32::MAX,
        ..kept
    };
    assert!(queue.restore(Record::Upload(Box::new(far))).is_err());
}

#[test]
fn sizes_that_cant_be_are_refused_before_anything_is_counted_by_them() {
    let mut queue = queue(2);
    queue
        .restore(Record::Log(1, Change::Begun("m".into(), None)))
        .unwrap();
    let plan = Record::Log(1, Change::Plan(plan(20 * MIB, MIB)));
    let refused = queue.restore(plan).unwrap_err().words;
    assert!(
        refused.contains("20971520 bytes") && refused.contains("10485760"),
        "{refused}"
    );
    let huge = Change::Fresh(file(u64::MAX));
    assert!(queue.restore(Record::Log(2, huge)).is_err());
    let huge = Kept {
        id: 3,
        path: "/t/huge.mp4".into(),
        identity: file(u64::MAX),
        times: Times::default(),
        again: false,
        state: State::Queued,
        reason: None,
        account: None,
        progress: None,
        unread: None,
    };
    assert!(queue.restore(Record::Upload(Box::new(huge))).is_err());
    assert_eq!(queue.bytes().total, 20 * MIB);
}

#[test]
fn what_could_not_be_read_is_kept_as_a_failure_until_it_is_taken_out() {
    let mut queue = queue(1);
    let add = AddPaths {
        paths: vec!["/t".into()],
        ..AddPaths::default()
    };
    let walk = queue.walks.next_id();
    assert!(queue.walks.insert(Walk {
        id: walk,
        add,
        mounts: Vec::new(),
        over: false,
    }));
    let why = || Error::new(Kind::Local, "no permission to read it");
    let kept = queue.add_unread("/t/closed".into(), walk, why()).unwrap();
    assert!(queue.add_unread("/t/closed".into(), walk, why()).is_none());
    queue.walks.end(walk);
    // A rewritten session says it, with the walk it is of.
    let (again, _) = rewritten(&queue);
    for mut queue in [queue, again] {
        assert_eq!((queue.unread(), queue.counts().of(State::Failed)), (1, 1));
        assert_eq!(queue.next_queued(|_, _| false), Some(1));
        for change in [
            Change::Released,
            Change::Begun("m".into(), None),
            Change::Done,
        ] {
            assert!(queue.restore(Record::Log(kept.id, change)).is_err());
        }
        queue.apply(kept.id, &Change::Skipped(why()));
        assert_eq!((queue.unread(), queue.counts().left()), (0, 1));
        queue.apply(kept.id, &Change::Removed);
        assert_eq!(queue.walks_kept().count(), 1, "files of it are left");
        queue.apply(1, &Change::Done);
        assert_eq!(queue.walks_kept().count(), 0, "it is of no use any more");
    }
}

#[test]
fn the_disks_that_a_walk_met_are_known_as_long_as_anything_of_it_is_left() {
    let mut queue = queue(1);
    let walk = Walk {
        id: 1,
        add: AddPaths {
            paths: vec!["/t".into()],
            ..AddPaths::default()
        },
        mounts: Vec::new(),
        over: false,
    };
    queue.restore(Record::Walk(walk)).unwrap();
    let mount = Mount {
        path: "/t/disk".into(),
        file_system: 7,
    };
    queue.restore(Record::Met(1, mount.clone())).unwrap();
    queue.restore(Record::WalkOver(1)).unwrap();
    let (again, _) = rewritten(&queue);
    for queue in [queue, again] {
        let on = |path: &str| queue.walks.mount_of(Path::new(path)).cloned();
        assert_eq!(on("/t/disk/a.mov"), Some(mount.clone()));
        assert_eq!(on("/t/a.mov"), None);
        assert_eq!(queue.walks_left(), 0);
    }
}

/// Moves uploads, and returns the order after that.
fn moved(queue: &mut Queue, ids: &[UploadId], to: MoveTarget) -> Vec<UploadId> {
    let before = queue.order().to_vec();
    let changed = queue.apply_move(&Move::new(ids.to_vec(), to));
    assert_eq!(changed, queue.order() != before);
    queue.order().to_vec()
}

#[test]
fn moving_keeps_the_order_of_those_moved() {
    let mut queue = queue(5);
    assert_eq!(moved(&mut queue, &[4, 2], MoveTarget::Top), [2, 4, 1, 3, 5]);
    assert_eq!(moved(&mut queue, &[2, 4], MoveTarget::Up), [2, 4, 1, 3, 5]);
    assert_eq!(
        moved(&mut queue, &[2, 4], MoveTarget::Down),
        [1, 2, 4, 3, 5]
    );
    let bottom = moved(&mut queue, &[2, 4], MoveTarget::Bottom);
    assert_eq!(bottom, [1, 3, 5, 2, 4]);
    let before = moved(&mut queue, &[1, 4], MoveTarget::Before(5));
    assert_eq!(before, [3, 1, 4, 5, 2]);
    let among_themselves = moved(&mut queue, &[1, 5], MoveTarget::Before(5));
    assert_eq!(among_themselves, [3, 1, 4, 5, 2]);
    assert_eq!(queue.next_queued(|_, _| false), Some(3));
}

#[test]
fn a_move_in_a_file_ignores_what_was_removed_and_is_refused_where_it_never_was() {
    let mut queue = queue(5);
    queue.apply(3, &Change::Removed);
    let mut restore = |ids: &[UploadId], to| {
        let restored = queue.restore(Record::Moved(Move::new(ids.to_vec(), to)));
        restored.map(|()| queue.order().to_vec())
    };
    assert_eq!(restore(&[3, 5], MoveTarget::Top).unwrap(), [5, 1, 2, 4]);
    assert_eq!(restore(&[5], MoveTarget::Before(3)).unwrap(), [5, 1, 2, 4]);
    for (ids, to) in [
        (vec![1, 6], MoveTarget::Top),
        (vec![MOST_UPLOADS], MoveTarget::Up),
        (vec![1], MoveTarget::Before(6)),
    ] {
        let refused = restore(&ids, to).unwrap_err().words;
        assert!(refused.contains("no upload with the id"), "{refused}");
    }
}

#[test]
fn a_folder_moves_past_what_is_beside_it_as_a_whole() {
    let mut queue = Queue::default();
    for path in ["/m/a/1", "/m/a/2", "/m/b/c/3", "/m/b/c/4", "/m/5", "/m/d/6"] {
        queue.add(path.into(), file(1), false).unwrap();
    }
    let folder = |queue: &Queue, id| queue.folders().of(id);
    // Moves them, and returns the order after that.
    let move_folder = |queue: &mut Queue, ids: &[UploadId], folder, up| {
        if let Some(moving) = queue.folder_move(ids.to_vec(), folder, up) {
            assert!(queue.apply_move(&moving), "{moving:?}");
        }
        queue.order().to_vec()
    };
    // The line of b/c is known by the inner one.
    let c = folder(&queue, 3);
    let order = move_folder(&mut queue, &[3, 4], c, true);
    assert_eq!(order, [3, 4, 1, 2, 5, 6]);
    let order = move_folder(&mut queue, &[3, 4], c, true);
    assert_eq!(order, [3, 4, 1, 2, 5, 6], "it is the first");
    let shape = queue.shape();
    let order = move_folder(&mut queue, &[3, 4], c, false);
    assert_eq!(order, [1, 2, 3, 4, 5, 6]);
    assert_ne!(queue.shape(), shape);
    let order = move_folder(&mut queue, &[3, 4], c, false);
    assert_eq!(order, [1, 2, 5, 3, 4, 6]);
    // Only what a filter shows of it moves.
    let a = folder(&queue, 1);
    let order = move_folder(&mut queue, &[2], a, false);
    assert_eq!(order, [1, 5, 2, 3, 4, 6]);
    let d = folder(&queue, 6);
    let order = move_folder(&mut queue, &[6], d, false);
    assert_eq!(order, [1, 5, 2, 3, 4, 6], "it is the last");
    // Past the last of them, that is at the end.
    let order = move_folder(&mut queue, &[3, 4], c, false);
    assert_eq!(order, [1, 5, 2, 6, 3, 4]);
}

#[test]
fn a_million_uploads_are_moved_by_few_words_and_stay_what_they_are() {
    let mut queue = queue(1_000_000);
    let all: Vec<UploadId> = (1..=1_000_000).collect();
    let halves = (500_001..=1_000_000).chain(1..=500_000).collect::<Vec<_>>();
    assert_eq!(moved(&mut queue, &all, MoveTarget::Top), all);
    let half = &all[500_000..];
    assert_eq!(moved(&mut queue, half, MoveTarget::Before(1)), halves);
}

fn orphan(marker: &str, gone: bool) -> Orphan {
    Orphan {
        marker: marker.to_owned(),
        account: None,
        media: Some("m".into()),
        path: "/t/1.mp4".into(),
        at: jiff::Timestamp::from_second(1_700_000_000).unwrap().into(),
        gone,
    }
}

#[test]
fn an_orphan_is_kept_until_the_account_has_it_no_longer() {
    let mut queue = queue(1);
    queue.note_orphan(orphan("a", false));
    queue.note_orphan(Orphan {
        media: None,
        ..orphan("b", false)
    });
    queue.note_orphan(orphan("b", false));
    queue.note_orphan(orphan("c", false));
    queue.note_orphan(orphan("c", true));
    queue.note_orphan(orphan("d", true));
    let kept = [orphan("a", false), orphan("b", false)];
    let (again, text) = rewritten(&queue);
    assert!(
        queue
            .orphans()
            .chain(again.orphans())
            .eq(kept.iter().chain(&kept))
    );
    assert!(!text.contains("gone"), "{text}");
}

/// What a queue's session is once it was rewritten and opened again, and the text of it.
fn rewritten(queue: &Queue) -> (Queue, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.toml");
    let header = Header {
        format: 1,
        id: "s".into(),
        owner: "owner".to_owned(),
        destination: "d".into(),
        settings: Settings::default(),
    };
    let mut text = Vec::new();
    queue.write_session(&header, &mut text).unwrap();
    std::fs::write(&path, &text).unwrap();
    let (session, again) = Queue::open(&path).unwrap();
    assert_eq!(session.header.format, FORMAT);
    (again, String::from_utf8(text).unwrap())
}

#[tokio::test(start_paused = true)]
async fn parts_go_round_the_files_under_way_and_never_beyond_the_room() {
    let mut queue = queue(3);
    begin(&mut queue, 1);
    begin(&mut queue, 2);
    let now = Instant::now();
    let room = |parts_in_flight, files| Room {
        parts: 5,
        parts_in_flight,
        files,
        files_active: 2,
        calls: true,
    };
    let waiting = |queue: &Queue| {
        [1, 2].map(|upload| Waiting {
            upload,
            need: Need::Part { asks_api: false },
            in_flight: queue.begun(upload).unwrap().running.len(),
        })
    };
    let mut sent = Vec::new();
    for running in 0.. {
        match next(&waiting(&queue), room(running, 2), || true) {
            Some(Start::Grant(id)) => {
                let begun = queue.begun(id).unwrap();
                let part = begun.next_part(Sequence::Any, now).unwrap();
                queue.with_begun(id, |begun| begun.start(part));
                sent.push((id, part.number));
            }
            other => {
                assert_eq!(other, None);
                break;
            }
        }
    }
    assert_eq!(sent, [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)]);
    let queued = || queue.order().len() > 2;
    let start = next(&waiting(&queue), room(5, 3), queued);
    assert_eq!(start, Some(Start::Upload));
}

proptest! {
    #[test]
    fn counters_are_always_what_counting_anew_would_say(
        steps in proptest::collection::vec((1u32..6, 0u8..14, 1u32..11), 0..80),
    ) {
        let mut queue = Queue::default();
        for path in ["/t/a/1", "/t/a/b/2", "/t/a/b/3", "/t/c/4", "/t/5"] {
            queue.add(path.into(), file(10 * MIB), false).unwrap();
        }
        for (id, step, part) in steps {
            let error = || Error::new(Kind::Server, "x");
            match step {
                0 | 1 => if queue.begun(id).is_none() { begin(&mut queue, id) },
                2..=5 => queue.apply(id, &Change::Part(part, None.into())),
                6 => queue.apply(id, &Change::Lost([part].into())),
                7 => queue.apply(id, &Change::Paused),
                8 => queue.apply(id, &Change::Failed(error())),
                9 => queue.apply(id, &Change::Skipped(error())),
                10 => queue.apply(id, &Change::Released),
                11 => queue.apply(id, &Change::Done),
                12 => queue.apply(id, &Change::Fresh(file(u64::from(part) * MIB))),
                _ => queue.apply(id, &Change::Removed),
            }
            let bytes = queue.bytes();
            let all = counted(&queue, Path::new("/"));
            prop_assert_eq!((queue.counts(), bytes.total, bytes.acknowledged), all);
            let folders = queue.folders();
            for folder in 1..FolderId::try_from(folders.count()).unwrap() {
                let totals = folders.totals(folder);
                let told = (totals.counts, totals.bytes, totals.acknowledged);
                prop_assert_eq!(told, counted(&queue, &folders.path(folder)));
            }
        }
    }

    #[test]
    fn every_part_is_sent_once_however_often_it_fails_and_is_recut(
        seed: u64, sizes in proptest::collection::vec(1u64..5, 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        let _guard = runtime.enter();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut queue = queue(1);
        begin(&mut queue, 1);
        let now = Instant::now();
        let mut cuts = sizes.into_iter();
        let mut covered = 0;
        while !queue.begun(1).unwrap().all_acknowledged() {
            queue.with_begun(1, |begun| {
                let Some(part) = begun.next_part(Sequence::Any, now) else { return };
                begun.start(part);
                if random.bool() && let Some(size) = cuts.next() {
                    let size = NonZeroU64::new(size * 700_000).unwrap();
                    if let Some(plan) = begun.replanned(0, |plan, from| plan.resplit(from, size)) {
                        begun.set_plan(plan);
                    }
                }
                match random.u8(0..4) {
                    0 => begun.interrupt(part.number, None),
                    1 => begun.fail(part.number, super::super::record::Trouble {
                        attempts: part.attempt, error: Error::new(Kind::Broken, "x"),
                        failed_at: now, retry_at: Some(now), ask: false,
                    }),
                    _ => {
                        covered += begun.plan().unwrap().part(part.number).unwrap().length;
                        begun.acknowledge(part.number, None.into());
                    }
                }
            });
        }
        prop_assert_eq!(covered, 10 * MIB);
        prop_assert_eq!(queue.begun(1).unwrap().acknowledged, 10 * MIB);
    }
}
