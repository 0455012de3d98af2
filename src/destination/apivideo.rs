//! api.video: progressive uploads, several parts at once, its status as the truth. Knows its calls
//! and what they mean, not what is tried again.

mod answer;
mod auth;
mod form;
mod received;
mod request;
mod status;

use std::path::PathBuf;

use async_trait::async_trait;
use reqwest::Body;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    Destination, HoldUp, Limits, MediaStatus, NewMedia, Receipt, Received, Ticket,
    http::{Answer, Call, Http, HttpOptions, heed},
    metadata,
    pace::Pacer,
    told::Told,
};
use crate::{
    body::PartBody,
    error::{Error, Kind, Result},
    plan::{Part, PartPlan},
    secret::Secret,
};
use auth::Auth;
use form::FileForm;
use status::Status;

/// How a request says which part of the file it is. One way per upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RangeMode {
    /// `bytes A-B/TOTAL`: parts may be cut anew while the upload runs.
    #[default]
    Bytes,
    /// `part N/TOTAL`.
    Part,
}

impl RangeMode {
    fn word(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Part => "part",
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

/// What an api.video account needs to be told of itself.
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
        recut: true,
        parts_a_minute: Some(Self::BUDGETS.uploads),
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
    http: Http,
    auth: Auth,
    limits: Limits,
    range: RangeMode,
    metadata: Map<String, Value>,
    uploads: Pacer,
    writes: Pacer,
    reads: Pacer,
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
        let mut limits = options.limits;
        // Parts by number carry their total: it can't change any more.
        limits.recut &= options.range == RangeMode::Bytes;
        limits.parts_a_minute = Some(options.budgets.uploads);
        Ok(Self {
            http,
            auth: Auth::new(options.api_key, options.basic)?,
            limits,
            range: options.range,
            metadata,
            uploads: Pacer::new("uploads", options.budgets.uploads),
            writes: Pacer::new("writes", options.budgets.writes),
            reads: Pacer::new("reads", options.budgets.reads),
        })
    }

    /// An authorised call; when its token is refused, once more with a new one.
    async fn ask(&self, pacer: &Pacer, call: Call) -> Result<Answer> {
        let (answer, bearer) = self.ask_once(pacer, call.clone()).await?;
        if self.auth.is_basic() || !answer::wants_new_token(&answer) {
            return Ok(answer);
        }
        self.auth.refused(&bearer).await;
        self.ask_once(pacer, call).await.map(|(answer, _)| answer)
    }

    async fn ask_once(
        &self,
        pacer: &Pacer,
        call: Call,
    ) -> Result<(Answer, reqwest::header::HeaderValue)> {
        // The turn first: a token could expire while waiting for it.
        pacer.turn().await;
        let bearer = self.auth.header(&self.http, &self.writes).await?;
        let answer = self.http.send(call.authorized(&bearer)).await?;
        Ok((heed(pacer, answer), bearer))
    }

    /// The status of a video; `None` when there is none.
    async fn video(&self, id: &str) -> Result<Option<Status>> {
        answer::read_status(
            &self
                .ask(&self.reads, request::status(&self.http, id)?)
                .await?,
        )
    }

    /// The way this upload announces its parts: as it was begun, whatever the config says now.
    fn mode(&self, ticket: &Ticket) -> RangeMode {
        match ticket.method.as_deref().and_then(|m| m.split(' ').next()) {
            Some("bytes") => RangeMode::Bytes,
            Some("part") => RangeMode::Part,
            _ => self.range,
        }
    }

