//! What a place to upload to can do: the one trait the engine knows; nothing here knows a vendor. What
//! it allows, and how a file is cut within that, is in `limits`.
//!
//! A destination is stateless from the outside: everything needed to go on with an upload next week
//! is in its [`Ticket`], which the session keeps. What an implementation caches (links, access
//! tokens) it can get again.

pub mod apivideo;
pub mod http;
pub mod jwplayer;
mod limits;
mod metadata;
mod pace;
mod told;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    body::PartBody,
    error::Result,
    plan::{Part, PartPlan},
};

pub use limits::{Limits, LineSeen};
pub use metadata::in_words;

/// An MD5, as receipts carry it.
pub type Md5 = [u8; 16];

/// What a destination gave for an upload. Everything in it may be a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The media object's id; this one may be shown.
    pub media: String,
    /// The upload's id, where it differs from the media's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
    /// The token that the upload's calls are authorised with, or the one link of a direct upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How the destination said it wants the bytes; only the destination that wrote it reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

impl fmt::Debug for Ticket {
    /// Shows the media id alone: the rest lets its holder write to the account.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("media", &self.media)
            .finish_non_exhaustive()
    }
}

/// What a create is told of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMedia {
    /// The id of ours by which a create whose answer was lost is found again.
    pub marker: String,
    /// The title.
    pub title: String,
    /// The file's name as the destination may see it.
    pub file_name: String,
    /// The media type, such as `video/mp4`.
    pub mime: String,
    /// The file's size in bytes.
    pub size: u64,
    /// How many parts it will be sent in, as far as is known now.
    pub parts: u32,
}

/// What the destination answered for a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// The MD5 the destination says it has, where it says so. The engine holds it against the MD5
    /// taken on the way.
    pub md5: Option<Md5>,
}

/// A part the destination says it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedPart {
    /// Its number in the plan.
    pub number: u32,
    /// Its MD5, where the destination tells.
    pub md5: Option<Md5>,
}

/// Why bytes that are there do not count: [`Received::Unproven`], and no receipt of ours.
pub const UNPROVEN: &str = "the destination has bytes for this file, and nothing tells whether they \
                            are the right ones: the answer to them was never seen";

/// What the destination says it has of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// These parts of the plan, in any order; maybe none.
    Parts(Vec<ReceivedPart>),
    /// All of it: the upload is complete there.
    Complete,
    /// It took some bytes for the whole file, and tells no checksum of them: whether they are the
    /// file's, only an answer that was seen can say.
    Unproven,
    /// Bytes that are no part of this plan (cut differently, or from elsewhere). Going on would
    /// mix two slicings; the words say what was found.
    Foreign(String),
}

/// What became of a media object after its upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaStatus {
    /// The destination still works on it; in its own word.
    Processing(String),
    /// It can be played.
    Ready,
    /// The destination could not use it; in its own words.
    Failed(String),
    /// There is no such media object.
    Gone,
}

/// Something of the destination's that holds everything back for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldUp {
    /// How long it still lasts.
    pub left: Duration,
    /// Why, in words: `"60 API calls a minute"`.
    pub why: String,
}

/// A place to upload to. Every method is one step of an upload; each may make several requests
/// (a page each, a token refresh), and none tries a failed step again by itself: that is the
/// engine's.
#[async_trait]
pub trait Destination: Send + Sync + fmt::Debug {
    /// Where it is, for people: `"JW Player site AbCd1234"`. No secrets.
    fn describe(&self) -> String;

    /// What it allows.
    fn limits(&self) -> &Limits;

    /// Asks whether the credentials work, with as few calls as can be; answers in words.
    ///
    /// # Errors
    /// What the destination refused, or why it could not be reached.
    async fn check(&self) -> Result<String>;

    /// Finds what a create with this marker made whose answer was lost. A media object that is
    /// found but can't be gone on with is removed first, so that `None` always means: create it.
    ///
    /// # Errors
    /// When the destination can't tell; then nothing may be created.
    async fn recover(&self, marker: &str) -> Result<Option<Ticket>>;

    /// What [`Self::create`] tells of a file, in the destination's words.
    fn metadata(&self, media: &NewMedia) -> Map<String, Value>;

    /// Where a person can look at a media object: the vendor's page for it, else its address in the
    /// API. No secrets.
    fn address(&self, media: &str) -> Option<String>;

    /// Makes the media object.
    ///
    /// # Errors
    /// [`crate::error::Kind::Broken`] and [`crate::error::Kind::Server`] may mean that it was made all the same: the
    /// caller has to [`Self::recover`] before it creates again.
    async fn create(&self, media: &NewMedia) -> Result<Ticket>;

    /// Sends one part. When this fails ambiguously (the answer was lost), the caller asks
    /// [`Self::received`] before it sends the part again.
    ///
    /// # Errors
    /// All kinds; [`crate::error::Kind::AlreadySent`] is a success that came earlier.
    async fn put(
        &self,
        ticket: &Ticket,
        plan: &PartPlan,
        part: Part,
        body: PartBody,
    ) -> Result<Receipt>;

    /// Asks what it has of this upload: the truth for resume.
    ///
    /// # Errors
    /// [`crate::error::Kind::TicketGone`] when it knows the upload no more.
    async fn received(&self, ticket: &Ticket, plan: &PartPlan) -> Result<Received>;

    /// Ends the upload. The caller has made sure by [`Self::received`] that exactly the plan's parts
    /// are there, where the destination needs that ([`Self::verify_before_complete`]).
    /// Ending it twice is no error.
    ///
    /// # Errors
    /// What the destination refused; an ambiguous failure is tried again.
    async fn complete(&self, ticket: &Ticket, plan: &PartPlan) -> Result<()>;

    /// Whether [`Self::received`] has to be asked before [`Self::complete`]: where the destination
    /// completes with whatever is there, a gap would truncate the file silently. `parts` is the
    /// plan's count.
    fn verify_before_complete(&self, ticket: &Ticket, parts: u32) -> bool;

    /// What became of these media objects, in the same order. Many in one call where the
    /// destination can.
    ///
    /// # Errors
    /// When it can't tell now.
    async fn status(&self, media: &[String]) -> Result<Vec<MediaStatus>>;

    /// Removes an unfinished media object of ours, so that a fresh one can take its place. One that
    /// is gone already is no error.
    ///
    /// # Errors
    /// What the destination refused.
    async fn remove(&self, ticket: &Ticket) -> Result<()>;

    /// Whether parts go to another host than calls do: that one can be reached says nothing of the
    /// other then.
    fn parts_go_elsewhere(&self) -> bool {
        false
    }

    /// What of the destination's own rules holds calls back right now, if anything.
    fn hold_up(&self) -> Option<HoldUp> {
        None
    }
}
