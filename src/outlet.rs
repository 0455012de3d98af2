//! A way out for text whose reader may stop reading: a hung line, a pager. A thread writes, and nobody
//! else ever waits for it. What waits is bounded: beyond that, lines that are only of the moment are
//! left out and counted, and the reader is told so in their place.

use std::{
    io::{self, Write},
    mem::take,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How much may wait before lines are left out, in bytes.
const MOST: usize = 1 << 20;

/// Text on its way out.
#[derive(Debug)]
pub struct Outlet(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// What is said in the place of lines that were left out.
    left_out: fn(u64) -> String,
}

#[derive(Debug, Default)]
struct State {
    waiting: String,
    /// Lines that were left out since something was last taken in.
    left_out: u64,
    /// Whether text was taken by the thread and is not written yet.
    writing: bool,
    /// Why nothing more can be written.
    failed: Option<String>,
    /// Whether nothing more will come.
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread's side.
    fn write(&self, mut out: impl Write) {
        let mut state = self.state();
        loop {
            while state.waiting.is_empty() && state.left_out == 0 {
                if state.closed {
                    return;
                }
                state = self.wait(state);
            }
            let mut text = take(&mut state.waiting);
            // They were left out after all that waited.
            text.push_str(&self.instead(&mut state));
            state.writing = true;
            drop(state);
            let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            state = self.state();
            state.writing = false;
            if let Err(error) = written {
                state.failed = Some(error.to_string());
                state.waiting = String::new();
            }
            self.changed.notify_all();
            if state.failed.is_some() {
                return;
            }
        }
    }

    /// What to say in the place of what was left out so far.
    fn instead(&self, state: &mut State) -> String {
        match take(&mut state.left_out) {
            0 => String::new(),
            lines => (self.left_out)(lines),
        }
    }
}

impl Outlet {
    /// A way to `out`; `left_out` says what is written in the place of so many lines.
    ///
    /// # Panics
    /// When no thread can be started.
    pub fn new(out: impl Write + Send + 'static, left_out: fn(u64) -> String) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            left_out,
        });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("outlet".into())
            .spawn(move || theirs.write(out))
            .expect("a program that can't start a thread can't go on");
        Self(shared)
    }

    /// Writes whole lines, however many wait.
    pub fn push(&self, text: &str) {
        let mut state = self.0.state();
        if state.failed.is_none() {
            let instead = self.0.instead(&mut state);
            state.waiting.push_str(&instead);
            state.waiting.push_str(text);
            self.0.changed.notify_all();
        }
    }

    /// Writes a line, or leaves it out when too much waits.
    pub fn offer(&self, line: &str) {
        let mut state = self.0.state();
        if state.failed.is_none() && state.waiting.len() >= MOST {
            state.left_out += 1;
            return;
        }
        drop(state);
        self.push(line);
    }

    /// Why nothing more can be written, where that is so: the reader has gone.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.0.state().failed.clone()
    }

    /// Waits until all is written or can't be, but no longer than this. Blocks.
    pub fn flush(&self, at_most: Duration) {
        let state = self.0.state();
        let waits = |state: &mut State| {
            let more = !state.waiting.is_empty() || state.left_out > 0 || state.writing;
            more && state.failed.is_none()
        };
        drop(
            self.0
                .changed
                .wait_timeout_while(state, at_most, waits)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

impl Drop for Outlet {
    /// The thread ends once it has written what waits.
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.changed.notify_all();
    }
}

/// Each write is a line, or more, that may be left out: a log.
impl Write for &Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.offer(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Read},
        os::unix::net::UnixStream,
    };

    use super::*;

    fn told(lines: u64) -> String {
        format!("{lines} left out\n")
    }

    fn outlet() -> (Outlet, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Outlet::new(ours, told), theirs)
    }

    fn waiting(outlet: &Outlet) -> usize {
        outlet.0.state().waiting.len()
    }

    #[test]
    fn a_reader_that_stopped_holds_nobody_up_and_is_told_what_it_missed() {
        let (outlet, reader) = outlet();
        let line = format!("{}\n", "x".repeat(999));
        let offered = 10_000;
        for _ in 0..offered {
            outlet.offer(&line);
            assert!(waiting(&outlet) <= MOST + line.len());
        }
        outlet.push("the end\n");
        drop(outlet);
        let lines: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
        assert_eq!(lines.last().unwrap(), "the end");
        let (missed, whole): (Vec<_>, Vec<_>) = lines[..lines.len() - 1]
            .iter()
            .partition(|line| line.ends_with(" left out"));
        assert!(whole.iter().all(|line| line.len() == 999));
        let missed: usize = missed
            .iter()
            .map(|line| line.split(' ').next().unwrap().parse::<usize>().unwrap())
            .sum();
        assert!(missed > 0);
        assert_eq!(missed + whole.len(), offered);
    }

    #[test]
    fn what_must_be_told_is_told_however_much_waits() {
        let (outlet, mut reader) = outlet();
        let lines = 3 * MOST / 10;
        for _ in 0..lines {
            outlet.push("123456789\n");
        }
        drop(outlet);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text.len(), lines * 10);
    }

    #[test]
    fn a_reader_that_went_away_is_known_and_ends_every_wait() {
        let (outlet, reader) = outlet();
        drop(reader);
        outlet.push("one\n");
        outlet.flush(Duration::MAX);
        assert!(outlet.failed().is_some());
        outlet.push("two\n");
        outlet.flush(Duration::MAX);
        assert_eq!(waiting(&outlet), 0);
    }

    #[test]
    fn what_is_flushed_is_written() {
        let (outlet, mut reader) = outlet();
        outlet.push("one\n");
        outlet.flush(Duration::MAX);
        reader.set_nonblocking(true).unwrap();
        let mut text = [0; 4];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"one\n");
    }

    #[test]
    fn the_wait_for_a_reader_that_stopped_ends() {
        let (outlet, _reader) = outlet();
        outlet.push(&"x".repeat(4 * MOST));
        outlet.flush(Duration::from_millis(1));
        assert_eq!(outlet.failed(), None);
    }
}
