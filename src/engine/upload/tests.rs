//! What comes of comparing, held against a destination that answers as it is told.

use std::{io::Write, num::NonZeroU64, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use http_body_util::BodyExt;

use super::{
    compare::{LocalFile, Origin, differences, up_to},
    part::{NotSent, PartJob, send},
    *,
};
use crate::{
    body::{BLOCK, PartBody},
    destination::{
        Limits, Lookup, NewMedia, PartReceipt, Receipt, Receipts, Received, ReceivedPart,
        StatusBatch, Target,
    },
    engine::{record::NextPart, timing::Patience},
    error::Result,
    ids::{AccountId, MediaId},
    plan::Part,
    session::record::{Record, read_table, write_change},
    settings::Bandwidth,
};

/// An account with one upload, which has these parts, and takes of others a few bytes and then no more.
#[derive(Debug)]
struct Has(Vec<ReceivedPart>);

#[async_trait]
impl RemoteUpload for Has {
    fn limits(&self) -> Limits {
        unimplemented!()
    }
    async fn put(&self, _: Target, _: &PartPlan, _: Part, mut body: PartBody) -> Result<Receipt> {
        drop(body.frame().await);
        std::future::pending().await
    }
    async fn received(&self, _: &PartPlan) -> Result<Received> {
        Ok(Received::Parts(self.0.clone()))
    }
    async fn complete(&self, _: &PartPlan, _: &Receipts) -> Result<Completed> {
        unimplemented!()
    }
}

#[async_trait]
impl Account for Has {
    fn id(&self) -> &AccountId {
        unimplemented!()
    }
    fn host(&self) -> Arc<str> {
        unimplemented!()
    }
    fn describe(&self) -> String {
        unimplemented!()
    }
    fn page_url(&self, _: &MediaId) -> Option<url::Url> {
        unimplemented!()
    }
    fn metadata(&self, _: &NewMedia) -> serde_json::Map<String, serde_json::Value> {
        unimplemented!()
    }
    fn limits(&self) -> &Limits {
        unimplemented!()
    }
    async fn check(&self) -> Result<String> {
        unimplemented!()
    }
    async fn create(&self, _: &NewMedia) -> Result<Ticket> {
        unimplemented!()
    }
    async fn find_created(&self, _: &NewMedia) -> Result<Lookup> {
        unimplemented!()
    }
    async fn status(&self, _: &[MediaId]) -> StatusBatch {
        unimplemented!()
    }
    async fn delete(&self, _: &Ticket) -> Result<()> {
        unimplemented!()
    }
    fn open(&self, _: Ticket) -> Result<Box<dyn RemoteUpload>> {
        unimplemented!()
    }
}

/// The receipt of a part with an MD5 of this byte alone.
fn receipt(byte: u8) -> PartReceipt {
    Some([byte; 16]).into()
}

/// A file that is recorded with this identity, and nothing is known of it in this run.
fn local(path: &Path, identity: Identity) -> LocalFile {
    LocalFile {
        path: path.to_owned(),
        identity,
        recorded: identity,
        inode: 0,
        needs_rehash: false,
        is_copy: false,
        reading: Reading::default(),
    }
}

#[test]
fn a_part_without_an_md5_is_hashed_from_the_file_it_came_from_and_from_no_other() {
    let plan = PartPlan::split(30, NonZeroU64::new(10).unwrap()).unwrap();
    let there = [(1, None), (2, None), (3, None)].into();
    let tag: Option<Box<str>> = Some("t".into());
    let without = PartReceipt { md5: None, tag };
    let receipts: Receipts = [(1, receipt(1)), (2, without.clone())].into();
    let hash = |part: Part| Ok([u8::try_from(part.number).unwrap(); 16]);
    let differences = |origin| differences(&plan, &there, &receipts, origin, hash);
    let [two, three] = [2, 3].map(|number| Some([number; 16]));
    let hashed = PartReceipt {
        md5: two,
        ..without
    };
    let found = differences(Origin::Same).unwrap().found;
    assert_eq!(found, [(2, hashed), (3, three.into())]);
    let found = differences(Origin::Unknown).unwrap().found;
    assert_eq!(found, [(3, None.into())]);
    let error = differences(Origin::Replaced).unwrap_err();
    assert_eq!(error.kind, Kind::Changed, "{error}");
}

#[tokio::test]
async fn a_file_with_another_inode_is_compared_with_what_was_sent() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[1; 20]).unwrap();
    let identity = Identity::of(&file.as_file().metadata().unwrap());
    let plan = PartPlan::split(20, NonZeroU64::new(10).unwrap()).unwrap();
    let part = plan.part(1).unwrap();
    let md5 = Reading::default().md5(file.as_file(), part).unwrap();
    let there = Has(vec![ReceivedPart {
        number: 1,
        md5: None,
    }]);
    let compared = async |md5: [u8; 16], local| {
        let receipts = [(1, Some(md5).into())].into();
        match compare(&there, plan.clone(), receipts, local).await {
            Ok(Comparison::Fits(checked)) => Ok(checked.replaced_by.map(|file| file.inode)),
            Ok(conflict) => panic!("{conflict:?}"),
            Err(error) => Err(error.kind),
        }
    };
    let same = local(file.path(), identity);
    assert_eq!(compared([9; 16], same.clone()).await, Ok(None), "not read");
    let another = LocalFile {
        inode: identity.inode + 1,
        ..same.clone()
    };
    let inode = Some(identity.inode);
    assert_eq!(compared(md5, another.clone()).await, Ok(inode));
    assert_eq!(compared([9; 16], another).await, Err(Kind::Changed));
    let modified = LocalFile {
        identity: Identity::new(20, 1, 0, identity.inode),
        ..same
    };
    assert_eq!(compared(md5, modified).await, Err(Kind::Changed));
}

