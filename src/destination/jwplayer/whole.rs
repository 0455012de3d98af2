//! A small file's one request: its link, sending it, and what can be known of it afterwards. Its
//! status tells that bytes are there, not which; only the answer to them does.

use reqwest::Body;

use super::{
    super::{Receipt, Received, Ticket, UNPROVEN},
    JwPlayer, answer, gone,
    links::{Arrived, UploadLinks},
};
use crate::{
    body::PartBody,
    error::{Error, Kind, Result},
    plan::Part,
};

impl JwPlayer {
    /// Sends the whole file in one request.
    pub(super) async fn put_whole(
        &self,
        ticket: &Ticket,
        mime: &str,
        part: Part,
        body: PartBody,
    ) -> Result<Receipt> {
        let links = self.links.of(&ticket.media);
        let link = match (links.get(part.number), links.arrived()) {
            (Some(link), _) => link,
            (None, Some(Arrived::Otherwise)) => {
                let link = self.link_again(ticket, mime, &links).await?;
                links.keep([(part.number, link.clone())]);
                link
            }
            (None, _) => ticket.token.clone().ok_or_else(gone)?,
        };
        let call = self.site.put(&link, Some(mime))?;
        let progress = body.progress();
        let answer = self.site.http.stream(call, Body::wrap(body)).await?;
        if answer.is_success() {
            let md5 = answer::stored(&answer)?;
            if let (Some(theirs), Some(ours)) = (md5, progress.md5()) {
                links.set_arrived(if theirs == ours {
                    Arrived::AsSent
                } else {
                    Arrived::Otherwise
                });
            }
            return Ok(Receipt { md5 });
        }
        let failure = answer::storage_failure(&answer);
        if failure.kind == Kind::LinkExpired {
            let link = self.link_again(ticket, mime, &links).await?;
            links.keep([(part.number, link)]);
        }
        Err(failure)
    }

    /// Another link for a direct upload whose link has expired, or was used up by other bytes:
    /// nothing lists those, but a media object can be given new bytes, and so a new link. The media
    /// object stays the same one.
    async fn link_again(&self, ticket: &Ticket, mime: &str, links: &UploadLinks) -> Result<String> {
        let Some(media) = self.media(&ticket.media).await? else {
            return Err(gone());
        };
        if !media.is_unfinished()? {
            match links.arrived() {
                Some(Arrived::AsSent) => {
                    let why = "JW Player has this file already";
                    return Err(Error::new(Kind::AlreadySent, why));
                }
                Some(Arrived::Otherwise) => {}
                None => return Err(Error::new(Kind::TicketGone, UNPROVEN)),
            }
        }
        let answer = self.ask(self.site.link_again(&ticket.media, mime)?).await?;
        if matches!(answer.status, 400 | 403..=405 | 409 | 410 | 422) {
            return Err(Error {
                kind: Kind::TicketGone,
                ..answer::failure(&answer, "get a new link")
            });
        }
        let again = answer::read_created(&answer, mime)?;
        match again {
            Ticket {
                media,
                upload: None,
                token: Some(link),
                ..
            } if media == ticket.media => Ok(link),
            _ => Err(Error::new(
                Kind::TicketGone,
                "JW Player gave no new link for this file",
            )),
        }
    }

    /// What it has of a direct upload. Its status tells that it has bytes, and not which.
    pub(super) async fn received_whole(&self, ticket: &Ticket) -> Result<Received> {
        let Some(media) = self.media(&ticket.media).await? else {
            return Err(gone());
        };
        if media.is_unfinished()? {
            return Ok(Received::Parts(Vec::new()));
        }
        Ok(match self.links.of(&ticket.media).arrived() {
            Some(Arrived::AsSent) => Received::Complete,
            Some(Arrived::Otherwise) => Received::Parts(Vec::new()),
            None => Received::Unproven,
        })
    }
}
