//! How many files this process may have open, sockets among them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than parts and files under way ever need together. A limit that is higher still is left to
/// those who ask for it: there are programs that go through all numbers up to it when they start, and a
/// command that prints a key may be one.
const ENOUGH: u64 = 1 << 16;

/// The most that macOS takes where it says that there is no limit.
const OPEN_MAX: u64 = 10_240;

/// Raises the soft limit as far as the hard one lets it, where more can be of use. Returns what it is
/// from now on; `None`: there is none.
#[must_use]
pub fn raise_limit() -> Option<u64> {
    let now = getrlimit(Resource::Nofile);
    for wanted in [ENOUGH, OPEN_MAX] {
        let wanted = now.maximum.map_or(wanted, |most| most.min(wanted));
        if now.current.is_none_or(|current| wanted <= current) {
            break;
        }
        let raised = Rlimit {
            current: Some(wanted),
            ..now
        };
        // Where it can't be raised, fewer parts go out at once.
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return Some(wanted);
        }
    }
    now.current
}

/// Whether a call failed because this process, or the whole system, has too many files open or too little
/// memory: it passes, and says nothing of the file or the host that was to be reached.
#[must_use]
pub fn is_used_up(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let used_up = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(Errno::raw_os_error);
    error
        .raw_os_error()
        .is_some_and(|errno| used_up.contains(&errno))
}
