//! Who may upload the file: it is held against the ledger before anything is created, and against what
//! was claimed before it is completed.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    End, Source, StepWait, Task, Told, Tries,
    create::new_marker,
    file::{blocking, hash, open_here, open_regular, version_of},
};
use crate::{
    body::Reading,
    destination::{Md5, Ticket},
    engine::record::Step,
    error::{CallClass, Error, Kind, Result},
    fault_point::fault_point,
    format,
    identity::Identity,
    ids::Claim,
    ledger::{
        Claimed, Compare, Digest, Evidence, File, Request, Started, TakenOver, Uploaded, Write,
        samples::Samples,
    },
    path::shown,
    plan::PartPlan,
    session::{self, Change, Milestone, Progress},
};

/// How long a file that shrank while it was looked at is left alone, and for how long the ledger is when
/// it can't be used.
const LEFT_ALONE: Duration = Duration::from_secs(5);

impl Task {
    /// Looks at the file and asks the ledger for it. Where that is granted, marker, claim and plan are on
    /// disk when this returns: before the create, so that what that makes can be found again whatever
    /// happens.
    ///
    /// # Errors
    /// How the upload ended instead.
    pub(super) async fn claim_file(&mut self) -> Result<Source, End> {
        loop {
            let file = match self.sampled_file().await {
                Ok(file) => file,
                Err(end) => return Err(self.uploaded_before(end).await),
            };
            let is_new = self.record.made_nothing();
            if is_new {
                self.refresh_identity(file.stat.identity)?;
            } else if self.identity.size != file.stat.identity.size {
                return Err(self.changed(&file));
            }
            let request = self.request(&file, is_new)?;
            let plan = request.plan.clone();
            let claimed = match self.shared.ledger.claim(request).await {
                Ok(claimed) => claimed,
                Err(error) => {
                    self.wait_for_ledger(error).await?;
                    continue;
                }
            };
            match claimed {
                Claimed::Granted {
                    claim,
                    in_use,
                    samples,
                } => {
                    self.in_use = Some(in_use);
                    self.claimed = Some(file.clone());
                    self.is_fresh = is_new;
                    return if is_new {
                        self.start_claimed(claim, plan, &file).await
                    } else {
                        self.resume_claimed(claim, samples, &file).await
                    };
                }
                Claimed::TakenOver(taken) => return self.take_over(*taken, &file).await,
                Claimed::Wait(wait) => return Err(End::Waits(wait)),
                Claimed::Uploaded(uploaded) => return Err(self.is_uploaded(uploaded).await?),
                Claimed::Compare(compare) => {
                    let same = self.compare_whole(&file, &compare).await?;
                    self.compared
                        .extend(same.map(|same| (compare.object, same)));
                }
                Claimed::Discarded => self.renew(file.stat.identity),
            }
        }
    }

    /// The file as it is now, with samples of its bytes.
    async fn sampled_file(&self) -> Result<File, End> {
        let path = self.path.clone();
        let look = move || {
            let (file, stat) = open_regular(&path)?;
            match Samples::of(&file, stat.identity.size) {
                Ok(samples) => Ok((stat, Some(samples))),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok((stat, None)),
                Err(error) => Err(Error::local("it can't be read", &error)),
            }
        };
        let looked = self.at_disk(async |seen| {
            let _waiting = seen.waits();
            blocking(look).await
        });
        let looked = looked.await;
        let (stat, samples) = looked.map_err(End::Failed)?;
        self.was_read();
        let samples =
            samples.ok_or_else(|| End::Unsettled(stat.identity, Instant::now() + LEFT_ALONE))?;
        Ok(File {
            path: self.path.clone(),
            stat,
            samples,
        })
    }

    fn request(&mut self, file: &File, is_new: bool) -> Result<Request, End> {
        let plan = match self.record.plan() {
            Some(plan) => plan.clone(),
            None => self.plan()?,
        };
        let progress = &self.record.progress;
        Ok(Request {
            file: file.clone(),
            marker: progress.marker.clone(),
            plan,
            before: progress.claim,
            started: (!is_new).then(|| Started {
                ticket: progress.ticket.clone(),
                complete: progress.completed,
            }),
            again: self.again,
            is_deep: self.shared.is_deep,
            compared: self.compared.clone(),
        })
    }

