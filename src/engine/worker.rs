//! One step of an upload as a task: look at the file, make the media object, ask what is there, send
//! a part, complete. Each ends as a [`Done`] for the actor, which alone decides what follows.

mod part;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    path::PathBuf,
    time::Duration,
};

use tokio::sync::oneshot;

pub use part::{NotSent, PartJob, Sent, send};

use super::{protocol::UploadId, upload::NextPart};
use crate::{
    body::Reading,
    destination::{
        Account, Completed, Lookup, Md5, NewMedia, Receipts, Received, RemoteUpload, StatusBatch,
        Ticket, UNVERIFIABLE, conflict,
    },
    error::{Error, Kind, Result},
    fault_point::fault_point,
    format,
    identity::Identity,
    plan::{Part, PartNumber, PartPlan},
};

/// How a step ended.
#[derive(Debug)]
pub enum Done {
    /// The file was looked at before its upload is begun or gone on with.
    Looked(UploadId, Result<Identity>),
    /// The media object was made, or found again.
    Created(UploadId, Result<Ticket>),
    /// The ticket is on disk.
    TicketSaved(UploadId),
    /// A new plan is on disk.
    PlanSaved(UploadId),
    /// What the destination has was compared with what we know.
    Checked(UploadId, Result<Checked>),
    /// A part came back; with its MD5, and whether the destination confirmed that.
    Part(UploadId, Flown, Result<Sent>),
    /// A part was not sent: the API did not say where it goes.
    Unprepared(UploadId, Flown, Error),
    /// A part was not sent: another file stands where the one was that is being sent.
    Replaced(UploadId, Flown),
    /// A part was not sent: the account has bytes up to the middle of it.
    Misplaced(UploadId, Flown),
    /// The destination was told that all is there.
    Completed(UploadId, Result<Completed>),
    /// What became of media objects.
    Status(Vec<UploadId>, StatusBatch),
    /// An unfinished media object was removed, for a fresh start; the file as it is now.
    Cleared(UploadId, Result<Identity>),
}

impl Done {
    /// What came back from the destination: nothing was asked, it did what it was asked to, or not.
    #[must_use]
    pub fn heard(&self) -> Option<Result<(), &Error>> {
        fn of<T>(result: &Result<T>) -> Result<(), &Error> {
            result.as_ref().map(|_| ())
        }
        Some(match self {
            Self::Looked(..)
            | Self::TicketSaved(_)
            | Self::PlanSaved(_)
            | Self::Replaced(..)
            | Self::Misplaced(..) => return None,
            Self::Unprepared(_, _, error) => Err(error),
            Self::Created(_, result) => of(result),
            Self::Checked(_, result) => of(result),
            Self::Part(_, _, result) => of(result),
            Self::Completed(_, result) => of(result),
            Self::Status(_, batch) => batch.outcome(),
            Self::Cleared(_, result) => of(result),
        })
    }

    /// The upload whose step this was, of those steps that are done one at a time.
    #[must_use]
    pub fn step_of(&self) -> Option<UploadId> {
        match self {
            Self::Looked(id, _)
            | Self::Created(id, _)
            | Self::TicketSaved(id)
            | Self::Checked(id, _)
            | Self::Completed(id, _)
            | Self::Cleared(id, _) => Some(*id),
            Self::PlanSaved(_)
            | Self::Part(..)
            | Self::Replaced(..)
            | Self::Misplaced(..)
            | Self::Unprepared(..)
            | Self::Status(..) => None,
        }
    }
}

/// Which part came back, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flown {
    /// The part.
    pub next: NextPart,
    /// The number of its flight: another may be under way by now.
    pub flight: u64,
    /// The marker of the upload it was sent to: the file may be started over by now, under another.
    pub marker: String,
}

/// What came of comparing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Parts that are there and were not known to be, with their MD5 where it is known.
    pub found: Vec<(PartNumber, Option<Md5>)>,
    /// Parts that were known to be there and are not, or not as they were sent.
    pub lost: BTreeSet<PartNumber>,
    /// Parts whose MD5 there is ours.
    pub verified: Vec<PartNumber>,
    /// All of it is there, and complete.
    pub complete: bool,
    /// The plan from now on, where the account has bytes up to the middle of a part. `found` and `lost`
    /// have numbers of this plan.
    pub plan: Option<PartPlan>,
}

/// How long steps may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For how long a connection may take no bytes of a part before it is cut.
    pub stall: Duration,
    /// For how long the answer to a part may take once all its bytes were taken.
    pub answer: Duration,
}

