//! The disks and folders that files are read from: which are away, which are slow, and what waits for
//! them. Whatever needs one that does not answer gives its places to others.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{Actor, TaskHandle};
use crate::{
    awaited::Awaited,
    engine::{
        gates::Moment,
        protocol::{UploadId, Wait},
        record::StepWait,
        retry::{Did, Tried, Verdict, judge},
        upload::{Message, Others, SLOW},
    },
    error::{CallClass, Error, Kind},
    identity::{FileSystem, Mount},
    mounts::Mounts,
};

/// How many slow reads a disk may have, before no more of it is begun. The rest of the threads that read
/// is for other disks.
const READERS: usize = 4;

/// For how long something is waited for before that is logged.
const WORTH_A_WORD: SignedDuration = SignedDuration::from_secs(1);

/// How many other files of a disk are tried, where one can't be read, and how far away in the queue they
/// are looked for.
const OTHERS: usize = 3;
const NEAR: UploadId = 64;

/// What is known of the sources of files.
#[derive(Debug, Default)]
pub(super) struct Sources {
    mounts: Mounts,
    slow: Slow,
    /// Of which files nothing may be begun, as it was when the queue was looked at last.
    closed: Closed,
    /// Whether the queue passed over a file for that.
    passed_over: bool,
    /// Files whose folders are looked at.
    pub(super) looking: HashSet<UploadId>,
    /// Disks of which other files are tried, since one can't be read.
    comparing: HashSet<Awaited>,
    /// What was said to be waited for, and since when.
    said: BTreeMap<Awaited, Timestamp>,
    /// Files that could not be read, how often that counted, and when it was.
    tries: HashMap<UploadId, (u32, Instant)>,
}

/// The reads that have not come back for a while.
#[derive(Debug, Default)]
struct Slow {
    disks: BTreeMap<Awaited, SlowDisk>,
    /// How many parts in flight wait for their disk.
    parts: usize,
    /// Uploads that do nothing but wait for their disk.
    uploads: HashSet<UploadId>,
}

/// A disk that has not answered for a while.
#[derive(Debug)]
struct SlowDisk {
    since: Timestamp,
    reads: usize,
    /// One of the files, by its name.
    file: String,
}

/// The files of which nothing may be begun now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Closed {
    /// What is away, or tried by another file now.
    away: Vec<Awaited>,
    /// Disks with as many slow reads as they may have.
    full: Vec<Awaited>,
    mounts: Mounts,
}

impl Closed {
    /// Whether this file is one of them.
    pub(super) fn holds(&self, file: &Path) -> bool {
        if self.away.is_empty() && self.full.is_empty() {
            return false;
        }
        let disk = self.mounts.point(file);
        let mut away = self.away.iter();
        away.any(|what| is_in(&self.mounts, what, file, disk))
            || self.full.iter().any(|full| full.path() == Some(disk))
    }
}

/// Whether a file that is on this disk waits for this. What was a disk's mount point is a folder of
/// another disk, while nothing is mounted there.
fn is_in(mounts: &Mounts, what: &Awaited, file: &Path, disk: &Path) -> bool {
    match what {
        Awaited::Host(_) => false,
        Awaited::Folder(at) => file.starts_with(at),
        Awaited::Disk(at) => file.starts_with(at) && (disk == at || !mounts.has(at)),
    }
}

impl Sources {
    /// Whether an upload does nothing but wait for its disk.
    pub(super) fn is_slow(&self, id: UploadId) -> bool {
        self.slow.uploads.contains(&id)
    }

    /// How many parts in flight wait for their disk.
    pub(super) fn slow_parts(&self) -> usize {
        self.slow.parts
    }

    /// Whether nothing of this file may be begun.
    pub(super) fn hold(&self, file: &Path) -> bool {
        self.closed.holds(file)
    }

    /// The queue passed over a file for that.
    pub(super) fn passed_over(&mut self) {
        self.passed_over = true;
    }
}

impl Actor {
    /// The disk that a file is on.
    pub(super) fn disk_of(&self, file: &Path) -> Awaited {
        Awaited::Disk(self.sources.mounts.point(file).to_owned())
    }

