//! JW Player: multipart uploads through pre-signed links, and single requests for small files.
//! Knows its calls and what they mean, not what is tried again.

mod answer;
mod links;
mod parts;
mod request;
mod whole;

use std::{path::PathBuf, sync::atomic::AtomicBool, sync::atomic::Ordering::Relaxed};

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{
    Destination, HoldUp, Limits, MediaStatus, NewMedia, Receipt, Received, Ticket,
    http::{Answer, Call, Http, HttpOptions},
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
use answer::Media;
use links::Links;
use request::{Sending, Site};

/// What a JW Player site needs to be told of itself.
#[derive(Debug, Clone)]
pub struct JwPlayerOptions {
    /// The site's (property's) id.
    pub site_id: String,
    /// The v2 API secret.
    pub secret: Secret,
    /// The API's address.
    pub url: String,
    /// Whether plain http is allowed beyond loopback.
    pub allow_http: bool,
    /// A PEM file with CAs that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// What is sent as metadata with every create, as JW Player names it.
    pub metadata: toml::Table,
    /// What the site allows.
    pub limits: Limits,
    /// How many API calls a minute are made at most; parts do not count.
    pub calls_per_minute: u32,
}

impl JwPlayerOptions {
    /// The vendor's API address.
    pub const URL: &'static str = "https://api.jwplayer.com";

    /// The vendor's documented limits: parts of 5 MiB to 5 GiB, 10,000 of them, files to 100 GB.
    pub const LIMITS: Limits = Limits {
        part_min: 5 << 20,
        part_max: 5 << 30,
        part_default: 16 << 20,
        parts_max: answer::SLOTS,
        file_max: 100_000_000_000,
        recut: true,
        parts_a_minute: None,
    };

    /// A site with everything as the vendor documents it: 60 calls a minute, [`Self::LIMITS`].
    #[must_use]
    pub fn new(site_id: impl Into<String>, secret: Secret) -> Self {
        Self {
            site_id: site_id.into(),
            secret,
            url: Self::URL.into(),
            allow_http: false,
            ca: None,
            metadata: toml::Table::new(),
            limits: Self::LIMITS,
            calls_per_minute: 60,
        }
    }
}

/// A site of JW Player's.
#[derive(Debug)]
pub struct JwPlayer {
    site: Site,
    limits: Limits,
    metadata: Map<String, Value>,
    pacer: Pacer,
    links: Links,
    /// Whether the server showed that it can't list media by ids.
    asks_one_by_one: AtomicBool,
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
            site: Site {
                http,
                id: options.site_id,
                secret: request::bearer(options.secret.expose())?,
            },
            limits: options.limits,
            metadata: metadata::json(&options.metadata),
            pacer: Pacer::new("API calls", options.calls_per_minute),
            links: Links::default(),
            asks_one_by_one: AtomicBool::new(false),
        })
    }

    async fn ask(&self, call: Call) -> Result<Answer> {
        self.site.http.ask(&self.pacer, call).await
    }

    /// The media object, by the site's secret; `None` when there is none.
    async fn media(&self, id: &str) -> Result<Option<Media>> {
        answer::read_media(&self.ask(self.site.status(id)?).await?)
    }

    /// What a failed call on an upload means, by what became of its media object: the upload's
    /// token says nothing once it is complete.
    async fn by_media(&self, ticket: &Ticket, failure: Option<Error>) -> Result<Received> {
        let Some(media) = self.media(&ticket.media).await? else {
            return Err(gone());
        };
        if !media.is_unfinished()? {
            return Ok(Received::Complete);
        }
        Err(match failure {
            Some(failure) => still_unfinished(failure),
            None => Error::new(Kind::TicketGone, "the upload's token is not known here"),
        })
    }

    /// Statuses by one list. `None` where the list did not tell.
    async fn listed(&self, ids: &[String]) -> Result<Vec<Option<MediaStatus>>> {
        if ids.len() < 2 || self.asks_one_by_one.load(Relaxed) {
            return Ok(vec![None; ids.len()]);
        }
        let answer = self.ask(self.site.statuses(ids)?).await?;
        if matches!(answer.status, 400 | 404 | 405 | 422) {
            self.asks_one_by_one.store(true, Relaxed);
            return Ok(vec![None; ids.len()]);
        }
        let found = answer::read_list(&answer, "status")?;
        if found.iter().all(|media| !ids.contains(&media.id)) {
            self.asks_one_by_one.store(true, Relaxed);
        }
        let status = |id: &String| {
            found
                .iter()
                .find(|media| media.id == *id)
                .map(Media::status)
        };
        Ok(ids.iter().map(status).collect())
    }
}

fn gone() -> Error {
    Error::new(
        Kind::TicketGone,
        "JW Player no longer has this media object",
    )
}

/// What a refused call on an upload means whose media object is unfinished all the same.
fn still_unfinished(refused: Error) -> Error {
    let kind = match refused.status {
        Some(401..=404 | 410) => Kind::TicketGone,
        // A complete is only accepted at first (202): it may still be on its way.
        Some(409) => Kind::Server,
        _ => refused.kind,
    };
    Error { kind, ..refused }
}

