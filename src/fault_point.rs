//! Places where a test ends this process as SIGKILL does: `REELHAUL_KILL_AT=name` the first time that
//! `name` is reached, `REELHAUL_KILL_AT=name:n` the n-th time. Builds without debug assertions have
//! none of it.

/// Ends the process if a test wants it to end here.
#[cfg(debug_assertions)]
pub(crate) fn fault_point(name: &str) {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    /// The name, and how often it still has to be reached.
    static WANTED: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let wanted = std::env::var("REELHAUL_KILL_AT").ok()?;
        let (name, count) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        Some((name.to_owned(), AtomicU64::new(count.parse().ok()?)))
    });

    if let Some((wanted, remaining)) = &*WANTED
        && wanted == name
        && remaining.fetch_sub(1, Ordering::Relaxed) == 1
    {
        // Nothing after this may happen, so what the system says of it does not matter.
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

/// Does nothing: this build is not for tests.
#[cfg(not(debug_assertions))]
pub(crate) fn fault_point(_name: &str) {}
