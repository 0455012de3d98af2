//! What tells whether a file is still the one that was begun: size, time of change, inode, file system.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;

use crate::error::{Error, Kind};

/// A file that has changed since it was queued is looked at again after this long.
const GROWING: Duration = Duration::from_secs(5);

/// A file younger than this may be one that is just being written.
const FRESH: Duration = Duration::from_secs(1);

/// A file as it was when it was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified, to the nanosecond.
    pub modified: Timestamp,
    /// Its inode's number, 0 where unknown. Some file systems number anew with every mount, so
    /// another number alone is a reason to look closer, not a change.
    pub inode: u64,
    /// The file system it lies on, as [`FileSystem`] numbers it; 0 where unknown.
    pub file_system: u64,
}

impl Identity {
    /// The identity of a file by its metadata. Times beyond the years a timestamp can hold are
    /// brought to the nearest it can.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self::new(
            metadata.len(),
            metadata.mtime(),
            i32::try_from(metadata.mtime_nsec()).unwrap_or(0),
            metadata.ino(),
        )
    }

    /// The identity with a time as the file system tells it: seconds and nanoseconds since 1970.
    #[must_use]
    pub fn new(size: u64, seconds: i64, nanoseconds: i32, inode: u64) -> Self {
        Self {
            size,
            modified: time(seconds, nanoseconds),
            inode,
            file_system: 0,
        }
    }

    /// The identity of an open file, with its file system.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn of_open(file: &File) -> io::Result<Self> {
        let identity = Self::of(&file.metadata()?);
        Ok(identity.on(FileSystem::of_open(file).number))
    }

    /// The same on this file system.
    #[must_use]
    pub fn on(self, file_system: u64) -> Self {
        Self {
            file_system,
            ..self
        }
    }

    /// Whether both are one file, under whatever name: size, time of change, inode and file system are
    /// the same. A file system that is not known says nothing; an unknown inode is no file's.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        let on_one = self.file_system == other.file_system
            || self.file_system == 0
            || other.file_system == 0;
        on_one && self.inode != 0 && self.on(0) == other.on(0)
    }

    /// Whether `now` is another file or another version of it, told in words.
    ///
    /// # Errors
    /// [`Kind::Changed`] with what differs.
    pub fn check(&self, now: &Self) -> Result<(), Error> {
        if self.size != now.size {
            let words = format!("its size was {} bytes and is {} now", self.size, now.size);
            return Err(Error::new(Kind::Changed, words));
        }
        if !is_one_time(self.modified, now.modified) {
            let words = format!("it was modified at {}, after it was queued", now.modified);
            return Err(Error::new(Kind::Changed, words));
        }
        Ok(())
    }

    /// For how long the file is to be left alone before it is begun: it may still be written to.
    /// `now` is the file as it is now, `clock` the time. A file that is newer than the clock was
    /// written under another clock, and says nothing.
    #[must_use]
    pub fn unrest(&self, now: &Self, clock: Timestamp) -> Option<Duration> {
        if self.check(now).is_err() {
            return Some(GROWING);
        }
        let age = Duration::try_from(clock.duration_since(now.modified)).ok()?;
        FRESH.checked_sub(age).filter(|left| !left.is_zero())
    }
}

/// A time as the file system tells it; one that is too far away is the nearest that there is.
fn time(seconds: i64, nanoseconds: i32) -> Timestamp {
    Timestamp::new(seconds, nanoseconds).unwrap_or(if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// How coarsely file systems keep times, in nanoseconds: NTFS, servers of SMB and NFS, exFAT, HFS+ and
/// ext3, FAT.
const STEPS: [i128; 5] = [100, 1_000, 10_000_000, 1_000_000_000, 2_000_000_000];

/// Whether both are one time of change: the same, or one is the other as a coarser file system keeps it.
/// The same file has both: a kernel knows the finer one until it forgets the file, a disk has the coarser
/// one when it is mounted again.
fn is_one_time(one: Timestamp, other: Timestamp) -> bool {
    let (one, other) = (one.as_nanosecond(), other.as_nanosecond());
    let (coarse, fine) = (one.min(other), one.max(other));
    let kept = |step: &i128| fine - fine.rem_euclid(*step) == coarse;
    coarse == fine || STEPS.iter().any(kept)
}

/// What `stat` says of a file: what identifies it, and when its inode was last changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileStat {
    /// What identifies it.
    pub identity: Identity,
    /// When its inode was last changed (`ctime`), where that can be relied on: the kernel keeps it on
    /// this kind of file system, so that no program sets it, and the file system has a number.
    pub changed: Option<Timestamp>,
}

impl FileStat {
    /// What `metadata` says of a file on this file system.
    #[must_use]
    pub fn new(metadata: &Metadata, on: FileSystem) -> Self {
        let nanoseconds = i32::try_from(metadata.ctime_nsec()).unwrap_or(0);
        let changed = time(metadata.ctime(), nanoseconds);
        Self {
            identity: Identity::of(metadata).on(on.number),
            changed: on.keeps_changes.then_some(changed),
        }
    }

    /// What an open file is.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn of_open(file: &File) -> io::Result<Self> {
        Ok(Self::new(&file.metadata()?, FileSystem::of_open(file)))
    }
}

