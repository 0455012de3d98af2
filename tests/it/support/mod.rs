//! What the tests share: a sandbox to ask, a home of its own for each run of the program, the program
//! while it runs and after its end, an engine without a program, and odd disks and terminals.

pub(crate) mod altered;
pub(crate) mod damage;
pub(crate) mod disk;
pub(crate) mod engine;
#[cfg(target_os = "linux")]
pub(crate) mod fuse;
pub(crate) mod gate;
mod home;
pub(crate) mod lacking;
pub(crate) mod memory;
mod process;
pub(crate) mod relay;
mod screen;
pub(crate) mod scripted;
mod server;
mod source;
pub(crate) mod terminal;
pub(crate) mod upload;

use std::{
    fmt::Write as _,
    io::Write as _,
    time::{Duration, Instant},
};

pub(crate) use self::{
    home::{Home, Mode, copy_of_the_program, program},
    process::{Ended, Running, path_of},
    screen::Screen,
    server::{Media, Piece, Report, Server},
    source::{Source, an_hour_ago},
};

pub(crate) const MIB: u64 = 1 << 20;

/// The smallest part either vendor takes.
pub(crate) const PART: u64 = 5 * MIB;

/// Makes a test of each of these cases, side by side: most of the time is waiting. Those that fail are
/// named.
#[track_caller]
pub(crate) fn side_by_side<T: std::fmt::Debug + Send>(
    cases: impl IntoIterator<Item = T>,
    test: impl Fn(T) + Sync,
) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let failed: Vec<String> = std::thread::scope(|scope| {
        let test = &test;
        let begin = |case: T| {
            let case_name = format!("{case:?}");
            let thread = std::thread::Builder::new().name(format!("{name}, {case_name}"));
            let thread = thread.spawn_scoped(scope, move || test(case)).unwrap();
            (case_name, thread)
        };
        let threads: Vec<_> = cases.into_iter().map(begin).collect();
        threads
            .into_iter()
            .filter_map(|(case, thread)| thread.join().is_err().then_some(case))
            .collect()
    });
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// Makes a test in each of the modes, side by side.
#[track_caller]
pub(crate) fn in_every_mode(test: impl Fn(Mode) + Sync) {
    side_by_side(Mode::ALL, test);
}

/// How long anything is waited for. Nothing takes so long unless it is broken.
const DEADLINE: Duration = Duration::from_mins(3);

/// How often is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until `look` finds what it looks for.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "in vain waited for: {what}");
        std::thread::sleep(LOOK);
    }
}

/// Says that a test can't be made here, past what the test runner swallows. Where all of them have to
/// be made (`REELHAUL_NO_SKIPS`), that is a failure.
pub(crate) fn skip(why: &str) {
    let test = std::thread::current();
    let words = format!("SKIPPED {}: {why}", test.name().unwrap_or_default());
    assert!(std::env::var_os("REELHAUL_NO_SKIPS").is_none(), "{words}");
    let _ = writeln!(std::io::stderr(), "\n{words}");
}

/// A session's text as one who edits it by hand leaves it: without the line that has its checksums looked at.
pub(crate) fn edited(session: &std::path::Path) -> String {
    let text = std::fs::read_to_string(session).unwrap();
    let stays = |line: &&str| !line.starts_with("# The log begins here");
    text.split_inclusive('\n').filter(stays).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Chooses the cryptography of this process's TLS, as the program does at its start. It is one for all
/// tests of a process, so that it may have been chosen before.
pub(crate) fn install_crypto() {
    drop(rustls::crypto::ring::default_provider().install_default());
}
