//! A multipart upload's parts: their links page by page, sending them, and what the server has.

use std::collections::BTreeMap;

use http_body_util::BodyExt;
use reqwest::Body;

use super::{
    super::{Md5, Receipt, Received, ReceivedPart, Ticket},
    JwPlayer,
    answer::{self, Page},
    gone,
    links::UploadLinks,
    request::LONGEST_PAGE,
};
use crate::{
    body::PartBody,
    error::{Error, Kind, Result},
    plan::{Part, PartNumber, PartPlan},
    settings::MOST_PARTS_IN_FLIGHT,
};

/// How many pages one look at all parts may take: 10,000 parts by 10, the shortest page documented.
const MOST_PAGES: u32 = 1_000;

/// Where a part stands, as its page of the list says.
enum Place {
    /// To be sent there.
    Link(String),
    /// It is there, with this MD5 if it is told, and there is no link to replace it.
    There(Option<Md5>),
}

/// An upload's id and token.
fn upload(ticket: &Ticket) -> Result<(&str, &str)> {
    let (upload, token) = (ticket.upload.as_deref(), ticket.token.as_deref());
    upload.zip(token).ok_or_else(gone)
}

/// How many parts may have been in flight when a run was killed, and arrive after all.
const LATE: u32 = MOST_PARTS_IN_FLIGHT as u32;

/// How many parts a page is asked for: no more than the plan has, and one more, where a part of
/// another slicing would show first. A plan that was cut anew may have fewer parts than the one
/// before, of which some may have come late.
fn page_length(plan: &PartPlan) -> u32 {
    let beyond = if plan.runs().len() > 1 { LATE } else { 1 };
    plan.count().saturating_add(beyond).min(LONGEST_PAGE)
}

impl JwPlayer {
    /// Sends one part to its link.
    pub(super) async fn put_part(
        &self,
        ticket: &Ticket,
        plan: &PartPlan,
        part: Part,
        body: PartBody,
    ) -> Result<Receipt> {
        let (id, _) = upload(ticket)?;
        let links = self.links.of(id);
        let link = match self.place(ticket, plan, part.number, &links).await? {
            Place::Link(link) => link,
            Place::There(md5) => return compare(part, md5, body).await,
        };
        let call = self.site.put(&link, None).inspect_err(|_| {
            links.expired(part.number, &link);
        })?;
        let answer = self.site.http.stream(call, Body::wrap(body)).await?;
        if answer.is_success() {
            // The link stays: should the MD5 differ, the part is sent there again.
            return answer::stored(&answer).map(|md5| Receipt { md5 });
        }
        let failure = answer::storage_failure(&answer);
        if failure.kind == Kind::LinkExpired {
            links.expired(part.number, &link);
        }
        Err(failure)
    }

    /// Where a part goes: by a link that is known, else by the page of the list that has it.
    async fn place(
        &self,
        ticket: &Ticket,
        plan: &PartPlan,
        part: PartNumber,
        links: &UploadLinks,
    ) -> Result<Place> {
        if let Some(link) = links.get(part) {
            return Ok(Place::Link(link));
        }
        let _fetching = links.fetching.lock().await;
        if let Some(link) = links.get(part) {
            return Ok(Place::Link(link));
        }
        let asked = page_length(plan);
        // A second look, when the first shows that the server's pages are shorter than asked for.
        for _ in 0..2 {
            let length = links.page_length().unwrap_or(asked);
            let number = (part - 1) / length + 1;
            let page = self.page(ticket, number, asked, links).await?;
            let slot = page.parts.into_iter().find(|slot| slot.id == part);
            match slot.map(|slot| (slot.received(), slot.upload_link)) {
                Some((_, Some(link))) => return Ok(Place::Link(link)),
                Some((Some(there), None)) => return Ok(Place::There(there.md5)),
                Some((None, None)) => break,
                None => {}
            }
        }
        let why = format!("JW Player gives no link for part {part}");
        Err(Error::new(Kind::Server, why))
    }

    /// One page of the list, its links kept.
    async fn page(
        &self,
        ticket: &Ticket,
        number: u32,
        asked: u32,
        links: &UploadLinks,
    ) -> Result<Page> {
        let (upload, token) = upload(ticket)?;
        let answer = self
            .ask(self.site.parts(upload, token, number, asked)?)
            .await?;
        let page = answer::read_parts(&answer).map_err(|error| match error.status {
            Some(401 | 403 | 404 | 410) => Error {
                kind: Kind::TicketGone,
                ..error
            },
            _ => error,
        })?;
        links.set_page_length(page.length(number));
        links.keep(page.parts.iter().filter_map(|slot| {
            let link = slot.upload_link.as_ref()?;
            Some((slot.id, link.clone()))
        }));
        Ok(page)
    }

    /// What the server has of the plan's parts, by as many pages as it takes to see them all.
    pub(super) async fn list_all(&self, ticket: &Ticket, plan: &PartPlan) -> Result<Received> {
        let (upload, _) = upload(ticket)?;
        let links = self.links.of(upload);
        let _fetching = links.fetching.lock().await;
        let asked = page_length(plan);
        let mut seen: BTreeMap<PartNumber, Option<ReceivedPart>> = BTreeMap::new();
        for number in 1..=MOST_PAGES {
            let page = self.page(ticket, number, asked, &links).await?;
            let before = seen.len();
            for slot in &page.parts {
                let received = slot.received();
                if received.is_some() && slot.id > plan.count() {
                    return Ok(Received::Foreign(format!(
                        "part {} is there, and the file has {}",
                        slot.id,
                        plan.count()
                    )));
                }
                if slot.id <= plan.count() {
                    seen.insert(slot.id, received);
                }
            }
            if seen.len() == plan.count() as usize {
                return Ok(Received::Parts(seen.into_values().flatten().collect()));
            }
            if seen.len() == before {
                let found = match page.span() {
                    Some(span) => format!("parts {} to {}", span.start(), span.end()),
                    None => "no parts".to_owned(),
                };
                let why =
                    format!("page {number} of the list has {found}, which were not asked for");
                return Err(Error::new(Kind::Server, why));
            }
        }
        let why = format!("the list of parts does not end after {MOST_PAGES} pages");
        Err(Error::new(Kind::Server, why))
    }
}

/// Holds a part against the one the destination has already: nothing is sent, the file alone is
/// read. A part that differs can't be replaced, so the upload can't be mended.
async fn compare(part: Part, there: Option<Md5>, mut body: PartBody) -> Result<Receipt> {
    let number = part.number;
    let Some(there) = there else {
        let why = format!("JW Player has part {number} already");
        return Err(Error::new(Kind::AlreadySent, why));
    };
    let progress = body.progress();
    while let Some(frame) = body.frame().await {
        frame.map_err(|error| Error::local("read the part", &error))?;
    }
    if progress.md5() == Some(there) {
        return Ok(Receipt { md5: Some(there) });
    }
    let why = format!("JW Player has other bytes as part {number} and no way to replace them");
    Err(Error::new(Kind::TicketGone, why))
}
