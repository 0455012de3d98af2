//! Each kind of account, step by step, against the sandbox, which reports what it received.

use std::{sync::Arc, time::Duration};

use crate::support::{MIB, upload::Upload};
use futures_util::future::{join_all, try_join_all};
use reelhaul::{
    destination::{
        Account, Completed, Lookup, MediaStatus, NewMedia, Received, RemoteUpload, Target, Ticket,
        apivideo::{ApiVideo, ApiVideoOptions, RangeMode},
        jwplayer::{JwPlayer, JwPlayerOptions},
    },
    error::{CallClass, Kind},
    ids::MediaId,
    plan::PartPlan,
    sandbox::{API_KEY, Options, SECRET, SITE, Sandbox, Storage},
    secret::Secret,
};
use serde_json::{Value, json};

/// A sandbox and the accounts in it.
struct House {
    sandbox: Sandbox,
    _folder: tempfile::TempDir,
}

impl House {
    async fn open(options: Options) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::Keep(folder.path().to_owned());
        let options = Options { storage, ..options };
        Self {
            sandbox: Sandbox::start(listener, options).await.unwrap(),
            _folder: folder,
        }
    }

    fn jwplayer(&self) -> JwPlayer {
        let mut options = JwPlayerOptions::new(SITE, Secret::new(SECRET));
        options.url = self.sandbox.url();
        options.metadata = serde_json::from_str(r#"{ "tags": ["archive"] }"#).unwrap();
        JwPlayer::new(options).unwrap()
    }

    fn apivideo(&self, range: RangeMode, basic: bool) -> ApiVideo {
        let mut options = ApiVideoOptions::new(Secret::new(API_KEY));
        options.url = self.sandbox.url();
        options.range = range;
        options.basic = basic;
        let metadata = r#"{ "public": false, "metadata": { "camera": "A" } }"#;
        options.metadata = serde_json::from_str(metadata).unwrap();
        ApiVideo::new(options).unwrap()
    }

    /// Every kind of account in every mode.
    fn all(&self) -> Vec<Arc<dyn Account>> {
        vec![
            Arc::new(self.jwplayer()),
            Arc::new(self.apivideo(RangeMode::Bytes, false)),
            Arc::new(self.apivideo(RangeMode::Part, false)),
            Arc::new(self.apivideo(RangeMode::Bytes, true)),
        ]
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("{}/_sandbox/{path}", self.sandbox.url());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let method = method.parse().unwrap();
        let request = client.request(method, url).body(body.to_string());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        answer.json().await.unwrap()
    }

    async fn fault(&self, fault: Value) {
        self.call("POST", "faults", json!([fault])).await;
    }

    async fn report(&self) -> Value {
        self.call("GET", "report", Value::Null).await
    }

    async fn media(&self, ticket: &Ticket) -> Value {
        let report = self.report().await;
        let all = report["media"].as_array().unwrap();
        let id = media_id(ticket);
        let mut found = all.iter().filter(|media| media["id"] == id.as_str());
        found.next().unwrap().clone()
    }
}

fn media_id(ticket: &Ticket) -> MediaId {
    ticket.media.clone().unwrap()
}

/// A media object for this file, and its upload.
async fn start(to: &dyn Account, upload: &Upload, marker: &str) -> (Ticket, Box<dyn RemoteUpload>) {
    let ticket = to.create(&upload.media(marker)).await.unwrap();
    let opened = to.open(ticket.clone()).unwrap();
    (ticket, opened)
}

/// Completes an upload whose parts are all there.
async fn complete(opened: &dyn RemoteUpload, ticket: &Ticket, upload: &Upload) {
    let completed = opened.complete(&upload.plan, &upload.receipts()).await;
    assert_eq!(completed.unwrap(), Completed::Complete(media_id(ticket)));
}

fn numbers(received: &Received) -> Vec<u32> {
    match received {
        Received::Parts(parts) => {
            let mut numbers: Vec<_> = parts.iter().map(|part| part.number).collect();
            numbers.sort_unstable();
            numbers
        }
        other => panic!("{other:?}"),
    }
}

