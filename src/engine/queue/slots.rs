//! Uploads by their ids, in pages: a gap in the ids costs next to nothing, however wide it is, and a
//! dense queue costs no more than its uploads.

use crate::engine::{protocol::UploadId, record::Upload};

/// How many uploads are in a page.
const PAGE: usize = 256;

type Page = Box<[Option<Upload>]>;

/// The uploads of a queue.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pages: Vec<Option<Page>>,
    /// Every id that was ever given out is below this.
    end: UploadId,
}

impl Slots {
    /// The id for the next upload: no other ever had it.
    pub(super) fn next_id(&self) -> UploadId {
        self.end.max(1)
    }

    /// Whether this id was given out, to an upload that may be gone.
    pub(super) fn knows(&self, id: UploadId) -> bool {
        id < self.end
    }

    /// The upload with this id.
    pub(super) fn get(&self, id: UploadId) -> Option<&Upload> {
        let (page, at) = place(id);
        self.pages.get(page)?.as_ref()?[at].as_ref()
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, id: UploadId) -> Option<&mut Upload> {
        let (page, at) = place(id);
        self.pages.get_mut(page)?.as_mut()?[at].as_mut()
    }

    /// Puts an upload in.
    pub(super) fn insert(&mut self, id: UploadId, upload: Upload) {
        let (page, at) = place(id);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| (0..PAGE).map(|_| None).collect());
        page[at] = Some(upload);
        self.end = self.end.max(id.saturating_add(1));
    }

    /// Takes an upload out; its id stays given out.
    pub(super) fn take(&mut self, id: UploadId) -> Option<Upload> {
        let (page, at) = place(id);
        self.pages.get_mut(page)?.as_mut()?[at].take()
    }

    /// All uploads, by their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Upload> {
        let pages = self.pages.iter().flatten();
        pages.flat_map(|page| page.iter().flatten())
    }
}

fn place(id: UploadId) -> (usize, usize) {
    (id as usize / PAGE, id as usize % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{
            accounts::AccountIndex,
            record::{Hold, Phase},
        },
        identity::Identity,
        ids::MOST_UPLOADS,
        session::Times,
    };

    fn upload() -> Upload {
        Upload {
            path: std::path::Path::new("/a").into(),
            identity: Identity::new(1, 1, 0, 1),
            times: Times::default(),
            attempts: 0,
            account: AccountIndex::default(),
            again: false,
            hold: Hold::None,
            phase: Phase::Waiting,
        }
    }

    #[test]
    fn a_gap_costs_a_page_and_no_id_is_given_out_twice() {
        let mut slots = Slots::default();
        assert_eq!(slots.next_id(), 1);
        for id in [1, MOST_UPLOADS] {
            slots.insert(id, upload());
            assert!(slots.get(id).is_some() && slots.get_mut(id).is_some());
        }
        assert_eq!(slots.pages.iter().flatten().count(), 2);
        assert_eq!(slots.iter().count(), 2);
        assert!(slots.get(2).is_none() && slots.take(2).is_none());
        assert!(slots.take(MOST_UPLOADS).is_some() && slots.get(MOST_UPLOADS).is_none());
        assert!(slots.knows(MOST_UPLOADS) && !slots.knows(MOST_UPLOADS + 1));
        assert_eq!(slots.next_id(), MOST_UPLOADS + 1);
    }
}
