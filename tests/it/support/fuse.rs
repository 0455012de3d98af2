//! A disk with switches: it shows the files of another folder, read-only, and a test says meanwhile which
//! calls are late, hang or fail. This process serves it by FUSE, and nothing of it is cached, so that every
//! call of the program arrives here. Only runs of one home see it.
//!
//! A call that hangs ends early if its thread is killed, as on network file systems: no test leaves a
//! process that can't end.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, Request,
    Session, SessionACL,
};

use super::{Home, LOOK, Source, disk::Disk, skip, wait_for};

/// What a program asks of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    /// What a name stands for, or what is known of a file: `lookup` and `getattr`.
    Look,
    /// `open` of a file.
    Open,
    /// `read`, or `pread`.
    Read,
    /// `opendir` of a folder.
    List,
}

impl Call {
    pub(crate) const ALL: [Self; 4] = [Self::Look, Self::Open, Self::Read, Self::List];
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is answered after so long.
    Late(Duration),
    /// It is not answered before all is well again.
    Hangs,
    /// It fails with this number of an error.
    Fails(Errno),
}

/// Which calls are in trouble.
#[derive(Debug, Clone)]
struct Rule {
    calls: Vec<Call>,
    /// The file's path below the root of the disk; any where there is none.
    file: Option<PathBuf>,
    /// From which byte on reads are in trouble.
    from: u64,
    trouble: Trouble,
    /// How many calls it still strikes.
    left: usize,
}

impl Rule {
    fn strikes(&self, seen: &Seen) -> bool {
        self.left > 0
            && self.calls.contains(&seen.call)
            && self.file.as_ref().is_none_or(|file| *file == seen.path)
            && (seen.call != Call::Read || seen.offset >= self.from)
    }
}

/// A call that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) call: Call,
    /// Below the root of the disk, which is the empty path.
    pub(crate) path: PathBuf,
    /// Where a read begins.
    pub(crate) offset: u64,
}

/// How a disk is now.
#[derive(Debug, Default)]
struct State {
    mounted: bool,
    rules: Vec<Rule>,
    seen: Vec<Seen>,
    hanging: usize,
    /// How many calls found a rule.
    struck: usize,
    /// All that hangs is to end: nobody is interested any more.
    over: bool,
    /// Times of change are told in whole steps of this.
    step: Option<Duration>,
    /// How often the files got other inode numbers.
    renumbered: u64,
    /// What has a number, in the order in which it was looked for.
    paths: Vec<PathBuf>,
    numbers: HashMap<PathBuf, usize>,
}

/// How far apart the numbers of one numbering and the next are.
const NUMBERS: u64 = 1_000_000;

impl State {
    fn number(&mut self, path: &Path) -> INodeNo {
        if path.as_os_str().is_empty() {
            return INodeNo::ROOT;
        }
        let index = *self.numbers.entry(path.to_owned()).or_insert_with(|| {
            self.paths.push(path.to_owned());
            self.paths.len()
        });
        INodeNo(self.renumbered * NUMBERS + 1 + index as u64)
    }

    /// The path that was given this number, under whatever numbering.
    fn path(&self, number: INodeNo) -> PathBuf {
        let index = usize::try_from((number.0 - 1) % NUMBERS).unwrap();
        match index.checked_sub(1) {
            Some(index) => self.paths[index].clone(),
            None => PathBuf::new(),
        }
    }
}

/// The switches of a disk, which its test and its calls share.
#[derive(Debug, Default)]
struct Switches {
    state: Mutex<State>,
    changed: Condvar,
}

