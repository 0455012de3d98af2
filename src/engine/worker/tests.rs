//! What comes of comparing, held against a destination that answers as it is told.

use std::{io::Write, num::NonZeroU64};

use async_trait::async_trait;

use super::*;
use crate::{
    destination::{Limits, NewMedia, Receipt, ReceivedPart},
    session::{
        Change,
        record::{Record, read_table, write_change},
    },
};

/// A destination that has these parts, and does nothing else.
#[derive(Debug)]
struct Has(Vec<ReceivedPart>);

#[async_trait]
impl Destination for Has {
    fn describe(&self) -> String {
        unimplemented!()
    }
    fn limits(&self) -> &Limits {
        unimplemented!()
    }
    async fn check(&self) -> Result<String> {
        unimplemented!()
    }
    async fn recover(&self, _: &str) -> Result<Option<Ticket>> {
        unimplemented!()
    }
    fn metadata(&self, _: &NewMedia) -> serde_json::Map<String, serde_json::Value> {
        unimplemented!()
    }
    fn address(&self, _: &str) -> Option<String> {
        unimplemented!()
    }
    async fn create(&self, _: &NewMedia) -> Result<Ticket> {
        unimplemented!()
    }
    async fn put(&self, _: &Ticket, _: &PartPlan, _: Part, _: PartBody) -> Result<Receipt> {
        unimplemented!()
    }
    async fn received(&self, _: &Ticket, _: &PartPlan) -> Result<Received> {
        Ok(Received::Parts(self.0.clone()))
    }
    async fn complete(&self, _: &Ticket, _: &PartPlan) -> Result<()> {
        unimplemented!()
    }
    fn verify_before_complete(&self, _: &Ticket, _: u32) -> bool {
        unimplemented!()
    }
    async fn status(&self, _: &[String]) -> Result<Vec<MediaStatus>> {
        unimplemented!()
    }
    async fn remove(&self, _: &Ticket) -> Result<()> {
        unimplemented!()
    }
}

fn ticket() -> Ticket {
    Ticket {
        media: "m".into(),
        upload: None,
        token: None,
        method: None,
    }
}

#[tokio::test]
async fn whatever_is_lost_is_written_so_that_it_can_be_read_again() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[1; 20]).unwrap();
    let plan = PartPlan::cut(20, NonZeroU64::new(10).unwrap());
    // Part 1 is not there, and part 2 has other bytes.
    let there = Has(vec![ReceivedPart {
        number: 2,
        md5: Some([9; 16]),
    }]);
    let receipts = [(1, Some([1; 16])), (2, Some([2; 16]))].into();
    let path = file.path().to_owned();
    let checked = check(&there, &ticket(), plan, receipts, path, false)
        .await
        .unwrap();
    let change = Change::Lost(checked.lost);
    let mut text = String::new();
    write_change(&mut text, 7, &change);
    assert!(text.contains("lost = \"1-2\""), "{text}");
    assert_eq!(read_table(&text), Ok(Record::Log(7, change)));
}
