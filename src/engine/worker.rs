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

use super::{
    protocol::{Outcome, UploadId},
    upload::NextPart,
};
use crate::{
    body::Reading,
    destination::{Destination, Md5, MediaStatus, NewMedia, Received, Ticket, UNPROVEN},
    error::{Error, Kind, Result},
    fault_point::fault_point,
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
    /// A part was not sent: another file stands where the one was that is being sent.
    Replaced(UploadId, Flown),
    /// The destination was told that all is there.
    Completed(UploadId, Result<Completion>),
    /// What became of media objects.
    Status(Vec<UploadId>, Result<Vec<MediaStatus>>),
    /// An unfinished media object was removed, for a fresh start; the file as it is now.
    Cleared(UploadId, Result<Identity>),
    /// The session written anew is in place, or can't be put there.
    Placed(Result<(), String>),
    /// A save that was asked for has come to its end, or takes long; and who asked.
    Saved(Option<Result<(), String>>, oneshot::Sender<Outcome>),
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
            | Self::Placed(_)
            | Self::Saved(..) => return None,
            Self::Created(_, result) => of(result),
            Self::Checked(_, result) => of(result),
            Self::Part(_, _, result) => of(result),
            Self::Completed(_, result) => of(result),
            Self::Status(_, result) => of(result),
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
            | Self::Status(..)
            | Self::Placed(_)
            | Self::Saved(..) => None,
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
    /// The media object it was sent to: the upload may have another by now.
    pub media: String,
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
}

/// What came of completing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completion {
    /// The destination agreed.
    Agreed,
    /// These parts have to be sent again first.
    Missing(BTreeSet<PartNumber>),
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

/// Makes the media object once its marker is on disk; with `recover`, looks first for the one that a
/// create with this marker may have made.
///
/// # Errors
/// The destination's.
pub async fn create(
    destination: &dyn Destination,
    saved: oneshot::Receiver<()>,
    media: &NewMedia,
    recover: bool,
) -> Result<Ticket> {
    on_disk(saved).await?;
    fault_point("marker-saved");
    if recover && let Some(ticket) = destination.recover(&media.marker).await? {
        return Ok(ticket);
    }
    let ticket = destination.create(media).await?;
    fault_point("created");
    Ok(ticket)
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

/// Asks what the destination has, and compares. With `rehash`, the parts that were sent are read and
/// hashed again, to see whether the file is still the one they came from.
///
/// # Errors
/// The destination's, [`Kind::Changed`] where the bytes of the file are others now, and
/// [`Kind::TicketGone`] where the destination has bytes that are not of this plan.
pub async fn check(
    destination: &dyn Destination,
    ticket: &Ticket,
    plan: PartPlan,
    receipts: BTreeMap<PartNumber, Option<Md5>>,
    path: PathBuf,
    reading: Reading,
    rehash: bool,
) -> Result<Checked> {
    let there = match destination.received(ticket, &plan).await? {
        // What was acknowledged was held against its MD5 when the answer came.
        Received::Unproven if receipts.len() < plan.count() as usize => {
            return Err(Error::new(Kind::TicketGone, UNPROVEN));
        }
        Received::Complete | Received::Unproven => {
            return Ok(Checked {
                complete: true,
                ..Checked::default()
            });
        }
        Received::Foreign(what) => return Err(foreign(&what)),
        Received::Parts(parts) => parts,
    };
    blocking(move || {
        let file = File::open(&path).map_err(|error| Error::local("it can't be opened", &error))?;
        let local = |number: PartNumber| match plan.part(number) {
            Some(part) => hash(&reading, &file, part).map(Some),
            None => Ok(None),
        };
        let mut checked = Checked::default();
        if rehash {
            for (number, md5) in receipts.iter().filter_map(|(n, md5)| Some((*n, (*md5)?))) {
                if local(number)? != Some(md5) {
                    let words = format!("part {number} was sent with other bytes than it has now");
                    return Err(Error::new(Kind::Changed, words));
                }
            }
        }
        let there: BTreeMap<PartNumber, Option<Md5>> = there
            .into_iter()
            .map(|part| (part.number, part.md5))
            .collect();
        for (number, theirs) in &there {
            let known = receipts.get(number);
            if rehash && theirs.is_none() && known.is_none_or(Option::is_none) {
                // Another file may stand in its place, and nothing tells whose bytes these are.
                let words =
                    format!("it was replaced, and nobody knows which bytes part {number} has");
                return Err(Error::new(Kind::Changed, words));
            }
            let ours = match (known, theirs) {
                (Some(Some(md5)), _) => Some(*md5),
                (_, Some(_)) => local(*number)?,
                (_, None) => None,
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
        checked
            .lost
            .extend(receipts.keys().filter(|number| !there.contains_key(number)));
        Ok(checked)
    })
    .await
}

/// Bytes of another slicing are there: whatever is added would be mixed with them.
fn foreign(what: &str) -> Error {
    let words = format!("the destination has bytes that are not of this upload ({what})");
    Error::new(Kind::TicketGone, words)
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

/// Tells the destination that all is there, after making sure where that is ours to do.
///
/// # Errors
/// The destination's.
pub async fn complete(
    destination: &dyn Destination,
    ticket: &Ticket,
    plan: &PartPlan,
    receipts: &BTreeMap<PartNumber, Option<Md5>>,
) -> Result<Completion> {
    if destination.verify_before_complete(ticket, plan.count()) {
        let there: BTreeMap<_, _> = match destination.received(ticket, plan).await? {
            Received::Complete | Received::Unproven => return Ok(Completion::Agreed),
            Received::Foreign(what) => return Err(foreign(&what)),
            Received::Parts(parts) => parts.into_iter().map(|p| (p.number, p.md5)).collect(),
        };
        let good = |number: &PartNumber| match (there.get(number), receipts.get(number)) {
            (Some(Some(theirs)), Some(Some(ours))) => theirs == ours,
            (there, _) => there.is_some(),
        };
        let missing: BTreeSet<PartNumber> =
            (1..=plan.count()).filter(|number| !good(number)).collect();
        if !missing.is_empty() {
            return Ok(Completion::Missing(missing));
        }
    }
    fault_point("all-sent");
    destination.complete(ticket, plan).await?;
    fault_point("complete-answered");
    Ok(Completion::Agreed)
}

/// Removes what an upload made at the destination, once it is on disk that this is to be done, and
/// looks at the file anew.
///
/// # Errors
/// The destination's, or that the file can't be opened.
pub async fn clear(
    destination: &dyn Destination,
    saved: oneshot::Receiver<()>,
    marker: &str,
    ticket: Option<Ticket>,
    path: PathBuf,
) -> Result<Identity> {
    let identity = look(path).await?;
    on_disk(saved).await?;
    let ticket = match ticket {
        Some(ticket) => Some(ticket),
        None => destination.recover(marker).await?,
    };
    if let Some(ticket) = ticket {
        destination.remove(&ticket).await?;
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