    /// The upload starts: nothing was created of it.
    async fn start_claimed(
        &mut self,
        claim: Claim,
        plan: PartPlan,
        file: &File,
    ) -> Result<Source, End> {
        let marker = self.record.progress.marker.clone();
        self.keep_durably(vec![
            self.begun_under(marker),
            Change::Claimed(claim),
            Change::At(Milestone::Begun, Timestamp::now().into()),
            Change::Plan(plan),
        ])
        .await?;
        fault_point("marker-saved");
        Ok(Source::of(file.stat.identity))
    }

    /// The upload continues with its own object, which was claimed when the file had these samples.
    async fn resume_claimed(
        &mut self,
        claim: Claim,
        claimed: Option<Samples>,
        file: &File,
    ) -> Result<Source, End> {
        if self.record.progress.claim != Some(claim) {
            self.keep_durably(vec![Change::Claimed(claim)]).await?;
        }
        let (before, now) = (self.identity, file.stat.identity);
        let is_touched = before.modified != now.modified;
        if claimed.is_some_and(|claimed| claimed != file.samples) {
            return Err(self.changed(file));
        }
        let progress = &self.record.progress;
        if is_touched && progress.ticket.is_none() && progress.receipts.is_empty() {
            self.keep(vec![same_bytes(&now)]);
        }
        let is_replaced = before.inode != now.inode && before.inode != 0;
        if is_touched || is_replaced {
            self.warn_of_replacement();
        }
        Ok(Source {
            needs_rehash: is_touched || is_replaced,
            ..Source::of(now)
        })
    }

    /// The upload continues an object that nobody else continues.
    async fn take_over(&mut self, taken: TakenOver, file: &File) -> Result<Source, End> {
        self.in_use = Some(taken.in_use);
        self.is_fresh = false;
        self.claimed = Some(file.clone());
        let progress = &self.record.progress;
        let is_own = progress.marker == taken.marker && progress.plan.as_ref() == Some(&taken.plan);
        let from = taken.session.filter(|_| !is_own);
        let known = match from {
            Some(session) => progress_in(session, taken.marker.clone()).await,
            None => None,
        };
        let of_file = known.as_ref().and_then(|known| known.ticket.clone());
        let of_media = || taken.media.clone().map(Ticket::of);
        let ticket = taken.ticket.clone().or(of_file.clone()).or_else(of_media);
        let mut changes = Vec::new();
        if !is_own {
            if progress.ticket.is_some() {
                let ticket = progress.ticket.clone();
                self.orphaned(ticket.as_ref(), false);
            }
            changes.extend([
                Change::Fresh(file.stat.identity),
                self.begun_under(taken.marker),
                Change::At(Milestone::Begun, Timestamp::now().into()),
                Change::Plan(taken.plan.clone()),
            ]);
        }
        changes.push(Change::Claimed(taken.claim));
        changes.extend(ticket.clone().map(Change::Ticket));
        if taken.complete {
            changes.push(Change::Completed);
        }
        self.keep_durably(changes).await?;
        self.is_taken_over = !is_own;
        self.step(Step::Creating);
        tracing::info!("{}: continues with what was sent before", self.name());
        if taken.complete {
            self.record_all_found();
            return Err(End::Complete);
        }
        let receipts = known.filter(|known| known.plan.as_ref() == Some(&taken.plan));
        self.record_found(receipts.into_iter().flat_map(|it| it.receipts).collect());
        if let Some(ticket) = of_file.filter(|_| taken.ticket.is_none()) {
            self.write_ledger(Write::Ticket(ticket)).await?;
        }
        self.borrowed = (taken.evidence != Evidence::Certain).then_some(taken.claim.object);
        Ok(Source {
            needs_rehash: taken.evidence == Evidence::Path,
            is_copy: taken.evidence == Evidence::Samples,
            ..Source::of(file.stat.identity)
        })
    }

    /// The bytes of the file are not those of the object that was taken over: it is given back as it was,
    /// and the file has an object of its own. Whether that was so.
    pub(super) async fn return_borrowed(&mut self) -> Result<bool, End> {
        let Some(object) = self.borrowed.take() else {
            return Ok(false);
        };
        tracing::warn!(
            "{}: what another session sent is of another file with the same size and samples; it \
             is left alone",
            self.name()
        );
        self.compared.push((object, false));
        self.write_ledger(Write::GivenBack).await?;
        self.in_use = None;
        self.renew(self.identity);
        Ok(true)
    }