/// The file system that a file lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FileSystem {
    /// Its number, from its type and the id that the system gives it; 0 where it has none. Many file
    /// systems keep it from mount to mount, which the number of a device is not.
    pub number: u64,
    /// Whether the kernel keeps the time of the last change of an inode there, and no server or program.
    pub keeps_changes: bool,
}

/// The types of file systems whose `ctime` no program sets, as `statfs` numbers them: ext2 to ext4, xfs,
/// btrfs, zfs, f2fs, tmpfs, overlayfs, NFS.
#[cfg(target_os = "linux")]
const KEEP_CHANGES: [u64; 8] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0x2FC1_2FC1,
    0xF2F5_2010,
    0x0102_1994,
    0x794C_7630,
    0x6969,
];
/// Other systems number them otherwise.
#[cfg(not(target_os = "linux"))]
const KEEP_CHANGES: [u64; 0] = [];

impl FileSystem {
    /// The one that an open file lies on.
    #[must_use]
    pub fn of_open(file: &File) -> Self {
        let kind = rustix::fs::fstatfs(file).map(|stat| kind_of(&stat));
        let id = rustix::fs::fstatvfs(file).map(|stat| stat.f_fsid);
        Self::new(kind.unwrap_or(0), id.unwrap_or(0))
    }

    /// The one of what is at a path.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        let kind = rustix::fs::statfs(path).map(|stat| kind_of(&stat));
        let id = rustix::fs::statvfs(path).map(|stat| stat.f_fsid);
        Self::new(kind.unwrap_or(0), id.unwrap_or(0))
    }

    fn new(kind: u64, id: u64) -> Self {
        let number = match id {
            0 => 0,
            id => (id ^ kind.rotate_left(32)).max(1),
        };
        Self {
            number,
            keeps_changes: number != 0 && KEEP_CHANGES.contains(&kind),
        }
    }
}

/// A place where a disk is mounted, as a walk has met it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The folder, by the names it was reached by.
    pub path: PathBuf,
    /// Its file system, as [`FileSystem`] numbers it; 0 where unknown.
    pub file_system: u64,
}

impl Mount {
    /// The mount that this folder is on, which has this file system: the topmost folder on the way to it
    /// that is on the same device. `None` where the folder can't be looked at. Blocks.
    #[must_use]
    pub fn of(folder: &Path, on: FileSystem) -> Option<Self> {
        let device = device(folder)?;
        let is_on_it = |above: &&Path| self::device(above) == Some(device);
        let topmost = folder.ancestors().take_while(is_on_it).last()?;
        Some(Self {
            path: topmost.to_path_buf(),
            file_system: on.number,
        })
    }

    /// Whether anything is mounted there now: a disk that is unmounted leaves its mount point, which is a
    /// plain folder of the file system above it then. Blocks.
    #[must_use]
    pub fn is_mounted(&self) -> bool {
        let above = self.path.parent();
        let there = device(&self.path);
        there.is_some() && above.is_none_or(|above| device(above) != there)
    }
}

/// The number of the device that a folder is on, links followed.
fn device(folder: &Path) -> Option<u64> {
    fs::metadata(folder).ok().map(|metadata| metadata.dev())
}

