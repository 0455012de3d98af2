//! A direct upload: a small file's one request, its link, and what can be known of it afterwards. Its
//! status says that bytes are there, not which; only the answer to them does.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use reqwest::Body;

use super::{
    super::{
        Completed, Limits, Md5, Receipt, Receipts, Received, RemoteUpload, Target, Ticket,
        UNVERIFIABLE,
    },
    Api, answer, no_link,
};
use crate::{
    body::PartBody,
    error::{Error, Kind, Result},
    ids::MediaId,
    plan::{Part, PartPlan},
};

/// An upload in one request.
#[derive(Debug)]
pub(super) struct WholeUpload {
    api: Arc<Api>,
    media: MediaId,
    /// The Content-Type that its link is signed with.
    mime: String,
    /// Held while another link is asked for.
    fetching: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

/// What is known of its bytes.
struct State {
    /// Where they go, where that link may still be good.
    link: Option<String>,
    /// What this process saw of bytes that went out.
    arrived: Option<Arrived>,
}

impl fmt::Debug for State {
    /// Shows no link: it is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("arrived", &self.arrived)
            .finish_non_exhaustive()
    }
}

/// What was seen of bytes that went out in one request: no status says it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrived {
    /// The storage named this MD5, with which they were sent.
    AsSent(Md5),
    /// It named another one.
    Otherwise,
}

impl State {
    /// Keeps the MD5s of bytes that went out and of those that arrived. After other ones arrived the
    /// link is no good any more: the account may have taken those for the file.
    fn arrived(&mut self, theirs: Md5, ours: Md5) {
        if theirs == ours {
            self.arrived = Some(Arrived::AsSent(ours));
        } else {
            self.arrived = Some(Arrived::Otherwise);
            self.link = None;
        }
    }

    /// The link has expired, unless it was replaced meanwhile.
    fn expired(&mut self, link: &str) {
        if self.link.as_deref() == Some(link) {
            self.link = None;
        }
    }
}

impl WholeUpload {
    /// The upload of this media object with this ticket, whose link wants this Content-Type.
    pub(super) fn new(api: Arc<Api>, media: MediaId, mime: String, ticket: &Ticket) -> Self {
        Self {
            api,
            media,
            mime,
            fetching: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                link: ticket.text("token").map(str::to_owned),
                arrived: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self) -> Option<Arrived> {
        self.state().arrived
    }

    /// Where the bytes go, as far as that is known.
    fn target(&self) -> Option<Target> {
        let state = self.state();
        match (state.arrived, &state.link) {
            (Some(Arrived::AsSent(md5)), _) => Some(Target::Received(Some(md5))),
            (_, Some(link)) => Some(Target::Link(link.clone())),
            (_, None) => None,
        }
    }

    /// Another link for an upload whose link has expired, or was used up by other bytes: nothing
    /// lists those, but a media object can be given new bytes, and so a new link. The media object
    /// stays the same one.
    async fn link_again(&self) -> Result<String> {
        let finished = !self.api.is_unfinished(&self.media).await?;
        if finished && self.arrived().is_none() {
            return Err(self.api.error(Kind::TicketGone, UNVERIFIABLE));
        }
        let call = self.api.site.link_again(self.media.as_str(), &self.mime)?;
        let answer = self.api.ask(call).await?;
        if matches!(answer.status, 400 | 403..=405 | 409 | 410 | 422) {
            return Err(Error {
                kind: Kind::TicketGone,
                ..answer::failure(&answer, "get a new link")
            });
        }
        let again = answer::read_created(&answer, &self.mime)?;
        if again.media.as_ref() == Some(&self.media)
            && again.text("upload").is_none()
            && let Some(link) = again.text("token")
        {
            return Ok(link.to_owned());
        }
        let why = "JW Player gave no new link for this file";
        Err(self.api.error(Kind::TicketGone, why))
    }
}

#[async_trait]
impl RemoteUpload for WholeUpload {
    fn limits(&self) -> Limits {
        Limits {
            can_replan: false,
            ..self.api.limits.clone()
        }
    }

    fn parts_host(&self) -> Option<Arc<str>> {
        let state = self.state();
        self.api.link_host(state.link.as_deref()?).ok()
    }

    async fn prepare(&self, plan: &PartPlan, _part: Part) -> Result<Target> {
        if plan.count() != 1 {
            let why =
                "this media object was made for one request, and the file is now split into parts";
            return Err(Error::new(Kind::TicketGone, why));
        }
        let _fetching = self.fetching.lock().await;
        if let Some(target) = self.target() {
            if let Target::Link(link) = &target {
                self.api
                    .link_host(link)
                    .inspect_err(|_| self.state().expired(link))?;
            }
            return Ok(target);
        }
        let link = self.link_again().await?;
        self.api.link_host(&link)?;
        self.state().link = Some(link.clone());
        Ok(Target::Link(link))
    }

    async fn put(
        &self,
        target: Target,
        _plan: &PartPlan,
        _part: Part,
        body: PartBody,
    ) -> Result<Receipt> {
        let Target::Link(link) = target else {
            return Err(no_link());
        };
        let call = self.api.site.put(&link, Some(&self.mime))?;
        let progress = body.progress();
        let answer = self.api.site.http.stream(call, Body::wrap(body)).await?;
        if answer.is_success() {
            let md5 = answer::stored(&answer)?;
            if let (Some(theirs), Some(ours)) = (md5, progress.md5()) {
                self.state().arrived(theirs, ours);
            }
            return Ok(Receipt {
                md5,
                ..Receipt::default()
            });
        }
        let failure = answer::storage_failure(&answer);
        if failure.kind == Kind::LinkExpired {
            self.state().expired(&link);
        }
        Err(failure)
    }

    /// Its status says that it has bytes, and not which.
    async fn received(&self, _plan: &PartPlan) -> Result<Received> {
        if self.api.is_unfinished(&self.media).await? {
            return Ok(Received::Parts(Vec::new()));
        }
        Ok(match self.arrived() {
            Some(Arrived::AsSent(_)) => Received::Complete,
            Some(Arrived::Otherwise) => Received::Parts(Vec::new()),
            None => Received::Unverifiable,
        })
    }

    /// It ends with its one request.
    async fn complete(&self, _plan: &PartPlan, _receipts: &Receipts) -> Result<Completed> {
        Ok(Completed::Complete(self.media.clone()))
    }
}
