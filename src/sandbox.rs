//! A local server that speaks both vendors' APIs, for demo, tests and benchmarks; knows nothing of
//! engine, session or screen, and of the clients only what they send.
//!
//! It is held to be faithful by the vendors' own clients (`tests/conformance/`). What it received
//! it tells at `GET /_sandbox/report`, so that tests can ask instead of trust; what it does wrong on
//! purpose is set by [`Options::faults`] or, at run time, by `POST /_sandbox/faults`.
//!
//! | module | room for |
//! |---|---|
//! | `server` | connections, and the way of one request through faults and vendor |
//! | `house` | what one sandbox is made of |
//! | `request` | what a request asks, and answers |
//! | `wire` | the socket and the body below HTTP: line speed, resets, stalls |
//! | `faults` | which fault strikes when |
//! | `strike` | what a fault does to a call before it is answered |
//! | `control` | `/_sandbox/…` |
//! | `report` | what was received |
//! | `media` | one media object and its pieces; pure |
//! | `store` | all of them, and their bytes on disk or hashed and dropped |
//! | `budget` | calls a minute |
//! | `jwplayer`, `apivideo` | the vendors' calls, rules and error bodies |

mod apivideo;
mod budget;
mod control;
mod faults;
mod house;
mod jwplayer;
mod line;
mod media;
mod report;
mod request;
mod server;
mod sign;
mod stats;
mod store;
mod strike;
mod wire;

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::faults::{BadFault, Fault};
use self::house::House;
use crate::secret::Secret;

/// The JW Player site id that is accepted unless [`Options::site_id`] says otherwise.
pub const SITE: &str = "Site0001";
/// The JW Player API secret that is accepted unless [`Options::secret`] says otherwise.
pub const SECRET: &str = "sandbox-secret";
/// The api.video API key that is accepted unless [`Options::api_keys`] says otherwise.
pub const API_KEY: &str = "sandbox-key";

/// What becomes of the bytes that arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// Kept in this folder, made if need be; uploads found there go on where they were.
    Keep(PathBuf),
    /// Hashed part by part and dropped; nothing outlives the server.
    Discard,
}

/// A bucket of an S3 server, where the bytes of JW Player's uploads go instead of to the sandbox: its
/// links are pre-signed for there, and the sandbox sees no byte. So there is no fault, no line speed
/// and no count of tries for parts; what lies there is asked for, and the report's hashes are taken
/// from the finished objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Options {
    /// The server's address, such as `http://127.0.0.1:8333`.
    pub endpoint: String,
    /// The bucket, which is there already.
    pub bucket: String,
    /// The region requests are signed for.
    pub region: String,
    /// The access key.
    pub access_key: Secret,
    /// The secret key.
    pub secret_key: Secret,
}

/// How the sandbox behaves.
#[derive(Clone, PartialEq)]
pub struct Options {
    /// What becomes of the bytes.
    pub storage: Storage,
    /// Where the bytes of JW Player's uploads go instead.
    pub s3: Option<S3Options>,
    /// Bytes a second that all connections together may send to it.
    pub speed: Option<u64>,
    /// What each request waits before anything happens.
    pub latency: Duration,
    /// Faults and how often each strikes, per request it can strike (0 to 1).
    pub faults: Vec<(Fault, f64)>,
    /// Decides, with the rates, which requests are struck.
    pub seed: u64,
    /// How long a complete media object takes until it is ready.
    pub processing: Duration,
    /// How long a link to put bytes to stays good.
    pub link_ttl: Duration,
    /// How long an access token of api.video stays good.
    pub token_ttl: Duration,
    /// API calls a minute: JW Player's over all, api.video's for uploads, writes and reads each.
    /// `None`: as many as come.
    pub calls_per_minute: Option<u32>,
    /// The most parts JW Player's list shows on a page, whatever is asked for.
    pub page_length_max: u64,
    /// Whether JW Player completes an upload with a gap in its parts with what lies before the gap,
    /// silently, instead of refusing.
    pub truncate_gaps: bool,
    /// The JW Player site there is.
    pub site_id: String,
    /// The JW Player API secret that is accepted.
    pub secret: String,
    /// The api.video API keys that are accepted: all of them open one workspace.
    pub api_keys: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            storage: Storage::Discard,
            s3: None,
            speed: None,
            latency: Duration::ZERO,
            faults: Vec::new(),
            seed: 0,
            processing: Duration::from_secs(1),
            link_ttl: Duration::from_hours(1),
            token_ttl: Duration::from_hours(1),
            calls_per_minute: None,
            page_length_max: 1000,
            truncate_gaps: false,
            site_id: SITE.to_owned(),
            secret: SECRET.to_owned(),
            api_keys: vec![API_KEY.to_owned()],
        }
    }
}

impl fmt::Debug for Options {
    /// Leaves out what would let its reader in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("storage", &self.storage)
            .field("s3", &self.s3)
            .field("speed", &self.speed)
            .field("latency", &self.latency)
            .field("faults", &self.faults)
            .field("site_id", &self.site_id)
            .finish_non_exhaustive()
    }
}

/// A running sandbox; dropping it ends it.
#[derive(Debug)]
pub struct Sandbox {
    addr: SocketAddr,
    ended: tokio::task::JoinHandle<()>,
    end: DropGuard,
}

impl Sandbox {
    /// Starts serving on a listener, which is handed in so that tests and `--listen` choose it.
    ///
    /// # Errors
    /// When the listener has no address, or the folder to keep things in can't be used, or is used
    /// by another sandbox, or the S3 bucket can't be used.
    pub async fn start(listener: TcpListener, options: Options) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let opened = tokio::task::spawn_blocking(move || {
            let lock = store::lock(&options.storage)?;
            io::Result::Ok((lock, House::open(addr, options)?))
        });
        let (lock, house) = opened.await??;
        house.storage.check().await?;
        let end = CancellationToken::new();
        let ended = tokio::spawn({
            let end = end.clone();
            async move {
                server::serve(listener, Arc::new(house), end).await;
                drop(lock);
            }
        });
        Ok(Self {
            addr,
            ended,
            end: end.drop_guard(),
        })
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address a client on this machine reaches it at, such as `http://127.0.0.1:4000`.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.addr)
    }

    /// Cuts all connections and ends; what is kept is whole on disk afterwards.
    pub async fn stop(self) {
        drop(self.end);
        // Only a panic in the server makes this an error, and that was reported where it happened.
        drop(self.ended.await);
    }
}

/// Where a client on this machine reaches an address: the loopback for "any address".
fn url(addr: SocketAddr) -> String {
    if addr.ip().is_unspecified() {
        format!("http://{}:{}", Ipv4Addr::LOCALHOST, addr.port())
    } else {
        format!("http://{addr}")
    }
}