    /// What another session started can't be continued: its object is deleted, and the file has one of its
    /// own. Whoever uploads a file has asked for all of it, so that nobody is asked again. Whether that was
    /// so.
    pub(super) async fn replace_taken_over(&mut self, error: &Error) -> Result<bool, End> {
        if !std::mem::take(&mut self.is_taken_over) {
            return Ok(false);
        }
        tracing::warn!(
            "{}: {error}; another session started it, and it is started over",
            self.name()
        );
        self.borrowed = None;
        self.keep(vec![Change::Clearing]);
        self.start_over().await?;
        Ok(true)
    }

    /// The file can't be read any more: it may have moved, and gone out under its new name, inside the very
    /// object that was started here.
    async fn uploaded_before(&self, end: End) -> End {
        let progress = &self.record.progress;
        let claim = match &end {
            End::Failed(error) if error.kind == Kind::Local => progress.claim,
            _ => None,
        };
        let Some(claim) = claim else { return end };
        match self.shared.ledger.accepted(claim, &progress.marker).await {
            Ok(Some(uploaded)) => End::Uploaded(uploaded),
            _ => end,
        }
    }

    /// The account has the file already. What was started of it under this name is deleted, unless it is
    /// that very object.
    async fn is_uploaded(&mut self, uploaded: Uploaded) -> Result<End, End> {
        let before = self.record.progress.claim.map(|claim| claim.object);
        let reason = why_uploaded(&uploaded);
        if uploaded.is_unread {
            tracing::warn!("{}: {reason}", self.name());
        }
        if !self.record.made_nothing() && before != Some(uploaded.object) {
            tracing::warn!(
                "{}: {reason}; what was created of it under this name is removed",
                self.name()
            );
            self.keep(vec![Change::Clearing]);
            self.start_over().await?;
        }
        Ok(End::Uploaded(uploaded))
    }

    /// Another marker: what was created under the one before is not used again.
    pub(super) fn renew(&mut self, file: Identity) {
        let marker = new_marker(self.shared.ledger.id(), &mut self.random);
        self.keep(vec![Change::Fresh(file), self.begun_under(marker)]);
        self.step(Step::Creating);
    }

    /// Whether the file has the bytes of this object, all of them; `None` where it changed meanwhile.
    async fn compare_whole(&mut self, file: &File, with: &Compare) -> Result<Option<bool>, End> {
        tracing::info!(
            "{}: all of it is read, to compare it with what was uploaded from {}",
            self.name(),
            shown(&with.path)
        );
        self.step(Step::Checking);
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::default();
        self.tell(Told::AtDisk(Some(Arc::clone(&seen))));
        let comparing = {
            let (path, identity, with) = (self.path.clone(), file.stat.identity, with.clone());
            let reading = self.shared.reading.seen_in(&seen);
            let is_over = Arc::clone(&is_over);
            blocking(move || has_bytes(&path, &identity, &with, &reading, &is_over))
        };
        tokio::pin!(comparing);
        loop {
            tokio::select! {
                order = self.orders.recv() => {
                    self.obey(order.as_ref());
                    if self.stop.is_some() {
                        is_over.store(true, Ordering::Relaxed);
                        return Err(End::Stopped);
                    }
                }
                compared = &mut comparing => {
                    self.tell(Told::AtDisk(None));
                    self.step(Step::Creating);
                    return compared.map_err(End::Failed);
                }
            }
        }
    }

    /// The file is still what was claimed: what changed meanwhile never goes live.
    ///
    /// # Errors
    /// [`Kind::Changed`].
    pub(super) async fn check_unchanged(&self) -> Result<(), End> {
        let file = self.sampled_file().await?;
        self.identity
            .check(&file.stat.identity)
            .map_err(End::Failed)?;
        match &self.claimed {
            Some(claimed) if claimed.samples != file.samples => Err(self.changed(&file)),
            _ => Ok(()),
        }
    }

    fn changed(&self, file: &File) -> End {
        let words = "its bytes are others than those that were claimed";
        let error = self.identity.check(&file.stat.identity).err();
        End::Failed(error.unwrap_or_else(|| Error::new(Kind::Changed, words)))
    }

