//! One part sent, and what shows that it stalled or is there already.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{Patience, blocking, foreign, hash, open};
use crate::{
    body::{PartBody, Progress, Reading},
    destination::{Destination, Md5, Received, Ticket},
    engine::{rate::Cap, upload::NextPart},
    error::{Error, Kind, Result},
    identity::Identity,
    plan::{Part, PartPlan},
};

/// What is needed to send one part.
#[derive(Debug)]
pub struct PartJob {
    /// Where to.
    pub destination: Arc<dyn Destination>,
    /// The upload's ticket.
    pub ticket: Ticket,
    /// Its plan.
    pub plan: PartPlan,
    /// The file.
    pub path: PathBuf,
    /// The file as it was when it was queued.
    pub identity: Identity,
    /// The inode that the parts come from; 0 where that is not known, or says nothing.
    pub source: u64,
    /// Which part, and how.
    pub next: NextPart,
    /// What it shares with the other parts that are read.
    pub reading: Reading,
    /// The cap its bytes keep to.
    pub cap: Cap,
    /// Where its progress is seen.
    pub progress: Arc<Progress>,
    /// How long things may take.
    pub patience: Patience,
}

/// A part that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its MD5 as taken on the way, where it was read.
    pub md5: Option<Md5>,
    /// Whether the destination named the same MD5.
    pub verified: bool,
}

/// Why a part was not sent.
#[derive(Debug)]
pub enum NotSent {
    /// Another file stands in the place of the one that the other parts came from. Its bytes have to be
    /// held against theirs first.
    Replaced,
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
/// fault; [`Kind::Corrupt`] when the destination names another MD5 than was taken on the way.
pub async fn send(job: PartJob) -> Result<Sent, NotSent> {
    let number = job.next.number;
    let Some(part) = job.plan.part(number) else {
        let words = format!("the plan has no part {number}");
        return Err(Error::new(Kind::Local, words).into());
    };
    if job.next.ask
        && let Some(sent) = ask(&job, part).await?
    {
        return Ok(sent);
    }
    let (file, before) = open(job.path.clone()).await?;
    job.identity.check(&before)?;
    if job.source != 0 && before.inode != job.source {
        return Err(NotSent::Replaced);
    }
    let file = Arc::new(file);
    let body = PartBody::new(
        Arc::clone(&file),
        part,
        &job.reading,
        job.cap.pace(),
        Arc::clone(&job.progress),
    );
    let put = job.destination.put(&job.ticket, &job.plan, part, body);
    let answer = tokio::select! {
        answer = put => answer,
        error = give_up(&job, part.length) => Err(error),
    };
    let after = blocking(move || {
        let metadata = file.metadata();
        metadata.map_err(|error| Error::local("it can't be looked at", &error))
    });
    // Bytes that were taken from a file while it changed may be of two versions.
    job.identity.check(&Identity::of(&after.await?))?;
    // Only then: one that ended early because it was cut short has changed.
    if let Some(error) = job.progress.read_error() {
        return Err(Error::local("it can't be read", error).into());
    }
    let receipt = match answer {
        Err(error) if error.kind == Kind::AlreadySent => {
            return Ok(Sent {
                md5: job.progress.md5(),
                verified: false,
            });
        }
        answer => answer?,
    };
    let ours = job.progress.md5();
    match (receipt.md5, ours) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            let words = "the destination got other bytes than were sent";
            Err(Error::new(Kind::Corrupt, words).into())
        }
        (theirs, md5) => Ok(Sent {
            md5,
            verified: theirs.is_some() && md5.is_some(),
        }),
    }
}

/// Asks whether a part whose answer was lost is there after all, with the bytes it has to have.
async fn ask(job: &PartJob, part: Part) -> Result<Option<Sent>> {
    let there = match job.destination.received(&job.ticket, &job.plan).await? {
        // Unproven, but nothing was seen either that speaks against it.
        Received::Complete | Received::Unproven => {
            return Ok(Some(Sent {
                md5: None,
                verified: false,
            }));
        }
        Received::Parts(parts) => parts.into_iter().find(|there| there.number == part.number),
        Received::Foreign(what) => return Err(foreign(&what)),
    };
    let Some(there) = there else { return Ok(None) };
    let Some(theirs) = there.md5 else {
        return Ok(Some(Sent {
            md5: None,
            verified: false,
        }));
    };
    let (file, now) = open(job.path.clone()).await?;
    job.identity.check(&now)?;
    let reading = job.reading.clone();
    let ours = blocking(move || hash(&reading, &file, part)).await?;
    Ok((ours == theirs).then_some(Sent {
        md5: Some(ours),
        verified: true,
    }))
}

/// Ends when a part has stalled, or its answer does not come. While it is held by a cap, or before it
/// began by what the destination's own rules hold back, it does not stall; that others are held says
/// nothing of it.
async fn give_up(job: &PartJob, length: u64) -> Error {
    let PartJob {
        progress, patience, ..
    } = job;
    let held = |taken: u64| progress.held() || (taken == 0 && job.destination.hold_up().is_some());
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
