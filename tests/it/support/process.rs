//! The program while it runs, and after its end.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::JoinHandle,
    time::Instant,
};

use serde_json::Value;

use super::{DEADLINE, LOOK, wait_for};

/// The program while it runs. It is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    stderr: Option<JoinHandle<String>>,
    errors: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn new(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = loop {
            match command.spawn() {
                // A program that was just written may still be open in what another test's thread
                // has forked, until that has become its own program.
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::yield_now();
                }
                spawned => break spawned.unwrap_or_else(|error| panic!("{command:?}: {error}")),
            }
        };
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (told, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    break;
                }
            }
        });
        let errors = Arc::new(Mutex::new(String::new()));
        let so_far = Arc::clone(&errors);
        let stderr = std::thread::spawn(move || {
            let mut lines = BufReader::new(stderr);
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                so_far
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
            so_far.lock().unwrap().clone()
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
            stderr: Some(stderr),
            errors,
        }
    }

    /// Waits for an event that `is` it.
    pub(crate) fn wait_for(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let left = DEADLINE.saturating_sub(begun.elapsed());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let event = serde_json::from_str(&line).unwrap_or(Value::Null);
                    self.seen.push(line);
                    if is(&event) {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {what} came: {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = self.child.wait();
                    let stderr = self.stderr.take().map(|thread| thread.join().unwrap());
                    panic!(
                        "it ended without {what}: {:#?}\n{}",
                        self.seen,
                        stderr.unwrap_or_default()
                    );
                }
            }
        }
    }

    /// Waits for an event of this name.
    pub(crate) fn wait_for_event(&mut self, name: &str) -> Value {
        self.wait_for(name, |event| event["event"] == name)
    }

    /// Waits until it tells this on stderr.
    pub(crate) fn wait_for_error(&mut self, words: &str) {
        wait_for(words, || {
            let told = self.errors.lock().unwrap().contains(words);
            (told || !self.is_running()).then_some(())
        });
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it told on stderr so far.
    pub(crate) fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.process());
        let status = Command::new("sh").arg("-c").arg(kill).status().unwrap();
        assert!(status.success());
    }

    /// SIGKILL. Says whether it still ran, and what it had told.
    pub(crate) fn kill(mut self) -> (bool, Vec<String>) {
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        let mut said = std::mem::take(&mut self.seen);
        said.extend(self.lines.iter());
        (status.code().is_none(), said)
    }

    /// Sends SIGINT until it ends: one that comes right after another may be taken for the same.
    pub(crate) fn interrupt(mut self) -> Ended {
        while self.is_running() {
            self.signal("INT");
            std::thread::sleep(LOOK);
        }
        self.end()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > DEADLINE {
                let _ = self.child.kill();
                let stderr = self.stderr.take().map(|thread| thread.join().unwrap());
                panic!(
                    "it does not end: {:#?}\n{}",
                    self.lines.try_iter().collect::<Vec<_>>(),
                    stderr.unwrap_or_default()
                );
            }
            std::thread::sleep(LOOK);
        };
        let mut seen = std::mem::take(&mut self.seen);
        seen.extend(self.lines.iter());
        let stderr = self.stderr.take().unwrap().join().unwrap();
        seen.push(String::new());
        Ended {
            status,
            stdout: seen.join("\n"),
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program after its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// All that it printed.
    pub(crate) fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        let (out, err) = (&self.stdout, &self.stderr);
        assert_eq!(self.status.code(), Some(code), "{out}\n{err}");
        self
    }

    /// It was killed where `REELHAUL_KILL_AT` says.
    #[track_caller]
    pub(crate) fn assert_killed(&self) {
        let (out, err) = (&self.stdout, &self.stderr);
        let signal = std::os::unix::process::ExitStatusExt::signal(&self.status);
        let what = self.status;
        assert_eq!(signal, Some(9), "never there, but {what}: {out}\n{err}");
    }

    /// The JSON objects that it printed.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// The events of this name.
    pub(crate) fn named(&self, name: &str) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| event["event"] == name);
        events
    }

    /// The last line, which is always the summary.
    pub(crate) fn summary(&self) -> Value {
        let last = self.events().pop().unwrap_or_default();
        assert_eq!(last["event"], "summary", "{}\n{}", self.stdout, self.stderr);
        last
    }
}

/// The path in an event.
pub(crate) fn path_of(event: &Value) -> PathBuf {
    reelhaul::path::decode(event["path"].as_str().unwrap())
}
