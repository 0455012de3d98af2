//! What the tests that drive the binary share: a sandbox to ask, a home of its own for each run, and
//! the program's JSON lines. Knows the program from outside alone.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "each test file uses its share of this, and a test may panic"
)]

pub mod disk;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use reelhaul::sandbox::{Options, SECRET, SITE, Sandbox, Storage};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{net::TcpSocket, runtime::Runtime};

pub const MIB: u64 = 1 << 20;

/// The smallest part either vendor takes.
pub const PART: u64 = 5 * MIB;

/// Who nobody is, on every system these tests run on.
const NOBODY: u32 = 65534;

/// How long anything is waited for. Nothing takes so long unless it is broken.
const DEADLINE: Duration = Duration::from_mins(3);

/// How often is looked whether something has come about.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until `look` finds what it looks for.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
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
pub fn skip(why: &str) {
    let test = std::thread::current();
    let words = format!("SKIPPED {}: {why}", test.name().unwrap_or_default());
    assert!(std::env::var_os("REELHAUL_NO_SKIPS").is_none(), "{words}");
    let _ = writeln!(std::io::stderr(), "\n{words}");
}

/// A way to send to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    JwPlayer,
    ApiVideoBytes,
    ApiVideoPart,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::JwPlayer, Self::ApiVideoBytes, Self::ApiVideoPart];

    pub fn is_jwplayer(self) -> bool {
        self == Self::JwPlayer
    }

    /// A config with this destination as its only one.
    pub fn config(self, url: &str) -> String {
        match self {
            Self::JwPlayer => format!(
                "[destination.it]\nkind = \"jwplayer\"\nsite_id = \"{SITE}\"\nsecret = \"{SECRET}\"\n\
                 url = \"{url}\"\ncalls_per_minute = 100000\n"
            ),
            Self::ApiVideoBytes | Self::ApiVideoPart => {
                let range = if self == Self::ApiVideoPart {
                    "part"
                } else {
                    "bytes"
                };
                format!(
                    "[destination.it]\nkind = \"apivideo\"\napi_key = \"{}\"\nurl = \"{url}\"\n\
                     range = \"{range}\"\n",
                    reelhaul::sandbox::API_KEY
                )
            }
        }
    }
}

/// A sandbox in this process.
pub struct Server {
    runtime: Option<Runtime>,
    sandbox: Option<Sandbox>,
    addr: SocketAddr,
    pub url: String,
    kept: TempDir,
}

