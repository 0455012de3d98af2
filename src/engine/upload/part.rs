//! One part sent, and what shows that it stalled or is there already.

use std::{
    fs::File,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::file::{blocking, hash, open, version_of};
use crate::{
    body::{PartBody, Progress, Reading},
    destination::{Account, Md5, PartReceipt, Received, RemoteUpload, Target, Ticket, conflict},
    engine::{record::NextPart, timing::Patience},
    error::{Error, Kind, Result},
    identity::Identity,
    limiter::BandwidthLimiter,
    plan::{Part, PartPlan},
};

/// A read that takes longer than this is slow: others need not wait for it.
pub const SLOW: Duration = Duration::from_secs(5);

/// What is needed to send one part.
#[derive(Debug)]
pub(super) struct PartJob {
    /// Where to.
    pub(super) account: Arc<dyn Account>,
    /// The upload there.
    pub(super) remote: Arc<dyn RemoteUpload>,
    /// Its plan.
    pub(super) plan: PartPlan,
    /// The file.
    pub(super) path: PathBuf,
    /// The file as it was when it was queued.
    pub(super) identity: Identity,
    /// The inode that the parts are read from; 0 where that is not known, or means nothing.
    pub(super) source: u64,
    /// Which part, and how.
    pub(super) next: NextPart,
    /// Whether the API answered when it was asked whether it has the part.
    pub(super) was_answered: Arc<AtomicBool>,
    /// What it shares with the other parts that are read.
    pub(super) reading: Reading,
    /// The cap its bytes keep to.
    pub(super) cap: BandwidthLimiter,
    /// Where its progress is seen.
    pub(super) progress: Arc<Progress>,
    /// How long things may take.
    pub(super) patience: Patience,
}

/// A part that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sent {
    /// Its MD5 as taken while sending, where it was read, and the account's tag for it.
    pub(super) receipt: PartReceipt,
    /// Whether the account returned the same MD5.
    pub(super) verified: bool,
    /// The upload's ticket from now on, where the part changed it.
    pub(super) ticket: Option<Ticket>,
}

impl Sent {
    /// It is there, with this MD5 where it is known.
    fn there(md5: Option<Md5>, verified: bool) -> Self {
        Self {
            receipt: md5.into(),
            verified,
            ticket: None,
        }
    }
}

/// Why a part was not sent.
#[derive(Debug)]
pub(super) enum NotSent {
    /// Another file stands in the place of the one that the other parts came from. Its bytes have to be
    /// held against theirs first.
    Replaced,
    /// The account has bytes up to the middle of this part: what it has is compared with the plan first.
    DoesNotFit,
    /// It was not known where it goes: nothing was sent.
    Unprepared(Error),
    /// It failed.
    Failed(Error),
}

impl From<Error> for NotSent {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Sends one part.
///
/// # Errors
/// [`NotSent::Replaced`]; the destination's; [`Kind::Local`] and [`Kind::Changed`] when the file is at
/// fault; [`Kind::Corrupt`] when the destination names another MD5 than was taken on the way, where the
/// part can be sent again, else [`Kind::TicketGone`].
pub(super) async fn send(job: PartJob) -> Result<Sent, NotSent> {
    let number = job.next.number;
    let Some(part) = job.plan.part(number) else {
        let words = format!("the plan has no part {number}");
        return Err(Error::new(Kind::Local, words).into());
    };
    if job.next.ask {
        let found = ask(&job, part).await?;
        job.was_answered.store(true, Ordering::Relaxed);
        if let Some(sent) = found {
            return Ok(sent);
        }
    }
    let waiting = job.progress.waits();
    let (file, before) = open(job.path.clone()).await?;
    drop(waiting);
    job.identity.check(&before)?;
    if job.source != 0 && before.inode != job.source {
        return Err(NotSent::Replaced);
    }
    let file = Arc::new(file);
    let body = PartBody::new(
        Arc::clone(&file),
        part,
        &job.reading,
        job.cap.share(),
        Arc::clone(&job.progress),
    );
    let prepared = job.remote.prepare(&job.plan, part).await;
    let target = match prepared.map_err(NotSent::Unprepared)? {
        Target::Received(theirs) => return already_there(&job, file, part, theirs).await,
        target => target,
    };
    let put = job.remote.put(target, &job.plan, part, body);
    let answer = tokio::select! {
        answer = put => answer,
        error = give_up(&job, part.length) => Err(error),
    };
    let late = job.progress.reading_for();
    if let (Err(error), Some(late)) = (&answer, late.filter(|late| *late >= SLOW))
        && error.is_of_host()
    {
        // The thread that reads is left alone: a look at the file would wait as long.
        let seconds = late.as_secs();
        let words = format!("the disk took {seconds} s to read on, and meanwhile: {error}");
        return Err(Error::new(Kind::Late, words).into());
    }
    let waiting = job.progress.waits();
    let after = blocking(move || version_of(&file)).await;
    drop(waiting);
    // Bytes that were taken from a file while it changed may be of two versions.
    job.identity.check(&after?)?;
    // Only then: one that ended early because it was cut short has changed.
    if let Some(error) = job.progress.read_error() {
        return Err(Error::local("it can't be read", error).into());
    }
    let receipt = match answer {
        Err(error) if error.kind == Kind::AlreadySent => {
            return Ok(Sent::there(job.progress.md5(), false));
        }
        answer => answer?,
    };
    let ours = job.progress.md5();
    match (receipt.md5, ours) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            let words = "the destination got other bytes than were sent";
            if job.remote.limits().ordered {
                // The next part follows behind them.
                let words = format!("{words}, and can't replace them");
                return Err(Error::new(Kind::TicketGone, words).into());
            }
            Err(Error::new(Kind::Corrupt, words).into())
        }
        (theirs, md5) => Ok(Sent {
            verified: theirs.is_some() && md5.is_some(),
            receipt: PartReceipt {
                md5,
                tag: receipt.tag.map(Into::into),
            },
            ticket: receipt.ticket,
        }),
    }
}

