//! What the benchmarks share: files to send, a sandbox and a client as processes of their own, and
//! what a process cost. Numbers come from /proc; each benchmark says how it got its own.
#![allow(dead_code, clippy::unwrap_used)] // each benchmark uses a part; a panic ends it, and well

pub(crate) mod line;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

/// The client under test: `REELHAUL_BENCH_BIN`, or what is built as it is released.
pub(crate) fn reelhaul() -> String {
    std::env::var("REELHAUL_BENCH_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_reelhaul").into())
}

/// A number that may be set for one run: `REELHAUL_BENCH_RUNS=3`.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    let name = format!("REELHAUL_BENCH_{name}");
    match std::env::var(&name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
        Err(_) => default,
    }
}

/// How often each measurement is repeated.
pub(crate) fn runs() -> usize {
    usize::try_from(setting("RUNS", 5)).unwrap()
}

/// Where files to send are made, and kept for the next benchmark.
pub(crate) fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A file of random bytes, read once so that it is in the page cache.
pub(crate) fn file(size: u64) -> PathBuf {
    let path = scratch().join(format!("random-{size}.mp4"));
    if path.metadata().map_or(0, |metadata| metadata.len()) != size {
        let mut random = fastrand::Rng::with_seed(size);
        let mut out = File::create(&path).unwrap();
        let mut block = vec![0; 1 << 20];
        let mut left = size;
        while left > 0 {
            random.fill(&mut block);
            let length = left.min(MIB);
            out.write_all(&block[..usize::try_from(length).unwrap()])
                .unwrap();
            left -= length;
        }
    }
    std::io::copy(&mut File::open(&path).unwrap(), &mut std::io::sink()).unwrap();
    path
}

/// A file that is all hole.
pub(crate) fn sparse(size: u64) -> PathBuf {
    let path = scratch().join(format!("sparse-{size}.mp4"));
    File::create(&path).unwrap().set_len(size).unwrap();
    path
}

/// What a process cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// User and system time in seconds, in steps of 10 ms.
    pub(crate) cpu: f64,
    /// From its start to its end, in seconds.
    pub(crate) wall: f64,
    /// Until its last line that told of a part, in seconds.
    pub(crate) sent: f64,
    /// The most memory it ever had resident, in bytes.
    pub(crate) peak: u64,
}

/// User and system seconds of a process, dead or alive, that was not waited for.
pub(crate) fn cpu_of(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = text.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // The kernel tells these in hundredths of a second on every architecture.
    #[allow(clippy::cast_precision_loss)]
    let seconds = ticks as f64 / 100.0;
    seconds
}

/// A number of kB of a process's status, in bytes; 0 once the process has let go of its memory.
pub(crate) fn memory_of(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// Runs a process to its end, which has to be a good one.
pub(crate) fn run(command: &mut Command) -> Cost {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let (told, parts) = mpsc::channel();
    let out = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if line.contains("\"part\"") {
                told.send(Instant::now()).unwrap();
            }
        }
    });
    let mut cost = Cost::default();
    while !is_over(&child) {
        cost.peak = cost.peak.max(memory_of(child.id(), "VmHWM:"));
        thread::sleep(Duration::from_millis(2));
    }
    cost.wall = begun.elapsed().as_secs_f64();
    cost.cpu = cpu_of(child.id());
    reader.join().unwrap();
    cost.sent = parts
        .iter()
        .last()
        .map_or(cost.wall, |at| (at - begun).as_secs_f64());
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    cost
}

/// Whether a child has ended; what it cost can still be read.
fn is_over(child: &Child) -> bool {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(Pid::from_child(child)), options)
        .unwrap()
        .is_some()
}

/// A sandbox as a process of its own, ended with this.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    namespace: Option<String>,
    pub(crate) url: String,
}

impl Server {
    /// Starts one that keeps nothing.
    pub(crate) fn start(options: &[&str]) -> Self {
        Self::start_at(None, "127.0.0.1", options)
    }