    /// Writes to the row of the claim, where there is one. A ledger that can't be written now learns it
    /// when the session is opened again: its own file has it.
    ///
    /// # Errors
    /// [`End::Stopped`] where the upload continues in another session: it asks the ledger again.
    pub(super) async fn write_ledger(&self, write: Write) -> Result<(), End> {
        let Some(claim) = self.record.progress.claim else {
            return Ok(());
        };
        match self.shared.ledger.write(claim, write).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                tracing::warn!("{}: it continues in another session", self.name());
                Err(End::Stopped)
            }
            Err(error) => {
                tracing::warn!("{}: {error}", self.name());
                Ok(())
            }
        }
    }

    /// The object is about to be deleted, which nobody else may continue: whether that is so. Nothing
    /// is deleted before the ledger says it.
    ///
    /// # Errors
    /// [`End::Stopped`].
    pub(super) async fn discard_row(&mut self) -> Result<bool, End> {
        let Some(claim) = self.record.progress.claim else {
            // It was started before there was a ledger.
            return Ok(true);
        };
        loop {
            match self.shared.ledger.write(claim, Write::Discarded).await {
                Ok(is_ours) => return Ok(is_ours),
                Err(error) => self.wait_for_ledger(error).await?,
            }
        }
    }

    /// The ledger can't be used now: nothing new is started meanwhile.
    async fn wait_for_ledger(&mut self, error: Error) -> Result<(), End> {
        if error.kind == Kind::Ledger {
            // It will not be well again by itself, and the whole run ends.
            self.failed(None, &mut Tries::begin(), error, CallClass::Call);
            return Err(End::Stopped);
        }
        tracing::warn!("{}: {error}", self.name());
        let until = Instant::now() + LEFT_ALONE;
        self.wait(StepWait { until, error }).await
    }

    /// Anybody may continue the upload, which a person or a failure has ended here.
    pub(super) async fn give_back(&mut self) {
        // It has ended, and that somebody else continues it by now is fine.
        let _ = self.write_ledger(Write::GivenBack).await;
    }

    /// Keeps other names of the file waiting until it is known what became of it.
    pub(super) fn leave_in_use(&mut self) {
        if let Some(in_use) = self.in_use.take() {
            self.tell(Told::StaysInUse(in_use));
        }
    }
}

/// What is written to the row of an upload that is complete; `None` where its media object is not known.
#[must_use]
pub fn complete_row(progress: &Progress) -> Option<Write> {
    let media = progress.ticket.as_ref()?.media.clone()?;
    let digest = digest(progress);
    Some(Write::Complete { media, digest })
}

/// What the MD5s of all parts add up to, where all are known.
fn digest(progress: &Progress) -> Option<Digest> {
    let count = progress.plan.as_ref()?.count();
    let md5 = |number| progress.receipts.get(&number)?.md5;
    let parts: Option<Vec<Md5>> = (1..=count).map(md5).collect();
    parts.map(|parts| Digest::of(&parts))
}

/// The file has these times, this inode and this file system now, and the same bytes.
pub(super) fn same_bytes(file: &Identity) -> Change {
    Change::SameBytes {
        modified: file.modified,
        inode: file.inode,
        file_system: file.file_system,
    }
}

/// Why a file is skipped that is uploaded already, in words.
#[must_use]
pub fn why_uploaded(uploaded: &Uploaded) -> String {
    let media = uploaded.media.as_ref();
    let as_media = media.map_or_else(String::new, |media| format!(" as {media}"));
    let unread = if uploaded.is_unread {
        " (not compared: no checksums are known)"
    } else {
        ""
    };
    if let Some(path) = &uploaded.other_path {
        let path = shown(path);
        return format!("same bytes as {path}, uploaded{as_media}{unread}; --again uploads it too");
    }
    format!("uploaded{}{as_media}{unread}", format::day(uploaded.at))
}

/// Whether a file has the bytes of an object, read part by part until the first that differs; `None`
/// where the file changed meanwhile. Blocks for as long as that takes.
fn has_bytes(
    path: &std::path::Path,
    identity: &Identity,
    with: &Compare,
    reading: &Reading,
    is_over: &AtomicBool,
) -> Result<Option<bool>> {
    let waiting = reading.waits();
    let file = open_here(path)?;
    drop(waiting);
    let mut parts = Vec::new();
    for part in with.plan.parts() {
        if is_over.load(Ordering::Relaxed) || identity.check(&version_of(&file)?).is_err() {
            return Ok(None);
        }
        let md5 = hash(reading, &file, part)?;
        if with.digest.differs_in(part.number, &md5) {
            return Ok(Some(false));
        }
        parts.push(md5);
    }
    let is_unchanged = identity.check(&version_of(&file)?).is_ok();
    Ok(is_unchanged.then(|| Digest::of(&parts).whole == with.digest.whole))
}

/// What the file of another session knows of the upload with this marker.
async fn progress_in(session: PathBuf, marker: String) -> Option<Progress> {
    let read = tokio::task::spawn_blocking(move || session::progress_of(&session, &marker));
    read.await.ok().flatten()
}
