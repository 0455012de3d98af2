//! Walks of trees that feed the queue. What is walked is kept in the session until the walk came to
//! its end, and what could not be read until it could.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    path::PathBuf,
    sync::Arc,
};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::Actor;
use crate::{
    engine::{
        protocol::{AddPaths, Event, Outcome, UploadId, Walk},
        record::Upload,
        upload::why_uploaded,
    },
    error::{Error, Kind},
    fault_point::fault_point,
    ids::{MOST_UPLOADS, MediaId, WalkId},
    ledger::{Ledger, Uploaded},
    scan::{self, Batch, Found, Scan, Unreadable},
    session::{self, Change, record, walks},
};

/// How many batches may wait for the actor before the walk does.
const AHEAD: usize = 8;

/// Which walk under way tells something.
pub(super) type RunId = u64;

/// What a walk tells.
pub(super) enum Walked {
    /// What it begins with was looked at; to be answered so.
    Began(RunId, Outcome, oneshot::Sender<Outcome>),
    /// It found something; of each media file: whether it is uploaded already.
    Batch(RunId, Batch, Vec<Option<Uploaded>>),
    /// It is over; whether it came to its end.
    Over(RunId, bool),
}

/// Tells that a walk is over when it is dropped: also of one that panicked.
struct Walking {
    run: RunId,
    to: mpsc::Sender<Walked>,
    whole: bool,
}

impl Drop for Walking {
    fn drop(&mut self) {
        let _ = self.to.blocking_send(Walked::Over(self.run, self.whole));
    }
}

/// A walk under way.
#[derive(Debug)]
struct Run {
    /// The one of the session's it is, or is a part of.
    walk: WalkId,
    /// Whether it is all of that.
    all: bool,
    /// Whether files that other sessions hold are taken too.
    again: bool,
    /// Paths that could not be read before, and are walked again by this.
    covers: HashSet<UploadId>,
}

/// What a person asked for.
struct Asked {
    /// How many paths were named.
    roots: usize,
    answer: oneshot::Sender<Outcome>,
    /// The session knows of it: nothing is found before that.
    saved: oneshot::Receiver<()>,
}

/// The walks under way.
#[derive(Debug, Default)]
pub(super) struct Walks {
    channel: Option<(mpsc::Sender<Walked>, mpsc::Receiver<Walked>)>,
    runs: HashMap<RunId, Run>,
    begun: RunId,
    files: usize,
    bytes: u64,
    skipped: usize,
    at: PathBuf,
}

impl std::fmt::Debug for Walked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Began(..) => "Began",
            Self::Batch(..) => "Batch",
            Self::Over(..) => "Over",
        })
    }
}

