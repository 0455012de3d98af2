//! What a place to upload to can do: two traits, and nothing of any vendor.
//!
//! An [`Account`] is what a destination of the config points at: it creates media objects and knows
//! what became of them. A [`RemoteUpload`] is one upload there. Errors of an account are its API's;
//! those of [`RemoteUpload::put`] are of the host that takes the parts; each names its host and class of
//! call.
//!
//! Everything needed to resume an upload next week is in its [`Ticket`], which the session keeps.
//! What an implementation caches (links, access tokens) it can get again.
//!
//! | file | contents |
//! |---|---|
//! | `ticket` | what an account returned for an upload |
//! | `upload` | one upload at an account: parts, receipts, completion |
//! | `limits` | what an account allows, and how a file is split within that |
//! | `call_limiter` | calls per minute |
//! | `need` | how old the need for a call is, by which calls wait for their budget |
//! | `options` | the keys of a destination's table in the config, common ones and those of one kind |
//! | `metadata` | a person's metadata as JSON, and in words |
//! | `status_batch` | statuses of many media objects, where not all may be answered |
//! | `http` | requests, answers, TLS |
//! | `jwplayer`, `apivideo` | the vendors |
//!
//! Another kind is a module here, its name and options in `config::schema` and `config::Kind`, and how
//! it is built in `launch::destinations`.

pub mod apivideo;
mod call_limiter;
pub mod http;
pub mod jwplayer;
mod limits;
mod metadata;
pub mod need;
pub mod options;
mod status_batch;
mod ticket;
mod upload;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Map, Value};
use url::Url;

use crate::{
    error::Result,
    ids::{AccountId, MediaId},
};

pub use limits::{Limits, LineSeen};
pub use metadata::in_words;
pub use status_batch::StatusBatch;
pub use ticket::{Ticket, TicketKey};
pub(crate) use upload::conflict;
pub use upload::{
    Completed, Md5, PartReceipt, Receipt, Receipts, Received, ReceivedPart, RemoteUpload, Target,
    UNVERIFIABLE,
};

/// What a create says of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMedia {
    /// Our idempotency key, by which a create whose answer was lost is found again.
    pub marker: String,
    /// The title.
    pub title: String,
    /// The file's name as the account may see it.
    pub file_name: String,
    /// The media type, such as `video/mp4`.
    pub mime: String,
    /// The file's size in bytes.
    pub size: u64,
    /// How many parts it will be sent in, as far as is known now.
    pub parts: u32,
}

/// What came of looking for what an earlier create made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// This, which can be resumed or is complete.
    Found(Ticket),
    /// These, which can't be resumed: what their create returned is lost. The engine deletes them
    /// before it creates another.
    Lost(Vec<Ticket>),
    /// Nothing.
    Absent,
    /// The account has no way to find out. Where what it may have made expires by itself, another may
    /// be created; this says after how long.
    CannotTell {
        /// How long an object that nobody completes lasts; `None`: for ever, so that nothing may be
        /// created.
        orphan_expires: Option<Duration>,
    },
}

/// What became of a media object after its upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaStatus {
    /// The account still works on it; in its own word.
    Processing(String),
    /// It can be played.
    Ready,
    /// The account could not use it; in its own words.
    Failed(String),
    /// There is no such media object.
    Gone,
}

/// A call budget that is used up, and that somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitWait {
    /// How long until the next call.
    pub remaining: Duration,
    /// Which budget, in words: `"60 API calls a minute"`.
    pub budget: String,
}

/// What a destination of the config points at. Each method may make several requests (a page each, a
/// token refresh), and none retries a failed step: the engine does.
#[async_trait]
pub trait Account: Send + Sync + fmt::Debug {
    /// Which account it is, whatever the config calls it.
    fn id(&self) -> &AccountId;

    /// Where it is, for people: `"JW Player site AbCd1234"`. No secrets.
    fn describe(&self) -> String;

    /// Where a person can look at a media object: the vendor's page for it, else its address in the
    /// API. No secrets.
    fn page_url(&self, media: &MediaId) -> Option<Url>;

    /// What [`Self::create`] says of a file, in the account's words, to show to a person.
    fn metadata(&self, media: &NewMedia) -> Map<String, Value>;

    /// What it allows, known without a ticket or a secret. An upload may narrow it
    /// ([`RemoteUpload::limits`]).
    fn limits(&self) -> &Limits;

    /// The host of its API, as the endpoints of errors name it.
    fn host(&self) -> Arc<str>;

    /// The call budget that holds calls back now, if any.
    fn rate_limit_wait(&self) -> Option<RateLimitWait> {
        None
    }

    /// Whether its id is made of its key, so that an account whose key was replaced has another id.
    fn has_id_of_its_key(&self) -> bool {
        false
    }

    /// A key by which tickets are encrypted wherever else than in a session's file they are kept, made
    /// from the account's secret; `None`: they are kept nowhere else.
    fn ticket_key(&self) -> Option<TicketKey> {
        None
    }

    /// Asks whether the credentials work, with as few calls as possible; returns it in words.
    ///
    /// # Errors
    /// What the account refused, or why it could not be reached.
    async fn check(&self) -> Result<String>;

    /// Creates the media object.
    ///
    /// # Errors
    /// [`crate::error::Kind::Broken`] and [`crate::error::Kind::Server`] may mean that it was created
    /// all the same: the caller has to call [`Self::find_created`] before it creates again.
    async fn create(&self, media: &NewMedia) -> Result<Ticket>;

    /// Finds what a create with this marker made whose answer was lost. Deletes nothing.
    ///
    /// # Errors
    /// When the account can't answer now; then nothing may be created.
    async fn find_created(&self, media: &NewMedia) -> Result<Lookup>;

    /// What became of these media objects, of which the first have waited longest: many in one call
    /// where the account can, else a few of them. What was learnt before a failure is returned with it.
    async fn status(&self, media: &[MediaId]) -> StatusBatch;

    /// Deletes an unfinished media object of ours, so that a fresh one can take its place. One that is
    /// gone already is no error.
    ///
    /// # Errors
    /// What the account refused.
    async fn delete(&self, ticket: &Ticket) -> Result<()>;

    /// Opens an upload by its ticket. Asks nothing.
    ///
    /// # Errors
    /// [`crate::error::Kind::TicketGone`] when the ticket says too little to resume with.
    fn open(&self, ticket: Ticket) -> Result<Box<dyn RemoteUpload>>;
}
