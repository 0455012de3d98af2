//! A long line between two network namespaces, for root alone.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use super::setting;

/// Where the line's script is.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/vendors/line.py");

/// The namespace at this end of it, where clients are …
pub(crate) const NEAR: &str = "reelhaul-a";

/// … and the one at the other, with its address.
pub(crate) const FAR: (&str, &str) = ("reelhaul-b", "10.88.0.2");

/// The line, gone with this.
pub(crate) struct Line(Child);

impl Line {
    /// One of `REELHAUL_BENCH_MBIT` (200) and `REELHAUL_BENCH_RTT` milliseconds (100); `None` where
    /// none can be made.
    pub(crate) fn start() -> Option<Self> {
        let (mbit, rtt) = (setting("MBIT", 200), setting("RTT", 100));
        // It must not wait for what it is to carry.
        let mut child = Command::new("nice")
            .args(["-n", "-10", "python3", SCRIPT, "reelhaul"])
            .args([mbit.to_string(), rtt.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take()?)
            .read_line(&mut line)
            .ok()?;
        (line == "up\n").then_some(Self(child))
    }

    /// Makes it another one at once: so many Mbit/s, so many of a hundred packets lost.
    pub(crate) fn set(&mut self, mbit: u64, loss: f64) {
        let input = self.0.stdin.as_mut().unwrap();
        writeln!(input, "{mbit} {loss}").unwrap();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}
