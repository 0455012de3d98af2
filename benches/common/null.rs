//! An account that takes everything at once, or nothing ever: what is measured is the engine.

use std::sync::Arc;

use async_trait::async_trait;
use reelhaul::{
    body::PartBody,
    destination::{
        Account, Completed, Limits, Lookup, MediaStatus, NewMedia, Receipt, Receipts, Received,
        ReceivedPart, RemoteUpload, StatusBatch, Target, Ticket,
    },
    error::Result,
    ids::{AccountId, MediaId},
    plan::{Part, PartPlan},
};

#[derive(Debug)]
pub(crate) struct Null {
    id: AccountId,
    limits: Limits,
    /// Whether a create is ever answered.
    answers: bool,
}

impl Null {
    pub(crate) fn new(answers: bool) -> Self {
        let limits = Limits {
            part_min: 1,
            part_max: 1 << 40,
            part_default: 64 << 10,
            parts_max: 10_000,
            file_max: u64::MAX,
            multiple_of: 1,
            uniform: false,
            ordered: false,
            first_alone: false,
            can_replan: true,
            parts_per_minute: None,
        };
        Self {
            id: AccountId::saved("null:nowhere:0/"),
            limits,
            answers,
        }
    }
}

#[async_trait]
impl Account for Null {
    fn id(&self) -> &AccountId {
        &self.id
    }
    fn host(&self) -> Arc<str> {
        "nowhere".into()
    }
    fn describe(&self) -> String {
        "nowhere".into()
    }
    fn page_url(&self, _: &MediaId) -> Option<url::Url> {
        None
    }
    fn metadata(&self, _: &NewMedia) -> serde_json::Map<String, serde_json::Value> {
        serde_json::Map::new()
    }
    fn limits(&self) -> &Limits {
        &self.limits
    }
    async fn check(&self) -> Result<String> {
        Ok("fine".into())
    }
    async fn create(&self, media: &NewMedia) -> Result<Ticket> {
        if !self.answers {
            std::future::pending::<()>().await;
        }
        Ok(Ticket::of(&media.marker[..8])
            .with("upload", media.marker.clone())
            .with("token", "t".repeat(64)))
    }
    async fn find_created(&self, _: &NewMedia) -> Result<Lookup> {
        Ok(Lookup::Absent)
    }
    async fn status(&self, media: &[MediaId]) -> StatusBatch {
        vec![MediaStatus::Ready; media.len()].into()
    }
    async fn delete(&self, _: &Ticket) -> Result<()> {
        Ok(())
    }
    fn open(&self, ticket: Ticket) -> Result<Box<dyn RemoteUpload>> {
        Ok(Box::new(NullUpload {
            limits: self.limits.clone(),
            media: ticket.media.unwrap_or_else(|| MediaId::from("")),
        }))
    }
}

#[derive(Debug)]
struct NullUpload {
    limits: Limits,
    media: MediaId,
}

#[async_trait]
impl RemoteUpload for NullUpload {
    fn limits(&self) -> Limits {
        self.limits.clone()
    }
    async fn put(&self, _: Target, _: &PartPlan, _: Part, mut body: PartBody) -> Result<Receipt> {
        use http_body_util::BodyExt as _;
        let progress = body.progress();
        while let Some(Ok(_)) = body.frame().await {}
        Ok(Receipt {
            md5: progress.md5(),
            ..Receipt::default()
        })
    }
    async fn received(&self, plan: &PartPlan) -> Result<Received> {
        let parts = (1..=plan.count()).map(|number| ReceivedPart { number, md5: None });
        Ok(Received::Parts(parts.collect()))
    }
    async fn complete(&self, _: &PartPlan, _: &Receipts) -> Result<Completed> {
        Ok(Completed::Complete(self.media.clone()))
    }
}
