//! All uploads of the session, in order, with their counters; pure. Every change goes through
//! [`Queue::apply`] (what is kept) or [`Queue::with`] (what goes on now), which keep the counters
//! true without ever counting anew.

mod moving;

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
};

use super::{
    folders::{Folders, Share},
    protocol::{ByteTotals, Counts, ROOT, State, UploadId},
    upload::{Begun, Hold, Phase, Upload},
};
use crate::{
    error::Error,
    identity::Identity,
    session::{
        Change, Kept, Progress, Times, Walk, WalkId, Walks,
        record::{BadTable, Record},
    },
};

/// All uploads of a session.
#[derive(Debug, Default)]
pub struct Queue {
    uploads: Vec<Option<Upload>>,
    order: Vec<UploadId>,
    /// No upload before this place of the order is queued.
    first_queued: usize,
    by_path: HashMap<u64, UploadId>,
    hasher: RandomState,
    /// Which files lie where, and what they add up to: over all, that is what the root says.
    folders: Folders,
    unread: Unread,
    /// What was to be walked.
    pub walks: Walks,
    /// Bytes acknowledged in this run.
    sent: u64,
    already_there: u64,
    removed: usize,
    version: u64,
    shape: u64,
}

/// How many paths among the uploads could not be read.
#[derive(Debug, Default)]
struct Unread {
    /// Those that count as failures.
    failed: usize,
    /// Those that were left out since, too.
    all: usize,
}

impl Unread {
    fn come(&mut self, upload: &Upload) {
        self.failed += usize::from(upload.unread().is_some());
        self.all += usize::from(upload.walk().is_some());
    }

    fn go(&mut self, upload: &Upload) {
        self.failed -= usize::from(upload.unread().is_some());
        self.all -= usize::from(upload.walk().is_some());
    }
}

impl Queue {
    /// How many uploads there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len() - self.removed
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The uploads in the order in which they go.
    #[must_use]
    pub fn order(&self) -> &[UploadId] {
        &self.order
    }

