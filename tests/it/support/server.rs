//! A sandbox in this process, and what it says it received.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use reelhaul::sandbox::{Options, Sandbox, Storage};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpSocket, runtime::Runtime};

use super::{Running, Source, wait_for};

/// A sandbox in this process.
pub(crate) struct Server {
    runtime: Option<Runtime>,
    sandbox: Option<Sandbox>,
    addr: SocketAddr,
    pub(crate) url: String,
    _kept: TempDir,
}

impl Server {
    /// A sandbox that is quick to process and has no faults.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// The same with some options changed.
    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::listening(None, change)
    }

    /// One whose system takes hardly a byte ahead of it: elsewhere that may be 32 MiB, so that
    /// clients get rid of whole parts which nobody reads.
    pub(crate) fn that_takes_nothing_ahead() -> Self {
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
            _kept: kept,
        }
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = http(self.addr, method, path, body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    pub(crate) fn addr(&self) -> std::net::SocketAddr {
        self.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// What it has, and what it was asked.
    pub(crate) fn report(&self) -> Report {
        serde_json::from_value(self.ask("GET", "/_sandbox/report", None)).unwrap()
    }

    /// Scripts faults, in the sandbox's own words.
    pub(crate) fn script(&self, faults: &Value) {
        self.ask("POST", "/_sandbox/faults", Some(faults));
    }

    /// Forgets all faults, and how often each was met.
    pub(crate) fn no_faults(&self) {
        self.ask("DELETE", "/_sandbox/faults", None);
    }

    /// How often a fault really struck.
    pub(crate) fn met(&self, fault: &str) -> u64 {
        self.ask("GET", "/_sandbox/faults", None)["met"][fault]
            .as_u64()
            .unwrap_or(0)
    }

    /// Holds this part of any file in the middle, as often as said, until [`Self::release`].
    pub(crate) fn hold_part(&self, part: u64, times: u64) {
        self.script(&json!([{ "fault": "hold", "on": "part", "part": part, "times": times }]));
    }

    /// Holds every part that comes in the middle, until [`Self::release`].
    pub(crate) fn hold_parts(&self) {
        self.script(&json!([{ "fault": "hold", "on": "part", "times": 1_000_000 }]));
    }

    /// Holds every part that comes but the first of each file in the middle, until [`Self::release`].
    pub(crate) fn hold_parts_but_the_first(&self) {
        self.script(&json!([
            { "fault": "delay", "ms": 0, "on": "part", "part": 1, "times": 1_000_000 },
            { "fault": "hold", "on": "part", "times": 1_000_000 },
        ]));
    }

    /// Waits until so many requests were held since the last time all faults were forgotten.
    pub(crate) fn wait_until_held(&self, count: u64) {
        wait_for("requests that are held", || {
            (self.met("hold") >= count).then_some(())
        });
    }

    /// Lets everything that is held go on, and holds nothing more.
    pub(crate) fn release(&self) {
        self.ask("DELETE", "/_sandbox/holds", None);
    }

    /// Ends a run by Ctrl-C while parts of it are held: what is held arrives. `later` are the parts that
    /// have not started; they never arrive.
    pub(crate) fn stop_amid(&self, run: Running, later: &[u64]) {
        run.signal("INT");
        // A part that started all the same would be given up after a while.
        let stall = |part: &u64| json!({ "fault": "stall", "on": "part", "part": part });
        self.script(&later.iter().map(stall).collect());
        self.release();
        run.end().assert_code(130);
        self.no_faults();
    }

    /// Lets everything that is held go on; holds that are still to come stay.
    pub(crate) fn release_held(&self) {
        self.ask("DELETE", "/_sandbox/holds/held", None);
    }

    /// Waits until a fault struck.
    pub(crate) fn wait_until_met(&self, fault: &str) {
        wait_for(fault, || (self.met(fault) > 0).then_some(()));
    }

    /// Every scripted fault found something to strike, and struck.
    pub(crate) fn assert_all_struck(&self) {
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

    /// Waits until the sandbox has taken so many requests that are late.
    pub(crate) fn wait_until_late(&self, count: u64) {
        wait_for("requests that are late", || {
            (self.met("late") >= count).then_some(())
        });
    }

    /// Does all that is late, though its client may be gone, and is not late any more.
    pub(crate) fn do_what_is_late(&self) {
        self.ask("DELETE", "/_sandbox/late", None);
    }

    /// Bytes a second that all connections share; 0 for no limit.
    pub(crate) fn line(&self, speed: u64) {
        self.ask("PUT", "/_sandbox/line", Some(&json!({ "speed": speed })));
    }

    pub(crate) fn latency(&self, milliseconds: u64) {
        let change = json!({ "latency_ms": milliseconds });
        self.ask("PUT", "/_sandbox/line", Some(&change));
    }

    /// Waits until the sandbox has taken all that a client which is gone had sent: the one
    /// connection left is the one that asks.
    pub(crate) fn wait_until_hung_up(&self) {
        wait_for("the end of all connections", || {
            (self.report().connections == 1).then_some(())
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
pub(crate) fn http(
    addr: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> (u16, String) {
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
pub(crate) struct Report {
    pub(crate) media: Vec<Media>,
    pub(crate) requests: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) bytes_received: u64,
    pub(crate) part_slots_listed: u64,
    pub(crate) connections: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Media {
    pub(crate) id: String,
    pub(crate) title: String,
    /// The id its client knows it by.
    pub(crate) marker: Option<String>,
    pub(crate) state: String,
    pub(crate) complete: bool,
    pub(crate) size: u64,
    pub(crate) sha256: Option<String>,
    pub(crate) parts: Vec<Piece>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Piece {
    /// Its number, where it was announced by number.
    pub(crate) part: Option<u32>,
    /// How many parts were announced with it.
    pub(crate) of: Option<u32>,
    /// Where it begins, where it was announced as a byte range.
    pub(crate) from: Option<u64>,
    /// Bytes it holds, once it arrived whole.
    pub(crate) size: Option<u64>,
    /// How often it arrived whole.
    pub(crate) acknowledged: u64,
    /// Tries that were begun when it was there already.
    pub(crate) resent: u64,
    /// Bytes of it that came in, over all tries.
    pub(crate) received: u64,
}

impl Report {
    /// The media objects that are there: those that were deleted are not.
    pub(crate) fn there(&self) -> Vec<&Media> {
        self.media
            .iter()
            .filter(|media| media.state != "deleted")
            .collect()
    }

    /// The one media object of this title.
    pub(crate) fn one(&self, title: &str) -> &Media {
        let found: Vec<_> = self
            .there()
            .into_iter()
            .filter(|media| media.title == title)
            .collect();
        assert_eq!(found.len(), 1, "media objects titled {title:?}: {found:#?}");
        found[0]
    }

    /// Holds what is there against the files: each once, whole, ready, and nothing else.
    pub(crate) fn assert_holds(&self, files: &[Source]) {
        for file in files {
            let media = self.one(&file.title());
            assert_eq!(media.state, "ready", "{media:#?}");
            assert_eq!(media.size, file.size, "{media:#?}");
            assert_eq!(media.sha256.as_deref(), Some(&*file.sha256), "{media:#?}");
        }
        assert_eq!(self.there().len(), files.len(), "{:#?}", self.there());
    }

    /// No part came in again that was there, and none twice.
    pub(crate) fn assert_nothing_twice(&self) {
        for media in &self.media {
            for piece in &media.parts {
                assert!(piece.acknowledged <= 1, "twice whole: {media:#?}");
                assert_eq!(piece.resent, 0, "sent though it was there: {media:#?}");
            }
        }
    }

    /// Bytes of files that came in beyond those that make the files.
    pub(crate) fn wasted(&self) -> u64 {
        let pieces = || self.media.iter().flat_map(|media| &media.parts);
        let received: u64 = pieces().map(|piece| piece.received).sum();
        let needed: u64 = pieces().filter_map(|piece| piece.size).sum();
        received - needed
    }
}
