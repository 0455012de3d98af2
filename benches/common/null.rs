//! A destination that takes everything at once, or nothing ever: what is measured is the engine.

use async_trait::async_trait;
use reelhaul::{
    body::PartBody,
    destination::{
        Destination, Limits, MediaStatus, NewMedia, Receipt, Received, ReceivedPart, Ticket,
    },
    error::Result,
    plan::{Part, PartPlan},
};

#[derive(Debug)]
pub(crate) struct Null {
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
            recut: true,
            parts_a_minute: None,
        };
        Self { limits, answers }
    }
}

#[async_trait]
impl Destination for Null {
    fn describe(&self) -> String {
        "nowhere".into()
    }
    fn limits(&self) -> &Limits {
        &self.limits
    }
    async fn check(&self) -> Result<String> {
        Ok("fine".into())
    }
    async fn recover(&self, _marker: &str) -> Result<Option<Ticket>> {
        Ok(None)
    }
    fn metadata(&self, _: &NewMedia) -> serde_json::Map<String, serde_json::Value> {
        serde_json::Map::new()
    }
    fn address(&self, _: &str) -> Option<String> {
        None
    }
    async fn create(&self, media: &NewMedia) -> Result<Ticket> {
        if !self.answers {
            std::future::pending::<()>().await;
        }
        Ok(Ticket {
            media: media.marker[..8].to_owned(),
            upload: Some(media.marker.clone()),
            token: Some("t".repeat(64)),
            method: None,
        })
    }
    async fn put(&self, _: &Ticket, _: &PartPlan, _: Part, mut body: PartBody) -> Result<Receipt> {
        use http_body_util::BodyExt as _;
        let progress = body.progress();
        while let Some(Ok(_)) = body.frame().await {}
        Ok(Receipt {
            md5: progress.md5(),
        })
    }
    async fn received(&self, _: &Ticket, plan: &PartPlan) -> Result<Received> {
        let parts = (1..=plan.count()).map(|number| ReceivedPart { number, md5: None });
        Ok(Received::Parts(parts.collect()))
    }
    async fn complete(&self, _: &Ticket, _: &PartPlan) -> Result<()> {
        Ok(())
    }
    fn verify_before_complete(&self, _: &Ticket, _: u32) -> bool {
        false
    }
    async fn status(&self, media: &[String]) -> Result<Vec<MediaStatus>> {
        Ok(vec![MediaStatus::Ready; media.len()])
    }
    async fn remove(&self, _: &Ticket) -> Result<()> {
        Ok(())
    }
}
