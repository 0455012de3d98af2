//! An account that does with a part what a test wants, and everything else as the one within.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use reelhaul::{
    body::PartBody,
    destination::{
        Account, Completed, Limits, Lookup, NewMedia, RateLimitWait, Receipt, Receipts, Received,
        RemoteUpload, StatusBatch, Target, Ticket,
    },
    error::Result,
    ids::{AccountId, MediaId},
    plan::{Part, PartPlan},
};
use serde_json::{Map, Value};
use url::Url;

/// What is answered in place of sending a part, by its place among all that were to be sent, from 1,
/// and the part; `None`: it is sent.
type Instead = Arc<dyn Fn(u32, Part) -> Option<Result<Receipt>> + Send + Sync>;

pub(crate) struct Altered {
    within: Arc<dyn Account>,
    puts: Arc<AtomicU32>,
    instead: Instead,
    parts_at: Option<&'static str>,
}

impl Altered {
    pub(crate) fn new(
        within: Arc<dyn Account>,
        instead: impl Fn(u32, Part) -> Option<Result<Receipt>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            within,
            puts: Arc::default(),
            instead: Arc::new(instead),
            parts_at: None,
        }
    }

    /// The same with parts that go to a host of their own.
    pub(crate) fn with_parts_at(self, host: &'static str) -> Self {
        Self {
            parts_at: Some(host),
            ..self
        }
    }

    /// Counts how many parts were to be sent.
    pub(crate) fn puts(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.puts)
    }
}

impl fmt::Debug for Altered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.within.fmt(f)
    }
}

#[async_trait]
impl Account for Altered {
    fn id(&self) -> &AccountId {
        self.within.id()
    }
    fn describe(&self) -> String {
        self.within.describe()
    }
    fn page_url(&self, media: &MediaId) -> Option<Url> {
        self.within.page_url(media)
    }
    fn metadata(&self, media: &NewMedia) -> Map<String, Value> {
        self.within.metadata(media)
    }
    fn limits(&self) -> &Limits {
        self.within.limits()
    }
    fn host(&self) -> Arc<str> {
        self.within.host()
    }
    fn rate_limit_wait(&self) -> Option<RateLimitWait> {
        self.within.rate_limit_wait()
    }
    async fn check(&self) -> Result<String> {
        self.within.check().await
    }
    async fn create(&self, media: &NewMedia) -> Result<Ticket> {
        self.within.create(media).await
    }
    async fn find_created(&self, media: &NewMedia) -> Result<Lookup> {
        self.within.find_created(media).await
    }
    async fn status(&self, media: &[MediaId]) -> StatusBatch {
        self.within.status(media).await
    }
    async fn delete(&self, ticket: &Ticket) -> Result<()> {
        self.within.delete(ticket).await
    }
    fn open(&self, ticket: Ticket) -> Result<Box<dyn RemoteUpload>> {
        Ok(Box::new(AlteredUpload {
            within: self.within.open(ticket)?,
            puts: Arc::clone(&self.puts),
            instead: Arc::clone(&self.instead),
            parts_at: self.parts_at,
        }))
    }
}

struct AlteredUpload {
    within: Box<dyn RemoteUpload>,
    puts: Arc<AtomicU32>,
    instead: Instead,
    parts_at: Option<&'static str>,
}

impl fmt::Debug for AlteredUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.within.fmt(f)
    }
}

#[async_trait]
impl RemoteUpload for AlteredUpload {
    fn limits(&self) -> Limits {
        self.within.limits()
    }
    fn parts_host(&self) -> Option<Arc<str>> {
        let own = self.parts_at.map(Arc::from);
        own.or_else(|| self.within.parts_host())
    }
    async fn prepare(&self, plan: &PartPlan, part: Part) -> Result<Target> {
        self.within.prepare(plan, part).await
    }
    async fn put(
        &self,
        target: Target,
        plan: &PartPlan,
        part: Part,
        body: PartBody,
    ) -> Result<Receipt> {
        let put = self.puts.fetch_add(1, Ordering::SeqCst) + 1;
        match (self.instead)(put, part) {
            Some(answer) => answer,
            None => self.within.put(target, plan, part, body).await,
        }
    }
    async fn received(&self, plan: &PartPlan) -> Result<Received> {
        self.within.received(plan).await
    }
    async fn complete(&self, plan: &PartPlan, receipts: &Receipts) -> Result<Completed> {
        self.within.complete(plan, receipts).await
    }
}