#[test]
fn bytes_up_to_the_middle_of_a_part_make_a_part_that_ends_there() {
    let plan = PartPlan::split(30, NonZeroU64::new(10).unwrap()).unwrap();
    let (whole, there, new_plan) = up_to(20, plan.clone());
    assert_eq!((whole, new_plan), (plan.clone(), None));
    assert_eq!(there.into_keys().collect::<Vec<_>>(), [1, 2]);

    let (split, there, new_plan) = up_to(14, plan.clone());
    assert_eq!(new_plan, Some(split.clone()));
    let lengths: Vec<u64> = split.parts().map(|part| part.length).collect();
    assert_eq!(lengths, [10, 4, 6, 10]);
    // What was sent behind it does not count.
    let receipts = [(1, receipt(1)), (3, receipt(3))].into();
    let hash = |_: Part| panic!("nothing is to be read");
    let checked = differences(&split, &there, &receipts, Origin::Unknown, hash).unwrap();
    let found = vec![(2, PartReceipt::default())];
    assert_eq!((checked.found, checked.lost), (found, [3].into()));

    assert_eq!(up_to(0, plan).1, [].into());
}

#[tokio::test]
async fn whatever_is_lost_is_written_so_that_it_can_be_read_again() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[1; 20]).unwrap();
    let plan = PartPlan::split(20, NonZeroU64::new(10).unwrap()).unwrap();
    // Part 1 is not there, and part 2 has other bytes.
    let there = Has(vec![ReceivedPart {
        number: 2,
        md5: Some([9; 16]),
    }]);
    let receipts = [(1, receipt(1)), (2, receipt(2))].into();
    let identity = Identity::of(&file.as_file().metadata().unwrap());
    let local = local(file.path(), identity);
    let compared = compare(&there, plan, receipts, local).await;
    let Ok(Comparison::Fits(checked)) = compared else {
        panic!("{compared:?}");
    };
    let change = Change::Lost(checked.lost);
    let mut text = String::new();
    write_change(&mut text, 7, &change);
    assert!(text.contains("lost = \"1-2\""), "{text}");
    assert_eq!(read_table(&text), Ok(Record::Log(7, change)));
}