/// Looks at the file as it is now.
///
/// # Errors
/// When it can't be opened for reading.
pub async fn look(path: PathBuf) -> Result<Identity> {
    blocking(move || {
        let file = File::open(&path).map_err(|error| Error::local("it can't be opened", &error))?;
        let metadata = file
            .metadata()
            .map_err(|error| Error::local("it can't be looked at", &error))?;
        if !metadata.is_file() {
            return Err(Error::new(Kind::Local, "it is no file any more"));
        }
        Ok(Identity::of(&metadata))
    })
    .await
}

/// Creates the media object once its marker is on disk; with `look_first`, looks first for what a create
/// with this marker may have made.
///
/// # Errors
/// The account's; [`Kind::Refused`] where it can't be found out whether there is one already, and what
/// was made would last for ever.
pub async fn create(
    account: &dyn Account,
    saved: oneshot::Receiver<()>,
    media: &NewMedia,
    look_first: bool,
) -> Result<Ticket> {
    on_disk(saved).await?;
    fault_point("marker-saved");
    if look_first && let Some(ticket) = look_for(account, media).await? {
        return Ok(ticket);
    }
    let ticket = account.create(media).await?;
    fault_point("created");
    Ok(ticket)
}

/// Looks for what an earlier create made. What can't be resumed is deleted.
async fn look_for(account: &dyn Account, media: &NewMedia) -> Result<Option<Ticket>> {
    match account.find_created(media).await? {
        Lookup::Found(ticket) => Ok(Some(ticket)),
        Lookup::Lost(tickets) => {
            for ticket in &tickets {
                account.delete(ticket).await?;
            }
            Ok(None)
        }
        Lookup::Absent => Ok(None),
        Lookup::CannotTell {
            orphan_expires: Some(after),
        } => {
            let words =
                "a media object may have been created for it before, which can't be found out";
            tracing::warn!(
                "{}: {words}; it expires by itself after {}",
                media.file_name,
                format::duration(after.as_secs())
            );
            Ok(None)
        }
        Lookup::CannotTell {
            orphan_expires: None,
        } => {
            let words = "a media object may have been created for this file before, and the \
                         destination has no way to find out";
            Err(Error::new(Kind::Refused, words))
        }
    }
}

/// Waits until something is on disk.
///
/// # Errors
/// [`Kind::Storage`] when the session file is gone for good.
pub async fn on_disk(saved: oneshot::Receiver<()>) -> Result<()> {
    saved
        .await
        .map_err(|_| Error::new(Kind::Storage, "the session can't be saved any more"))
}

/// Asks what the account has, and compares. With `rehash`, the parts that were sent are read and hashed
/// again, to see whether the file is still the one they came from.
///
/// # Errors
/// The account's, [`Kind::Changed`] where the bytes of the file are others now, and
/// [`Kind::TicketGone`] where the account has bytes that are not of this plan.
pub async fn check(
    remote: &dyn RemoteUpload,
    plan: PartPlan,
    receipts: Receipts,
    path: PathBuf,
    reading: Reading,
    rehash: bool,
) -> Result<Checked> {
    let (plan, there, new_plan) = match remote.received(&plan).await? {
        // What was acknowledged was compared with its MD5 when the answer came.
        Received::Unverifiable if receipts.len() < plan.count() as usize => {
            return Err(Error::new(Kind::TicketGone, UNVERIFIABLE));
        }
        Received::Complete | Received::Unverifiable => {
            return Ok(Checked {
                complete: true,
                ..Checked::default()
            });
        }
        Received::Conflict(what) => return Err(conflict(&what)),
        Received::Parts(parts) => {
            let parts = parts.into_iter().map(|part| (part.number, part.md5));
            (plan, parts.collect(), None)
        }
        Received::Offset(offset) => up_to(offset, plan)?,
    };
    blocking(move || {
        let file = File::open(&path).map_err(|error| Error::local("it can't be opened", &error))?;
        let hash = |part| hash(&reading, &file, part);
        let mut checked = compare(&plan, &there, &receipts, rehash, hash)?;
        checked.plan = new_plan;
        Ok(checked)
    })
    .await
}

