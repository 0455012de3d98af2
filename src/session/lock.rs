//! One process a session: a lock that says who holds it, and goes with the process however it ends.
//!
//! The lock's file lies beside the session's. Where that file system has no locks, it lies in the state
//! folder, by a hash of the session's path. A state folder without locks is refused.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use crate::{
    flock,
    format::hex,
    path::shown,
    state_dir::{make_private, state_dir},
};

/// Why a session can't be locked.
#[derive(Debug, thiserror::Error)]
pub enum Locked {
    /// Another process has it.
    #[error("the session is in use by {0}")]
    InUse(String),
    /// The lock file can't be made.
    #[error("the session can't be locked ({path}): {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Its file system has no locks, and the state folder's has none either.
    #[error(
        "file locks do not work in {} ({error}), and without them two processes could run one session; \
         set XDG_STATE_HOME to a folder on another file system",
        shown(folder)
    )]
    NoLocks {
        /// The state folder.
        folder: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// How a holder's name begins: a lock file that says anything else is not ours to write to.
const OURS: &str = "process ";

/// How often a lock is tried whose file its holder removes at that moment.
const TRIES: u32 = 100;

/// A held lock. It ends when this is dropped, and when the process dies.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Drop for Lock {
    /// Closing the file would not do: a process that is being started at that moment has it open too.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

impl Lock {
    /// Whether the session at `session` still has the lock's file that its process holds.
    pub(super) fn is_there(session: &Path) -> bool {
        beside(session).exists() || holder_of(session).is_some()
    }

    /// Locks the session at `session`, which has to be the one name its file goes by: without
    /// symlinks, and absolute.
    ///
    /// # Errors
    /// [`Locked::InUse`] names who holds it; [`Locked::NoLocks`] says what to do.
    pub fn take(session: &Path) -> Result<Self, Locked> {
        match Self::take_file(&beside(session)) {
            Err(Locked::Io { error, .. }) if flock::is_lacking(&error) => {
                Self::take_in_state_folder(session, error)
            }
            taken => taken,
        }
    }

    /// Locks a session in the state folder: `lacking` says that its own file system has no locks.
    fn take_in_state_folder(session: &Path, lacking: io::Error) -> Result<Self, Locked> {
        let Some(state) = state_dir() else {
            return Err(Locked::NoLocks {
                folder: session.parent().unwrap_or(session).to_owned(),
                error: lacking,
            });
        };
        let path = in_folder(&state, session);
        if let Err(error) = make_private(path.parent().unwrap_or(&state)) {
            return Err(Locked::Io { path, error });
        }
        let lock = Self::take_file(&path).map_err(|refused| match refused {
            Locked::Io { error, .. } if flock::is_lacking(&error) => Locked::NoLocks {
                folder: state.clone(),
                error,
            },
            refused => refused,
        })?;
        tracing::warn!(
            "file locks do not work where {} is ({lacking}): it is locked in {}, which keeps out no \
             process of another machine or user",
            shown(session),
            shown(&state)
        );
        Ok(lock)
    }

    /// Ends the lock and removes its file, unless that is someone else's: its session is removed.
    pub fn remove(mut self) {
        if is_ours(&mut self.file) {
            // Before the lock ends: whoever has opened the file meanwhile sees that it is gone.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Takes the lock that this file is, which is made if need be.
    fn take_file(path: &Path) -> Result<Self, Locked> {
        for _ in 1..TRIES {
            let lock = Self::take_file_once(path)?;
            let found = lock.file.metadata();
            if found.is_ok_and(|found| found.nlink() > 0) {
                return Ok(lock);
            }
            // Its holder removed it meanwhile: the next one would lock another file.
        }
        // Some file systems count no links at all.
        Self::take_file_once(path)
    }

    fn take_file_once(path: &Path) -> Result<Self, Locked> {
        let io = |error| Locked::Io {
            path: path.to_owned(),
            error,
        };
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let mut file = options.open(path).map_err(io)?;
        match flock::take(&file) {
            Ok(true) => {
                // On a full disk the lock holds all the same, without a name on it.
                drop(sign(&mut file));
                let path = path.to_owned();
                Ok(Self { file, path })
            }
            Ok(false) => Err(Locked::InUse(name(&mut file))),
            Err(error) => {
                if is_new && flock::is_lacking(&error) {
                    drop(std::fs::remove_file(path));
                }
                Err(io(error))
            }
        }
    }
}

/// Who holds the session at `session`, if anyone does; leaves the lock, and the name in it, as they
/// are. `None` also where that can't be told.
#[must_use]
pub fn holder(session: &Path) -> Option<String> {
    holder_of(&session.canonicalize().ok()?)
}

/// The same by the one name that the session's file goes by, which need not be there.
fn holder_of(session: &Path) -> Option<String> {
    let elsewhere = state_dir().map(|state| in_folder(&state, session));
    let holder = |path: PathBuf| {
        let mut file = File::open(path).ok()?;
        flock::is_held(&file).ok()?.then(|| name(&mut file))
    };
    let mut paths = [Some(beside(session)), elsewhere].into_iter().flatten();
    paths.find_map(holder)
}

/// The lock's file in the state folder.
fn in_folder(state: &Path, session: &Path) -> PathBuf {
    let hash = Sha256::digest(session.as_os_str().as_encoded_bytes());
    state.join(format!("locks/{}.lock", hex(&hash[..16])))
}

/// The lock's file: the session's name and `.lock`.
fn beside(session: &Path) -> PathBuf {
    super::folder::beside(session, "lock")
}

/// Writes who holds it into a lock file.
fn sign(file: &mut File) -> io::Result<()> {
    if !is_ours(file) {
        return Ok(());
    }
    let (process, now) = (std::process::id(), jiff::Timestamp::now());
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{OURS}{process}, since {now}\n").as_bytes())
}

/// Whether a lock file, read from its beginning, is ours to write to and to remove.
fn is_ours(file: &mut File) -> bool {
    let mut text = String::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(200).read_to_string(&mut text));
    read.is_ok() && (text.is_empty() || text.starts_with(OURS))
}

/// Who holds it, by what is in the lock file. That is a courtesy; that it is held is what counts.
fn name(file: &mut File) -> String {
    let mut holder = String::new();
    let _ = file.take(200).read_to_string(&mut holder);
    let holder = crate::error::clean(&holder);
    if holder.starts_with(OURS) {
        holder
    } else {
        "another process".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let session = folder.path().join("s.toml");
        std::fs::write(&session, "").unwrap();
        (folder, session)
    }

    #[test]
    fn a_second_process_is_told_who_holds_the_session() {
        let (_folder, session) = session();
        let held = Lock::take(&session).unwrap();
        let refused = Lock::take(&session).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("process {}", std::process::id())),
            "{refused}"
        );
        drop(held);
        Lock::take(&session).unwrap();
    }

    #[test]
    fn a_lock_ends_when_it_is_dropped_though_a_process_is_being_started() {
        let (_folder, session) = session();
        let held = Lock::take(&session).unwrap();
        // What a child has of us until it runs its own program.
        let childs = held.file.try_clone().unwrap();
        drop(held);
        Lock::take(&session).unwrap();
        drop(childs);
    }

    #[test]
    fn a_lock_is_removed_with_its_session_unless_its_file_is_someone_elses() {
        let (folder, session) = session();
        Lock::take(&session).unwrap().remove();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::write(beside(&session), "version = 4\n").unwrap();
        Lock::take(&session).unwrap().remove();
        let there = std::fs::read_to_string(beside(&session)).unwrap();
        assert_eq!(there, "version = 4\n");
    }

    #[test]
    fn two_never_hold_a_lock_at_once_though_each_removes_its_file() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        const TURNS: usize = 300;
        let (_folder, session) = session();
        let (holders, turns) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while turns.load(Ordering::Relaxed) < TURNS {
                        match Lock::take(&session) {
                            Ok(lock) => {
                                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                                std::thread::yield_now();
                                turns.fetch_add(1, Ordering::Relaxed);
                                holders.fetch_sub(1, Ordering::SeqCst);
                                lock.remove();
                            }
                            Err(Locked::InUse(_)) => std::thread::yield_now(),
                            Err(other) => panic!("{other}"),
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn looking_who_holds_it_leaves_the_name_there_and_makes_no_file() {
        let (folder, session) = session();
        assert_eq!(holder(&session), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let held = Lock::take(&session).unwrap();
        let told = std::fs::read_to_string(beside(&session)).unwrap();
        assert_eq!(holder(&session).as_deref(), Some(told.trim()));
        drop(held);
        assert_eq!(holder(&session), None);
        assert_eq!(std::fs::read_to_string(beside(&session)).unwrap(), told);
    }

    #[test]
    fn looking_keeps_nobody_from_taking_it() {
        let (_folder, session) = session();
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        let _ = holder(&session);
                        std::thread::yield_now();
                    }
                });
            }
            let taken: Result<Vec<_>, _> =
                (0..500).map(|_| Lock::take(&session).map(drop)).collect();
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            taken.unwrap();
        });
    }

    #[test]
    fn a_file_of_someone_elses_by_that_name_is_not_written_to() {
        let (_folder, session) = session();
        std::fs::write(beside(&session), "version = 4\n").unwrap();
        let held = Lock::take(&session).unwrap();
        let refused = Lock::take(&session).unwrap_err().to_string();
        assert!(refused.contains("another process"), "{refused}");
        drop(held);
        let there = std::fs::read_to_string(beside(&session)).unwrap();
        assert_eq!(there, "version = 4\n");
    }
}
