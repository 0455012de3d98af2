//! A run of the program that waits at a named place until a test lets it go on.

use std::{
    ffi::OsStr,
    fs::File,
    path::PathBuf,
    process::Command,
    sync::mpsc::{RecvTimeoutError, channel},
};

use super::{DEADLINE, Home, Running};

/// The place at which a run waits (`src/fault_point.rs`).
pub(crate) struct Gate {
    place: String,
    fifo: PathBuf,
}

/// A run waits at its gate as long as this lives.
pub(crate) struct AtGate(#[expect(dead_code, reason = "it is there to be dropped")] File);

impl Home {
    /// Starts the program, which will wait at this place (`name` or `name:n`).
    pub(crate) fn start_gated<S: AsRef<OsStr>>(
        &self,
        place: &str,
        args: impl IntoIterator<Item = S>,
    ) -> (Running, Gate) {
        let gate = Gate {
            place: place.to_owned(),
            fifo: self.dir.path().join("gate"),
        };
        let made = Command::new("mkfifo").arg(&gate.fifo).status();
        assert!(made.unwrap().success());
        let mut command = self.command(args);
        command
            .env("REELHAUL_HOLD_AT", place)
            .env("REELHAUL_HOLD_BY", &gate.fifo);
        (Running::new(command), gate)
    }
}

impl Gate {
    /// Waits until the run is at the gate.
    pub(crate) fn reached(&self) -> AtGate {
        let (opened, opens) = channel();
        let fifo = self.fifo.clone();
        // It is open once the other side reads.
        std::thread::spawn(move || opened.send(File::options().write(true).open(fifo)));
        match opens.recv_timeout(DEADLINE) {
            Ok(file) => AtGate(file.unwrap()),
            Err(RecvTimeoutError::Timeout) => panic!("it never came to {}", self.place),
            Err(RecvTimeoutError::Disconnected) => unreachable!("it is sent in any case"),
        }
    }
}
