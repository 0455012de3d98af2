//! What the account has of an upload, compared with what the record says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use super::file::{blocking, hash, identity_of, open_here, version_of};
use crate::{
    body::{Progress, Reading},
    destination::{Md5, PartReceipt, Receipts, Received, RemoteUpload, UNVERIFIABLE},
    error::{Error, Kind, Result},
    identity::Identity,
    plan::{Part, PartNumber, PartPlan},
};

/// The local file, and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct LocalFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// The file as it was found now.
    pub(super) identity: Identity,
    /// The file as it is recorded.
    pub(super) recorded: Identity,
    /// The inode that it was last seen with in this run; 0 where that means nothing.
    pub(super) inode: u64,
    /// Whether what was sent has to be compared with it in any case.
    pub(super) needs_rehash: bool,
    /// Whether the ledger knows that it is a copy, or another name, of what was sent.
    pub(super) is_copy: bool,
    /// How it is read.
    pub(super) reading: Reading,
}

impl LocalFile {
    /// The same, seen from outside while its disk is waited for.
    pub(super) fn seen_in(self, seen: &Arc<Progress>) -> Self {
        Self {
            reading: self.reading.seen_in(seen),
            ..self
        }
    }

    /// What its inode says, where it is this file now.
    fn origin(&self, now: &Identity) -> Origin {
        if self.is_copy {
            Origin::Copy
        } else if self.needs_rehash || (self.inode != 0 && self.inode != now.inode) {
            Origin::Replaced
        } else if self.recorded.is_same_file(now) {
            Origin::Same
        } else {
            Origin::Unknown
        }
    }
}

/// Whether the local file is the one that the parts were read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is: size, time, inode and file system are the recorded ones. A part that the account has, and
    /// whose MD5 nobody knows, is hashed.
    Same,
    /// Its inode was not recorded, or its file system has another number now.
    Unknown,
    /// It is a copy of that, or another name of it: what was sent is read and hashed again, and what the
    /// account has otherwise is hashed.
    Copy,
    /// Another file is in its place: what was sent is read and hashed again.
    Replaced,
}

/// What came of comparing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Comparison {
    /// This.
    Fits(Checked),
    /// The account has bytes that do not fit the plan, in words. That may pass: it may still be
    /// receiving a part.
    Conflict(String),
}

/// How what the account has differs from the record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Checked {
    /// Parts that are there and were not known to be, or whose MD5 was not known and is now.
    pub(super) found: Vec<(PartNumber, PartReceipt)>,
    /// Parts that were known to be there and are not, or not as they were sent.
    pub(super) lost: BTreeSet<PartNumber>,
    /// Parts whose MD5 there is ours.
    pub(super) verified: Vec<PartNumber>,
    /// All of it is there, and complete.
    pub(super) complete: bool,
    /// The plan from now on, where the account has bytes up to the middle of a part. `found` and `lost`
    /// have numbers of this plan.
    pub(super) plan: Option<PartPlan>,
    /// The file in its place, where all that was sent was compared with its bytes.
    pub(super) replaced_by: Option<Identity>,
}

/// Asks what the account has, and compares. Where another file is in the place of the one that the parts
/// came from, those that were sent are read and hashed again: it has to have the same bytes.
///
/// # Errors
/// The account's; [`Kind::Changed`] where the bytes of the file are others now; [`Kind::TicketGone`]
/// where nothing shows whether the account's bytes are the file's.
pub(super) async fn compare(
    remote: &dyn RemoteUpload,
    plan: PartPlan,
    receipts: Receipts,
    local: LocalFile,
) -> Result<Comparison> {
    let (plan, there, new_plan) = match remote.received(&plan).await? {
        // What was acknowledged was compared with its MD5 when the answer came.
        Received::Unverifiable if receipts.len() < plan.count() as usize => {
            return Err(Error::new(Kind::TicketGone, UNVERIFIABLE));
        }
        Received::Complete | Received::Unverifiable => {
            return Ok(Comparison::Fits(Checked {
                complete: true,
                ..Checked::default()
            }));
        }
        Received::Conflict(what) => return Ok(Comparison::Conflict(what)),
        Received::Parts(parts) => {
            let parts = parts.into_iter().map(|part| (part.number, part.md5));
            (plan, parts.collect(), None)
        }
        Received::Offset(offset) if offset > plan.file_size() => {
            let size = plan.file_size();
            let words = format!("{offset} bytes are there, and the file has {size}");
            return Ok(Comparison::Conflict(words));
        }
        Received::Offset(offset) => up_to(offset, plan),
    };
    blocking(move || {
        let waiting = local.reading.waits();
        let file = open_here(&local.path)?;
        let before = identity_of(&file)?;
        drop(waiting);
        local.identity.check(&before)?;
        let origin = local.origin(&before);
        let hash = |part| hash(&local.reading, &file, part);
        let mut checked = differences(&plan, &there, &receipts, origin, hash)?;
        // What was hashed while the file changed may be of two versions.
        local.identity.check(&version_of(&file)?)?;
        checked.plan = new_plan;
        let is_other = matches!(origin, Origin::Replaced | Origin::Copy);
        checked.replaced_by = is_other.then_some(before);
        Ok(Comparison::Fits(checked))
    })
    .await
}

/// What an account has that tells it as bytes from the beginning: the plan with a part that ends there,
/// its parts up to there, and the plan once more if it is a new one.
#[allow(clippy::type_complexity, reason = "three values for one caller")]
pub(super) fn up_to(
    offset: u64,
    plan: PartPlan,
) -> (
    PartPlan,
    BTreeMap<PartNumber, Option<Md5>>,
    Option<PartPlan>,
) {
    let Some((split, last)) = plan.with_end_at(offset) else {
        return (plan, BTreeMap::new(), None);
    };
    let there = (1..=last).map(|number| (number, None)).collect();
    let new_plan = (split != plan).then(|| split.clone());
    (split, there, new_plan)
}

/// Compares what is there with the receipts. `hash` reads a part of the file.
///
/// # Errors
/// Those of reading, and [`Kind::Changed`] where the file has other bytes now.
pub(super) fn differences(
    plan: &PartPlan,
    there: &BTreeMap<PartNumber, Option<Md5>>,
    receipts: &Receipts,
    origin: Origin,
    hash: impl Fn(Part) -> Result<Md5>,
) -> Result<Checked> {
    let local = |number: PartNumber| plan.part(number).map(&hash).transpose();
    let mut checked = Checked::default();
    if matches!(origin, Origin::Replaced | Origin::Copy) {
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
        if origin == Origin::Replaced && theirs.is_none() && ours.is_none() {
            // Another file may stand in its place, and nothing tells whose bytes these are.
            let words = format!("it was replaced, and nobody knows which bytes part {number} has");
            return Err(Error::new(Kind::Changed, words));
        }
        let ours = match (ours, theirs) {
            (None, Some(_)) => local(*number)?,
            (None, None) if matches!(origin, Origin::Same | Origin::Copy) => local(*number)?,
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
                if known.is_none_or(|known| known.md5 != ours) {
                    let tag = known.and_then(|known| known.tag.clone());
                    checked
                        .found
                        .push((*number, PartReceipt { md5: ours, tag }));
                }
            }
        }
    }
    let missing = receipts.keys().filter(|number| !there.contains_key(number));
    checked.lost.extend(missing);
    Ok(checked)
}
