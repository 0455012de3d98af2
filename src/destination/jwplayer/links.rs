//! The links of one upload's parts, kept until they are no longer good, so that one page of the list
//! serves many parts; knows no wire.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{error::Error, plan::PartNumber};

/// The links of one upload. They go with it.
#[derive(Default)]
pub(super) struct Links {
    /// Held while a page is fetched, so that parts that start together fetch it once.
    pub(super) fetching: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    links: HashMap<PartNumber, Link>,
    /// How many pages were fetched; the links of one are of one age.
    fetched: u64,
    longest_page: Option<u32>,
    /// How many pages were asked for, in vain or not.
    asked: u64,
    /// Why the latest of them did not come.
    failure: Option<Error>,
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
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The link of a part, if it is known.
    pub(super) fn get(&self, part: PartNumber) -> Option<String> {
        let known = self.known();
        known.links.get(&part).map(|link| link.url.clone())
    }

    /// Keeps the links of a page that was just fetched.
    pub(super) fn insert(&self, page: impl IntoIterator<Item = (PartNumber, String)>) {
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

    /// How many parts the server puts on a page at most, once it returned fewer than it was asked
    /// for.
    pub(super) fn longest_page(&self) -> Option<u32> {
        self.known().longest_page
    }

    /// How many pages were asked for so far.
    pub(super) fn asked(&self) -> u64 {
        self.known().asked
    }

    /// A page was asked for, and came or not.
    pub(super) fn was_asked(&self, failure: Option<&Error>) {
        let mut known = self.known();
        known.asked += 1;
        known.failure = failure.cloned();
    }

    /// Why the latest page did not come, where it was asked for after so many, and where asking again at
    /// once would only show the same: the API asks to wait, say, or can't be reached.
    pub(super) fn failed_since(&self, asked: u64) -> Option<Error> {
        let known = self.known();
        let failure = known.failure.as_ref().filter(|_| known.asked > asked);
        failure.filter(|error| !error.kind.counted()).cloned()
    }

    /// Keeps how many parts a page had that was asked for `asked`.
    pub(super) fn page_was(&self, length: Option<u32>, asked: u32) {
        self.known().longest_page = length.filter(|&length| length < asked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn page(links: &[(u32, &str)]) -> Vec<(u32, String)> {
        links
            .iter()
            .map(|&(part, link)| (part, link.to_owned()))
            .collect()
    }

    #[test]
    fn an_expired_link_takes_those_of_its_age_along_and_no_younger_ones() {
        let links = Links::default();
        links.insert(page(&[(1, "a1"), (2, "a2"), (3, "a3")]));
        links.insert(page(&[(1, "b1"), (4, "b4")]));
        links.expired(1, "a1");
        assert_eq!(
            links.get(1).as_deref(),
            Some("b1"),
            "was replaced meanwhile"
        );
        links.expired(2, "a2");
        assert_eq!((links.get(2), links.get(3)), (None, None));
        assert_eq!(links.get(4).as_deref(), Some("b4"));
    }

    #[test]
    fn who_waited_for_a_page_that_did_not_come_shares_the_reason_unless_another_try_may_help() {
        let links = Links::default();
        for (kind, shared) in [(Kind::Throttled, true), (Kind::Broken, false)] {
            let before = links.asked();
            assert_eq!(links.failed_since(before), None);
            links.was_asked(Some(&Error::new(kind, "no page")));
            let failure = links.failed_since(before);
            assert_eq!(failure.map(|error| error.kind), shared.then_some(kind));
            assert_eq!(links.failed_since(links.asked()), None, "came later");
            links.was_asked(None);
            assert_eq!(links.failed_since(before), None, "the next one came");
        }
    }

    #[test]
    fn only_a_page_that_is_shorter_than_asked_for_shows_how_long_pages_are() {
        let links = Links::default();
        links.page_was(Some(41), 41);
        assert_eq!(links.longest_page(), None);
        links.page_was(Some(10), 41);
        assert_eq!(links.longest_page(), Some(10));
    }
}
