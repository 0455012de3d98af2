//! What tests of accounts share: files, parts and media as the engine would hand them in.

use std::{fs::File, io::Write as _, num::NonZeroU64, sync::Arc};

use reelhaul::{
    body::{PartBody, Progress, Reading},
    destination::{Md5, NewMedia, PartReceipt, Receipt, Receipts, RemoteUpload, Target},
    error::{Error, Kind, Result},
    limiter::BandwidthLimiter,
    plan::{Part, PartPlan},
    settings::Bandwidth,
};
use sha2::{Digest, Sha256};

use super::hex;

/// A file of unlike bytes and how it is split.
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
            plan: PartPlan::split(size, NonZeroU64::new(part_size).unwrap()).unwrap(),
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
        let pace = BandwidthLimiter::new(Bandwidth::Unlimited).share();
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

    /// The MD5 of a part.
    pub(crate) fn md5(&self, number: u32) -> Md5 {
        let reading = Reading::default();
        reading.md5(&self.file, self.part(number)).unwrap()
    }

    /// The receipts of all parts.
    pub(crate) fn receipts(&self) -> Receipts {
        let receipt = |number| (number, PartReceipt::from(Some(self.md5(number))));
        (1..=self.plan.count()).map(receipt).collect()
    }

    /// Sends one part as the engine does, and compares the receipt's MD5, if any, with the one taken
    /// while sending. One that is there already and can't be replaced has to be the same.
    pub(crate) async fn put(&self, to: &dyn RemoteUpload, number: u32) -> Result<Receipt> {
        let part = self.part(number);
        let md5 = match to.prepare(&self.plan, part).await? {
            Target::Received(None) => {
                return Err(Error::new(Kind::AlreadySent, "it is there already"));
            }
            Target::Received(Some(md5)) if md5 != self.md5(number) => {
                return Err(Error::new(Kind::TicketGone, "other bytes are there"));
            }
            Target::Received(md5) => md5,
            target => {
                let (body, progress) = self.body(number);
                let receipt = to.put(target, &self.plan, part, body).await?;
                if receipt.md5.is_some() {
                    assert_eq!(receipt.md5, progress.md5(), "part {number}");
                }
                return Ok(receipt);
            }
        };
        Ok(Receipt {
            md5,
            ..Receipt::default()
        })
    }
}