impl Switches {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Ends when the call is to be answered, with what is to be answered instead where it fails.
    fn pass(&self, seen: &Seen, thread: u32) -> Result<(), Errno> {
        let arrived = Instant::now();
        let mut state = self.state();
        state.seen.push(seen.clone());
        if state.rules.iter().any(|rule| rule.strikes(seen)) {
            state.struck += 1;
        }
        loop {
            if state.over {
                return Err(Errno::EIO);
            }
            let mut rules = state.rules.iter().enumerate().rev();
            let rule = rules.find(|(_, rule)| rule.strikes(seen));
            let rule = rule.map(|(index, rule)| (index, rule.trouble));
            let wait = match rule.map(|(_, trouble)| trouble) {
                None => return Ok(()),
                Some(Trouble::Fails(error)) => {
                    state.rules[rule.unwrap().0].left -= 1;
                    return Err(error);
                }
                Some(Trouble::Late(late)) => match late.checked_sub(arrived.elapsed()) {
                    None => return Ok(()),
                    Some(left) => left.min(LOOK),
                },
                Some(Trouble::Hangs) => LOOK,
            };
            state.hanging += 1;
            state = self.changed.wait_timeout(state, wait).unwrap().0;
            state.hanging -= 1;
            if is_killed(thread) {
                return Err(Errno::EINTR);
            }
        }
    }
}

/// Whether a thread of any process was killed, and ends once the call it is in does.
fn is_killed(thread: u32) -> bool {
    const KILL: u64 = 1 << 8;
    let Ok(status) = fs::read_to_string(format!("/proc/{thread}/status")) else {
        return true;
    };
    let mut lines = status.lines();
    let pending = lines.find_map(|line| line.strip_prefix("SigPnd:")).unwrap();
    u64::from_str_radix(pending.trim(), 16).unwrap() & KILL != 0
}

/// A disk with switches. It goes when this is dropped, and nothing hangs on it any more.
pub(crate) struct OddDisk {
    switches: Arc<Switches>,
    /// Where the program sees it.
    pub(crate) at: PathBuf,
    /// Where its files really are.
    store: PathBuf,
    disk: Disk,
}

impl OddDisk {
    /// Mounts an empty disk at a folder of the home, for all that the home's program is run from now on.
    /// `None`, told loudly, where that can't be done.
    pub(crate) fn mount(home: &mut Home, at: &str) -> Option<Self> {
        let store = home.dir.path().join("store").join(at);
        for folder in [&store, &home.dir.path().join(at)] {
            fs::create_dir_all(folder).unwrap();
        }
        let disk = Disk::mount(home, at, "true")?;
        let disk = Self {
            switches: Arc::default(),
            at: home.dir.path().join(at),
            store,
            disk,
        };
        disk.remount().then_some(disk)
    }

    /// Mounts it again, at the same place. `false`, told loudly, where that can't be done.
    pub(crate) fn remount(&self) -> bool {
        let device = fs::File::options().read(true).write(true).open("/dev/fuse");
        let Ok(device) = device else {
            skip("there is no /dev/fuse");
            return false;
        };
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions";
        let mount = format!("mount -i -t fuse -o {options} odd \"$1\"");
        let input = device.try_clone().unwrap();
        let mounted = self.disk.shell(&mount).stdin(input).status();
        if !mounted.unwrap().success() {
            skip("/dev/fuse can't be mounted here");
            return false;
        }
        let server = Server {
            switches: Arc::clone(&self.switches),
            store: self.store.clone(),
        };
        let device = OwnedFd::from(device);
        let session = Session::from_fd(server, device, SessionACL::All, Config::default()).unwrap();
        let _: JoinHandle<_> = thread::spawn(move || session.run());
        self.switches.change(|state| state.mounted = true);
        true
    }

    /// Whether it is mounted now.
    pub(crate) fn is_mounted(&self) -> bool {
        self.switches.state().mounted
    }

    /// Unmounts it: its mount point stays. Files that are open stay so, as with `umount --lazy`.
    pub(crate) fn unmount(&self) {
        // Without a look at the disk, which may hang.
        self.disk.run("umount --lazy --no-canonicalize \"$1\"");
        self.switches.change(|state| state.mounted = false);
    }

