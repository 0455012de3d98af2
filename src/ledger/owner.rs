//! The lock that shows that a session lives.
//!
//! An owner lives as long as the kernel holds its `flock`: no clock and no heartbeat, and a stopped
//! process is alive. The kernel gives the lock back however the process ends.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek as _, Write as _},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{flock, state_dir::make_private};

/// How often a lock is tried whose file the owner before removes at that moment.
const TRIES: u32 = 1000;

/// Why a session can't be an owner.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Another process has this session.
    #[error("another process has this session open, or a copy of it")]
    InUse,
    /// The file system has no locks.
    #[error(
        "{path} can't be locked ({error}): this file system has no flock. Put the ledger on one \
         that has it: name another file as `path` under [ledger] in the config, or move the state \
         folder, and name it with XDG_STATE_HOME"
    )]
    NoLocks {
        /// Which file.
        path: PathBuf,
        /// What the system returned.
        error: io::Error,
    },
    /// The lock's file can't be made.
    #[error("{path} can't be locked: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system returned.
        error: io::Error,
    },
}

/// A living owner. It ends when this is dropped, and when the process ends.
#[derive(Debug)]
pub struct Owner {
    file: File,
    path: PathBuf,
    id: String,
}

impl Owner {
    /// Becomes this owner, with a lock in this folder, which is made where it is missing.
    ///
    /// # Errors
    /// [`NotTaken::InUse`] as long as another one lives, here or in another process.
    pub fn take(folder: &Path, id: &str) -> Result<Self, NotTaken> {
        let path = path_of(folder, id);
        let io = |path: &Path, error| NotTaken::Io {
            path: path.to_owned(),
            error,
        };
        let path = path.map_err(|error| io(folder, error))?;
        make_private(folder).map_err(|error| io(folder, error))?;
        for _ in 0..TRIES {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = options.mode(0o600).open(&path);
            let file = file.map_err(|error| io(&path, error))?;
            if !flock::take(&file).map_err(|error| refused(path.clone(), error))? {
                break;
            }
            if is_at(&file, &path) {
                let id = id.to_owned();
                return Ok(Self { file, path, id });
            }
            // The owner before removed it meanwhile: this lock shows nobody anything.
        }
        Err(NotTaken::InUse)
    }

    /// What it is known by.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Owner {
    /// Closing the file would not do: a process that is being started at that moment has it open too.
    /// The file is removed first: whoever has opened it meanwhile sees that it is another one.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// Whether an owner lives.
///
/// # Errors
/// When its lock can't be looked at: nobody knows then.
pub fn is_alive(folder: &Path, id: &str) -> io::Result<bool> {
    match File::open(path_of(folder, id)?) {
        Ok(file) => flock::is_held(&file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an owner lives besides this one. Where that can't be told, one does.
#[must_use]
pub fn others_live(folder: &Path, than: &Owner) -> bool {
    let Ok(mut entries) = std::fs::read_dir(folder) else {
        return true;
    };
    entries.any(|entry| {
        let Ok(path) = entry.map(|entry| entry.path()) else {
            return true;
        };
        path != than.path
            && match File::open(&path) {
                Ok(file) => flock::is_held(&file).unwrap_or(true),
                Err(error) => error.kind() != io::ErrorKind::NotFound,
            }
    })
}

/// The file of an owner's lock.
fn path_of(folder: &Path, id: &str) -> io::Result<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || id.len() > 100 || !id.chars().all(plain) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an owner's id has letters, digits, - and _ alone",
        ));
    }
    Ok(folder.join(format!("{id}.lock")))
}

/// Whether this locked file is the one at the path. Where inode numbers say that it is not, what is
/// written to it has to be there: some file systems have another number at each look.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => {
            (open.dev(), open.ino()) == (there.dev(), there.ino())
                || shows_what_is_written(file, path).unwrap_or(false)
        }
        _ => false,
    }
}

/// Whether the path shows what is written to this locked file.
fn shows_what_is_written(mut file: &File, path: &Path) -> io::Result<bool> {
    let word = format!("{:032x}", fastrand::u128(..));
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(word.as_bytes())?;
    Ok(std::fs::read(path)? == word.as_bytes())
}

