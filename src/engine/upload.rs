//! An upload from queued to complete, top to bottom: one async function per upload, run as a task of
//! its own.
//!
//! It starts from the record alone, so that starting, resuming, retrying and starting over are the
//! same call; a paused or failed upload has no task. Marker, plan and ticket are on disk before the next
//! step; that it is complete, and which parts arrived, is soon after. Creates, completes and deletes are
//! never dropped by a pause or a removal, and by a stop only when its time is up; waits end early, and so
//! do parts in flight. What was sent of those is found out when the account is asked next.
//!
//! The task decides what is to be done next for its upload. The actor decides when: each call and each
//! part needs a permit from it, and it alone saves the record. A task's orders come by a channel
//! instead of a watched value, so that two retries of two parts are not taken for one.
//!
//! | file | contents |
//! |---|---|
//! | `link` | the task's copy of the record, and what it says to the actor |
//! | `messages` | what the task and the actor say to each other |
//! | `claim` | the file held against the ledger: who may upload it |
//! | `create` | the media object: created, found again, removed for a fresh start |
//! | `compare` | what the account has, compared with the record |
//! | `parts` | all parts, many at once |
//! | `part` | one part |
//! | `largest`, `smaller` | how large parts may be as far as refusals have shown, and what becomes of larger ones |
//! | `file` | the local file |
//! | `forbidden` | whether a 403 is the key's fault |

mod claim;
mod compare;
mod create;
mod file;
mod forbidden;
mod largest;
mod link;
mod messages;
mod part;
mod parts;
mod smaller;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::time::Instant;

pub use claim::{complete_row, why_uploaded};
pub use create::{describe, new_marker};
pub use forbidden::KeyCheck;
pub use largest::LargestPart;
pub use link::Task;
use link::Tries;
pub use messages::{
    Conditions, End, Failure, Grant, Leave, Message, Need, Order, Others, Permit, Sending, Stop,
    Told, Want,
};
pub use part::SLOW;

use self::{
    claim::same_bytes,
    compare::{Checked, Comparison, LocalFile, compare},
    create::Created,
    file::read_identity,
};
use super::{
    gates::Gates,
    record::{RunChange, Sequence, Step, StepWait},
    timing::Timing,
};
use crate::{
    awaited::Awaited,
    body::Reading,
    destination::{Account, Completed, Limits, PartReceipt, RemoteUpload, Ticket, conflict, need},
    error::{CallClass, Error, Kind},
    fault_point::fault_point,
    format,
    identity::Identity,
    ledger::{Ledger, Write},
    limiter::BandwidthLimiter,
    plan::{PartNumber, PartPlan},
    session::Change,
};

/// How many times the account is asked again before bytes that do not fit the plan are believed to be
/// another upload's: it may still be receiving a part.
const CONFLICT_ASKED_AGAIN: u32 = 3;

/// After finding so many other files in its place, a file system makes inode numbers up as it goes.
const INODES_MADE_UP: u32 = 3;

/// What all tasks share.
#[derive(Debug)]
pub struct Shared {
    /// Where uploads go.
    pub account: Arc<dyn Account>,
    /// How long to wait for things.
    pub timing: Timing,
    /// How parts are read.
    pub reading: Reading,
    /// What all parts share of the bandwidth.
    pub cap: BandwidthLimiter,
    /// What is uploaded where.
    pub ledger: Arc<dyn Ledger>,
    /// Whether all bytes of a file decide whether it is uploaded already.
    pub is_deep: bool,
    /// How the hosts and disks do that are needed.
    pub gates: Mutex<Gates>,
    /// Whether the key is good.
    pub key: KeyCheck,
    /// The largest part that the account takes, as far as it is known.
    pub largest: LargestPart,
}

impl Shared {
    /// The account's API, which may be waited for.
    #[must_use]
    pub fn api(&self) -> Awaited {
        Awaited::host(&self.account.host())
    }