    fn ticket(&self, media: String, file_name: Option<&str>) -> Ticket {
        let mode = self.range.word();
        Ticket {
            media,
            upload: None,
            token: None,
            method: Some(match file_name {
                Some(name) => format!("{mode} {name}"),
                None => mode.to_owned(),
            }),
        }
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

fn gone() -> Error {
    Error::new(Kind::TicketGone, "api.video no longer has this video")
}

#[async_trait]
impl Destination for ApiVideo {
    fn describe(&self) -> String {
        format!("api.video at {}", self.http.host())
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    async fn check(&self) -> Result<String> {
        if self.auth.is_basic() {
            let answer = self.ask(&self.reads, request::check(&self.http)?).await?;
            answer::read_list(&answer, "check")?;
        } else {
            self.auth.check(&self.http, &self.writes).await?;
        }
        Ok(format!("{} accepts the key", self.describe()))
    }

    async fn recover(&self, marker: &str) -> Result<Option<Ticket>> {
        for call in [
            request::find(&self.http, marker)?,
            request::newest(&self.http)?,
        ] {
            let doing = call.doing;
            let videos = answer::read_list(&self.ask(&self.reads, call).await?, doing)?;
            if let Some(video) = videos.into_iter().find(|video| video.is_marked(marker)) {
                return Ok(Some(self.ticket(video.id, None)));
            }
        }
        Ok(None)
    }

    fn metadata(&self, media: &NewMedia) -> Map<String, Value> {
        request::metadata(media, &self.metadata)
    }

    fn address(&self, media: &str) -> Option<String> {
        request::page(&self.http, media).ok().map(Into::into)
    }

    async fn create(&self, media: &NewMedia) -> Result<Ticket> {
        let call = request::create(&self.http, media, &self.metadata)?;
        let id = answer::read_created(&self.ask(&self.writes, call).await?)?;
        Ok(self.ticket(id, Some(&media.file_name)))
    }

    async fn put(
        &self,
        ticket: &Ticket,
        plan: &PartPlan,
        part: Part,
        body: PartBody,
    ) -> Result<Receipt> {
        let boundary = format!("reelhaul-{:032x}", fastrand::u128(..));
        let mode = self.mode(ticket);
        let call = request::source(&self.http, &ticket.media, plan, part, mode, &boundary)?;
        let name = ticket.method.as_deref().and_then(|m| m.split_once(' '));
        let name = name.map_or("", |(_, name)| name);
        let mime = mime_guess::from_path(name).first_or_octet_stream();
        let form = FileForm::new(&boundary, name, mime.as_ref(), body);

        self.uploads.turn().await;
        let bearer = self.auth.header(&self.http, &self.writes).await?;
        let sent = self.http.stream(call.authorized(&bearer), Body::wrap(form));
        let answer = heed(&self.uploads, sent.await?);
        if answer.is_success() {
            self.auth.part_accepted();
            return Ok(Receipt::default());
        }
        let failure = answer::failure(&answer, "send");
        if !self.auth.is_basic() && answer::wants_new_token(&answer) {
            // The body is spent, so it is the engine's to send it again, with a new token.
            if !self.auth.part_refused(&bearer).await {
                let error = Error {
                    kind: Kind::Credentials,
                    ..failure
                };
                return Err(error.at("api.video refuses every access token, fresh ones too"));
            }
            return Err(Error {
                kind: Kind::LinkExpired,
                ..failure
            });
        }
        self.auth.part_accepted();
        if answer::overlaps(&answer) {
            // This very part came through before, or is just being taken from a try that was given
            // up; or bytes of another slicing are there, and always will be.
            let kind = match self.received(ticket, plan).await? {
                Received::Complete | Received::Unproven => Kind::AlreadySent,
                Received::Parts(there) if there.iter().any(|one| one.number == part.number) => {
                    Kind::AlreadySent
                }
                Received::Parts(_) => Kind::Broken,
                Received::Foreign(_) => Kind::TicketGone,
            };
            return Err(Error { kind, ..failure });
        }
        match answer.status {
            404 | 410 => Err(Error {
                kind: Kind::TicketGone,
                ..failure
            }),
            _ => Err(failure),
        }
    }

    async fn received(&self, ticket: &Ticket, plan: &PartPlan) -> Result<Received> {
        let status = self.video(&ticket.media).await?.ok_or_else(gone)?;
        Ok(received::received(&status, plan, self.mode(ticket)))
    }

    /// The upload ends by itself when its last part arrives; this only makes sure that it did.
    async fn complete(&self, ticket: &Ticket, plan: &PartPlan) -> Result<()> {
        let missing = match self.received(ticket, plan).await? {
            Received::Complete | Received::Unproven => return Ok(()),
            Received::Parts(parts) => plan.count() as usize - parts.len(),
            Received::Foreign(why) => return Err(Error::new(Kind::TicketGone, why)),
        };
        if missing == 0 {
            return Ok(());
        }
        let why = format!(
            "api.video does not have {missing} of {} parts yet",
            plan.count()
        );
        Err(Error::new(Kind::Server, why))
    }

    fn verify_before_complete(&self, _ticket: &Ticket, _parts: u32) -> bool {
        false
    }

    async fn status(&self, media: &[String]) -> Result<Vec<MediaStatus>> {
        let mut told = Told::default();
        for id in media {
            let video = self.video(id).await;
            told.add(video.map(|video| video.map_or(MediaStatus::Gone, |video| video.media())))?;
        }
        told.all()
    }

    async fn remove(&self, ticket: &Ticket) -> Result<()> {
        let call = request::delete(&self.http, &ticket.media)?;
        let answer = self.ask(&self.writes, call).await?;
        match answer.status {
            404 | 410 => Ok(()),
            _ => answer::read_done(&answer, "remove"),
        }
    }

    fn hold_up(&self) -> Option<HoldUp> {
        [&self.uploads, &self.writes, &self.reads]
            .into_iter()
            .filter_map(Pacer::hold_up)
            .max_by_key(|hold_up| hold_up.left)
    }
}