    /// Looks which mounts there are.
    pub(super) fn read_mounts(&mut self) {
        self.sources.mounts = Mounts::read();
    }

    /// Finds out of which files nothing may be begun now. Where others may than before, the queue is looked
    /// at again.
    pub(super) fn look_at_sources(&mut self) {
        let now = Instant::now();
        let gates = self.shared.gates();
        let is_stuck = |what: &Awaited| {
            let disks = self.sources.slow.disks.keys();
            disks.filter_map(Awaited::path).any(|at| {
                let path = what.path().unwrap_or(Path::new("/"));
                at.starts_with(path) || path.starts_with(at)
            })
        };
        let away = gates.sources_down().filter(|(what, _)| {
            // One that is due is tried by one file, unless another still waits there.
            gates.closed(what, CallClass::Part, now).is_some() || is_stuck(what)
        });
        let away: Vec<Awaited> = away.map(|(what, _)| what.clone()).collect();
        drop(gates);
        let slow = self.sources.slow.disks.iter();
        let full = slow.filter(|(_, disk)| disk.reads >= READERS);
        let full: Vec<Awaited> = full.map(|(disk, _)| disk.clone()).collect();
        let mut closed = Closed {
            away,
            full,
            mounts: Mounts::default(),
        };
        if closed != Closed::default() {
            closed.mounts.clone_from(&self.sources.mounts);
        }
        if closed != self.sources.closed {
            self.sources.closed = closed;
            if std::mem::take(&mut self.sources.passed_over) {
                self.queue.look_again();
            }
        }
    }

    /// Something of this file is begun: where nothing answered before, nothing else is for a while.
    pub(super) fn source_tried(&mut self, file: &Path) {
        let at = self.moment();
        let mounts = &self.sources.mounts;
        let disk = mounts.point(file);
        let mut gates = self.shared.gates();
        let down = gates.sources_down().map(|(what, _)| what);
        let tried = down.filter(|what| is_in(mounts, what, file, disk)).cloned();
        for what in tried.collect::<Vec<_>>() {
            gates.tried(&what, at, &self.timing.backoff);
        }
        drop(gates);
        self.look_at_sources();
    }

    /// Now, for gates.
    pub(super) fn moment(&mut self) -> Moment {
        Moment {
            now: Instant::now(),
            clock: Timestamp::now(),
            random: self.random.f64(),
        }
    }

    /// Finds out which reads have not come back for a while.
    pub(super) fn find_slow(&mut self) {
        let mut found: BTreeMap<Awaited, (usize, UploadId)> = BTreeMap::new();
        let mut uploads = HashSet::new();
        let mut parts = 0;
        for (id, task) in &self.tasks {
            let slow = self.flights.slow(*id, SLOW);
            let looks = task.at_disk_for() >= SLOW;
            if slow == 0 && !looks {
                continue;
            }
            parts += slow;
            if looks || slow == self.flights.count(*id) {
                uploads.insert(*id);
            }
            let entry = found.entry(task.disk().clone()).or_insert((0, *id));
            entry.0 += slow + usize::from(looks);
        }
        let mut before = std::mem::take(&mut self.sources.slow.disks);
        let mut disks = BTreeMap::new();
        for (disk, (reads, id)) in found {
            let file = self.place(id, None);
            let known = before.remove(&disk);
            // It has hung since the read began that is found to be slow now.
            let since = known.map_or_else(|| Timestamp::now() - SLOW, |known| known.since);
            disks.insert(disk, SlowDisk { since, reads, file });
        }
        self.sources.slow = Slow {
            disks,
            parts,
            uploads,
        };
    }

