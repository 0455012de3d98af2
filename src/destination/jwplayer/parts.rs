//! A multipart upload: the links of its parts page by page, sending them, what the server has, and
//! completing it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use reqwest::Body;

use super::{
    super::{
        Completed, Limits, Receipt, Receipts, Received, ReceivedPart, RemoteUpload, Target, Ticket,
        conflict,
    },
    Api,
    answer::{self, Page, SLOTS},
    links::Links,
    no_link,
    request::LONGEST_PAGE,
};
use crate::{
    body::PartBody,
    error::{Error, Kind, Result},
    ids::MediaId,
    plan::{Part, PartNumber, PartPlan},
};

/// How many pages one look at all parts may take: 10,000 parts by 10, the shortest page documented.
const MOST_PAGES: u32 = 1_000;

/// An upload in parts, each by a link of its own.
#[derive(Debug)]
pub(super) struct PartsUpload {
    api: Arc<Api>,
    media: MediaId,
    ticket: Ticket,
    links: Links,
    /// The host of the last link that a part was sent to.
    host: Mutex<Option<Arc<str>>>,
}

/// How many parts a page is asked for: all that may be there of this plan and those before it, and
/// one more, where a part of another split would show first.
fn page_length(plan: &PartPlan) -> u32 {
    plan.highest().saturating_add(1).min(LONGEST_PAGE)
}

impl PartsUpload {
    /// The upload of this media object with this ticket.
    pub(super) fn new(api: Arc<Api>, media: MediaId, ticket: Ticket) -> Self {
        Self {
            api,
            media,
            ticket,
            links: Links::default(),
            host: Mutex::default(),
        }
    }

    /// The upload's id and token, where the ticket has them: a create whose answer was lost leaves
    /// none.
    fn keys(&self) -> Option<(&str, &str)> {
        self.ticket.text("upload").zip(self.ticket.text("token"))
    }

    fn needed_keys(&self) -> Result<(&str, &str)> {
        self.keys().ok_or_else(|| self.api.gone())
    }

    /// Where a part goes: by a link that is known, else by the page of the list that has it.
    async fn target(&self, plan: &PartPlan, part: PartNumber) -> Result<Target> {
        if let Some(link) = self.links.get(part) {
            return Ok(Target::Link(link));
        }
        let asked_before = self.links.asked();
        let _fetching = self.links.fetching.lock().await;
        if let Some(link) = self.links.get(part) {
            return Ok(Target::Link(link));
        }
        if let Some(failure) = self.links.failed_since(asked_before) {
            return Err(failure);
        }
        let asked = page_length(plan);
        // A second look, when the first shows that the server's pages are shorter than asked for.
        for _ in 0..2 {
            let length = self.links.longest_page().unwrap_or(asked).min(asked);
            let number = (part - 1) / length + 1;
            let page = self.page(number, asked).await?;
            let slot = page.parts.into_iter().find(|slot| slot.id == part);
            match slot.map(|slot| (slot.received(), slot.upload_link)) {
                Some((_, Some(link))) => return Ok(Target::Link(link)),
                Some((Some(there), None)) => return Ok(Target::Received(there.md5)),
                Some((None, None)) => break,
                None => {}
            }
        }
        let why = format!("JW Player gives no link for part {part}");
        Err(self.api.error(Kind::Server, why))
    }

    /// One page of the list, its links kept.
    async fn page(&self, number: u32, asked: u32) -> Result<Page> {
        let page = self.ask_for_page(number, asked).await;
        self.links.was_asked(page.as_ref().err());
        page
    }

    async fn ask_for_page(&self, number: u32, asked: u32) -> Result<Page> {
        let (upload, token) = self.needed_keys()?;
        let call = self.api.site.parts(upload, token, number, asked)?;
        let answer = self.api.ask(call).await?;
        let page = answer::read_parts(&answer).map_err(|error| match error.status {
            Some(401 | 403 | 404 | 410) => Error {
                kind: Kind::TicketGone,
                ..error
            },
            _ => error,
        })?;
        self.links.page_was(page.length(number), asked);
        self.links.insert(page.parts.iter().filter_map(|slot| {
            let link = slot.upload_link.as_ref()?;
            Some((slot.id, link.clone()))
        }));
        Ok(page)
    }

