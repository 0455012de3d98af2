//! Walks of trees that feed the queue.

use std::{ops::ControlFlow, path::PathBuf};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::Actor;
use crate::{
    engine::protocol::{AddPaths, Event, Outcome, Walk},
    identity::Identity,
    scan::{Batch, Scan, Skipped},
    session::{Change, record},
};

/// How many batches may wait for the actor before the walk does.
const AHEAD: usize = 8;

/// What a walk tells.
pub(super) enum Walked {
    /// What it begins with was looked at; to be answered so.
    Began(Outcome, oneshot::Sender<Outcome>),
    /// It found something.
    Batch(Batch),
    /// It is over.
    Over,
}

/// Tells that a walk is over when it is dropped: also of one that panicked.
struct Walking(mpsc::Sender<Walked>);

impl Drop for Walking {
    fn drop(&mut self) {
        let _ = self.0.blocking_send(Walked::Over);
    }
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
            Self::Began(..) => "Began",
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

    /// Begins one, on a thread of its own. What it is to begin with is looked at there too, and then
    /// answered: the disk of whatever a person names may take its time.
    pub(super) fn start(&mut self, scan: Scan, roots: usize, answer: oneshot::Sender<Outcome>) {
        if !self.any() {
            *self = Self::default();
        }
        self.running += 1;
        let (sender, _) = self.channel.get_or_insert_with(|| mpsc::channel(AHEAD));
        let sender = sender.clone();
        tokio::task::spawn_blocking(move || {
            let walking = Walking(sender);
            let checked = scan.check_roots();
            let outcome = match &checked {
                Ok(()) => Outcome::new(roots, "looking for media"),
                Err(error) => Outcome::refused(error.to_string()),
            };
            let began = walking.0.blocking_send(Walked::Began(outcome, answer));
            if checked.is_err() || began.is_err() {
                return;
            }
            let mut sink = |batch| match walking.0.blocking_send(Walked::Batch(batch)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            // A broken walk is one nobody listens to any more.
            let _ = scan.walk(&mut sink);
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
    pub(super) fn add(&mut self, add: &AddPaths, answer: oneshot::Sender<Outcome>) {
        match Scan::new(add) {
            Ok(scan) => self.walks.start(scan, add.paths.len(), answer),
            Err(error) => drop(answer.send(Outcome::refused(error.to_string()))),
        }
    }

    pub(super) fn walked(&mut self, walked: Walked) {
        let batch = match walked {
            Walked::Batch(batch) => batch,
            Walked::Over => {
                self.walks.running = self.walks.running.saturating_sub(1);
                return;
            }
            Walked::Began(..) => return, // answered where it came in
        };
        self.walks.at = batch.at;
        let mut text = String::new();
        let now = Timestamp::now().into();
        for found in batch.found {
            let (seconds, nanoseconds) = found.modified;
            let nanoseconds = i32::try_from(nanoseconds).unwrap_or(0);
            let identity = Identity::new(found.size, seconds, nanoseconds, found.inode.1);
            if let Some(reason) = self.elsewhere.reason(&found.path, &identity) {
                self.left_out(Skipped {
                    path: found.path,
                    reason,
                });
                continue;
            }
            let Some(mut kept) = self.queue.add(found.path, identity) else {
                continue;
            };
            kept.times.queued = now;
            self.queue.with(kept.id, |upload| upload.times.queued = now);
            self.walks.files += 1;
            self.walks.bytes += found.size;
            record::write_upload(&mut text, &kept);
            if self.holding {
                text.push_str(&self.changed(kept.id, &Change::Paused));
            }
            self.happened(|| Event::Queued {
                id: kept.id,
                path: kept.path,
                size: found.size,
            });
        }
        if !text.is_empty() {
            self.append(None, text);
        }
        for skipped in batch.skipped {
            self.left_out(skipped);
        }
        for unreadable in batch.unreadable {
            self.errors += 1;
            self.unreadable += 1;
            let path = crate::path::shown(&unreadable.path);
            tracing::error!("{path} can't be read: {}", unreadable.reason);
            self.happened(|| Event::Unreadable {
                path: unreadable.path,
                reason: unreadable.reason,
            });
        }
    }

    fn left_out(&mut self, skipped: Skipped) {
        self.walks.skipped += 1;
        let path = crate::path::shown(&skipped.path);
        tracing::info!("{path} is left out: {}", skipped.reason);
        self.happened(|| Event::Skipped {
            path: skipped.path,
            reason: skipped.reason,
        });
    }
}