    /// Says, once each way, which hosts, disks and folders are waited for. What passes at once is not worth
    /// a word.
    pub(super) fn say_what_is_awaited(&mut self, waits: &[Wait]) {
        let now = Timestamp::now();
        let said = &mut self.sources.said;
        for wait in waits {
            let is_old = now.duration_since(wait.since) >= WORTH_A_WORD;
            if is_old && !said.contains_key(&wait.what) {
                said.insert(wait.what.clone(), wait.since);
                tracing::warn!(
                    "{}: {}; what does not need it goes on",
                    wait.words(now),
                    wait.why
                );
            }
        }
        let is_over = |what: &Awaited| waits.iter().all(|wait| wait.what != *what);
        for (what, since) in said.extract_if(.., |what, _| is_over(what)) {
            let since = crate::format::since(since, now);
            tracing::info!("{what} answers again; it was waited for since {since}");
        }
    }

    /// What slow disks are waited for.
    pub(super) fn slow_disks(&self) -> impl Iterator<Item = Wait> {
        let disks = self.sources.slow.disks.iter();
        disks.map(|(disk, slow)| Wait {
            what: disk.clone(),
            since: slow.since,
            retry_in_ms: None,
            why: format!("{} is being read", slow.file),
        })
    }

    /// Why a file is not begun now: what it waits for.
    pub(super) fn source_waited_for(&self, file: &Path) -> Option<&Awaited> {
        let closed = &self.sources.closed;
        let disk = closed.mounts.point(file);
        let mut all = closed.away.iter().chain(&closed.full);
        all.find(|what| is_in(&closed.mounts, what, file, disk))
    }

    /// Whether any upload looks at its file, or is looked at.
    pub(super) fn is_at_disk(&self) -> bool {
        !self.sources.looking.is_empty() || self.tasks.values().any(TaskHandle::is_at_disk)
    }

    /// A disk failed before an upload sent anything in this go: it waits for the disk. Where the disk does
    /// well for others, it is tried as often as a part is.
    pub(super) fn disk_failed(&mut self, id: UploadId, error: Error) {
        let disk = self.disk_of(&self.path_of(id));
        let now = Instant::now();
        let (failures, last) = self.sources.tries.get(&id).copied().unwrap_or((0, now));
        let tried = Tried {
            failures: failures + 1,
            retries: self.settings.retries,
            did: self.shared.gates().did(&disk, last, now),
            now,
            random: self.random.f64(),
        };
        let verdict = judge(&error, tried, &self.timing.backoff);
        if !verdict.counts() {
            self.try_others(id);
        }
        let counted = failures + u32::from(verdict.counts());
        self.sources.tries.insert(id, (counted, now));
        match verdict {
            Verdict::WhenOpen => self.waits_for_source(id, &disk, &error),
            Verdict::At(at) | Verdict::Uncounted(at) => {
                let place = self.place(id, None);
                tracing::warn!(
                    "{place}: {error}; again {}",
                    super::failures::soon(at - now)
                );
                // It is looked for in the queue again when its time has come.
                self.set_aside(id);
                let wait = StepWait { until: at, error };
                self.queue.with_begun(id, |begun| begun.wait = Some(wait));
                self.resting.push((at, id));
            }
            _ => self.end_upload(
                id,
                &Error {
                    kind: Kind::Local,
                    ..error
                },
            ),
        }
    }

    /// A file of a disk can't be read: whether others can shows whether it is the file that is broken. One
    /// thread at a time looks, lest a disk that hangs takes many.
    pub(super) fn try_others(&mut self, id: UploadId) {
        let disk = self.disk_of(&self.path_of(id));
        if self.sources.comparing.contains(&disk) {
            return;
        }
        let near = (1..=NEAR).flat_map(|far| [id.checked_add(far), id.checked_sub(far)]);
        let others = near.flatten().filter_map(|other| self.queue.get(other));
        let others = others.filter(|other| other.walk().is_none());
        let others = others.map(|other| other.path.to_path_buf());
        let on_it = others.filter(|path| self.disk_of(path) == disk);
        let others: Vec<PathBuf> = on_it.take(OTHERS).collect();
        self.sources.comparing.insert(disk.clone());
        let told = self.told.0.clone();
        let since = Instant::now();
        self.running.spawn(async move {
            let read = tokio::task::spawn_blocking(move || read_others(&others));
            let read = read.await.unwrap_or(Others::Unknown);
            // Without an actor nobody wants to know.
            let _ = told.send(Message::TriedOthers(disk, since, read));
        });
    }