    /// What the server has of the plan's parts, by as many pages as it takes to see all that this
    /// plan and those before it had.
    async fn list_all(&self, plan: &PartPlan) -> Result<Received> {
        let _fetching = self.links.fetching.lock().await;
        let asked = page_length(plan);
        let count = plan.count();
        let highest = plan.highest().min(SLOTS).max(count);
        let mut seen: BTreeMap<PartNumber, Option<ReceivedPart>> = BTreeMap::new();
        for number in 1..=MOST_PAGES {
            let page = self.page(number, asked).await?;
            let before = seen.len();
            for slot in &page.parts {
                let received = slot.received();
                if received.is_some() && slot.id > count {
                    return Ok(Received::Conflict(format!(
                        "part {} is there, and the file has {count}",
                        slot.id,
                    )));
                }
                if slot.id <= highest {
                    seen.insert(slot.id, received);
                }
            }
            // A list that ends early has no slots for parts that only an earlier plan had.
            let ended = page.parts.is_empty() && seen.range(..=count).count() == count as usize;
            if ended || seen.len() == highest as usize {
                return Ok(Received::Parts(seen.into_values().flatten().collect()));
            }
            if seen.len() == before {
                let found = match page.span() {
                    Some(span) => format!("parts {} to {}", span.start(), span.end()),
                    None => "no parts".to_owned(),
                };
                let why =
                    format!("page {number} of the list has {found}, which were not asked for");
                return Err(self.api.error(Kind::Server, why));
            }
        }
        let why = format!("the list of parts does not end after {MOST_PAGES} pages");
        Err(self.api.error(Kind::Server, why))
    }

    /// What a failed call on the upload means, by what became of its media object: the upload's token
    /// says nothing once it is complete.
    async fn by_media(&self, failure: Option<Error>) -> Result<Received> {
        if !self.api.is_unfinished(&self.media).await? {
            return Ok(Received::Complete);
        }
        let unknown = || {
            let why = "the upload's token is not known here";
            self.api.error(Kind::TicketGone, why)
        };
        Err(failure.map_or_else(unknown, still_unfinished))
    }
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

/// The plan's parts that do not count as there: not listed, or listed with another MD5 than ours,
/// where both are known.
fn missing(
    plan: &PartPlan,
    received: &[ReceivedPart],
    receipts: &Receipts,
) -> BTreeSet<PartNumber> {
    let theirs: BTreeMap<_, _> = received
        .iter()
        .map(|part| (part.number, part.md5))
        .collect();
    let is_there = |number: &PartNumber| {
        let ours = receipts.get(number).and_then(|receipt| receipt.md5);
        match (theirs.get(number), ours) {
            (Some(Some(theirs)), Some(ours)) => *theirs == ours,
            (theirs, _) => theirs.is_some(),
        }
    };
    (1..=plan.count())
        .filter(|number| !is_there(number))
        .collect()
}

#[async_trait]
impl RemoteUpload for PartsUpload {
    fn limits(&self) -> Limits {
        self.api.limits.clone()
    }

    fn parts_host(&self) -> Option<Arc<str>> {
        let host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        host.clone()
    }

    async fn prepare(&self, plan: &PartPlan, part: Part) -> Result<Target> {
        self.needed_keys()?;
        let target = self.target(plan, part.number).await?;
        if let Target::Link(link) = &target {
            let host = self.api.link_host(link).inspect_err(|_| {
                self.links.expired(part.number, link);
            })?;
            *self.host.lock().unwrap_or_else(PoisonError::into_inner) = Some(host);
        }
        Ok(target)
    }