    /// How hosts and disks do, for a moment.
    pub fn gates(&self) -> MutexGuard<'_, Gates> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The local file that parts are read from.
#[derive(Debug, Clone, Copy)]
struct Source {
    /// The file as it was found now.
    now: Identity,
    /// Its inode; 0 where that is not known, or means nothing.
    inode: u64,
    /// How many times another file was found in its place.
    replaced: u32,
    /// Whether what was sent has to be compared with it, byte by byte.
    needs_rehash: bool,
    /// Whether the ledger knows that it is a copy, or another name, of what was sent.
    is_copy: bool,
}

impl Source {
    /// The file as it is now, which is the recorded one.
    fn of(now: Identity) -> Self {
        Self {
            now,
            inode: now.inode,
            replaced: 0,
            needs_rehash: false,
            is_copy: false,
        }
    }
}

/// An upload at its account, opened.
struct Opened {
    remote: Arc<dyn RemoteUpload>,
    limits: Limits,
    sequence: Sequence,
}

impl Opened {
    fn new(remote: Arc<dyn RemoteUpload>) -> Self {
        let limits = remote.limits();
        Self {
            sequence: Sequence::of(&limits),
            limits,
            remote,
        }
    }
}

/// What an upload that was created does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Ask the account what it has.
    Compare,
    /// Send the parts that it lacks.
    Send,
    /// Tell it that all is there.
    Complete,
    /// Nothing: the account has it all, and says so.
    Done,
}

/// Runs a task to its end, and tells that.
pub async fn run(mut task: Task) {
    let end = match task.upload().await {
        Ok(()) => End::Complete,
        Err(end) => end,
    };
    match (&end, task.stop) {
        (End::Complete, _) => task.leave_in_use(),
        // A session that ends gives nothing back: it may go on in a moment. One that has ended holds
        // nothing.
        (_, Some(Stop::Cancel | Stop::Removed)) => task.give_back().await,
        // The actor may have it started over by itself, and gives it back else.
        (End::Failed(error), _) if matches!(error.kind, Kind::TicketGone | Kind::TooLarge) => {}
        (End::Failed(_), _) => task.give_back().await,
        _ => {}
    }
    task.in_use = None;
    task.tell(Told::Ended(end));
}

impl Task {
    /// The whole upload, as often as it has to be begun again: what this machine had no room for says
    /// nothing of the file.
    async fn upload(&mut self) -> Result<(), End> {
        loop {
            let error = match self.upload_once().await {
                Err(End::Failed(error)) if error.kind == Kind::Crowded => error,
                ended => return ended,
            };
            self.in_use = None;
            self.retry(&mut Tries::begin(), error).await?;
        }
    }

    /// The whole upload, from the record as it is to the account's word that it has all of it. The
    /// queue gave it its place (`actor/tasks.rs`), and what becomes of the media object is asked for
    /// many uploads at once when this has ended (`actor/polls.rs`).
    ///
    /// # Errors
    /// How it ended instead.
    async fn upload_once(&mut self) -> Result<(), End> {
        if self.record.progress.clearing {
            self.start_over().await?;
        }
        loop {
            let mut source = self.claim_file().await?;
            // What was created just now has nothing that could be compared.
            let next = match self.create().await? {
                Created::Now => Next::Send,
                Created::Before => Next::Compare,
                Created::Lost => continue,
            };
            let error = match self.send(next, &mut source).await {
                Err(End::Failed(error)) => error,
                sent => return sent,
            };
            let has_another = match error.kind {
                Kind::Changed => self.return_borrowed().await?,
                Kind::TicketGone => self.replace_taken_over(&error).await?,
                _ => false,
            };
            if !has_another {
                return Err(End::Failed(error));
            }
        }
    }

