//! The account: both traits, on one type.

use std::sync::Arc;

use async_trait::async_trait;
use reelhaul::{
    body::PartBody,
    destination::{
        Account, Completed, Limits, Lookup, MediaStatus, NewMedia, Receipt, Receipts, Received,
        RemoteUpload, StatusBatch, Target, Ticket,
    },
    error::{CallClass, Endpoint, Error, Kind, Result},
    ids::{AccountId, MediaId},
    plan::{Part, PartPlan},
};
use reqwest::{Body, Client, Method, RequestBuilder, Response};

/// The server; with a ticket, one upload there.
#[derive(Debug, Clone)]
pub(crate) struct Resumable {
    pub(crate) http: Client,
    pub(crate) url: String,
    pub(crate) id: AccountId,
    pub(crate) limits: Limits,
    pub(crate) ticket: Ticket,
}

impl Resumable {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Sends a request; `None` where the server has nothing of that name.
    async fn ask(&self, class: CallClass, request: RequestBuilder) -> Result<Option<Response>> {
        let answer = request.send().await;
        let kind = match answer.as_ref().map(|answer| answer.status().as_u16()) {
            Ok(200..300) => return Ok(answer.ok()),
            Ok(404) => return Ok(None),
            Ok(429) => Kind::Throttled,
            Ok(409 | 500..) => Kind::Server, // the engine asks for the offset before it retries
            Ok(_) => Kind::Refused,
            Err(error) if error.is_connect() => Kind::Offline,
            Err(_) => Kind::Broken,
        };
        let host = (*self.host()).into();
        let error = |words: String| Error::new(kind, words).from_endpoint(Endpoint { host, class });
        Err(match answer.map(|answer| answer.status()) {
            Ok(status) => error(status.to_string()).with_status(status.as_u16()),
            Err(broken) => error(broken.to_string()),
        })
    }

    async fn call(&self, method: Method, path: &str) -> Result<Option<Response>> {
        self.ask(CallClass::Call, self.request(method, path)).await
    }
}

fn upload_path(ticket: &Ticket) -> &str {
    ticket.text("upload").unwrap_or_default()
}

/// A header of an answer about an upload.
fn header(answer: Option<&Response>, name: &str) -> Result<Option<String>> {
    let gone = || Error::new(Kind::TicketGone, "the server no longer has this upload");
    let header = answer.ok_or_else(gone)?.headers().get(name);
    Ok(header.and_then(|value| Some(value.to_str().ok()?.to_owned())))
}

fn ticket(answer: Option<&Response>) -> Result<Ticket> {
    let place = header(answer, "Location")?.filter(|place| place.starts_with("/uploads/"));
    let place = place.ok_or_else(|| Error::new(Kind::Server, "it names no upload"))?;
    Ok(Ticket::default().with("upload", place))
}

#[async_trait]
impl Account for Resumable {
    fn id(&self) -> &AccountId {
        &self.id
    }
    fn host(&self) -> Arc<str> {
        self.url.rsplit("//").next().unwrap_or_default().into()
    }
    fn describe(&self) -> String {
        format!("resumable uploads at {}", self.url)
    }
    fn page_url(&self, media: &MediaId) -> Option<url::Url> {
        format!("{}/media/{media}", self.url).parse().ok()
    }
    fn metadata(&self, _: &NewMedia) -> serde_json::Map<String, serde_json::Value> {
        serde_json::Map::new()
    }
    fn limits(&self) -> &Limits {
        &self.limits
    }
    async fn check(&self) -> Result<String> {
        self.call(Method::GET, "/uploads").await?;
        Ok(self.describe())
    }
    async fn create(&self, media: &NewMedia) -> Result<Ticket> {
        let create = self.request(Method::POST, "/uploads");
        let create = create.query(&[("marker", &media.marker), ("name", &media.file_name)]);
        let create = create.query(&[("size", media.size)]);
        ticket(self.ask(CallClass::Call, create).await?.as_ref())
    }
    async fn find_created(&self, media: &NewMedia) -> Result<Lookup> {
        let find = self.request(Method::GET, "/uploads");
        let find = find.query(&[("marker", &media.marker)]);
        let found = self.ask(CallClass::Call, find).await?;
        let found = found.map(|found| ticket(Some(&found))).transpose()?;
        Ok(found.map_or(Lookup::Absent, Lookup::Found))
    }
    async fn status(&self, media: &[MediaId]) -> StatusBatch {
        let mut batch = StatusBatch::unanswered(media.len());
        for index in batch.to_ask_singly() {
            let path = format!("/media/{}", media[index]);
            let found = self.call(Method::GET, &path).await;
            let status = found.map(|found| found.map_or(MediaStatus::Gone, |_| MediaStatus::Ready));
            if batch.add(index, status).is_break() {
                break;
            }
        }
        batch
    }
    async fn delete(&self, ticket: &Ticket) -> Result<()> {
        self.call(Method::DELETE, upload_path(ticket))
            .await
            .map(drop)
    }
    fn open(&self, ticket: Ticket) -> Result<Box<dyn RemoteUpload>> {
        let account = self.clone();
        Ok(Box::new(Self { ticket, ..account }))
    }
}

#[async_trait]
impl RemoteUpload for Resumable {
    fn limits(&self) -> Limits {
        self.limits.clone()
    }
    async fn put(&self, _: Target, _: &PartPlan, part: Part, body: PartBody) -> Result<Receipt> {
        let patch = self.request(Method::PATCH, upload_path(&self.ticket));
        let patch = patch.header("Upload-Offset", part.offset);
        let answer = self.ask(CallClass::Part, patch.body(Body::wrap(body)));
        let mut receipt = Receipt::default();
        if let Some(media) = header(answer.await?.as_ref(), "Media-Id")? {
            receipt.ticket = Some(Ticket::of(media).with("upload", upload_path(&self.ticket)));
        }
        Ok(receipt)
    }
    async fn received(&self, _: &PartPlan) -> Result<Received> {
        let answer = self.call(Method::HEAD, upload_path(&self.ticket)).await?;
        let offset = header(answer.as_ref(), "Upload-Offset")?.and_then(|n| n.parse().ok());
        let unsaid = || Error::new(Kind::Server, "it does not say its offset");
        offset.map(Received::Offset).ok_or_else(unsaid)
    }
    async fn complete(&self, _: &PartPlan, _: &Receipts) -> Result<Completed> {
        let answer = self.call(Method::HEAD, upload_path(&self.ticket)).await?;
        let media = header(answer.as_ref(), "Media-Id")?;
        let media = media.ok_or_else(|| Error::new(Kind::Server, "it is not complete yet"))?;
        Ok(Completed::Complete(media.into()))
    }
}
