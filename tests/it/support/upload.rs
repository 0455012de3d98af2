//! What tests of destinations share: files, parts and media as the engine would hand them in.

use std::{fs::File, io::Write as _, num::NonZeroU64, sync::Arc};

use reelhaul::{
    body::{PartBody, Progress, Reading},
    destination::{Destination, NewMedia, Receipt, Ticket},
    engine::rate::Cap,
    error::Result,
    plan::{Part, PartPlan},
    settings::Bandwidth,
};
use sha2::{Digest, Sha256};

use super::hex;

/// A file of unlike bytes and how it is cut.
pub(crate) struct Upload {
    pub(crate) file: Arc<File>,
    pub(crate) plan: PartPlan,
    pub(crate) sha256: String,
}

impl Upload {
    pub(crate) fn new(size: u64, part_size: u64) -> Self {
        let mut file = tempfile::tempfile().unwrap();
        let mut random = fastrand::Rng::with_seed(size);
        let mut bytes = vec![0; usize::try_from(size).unwrap()];
        random.fill(&mut bytes);
        file.write_all(&bytes).unwrap();
        let digest = Sha256::digest(&bytes);
        Self {
            file: Arc::new(file),
            plan: PartPlan::cut(size, NonZeroU64::new(part_size).unwrap()),
            sha256: hex(&digest),
        }
    }

    pub(crate) fn media(&self, marker: &str) -> NewMedia {
        NewMedia {
            marker: marker.into(),
            title: format!("title of {marker}"),
            file_name: "Hochzeit \"2019\".mp4".into(),
            mime: "video/mp4".into(),
            size: self.plan.file_size(),
            parts: self.plan.count(),
        }
    }

    pub(crate) fn part(&self, number: u32) -> Part {
        self.plan.part(number).unwrap()
    }

    pub(crate) fn body(&self, number: u32) -> (PartBody, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        let pace = Cap::new(Bandwidth::Unlimited).pace();
        let file = Arc::clone(&self.file);
        let reading = Reading::default();
        let body = PartBody::new(
            file,
            self.part(number),
            &reading,
            pace,
            Arc::clone(&progress),
        );
        (body, progress)
    }

    /// Sends one part and holds the receipt's MD5, if any, against the one taken on the way.
    pub(crate) async fn put(
        &self,
        to: &dyn Destination,
        ticket: &Ticket,
        number: u32,
    ) -> Result<Receipt> {
        let (body, progress) = self.body(number);
        let receipt = to.put(ticket, &self.plan, self.part(number), body).await?;
        if let Some(md5) = receipt.md5 {
            assert_eq!(Some(md5), progress.md5(), "part {number}");
        }
        Ok(receipt)
    }
}