    /// What came of that. Where they fail as well, nothing more of the disk is tried for a while.
    pub(super) fn tried_others(&mut self, disk: &Awaited, since: Instant, read: Others) {
        self.sources.comparing.remove(disk);
        let at = self.moment();
        let mut gates = self.shared.gates();
        match read {
            Others::Read(file) => gates.was_read(&file, disk, at.now),
            Others::Failed(why) if gates.did(disk, since, at.now) != Did::Well => {
                gates.failed(disk, &why, at, &self.timing.backoff);
            }
            Others::Failed(_) | Others::Unknown => {}
        }
    }

    /// An upload goes back to its place in the queue until this answers.
    fn waits_for_source(&mut self, id: UploadId, what: &Awaited, error: &Error) {
        let now = Instant::now();
        let place = self.place(id, None);
        match self.close_gate(what, CallClass::Part, error, now) {
            Ok(when) => {
                tracing::warn!("{place}: {error}; {when}");
                self.back_to_queue(id);
            }
            Err(unreachable) => self.end_upload(id, &unreachable),
        }
    }

    pub(super) fn back_to_queue(&mut self, id: UploadId) {
        self.set_aside(id);
        self.queue.look_again_from(id);
    }

    /// A file can't be read: before that is held against it, the folders above it are looked at, which may
    /// be away with all that is in them.
    pub(super) fn look_above(&mut self, id: UploadId, error: Error) {
        let Some(upload) = self.queue.get(id) else {
            return;
        };
        let file = upload.path.to_path_buf();
        let (root, on) = (self.root_of(&file), upload.identity.file_system);
        let mount = self.queue.walks.mount_of(&file).cloned();
        self.sources.looking.insert(id);
        let told = self.told.0.clone();
        self.running.spawn(async move {
            let looked = tokio::task::spawn_blocking(move || {
                let away = what_is_away(&file, &root, mount, on);
                let read = || read_others(std::slice::from_ref(&file));
                let is_back = away.is_none() && matches!(read(), Others::Read(_));
                (away, is_back)
            });
            let (away, is_back) = looked.await.unwrap_or_default();
            let kind = if is_back { Kind::Disk } else { error.kind };
            // Without an actor nobody wants to know.
            let _ = told.send(Message::Looked(id, Error { kind, ..error }, away));
        });
    }

    /// What came of that.
    pub(super) fn looked(&mut self, id: UploadId, error: Error, away: Option<(Awaited, String)>) {
        self.sources.looking.remove(&id);
        if !self.goes_on(id) {
            return;
        }
        match away {
            Some((what, why)) => self.waits_for_source(id, &what, &Error::new(Kind::Disk, why)),
            // It is there again: it was its disk that was away.
            None if error.kind == Kind::Disk => self.disk_failed(id, error),
            None => self.end_upload(id, &error),
        }
    }

    /// The folder that was queued and has this file; of a file that was named, the one it lies in.
    fn root_of(&self, file: &Path) -> PathBuf {
        let walks = self.queue.walks.iter();
        let named = walks.flat_map(|walk| &walk.add.paths);
        let over = named.filter(|named| file.starts_with(named) && *named != file);
        let longest = over.max_by_key(|named| named.as_os_str().len());
        longest.map_or_else(|| folder_of(file).to_owned(), Clone::clone)
    }

    /// A person wants it tried, or it is done: what failed before counts no more.
    pub(super) fn forget_tries(&mut self, id: UploadId) {
        self.sources.tries.remove(&id);
    }
}

