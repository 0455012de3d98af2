//! What a person is told on stdout and stderr, outside of the screen and of lines: by these ways
//! alone, since `println!` and `eprintln!` panic when the reader has gone.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use crate::outlet::Outlet;

/// How long a reader that stopped is waited for.
const A_MOMENT: Duration = Duration::from_secs(1);

/// What is to be written before the program ends.
static OUTLETS: Mutex<Vec<&'static Outlet>> = Mutex::new(Vec::new());

/// A way out for lines of the log, of which a reader that stopped misses some.
pub(super) fn log_to(out: impl Write + Send + 'static) -> &'static Outlet {
    let left_out = |lines| {
        format!("… {lines} lines of the log are left out here: they were not taken in time\n")
    };
    let outlet: &'static Outlet = Box::leak(Box::new(Outlet::new(out, left_out)));
    OUTLETS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(outlet);
    outlet
}

/// The way out to stderr: the log's, and the program's own words behind it.
pub(super) fn stderr() -> &'static Outlet {
    static STDERR: OnceLock<&'static Outlet> = OnceLock::new();
    STDERR.get_or_init(|| log_to(io::stderr()))
}

/// Tells the person something on stderr, before anything that comes after; waits no longer than a
/// moment for a reader that stopped.
pub fn say(words: &str) {
    let stderr = stderr();
    stderr.push(&format!("reelhaul: {words}\n"));
    stderr.flush(A_MOMENT);
}

/// Whether a person is there to be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks the person for a yes on the terminal. Anything else is a no.
pub(super) fn ask(words: &str) -> bool {
    let stderr = stderr();
    stderr.push(&format!("reelhaul: {words}"));
    stderr.flush(A_MOMENT);
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    let answer = answer.trim().to_lowercase();
    read.is_ok() && ["y", "yes"].contains(&&*answer)
}

/// Prints what was asked for. A reader that went away has what it wanted.
pub(super) fn print(words: &str) {
    let _ = writeln!(io::stdout(), "{words}");
}

/// Has what was said written before the program ends; waits a moment for a reader that stopped.
pub fn finish() {
    let outlets = OUTLETS.lock().unwrap_or_else(PoisonError::into_inner);
    for outlet in outlets.iter() {
        outlet.flush(A_MOMENT);
    }
}