/// What an account has that tells it as bytes from the beginning: the plan with a part that ends there,
/// its parts up to there, and the plan once more if it is a new one.
///
/// # Errors
/// [`Kind::TicketGone`] for more bytes than the file has.
#[allow(clippy::type_complexity, reason = "three values for one caller")]
fn up_to(
    offset: u64,
    plan: PartPlan,
) -> Result<(
    PartPlan,
    BTreeMap<PartNumber, Option<Md5>>,
    Option<PartPlan>,
)> {
    if offset > plan.file_size() {
        let words = format!(
            "{offset} bytes are there, and the file has {}",
            plan.file_size()
        );
        return Err(conflict(&words));
    }
    let Some((split, last)) = plan.with_end_at(offset) else {
        return Ok((plan, BTreeMap::new(), None));
    };
    let there = (1..=last).map(|number| (number, None)).collect();
    let new_plan = (split != plan).then(|| split.clone());
    Ok((split, there, new_plan))
}

/// Compares what is there with the receipts. `hash` reads a part of the file.
///
/// # Errors
/// Those of reading, and [`Kind::Changed`] where the file has other bytes now.
fn compare(
    plan: &PartPlan,
    there: &BTreeMap<PartNumber, Option<Md5>>,
    receipts: &Receipts,
    rehash: bool,
    hash: impl Fn(Part) -> Result<Md5>,
) -> Result<Checked> {
    let local = |number: PartNumber| plan.part(number).map(&hash).transpose();
    let mut checked = Checked::default();
    if rehash {
        let known = receipts.iter();
        for (number, md5) in known.filter_map(|(number, known)| Some((*number, known.md5?))) {
            if local(number)? != Some(md5) {
                let words = format!("part {number} was sent with other bytes than it has now");
                return Err(Error::new(Kind::Changed, words));
            }
        }
    }
    for (number, theirs) in there {
        let known = receipts.get(number);
        let ours = known.and_then(|known| known.md5);
        if rehash && theirs.is_none() && ours.is_none() {
            // Another file may stand in its place, and nothing tells whose bytes these are.
            let words = format!("it was replaced, and nobody knows which bytes part {number} has");
            return Err(Error::new(Kind::Changed, words));
        }
        let ours = match (ours, theirs) {
            (None, Some(_)) => local(*number)?,
            (ours, _) => ours,
        };
        match (theirs, ours) {
            (Some(theirs), Some(ours)) if *theirs != ours => {
                checked.lost.insert(*number);
            }
            (theirs, ours) => {
                if theirs.is_some() {
                    checked.verified.push(*number);
                }
                if known.is_none() {
                    checked.found.push((*number, ours));
                }
            }
        }
    }
    let missing = receipts.keys().filter(|number| !there.contains_key(number));
    checked.lost.extend(missing);
    Ok(checked)
}

async fn open(path: PathBuf) -> Result<(File, Identity)> {
    blocking(move || {
        let file = File::open(&path).map_err(|error| Error::local("it can't be opened", &error))?;
        let metadata = file
            .metadata()
            .map_err(|error| Error::local("it can't be looked at", &error))?;
        Ok((file, Identity::of(&metadata)))
    })
    .await
}

/// Completes an upload.
///
/// # Errors
/// The account's.
pub async fn complete(
    remote: &dyn RemoteUpload,
    plan: &PartPlan,
    receipts: &Receipts,
) -> Result<Completed> {
    fault_point("all-sent");
    let completed = remote.complete(plan, receipts).await?;
    fault_point("complete-answered");
    Ok(completed)
}

/// Removes what an upload made at the destination, once it is on disk that this is to be done, and
/// looks at the file anew.
///
/// # Errors
/// The destination's, or that the file can't be opened.
pub async fn clear(
    account: &dyn Account,
    saved: oneshot::Receiver<()>,
    media: &NewMedia,
    ticket: Option<Ticket>,
    path: PathBuf,
) -> Result<Identity> {
    let identity = look(path).await?;
    on_disk(saved).await?;
    let ticket = match ticket {
        Some(ticket) => Some(ticket),
        None => look_for(account, media).await?,
    };
    if let Some(ticket) = ticket {
        account.delete(&ticket).await?;
    }
    Ok(identity)
}

/// The MD5 of one part of a file.
fn hash(reading: &Reading, file: &File, part: Part) -> Result<Md5> {
    let md5 = reading.md5(file, part);
    md5.map_err(|error| Error::local("it can't be read", &error))
}

/// Runs what blocks on the disk off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(Error::local(
                "reading ended early",
                &io::Error::other(error),
            ))
        })
}

#[cfg(test)]
mod tests;
