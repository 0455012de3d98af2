//! JW Player: multipart uploads through pre-signed links, and single requests for small files.
//! Knows its calls and what they mean, not what is retried.

mod answer;
mod links;
mod options;
mod parts;
mod request;
mod whole;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use url::Url;

use super::{
    Account, Limits, Lookup, MediaStatus, NewMedia, RateLimitWait, RemoteUpload, StatusBatch,
    Ticket, TicketKey,
    call_limiter::CallRateLimiter,
    http::{Answer, Call, Http, HttpOptions},
};
use crate::{
    error::{CallClass, Error, Kind, Result},
    ids::{AccountId, MediaId},
};
use answer::Media;
pub use options::{JwPlayerConfig, JwPlayerOptions};
use parts::PartsUpload;
use request::{Sending, Site};
use whole::WholeUpload;

/// A site of JW Player's.
#[derive(Debug)]
pub struct JwPlayer {
    api: Arc<Api>,
    id: AccountId,
    ticket_key: TicketKey,
    metadata: Map<String, Value>,
}

/// The API of a site, as the account and its uploads use it.
#[derive(Debug)]
struct Api {
    site: Site,
    limits: Limits,
    limiter: CallRateLimiter,
}

impl JwPlayer {
    /// Makes a way to a site; nothing is sent yet.
    ///
    /// # Errors
    /// When the address may not be used, site id or secret are missing, the CA file can't be read,
    /// or the metadata has an `external_id`: that is where the marker goes.
    pub fn new(options: JwPlayerOptions) -> Result<Self> {
        if !answer::is_id(&options.site_id) {
            let why = format!("{:?} is no JW Player site id", options.site_id);
            return Err(Error::new(Kind::Refused, why));
        }
        if options.secret.is_empty() {
            return Err(Error::new(
                Kind::Credentials,
                "the JW Player secret is empty",
            ));
        }
        if options.metadata.contains_key("external_id") {
            let why = "metadata may not set external_id: reelhaul marks its uploads by it, so that \
                       none is made twice";
            return Err(Error::new(Kind::Refused, why));
        }
        let http = Http::new(&HttpOptions {
            url: options.url,
            allow_http: options.allow_http,
            ca: options.ca,
        })?;
        Ok(Self {
            id: options::account_id(http.host(), http.port(), &options.site_id),
            ticket_key: TicketKey::from_secret(&options.secret),
            metadata: options.metadata,
            api: Arc::new(Api {
                site: Site {
                    http,
                    id: options.site_id,
                    secret: request::bearer(options.secret.expose())?,
                },
                limits: options.limits,
                limiter: CallRateLimiter::new("API calls", options.calls_per_minute),
            }),
        })
    }

    /// A refusal of a call on the site itself: an unknown site is a wrong setting, like a wrong
    /// secret. That it forbids one call says nothing about others.
    fn of_site(&self, mut error: Error) -> Error {
        if error.status != Some(404) {
            return error;
        }
        error.kind = Kind::Credentials;
        let site = &self.api.site.id;
        error.at(&format!("JW Player knows no site {site} for this secret"))
    }

    /// The site's list is forbidden: that is the secret's doing.
    fn no_access(&self, mut error: Error) -> Error {
        let site = &self.api.site.id;
        let place = format!("JW Player gives this secret no access to the site {site}");
        error.kind = Kind::Credentials;
        error.at(&place)
    }

    /// Statuses by lists, then of a few singly that were on none.
    async fn ask_statuses(&self, media: &[MediaId]) -> StatusBatch {
        let mut batch = StatusBatch::unanswered(media.len());
        let mut index = 0;
        for ids in media.chunks(request::STATUS_BATCH) {
            let listed = match self.listed(ids).await {
                Ok(listed) => listed,
                Err(error) => {
                    batch.failure = Some(error);
                    return batch;
                }
            };
            for status in listed {
                batch.answers[index] = status.map(Ok);
                index += 1;
            }
        }
        // Not on the list is no proof that it is gone: lists lag behind.
        for index in batch.to_ask_singly() {
            let found = self.api.media(&media[index]).await;
            let status = found.map(|media| media.map_or(MediaStatus::Gone, |media| media.status()));
            if batch.add(index, status).is_break() {
                break;
            }
        }
        batch
    }

    /// Statuses by one list; `None` for each media object that it does not have.
    async fn listed(&self, ids: &[MediaId]) -> Result<Vec<Option<MediaStatus>>> {
        if ids.len() < 2 {
            return Ok(vec![None; ids.len()]);
        }
        let answer = self.api.ask(self.api.site.statuses(ids)?).await?;
        if matches!(answer.status, 400 | 404 | 405 | 422) {
            return Ok(vec![None; ids.len()]);
        }
        let found = answer::read_list(&answer, "status")?;
        let status = |id: &MediaId| {
            let media = found.iter().find(|media| media.id == id.as_str());
            media.map(Media::status)
        };
        Ok(ids.iter().map(status).collect())
    }
}

impl Api {
    async fn ask(&self, call: Call) -> Result<Answer> {
        self.site.http.ask(&self.limiter, call).await
    }

    /// A failure of the API's.
    fn error(&self, kind: Kind, words: impl AsRef<str>) -> Error {
        self.site.http.api_error(CallClass::Call, kind, words)
    }