/// What became of these, all of which the account has to answer for.
async fn statuses(to: &dyn Account, media: &[MediaId]) -> Vec<MediaStatus> {
    let answers = to.status(media).await.answers.into_iter();
    answers.map(|answer| answer.unwrap().unwrap()).collect()
}

async fn settled(to: &dyn Account, media: &MediaId) -> MediaStatus {
    loop {
        let status = statuses(to, std::slice::from_ref(media)).await.remove(0);
        if !matches!(status, MediaStatus::Processing(_)) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn quick() -> Options {
    Options {
        processing: Duration::from_millis(50),
        ..Options::default()
    }
}

#[tokio::test]
async fn a_file_in_parts_arrives_whole_however_the_parts_overtake_each_other() {
    let house = House::open(quick()).await;
    for to in house.all() {
        let upload = Upload::new(22 * MIB + 7, 5 * MIB);
        let (ticket, opened) = start(&*to, &upload, "m1").await;
        let none = opened.received(&upload.plan).await.unwrap();
        assert_eq!(numbers(&none), [] as [u32; 0]);

        try_join_all([5, 3, 1].map(|n| upload.put(&*opened, n)))
            .await
            .unwrap();
        let some = opened.received(&upload.plan).await.unwrap();
        assert_eq!(numbers(&some), [1, 3, 5], "{}", to.describe());

        try_join_all([2, 4].map(|n| upload.put(&*opened, n)))
            .await
            .unwrap();
        for _ in ["once", "twice is no error"] {
            complete(&*opened, &ticket, &upload).await;
        }
        assert_eq!(
            opened.received(&upload.plan).await.unwrap(),
            Received::Complete
        );
        assert_eq!(settled(&*to, &media_id(&ticket)).await, MediaStatus::Ready);

        let media = house.media(&ticket).await;
        assert_eq!(media["sha256"], upload.sha256, "{}", to.describe());
        assert!(
            media["parts"]
                .as_array()
                .unwrap()
                .iter()
                .all(|part| part["tries"] == 1)
        );
        assert_eq!(media["marker"], "m1");
        assert_eq!(media["title"], "title of m1");
    }
}

#[tokio::test]
async fn a_file_of_one_part_takes_one_request() {
    let house = House::open(quick()).await;
    for to in house.all() {
        let upload = Upload::new(70_000, 5 * MIB);
        let (ticket, opened) = start(&*to, &upload, "m1").await;
        upload.put(&*opened, 1).await.unwrap();
        assert_eq!(
            opened.received(&upload.plan).await.unwrap(),
            Received::Complete
        );
        complete(&*opened, &ticket, &upload).await;
        let media = house.media(&ticket).await;
        assert_eq!(media["sha256"], upload.sha256, "{}", to.describe());
        assert_eq!(media["parts"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn bytes_of_a_small_file_that_another_process_sent_prove_nothing() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let small = Upload::new(1000, 5 * MIB);
    let (ticket, opened) = start(&to, &small, "m").await;
    let none = opened.received(&small.plan).await.unwrap();
    assert_eq!(numbers(&none), [] as [u32; 0]);
    small.put(&*opened, 1).await.unwrap();
    let other = house.jwplayer().open(ticket).unwrap();
    let there = other.received(&small.plan).await.unwrap();
    assert_eq!(there, Received::Unverifiable);
    house
        .fault(json!({"fault": "link-expired", "on": "part"}))
        .await;
    let error = small.put(&*other, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::LinkExpired, "{error}");
    let error = small.put(&*other, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::TicketGone, "{error}");
}

#[tokio::test]
async fn a_small_file_that_arrived_otherwise_goes_to_the_same_media_object_by_a_new_link() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let small = Upload::new(1000, 5 * MIB);
    let (ticket, opened) = start(&to, &small, "m").await;
    house
        .fault(json!({"fault": "wrong-etag", "on": "part"}))
        .await;
    let target = opened.prepare(&small.plan, small.part(1)).await.unwrap();
    let (body, progress) = small.body(1);
    let receipt = opened
        .put(target, &small.plan, small.part(1), body)
        .await
        .unwrap();
    assert_ne!(receipt.md5, progress.md5());
    let there = opened.received(&small.plan).await.unwrap();
    assert_eq!(numbers(&there), [] as [u32; 0], "what is there is not it");
    // The new link is no better when it expires: what is there is still not the file.
    house
        .fault(json!({"fault": "link-expired", "on": "part"}))
        .await;
    let error = small.put(&*opened, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::LinkExpired, "{error}");
    small.put(&*opened, 1).await.unwrap();
    assert_eq!(house.media(&ticket).await["sha256"], small.sha256);
    let there = opened.received(&small.plan).await.unwrap();
    assert_eq!(there, Received::Complete);
    let report = house.report().await;
    assert_eq!(report["media"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn jw_player_costs_four_calls_for_a_file_in_parts_and_one_for_a_small_one() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let upload = Upload::new(16 * MIB, 5 * MIB);
    let (ticket, opened) = start(&to, &upload, "m1").await;
    try_join_all([1, 2, 3, 4].map(|n| upload.put(&*opened, n)))
        .await
        .unwrap();
    complete(&*opened, &ticket, &upload).await;

    let small = Upload::new(1000, 5 * MIB);
    let (ticket, opened) = start(&to, &small, "m2").await;
    small.put(&*opened, 1).await.unwrap();
    complete(&*opened, &ticket, &small).await;

    let requests = house.report().await["requests"]["jwplayer"].clone();
    let count = |step: &str| requests[step].as_u64().unwrap_or(0);
    let counts = ["create", "list", "complete", "part", "status"].map(count);
    assert_eq!(counts, [2, 2, 1, 5, 0], "{requests}");
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_leaves_one_media_object() {
    let house = House::open(quick()).await;
    for (n, to) in house.all().into_iter().enumerate() {
        let marker = format!("reelhaul-marker-{n}");
        let upload = Upload::new(6 * MIB, 5 * MIB);
        let media = upload.media(&marker);
        assert_eq!(to.find_created(&media).await.unwrap(), Lookup::Absent);
        house
            .fault(json!({"fault": "lost-answer", "on": "create"}))
            .await;
        let error = to.create(&media).await.unwrap_err();
        assert_eq!(error.kind, Kind::Broken, "{error}");

        let ticket = found_or_created(&*to, &media).await;
        let opened = to.open(ticket.clone()).unwrap();
        try_join_all([1, 2].map(|n| upload.put(&*opened, n)))
            .await
            .unwrap();
        complete(&*opened, &ticket, &upload).await;

        let report = house.report().await;
        let left = report["media"].as_array().unwrap().iter();
        let left: Vec<_> = left
            .filter(|media| media["marker"] == marker.as_str() && media["state"] != "deleted")
            .collect();
        assert_eq!(left.len(), 1, "{}", to.describe());
        assert_eq!(left[0]["sha256"], upload.sha256);
        let Lookup::Found(found) = to.find_created(&media).await.unwrap() else {
            panic!("it is complete, and not found by {}", to.describe());
        };
        assert_eq!(found.media, ticket.media);
        let opened = to.open(found).unwrap();
        assert_eq!(
            opened.received(&upload.plan).await.unwrap(),
            Received::Complete
        );
        complete(&*opened, &ticket, &upload).await;
    }
}

/// What the upload does after a create whose answer was lost.
async fn found_or_created(to: &dyn Account, media: &NewMedia) -> Ticket {
    match to.find_created(media).await.unwrap() {
        Lookup::Found(ticket) => return ticket,
        Lookup::Lost(tickets) => {
            let again = to.find_created(media).await.unwrap();
            assert_eq!(again, Lookup::Lost(tickets.clone()), "it deletes nothing");
            for ticket in tickets {
                to.delete(&ticket).await.unwrap();
            }
        }
        Lookup::Absent => {}
        Lookup::CannotTell { .. } => panic!("{}", to.describe()),
    }
    to.create(media).await.unwrap()
}

#[tokio::test]
async fn a_part_whose_answer_was_lost_is_known_to_be_there() {
    let house = House::open(quick()).await;
    for to in house.all() {
        let upload = Upload::new(16 * MIB, 5 * MIB);
        let (_, opened) = start(&*to, &upload, "m").await;
        house
            .fault(json!({"fault": "lost-answer", "on": "part", "part": 2}))
            .await;
        let error = upload.put(&*opened, 2).await.unwrap_err();
        assert_eq!(error.kind, Kind::Broken);
        let there = opened.received(&upload.plan).await.unwrap();
        assert_eq!(numbers(&there), [2], "{}", to.describe());
    }
}

#[tokio::test]
async fn api_video_recognizes_a_part_that_was_sent_already() {
    let house = House::open(quick()).await;
    for range in [RangeMode::Bytes, RangeMode::Part] {
        let to = house.apivideo(range, false);
        let upload = Upload::new(11 * MIB, 5 * MIB);
        let (_, opened) = start(&to, &upload, "m").await;
        upload.put(&*opened, 1).await.unwrap();
        let error = upload.put(&*opened, 1).await.unwrap_err();
        assert_eq!(error.kind, Kind::AlreadySent, "{range:?} {error}");
        try_join_all([2, 3].map(|n| upload.put(&*opened, n)))
            .await
            .unwrap();
        let error = upload.put(&*opened, 3).await.unwrap_err();
        assert_eq!(error.kind, Kind::AlreadySent, "{range:?} {error}");
    }
}

#[tokio::test]
async fn bytes_of_another_split_are_noticed() {
    let house = House::open(quick()).await;
    // Bytes that overlap, and a number with another total.
    for (range, unfit, kind) in [
        (RangeMode::Bytes, 2, Kind::Conflict),
        (RangeMode::Part, 3, Kind::TicketGone),
    ] {
        let to = house.apivideo(range, false);
        let fine = Upload::new(30 * MIB, 5 * MIB);
        let coarse = Upload::new(30 * MIB, 7 * MIB);
        let (_, opened) = start(&to, &fine, "m").await;
        fine.put(&*opened, 2).await.unwrap();
        let received = opened.received(&coarse.plan).await.unwrap();
        assert!(matches!(received, Received::Conflict(_)), "{received:?}");
        // Bytes that do not fit may be a part that is still being received; a total never is.
        let error = coarse.put(&*opened, unfit).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
    let to = house.jwplayer();
    let fine = Upload::new(30 * MIB, 5 * MIB);
    let (_, opened) = start(&to, &fine, "m").await;
    fine.put(&*opened, 6).await.unwrap();
    let coarse = PartPlan::split(30 * MIB, (6 * MIB).try_into().unwrap()).unwrap();
    let received = opened.received(&coarse).await.unwrap();
    assert!(matches!(received, Received::Conflict(_)), "{received:?}");
}

#[tokio::test]
async fn a_part_of_a_longer_plan_that_comes_late_is_noticed() {
    // On the one page that was asked for, and on the last of many.
    for page_length_max in [1000, 7] {
        let house = House::open(Options {
            page_length_max,
            ..quick()
        })
        .await;
        let to = house.jwplayer();
        let fine = Upload::new(200 * MIB, 5 * MIB);
        let (_, opened) = start(&to, &fine, "m").await;
        fine.put(&*opened, 1).await.unwrap();
        // Replanned twice before it came, into so few parts that none of them is near it.
        let coarse = fine.plan.resplit(2, (50 * MIB).try_into().unwrap());
        let coarse = coarse.unwrap().resplit(2, (100 * MIB).try_into().unwrap());
        let coarse = coarse.unwrap();
        assert_eq!((coarse.count(), coarse.highest()), (3, 40));
        let there = opened.received(&coarse).await.unwrap();
        assert_eq!(numbers(&there), [1]);
        fine.put(&*opened, 40).await.unwrap();
        let there = opened.received(&coarse).await.unwrap();
        assert!(matches!(there, Received::Conflict(_)), "{there:?}");
        let completed = opened.complete(&coarse, &fine.receipts()).await;
        assert_eq!(completed.unwrap_err().kind, Kind::Conflict);
    }
}

#[tokio::test]
async fn an_expired_link_is_replaced_by_a_fresh_one() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let upload = Upload::new(11 * MIB, 5 * MIB);
    let (ticket, opened) = start(&to, &upload, "m").await;
    house
        .fault(json!({"fault": "link-expired", "on": "part", "part": 2}))
        .await;
    upload.put(&*opened, 1).await.unwrap();
    let error = upload.put(&*opened, 2).await.unwrap_err();
    assert_eq!(error.kind, Kind::LinkExpired, "{error}");
    upload.put(&*opened, 2).await.unwrap();
    upload.put(&*opened, 3).await.unwrap();
    complete(&*opened, &ticket, &upload).await;
    assert_eq!(house.media(&ticket).await["sha256"], upload.sha256);
}

#[tokio::test]
async fn an_expired_direct_link_is_replaced_by_a_fresh_one_for_the_same_media_object() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let small = Upload::new(1000, 5 * MIB);
    let (ticket, opened) = start(&to, &small, "m").await;
    house
        .fault(json!({"fault": "link-expired", "on": "part"}))
        .await;
    let error = small.put(&*opened, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::LinkExpired, "{error}");
    small.put(&*opened, 1).await.unwrap();
    assert_eq!(house.media(&ticket).await["sha256"], small.sha256);
    // What arrived as it was sent needs no link.
    let target = opened.prepare(&small.plan, small.part(1)).await.unwrap();
    assert_eq!(target, Target::Received(Some(small.md5(1))));
}

#[tokio::test]
async fn an_expired_upload_token_ends_the_upload() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let upload = Upload::new(11 * MIB, 5 * MIB);
    let (ticket, opened) = start(&to, &upload, "m2").await;
    house
        .fault(json!({"fault": "token-expired", "on": "list"}))
        .await;
    let error = upload.put(&*opened, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::TicketGone, "{error}");
    let error = opened.received(&upload.plan).await.unwrap_err();
    assert_eq!(error.kind, Kind::TicketGone, "{error}");
    to.delete(&ticket).await.unwrap();
    assert_eq!(house.media(&ticket).await["state"], "deleted");
    to.delete(&ticket)
        .await
        .expect("one that is gone is no error");
    let error = opened.received(&upload.plan).await.unwrap_err();
    assert_eq!(error.kind, Kind::TicketGone, "{error}");
    assert_eq!(
        statuses(&to, &[media_id(&ticket)]).await,
        [MediaStatus::Gone]
    );
}

#[tokio::test]
async fn an_access_token_that_is_refused_is_renewed() {
    let house = House::open(quick()).await;
    let to = house.apivideo(RangeMode::Bytes, false);
    let upload = Upload::new(11 * MIB, 5 * MIB);
    house
        .fault(json!({"fault": "token-expired", "on": "create"}))
        .await;
    let ticket = to
        .create(&upload.media("m"))
        .await
        .expect("asked once more with a new token");
    let opened = to.open(ticket.clone()).unwrap();
    house
        .fault(json!({"fault": "token-expired", "on": "part"}))
        .await;
    let error = upload.put(&*opened, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::LinkExpired, "{error}");
    try_join_all([1, 2, 3].map(|n| upload.put(&*opened, n)))
        .await
        .unwrap();
    assert_eq!(house.media(&ticket).await["sha256"], upload.sha256);
}

#[tokio::test]
async fn a_refresh_whose_answer_is_lost_ends_in_a_new_login() {
    let house = House::open(quick()).await;
    let to = house.apivideo(RangeMode::Bytes, false);
    let upload = Upload::new(1000, 5 * MIB);
    to.create(&upload.media("m0")).await.unwrap();
    house
        .fault(json!({"fault": "token-expired", "on": "create"}))
        .await;
    house
        .fault(json!({"fault": "lost-answer", "on": "token"}))
        .await;
    let error = to.create(&upload.media("m1")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Broken, "{error}");
    to.create(&upload.media("m1")).await.unwrap();
}

#[tokio::test]
async fn what_arrived_otherwise_than_it_was_sent_shows_and_can_be_sent_again() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let upload = Upload::new(6 * MIB, 5 * MIB);
    let (ticket, opened) = start(&to, &upload, "m").await;
    house
        .fault(json!({"fault": "wrong-etag", "on": "part", "part": 1}))
        .await;
    let target = opened.prepare(&upload.plan, upload.part(1)).await.unwrap();
    let (body, progress) = upload.body(1);
    let receipt = opened
        .put(target, &upload.plan, upload.part(1), body)
        .await
        .unwrap();
    assert_ne!(receipt.md5, progress.md5());

    // Another process knows no link, and JW Player gives none for a part that is there.
    let other = house.jwplayer().open(ticket.clone()).unwrap();
    let error = upload.put(&*other, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::TicketGone, "{error}");
    upload.put(&*opened, 1).await.unwrap();
    upload
        .put(&*other, 1)
        .await
        .expect("the same bytes are there");
    assert_eq!(house.media(&ticket).await["parts"][0]["tries"], 2);
}

#[tokio::test]
async fn short_pages_are_followed_to_the_part_that_is_wanted() {
    let house = House::open(Options {
        page_length_max: 2,
        ..quick()
    })
    .await;
    let to = house.jwplayer();
    let upload = Upload::new(33 * MIB, 5 * MIB);
    let (ticket, opened) = start(&to, &upload, "m").await;
    try_join_all([7, 1, 4].map(|n| upload.put(&*opened, n)))
        .await
        .unwrap();
    let fresh = house.jwplayer().open(ticket.clone()).unwrap();
    assert_eq!(
        numbers(&fresh.received(&upload.plan).await.unwrap()),
        [1, 4, 7]
    );
    try_join_all([2, 3, 5, 6].map(|n| upload.put(&*fresh, n)))
        .await
        .unwrap();
    complete(&*fresh, &ticket, &upload).await;
    assert_eq!(house.media(&ticket).await["sha256"], upload.sha256);
}

#[tokio::test]
async fn many_statuses_come_in_their_order_with_what_is_gone_and_what_failed() {
    let house = House::open(quick()).await;
    for to in house.all() {
        let upload = Upload::new(1000, 5 * MIB);
        let mut tickets: Vec<Ticket> = Vec::new();
        for n in 0..4 {
            let (ticket, opened) = start(&*to, &upload, &n.to_string()).await;
            if n == 2 {
                let script = json!({"fault": "bad-media", "file": ticket.media});
                house.fault(script).await;
            }
            upload.put(&*opened, 1).await.unwrap();
            tickets.push(ticket);
        }
        to.delete(&tickets[1]).await.unwrap();
        let ids: Vec<_> = tickets.iter().map(media_id).collect();
        settled(&*to, &ids[3]).await;
        let statuses = statuses(&*to, &ids).await;
        assert_eq!(
            (&statuses[0], &statuses[1]),
            (&MediaStatus::Ready, &MediaStatus::Gone)
        );
        assert!(
            matches!(statuses[2], MediaStatus::Failed(_)),
            "{statuses:?}"
        );
        assert_eq!(statuses[3], MediaStatus::Ready);
    }
}

#[tokio::test]
async fn wrong_keys_and_sites_are_reported_as_such() {
    let house = House::open(quick()).await;
    for to in house.all() {
        let words = to.check().await.unwrap();
        assert!(words.contains("accepts the key"), "{words}");
    }
    let jwplayer = |site: &str, secret: &str| {
        let mut options = JwPlayerOptions::new(site, Secret::new(secret));
        options.url = house.sandbox.url();
        JwPlayer::new(options).unwrap()
    };
    let apivideo = |basic| {
        let mut options = ApiVideoOptions::new(Secret::new("WRONG-KEY"));
        (options.url, options.basic) = (house.sandbox.url(), basic);
        ApiVideo::new(options).unwrap()
    };
    let wrong: [Arc<dyn Account>; 4] = [
        Arc::new(jwplayer(SITE, "WRONG-KEY")),
        Arc::new(jwplayer("Other001", SECRET)),
        Arc::new(apivideo(false)),
        Arc::new(apivideo(true)),
    ];
    let upload = Upload::new(1000, 5 * MIB);
    for to in wrong {
        let check = to.check().await.unwrap_err();
        let create = to.create(&upload.media("m")).await.unwrap_err();
        assert_eq!(check.kind, Kind::Credentials, "{check}");
        // Of one call alone, that it is forbidden may be said of what was asked.
        let kinds = [Kind::Credentials, Kind::Forbidden];
        assert!(kinds.contains(&create.kind), "{create}");
        for error in [check, create] {
            assert!(!format!("{error:?} {to:?}").contains("WRONG-KEY"));
        }
    }
}

#[tokio::test]
async fn a_429_is_throttled_and_left_to_the_engine_with_its_wait_host_and_class() {
    let house = House::open(quick()).await;
    let host = house.sandbox.addr().to_string();
    for to in house.all() {
        to.check().await.unwrap();
        house
            .fault(json!({"fault": "rate-limit", "on": "create"}))
            .await;
        let upload = Upload::new(1000, 5 * MIB);
        let error = to.create(&upload.media("m")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Throttled, "{error}");
        let endpoint = error.endpoint.unwrap();
        assert_eq!(*endpoint.host, *host);
        let api_video = to.describe().contains("api.video");
        let (class, named) = if api_video {
            (CallClass::Write, true)
        } else {
            (CallClass::Call, false)
        };
        assert_eq!((endpoint.class, error.wait.is_some()), (class, named));
        assert_eq!(to.rate_limit_wait(), None);
        let again = tokio::time::timeout(Duration::from_secs(10), to.check()).await;
        again.expect("the limiter does not wait for it").unwrap();
    }
}

#[tokio::test]
async fn parts_that_wait_for_the_same_links_ask_once_where_the_api_asks_to_wait() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let upload = Upload::new(16 * MIB, 5 * MIB);
    let (_, opened) = start(&to, &upload, "m").await;
    house
        .fault(json!({"fault": "rate-limit", "on": "list"}))
        .await;
    let parts = [1, 2, 3].map(|n| opened.prepare(&upload.plan, upload.part(n)));
    for prepared in join_all(parts).await {
        assert_eq!(prepared.unwrap_err().kind, Kind::Throttled);
    }
    assert_eq!(house.report().await["requests"]["jwplayer"]["list"], 1);
    let links = [1, 2, 3].map(|n| opened.prepare(&upload.plan, upload.part(n)));
    for prepared in join_all(links).await {
        assert!(matches!(prepared.unwrap(), Target::Link(_)));
    }
    assert_eq!(house.report().await["requests"]["jwplayer"]["list"], 2);
}

#[tokio::test]
async fn an_upload_says_what_it_allows_by_how_it_was_created() {
    let house = House::open(quick()).await;
    let many = Upload::new(11 * MIB, 5 * MIB);
    let [by_range, by_number] =
        [RangeMode::Bytes, RangeMode::Part].map(|mode| house.apivideo(mode, false));
    assert!(by_range.limits().can_replan && !by_number.limits().can_replan);
    for (created_by, opened_by, can_replan) in [
        (&by_range, &by_number, true),
        (&by_number, &by_range, false),
    ] {
        let ticket = created_by.create(&many.media("m")).await.unwrap();
        let opened = opened_by.open(ticket.clone()).unwrap();
        assert_eq!(opened.limits().can_replan, can_replan);
        many.put(&*opened, 3).await.unwrap();
        // One of the first edition does not say it: what was received does.
        let first_edition = |ticket: &Ticket| Ticket::of(media_id(ticket).as_str());
        let bare = opened_by.open(first_edition(&ticket)).unwrap();
        assert!(!bare.limits().can_replan, "it is not known yet");
        try_join_all([1, 2].map(|n| many.put(&*bare, n)))
            .await
            .unwrap();
        assert_eq!(bare.limits().can_replan, can_replan);
        complete(&*opened, &ticket, &many).await;
        assert_eq!(house.media(&ticket).await["sha256"], many.sha256);
        let ticket = created_by.create(&many.media("n")).await.unwrap();
        let bare = opened_by.open(first_edition(&ticket)).unwrap();
        let received = bare.received(&many.plan).await.unwrap();
        assert_eq!(received, Received::Parts(vec![]));
        assert_eq!(
            bare.limits().can_replan,
            opened_by.limits().can_replan,
            "the config's mode where nothing was received"
        );
    }
    let to = house.jwplayer();
    let small = Upload::new(1000, 5 * MIB);
    for (upload, can_replan) in [(&many, true), (&small, false)] {
        let (_, opened) = start(&to, upload, "m").await;
        assert_eq!(opened.limits().can_replan, can_replan);
    }
}

#[tokio::test]
async fn a_part_that_is_missing_at_the_end_is_named_and_nothing_is_completed() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let upload = Upload::new(16 * MIB, 5 * MIB);
    let (ticket, opened) = start(&to, &upload, "m").await;
    try_join_all([1, 2, 4].map(|n| upload.put(&*opened, n)))
        .await
        .unwrap();
    let mut receipts = upload.receipts();
    receipts.insert(2, Some([7; 16]).into());
    let completed = opened.complete(&upload.plan, &receipts).await.unwrap();
    assert_eq!(completed, Completed::Missing([2, 3].into()));
    assert_eq!(house.media(&ticket).await["complete"], false);
    try_join_all([2, 3].map(|n| upload.put(&*opened, n)))
        .await
        .unwrap();
    complete(&*opened, &ticket, &upload).await;
    assert_eq!(house.media(&ticket).await["sha256"], upload.sha256);
}

#[tokio::test]
async fn an_expired_link_is_the_storages_error_and_a_refused_list_the_apis() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let upload = Upload::new(11 * MIB, 5 * MIB);
    let (_, opened) = start(&to, &upload, "m").await;
    house
        .fault(json!({"fault": "error-before", "on": "list"}))
        .await;
    house
        .fault(json!({"fault": "link-expired", "on": "part"}))
        .await;
    for class in [CallClass::Call, CallClass::Part] {
        let error = upload.put(&*opened, 1).await.unwrap_err();
        assert_eq!(error.endpoint.unwrap().class, class);
    }
    let video = Upload::new(1000, 5 * MIB);
    let to = house.apivideo(RangeMode::Bytes, false);
    let (_, opened) = start(&to, &video, "m").await;
    for (step, class) in [("part", CallClass::Part), ("status", CallClass::Read)] {
        house
            .fault(json!({"fault": "error-before", "on": step}))
            .await;
        let error = match step {
            "part" => video.put(&*opened, 1).await.map(drop),
            _ => opened.received(&video.plan).await.map(drop),
        };
        assert_eq!(error.unwrap_err().endpoint.unwrap().class, class, "{step}");
    }
}

#[tokio::test]
async fn no_server_is_offline_and_a_failing_one_is_not() {
    let house = House::open(quick()).await;
    let all = house.all();
    for to in &all {
        house
            .fault(json!({"fault": "error-before", "on": "create"}))
            .await;
        let error = to.create(&Upload::new(9, 9).media("m")).await.unwrap_err();
        assert_eq!(
            (error.kind, error.status),
            (Kind::Server, Some(500)),
            "{error}"
        );
    }
    house.sandbox.stop().await;
    for to in &all {
        let error = to.create(&Upload::new(9, 9).media("m")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Offline, "{error}");
    }
}