    /// What these commands print where the disk is seen; it is where they run.
    pub(crate) fn ask(&self, script: &str) -> String {
        let script = format!("cd \"$1\" && {{ {script} ; }} 2>&1");
        let output = self.disk.shell(&script).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes a file on it, and says where the program sees it.
    pub(crate) fn write(&self, name: &str, size: u64, seed: u64) -> Source {
        Source {
            path: self.at.join(name),
            ..Source::write(self.store.join(name), size, seed)
        }
    }

    /// Where a file of it really is.
    pub(crate) fn stored(&self, name: &str) -> PathBuf {
        self.store.join(name)
    }

    /// From now on these calls are in trouble, on every file and folder. What was said last of a call
    /// counts.
    pub(crate) fn strike(&self, calls: &[Call], trouble: Trouble) {
        self.add(calls, None, 0, trouble, usize::MAX);
    }

    /// The same with one file alone.
    pub(crate) fn strike_file(&self, name: &str, calls: &[Call], trouble: Trouble) {
        self.add(calls, Some(name), 0, trouble, usize::MAX);
    }

    /// The next of these calls on this file fails, and no other.
    pub(crate) fn fail_once(&self, name: &str, calls: &[Call], error: Errno) {
        self.add(calls, Some(name), 0, Trouble::Fails(error), 1);
    }

    /// From now on reads of this file are in trouble that begin at this byte or behind it.
    pub(crate) fn strike_from(&self, name: &str, from: u64, trouble: Trouble) {
        self.add(&[Call::Read], Some(name), from, trouble, usize::MAX);
    }

    fn add(&self, calls: &[Call], file: Option<&str>, from: u64, trouble: Trouble, times: usize) {
        let rule = Rule {
            calls: calls.to_owned(),
            file: file.map(PathBuf::from),
            from,
            trouble,
            left: times,
        };
        self.switches.change(|state| state.rules.push(rule));
    }

    /// No call is in trouble any more, and those that hang are answered.
    pub(crate) fn heal(&self) {
        self.switches.change(|state| state.rules.clear());
    }

    /// From now on times are told in whole steps of this, as by a file system that keeps no finer ones.
    pub(crate) fn cut_times(&self, step: Duration) {
        self.switches.change(|state| state.step = Some(step));
    }

    /// From now on its files have other inode numbers.
    pub(crate) fn renumber(&self) {
        self.switches.change(|state| state.renumbered += 1);
    }

    /// The calls that arrived on a file.
    pub(crate) fn seen(&self, name: &str, call: Call) -> Vec<Seen> {
        let state = self.switches.state();
        let seen = state.seen.iter();
        seen.filter(|seen| seen.call == call && seen.path == Path::new(name))
            .cloned()
            .collect()
    }

    /// Waits until so many calls hang, or are late.
    pub(crate) fn wait_until_hanging(&self, count: usize) {
        wait_for("calls that hang", || {
            (self.hanging() >= count).then_some(())
        });
    }

    /// How many calls were in trouble.
    pub(crate) fn struck(&self) -> usize {
        self.switches.state().struck
    }

    /// How many calls hang now, or are late.
    pub(crate) fn hanging(&self) -> usize {
        self.switches.state().hanging
    }

    /// How many calls of this kind have arrived.
    pub(crate) fn count(&self, call: Call) -> usize {
        let state = self.switches.state();
        state.seen.iter().filter(|seen| seen.call == call).count()
    }
}

impl Drop for OddDisk {
    fn drop(&mut self) {
        // The mount goes with the only place it is seen from; whoever is amid a call there gets an answer.
        self.switches.change(|state| state.over = true);
    }
}

/// Answers the kernel.
struct Server {
    switches: Arc<Switches>,
    store: PathBuf,
}

impl Server {
    /// Answers a call on a thread of its own: that one hangs holds up no other.
    fn answer<T: Send + 'static>(
        &self,
        request: &Request,
        seen: Seen,
        work: impl FnOnce(&Path, &Switches) -> io::Result<T> + Send + 'static,
        reply: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) {
        let (switches, thread) = (Arc::clone(&self.switches), request.pid());
        let stored = self.store.join(&seen.path);
        thread::spawn(move || {
            let passed = switches.pass(&seen, thread);
            reply(passed.and_then(|()| work(&stored, &switches).map_err(Errno::from)));
        });
    }