    fn gone(&self) -> Error {
        let why = "JW Player no longer has this media object";
        self.error(Kind::TicketGone, why)
    }

    /// The media object, by the site's secret; `None` when there is none.
    async fn media(&self, id: &MediaId) -> Result<Option<Media>> {
        answer::read_media(&self.ask(self.site.status(id.as_str())?).await?)
    }

    /// Whether no byte of a media object was completed yet.
    async fn is_unfinished(&self, id: &MediaId) -> Result<bool> {
        let media = self.media(id).await?.ok_or_else(|| self.gone())?;
        self.was_unfinished(&media)
    }

    /// The same of one that was just read.
    fn was_unfinished(&self, media: &Media) -> Result<bool> {
        media.is_unfinished().ok_or_else(|| {
            let why = format!("JW Player names no status of the media object {}", media.id);
            self.error(Kind::Server, why)
        })
    }

    /// The host that a link from the API leads to, where a part may go there.
    fn link_host(&self, link: &str) -> Result<Arc<str>> {
        let host = self.site.http.link_host(link);
        host.map_err(|error| self.error(error.kind, error.message))
    }
}

/// A part that was handed in without the link it needs.
fn no_link() -> Error {
    Error::new(Kind::LinkExpired, "there is no link to send this part to")
}

#[async_trait]
impl Account for JwPlayer {
    fn id(&self) -> &AccountId {
        &self.id
    }

    fn describe(&self) -> String {
        format!("JW Player site {}", self.api.site.id)
    }

    fn page_url(&self, media: &MediaId) -> Option<Url> {
        self.api.site.page(media.as_str()).ok()
    }

    fn metadata(&self, media: &NewMedia) -> Map<String, Value> {
        Site::metadata(media, &self.metadata)
    }

    fn limits(&self) -> &Limits {
        &self.api.limits
    }

    fn host(&self) -> Arc<str> {
        self.api.site.http.endpoint_host()
    }

    fn ticket_key(&self) -> Option<TicketKey> {
        Some(self.ticket_key)
    }

    fn rate_limit_wait(&self) -> Option<RateLimitWait> {
        self.api.limiter.rate_limit_wait()
    }

    async fn check(&self) -> Result<String> {
        let answer = self.api.ask(self.api.site.check()?).await?;
        let read = answer::read_list(&answer, "check");
        read.map_err(|error| match error.kind {
            Kind::Forbidden => self.no_access(error),
            _ => self.of_site(error),
        })?;
        Ok(format!(
            "JW Player accepts the key for site {}",
            self.api.site.id
        ))
    }

    async fn create(&self, media: &NewMedia) -> Result<Ticket> {
        let call = self.api.site.create(media, &self.metadata)?;
        let answer = self.api.ask(call).await?;
        answer::read_created(&answer, &media.mime).map_err(|error| self.of_site(error))
    }

    /// The search first, then the newest media objects: the search may not know those yet, or not that
    /// one was completed. The token of one that is unfinished went with the lost answer and can't be
    /// had again.
    async fn find_created(&self, media: &NewMedia) -> Result<Lookup> {
        let mut lost = Vec::new();
        for call in [self.api.site.find(&media.marker)?, self.api.site.newest()?] {
            let doing = call.doing;
            let listed = answer::read_list(&self.api.ask(call).await?, doing)
                .map_err(|error| self.of_site(error))?;
            for found in listed.iter().filter(|one| one.is_marked(&media.marker)) {
                let ticket = Ticket::of(found.id.as_str());
                if !self.api.was_unfinished(found)? {
                    return Ok(Lookup::Found(ticket));
                }
                if !lost.contains(&ticket) {
                    lost.push(ticket);
                }
            }
        }
        Ok(if lost.is_empty() {
            Lookup::Absent
        } else {
            Lookup::Lost(lost)
        })
    }

    async fn status(&self, media: &[MediaId]) -> StatusBatch {
        let lists = media.len().div_ceil(request::STATUS_BATCH);
        let singles = StatusBatch::unanswered(media.len()).to_ask_singly().len();
        let calls = lists + singles;
        self.api
            .limiter
            .reserve(calls, self.ask_statuses(media))
            .await
    }

    async fn delete(&self, ticket: &Ticket) -> Result<()> {
        let Some(media) = &ticket.media else {
            return Ok(());
        };
        let answer = self.api.ask(self.api.site.delete(media.as_str())?).await?;
        match answer.status {
            404 | 410 => Ok(()),
            _ => answer::read_done(&answer, "remove"),
        }
    }

    fn open(&self, ticket: Ticket) -> Result<Box<dyn RemoteUpload>> {
        let media = ticket.media.clone().ok_or_else(|| {
            let why = "the session has no media object for this file";
            Error::new(Kind::TicketGone, why)
        })?;
        let api = Arc::clone(&self.api);
        Ok(match Sending::of(&ticket) {
            Sending::Multipart => Box::new(PartsUpload::new(api, media, ticket)),
            Sending::Direct(mime) => {
                let mime = mime.to_owned();
                Box::new(WholeUpload::new(api, media, mime, &ticket))
            }
        })
    }
}
