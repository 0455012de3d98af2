//! api.video: progressive uploads, several parts at once, its status as the truth. Knows its calls
//! and what they mean, not what is retried.

mod answer;
mod auth;
mod form;
mod received;
mod request;
mod status;
mod upload;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    Account, Limits, Lookup, MediaStatus, NewMedia, RateLimitWait, RemoteUpload, Ticket,
    call_limiter::CallRateLimiter,
    http::{Answer, Call, Http, HttpOptions},
    metadata,
    status_batch::StatusBatch,
};
use crate::{
    error::{CallClass, Error, Kind, Result},
    ids::{AccountId, MediaId},
    secret::Secret,
};
use auth::Auth;
use status::Status;
use upload::Upload;

/// How a request says which part of the file it is. One way per upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RangeMode {
    /// `bytes A-B/TOTAL`: the upload can be replanned while it runs.
    #[default]
    Bytes,
    /// `part N/TOTAL`: the number of parts is announced with the first, so that it stays.
    Part,
}

impl RangeMode {
    fn word(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Part => "part",
        }
    }

    /// What a ticket says, if it says it: that of the first edition may not.
    fn of(ticket: &Ticket) -> Option<Self> {
        match ticket.text("method")?.split(' ').next() {
            Some("bytes") => Some(Self::Bytes),
            Some("part") => Some(Self::Part),
            _ => None,
        }
    }

    /// What these limits are for an upload that is sent this way.
    fn narrow(self, limits: &Limits) -> Limits {
        Limits {
            can_replan: limits.can_replan && self == Self::Bytes,
            ..limits.clone()
        }
    }
}

/// How many calls of each sort a minute allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budgets {
    /// Requests that carry bytes of a file.
    pub uploads: u32,
    /// Requests that change something.
    pub writes: u32,
    /// Requests that ask.
    pub reads: u32,
}

/// What has to be known of an api.video account.
#[derive(Debug, Clone)]
pub struct ApiVideoOptions {
    /// The API key.
    pub api_key: Secret,
    /// The API's address.
    pub url: String,
    /// Whether plain http is allowed beyond loopback.
    pub allow_http: bool,
    /// A PEM file with CAs that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// Whether the key itself goes with every call instead of an access token.
    pub basic: bool,
    /// How parts are announced.
    pub range: RangeMode,
    /// What is sent with every create, as api.video names it; `metadata` in it may be a table.
    pub metadata: toml::Table,
    /// What the account allows.
    pub limits: Limits,
    /// How many calls a minute it allows.
    pub budgets: Budgets,
}

impl ApiVideoOptions {
    /// The vendor's production address.
    pub const URL: &'static str = "https://ws.api.video";

    /// The address of the vendor's own sandbox, where videos are cut to 30 s and deleted after 24 h.
    pub const SANDBOX_URL: &'static str = "https://sandbox.api.video";

    /// The vendor's limits: parts of 5 to 200 MiB, 10,000 of them; files to the 52,428,800,000
    /// bytes that are enforced (30 GiB are documented).
    pub const LIMITS: Limits = Limits {
        part_min: 5 << 20,
        part_max: 200 << 20,
        part_default: 50 << 20,
        parts_max: 10_000,
        file_max: 52_428_800_000,
        multiple_of: 1,
        uniform: false,
        ordered: false,
        first_alone: false,
        can_replan: true,
        parts_per_minute: Some(Self::BUDGETS.uploads),
    };

    /// Calls a minute in production.
    pub const BUDGETS: Budgets = Budgets {
        uploads: 100,
        writes: 200,
        reads: 500,
    };

    /// Calls a minute in the vendor's sandbox.
    pub const SANDBOX_BUDGETS: Budgets = Budgets {
        uploads: 40,
        writes: 40,
        reads: 100,
    };

    /// A production account with everything as the vendor documents it.
    #[must_use]
    pub fn new(api_key: Secret) -> Self {
        Self {
            api_key,
            url: Self::URL.into(),
            allow_http: false,
            ca: None,
            basic: false,
            range: RangeMode::Bytes,
            metadata: toml::Table::new(),
            limits: Self::LIMITS,
            budgets: Self::BUDGETS,
        }
    }
}

