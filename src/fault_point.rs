//! Places where a test ends this process as SIGKILL does, or holds it: `REELHAUL_KILL_AT=name` ends it
//! the first time that `name` is reached, `REELHAUL_KILL_AT=name:n` the n-th time. `REELHAUL_HOLD_AT`
//! is written alike, and has the thread that reaches the place read the FIFO `REELHAUL_HOLD_BY` to its
//! end: a test that opens the FIFO for writing waits until the place is reached, and releases the
//! thread when it closes the FIFO. Builds without debug assertions have none of it.

/// Ends or holds the process if a test wants it here.
#[cfg(debug_assertions)]
pub(crate) fn fault_point(name: &str) {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    /// The name of a place, and how often it still has to be reached.
    struct Wanted(String, AtomicU64);

    impl Wanted {
        fn read(variable: &str) -> Option<Self> {
            let wanted = std::env::var(variable).ok()?;
            let (name, count) = wanted.split_once(':').unwrap_or((&wanted, "1"));
            Some(Self(name.to_owned(), AtomicU64::new(count.parse().ok()?)))
        }

        /// Whether this is the time that is meant.
        fn is_now(&self, name: &str) -> bool {
            self.0 == name && self.1.fetch_sub(1, Ordering::Relaxed) == 1
        }
    }

    static KILL: LazyLock<Option<Wanted>> = LazyLock::new(|| Wanted::read("REELHAUL_KILL_AT"));
    static HOLD: LazyLock<Option<Wanted>> = LazyLock::new(|| Wanted::read("REELHAUL_HOLD_AT"));

    if KILL.as_ref().is_some_and(|wanted| wanted.is_now(name)) {
        // Nothing after this may happen, so what the system says of it does not matter.
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
    if HOLD.as_ref().is_some_and(|wanted| wanted.is_now(name))
        && let Some(fifo) = std::env::var_os("REELHAUL_HOLD_BY")
    {
        // A test whose FIFO is not there holds nothing, and finds that out itself.
        let _ = std::fs::read(fifo);
    }
}

/// Does nothing: this build is not for tests.
#[cfg(not(debug_assertions))]
pub(crate) fn fault_point(_name: &str) {}

/// A time that a test may shorten by this variable, in milliseconds.
#[cfg(debug_assertions)]
pub(crate) fn shortened(variable: &str, usual: std::time::Duration) -> std::time::Duration {
    let wanted = std::env::var(variable).ok();
    let wanted = wanted.and_then(|text| text.parse().ok());
    wanted.map_or(usual, std::time::Duration::from_millis)
}

/// The usual time: this build is not for tests.
#[cfg(not(debug_assertions))]
pub(crate) fn shortened(_variable: &str, usual: std::time::Duration) -> std::time::Duration {
    usual
}