#[tokio::test]
async fn a_part_whose_answer_was_lost_is_hashed_from_the_file_it_came_from_and_from_no_other() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[1; 20]).unwrap();
    let identity = Identity::of(&file.as_file().metadata().unwrap());
    let has = || {
        Arc::new(Has(vec![ReceivedPart {
            number: 1,
            md5: None,
        }]))
    };
    let plan = PartPlan::split(20, NonZeroU64::new(20).unwrap()).unwrap();
    let md5 = Reading::default().md5(file.as_file(), plan.part(1).unwrap());
    let md5 = md5.unwrap();
    for (source, known) in [(identity.inode, Some(md5)), (identity.inode + 1, None)] {
        let job = PartJob {
            was_answered: Arc::default(),
            account: has(),
            remote: has(),
            plan: plan.clone(),
            path: file.path().to_owned(),
            identity,
            source,
            next: NextPart {
                number: 1,
                attempt: 2,
                ask: true,
            },
            reading: Reading::default(),
            cap: BandwidthLimiter::new(Bandwidth::Unlimited),
            progress: Arc::default(),
            patience: Patience {
                stall: Duration::from_mins(5),
                answer: Duration::from_mins(5),
            },
        };
        let sent = send(job).await.unwrap();
        assert_eq!((sent.receipt, sent.verified), (known.into(), false));
    }
}

/// A part on its way to a destination that takes no more of it after its first bytes.
async fn stalled(cap: &BandwidthLimiter) -> Error {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&vec![1; BLOCK * 4]).unwrap();
    let metadata = file.as_file().metadata().unwrap();
    let size = metadata.len();
    let job = PartJob {
        was_answered: Arc::default(),
        account: Arc::new(Has(Vec::new())),
        remote: Arc::new(Has(Vec::new())),
        plan: PartPlan::split(size, NonZeroU64::new(size).unwrap()).unwrap(),
        path: file.path().to_owned(),
        identity: Identity::of(&metadata),
        source: 0,
        next: NextPart {
            number: 1,
            attempt: 1,
            ask: false,
        },
        reading: Reading::default(),
        cap: cap.clone(),
        progress: Arc::default(),
        patience: Patience {
            stall: Duration::from_millis(400),
            answer: Duration::from_mins(5),
        },
    };
    match send(job).await {
        Err(NotSent::Failed(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_part_that_stalls_is_cut_although_others_are_held_by_the_cap() {
    // A cap that always holds somebody: whoever takes of it waits for minutes.
    let cap = BandwidthLimiter::new(Bandwidth::Limited(NonZeroU64::new(1 << 30).unwrap()));
    let taking = cap.clone();
    let other = tokio::spawn(async move {
        let mut pace = taking.share();
        loop {
            std::future::poll_fn(|context| pace.poll_take(context, 1 << 30)).await;
        }
    });
    let stalled = tokio::time::timeout(Duration::from_mins(1), stalled(&cap));
    let error = stalled.await.expect("it was never cut");
    assert!(error.message.contains("took no bytes"), "{error}");
    other.abort();
}

#[tokio::test(start_paused = true)]
async fn a_part_that_the_cap_holds_has_not_stalled() {
    let mut body = {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let cap = BandwidthLimiter::new(Bandwidth::Limited(NonZeroU64::MIN));
        let plan = PartPlan::split(1 << 20, NonZeroU64::new(1 << 20).unwrap()).unwrap();
        let part = plan.part(1).unwrap();
        let reading = Reading::default();
        PartBody::new(Arc::new(file), part, &reading, cap.share(), Arc::default())
    };
    let progress = body.progress();
    assert!(!progress.held());
    // What an idle cap saved up goes at once, the rest is held.
    let sent = tokio::spawn(async move { while body.frame().await.is_some() {} });
    while !progress.held() {
        tokio::task::yield_now().await;
    }
    sent.abort();
}