    /// Starts one in a network namespace, at this address.
    pub(crate) fn start_at(namespace: Option<&str>, ip: &str, options: &[&str]) -> Self {
        let mut child = program(namespace, &reelhaul())
            .args(["sandbox", "--listen", &format!("{ip}:0")])
            .args(["--discard", "--processing", "0s"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http://"), "{line:?}");
        thread::spawn(move || out.read_to_end(&mut Vec::new()));
        let namespace = namespace.map(str::to_owned);
        Self {
            child,
            namespace,
            url,
        }
    }

    /// A link that takes one file with one PUT.
    pub(crate) fn link(&self) -> String {
        let answer = Command::new("curl")
            .args([
                "-sS",
                "-X",
                "POST",
                "-H",
                "Authorization: Bearer sandbox-secret",
                "-d",
            ])
            .arg(r#"{"upload":{"method":"direct"},"metadata":{"title":"bench"}}"#)
            .arg(format!("{}/v2/sites/Site0001/media/", self.url))
            .output()
            .unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
        answer["upload_link"].as_str().unwrap().to_owned()
    }

    /// What it received.
    pub(crate) fn report(&self) -> serde_json::Value {
        let url = format!("{}/_sandbox/report", self.url);
        let mut curl = program(self.namespace.as_deref(), "curl");
        let answer = curl.args(["-sS", &url]).output().unwrap();
        serde_json::from_slice(&answer.stdout).unwrap()
    }

    /// User and system seconds so far.
    pub(crate) fn cpu(&self) -> f64 {
        cpu_of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A program to be run, in a network namespace where one is named.
pub(crate) fn program(namespace: Option<&str>, path: &str) -> Command {
    match namespace {
        None => Command::new(path),
        Some(namespace) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace, path]);
            command
        }
    }
}

/// A folder with a config and room for a session.
#[derive(Debug)]
pub(crate) struct Client {
    namespace: Option<String>,
    folder: tempfile::TempDir,
}

impl Client {
    /// A client of both vendors' APIs at this address, with as many calls a minute as it likes.
    pub(crate) fn of(url: &str) -> Self {
        Self::in_namespace(None, url)
    }

    /// The same in a network namespace.
    pub(crate) fn in_namespace(namespace: Option<&str>, url: &str) -> Self {
        let folder = tempfile::tempdir_in(scratch()).unwrap();
        let config = format!(
            "[destination.jw]\nkind = \"jwplayer\"\nurl = \"{url}\"\nsite_id = \"Site0001\"\n\
             secret = \"sandbox-secret\"\ncalls_per_minute = 1000000\nallow_http = true\n\n\
             [destination.av]\nkind = \"apivideo\"\nurl = \"{url}\"\napi_key = \"sandbox-key\"\n\
             allow_http = true\n"
        );
        let path = folder.path().join("config.toml");
        fs::write(&path, config).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, private).unwrap();
        let namespace = namespace.map(str::to_owned);
        Self { namespace, folder }
    }

    /// The session file.
    pub(crate) fn session(&self) -> PathBuf {
        self.folder.path().join("session.toml")
    }

    /// `reelhaul up` of this file in a fresh session.
    pub(crate) fn up(&self, to: &str, file: &Path, options: &[&str]) -> Command {
        drop(fs::remove_file(self.session()));
        self.up_in(&self.session(), to, file, options)
    }

    /// `reelhaul up` of this file in this session.
    pub(crate) fn up_in(&self, session: &Path, to: &str, file: &Path, options: &[&str]) -> Command {
        let mut command = program(self.namespace.as_deref(), &reelhaul());
        command
            .arg("--config")
            .arg(self.folder.path().join("config.toml"))
            // The same file goes out many times.
            .args(["up", "--again", "--json", "--to", to, "--session"])
            .arg(session)
            .args(options)
            .arg(file)
            .env("XDG_STATE_HOME", self.folder.path())
            .env("RUST_LOG", "warn");
        command
    }
}

/// The middle of what was measured, and how far apart the middle half of it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Middle {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Of the measurements, the median and quartiles.
pub(crate) fn middle(values: impl IntoIterator<Item = f64>) -> Middle {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    Middle {
        median: values[last / 2],
        low: values[last / 4],
        high: values[last - last / 4],
    }
}

impl std::fmt::Display for Middle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { median, low, high } = self;
        write!(f, "{median:.2} ({low:.2}–{high:.2})")
    }
}

/// One line of a table: what, what it was, what it should be.
pub(crate) fn row(what: &str, measured: impl std::fmt::Display, target: &str) {
    println!("{what:<58} {measured:<28} {target}");
}

/// How busy the machine was with other things: a number without it says little.
pub(crate) fn machine() {
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    let cores = thread::available_parallelism().unwrap();
    println!("{cores} cores, load before: {}", load.trim());
}

/// Bytes as MiB.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}