    /// Sends what the account lacks, until it says that it has all of it.
    async fn send(&mut self, mut next: Next, source: &mut Source) -> Result<(), End> {
        let mut opened = self.open()?;
        let mut completes = Tries::begin();
        loop {
            next = match next {
                Next::Compare => self.compare(&mut opened, source).await?,
                Next::Send => self.send_parts(&mut opened, source).await?,
                Next::Complete => self.complete(&opened, &mut completes).await?,
                Next::Done => break,
            };
        }
        self.keep_durably(vec![Change::Completed]).await?;
        fault_point("completed");
        if let Some(complete) = complete_row(&self.record.progress) {
            self.write_ledger(complete).await?;
        }
        Ok(())
    }

    /// A file of which nothing was created is uploaded as it is now, if it can be: its identity of now is
    /// recorded.
    fn refresh_identity(&mut self, file: Identity) -> Result<(), End> {
        let limits = self.shared.account.limits();
        if file.size == 0 {
            return Err(End::Failed(Error::new(Kind::Local, "it is empty now")));
        }
        if file.size > limits.file_max {
            let most = bytesize::ByteSize(limits.file_max).display().iec();
            let words = format!("it is larger than the destination takes ({most})");
            return Err(End::Failed(Error::new(Kind::Refused, words)));
        }
        if let Some(wait) = self.identity.unrest(&file, Timestamp::now()) {
            return Err(End::Unsettled(file, Instant::now() + wait));
        }
        if self.identity != file {
            let marker = self.record.progress.marker.clone();
            self.keep(vec![Change::Fresh(file), self.begun_under(marker)]);
            self.step(Step::Creating);
        }
        Ok(())
    }

    /// How the file is split, as things are now.
    fn plan(&mut self) -> Result<PartPlan, End> {
        let conditions = self.conditions;
        let limits = self.shared.account.limits();
        let limits = limits.within(self.shared.largest.get());
        self.split_by = Some(conditions.part_size);
        let size = self.identity.size;
        let plan = limits.plan(
            conditions.part_size,
            size,
            conditions.at_once,
            conditions.line,
        );
        let plan = plan.ok_or_else(|| {
            let words = format!(
                "it can't be split into {} parts or fewer, each of {} at most: raise part_max",
                limits.parts_max,
                format::bytes(limits.part_max)
            );
            End::Failed(Error::new(Kind::Refused, words))
        })?;
        self.checked_plan(plan, &limits)
    }

    /// The part plan, which an upload with a ticket has.
    fn saved_plan(&self) -> Result<PartPlan, End> {
        let missing = || {
            let words = "the session has a ticket for this file, and no part plan";
            End::Failed(Error::new(Kind::TicketGone, words))
        };
        self.record.plan().cloned().ok_or_else(missing)
    }

    /// The upload starts under this marker, at this account.
    fn begun_under(&self, marker: String) -> Change {
        Change::Begun(marker, Some(self.shared.account.id().clone()))
    }

    /// Opens the upload at its account by its ticket.
    fn open(&self) -> Result<Opened, End> {
        let ticket = self.record.progress.ticket.clone().unwrap_or_default();
        let remote = self.shared.account.open(ticket).map_err(End::Failed)?;
        Ok(Opened::new(remote.into()))
    }

    /// Whether the media object's id is known.
    fn media_is_known(&self) -> bool {
        let ticket = self.record.progress.ticket.as_ref();
        ticket.is_some_and(|ticket| ticket.media.is_some())
    }

    /// This file has the same bytes as what was sent. Its time and inode are recorded, so that the next
    /// run does not compare them again; not where inodes mean nothing.
    async fn accept_replacement(
        &mut self,
        source: &mut Source,
        file: &Identity,
    ) -> Result<(), End> {
        if source.inode == 0 && self.identity.modified == file.modified {
            return Ok(());
        }
        source.inode = file.inode;
        if self.identity != *file {
            self.keep(vec![same_bytes(file)]);
        }
        // By these times it is known the next time.
        let stat = self.claimed.as_ref().map(|claimed| claimed.stat);
        match stat.filter(|stat| stat.identity == *file) {
            Some(stat) => self.write_ledger(Write::Name(stat)).await,
            None => Ok(()),
        }
    }

