//! Walks of trees that feed the queue.

use std::{ops::ControlFlow, path::PathBuf};

use tokio::sync::mpsc;

use super::Actor;
use crate::{
    engine::protocol::{AddPaths, Event, Walk},
    identity::Identity,
    scan::{BadScan, Batch, Scan},
    session::record,
};

/// How many batches may wait for the actor before the walk does.
const AHEAD: usize = 8;

/// What a walk tells.
pub(super) enum Walked {
    /// It found something.
    Batch(Batch),
    /// It is over.
    Over,
}

/// The walks under way.
#[derive(Debug, Default)]
pub(super) struct Walks {
    channel: Option<(mpsc::Sender<Walked>, mpsc::Receiver<Walked>)>,
    running: usize,
    files: usize,
    bytes: u64,
    skipped: usize,
    at: PathBuf,
}

impl std::fmt::Debug for Walked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Batch(_) => "Batch",
            Self::Over => "Over",
        })
    }
}

impl Walks {
    /// Whether any is under way.
    pub(super) fn any(&self) -> bool {
        self.running > 0
    }

    /// Begins one, on a thread of its own.
    pub(super) fn start(&mut self, scan: Scan) {
        if !self.any() {
            *self = Self::default();
        }
        self.running += 1;
        let (sender, _) = self.channel.get_or_insert_with(|| mpsc::channel(AHEAD));
        let sender = sender.clone();
        tokio::task::spawn_blocking(move || {
            let mut sink = |batch| match sender.blocking_send(Walked::Batch(batch)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            // A broken walk is one nobody listens to any more.
            let _ = scan.walk(&mut sink);
            let _ = sender.blocking_send(Walked::Over);
        });
    }

    /// What comes next of them; `None` when none is under way.
    pub(super) async fn next(&mut self) -> Option<Walked> {
        if !self.any() {
            return None;
        }
        self.channel.as_mut()?.1.recv().await
    }

    /// Ends them all where they are.
    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    /// How far they are, all together.
    pub(super) fn show(&self) -> Option<Walk> {
        self.any().then(|| Walk {
            files: self.files,
            bytes: self.bytes,
            skipped: self.skipped,
            at: crate::path::shown(&self.at),
        })
    }
}

impl Actor {
    /// Begins to walk what a person named.
    pub(super) async fn add(&mut self, add: &AddPaths) -> Result<(), BadScan> {
        let scan = Scan::new(add)?;
        let roots = scan.clone();
        let checked = tokio::task::spawn_blocking(move || roots.check_roots()).await;
        checked.unwrap_or(Ok(()))?;
        self.walks.start(scan);
        Ok(())
    }

    pub(super) fn walked(&mut self, walked: Walked) {
        let batch = match walked {
            Walked::Batch(batch) => batch,
            Walked::Over => {
                self.walks.running = self.walks.running.saturating_sub(1);
                return;
            }
        };
        self.walks.at = batch.at;
        let mut text = String::new();
        for found in batch.found {
            let (seconds, nanoseconds) = found.modified;
            let nanoseconds = i32::try_from(nanoseconds).unwrap_or(0);
            let identity = Identity::new(found.size, seconds, nanoseconds, found.inode.1);
            let Some(kept) = self.queue.add(found.path, identity) else {
                continue;
            };
            self.walks.files += 1;
            self.walks.bytes += found.size;
            record::write_upload(&mut text, &kept);
            self.happened(|| Event::Queued {
                id: kept.id,
                path: kept.path,
                size: found.size,
            });
        }
        if !text.is_empty() {
            self.session.store.append(text);
        }
        for skipped in batch.skipped {
            self.walks.skipped += 1;
            tracing::info!(
                "{} is left out: {}",
                crate::path::shown(&skipped.path),
                skipped.reason
            );
            self.happened(|| Event::Skipped {
                path: skipped.path,
                reason: skipped.reason,
            });
        }
        for unreadable in batch.unreadable {
            self.errors += 1;
            let path = crate::path::shown(&unreadable.path);
            tracing::error!("{path} can't be read: {}", unreadable.reason);
            self.happened(|| Event::Unreadable {
                path: unreadable.path,
                reason: unreadable.reason,
            });
        }
    }
}