/// Compares a part with the one that the account already has and can't replace: nothing is sent.
async fn already_there(
    job: &PartJob,
    file: Arc<File>,
    part: Part,
    theirs: Option<Md5>,
) -> Result<Sent, NotSent> {
    let Some(theirs) = theirs else {
        return Ok(Sent::there(None, false));
    };
    let reading = job.reading.clone();
    let ours = blocking(move || hash(&reading, &file, part)).await?;
    if ours == theirs {
        return Ok(Sent::there(Some(ours), true));
    }
    let number = part.number;
    let words = format!("the destination has other bytes as part {number} and can't replace them");
    Err(Error::new(Kind::TicketGone, words).into())
}

/// Asks whether a part whose answer was lost is there after all, with the bytes it has to have.
async fn ask(job: &PartJob, part: Part) -> Result<Option<Sent>, NotSent> {
    let there = match job.remote.received(&job.plan).await? {
        // Unverifiable, but nothing was seen either that speaks against it.
        Received::Complete | Received::Unverifiable => return Ok(Some(Sent::there(None, false))),
        Received::Parts(parts) => parts.into_iter().find(|there| there.number == part.number),
        Received::Offset(offset) if offset >= part.range().end => {
            return Ok(Some(found(job, part).await?));
        }
        Received::Offset(offset) if offset == part.offset => None,
        Received::Offset(_) => return Err(NotSent::DoesNotFit),
        Received::Conflict(what) => return Err(conflict(&what).into()),
    };
    let Some(there) = there else { return Ok(None) };
    let Some(theirs) = there.md5 else {
        return Ok(Some(found(job, part).await?));
    };
    let (file, now) = open(job.path.clone()).await?;
    job.identity.check(&now)?;
    let reading = job.reading.clone();
    let ours = blocking(move || hash(&reading, &file, part)).await?;
    Ok((ours == theirs).then(|| Sent::there(Some(ours), true)))
}

/// A part that was sent, whose answer was lost, and that the account has without saying its MD5. Of the
/// file that it was read from the MD5 is taken now: should another file take its place, nothing else
/// shows whether that has the same bytes.
async fn found(job: &PartJob, part: Part) -> Result<Sent> {
    let (file, before) = open(job.path.clone()).await?;
    job.identity.check(&before)?;
    if job.source == 0 || [before.inode, job.identity.inode] != [job.source; 2] {
        return Ok(Sent::there(None, false));
    }
    let (reading, identity) = (job.reading.clone(), job.identity);
    let md5 = blocking(move || {
        let md5 = hash(&reading, &file, part)?;
        identity.check(&version_of(&file)?)?;
        Ok(md5)
    });
    Ok(Sent::there(Some(md5.await?), false))
}

/// Ends when a part has stalled, or its answer does not come. While it is held by a cap, waits for the
/// disk, or before it began by what the destination's own rules hold back, it does not stall; that others
/// are held says nothing of it.
async fn give_up(job: &PartJob, length: u64) -> Error {
    let PartJob {
        progress, patience, ..
    } = job;
    let held = |taken: u64| {
        progress.held()
            || progress.reading_for().is_some()
            || (taken == 0 && job.account.rate_limit_wait().is_some())
    };
    let mut seen = progress.taken();
    let mut since = Instant::now();
    loop {
        let all = seen == length;
        let limit = if all { patience.answer } else { patience.stall };
        sleep((limit / 8).clamp(Duration::from_millis(50), Duration::from_secs(5))).await;
        let taken = progress.taken();
        if taken != seen || (!all && held(taken)) {
            seen = taken;
            since = Instant::now();
        } else if since.elapsed() >= limit {
            let seconds = limit.as_secs_f64();
            let words = if all {
                format!("all was sent, but no answer came for {seconds:.0} s")
            } else {
                format!("the connection took no bytes for {seconds:.0} s")
            };
            return Error::new(Kind::Broken, words);
        }
    }
}