    async fn put(
        &self,
        target: Target,
        _plan: &PartPlan,
        part: Part,
        body: PartBody,
    ) -> Result<Receipt> {
        let Target::Link(link) = target else {
            return Err(no_link());
        };
        let call = self.api.site.put(&link, None)?;
        let answer = self.api.site.http.stream(call, Body::wrap(body)).await?;
        if answer.is_success() {
            // The link stays: should the MD5 differ, the part is sent there again.
            let md5 = answer::stored(&answer)?;
            return Ok(Receipt {
                md5,
                ..Receipt::default()
            });
        }
        let failure = answer::storage_failure(&answer);
        if failure.kind == Kind::LinkExpired {
            self.links.expired(part.number, &link);
        }
        Err(failure)
    }

    async fn received(&self, plan: &PartPlan) -> Result<Received> {
        if self.keys().is_none() {
            return self.by_media(None).await;
        }
        match self.list_all(plan).await {
            Err(error) if matches!(error.status, Some(400..=404 | 409 | 410 | 422)) => {
                self.by_media(Some(error)).await
            }
            other => other,
        }
    }

    /// JW Player completes with whatever parts it has, so they are listed first.
    async fn complete(&self, plan: &PartPlan, receipts: &Receipts) -> Result<Completed> {
        let complete = || Completed::Complete(self.media.clone());
        let received = match self.received(plan).await? {
            Received::Parts(parts) => parts,
            Received::Conflict(what) => return Err(conflict(&what)),
            Received::Complete | Received::Unverifiable | Received::Offset(_) => {
                return Ok(complete());
            }
        };
        let missing = missing(plan, &received, receipts);
        if !missing.is_empty() {
            return Ok(Completed::Missing(missing));
        }
        let (upload, token) = self.needed_keys()?;
        let answer = self.api.ask(self.api.site.complete(upload, token)?).await?;
        if let Err(refused) = answer::read_done(&answer, "complete") {
            if !matches!(answer.status, 400..=404 | 409 | 410 | 422) {
                return Err(refused);
            }
            // Perhaps it was completed before and only the answer was lost.
            if self.api.is_unfinished(&self.media).await? {
                return Err(still_unfinished(refused));
            }
        }
        Ok(complete())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::destination::PartReceipt;

    fn plan(file: u64, part: u64) -> PartPlan {
        PartPlan::split(file, NonZeroU64::new(part).unwrap()).unwrap()
    }

    #[test]
    fn a_page_has_room_for_every_part_of_this_plan_and_those_before_it_and_one_more() {
        assert_eq!(page_length(&plan(40, 1)), 41);
        let fine = plan(100, 1)
            .resplit(2, NonZeroU64::new(50).unwrap())
            .unwrap();
        assert_eq!((fine.count(), page_length(&fine)), (3, 101));
        let many = plan(10_000, 1);
        assert_eq!(page_length(&many), LONGEST_PAGE);
        let most = plan(u64::from(u32::MAX), 1);
        assert_eq!(page_length(&most), LONGEST_PAGE);
    }

    #[test]
    fn a_part_counts_as_there_when_both_md5s_agree_or_one_is_unknown() {
        let theirs = |number, md5: Option<u8>| ReceivedPart {
            number,
            md5: md5.map(|byte| [byte; 16]),
        };
        let received = [
            theirs(1, Some(1)),
            theirs(2, Some(9)),
            theirs(3, None),
            theirs(4, Some(4)),
            theirs(5, Some(5)),
        ];
        let ours = |md5: Option<u8>| PartReceipt::from(md5.map(|byte| [byte; 16]));
        let receipts = Receipts::from([
            (1, ours(Some(1))),
            (2, ours(Some(2))),
            (3, ours(Some(3))),
            (4, ours(None)),
            (6, ours(Some(6))),
        ]);
        let missing = missing(&plan(7, 1), &received, &receipts);
        assert_eq!(missing, BTreeSet::from([2, 6, 7]));
    }
}
