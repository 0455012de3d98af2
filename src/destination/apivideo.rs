//! api.video: progressive uploads, several parts at once, its status as the truth. Knows its calls
//! and what they mean, not what is retried.

mod answer;
mod auth;
mod form;
mod options;
mod received;
mod request;
mod status;
mod upload;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    Account, Limits, Lookup, MediaStatus, NewMedia, RateLimitWait, RemoteUpload, StatusBatch,
    Ticket, TicketKey,
    call_limiter::CallRateLimiter,
    http::{Answer, Call, Http, HttpOptions},
};
use crate::{
    error::{CallClass, Error, Kind, Result},
    format::hex,
    ids::{AccountId, MediaId},
    secret::Secret,
};
use auth::Auth;
pub use options::{ApiVideoConfig, ApiVideoOptions, AuthMode, Budgets, RangeMode};
use status::Status;
use upload::Upload;

/// An account at api.video.
#[derive(Debug)]
pub struct ApiVideo {
    api: Arc<Api>,
    id: AccountId,
    ticket_key: TicketKey,
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
        let metadata = person_metadata(options.metadata)?;
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
            ticket_key: TicketKey::from_secret(&options.api_key),
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
    let digest = Sha256::new()
        .chain_update(b"reelhaul account\0")
        .chain_update(key.expose())
        .finalize();
    AccountId::new("apivideo", http.host(), http.port(), &hex(&digest[..16]))
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
fn person_metadata(mut metadata: Map<String, Value>) -> Result<Map<String, Value>> {
    let refused = |why: &str| Err(Error::new(Kind::Refused, why));
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

    fn host(&self) -> Arc<str> {
        self.api.http.endpoint_host()
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

    fn has_id_of_its_key(&self) -> bool {
        true
    }

    fn ticket_key(&self) -> Option<TicketKey> {
        Some(self.ticket_key)
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
            let answer = self.api.ask(request::check(http)?).await?;
            answer::read_list(&answer, "check").map_err(|error| match error.kind {
                Kind::Forbidden => Error {
                    kind: Kind::Credentials,
                    ..error
                },
                _ => error,
            })?;
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

    async fn status(&self, media: &[MediaId]) -> StatusBatch {
        let mut batch = StatusBatch::unanswered(media.len());
        let to_ask = batch.to_ask_singly();
        let calls = to_ask.len();
        let ask = async {
            for index in to_ask {
                let found = self.api.video(&media[index]).await;
                let status =
                    found.map(|video| video.map_or(MediaStatus::Gone, |video| video.media()));
                if batch.add(index, status).is_break() {
                    break;
                }
            }
        };
        self.api.reads.reserve(calls, Box::pin(ask)).await;
        batch
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
        let api = Arc::clone(&self.api);
        Ok(Box::new(Upload::new(api, ticket, self.range)?))
    }
}
