//! The links of uploads' parts, kept until they are no longer good, so that one page of the list
//! serves many parts; knows no wire.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::plan::PartNumber;

/// The links of all uploads under way, by upload id.
#[derive(Default)]
pub(super) struct Links(Mutex<HashMap<String, Arc<UploadLinks>>>);

/// The links of one upload.
#[derive(Default)]
pub(super) struct UploadLinks {
    /// Held while a page is fetched, so that parts that start together fetch it once.
    pub(super) fetching: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    links: HashMap<PartNumber, Link>,
    /// How many pages were fetched; the links of one are of one age.
    fetched: u64,
    page_length: Option<u32>,
    arrived: Option<Arrived>,
}

/// What was seen of bytes that went out in one request: no status tells it later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    /// The storage named the MD5 they were sent with.
    AsSent,
    /// It named another one.
    Otherwise,
}

struct Link {
    url: String,
    fetch: u64,
}

impl std::fmt::Debug for Links {
    /// Shows no link: they are signed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Links(…)")
    }
}

impl Links {
    /// Those of an upload.
    pub(super) fn of(&self, upload: &str) -> Arc<UploadLinks> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(upload.to_owned()).or_default())
    }

    /// Forgets an upload.
    pub(super) fn forget(&self, upload: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(upload);
    }
}

impl UploadLinks {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link of a part, if it is known.
    pub(super) fn get(&self, part: PartNumber) -> Option<String> {
        let known = self.known();
        known.links.get(&part).map(|link| link.url.clone())
    }

    /// Keeps the links of a page that was just fetched.
    pub(super) fn keep(&self, page: impl IntoIterator<Item = (PartNumber, String)>) {
        let mut known = self.known();
        known.fetched += 1;
        let fetch = known.fetched;
        let links = page
            .into_iter()
            .map(|(part, url)| (part, Link { url, fetch }));
        known.links.extend(links);
    }

    /// Drops a link that is no longer good, and all that are as old: sending them whole parts would
    /// only show the same. One that was replaced meanwhile is kept.
    pub(super) fn expired(&self, part: PartNumber, url: &str) {
        let mut known = self.known();
        let link = known.links.get(&part).filter(|link| link.url == url);
        if let Some(age) = link.map(|link| link.fetch) {
            known.links.retain(|_, link| link.fetch > age);
        }
    }

    /// What was seen of a direct upload's bytes in this process, if anything.
    pub(super) fn arrived(&self) -> Option<Arrived> {
        self.known().arrived
    }

    /// Keeps what was seen of a direct upload's bytes. After other ones arrived its link is no good
    /// any more: the destination may have taken those for the file.
    pub(super) fn set_arrived(&self, arrived: Arrived) {
        let mut known = self.known();
        known.arrived = Some(arrived);
        if arrived == Arrived::Otherwise {
            known.links.clear();
        }
    }

    /// How many parts the server puts on a page, once it showed.
    pub(super) fn page_length(&self) -> Option<u32> {
        self.known().page_length
    }

    /// Keeps how many parts the server puts on a page.
    pub(super) fn set_page_length(&self, length: Option<u32>) {
        self.known().page_length = length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(links: &[(u32, &str)]) -> Vec<(u32, String)> {
        links
            .iter()
            .map(|&(part, link)| (part, link.to_owned()))
            .collect()
    }

    #[test]
    fn an_expired_link_takes_those_of_its_age_along_and_no_younger_ones() {
        let links = Links::default();
        let upload = links.of("u");
        upload.keep(page(&[(1, "a1"), (2, "a2"), (3, "a3")]));
        upload.keep(page(&[(1, "b1"), (4, "b4")]));
        upload.expired(1, "a1");
        assert_eq!(
            upload.get(1).as_deref(),
            Some("b1"),
            "was replaced meanwhile"
        );
        upload.expired(2, "a2");
        assert_eq!((upload.get(2), upload.get(3)), (None, None));
        assert_eq!(upload.get(4).as_deref(), Some("b4"));
    }

    #[test]
    fn a_forgotten_upload_has_no_links() {
        let links = Links::default();
        links.of("u").keep(page(&[(2, "x")]));
        assert_eq!(links.of("u").get(2).as_deref(), Some("x"));
        links.forget("u");
        assert_eq!(links.of("u").get(2), None);
    }
}
