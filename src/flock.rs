//! Locks on files: the kernel gives them back however a process ends.

use std::{
    fs::{File, TryLockError},
    io,
    time::Duration,
};

use rustix::io::Errno;

/// How often a lock that nobody holds, but someone looks at, is tried: a look takes no time.
const LOOKS: u32 = 1000;

/// Locks an open file for this process alone; whether it could. Those who only look share it for a moment,
/// and are waited for.
///
/// # Errors
/// Those of the system, [one of them](is_lacking) that there are no locks.
pub(crate) fn take(file: &File) -> io::Result<bool> {
    for _ in 0..LOOKS {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {}
        }
        if is_held(file)? {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(false)
}

/// Whether a process has this locked for itself. Those who only look share it for this moment, which
/// keeps none of them from looking, and makes one who would take it try again.
///
/// # Errors
/// Those of the system.
pub(crate) fn is_held(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether this error says that the file system has no locks.
#[must_use]
pub(crate) fn is_lacking(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error() == Some(Errno::NOLCK.raw_os_error())
}