    fn path(&self, number: INodeNo) -> PathBuf {
        self.switches.state().path(number)
    }

    fn seen(&self, call: Call, number: INodeNo) -> Seen {
        Seen {
            call,
            path: self.path(number),
            offset: 0,
        }
    }
}

/// Nothing is remembered by the kernel.
const AT_ONCE: Duration = Duration::ZERO;

/// What is told of a file.
fn attributes(stored: &Path, path: &Path, switches: &Switches) -> io::Result<FileAttr> {
    let metadata = fs::metadata(stored)?;
    let mut state = switches.state();
    let cut = |time: SystemTime| match state.step {
        None => time,
        Some(step) => {
            let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let beyond = since.as_nanos() % step.as_nanos();
            time - Duration::from_nanos(beyond.try_into().unwrap())
        }
    };
    let modified = cut(metadata.modified()?);
    let kind = if metadata.is_dir() {
        FileType::Directory
    } else {
        FileType::RegularFile
    };
    Ok(FileAttr {
        ino: state.number(path),
        size: metadata.len(),
        blocks: metadata.blocks(),
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind,
        perm: if metadata.is_dir() { 0o555 } else { 0o444 },
        nlink: 1,
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

impl Filesystem for Server {
    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let path = self.path(parent).join(name);
        let seen = Seen {
            call: Call::Look,
            path: path.clone(),
            offset: 0,
        };
        self.answer(
            request,
            seen,
            move |stored, switches| attributes(stored, &path, switches),
            |told| match told {
                Ok(told) => reply.entry(&AT_ONCE, &told, Generation(0)),
                Err(error) => reply.error(error),
            },
        );
    }

    fn getattr(
        &self,
        request: &Request,
        number: INodeNo,
        _handle: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        let seen = self.seen(Call::Look, number);
        let path = seen.path.clone();
        self.answer(
            request,
            seen,
            move |stored, switches| {
                let attributes = attributes(stored, &path, switches)?;
                // The kernel would take another number for another file.
                Ok(FileAttr {
                    ino: number,
                    ..attributes
                })
            },
            |told| match told {
                Ok(told) => reply.attr(&AT_ONCE, &told),
                Err(error) => reply.error(error),
            },
        );
    }

    fn open(&self, request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let seen = self.seen(Call::Open, number);
        self.answer(
            request,
            seen,
            |stored, _| fs::metadata(stored),
            |opened| match opened {
                Ok(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
                Err(error) => reply.error(error),
            },
        );
    }

    fn read(
        &self,
        request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let seen = Seen {
            offset,
            ..self.seen(Call::Read, number)
        };
        self.answer(
            request,
            seen,
            move |stored, _| {
                let mut file = fs::File::open(stored)?;
                file.seek(SeekFrom::Start(offset))?;
                let mut bytes = Vec::new();
                file.take(size.into()).read_to_end(&mut bytes)?;
                Ok(bytes)
            },
            |read| match read {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => reply.error(error),
            },
        );
    }

    fn opendir(&self, request: &Request, number: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let seen = self.seen(Call::List, number);
        self.answer(
            request,
            seen,
            |stored, _| fs::read_dir(stored),
            |opened| match opened {
                Ok(_) => reply.opened(FileHandle(0), FopenFlags::empty()),
                Err(error) => reply.error(error),
            },
        );
    }

    fn readdir(
        &self,
        _request: &Request,
        number: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let folder = self.path(number);
        let Ok(entries) = fs::read_dir(self.store.join(&folder)) else {
            return reply.error(Errno::EIO);
        };
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort_unstable();
        let mut state = self.switches.state();
        let first = usize::try_from(offset).unwrap();
        for (index, name) in names.iter().enumerate().skip(first) {
            let path = folder.join(name);
            let kind = if self.store.join(&path).is_dir() {
                FileType::Directory
            } else {
                FileType::RegularFile
            };
            if reply.add(state.number(&path), index as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
