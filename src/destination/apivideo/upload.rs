//! One video's upload: sending its parts, what the server has of them, and its end.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use reqwest::Body;

use super::{
    super::{
        Completed, Limits, Receipt, Receipts, Received, RemoteUpload, Target, Ticket, conflict,
        http::observe,
    },
    Api, RangeMode, answer,
    form::FileForm,
    received, request,
    status::Status,
};
use crate::{
    body::PartBody,
    error::{Error, Kind, Result},
    ids::MediaId,
    plan::{Part, PartPlan},
};

/// The upload of one video.
#[derive(Debug)]
pub(super) struct Upload {
    api: Arc<Api>,
    media: MediaId,
    /// The way its parts are announced: as it was created, whatever the config says now. Not known
    /// before the first status where a ticket of the first edition does not say it.
    mode: OnceLock<RangeMode>,
    /// The way of new uploads, for one of which neither ticket nor status says it.
    configured: RangeMode,
    /// The file's name as the vendor may see it; empty where a ticket of the first edition has none.
    file_name: String,
}

impl Upload {
    /// The upload of this ticket; `configured` is the way in which new uploads are sent.
    pub(super) fn new(api: Arc<Api>, ticket: Ticket, configured: RangeMode) -> Result<Self> {
        let mode = RangeMode::of(&ticket).map_or_else(OnceLock::new, OnceLock::from);
        let name = ticket.text("method").and_then(|m| m.split_once(' '));
        let file_name = name.map_or("", |(_, name)| name).to_owned();
        let media = ticket.media.ok_or_else(|| {
            let why = "the session has no video for this file";
            Error::new(Kind::TicketGone, why)
        })?;
        Ok(Self {
            api,
            media,
            mode,
            configured,
            file_name,
        })
    }

    /// The video's status, which also says how an upload was sent whose ticket does not.
    async fn status(&self) -> Result<(Status, RangeMode)> {
        let status = self.api.video(&self.media).await?.ok_or_else(|| {
            let why = "api.video no longer has this video";
            self.api.error(Kind::TicketGone, why)
        })?;
        let mode = self
            .mode
            .get_or_init(|| status.mode().unwrap_or(self.configured));
        Ok((status, *mode))
    }

    /// The way its parts are announced, by a call where that is not known yet.
    async fn mode(&self) -> Result<RangeMode> {
        match self.mode.get() {
            Some(mode) => Ok(*mode),
            None => Ok(self.status().await?.1),
        }
    }

    /// What a refusal means that says the bytes of this part overlap with what is there: this very
    /// part came through before, or is just being taken from a try that was given up; or bytes of
    /// another split are there, or seem to be while a part is still being received.
    async fn overlap(&self, plan: &PartPlan, part: Part) -> Result<Kind> {
        Ok(match self.received(plan).await? {
            Received::Complete | Received::Unverifiable => Kind::AlreadySent,
            Received::Parts(there) if there.iter().any(|one| one.number == part.number) => {
                Kind::AlreadySent
            }
            Received::Parts(_) | Received::Offset(_) => Kind::Broken,
            Received::Conflict(_) => Kind::Conflict,
        })
    }
}

#[async_trait]
impl RemoteUpload for Upload {
    /// While the mode is not known, nothing may be replanned.
    fn limits(&self) -> Limits {
        let mode = self.mode.get().unwrap_or(&RangeMode::Part);
        mode.narrow(&self.api.limits)
    }

    fn completes_by_itself(&self) -> bool {
        true
    }

    async fn prepare(&self, _plan: &PartPlan, _part: Part) -> Result<Target> {
        self.mode().await?;
        Ok(Target::Account)
    }

    async fn put(
        &self,
        _target: Target,
        plan: &PartPlan,
        part: Part,
        body: PartBody,
    ) -> Result<Receipt> {
        let Api {
            http,
            auth,
            uploads,
            writes,
            ..
        } = &*self.api;
        let boundary = format!("reelhaul-{:032x}", fastrand::u128(..));
        let media = self.media.as_str();
        let call = request::source(http, media, plan, part, self.mode().await?, &boundary)?;
        let mime = mime_guess::from_path(&self.file_name).first_or_octet_stream();
        let form = FileForm::new(&boundary, &self.file_name, mime.as_ref(), body);

        uploads.acquire().await;
        let bearer = auth.header(http, writes).await?;
        let answer = http
            .stream(call.authorized(&bearer), Body::wrap(form))
            .await?;
        observe(uploads, &answer);
        if answer.is_success() {
            auth.part_accepted();
            return Ok(Receipt::default());
        }
        let failure = answer::failure(&answer, "send");
        if !auth.is_basic() && answer::wants_new_token(&answer) {
            // The body is spent, so it is the engine's to send it again, with a new token.
            if !auth.part_refused(&bearer).await {
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
        auth.part_accepted();
        let kind = if answer::overlaps(&answer) {
            self.overlap(plan, part).await?
        } else if matches!(answer.status, 404 | 410) {
            Kind::TicketGone
        } else {
            failure.kind
        };
        Err(Error { kind, ..failure })
    }

    async fn received(&self, plan: &PartPlan) -> Result<Received> {
        let (status, mode) = self.status().await?;
        Ok(received::received(&status, plan, mode))
    }

    /// The upload ends by itself when its last part arrives; this only makes sure that it did.
    async fn complete(&self, plan: &PartPlan, _receipts: &Receipts) -> Result<Completed> {
        let there = match self.received(plan).await? {
            Received::Complete | Received::Unverifiable | Received::Offset(_) => plan.count(),
            Received::Parts(parts) => u32::try_from(parts.len()).unwrap_or(u32::MAX),
            Received::Conflict(what) => return Err(conflict(&what)),
        };
        let missing = plan.count().saturating_sub(there);
        if missing == 0 {
            return Ok(Completed::Complete(self.media.clone()));
        }
        let why = format!(
            "api.video does not have {missing} of {} parts yet",
            plan.count()
        );
        Err(self.api.error(Kind::Server, why))
    }
}
