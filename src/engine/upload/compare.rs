//! What the account has of an upload, compared with what the record says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use super::file::{blocking, hash, open_here};
use crate::{
    body::Reading,
    destination::{Md5, Receipts, Received, RemoteUpload, UNVERIFIABLE},
    error::{Error, Kind, Result},
    plan::{Part, PartNumber, PartPlan},
};

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
    /// Parts that are there and were not known to be, with their MD5 where it is known.
    pub(super) found: Vec<(PartNumber, Option<Md5>)>,
    /// Parts that were known to be there and are not, or not as they were sent.
    pub(super) lost: BTreeSet<PartNumber>,
    /// Parts whose MD5 there is ours.
    pub(super) verified: Vec<PartNumber>,
    /// All of it is there, and complete.
    pub(super) complete: bool,
    /// The plan from now on, where the account has bytes up to the middle of a part. `found` and `lost`
    /// have numbers of this plan.
    pub(super) plan: Option<PartPlan>,
}

/// Asks what the account has, and compares. With `rehash`, the parts that were sent are read and hashed
/// again, to see whether the file is still the one they came from.
///
/// # Errors
/// The account's; [`Kind::Changed`] where the bytes of the file are others now; [`Kind::TicketGone`]
/// where nothing shows whether the account's bytes are the file's.
pub(super) async fn compare(
    remote: &dyn RemoteUpload,
    plan: PartPlan,
    receipts: Receipts,
    path: PathBuf,
    reading: Reading,
    rehash: bool,
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
        let file = open_here(&path)?;
        let hash = |part| hash(&reading, &file, part);
        let mut checked = differences(&plan, &there, &receipts, rehash, hash)?;
        checked.plan = new_plan;
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