/// A refusal of a call on the site itself: an unknown site is a wrong setting, like a wrong secret.
fn of_site(mut error: Error, site: &str) -> Error {
    let place = match error.status {
        Some(404) => format!("JW Player knows no site {site} for this secret"),
        Some(403) => format!("JW Player gives this secret no access to the site {site}"),
        _ => return error,
    };
    error.kind = Kind::Credentials;
    error = error.at(&place);
    error
}

#[async_trait]
impl Destination for JwPlayer {
    fn describe(&self) -> String {
        format!("JW Player site {}", self.site.id)
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    async fn check(&self) -> Result<String> {
        let answer = self.ask(self.site.check()?).await?;
        let read = answer::read_list(&answer, "check");
        read.map_err(|error| of_site(error, &self.site.id))?;
        Ok(format!(
            "JW Player accepts the key for site {}",
            self.site.id
        ))
    }

    async fn recover(&self, marker: &str) -> Result<Option<Ticket>> {
        let mut found: Option<Ticket> = None;
        for call in [self.site.find(marker)?, self.site.newest()?] {
            let doing = call.doing;
            let listed = answer::read_list(&self.ask(call).await?, doing)
                .map_err(|error| of_site(error, &self.site.id))?;
            let mut any = false;
            for media in listed.into_iter().filter(|media| media.is_marked(marker)) {
                any = true;
                let ticket = Ticket {
                    media: media.id.clone(),
                    upload: None,
                    token: None,
                    method: None,
                };
                if media.is_unfinished()? {
                    // Its token went with the lost answer and can't be had again.
                    self.remove(&ticket).await?;
                } else {
                    found = Some(ticket);
                }
            }
            if any {
                break;
            }
        }
        Ok(found)
    }

    fn metadata(&self, media: &NewMedia) -> Map<String, Value> {
        Site::metadata(media, &self.metadata)
    }

    fn address(&self, media: &str) -> Option<String> {
        self.site.page(media).ok().map(Into::into)
    }

    async fn create(&self, media: &NewMedia) -> Result<Ticket> {
        let answer = self.ask(self.site.create(media, &self.metadata)?).await?;
        answer::read_created(&answer, &media.mime).map_err(|error| of_site(error, &self.site.id))
    }

    async fn put(
        &self,
        ticket: &Ticket,
        plan: &PartPlan,
        part: Part,
        body: PartBody,
    ) -> Result<Receipt> {
        let mime = match Sending::of(ticket) {
            Sending::Multipart => return self.put_part(ticket, plan, part, body).await,
            Sending::Direct(mime) => mime,
        };
        if plan.count() != 1 {
            let why =
                "this media object was made for one request, and the file is now cut in parts";
            return Err(Error::new(Kind::TicketGone, why));
        }
        self.put_whole(ticket, mime, part, body).await
    }

    async fn received(&self, ticket: &Ticket, plan: &PartPlan) -> Result<Received> {
        if let Sending::Direct(_) = Sending::of(ticket) {
            return self.received_whole(ticket).await;
        }
        if ticket.upload.is_none() || ticket.token.is_none() {
            return self.by_media(ticket, None).await;
        }
        match self.list_all(ticket, plan).await {
            Err(error) if matches!(error.status, Some(400..=404 | 409 | 410 | 422)) => {
                self.by_media(ticket, Some(error)).await
            }
            other => other,
        }
    }

    async fn complete(&self, ticket: &Ticket, _plan: &PartPlan) -> Result<()> {
        let (Sending::Multipart, Some(upload), Some(token)) =
            (Sending::of(ticket), &ticket.upload, &ticket.token)
        else {
            // A direct upload ends with its one request.
            self.links.forget(&ticket.media);
            return Ok(());
        };
        let answer = self.ask(self.site.complete(upload, token)?).await?;
        if let Err(refused) = answer::read_done(&answer, "complete") {
            if !matches!(answer.status, 400..=404 | 409 | 410 | 422) {
                return Err(refused);
            }
            // Perhaps it was completed before and only the answer was lost.
            let media = self.media(&ticket.media).await?.ok_or_else(gone)?;
            if media.is_unfinished()? {
                return Err(still_unfinished(refused));
            }
        }
        self.links.forget(upload);
        Ok(())
    }

    fn verify_before_complete(&self, ticket: &Ticket, _parts: u32) -> bool {
        Sending::of(ticket) == Sending::Multipart
    }

    async fn status(&self, media: &[String]) -> Result<Vec<MediaStatus>> {
        let mut told = Told::default();
        for ids in media.chunks(request::STATUS_BATCH) {
            for (id, status) in ids.iter().zip(self.listed(ids).await?) {
                told.add(match status {
                    Some(status) => Ok(status),
                    // Not on the list is no proof that it is gone: lists lag behind.
                    None => self
                        .media(id)
                        .await
                        .map(|media| media.map_or(MediaStatus::Gone, |media| media.status())),
                })?;
            }
        }
        told.all()
    }

    async fn remove(&self, ticket: &Ticket) -> Result<()> {
        let answer = self.ask(self.site.delete(&ticket.media)?).await?;
        self.links.forget(&ticket.media);
        if let Some(upload) = &ticket.upload {
            self.links.forget(upload);
        }
        match answer.status {
            404 | 410 => Ok(()),
            _ => answer::read_done(&answer, "remove"),
        }
    }

    fn parts_go_elsewhere(&self) -> bool {
        true
    }

    fn hold_up(&self) -> Option<HoldUp> {
        self.pacer.hold_up()
    }
}