/// An account at api.video.
#[derive(Debug)]
pub struct ApiVideo {
    api: Arc<Api>,
    id: AccountId,
    /// What an upload that is created now allows.
    limits: Limits,
    /// The way in which new uploads are sent.
    range: RangeMode,
    metadata: Map<String, Value>,
}

/// The account's API, as the account and its uploads use it.
#[derive(Debug)]
struct Api {
    http: Http,
    auth: Auth,
    /// What an upload allows that is not narrowed by the way it is sent.
    limits: Limits,
    uploads: CallRateLimiter,
    writes: CallRateLimiter,
    reads: CallRateLimiter,
}

impl ApiVideo {
    /// Makes a way to an account; nothing is sent yet.
    ///
    /// # Errors
    /// When the address may not be used, the key is missing, the CA file can't be read, or the
    /// metadata has a `source` (the file is the source) or the marker's own key.
    pub fn new(options: ApiVideoOptions) -> Result<Self> {
        let metadata = person_metadata(&options.metadata)?;
        let http = Http::new(&HttpOptions {
            url: options.url,
            allow_http: options.allow_http,
            ca: options.ca,
        })?;
        let limits = Limits {
            parts_per_minute: Some(options.budgets.uploads),
            ..options.limits
        };
        Ok(Self {
            id: account_id(&http, &options.api_key),
            limits: options.range.narrow(&limits),
            range: options.range,
            metadata,
            api: Arc::new(Api {
                http,
                auth: Auth::new(options.api_key, options.basic)?,
                limits,
                uploads: CallRateLimiter::new("uploads", options.budgets.uploads),
                writes: CallRateLimiter::new("writes", options.budgets.writes),
                reads: CallRateLimiter::new("reads", options.budgets.reads),
            }),
        })
    }

    /// The ticket of a video whose upload is sent in the configured way.
    fn ticket(&self, video: String, media: &NewMedia) -> Ticket {
        let method = format!("{} {}", self.range.word(), media.file_name);
        Ticket::of(video).with("method", method)
    }
}

/// The account that a key opens: nothing else that is known of it says which it is.
fn account_id(http: &Http, key: &Secret) -> AccountId {
    use std::fmt::Write as _;

    let digest = Sha256::new()
        .chain_update(b"reelhaul account\0")
        .chain_update(key.expose())
        .finalize();
    let mut hex = String::new();
    for byte in digest.iter().take(16) {
        // Writing to a String can't fail.
        let _ = write!(hex, "{byte:02x}");
    }
    AccountId::new("apivideo", http.host(), http.port(), &hex)
}

impl Api {
    /// The budget of a class of call.
    fn limiter(&self, class: CallClass) -> &CallRateLimiter {
        match class {
            CallClass::Read => &self.reads,
            CallClass::Part => &self.uploads,
            CallClass::Write | CallClass::Call => &self.writes,
        }
    }

    /// An authorised call; when its token is refused, once more with a new one.
    async fn ask(&self, call: Call) -> Result<Answer> {
        let (answer, bearer) = self.ask_once(call.clone()).await?;
        if self.auth.is_basic() || !answer::wants_new_token(&answer) {
            return Ok(answer);
        }
        self.auth.refused(&bearer).await;
        self.ask_once(call).await.map(|(answer, _)| answer)
    }

    async fn ask_once(&self, call: Call) -> Result<(Answer, reqwest::header::HeaderValue)> {
        let limiter = self.limiter(call.class);
        // The place in the budget first: a token could expire while waiting for it.
        limiter.acquire().await;
        let bearer = self.auth.header(&self.http, &self.writes).await?;
        let answer = self.http.send(limiter, call.authorized(&bearer)).await?;
        Ok((answer, bearer))
    }

    /// A failure that the answer to a read means.
    fn error(&self, kind: Kind, words: impl AsRef<str>) -> Error {
        self.http.api_error(CallClass::Read, kind, words)
    }

    /// The status of a video; `None` when there is none.
    async fn video(&self, id: &MediaId) -> Result<Option<Status>> {
        let call = request::status(&self.http, id.as_str())?;
        answer::read_status(&self.ask(call).await?)
    }
}