impl Server {
    /// A sandbox that is quick to process and has no faults.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// The same with some options changed.
    pub fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::listening(None, change)
    }

    /// One whose system takes hardly a byte ahead of it: elsewhere that may be 32 MiB, so that
    /// clients get rid of whole parts which nobody reads.
    pub fn that_takes_nothing_ahead() -> Self {
        Self::listening(Some(256 << 10), |_| {})
    }

    fn listening(ahead: Option<u32>, change: impl FnOnce(&mut Options)) -> Self {
        let kept = tempfile::tempdir().unwrap();
        let mut options = Options {
            storage: Storage::Keep(kept.path().to_owned()),
            processing: Duration::from_millis(20),
            ..Options::default()
        };
        change(&mut options);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let sandbox = runtime.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            if let Some(bytes) = ahead {
                socket.set_recv_buffer_size(bytes).unwrap();
            }
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let listener = socket.listen(1024).unwrap();
            Sandbox::start(listener, options).await.unwrap()
        });
        Self {
            addr: sandbox.addr(),
            url: sandbox.url(),
            runtime: Some(runtime),
            sandbox: Some(sandbox),
            kept,
        }
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = http(self.addr, method, path, body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    pub fn report(&self) -> Report {
        serde_json::from_value(self.ask("GET", "/_sandbox/report", None)).unwrap()
    }

    /// Scripts faults, in the sandbox's own words.
    pub fn script(&self, faults: &Value) {
        self.ask("POST", "/_sandbox/faults", Some(faults));
    }

    /// Forgets all faults, and how often each was met.
    pub fn no_faults(&self) {
        self.ask("DELETE", "/_sandbox/faults", None);
    }

    /// How often a fault really struck.
    pub fn met(&self, fault: &str) -> u64 {
        self.ask("GET", "/_sandbox/faults", None)["met"][fault]
            .as_u64()
            .unwrap_or(0)
    }

    /// Waits until a fault struck.
    pub fn wait_until_met(&self, fault: &str) {
        wait_for(fault, || (self.met(fault) > 0).then_some(()));
    }

    /// Every scripted fault found something to strike, and struck.
    pub fn assert_all_struck(&self) {
        let faults = self.ask("GET", "/_sandbox/faults", None);
        let idle: Vec<&Value> = faults["scripted"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|script| script["times"] != 0)
            .collect();
        assert!(
            idle.is_empty(),
            "never struck: {idle:#?}, met: {}",
            faults["met"]
        );
    }

    /// Bytes a second that all connections share; 0 for no limit.
    pub fn line(&self, speed: u64) {
        self.ask("PUT", "/_sandbox/line", Some(&json!({ "speed": speed })));
    }

    pub fn latency(&self, milliseconds: u64) {
        let change = json!({ "latency_ms": milliseconds });
        self.ask("PUT", "/_sandbox/line", Some(&change));
    }

    /// Waits until the sandbox has taken all that a client which is gone had sent: the one
    /// connection left is the one that asks.
    pub fn wait_until_hung_up(&self) {
        wait_for("the end of all connections", || {
            (self.report().connections == 1).then_some(())
        });
    }

    /// Waits until so many bytes came in.
    pub fn wait_for_bytes(&self, bytes: u64) {
        wait_for("bytes at the sandbox", || {
            (self.report().bytes_received >= bytes).then_some(())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let runtime = self.runtime.take().unwrap();
        if let Some(sandbox) = self.sandbox.take() {
            runtime.block_on(sandbox.stop());
        }
        runtime.shutdown_background();
    }
}

/// One request on a connection of its own.
pub fn http(addr: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
    let body = body.map(ToString::to_string).unwrap_or_default();
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// What the sandbox says it received.
#[derive(Debug, Deserialize)]
pub struct Report {
    pub media: Vec<Media>,
    pub requests: BTreeMap<String, BTreeMap<String, u64>>,
    pub bytes_received: u64,
    pub connections: u64,
    pub most_connections: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Media {
    pub id: String,
    pub title: String,
    pub state: String,
    pub complete: bool,
    pub size: u64,
    pub sha256: Option<String>,
    pub parts: Vec<Piece>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Piece {
    /// Bytes it holds, once it arrived whole.
    pub size: Option<u64>,
    /// How often it arrived whole.
    pub acknowledged: u64,
    pub tries: u64,
    /// Tries that were begun when it was there already.
    pub resent: u64,
    /// Bytes of it that came in, over all tries.
    pub received: u64,
}

impl Report {
    /// The media objects that are there: those that were deleted are not.
    pub fn there(&self) -> Vec<&Media> {
        self.media
            .iter()
            .filter(|media| media.state != "deleted")
            .collect()
    }

    /// The one media object of this title.
    pub fn one(&self, title: &str) -> &Media {
        let found: Vec<_> = self
            .there()
            .into_iter()
            .filter(|media| media.title == title)
            .collect();
        assert_eq!(found.len(), 1, "media objects titled {title:?}: {found:#?}");
        found[0]
    }

    /// Holds what is there against the files: each once, whole, ready, and nothing else.
    pub fn assert_holds(&self, files: &[Source]) {
        for file in files {
            let media = self.one(&file.title());
            assert_eq!(media.state, "ready", "{media:#?}");
            assert_eq!(media.size, file.size, "{media:#?}");
            assert_eq!(media.sha256.as_deref(), Some(&*file.sha256), "{media:#?}");
        }
        assert_eq!(self.there().len(), files.len(), "{:#?}", self.there());
    }

    /// No part came in again that was there, and none twice.
    pub fn assert_nothing_twice(&self) {
        for media in &self.media {
            for piece in &media.parts {
                assert!(piece.acknowledged <= 1, "twice whole: {media:#?}");
                assert_eq!(piece.resent, 0, "sent though it was there: {media:#?}");
            }
        }
    }

    /// Bytes of files that came in beyond those that make the files.
    pub fn wasted(&self) -> u64 {
        let pieces = || self.media.iter().flat_map(|media| &media.parts);
        let received: u64 = pieces().map(|piece| piece.received).sum();
        let needed: u64 = pieces().filter_map(|piece| piece.size).sum();
        received - needed
    }
}

/// A file as it was written.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: PathBuf,
    pub size: u64,
    pub sha256: String,
}

impl Source {
    /// Writes a file of bytes that look random, the same for the same seed.
    pub fn write(path: impl Into<PathBuf>, size: u64, seed: u64) -> Self {
        let path = path.into();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::create(&path).unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut hash = Sha256::new();
        let mut block = vec![0; usize::try_from(MIB).unwrap()];
        let mut left = size;
        while left > 0 {
            let length = usize::try_from(left.min(MIB)).unwrap();
            random.fill(&mut block[..length]);
            file.write_all(&block[..length]).unwrap();
            hash.update(&block[..length]);
            left -= length as u64;
        }
        let sha256 = hex(&hash.finalize());
        Self { path, size, sha256 }
    }

    /// A file as it is there.
    pub fn of(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let mut file = fs::File::open(&path).unwrap();
        let mut hash = Sha256::new();
        let mut block = vec![0; usize::try_from(MIB).unwrap()];
        let mut size = 0;
        loop {
            let length = file.read(&mut block).unwrap();
            if length == 0 {
                break;
            }
            hash.update(&block[..length]);
            size += length as u64;
        }
        let sha256 = hex(&hash.finalize());
        Self { path, size, sha256 }
    }

    /// The title it goes by.
    pub fn title(&self) -> String {
        reelhaul::metadata::title(&self.path)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A home of its own for runs of the program: config, state, and a folder for files.
pub struct Home {
    pub dir: TempDir,
    /// The program, where it is not the one cargo built.
    pub program: PathBuf,
    /// User and group to run it as.
    pub user: Option<u32>,
}

impl Home {
    /// A home without a config.
    pub fn bare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["state", "config/reelhaul", "tree"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        Self {
            dir,
            program: env!("CARGO_BIN_EXE_reelhaul").into(),
            user: None,
        }
    }

    /// Makes the program one that is bound by permissions: root is not, so there it runs as nobody.
    pub fn be_mortal(&mut self) {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let dir = self.dir.path();
        if fs::metadata(dir).unwrap().uid() == 0 {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
            // Nobody may not see where cargo put it.
            self.program = copy_of_the_program(dir);
            self.user = Some(NOBODY);
        }
    }

    /// Gives everything in the home to whom the program runs as.
    pub fn hand_over(&self) {
        let Some(user) = self.user else { return };
        let mut chown = Command::new("chown");
        let owner = format!("{user}:{user}");
        let given = chown.arg("-Rh").arg(owner).arg(self.dir.path()).status();
        assert!(given.unwrap().success());
    }

    /// A home with a config for one destination.
    pub fn new(mode: Mode, url: &str) -> Self {
        let home = Self::bare();
        home.write_config(&mode.config(url));
        home
    }

    pub fn config_file(&self) -> PathBuf {
        self.dir.path().join("config/reelhaul/config.toml")
    }

    /// Writes the config, for its owner's eyes alone.
    pub fn write_config(&self, text: &str) {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(self.config_file()).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state/reelhaul")
    }

    /// The one session that is saved.
    pub fn session(&self) -> PathBuf {
        let found = self.sessions();
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    }

    /// The session files.
    pub fn sessions(&self) -> Vec<PathBuf> {
        let folder = self.state().join("sessions");
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension() == Some(OsStr::new("toml")))
            .collect()
    }

    /// The program with these arguments, in this home.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("REELHAUL_") {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("HOME", self.dir.path())
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        if let Some(user) = self.user {
            use std::os::unix::process::CommandExt as _;
            command.uid(user).gid(user);
        }
        command
    }

    /// Starts the program.
    pub fn start<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Running {
        Running::new(self.command(args))
    }

    /// Runs the program to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ended {
        self.start(args).end()
    }

    /// Uploads the tree, in parts as small as they may be.
    pub fn up(&self, more: &[&str]) -> Running {
        let mut args = vec!["--part-size", "5MiB"];
        args.extend(more);
        self.up_with(&args)
    }

    /// Uploads the tree.
    pub fn up_with(&self, more: &[&str]) -> Running {
        let tree = self.tree();
        let mut args: Vec<&OsStr> = vec!["up".as_ref(), tree.as_ref(), "--json".as_ref()];
        args.extend(more.iter().map(OsStr::new));
        self.start(args)
    }

    /// Goes on with the one session that is saved.
    pub fn resume(&self, more: &[&str]) -> Running {
        let mut args = vec!["resume", "--json"];
        args.extend(more);
        self.start(args)
    }
}

/// The program while it runs. It is killed when this is dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    stderr: Option<JoinHandle<String>>,
    errors: Arc<Mutex<String>>,
}

impl Running {
    fn new(mut command: Command) -> Self {
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
    pub fn wait_for(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
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
    pub fn wait_for_event(&mut self, name: &str) -> Value {
        self.wait_for(name, |event| event["event"] == name)
    }

    /// Waits until it tells this on stderr.
    pub fn wait_for_error(&mut self, words: &str) {
        wait_for(words, || {
            let told = self.errors.lock().unwrap().contains(words);
            (told || !self.is_running()).then_some(())
        });
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it told on stderr so far.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.process());
        let status = Command::new("sh").arg("-c").arg(kill).status().unwrap();
        assert!(status.success());
    }

    /// SIGKILL. Says whether it still ran, and what it had told.
    pub fn kill(mut self) -> (bool, Vec<String>) {
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        let mut said = std::mem::take(&mut self.seen);
        said.extend(self.lines.iter());
        (status.code().is_none(), said)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
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
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// All that it printed.
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        let (out, err) = (&self.stdout, &self.stderr);
        assert_eq!(self.status.code(), Some(code), "{out}\n{err}");
        self
    }

    /// The JSON objects that it printed.
    pub fn events(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }

    /// The events of this name.
    pub fn named(&self, name: &str) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| event["event"] == name);
        events
    }

    /// The last line, which is always the summary.
    pub fn summary(&self) -> Value {
        let last = self.events().pop().unwrap_or_default();
        assert_eq!(last["event"], "summary", "{}\n{}", self.stdout, self.stderr);
        last
    }
}

/// The path in an event.
pub fn path_of(event: &Value) -> PathBuf {
    reelhaul::path::decode(event["path"].as_str().unwrap())
}

/// Copies the program to where any user can reach it.
pub fn copy_of_the_program(to: &Path) -> PathBuf {
    let copy = to.join("reelhaul");
    fs::copy(env!("CARGO_BIN_EXE_reelhaul"), &copy).unwrap();
    copy
}