    /// Uploads by state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.folders.totals(ROOT).counts
    }

    /// How many of those that failed are paths that a walk could not read.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.unread.failed
    }

    /// How many walks did not come to their end.
    #[must_use]
    pub fn walks_left(&self) -> usize {
        self.walks.open().count()
    }

    /// How much is left to do: uploads, and walks that may find more.
    #[must_use]
    pub fn left(&self) -> usize {
        self.counts().left() + self.walks_left()
    }

    /// Whether a walk may still find files that have to be held against what other sessions hold.
    #[must_use]
    pub fn may_find_more(&self) -> bool {
        self.walks_kept()
            .any(|walk| !walk.add.again && (!walk.over || self.unread.failed > 0))
    }

    /// The walks that are of any use: those that did not come to their end, those that could not read
    /// something, and those that may tell so yet.
    pub fn walks_kept(&self) -> impl Iterator<Item = Walk> + '_ {
        // Of those that were left out, too: their tables name the walk. Mostly there are none, and a
        // million uploads need not be looked at.
        let uploads = self.uploads.iter().flatten().filter_map(Upload::walk);
        let unread: HashSet<WalkId> = match self.unread.all {
            0 => HashSet::new(),
            _ => uploads.collect(),
        };
        let named = move |id: WalkId| unread.contains(&id) || self.walks.may_be_named(id);
        let walks = self.walks.iter();
        walks
            .filter(move |walk| !walk.over || named(walk.id))
            .cloned()
    }

    /// Bytes over all uploads that are not skipped; `in_flight` is not known here.
    #[must_use]
    pub fn bytes(&self) -> ByteTotals {
        let totals = self.folders.totals(ROOT);
        ByteTotals {
            total: totals.bytes,
            acknowledged: totals.acknowledged,
            sent: self.sent,
            already_there: self.already_there,
            in_flight: 0,
        }
    }

    /// A number that changes whenever an upload comes, goes, moves, or changes its state.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// A number that changes whenever an upload comes, goes, moves, or changes its size: what its
    /// state does is no reason to put the others in another order.
    #[must_use]
    pub fn shape(&self) -> u64 {
        self.shape
    }

    /// The folders that the files lie in.
    #[must_use]
    pub fn folders(&self) -> &Folders {
        &self.folders
    }

    /// A folder that all files lie in, however deep; empty where they have none in common. It does
    /// not grow when files are taken out, for that would mean to look at all of them.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folders.path(self.folders.common())
    }

    /// The upload with this number.
    #[must_use]
    pub fn get(&self, id: UploadId) -> Option<&Upload> {
        self.uploads.get(id as usize)?.as_ref()
    }

    /// What is under way of this upload.
    #[must_use]
    pub fn begun(&self, id: UploadId) -> Option<&Begun> {
        self.get(id)?.begun()
    }

    /// The upload of this file, if it is queued.
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<UploadId> {
        let id = *self.by_path.get(&self.hasher.hash_one(path))?;
        self.get(id)
            .is_some_and(|upload| &*upload.path == path)
            .then_some(id)
    }

    /// Queues a file at the end; `None` when it is queued already.
    pub fn add(&mut self, path: PathBuf, identity: Identity) -> Option<Kept> {
        if self.find(&path).is_some() {
            return None;
        }
        let id = UploadId::try_from(self.uploads.len().max(1)).ok()?;
        let kept = Kept {
            id,
            path,
            identity,
            times: Times::default(),
            state: State::Queued,
            reason: None,
            progress: None,
            unread: None,
        };
        self.insert(kept.clone());
        Some(kept)
    }

    /// Keeps a path that a walk could not read, as a failure; `None` when it is in the queue already.
    pub fn add_unread(&mut self, path: PathBuf, walk: WalkId, why: Error) -> Option<Kept> {
        if self.find(&path).is_some() {
            return None;
        }
        let kept = Kept {
            id: UploadId::try_from(self.uploads.len().max(1)).ok()?,
            path,
            identity: Identity::new(0, 0, 0, 0),
            times: Times::default(),
            state: State::Failed,
            reason: Some(why),
            progress: None,
            unread: Some(walk),
        };
        self.insert(kept.clone());
        Some(kept)
    }

    /// Takes over what a session file says.
    ///
    /// # Errors
    /// When it says something that can't be: a number twice, a change of no upload.
    pub fn restore(&mut self, record: Record) -> Result<(), BadTable> {
        /// Numbers are given out one by one; one far beyond is an error that would cost memory.
        const GAP: usize = 10_000_000;
        let bad = |words: String| BadTable {
            words,
            offset: None,
        };
        match record {
            Record::Settings(_) => Ok(()),
            Record::Walk(walk) if self.walks.get(walk.id).is_some() => {
                Err(bad(format!("there are two walks with the id {}", walk.id)))
            }
            Record::Walk(walk) => {
                self.walks.insert(walk);
                Ok(())
            }
            Record::WalkOver(id) if self.walks.get(id).is_none() => {
                Err(bad(format!("there is no walk with the id {id}")))
            }
            Record::WalkOver(id) => {
                self.walks.end(id);
                Ok(())
            }
            Record::Upload(kept)
                if kept
                    .unread
                    .is_some_and(|walk| self.walks.get(walk).is_none()) =>
            {
                Err(bad("there is no walk with the id in `unread`".to_owned()))
            }
            Record::Upload(kept) if self.get(kept.id).is_some() => Err(bad(format!(
                "there are two uploads with the id {}",
                kept.id
            ))),
            Record::Upload(kept) if kept.id as usize > self.uploads.len() + GAP => {
                Err(bad(format!("the id {} can't be right", kept.id)))
            }
            Record::Upload(kept)
                if self.bytes().total.checked_add(kept.identity.size).is_none() =>
            {
                Err(bad(format!(
                    "the size of the upload {} can't be right",
                    kept.id
                )))
            }
            Record::Upload(kept) => {
                self.insert(*kept);
                Ok(())
            }
            Record::Log(id, _) if self.uploads.get(id as usize).is_none() => {
                Err(bad(format!("there is no upload with the id {id}")))
            }
            Record::Log(id, change) => {
                self.fits(id, &change).map_err(bad)?;
                self.apply(id, &change);
                Ok(())
            }
        }
    }

    /// Whether a change from a file, which a person may have written, is one that can be.
    fn fits(&self, id: UploadId, change: &Change) -> Result<(), String> {
        let Some(upload) = self.get(id) else {
            return Ok(());
        };
        let (size, bytes) = (upload.identity.size, self.bytes().total);
        if let Phase::Unread(_) = upload.phase {
            return match change {
                Change::Failed(_) | Change::Skipped(_) | Change::Removed => Ok(()),
                _ => Err(format!("{id} is a path that could not be read, no upload")),
            };
        }
        match change {
            Change::Plan(plan) if plan.file_size() != size => Err(format!(
                "this plan is for a file of {} bytes, and the upload {id} has {size}",
                plan.file_size()
            )),
            Change::Fresh(identity) if bytes.checked_add(identity.size).is_none() => {
                Err(format!("the size of the upload {id} can't be right"))
            }
            _ => Ok(()),
        }
    }

    /// To be called once when everything was restored: what is acknowledged now was there before
    /// this run.
    pub fn restored(&mut self) {
        self.tidy();
        self.sent = 0;
        self.already_there = self.bytes().acknowledged;
    }

    fn insert(&mut self, kept: Kept) {
        let Kept {
            id,
            path,
            identity,
            times,
            state,
            reason,
            progress,
            unread,
        } = kept;
        let path = path.into_boxed_path();
        let reason = reason.map(Box::new);
        let media = |progress: Option<Progress>| {
            progress
                .and_then(|progress| progress.ticket)
                .map_or_else(String::new, |t| t.media)
        };
        let (hold, phase) = match (state, reason) {
            (State::Done, _) if unread.is_none() => {
                (Hold::None, Phase::Done(media(progress).into()))
            }
            (state, reason) => {
                let hold = match (state, reason) {
                    (State::Paused, _) => Hold::Paused,
                    (State::Failed, Some(error)) => Hold::Failed(error),
                    (State::Changed, Some(error)) => Hold::Changed(error),
                    (State::Skipped, Some(error)) => Hold::Skipped(error),
                    _ => Hold::None,
                };
                let begun = |progress| Phase::Begun(Box::new(Begun::new(progress)));
                let phase = unread.map_or(Phase::Waiting, Phase::Unread);
                (hold, progress.map_or(phase, begun))
            }
        };
        self.by_path.insert(self.hasher.hash_one(&*path), id);
        let slot = id as usize;
        if self.uploads.len() <= slot {
            self.uploads.resize_with(slot + 1, || None);
        }
        let upload = Upload {
            path,
            identity,
            times,
            attempts: 0,
            hold,
            phase,
        };
        self.folders.come(id, &upload.path, Share::of(&upload));
        self.unread.come(&upload);
        self.uploads[slot] = Some(upload);
        self.order.push(id);
        self.reshaped();
    }

    fn reshaped(&mut self) {
        self.version += 1;
        self.shape += 1;
    }

    /// Changes what goes on with an upload now, in memory alone.
    pub fn with<T>(&mut self, id: UploadId, change: impl FnOnce(&mut Upload) -> T) -> Option<T> {
        let upload = self.uploads.get_mut(id as usize)?.as_mut()?;
        let (before, size) = (Share::of(upload), upload.identity.size);
        self.unread.go(upload);
        let answer = change(upload);
        self.unread.come(upload);
        let after = Share::of(upload);
        self.version += u64::from(before.state != after.state);
        self.shape += u64::from(size != upload.identity.size);
        self.folders.change(id, before, after);
        Some(answer)
    }

    /// Changes what is under way of an upload; nothing if nothing is.
    pub fn with_begun<T>(
        &mut self,
        id: UploadId,
        change: impl FnOnce(&mut Begun) -> T,
    ) -> Option<T> {
        self.with(id, |upload| match &mut upload.phase {
            Phase::Begun(begun) => Some(change(begun)),
            _ => None,
        })?
    }

    /// Applies a change that is kept: the same when it happens and when it is read from the log.
    pub fn apply(&mut self, id: UploadId, change: &Change) {
        if *change == Change::Removed {
            return self.remove(id);
        }
        let acknowledged = self.bytes().acknowledged;
        self.with(id, |upload| apply(upload, change));
        if matches!(change, Change::Part(..)) {
            self.sent += self.bytes().acknowledged.saturating_sub(acknowledged);
        }
        if matches!(
            change,
            Change::Released | Change::Clearing | Change::Fresh(_)
        ) {
            self.look_again_from(id);
        }
    }

    /// What was acknowledged since `sent` bytes were sent was found at the destination, not sent.
    pub fn count_as_found(&mut self, sent: u64) {
        self.already_there += self.sent.saturating_sub(sent);
        self.sent = sent;
    }

    fn remove(&mut self, id: UploadId) {
        let Some(upload) = self.uploads.get_mut(id as usize).and_then(Option::take) else {
            return;
        };
        self.folders.go(id, Share::of(&upload));
        self.unread.go(&upload);
        self.by_path.remove(&self.hasher.hash_one(&*upload.path));
        self.removed += 1;
        self.reshaped();
    }

    /// Closes the gaps that removed uploads left in the order.
    pub fn tidy(&mut self) {
        if self.removed > 0 {
            let uploads = &self.uploads;
            self.order.retain(|id| uploads[*id as usize].is_some());
            self.removed = 0;
            self.first_queued = 0;
        }
    }

    /// This upload may wait for its turn again.
    pub fn look_again_from(&mut self, id: UploadId) {
        let place = self.order[..self.first_queued]
            .iter()
            .position(|other| *other == id);
        self.first_queued = place.unwrap_or(self.first_queued);
    }

    /// The first upload that waits for its turn.
    pub fn next_queued(&mut self) -> Option<UploadId> {
        let queued = |queue: &Self, id| queue.get(id).is_some_and(|u| u.state() == State::Queued);
        while let Some(id) = self.order.get(self.first_queued) {
            if queued(self, *id) {
                return Some(*id);
            }
            self.first_queued += 1;
        }
        None
    }

    /// All that is kept of every upload, in order: a snapshot.
    pub fn kept(&self) -> impl Iterator<Item = Kept> + '_ {
        self.order.iter().filter_map(|id| self.kept_of(*id))
    }

    /// All that is kept of this upload.
    #[must_use]
    pub fn kept_of(&self, id: UploadId) -> Option<Kept> {
        Some(kept(id, self.get(id)?))
    }
}