impl Walks {
    /// Whether any is under way.
    pub(super) fn any(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Begins one, on a thread of its own. Where a person waits for an answer, what it is to begin with
    /// is looked at there first: the disk of whatever is named may take its time.
    fn start(
        &mut self,
        scan: Scan,
        run: Run,
        ledger: Option<Arc<dyn Ledger>>,
        asked: Option<Asked>,
    ) {
        if !self.any() {
            let begun = self.begun;
            *self = Self {
                begun,
                ..Self::default()
            };
        }
        self.begun += 1;
        let id = self.begun;
        self.runs.insert(id, run);
        let (sender, _) = self.channel.get_or_insert_with(|| mpsc::channel(AHEAD));
        let to = sender.clone();
        fault_point("walk-starts");
        tokio::task::spawn_blocking(move || {
            let mut walking = Walking {
                run: id,
                to,
                whole: false,
            };
            if let Some(asked) = asked {
                let checked = scan.check_roots();
                let outcome = match &checked {
                    Ok(()) => Outcome::new(asked.roots, "looking for media"),
                    Err(error) => Outcome::refused(error.to_string()),
                };
                let began = Walked::Began(id, outcome, asked.answer);
                let told = walking.to.blocking_send(began);
                if told.is_err() || checked.is_err() || asked.saved.blocking_recv().is_err() {
                    return;
                }
            }
            let mut sink = |batch| {
                fault_point("walk-batch");
                let known = match &ledger {
                    Some(ledger) => uploaded(&**ledger, &batch),
                    None => Vec::new(),
                };
                match walking.to.blocking_send(Walked::Batch(id, batch, known)) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            };
            // A broken walk is one nobody listens to any more.
            walking.whole = scan.walk(&mut sink).is_continue();
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

    /// How much of what they told was not taken yet.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.channel.as_ref().map_or(0, |(_, told)| told.len())
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
        let begun = scan::absolute(add).and_then(|add| Ok((Scan::new(&add)?, add)));
        let (scan, add) = match begun {
            Ok(begun) => begun,
            Err(error) => return drop(answer.send(Outcome::refused(error.to_string()))),
        };
        let walk = session::Walk {
            id: self.queue.walks.next_id(),
            add,
            mounts: Vec::new(),
            over: false,
        };
        let mut text = String::new();
        walks::write_walk(&mut text, &walk);
        self.append(text);
        let asked = Asked {
            roots: walk.add.paths.len(),
            answer,
            saved: self.session.store.barrier(),
        };
        self.start_walk(scan, run(&walk, true, HashSet::new()), Some(asked));
        self.queue.walks.insert(walk);
    }

    fn start_walk(&mut self, scan: Scan, run: Run, asked: Option<Asked>) {
        // What `stat` alone shows is not asked for where it does not decide.
        let shows = !run.again && !self.shared.is_deep;
        let ledger = shows.then(|| Arc::clone(&self.shared.ledger));
        self.walks.start(scan, run, ledger, asked);
    }

    /// Goes on with the walks that were cut short: from their beginning, since what is queued is not
    /// queued twice.
    pub(super) fn go_on_walking(&mut self) {
        let open: Vec<session::Walk> = self.queue.walks.open().cloned().collect();
        for walk in open {
            let of = |id: &UploadId| self.queue.get(*id)?.unread().filter(|of| *of == walk.id);
            let order = self.queue.order().iter().copied();
            let covers = order.filter(|id| of(id).is_some()).collect();
            match Scan::new(&walk.add) {
                Ok(scan) => self.start_walk(scan, run(&walk, true, covers), None),
                Err(error) => tracing::error!("a walk can't be gone on with: {error}"),
            }
        }
    }

    /// Walks paths again that could not be read; how many it is.
    pub(super) fn walk_unread(&mut self, ids: Vec<UploadId>) -> usize {
        let under_way = |id: &UploadId| self.walks.runs.values().any(|run| run.covers.contains(id));
        let mut by_walk: HashMap<WalkId, (Vec<PathBuf>, HashSet<UploadId>)> = HashMap::new();
        for id in ids.into_iter().filter(|id| !under_way(id)) {
            let Some(upload) = self.queue.get(id) else {
                continue;
            };
            if let Some(walk) = upload.unread() {
                let (paths, covers) = by_walk.entry(walk).or_default();
                paths.push(upload.path.to_path_buf());
                covers.insert(id);
            }
        }
        let mut count = 0;
        for (walk, (paths, covers)) in by_walk {
            let Some(walk) = self.queue.walks.get(walk) else {
                continue;
            };
            match Scan::again(&walk.add, &paths) {
                Ok(scan) => {
                    count += paths.len();
                    let run = run(walk, false, covers);
                    self.queue.walks.walk_again(run.walk);
                    self.start_walk(scan, run, None);
                }
                Err(error) => tracing::error!("a walk can't be repeated: {error}"),
            }
        }
        count
    }

    /// A walk that a person asked for begins, or can't.
    pub(super) fn began(&mut self, run: RunId, outcome: &Outcome) {
        if outcome.refused {
            self.walk_over(run, true);
        }
    }

    pub(super) fn walked(&mut self, walked: Walked) {
        match walked {
            Walked::Batch(run, batch, known) => self.batch(run, batch, known),
            Walked::Over(run, whole) => self.walk_over(run, whole),
            Walked::Began(..) => {} // answered where it came in
        }
    }

    fn batch(&mut self, run: RunId, batch: Batch, known: Vec<Option<Uploaded>>) {
        self.walks.at = batch.at;
        let mut text = String::new();
        if let Some(walk) = self.walks.runs.get(&run).map(|run| run.walk) {
            for mount in &batch.mounts {
                // One that was mounted since this run began is not known yet.
                self.read_mounts();
                if self.queue.walks.met(walk, mount) {
                    walks::write_mount(&mut text, walk, mount);
                }
            }
        }
        let known = known.into_iter().chain(std::iter::repeat(None));
        for (found, uploaded) in batch.found.into_iter().zip(known) {
            self.found(run, found, uploaded.as_ref(), &mut text);
        }
        for unreadable in batch.unreadable {
            self.unreadable(run, unreadable, &mut text);
        }
        if !text.is_empty() {
            self.append(text);
        }
        for skipped in batch.skipped {
            self.left_out(skipped.path, skipped.reason, None);
        }
    }

    fn found(&mut self, run: RunId, found: Found, uploaded: Option<&Uploaded>, text: &mut String) {
        let run = self.walks.runs.get(&run);
        let again = run.is_some_and(|run| run.again);
        if run.is_some_and(|run| self.queue.stays_out(&found.path, run.walk)) {
            let reason = "it was taken out of the queue".to_owned();
            return self.left_out(found.path, reason, None);
        }
        let identity = found.stat.identity;
        if let Some(uploaded) = uploaded
            && self.queue.find(&found.path).is_none()
        {
            self.claims.uploaded_before += 1;
            let (reason, media) = (why_uploaded(uploaded), uploaded.media.clone());
            return self.left_out(found.path, reason, media);
        }
        // What could not be read and is a file now takes its own place.
        if let Some(id) = self.unread_at(&found.path) {
            self.keep_after(text, id, &Change::Removed);
        }
        if self.queue.is_full() && self.queue.find(&found.path).is_none() {
            let reason = format!(
                "this session has given out all its {MOST_UPLOADS} upload ids: add it in another session"
            );
            return self.left_out(found.path, reason, None);
        }
        let Some(mut kept) = self.queue.add(found.path, identity, again) else {
            return;
        };
        let now = Timestamp::now().into();
        kept.times.queued = now;
        self.queue.with(kept.id, |upload| upload.times.queued = now);
        self.walks.files += 1;
        self.walks.bytes += identity.size;
        record::write_upload(text, &kept);
        if self.holding {
            text.push_str(&self.changed(kept.id, &Change::Paused));
        }
        self.happened(|| Event::Queued {
            id: kept.id,
            path: kept.path,
            size: identity.size,
        });
    }

    fn unreadable(&mut self, run: RunId, unreadable: Unreadable, text: &mut String) {
        self.errors += 1;
        let Unreadable { path, reason } = unreadable;
        tracing::error!("{} can't be read: {reason}", crate::path::shown(&path));
        let why = Error::new(Kind::Local, &reason);
        let before = self.unread_at(&path);
        if let Some(run) = self.walks.runs.get_mut(&run) {
            if let Some(id) = before {
                run.covers.remove(&id);
                self.keep_after(text, id, &Change::Failed(why));
            } else if let Some(kept) = self.queue.add_unread(path.clone(), run.walk, why) {
                record::write_upload(text, &kept);
            }
        }
        self.happened(|| Event::Unreadable { path, reason });
    }

    /// Makes a change that is kept behind what was gathered so far, which may be what it changes.
    fn keep_after(&mut self, text: &mut String, id: UploadId, change: &Change) {
        let gathered = std::mem::take(text);
        if !gathered.is_empty() {
            self.append(gathered);
        }
        self.keep(id, change);
    }

    /// The place in the queue of a path that could not be read.
    fn unread_at(&self, path: &std::path::Path) -> Option<UploadId> {
        let id = self.queue.find(path)?;
        self.queue.get(id)?.unread().map(|_| id)
    }

    /// A walk is over: what it walked again and did not tell of could be read.
    fn walk_over(&mut self, run: RunId, whole: bool) {
        let Some(run) = self.walks.runs.remove(&run) else {
            return;
        };
        if !whole {
            return;
        }
        for id in run.covers {
            let unread = self.queue.get(id).and_then(Upload::unread);
            if unread.is_some() {
                self.keep(id, &Change::Removed);
            }
        }
        self.queue.tidy();
        if run.all && self.queue.walk_over(run.walk) {
            let mut text = String::new();
            walks::write_walk_over(&mut text, run.walk);
            self.append(text);
        }
    }

    fn left_out(&mut self, path: PathBuf, reason: String, media: Option<MediaId>) {
        self.walks.skipped += 1;
        tracing::info!("{} is left out: {reason}", crate::path::shown(&path));
        self.happened(|| Event::Skipped {
            path,
            reason,
            media,
        });
    }
}

/// Which of the media files of a batch are uploaded already. Blocks.
fn uploaded(ledger: &dyn Ledger, batch: &Batch) -> Vec<Option<Uploaded>> {
    let files = batch.found.iter();
    let files: Vec<_> = files.map(|found| (&*found.path, found.stat)).collect();
    ledger.known(&files).unwrap_or_else(|error| {
        // Each is asked for again before it is started.
        tracing::warn!("{error}");
        Vec::new()
    })
}

/// A walk of the session's that is made once more, all of it or what it could not read.
fn run(walk: &session::Walk, all: bool, covers: HashSet<UploadId>) -> Run {
    Run {
        walk: walk.id,
        all,
        again: walk.add.again,
        covers,
    }
}
