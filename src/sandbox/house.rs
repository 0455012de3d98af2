//! What one sandbox is made of.

use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::watch, time::Instant};
use tokio_util::task::TaskTracker;

use super::{
    Options, Storage,
    budget::Budget,
    faults::{Fault, Faults},
    jwplayer,
    line::Line,
    media::Vendor,
    sign::Key,
    stats::Stats,
    store::Store,
};

/// Everything one sandbox is made of.
pub(super) struct House {
    pub(super) options: Options,
    /// Where clients on this machine reach it.
    pub(super) url: String,
    /// Whether it listens on any address.
    pub(super) anywhere: bool,
    pub(super) store: Arc<Store>,
    /// Where the bytes of JW Player's uploads go.
    pub(super) storage: jwplayer::Storage,
    pub(super) faults: Faults,
    pub(super) line: Line,
    pub(super) stats: Stats,
    pub(super) budget: Budget,
    pub(super) key: Key,
    /// What goes on beside the connections.
    pub(super) tasks: TaskTracker,
    /// Links and tokens that are good no more, before their time.
    revoked: Mutex<HashSet<String>>,
    /// What is held.
    pub(super) held: Releases,
    /// What is late.
    pub(super) late: Releases,
    /// The calls that are late, which outlive their connections.
    pub(super) late_calls: TaskTracker,
}

/// Changes each time that what waits for it is released.
#[derive(Debug, Default)]
pub(super) struct Releases(watch::Sender<()>);

impl Releases {
    /// What ends once everything that waits now is released.
    pub(super) fn next_release(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut releases = self.0.subscribe();
        async move {
            // The sender goes with the sandbox, and all connections before it.
            let _ = releases.changed().await;
        }
    }

    /// Releases what waits, and not what will.
    pub(super) fn release(&self) {
        self.0.send_replace(());
    }
}

impl House {
    /// Opens the storage. Blocks.
    pub(super) fn open(addr: SocketAddr, options: Options) -> io::Result<Self> {
        let store = Arc::new(Store::open(&options.storage)?);
        let key = match &options.storage {
            Storage::Keep(folder) => Key::open(&folder.join("key"))?,
            Storage::Discard => Key::new()?,
        };
        Ok(Self {
            url: super::url(addr),
            anywhere: addr.ip().is_unspecified(),
            storage: jwplayer::Storage::open(&options)?,
            store,
            faults: Faults::new(&options.faults, options.seed),
            line: Line::new(options.speed, options.latency),
            stats: Stats::new(Instant::now()),
            budget: Budget::new(options.calls_per_minute),
            key,
            tasks: TaskTracker::new(),
            revoked: Mutex::default(),
            held: Releases::default(),
            late: Releases::default(),
            late_calls: TaskTracker::new(),
            options,
        })
    }

    /// Goes on with files that were complete but not put together when the sandbox last ended.
    pub(super) fn go_on(self: &Arc<Self>) {
        for (id, vendor) in self.store.unassembled() {
            match vendor {
                Vendor::JwPlayer => self.storage.assemble(self, &id),
                Vendor::ApiVideo => self.store.assemble(&id),
            }
        }
    }

    /// Lets go on what is held, and holds nothing more.
    pub(super) fn release(&self) {
        self.faults.forget(Fault::Hold);
        self.held.release();
    }

    /// Has all that is late done, and nothing more be late. Returns when it was done.
    pub(super) async fn do_what_is_late(&self) {
        self.faults.forget(Fault::Late);
        self.late.release();
        self.late_calls.close();
        self.late_calls.wait().await;
        self.late_calls.reopen();
    }

    /// Makes a link or token invalid from now on. Says whether it was valid until now.
    pub(super) fn revoke(&self, word: &str) -> bool {
        self.revoked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(word.to_owned())
    }

    /// Whether a link or token was made invalid.
    pub(super) fn is_revoked(&self, word: &str) -> bool {
        self.revoked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(word)
    }
}