/// The person's metadata, its own `metadata` as the list of pairs the API wants.
fn person_metadata(table: &toml::Table) -> Result<Map<String, Value>> {
    let refused = |why: &str| Err(Error::new(Kind::Refused, why));
    let mut metadata = metadata::json(table);
    if metadata.contains_key("source") {
        return refused("metadata may not set source: the file that is uploaded is the source");
    }
    let pairs = match metadata.remove("metadata") {
        None => return Ok(metadata),
        Some(Value::Array(pairs)) => pairs,
        Some(Value::Object(table)) => table
            .into_iter()
            .map(|(key, value)| match value {
                Value::String(value) => json!({"key": key, "value": value}),
                other => json!({"key": key, "value": other.to_string()}),
            })
            .collect(),
        Some(_) => return refused("metadata.metadata has to be a table of texts"),
    };
    if pairs.iter().any(|pair| pair["key"] == request::MARKER) {
        return refused(
            "metadata.metadata may not set reelhaul: uploads are marked by it, so that none is made \
             twice",
        );
    }
    metadata.insert("metadata".into(), pairs.into());
    Ok(metadata)
}

#[async_trait]
impl Account for ApiVideo {
    fn id(&self) -> &AccountId {
        &self.id
    }

    fn describe(&self) -> String {
        format!("api.video at {}", self.api.http.host())
    }

    fn page_url(&self, media: &MediaId) -> Option<Url> {
        request::page(&self.api.http, media.as_str()).ok()
    }

    fn metadata(&self, media: &NewMedia) -> Map<String, Value> {
        request::metadata(media, &self.metadata)
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn rate_limit_wait(&self) -> Option<RateLimitWait> {
        [&self.api.uploads, &self.api.writes, &self.api.reads]
            .into_iter()
            .filter_map(CallRateLimiter::rate_limit_wait)
            .max_by_key(|wait| wait.remaining)
    }

    async fn check(&self) -> Result<String> {
        let Api {
            http, auth, writes, ..
        } = &*self.api;
        if auth.is_basic() {
            answer::read_list(&self.api.ask(request::check(http)?).await?, "check")?;
        } else {
            auth.check(http, writes).await?;
        }
        Ok(format!("{} accepts the key", self.describe()))
    }

    async fn create(&self, media: &NewMedia) -> Result<Ticket> {
        let call = request::create(&self.api.http, media, &self.metadata)?;
        let id = answer::read_created(&self.api.ask(call).await?)?;
        Ok(self.ticket(id, media))
    }

    async fn find_created(&self, media: &NewMedia) -> Result<Lookup> {
        let marker = &media.marker;
        for call in [
            request::find(&self.api.http, marker)?,
            request::newest(&self.api.http)?,
        ] {
            let doing = call.doing;
            let videos = answer::read_list(&self.api.ask(call).await?, doing)?;
            if let Some(video) = videos.into_iter().find(|video| video.is_marked(marker)) {
                return Ok(Lookup::Found(self.ticket(video.id, media)));
            }
        }
        Ok(Lookup::Absent)
    }

    async fn status(&self, media: &[MediaId]) -> Result<Vec<MediaStatus>> {
        let mut batch = StatusBatch::default();
        for id in media {
            let video = self.api.video(id).await;
            batch.add(video.map(|video| video.map_or(MediaStatus::Gone, |video| video.media())))?;
        }
        batch.all()
    }

    async fn delete(&self, ticket: &Ticket) -> Result<()> {
        let Some(media) = &ticket.media else {
            return Ok(());
        };
        let call = request::delete(&self.api.http, media.as_str())?;
        let answer = self.api.ask(call).await?;
        match answer.status {
            404 | 410 => Ok(()),
            _ => answer::read_done(&answer, "remove"),
        }
    }

    fn open(&self, ticket: Ticket) -> Result<Box<dyn RemoteUpload>> {
        let mode = RangeMode::of(&ticket).unwrap_or(self.range);
        Ok(Box::new(Upload::new(Arc::clone(&self.api), ticket, mode)?))
    }
}
