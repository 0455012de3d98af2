//! One upload at an account: where its parts go, what the account has of it, and its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use async_trait::async_trait;

use super::{Limits, Ticket};
use crate::{
    body::PartBody,
    error::{Error, Kind, Result},
    ids::MediaId,
    plan::{Part, PartNumber, PartPlan},
};

/// An MD5, as receipts carry it.
pub type Md5 = [u8; 16];

/// Where the bytes of a part go.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// To the account itself: nothing had to be asked for.
    Account,
    /// To this link, which holds its own authorization.
    Link(String),
    /// Nowhere: the account already has this part and can't replace it; with its MD5, where the
    /// account returns one.
    Received(Option<Md5>),
}

impl fmt::Debug for Target {
    /// Shows no link: links are signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "Account",
            Self::Link(_) => "Link(…)",
            Self::Received(_) => "Received",
        })
    }
}

/// What the account returned for a part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// The MD5 the account says it has, where it says so. The engine compares it with the MD5 taken
    /// while sending.
    pub md5: Option<Md5>,
    /// An opaque text of the account's that [`RemoteUpload::complete`] needs.
    pub tag: Option<String>,
    /// The upload's ticket from now on, where the part changed it: an account may name the media
    /// object only with the first part or at the end. The upload is opened again by it, and it is on
    /// disk before another part goes out.
    pub ticket: Option<Ticket>,
}

/// What is kept of a part that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartReceipt {
    /// The MD5 taken while sending; `None` where the part was found at the account and its MD5 never
    /// seen.
    pub md5: Option<Md5>,
    /// The account's opaque text for it.
    pub tag: Option<Box<str>>,
}

impl From<Option<Md5>> for PartReceipt {
    fn from(md5: Option<Md5>) -> Self {
        Self { md5, tag: None }
    }
}

/// The receipts of an upload's parts, by the part's number.
pub type Receipts = BTreeMap<PartNumber, PartReceipt>;

/// A part the account says it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedPart {
    /// Its number in the plan.
    pub number: PartNumber,
    /// Its MD5, where the account returns one.
    pub md5: Option<Md5>,
}

/// Why bytes that are at the account do not count: [`Received::Unverifiable`], and no receipt of ours.
pub const UNVERIFIABLE: &str = "the destination has bytes for this file, and nothing shows whether they \
                                are the right ones: their answer was never seen";

/// What the account says it has of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// These parts of the plan, in any order; maybe none.
    Parts(Vec<ReceivedPart>),
    /// This many bytes from the beginning of the file.
    Offset(u64),
    /// All of it: the upload is complete there.
    Complete,
    /// Some bytes for the whole file, without a checksum: whether they are the file's, only an answer
    /// that was seen can say.
    Unverifiable,
    /// Bytes that are no part of this plan (split differently, or from elsewhere). Sending more would
    /// mix two plans; the words say what was found.
    Conflict(String),
}

/// The failure that [`Received::Conflict`] is: the engine asks again before it believes it.
pub(crate) fn conflict(what: &str) -> Error {
    let words = format!("the destination has bytes that are not of this upload ({what})");
    Error::new(Kind::Conflict, words)
}

/// What came of completing an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completed {
    /// The account has it all, as this media object.
    Complete(MediaId),
    /// These parts have to be sent again first.
    Missing(BTreeSet<PartNumber>),
}

/// One upload at an account, opened by its ticket ([`Account::open`](super::Account::open)). It owns
/// what can be fetched again (links) and the way this upload is sent, whatever the
/// config says now; both go when it is dropped. No method retries a failed step: the engine does.
///
/// The plan is handed in, because the engine may replan the parts that have not started.
#[async_trait]
pub trait RemoteUpload: Send + Sync + fmt::Debug {
    /// What this upload allows: the account's limits, narrowed to how it was created.
    fn limits(&self) -> Limits;

    /// Whether the upload is complete with its last part, without being told so
    /// ([`Self::complete`]).
    fn completes_by_itself(&self) -> bool {
        false
    }

    /// The host that parts go to, as the endpoints of errors name it; `None` where that is the API's, or
    /// as long as the account has not said it.
    fn parts_host(&self) -> Option<Arc<str>> {
        None
    }

    /// Finds out where a part goes, by API calls; by default nothing has to be asked for.
    /// [`Target::Received`] is for a part that the account has and can't replace: the engine compares
    /// its MD5 with the file's, and an upload in which they differ can only be started over.
    ///
    /// # Errors
    /// The API's. [`crate::error::Kind::TicketGone`] where the account no longer knows the upload.
    async fn prepare(&self, _plan: &PartPlan, _part: Part) -> Result<Target> {
        Ok(Target::Account)
    }

    /// Sends one part. When this fails ambiguously (the answer was lost), the caller asks
    /// [`Self::received`] before it sends the part again.
    ///
    /// # Errors
    /// Those of the host that takes the parts, of all kinds; [`crate::error::Kind::AlreadySent`] is a success that came earlier.
    async fn put(
        &self,
        target: Target,
        plan: &PartPlan,
        part: Part,
        body: PartBody,
    ) -> Result<Receipt>;

    /// Asks what the account has of this upload: the truth for resume.
    ///
    /// # Errors
    /// The API's; [`crate::error::Kind::TicketGone`] when it no longer knows the upload.
    async fn received(&self, plan: &PartPlan) -> Result<Received>;

    /// Ends the upload. Where the account completes with whatever it has, so that a gap would truncate
    /// the file silently, the parts are listed first, and what is missing is returned. Completing twice
    /// is no error.
    ///
    /// # Errors
    /// The API's; an ambiguous failure is retried.
    async fn complete(&self, plan: &PartPlan, receipts: &Receipts) -> Result<Completed>;
}