fn kept(id: UploadId, upload: &Upload) -> Kept {
    let progress = match &upload.phase {
        Phase::Waiting | Phase::Unread(_) => None,
        Phase::Begun(begun) => Some(begun.progress.clone()),
        Phase::Done(media) => Some(Progress {
            ticket: Some(crate::destination::Ticket {
                media: media.to_string(),
                upload: None,
                token: None,
                method: None,
            }),
            ..Progress::default()
        }),
    };
    Kept {
        id,
        path: upload.path.to_path_buf(),
        identity: upload.identity,
        times: upload.times,
        state: Some(upload.state())
            .filter(|state| state.settled())
            .unwrap_or(State::Queued),
        reason: upload.reason().cloned(),
        progress,
        unread: upload.walk(),
    }
}

fn apply(upload: &mut Upload, change: &Change) {
    match change {
        Change::Begun(marker) => {
            let progress = Progress {
                marker: marker.clone(),
                ..Progress::default()
            };
            upload.phase = Phase::Begun(Box::new(Begun::new(progress)));
        }
        Change::Done => {
            let media = upload.media().unwrap_or_default().into();
            upload.phase = Phase::Done(media);
            upload.hold = Hold::None;
        }
        Change::Released => upload.hold = Hold::None,
        Change::Clearing => {
            upload.hold = Hold::None;
            if let Phase::Begun(begun) = &mut upload.phase {
                begun.apply(change);
            }
        }
        Change::Paused => upload.hold = Hold::Paused,
        Change::Failed(error) => upload.hold = Hold::Failed(Box::new(error.clone())),
        Change::Changed(error) => upload.hold = Hold::Changed(Box::new(error.clone())),
        Change::Skipped(error) => upload.hold = Hold::Skipped(Box::new(error.clone())),
        Change::Fresh(identity) => {
            upload.identity = *identity;
            upload.times = Times {
                queued: upload.times.queued,
                ..Times::default()
            };
            upload.phase = Phase::Waiting;
            upload.hold = Hold::None;
        }
        Change::At(milestone, at) => upload.times.note(*milestone, *at),
        Change::Removed => {} // the queue's own business
        Change::Ticket(_)
        | Change::Plan(_)
        | Change::Part(..)
        | Change::Lost(_)
        | Change::Completed => {
            if let Phase::Begun(begun) = &mut upload.phase {
                begun.apply(change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        destination::Ticket,
        engine::{
            protocol::{AddPaths, FolderId, Place},
            schedule::{Room, Start, next},
            upload::Step,
        },
        error::Kind,
        plan::PartPlan,
        session::Milestone,
    };

    const MIB: u64 = 1 << 20;

    fn file(size: u64) -> Identity {
        Identity::new(size, 1, 0, 1)
    }

    fn plan(size: u64, part: u64) -> PartPlan {
        PartPlan::cut(size, NonZeroU64::new(part).unwrap())
    }

    fn ticket() -> Ticket {
        Ticket {
            media: "m".into(),
            upload: None,
            token: None,
            method: None,
        }
    }

    /// A queue of files of 10 parts each.
    fn queue(files: u32) -> Queue {
        let mut queue = Queue::default();
        for number in 0..files {
            queue
                .add(format!("/t/{number}.mp4").into(), file(10 * MIB))
                .unwrap();
        }
        queue
    }

    fn begin(queue: &mut Queue, id: UploadId) {
        for change in [
            Change::Begun(format!("marker{id}")),
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
        assert!(queue.add("/t/0.mp4".into(), file(1)).is_none());
        queue.apply(1, &Change::Removed);
        queue.tidy();
        assert_eq!(
            queue.add("/t/0.mp4".into(), file(1)).unwrap().id,
            2,
            "no number is used again"
        );
    }

    #[test]
    fn the_folder_that_is_told_is_one_that_all_files_lie_in() {
        let folder_of = |paths: &[&str]| {
            let mut queue = Queue::default();
            for path in paths {
                queue.add(path.into(), file(1)).unwrap();
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
        queue.add("/a/1.mov".into(), file(1)).unwrap();
        queue.apply(1, &Change::Removed);
        queue.add("/b/2.mov".into(), file(1)).unwrap();
        assert_eq!(queue.folder(), Path::new("/b"));
    }

    #[test]
    fn what_a_snapshot_says_restores_to_the_same() {
        let mut queue = queue(5);
        begin(&mut queue, 2);
        queue.apply(2, &Change::Part(3, Some([7; 16])));
        let at = jiff::Timestamp::from_second(1_700_000_000).unwrap().into();
        queue.apply(2, &Change::At(Milestone::Begun, at));
        queue.apply(3, &Change::Failed(Error::new(Kind::Refused, "no")));
        begin(&mut queue, 4);
        queue.apply(4, &Change::Done);
        queue.apply(5, &Change::Paused);
        let kept: Vec<_> = queue.kept().collect();
        let mut again = Queue::default();
        for kept in kept.clone() {
            again.restore(Record::Upload(Box::new(kept))).unwrap();
        }
        again.restored();
        assert_eq!(again.kept().collect::<Vec<_>>(), kept);
        assert_eq!(again.bytes().already_there, 11 * MIB);
        assert_eq!(again.bytes().sent, 0);
        assert_eq!(again.get(4).unwrap().media(), Some("m"));
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
            .restore(Record::Log(1, Change::Begun("m".into())))
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
            state: State::Queued,
            reason: None,
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
        let (id, over) = (walk, false);
        assert!(queue.walks.insert(Walk { id, add, over }));
        let why = || Error::new(Kind::Local, "no permission to read it");
        let kept = queue.add_unread("/t/closed".into(), walk, why()).unwrap();
        assert!(queue.add_unread("/t/closed".into(), walk, why()).is_none());
        queue.walks.end(walk);
        // A snapshot says it, with the walk it is of.
        let mut again = Queue::default();
        for walk in queue.walks_kept() {
            again.restore(Record::Walk(walk)).unwrap();
        }
        for kept in queue.kept() {
            again.restore(Record::Upload(Box::new(kept))).unwrap();
        }
        again.restored();
        for mut queue in [queue, again] {
            assert_eq!((queue.unread(), queue.counts().of(State::Failed)), (1, 1));
            assert_eq!(queue.next_queued(), Some(1));
            assert!(queue.may_find_more());
            for change in [Change::Released, Change::Begun("m".into()), Change::Done] {
                assert!(queue.restore(Record::Log(kept.id, change)).is_err());
            }
            queue.apply(kept.id, &Change::Skipped(why()));
            assert_eq!((queue.unread(), queue.counts().left()), (0, 1));
            queue.apply(kept.id, &Change::Removed);
            assert_eq!(queue.walks_kept().count(), 0, "it is of no use any more");
            assert!(!queue.may_find_more());
        }
    }

    #[test]
    fn moving_keeps_the_order_of_those_moved() {
        let mut queue = queue(5);
        queue.move_to(&[2, 4], Place::Top);
        assert_eq!(queue.order(), [2, 4, 1, 3, 5]);
        queue.move_to(&[2, 4], Place::Up);
        assert_eq!(queue.order(), [2, 4, 1, 3, 5]);
        queue.move_to(&[2, 4], Place::Down);
        assert_eq!(queue.order(), [1, 2, 4, 3, 5]);
        queue.move_to(&[2, 4], Place::Bottom);
        assert_eq!(queue.order(), [1, 3, 5, 2, 4]);
        assert_eq!(queue.next_queued(), Some(1));
    }

    #[test]
    fn a_folder_moves_past_what_is_beside_it_as_a_whole() {
        let mut queue = Queue::default();
        for path in ["/m/a/1", "/m/a/2", "/m/b/c/3", "/m/b/c/4", "/m/5", "/m/d/6"] {
            queue.add(path.into(), file(1)).unwrap();
        }
        let folder = |queue: &Queue, id| queue.folders().of(id);
        // The line of b/c is known by the inner one.
        let c = folder(&queue, 3);
        queue.move_folder(&[3, 4], c, true);
        assert_eq!(queue.order(), [3, 4, 1, 2, 5, 6]);
        queue.move_folder(&[3, 4], c, true);
        assert_eq!(queue.order(), [3, 4, 1, 2, 5, 6], "it is the first");
        let shape = queue.shape();
        queue.move_folder(&[3, 4], c, false);
        assert_eq!(queue.order(), [1, 2, 3, 4, 5, 6]);
        assert_ne!(queue.shape(), shape);
        queue.move_folder(&[3, 4], c, false);
        assert_eq!(queue.order(), [1, 2, 5, 3, 4, 6]);
        // Only what a filter shows of it moves.
        queue.move_folder(&[2], folder(&queue, 1), false);
        assert_eq!(queue.order(), [1, 5, 2, 3, 4, 6]);
        let d = folder(&queue, 6);
        queue.move_folder(&[6], d, false);
        assert_eq!(queue.order(), [1, 5, 2, 3, 4, 6]);
    }

    #[tokio::test(start_paused = true)]
    async fn parts_go_round_the_files_under_way_and_never_beyond_the_room() {
        let mut queue = queue(3);
        begin(&mut queue, 1);
        begin(&mut queue, 2);
        let now = Instant::now();
        let mut sent = Vec::new();
        for running in 0.. {
            let room = Room {
                parts: 5,
                parts_running: running,
                files: 2,
                steps: true,
            };
            match next(&mut queue, &[1, 2], room, now) {
                Some(Start::Part(id, part)) => {
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
        let room = Room {
            parts: 5,
            parts_running: 5,
            files: 3,
            steps: true,
        };
        assert_eq!(next(&mut queue, &[1, 2], room, now), Some(Start::Upload));
    }

    proptest! {
        #[test]
        fn counters_are_always_what_counting_anew_would_say(
            steps in proptest::collection::vec((1u32..6, 0u8..14, 1u32..11), 0..80),
        ) {
            let mut queue = Queue::default();
            for path in ["/t/a/1", "/t/a/b/2", "/t/a/b/3", "/t/c/4", "/t/5"] {
                queue.add(path.into(), file(10 * MIB)).unwrap();
            }
            for (id, step, part) in steps {
                let error = || Error::new(Kind::Server, "x");
                match step {
                    0 | 1 => if queue.begun(id).is_none() { begin(&mut queue, id) },
                    2..=5 => queue.apply(id, &Change::Part(part, None)),
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
            let limits = crate::destination::Limits {
                part_min: 1, part_max: 1 << 40, part_default: MIB, parts_max: 10_000,
                file_max: u64::MAX, recut: true,
        parts_a_minute: None,
            };
            let mut cuts = sizes.into_iter();
            let mut covered = 0;
            while !queue.begun(1).unwrap().all_acknowledged() {
                queue.with_begun(1, |begun| {
                    let Some(part) = begun.next_part(now) else { return };
                    begun.start(part);
                    if random.bool() && let Some(size) = cuts.next() {
                        let size = NonZeroU64::new(size * 700_000).unwrap();
                        if let Some(plan) = begun.recut(|plan, from| plan.recut(from, size), &limits) {
                            begun.set_plan(plan);
                        }
                    }
                    match random.u8(0..4) {
                        0 => begun.requeue(part.number, None),
                        1 => begun.fail(part.number, super::super::upload::Trouble {
                            attempts: part.attempt, error: Error::new(Kind::Broken, "x"),
                            retry_at: Some(now), ask: false,
                        }),
                        _ => {
                            covered += begun.plan().unwrap().part(part.number).unwrap().length;
                            begun.acknowledge(part.number, None);
                        }
                    }
                });
            }
            prop_assert_eq!(covered, 10 * MIB);
            prop_assert_eq!(queue.begun(1).unwrap().acknowledged, 10 * MIB);
        }
    }
}