    fn warn_of_replacement(&self) {
        tracing::warn!(
            "{}: another file is in its place; what was sent is compared with it",
            self.name()
        );
    }

    /// Another file was found in its place: it has to have the same bytes as what was sent.
    async fn find_replacement(&mut self, source: &mut Source) -> Result<(), End> {
        self.warn_of_replacement();
        let file = self.at_disk(async |seen| {
            let _waiting = seen.waits();
            read_identity(self.path.clone()).await
        });
        let file = file.await.map_err(End::Failed)?;
        self.identity.check(&file).map_err(End::Failed)?;
        source.now = file;
        source.replaced += 1;
        source.needs_rehash = true;
        source.inode = if source.replaced < INODES_MADE_UP {
            file.inode
        } else {
            0
        };
        Ok(())
    }

    /// Asks the account what it has, and corrects the record by that.
    async fn compare(&mut self, opened: &mut Opened, source: &mut Source) -> Result<Next, End> {
        self.step(Step::Checking);
        let checked = self.ask_account(opened, source).await?;
        (source.needs_rehash, source.is_copy) = (false, false);
        if let Some(file) = checked.replaced_by {
            self.accept_replacement(source, &file).await?;
        }
        // What it has may be the first to say how it is sent.
        *opened = Opened::new(Arc::clone(&opened.remote));
        if checked.complete {
            self.record_all_found();
            // An account may name the media object only when it is told that all is there.
            return Ok(if self.media_is_known() {
                Next::Done
            } else {
                Next::Complete
            });
        }
        if !checked.lost.is_empty() {
            let count = checked.lost.len();
            tracing::warn!(
                "{}: {count} parts are not at the destination as they were sent",
                self.name()
            );
            self.keep(vec![Change::Lost(checked.lost)]);
        }
        if let Some(plan) = checked.plan {
            self.keep_plan(plan).await?;
        }
        self.record_found(checked.found);
        self.note(RunChange::Verified(checked.verified));
        Ok(Next::Send)
    }

    /// How what the account has differs from the record. Bytes that do not fit the plan are believed
    /// only after the account was asked again: it may still be receiving a part.
    async fn ask_account(&mut self, opened: &Opened, source: &Source) -> Result<Checked, End> {
        let (mut tries, mut conflicts) = (Tries::begin(), 0);
        let since = Instant::now();
        let plan = self.saved_plan()?;
        let local = LocalFile {
            path: self.path.clone(),
            identity: source.now,
            recorded: self.identity,
            inode: source.inode,
            needs_rehash: source.needs_rehash,
            is_copy: source.is_copy,
            reading: self.shared.reading.clone(),
        };
        loop {
            let permit = self.permit(CallClass::Read).await?;
            let receipts = self.record.progress.receipts.clone();
            let compared = self.at_disk(async |seen| {
                let local = local.clone().seen_in(&seen);
                let compared = compare(&*opened.remote, plan.clone(), receipts, local);
                need::since(since, compared).await
            });
            let compared = compared.await;
            drop(permit);
            match compared {
                Ok(Comparison::Fits(checked)) => {
                    self.came_through(CallClass::Read);
                    return Ok(checked);
                }
                Ok(Comparison::Conflict(what)) => {
                    self.came_through(CallClass::Read);
                    conflicts += 1;
                    let error = conflict(&what);
                    if conflicts > CONFLICT_ASKED_AGAIN {
                        let kind = Kind::TicketGone;
                        return Err(End::Failed(Error { kind, ..error }));
                    }
                    let wait = self.conflict_wait(conflicts, error);
                    self.wait(wait).await?;
                }
                Err(error) => self.retry(&mut tries, error).await?,
            }
        }
    }

    /// The account reported bytes that do not fit the plan, for so many times: until when it is left
    /// alone before it is asked again.
    fn conflict_wait(&mut self, times: u32, error: Error) -> StepWait {
        // At least half of each wait is fixed, for a part that is still being received.
        let random = 0.5 + self.random.f64() / 2.0;
        let wait = self.shared.timing.backoff.wait(times + 1, random);
        tracing::warn!(
            "{}: {error}; asked again in {:.1} s",
            self.name(),
            wait.as_secs_f64()
        );
        StepWait {
            until: Instant::now() + wait,
            error,
        }
    }

