//! One process a session: a lock that says who holds it, and goes with the process however it ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
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
}

/// A held lock. It ends when this is dropped, and when the process dies.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Lock {
    /// Locks the session at `session`.
    ///
    /// # Errors
    /// [`Locked::InUse`] names who holds it.
    pub fn take(session: &Path) -> Result<Self, Locked> {
        let path = session.with_extension("lock");
        let io = |error| Locked::Io {
            path: path.clone(),
            error,
        };
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let mut file = options.open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(io(error)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who holds it is a courtesy; that it is held is what counts.
                let _ = (&mut file).take(200).read_to_string(&mut holder);
                let holder = crate::error::clean(&holder);
                let holder = if holder.is_empty() {
                    "another process".to_owned()
                } else {
                    holder
                };
                return Err(Locked::InUse(holder));
            }
        }
        let holder = format!(
            "process {}, since {}\n",
            std::process::id(),
            jiff::Timestamp::now()
        );
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()));
        // On a full disk the lock holds all the same, without a name on it.
        drop(written);
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_who_holds_the_session() {
        let folder = tempfile::tempdir().unwrap();
        let session = folder.path().join("s.toml");
        let held = Lock::take(&session).unwrap();
        let refused = Lock::take(&session).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("process {}", std::process::id())),
            "{refused}"
        );
        drop(held);
        Lock::take(&session).unwrap();
    }
}