/// Why a lock was refused.
fn refused(path: PathBuf, error: io::Error) -> NotTaken {
    if flock::is_lacking(&error) {
        NotTaken::NoLocks { path, error }
    } else {
        NotTaken::Io { path, error }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::PermissionsExt,
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use rustix::io::Errno;

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let owners = folder.path().join("state/owners");
        (folder, owners)
    }

    #[test]
    fn an_owner_lives_until_it_is_dropped_and_leaves_no_file() {
        let (_folder, owners) = folder();
        assert!(!is_alive(&owners, "a").unwrap(), "it never lived");
        let owner = Owner::take(&owners, "a").unwrap();
        assert!(is_alive(&owners, "a").unwrap());
        assert!(!is_alive(&owners, "b").unwrap());
        assert!(matches!(Owner::take(&owners, "a"), Err(NotTaken::InUse)));
        drop(owner);
        assert!(!is_alive(&owners, "a").unwrap());
        assert_eq!(std::fs::read_dir(&owners).unwrap().count(), 0);
        Owner::take(&owners, "a").unwrap();
    }

    #[test]
    fn a_file_without_a_lock_is_a_dead_owners() {
        let (_folder, owners) = folder();
        drop(Owner::take(&owners, "other").unwrap());
        std::fs::write(owners.join("a.lock"), "").unwrap();
        assert!(!is_alive(&owners, "a").unwrap());
        let _owner = Owner::take(&owners, "a").unwrap();
        assert!(is_alive(&owners, "a").unwrap());
    }

    #[test]
    fn nobody_else_can_read_the_locks() {
        let (_folder, owners) = folder();
        let _owner = Owner::take(&owners, "a").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&owners), 0o700);
        assert_eq!(mode(&owners.join("a.lock")), 0o600);
    }

    #[test]
    fn an_owner_ends_when_it_is_dropped_though_a_process_is_being_started() {
        let (_folder, owners) = folder();
        let owner = Owner::take(&owners, "a").unwrap();
        // What a child has of us until it runs its own program.
        let childs = owner.file.try_clone().unwrap();
        drop(owner);
        Owner::take(&owners, "a").unwrap();
        drop(childs);
    }

    #[test]
    fn looking_keeps_nobody_from_living() {
        let (_folder, owners) = folder();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let _ = is_alive(&owners, "a");
                        std::thread::yield_now();
                    }
                });
            }
            let taken: Result<Vec<_>, _> = (0..500)
                .map(|_| Owner::take(&owners, "a").map(drop))
                .collect();
            over.store(true, Ordering::Relaxed);
            taken.unwrap();
        });
    }

    #[test]
    fn two_never_live_as_one_owner_though_each_removes_its_lock() {
        const TURNS: usize = 300;
        let (_folder, owners) = folder();
        let (living, turns) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while turns.load(Ordering::Relaxed) < TURNS {
                        match Owner::take(&owners, "a") {
                            Ok(owner) => {
                                assert_eq!(living.fetch_add(1, Ordering::SeqCst), 0);
                                assert!(is_alive(&owners, "a").unwrap());
                                turns.fetch_add(1, Ordering::Relaxed);
                                living.fetch_sub(1, Ordering::SeqCst);
                                drop(owner);
                            }
                            Err(NotTaken::InUse) => std::thread::yield_now(),
                            Err(other) => panic!("{other}"),
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn a_lock_whose_file_was_replaced_is_another_one_also_by_what_is_written_to_it() {
        let (_folder, owners) = folder();
        let owner = Owner::take(&owners, "a").unwrap();
        let shows = || shows_what_is_written(&owner.file, &owner.path).unwrap();
        assert!(shows() && shows());
        std::fs::remove_file(&owner.path).unwrap();
        std::fs::write(&owner.path, "").unwrap();
        assert!(!shows() && !is_at(&owner.file, &owner.path));
    }

    #[test]
    fn an_id_that_is_no_plain_name_is_refused() {
        let (_folder, owners) = folder();
        for id in ["", "..", "a/b", "a.b", "ä", &"x".repeat(101)] {
            assert!(matches!(Owner::take(&owners, id), Err(NotTaken::Io { .. })));
            assert!(is_alive(&owners, id).is_err());
        }
    }

    #[test]
    fn a_file_system_without_locks_is_named_with_the_way_out() {
        for errno in [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP] {
            let error = refused("/mnt/a.lock".into(), errno.into());
            assert!(matches!(error, NotTaken::NoLocks { .. }), "{errno:?}");
            let words = error.to_string();
            assert!(
                words.contains("/mnt/a.lock")
                    && words.contains("[ledger]")
                    && words.contains("XDG_STATE_HOME"),
                "{words}"
            );
        }
        let error = refused("/mnt/a.lock".into(), Errno::IO.into());
        assert!(matches!(error, NotTaken::Io { .. }));
    }
}