/// Reads the beginnings of files, until that succeeds with one. Blocks.
fn read_others(files: &[PathBuf]) -> Others {
    let mut failed = Others::Unknown;
    for file in files {
        let mut block = [0; 4096];
        let read = fs::File::open(file).and_then(|mut file| file.read(&mut block));
        match read.map_err(|error| Error::local("it can't be read", &error)) {
            Ok(0) => {}
            Ok(_) => return Others::Read(file.clone()),
            Err(error) if error.kind == Kind::Disk => failed = Others::Failed(error.message),
            // One that is not there any more says nothing of its disk.
            Err(_) => {}
        }
    }
    failed
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

/// What above a file that can't be read is away: the folder that was queued, or the disk that it was on
/// when it was queued, whose mount point may stay. Blocks.
fn what_is_away(
    file: &Path,
    root: &Path,
    mount: Option<Mount>,
    on: u64,
) -> Option<(Awaited, String)> {
    // Not every file system has a number by which another one in its place shows.
    if let Some(mount) = mount.filter(|mount| !mount.is_mounted()) {
        let why = "it is not mounted".to_owned();
        return Some((Awaited::Disk(mount.path), why));
    }
    match fs::metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = "the folder is not there".to_owned();
            return Some((Awaited::Folder(root.to_owned()), why));
        }
        Err(error) if Error::local("", &error).kind == Kind::Disk => {
            let why = format!("the folder can't be looked at: {error}");
            return Some((Awaited::Folder(root.to_owned()), why));
        }
        _ => {}
    }
    let there = |folder: &&Path| fs::metadata(folder).is_ok();
    let nearest = file.ancestors().skip(1).find(there)?;
    let now = FileSystem::at(nearest).number;
    (on != 0 && now != 0 && now != on).then(|| {
        let why = "another file system is there, without the file: it may not be mounted";
        (Awaited::Disk(nearest.to_owned()), why.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_gone_is_away_with_all_that_is_in_it_and_a_file_alone_is_not() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("films");
        let file = root.join("1999/a.mp4");
        let away = what_is_away(&file, &root, None, 7).unwrap();
        assert_eq!(away.0, Awaited::Folder(root.clone()));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let here = FileSystem::at(&root).number;
        assert_eq!(what_is_away(&file, &root, None, here), None);
        assert_eq!(what_is_away(&file, &root, None, 0), None, "it is not known");
    }

    #[test]
    fn a_mount_point_without_its_disk_is_a_disk_that_is_away() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().to_owned();
        let here = FileSystem::at(&root).number;
        if here == 0 {
            return;
        }
        let file = root.join("disk/gone/a.mp4");
        fs::create_dir(root.join("disk")).unwrap();
        let away = what_is_away(&file, &root, None, here ^ 1).unwrap();
        assert_eq!(away.0, Awaited::Disk(root.join("disk")));
    }

    #[test]
    fn a_disk_without_a_number_is_away_when_nothing_is_mounted_where_it_was() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().to_owned();
        let disk = root.join("disk");
        fs::create_dir(&disk).unwrap();
        let on = |path: &Path| {
            Some(Mount {
                path: path.to_owned(),
                file_system: 0,
            })
        };
        let file = disk.join("a.mp4");
        let away = what_is_away(&file, &root, on(&disk), 0).unwrap();
        assert_eq!(away.0, Awaited::Disk(disk));
        assert_eq!(what_is_away(&file, &root, on(Path::new("/")), 0), None);
    }

    #[test]
    fn a_disk_reads_well_by_any_file_that_does_and_one_that_is_gone_says_nothing() {
        let home = tempfile::tempdir().unwrap();
        let [gone, empty, good] = ["gone", "empty", "good"].map(|name| home.path().join(name));
        fs::write(&empty, b"").unwrap();
        fs::write(&good, b"x").unwrap();
        assert_eq!(read_others(&[]), Others::Unknown);
        let others = [gone.clone(), empty];
        assert_eq!(read_others(&others), Others::Unknown);
        assert_eq!(read_others(&[gone, good.clone()]), Others::Read(good));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_that_fails_with_other_files_too_is_the_one_that_fails() {
        // What is not mapped there gives EIO.
        let broken = PathBuf::from("/proc/self/mem");
        let read = read_others(std::slice::from_ref(&broken));
        assert!(
            matches!(&read, Others::Failed(why) if why.contains("(os error 5)")),
            "{read:?}"
        );
        let home = tempfile::NamedTempFile::new().unwrap();
        fs::write(home.path(), b"x").unwrap();
        let good = home.path().to_owned();
        assert_eq!(read_others(&[broken, good.clone()]), Others::Read(good));
    }
}