    /// The account has all parts, whatever receipts say.
    fn record_all_found(&mut self) {
        let numbers = 1..=self.record.count();
        let unknown = numbers.filter(|n| !self.record.progress.receipts.contains_key(n));
        self.record_found(unknown.map(|n| (n, PartReceipt::default())).collect());
    }

    /// The account has these parts, though no receipt says so, or none with this MD5.
    fn record_found(&mut self, found: Vec<(PartNumber, PartReceipt)>) {
        for (number, receipt) in &found {
            self.record.acknowledge(*number, receipt.clone());
        }
        if !found.is_empty() {
            self.tell(Told::Found(found));
        }
    }

    /// Splits the parts that have not started again, where the part size that is asked for is another.
    async fn replan(&mut self, opened: &Opened) -> Result<(), End> {
        let Conditions {
            part_size, late, ..
        } = self.conditions;
        if self.split_by.replace(part_size) == Some(part_size) {
            return Ok(());
        }
        match self.replanned(opened, late) {
            Some(plan) => self.keep_plan(plan).await,
            None => Ok(()),
        }
    }

    /// The plan for the parts that have not started, as things are now, where that is another one. Of an
    /// earlier run so many parts may still be on their way.
    fn replanned(&self, opened: &Opened, late: u16) -> Option<PartPlan> {
        let conditions = self.conditions;
        let limits = opened.limits.within(self.shared.largest.get());
        self.record.replanned(late, |plan, from| {
            limits.replan(
                plan,
                from,
                conditions.part_size,
                conditions.at_once,
                conditions.line,
            )
        })
    }

    /// The plan from now on, which session and ledger know before the first part of it is sent.
    async fn keep_plan(&mut self, plan: PartPlan) -> Result<(), End> {
        self.keep_durably(vec![Change::Plan(plan.clone())]).await?;
        self.write_ledger(Write::Plan(plan)).await
    }

    /// Tells the account that all is there. Where it does not agree, the parts that it lacks are sent
    /// again. `tries` counts over all of them, so that an account that loses everything is given up.
    async fn complete(&mut self, opened: &Opened, tries: &mut Tries) -> Result<Next, End> {
        self.step(Step::Completing);
        // Else that was done before the last part.
        if !opened.remote.completes_by_itself() {
            self.check_unchanged().await?;
        }
        let since = Instant::now();
        loop {
            let permit = self.permit(CallClass::Write).await?;
            fault_point("all-sent");
            let plan = self.saved_plan()?;
            let receipts = &self.record.progress.receipts;
            let completed = need::since(since, opened.remote.complete(&plan, receipts)).await;
            drop(permit);
            match completed {
                Ok(Completed::Complete(media)) => {
                    fault_point("complete-answered");
                    self.came_through(CallClass::Write);
                    let ticket = self.record.progress.ticket.clone().unwrap_or_default();
                    if ticket.media.as_ref() != Some(&media) {
                        let media = Some(media);
                        self.keep(vec![Change::Ticket(Ticket { media, ..ticket })]);
                    }
                    return Ok(Next::Done);
                }
                Ok(Completed::Missing(parts)) => {
                    self.came_through(CallClass::Write);
                    let count = parts.len();
                    let words = format!("the destination lacks {count} parts; they are sent again");
                    self.keep(vec![Change::Lost(parts)]);
                    let error = Error::new(Kind::Server, words);
                    self.retry(tries, error).await?;
                    return Ok(Next::Send);
                }
                Err(error) if error.kind == Kind::Conflict => {
                    self.retry(tries, error).await?;
                    return Ok(Next::Compare);
                }
                Err(error) => self.retry(tries, error).await?,
            }
        }
    }
}