fn kind_of(stat: &rustix::fs::StatFs) -> u64 {
    // As wide as the machine's words on one system, narrower on another.
    #[allow(clippy::useless_conversion, reason = "its type is another elsewhere")]
    u64::try_from(stat.f_type).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_inode_alone_is_no_change_but_a_nanosecond_is() {
        let file = Identity::new(10, 1_000, 5, 7);
        assert!(file.check(&Identity::new(10, 1_000, 5, 8)).is_ok());
        assert_eq!(
            file.check(&Identity::new(10, 1_000, 6, 7))
                .unwrap_err()
                .kind,
            Kind::Changed
        );
        assert_eq!(
            file.check(&Identity::new(11, 1_000, 5, 7))
                .unwrap_err()
                .kind,
            Kind::Changed
        );
    }

    #[test]
    fn a_time_is_the_same_as_a_coarser_file_system_keeps_it() {
        let fine = Identity::new(10, 1_001, 123_456_789, 7);
        let same = |seconds, nanoseconds| {
            let coarse = Identity::new(10, seconds, nanoseconds, 7);
            assert_eq!(fine.check(&coarse).is_ok(), coarse.check(&fine).is_ok());
            fine.check(&coarse).is_ok()
        };
        assert!(same(1_001, 123_456_700));
        assert!(same(1_001, 123_456_000));
        assert!(same(1_001, 120_000_000));
        assert!(same(1_001, 0));
        assert!(same(1_000, 0));
        assert!(!same(1_002, 0), "a later one is a change");
        assert!(!same(998, 0));
        assert!(!same(1_001, 123_456_788));
        assert!(!same(1_001, 123_400_000));
        let before = Identity::new(10, -1_001, 500_000_000, 7);
        assert!(before.check(&Identity::new(10, -1_002, 0, 7)).is_ok());
    }

    #[test]
    fn files_of_two_file_systems_are_two_whatever_their_numbers_and_an_unknown_one_says_nothing() {
        let file = Identity::new(10, 1_000, 5, 7);
        assert!(file.on(1).is_same_file(&file.on(1)));
        assert!(!file.on(1).is_same_file(&file.on(2)));
        assert!(file.on(1).is_same_file(&file) && file.is_same_file(&file.on(1)));
        assert!(!file.is_same_file(&Identity::new(10, 1_000, 5, 8)));
        assert!(!file.is_same_file(&Identity::new(10, 1_000, 6, 7)));
        let unknown = Identity::new(10, 1_000, 5, 0);
        assert!(!unknown.is_same_file(&unknown));
    }

    #[test]
    fn a_file_system_has_one_number_however_it_is_asked_for() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let on = FileSystem::at(file.path());
        assert_eq!(FileSystem::of_open(file.as_file()), on);
        assert_eq!(FileSystem::at(file.path().parent().unwrap()), on);
        let stat = FileStat::of_open(file.as_file()).unwrap();
        assert_eq!(stat.identity.file_system, on.number);
        assert_eq!(stat.changed.is_some(), on.keeps_changes);
        let untyped = FileSystem::new(7, 0);
        assert_eq!(
            untyped,
            FileSystem::default(),
            "a type alone is no file system"
        );
        assert_eq!(FileSystem::at(Path::new("/nowhere")), FileSystem::default());
    }

    #[test]
    fn a_folder_is_on_the_mount_whose_device_it_shares_and_is_none_itself() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        fs::create_dir_all(&folder).unwrap();
        let on = FileSystem::at(&folder);
        let mount = Mount::of(&folder, on).unwrap();
        assert!(folder.starts_with(&mount.path) && mount.is_mounted());
        assert_eq!(mount.file_system, on.number);
        assert_eq!(Mount::of(home.path(), on), Some(mount.clone()));
        for path in [folder, home.path().join("gone")] {
            // As it is when the disk that was mounted there is not any more.
            let left = Mount {
                path,
                file_system: mount.file_system,
            };
            assert!(!left.is_mounted());
        }
        assert_eq!(Mount::of(Path::new("/nowhere/at/all"), on), None);
        let root = Mount {
            path: "/".into(),
            file_system: 0,
        };
        assert!(root.is_mounted());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_below_another_is_a_mount_of_its_own_though_a_link_leads_to_it() {
        let home = tempfile::tempdir().unwrap();
        let link = home.path().join("link");
        std::os::unix::fs::symlink("/proc", &link).unwrap();
        for path in [Path::new("/proc"), &link] {
            let folder = path.join("self/fd");
            let mount = Mount::of(&folder, FileSystem::default()).unwrap();
            assert_eq!(mount.path, path);
            assert!(mount.is_mounted());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_change_is_believed_only_where_the_kernel_keeps_it_and_the_file_system_has_a_number() {
        const FAT: u64 = 0x4D44;
        assert!(FileSystem::new(0xEF53, 1).keeps_changes);
        assert!(!FileSystem::new(0xEF53, 0).keeps_changes);
        assert!(!FileSystem::new(FAT, 1).keeps_changes);
    }

    #[test]
    fn a_file_that_grows_or_is_new_is_left_alone_for_a_while() {
        let at = |seconds| Timestamp::new(seconds, 0).unwrap();
        let file = Identity::new(10, 1_000, 0, 7);
        assert_eq!(file.unrest(&file, at(1_002)), None);
        assert_eq!(file.unrest(&file, at(1_000)), Some(FRESH));
        assert_eq!(file.unrest(&file, at(990)), None, "another clock");
        let grown = Identity::new(11, 1_000, 0, 7);
        assert_eq!(file.unrest(&grown, at(2_000)), Some(GROWING));
    }

    #[test]
    fn a_time_beyond_the_calendar_is_no_panic() {
        assert_eq!(Identity::new(1, i64::MAX, 0, 1).modified, Timestamp::MAX);
        assert_eq!(Identity::new(1, i64::MIN, 0, 1).modified, Timestamp::MIN);
    }
}
