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
    links: HashMap<PartNumber, String>,
    page_length: Option<u32>,
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
        self.known().links.get(&part).cloned()
    }

    /// Keeps a link.
    pub(super) fn keep(&self, part: PartNumber, link: String) {
        self.known().links.insert(part, link);
    }

    /// Drops a link that is no longer good, unless it was replaced meanwhile.
    pub(super) fn drop_link(&self, part: PartNumber, link: &str) {
        let mut known = self.known();
        if known.links.get(&part).is_some_and(|known| known == link) {
            known.links.remove(&part);
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

    #[test]
    fn a_link_that_was_replaced_meanwhile_is_kept() {
        let links = Links::default();
        let upload = links.of("u");
        upload.keep(1, "old".into());
        upload.keep(1, "new".into());
        upload.drop_link(1, "old");
        assert_eq!(links.of("u").get(1).as_deref(), Some("new"));
        upload.drop_link(1, "new");
        assert_eq!(upload.get(1), None);
        upload.keep(2, "x".into());
        links.forget("u");
        assert_eq!(links.of("u").get(2), None);
    }
}
