//! Each destination, step by step, against the sandbox, which tells what it received.

use std::{sync::Arc, time::Duration};

use crate::support::{MIB, upload::Upload};
use futures_util::future::try_join_all;
use reelhaul::{
    destination::{
        Destination, MediaStatus, Received, Ticket,
        apivideo::{ApiVideo, ApiVideoOptions, RangeMode},
        jwplayer::{JwPlayer, JwPlayerOptions},
    },
    error::Kind,
    plan::PartPlan,
    sandbox::{API_KEY, Options, SECRET, SITE, Sandbox, Storage},
    secret::Secret,
};
use serde_json::{Value, json};

/// A sandbox and a way to each destination in it.
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
        options.metadata = "tags = [\"archive\"]".parse().unwrap();
        JwPlayer::new(options).unwrap()
    }

    fn apivideo(&self, range: RangeMode, basic: bool) -> ApiVideo {
        let mut options = ApiVideoOptions::new(Secret::new(API_KEY));
        options.url = self.sandbox.url();
        options.range = range;
        options.basic = basic;
        options.metadata = "public = false\nmetadata = { camera = \"A\" }"
            .parse()
            .unwrap();
        ApiVideo::new(options).unwrap()
    }

    /// Every destination in every mode.
    fn all(&self) -> Vec<Arc<dyn Destination>> {
        vec![
            Arc::new(self.jwplayer()),
            Arc::new(self.apivideo(RangeMode::Bytes, false)),
            Arc::new(self.apivideo(RangeMode::Part, false)),
            Arc::new(self.apivideo(RangeMode::Bytes, true)),
        ]
    }

    async fn tell(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("{}/_sandbox/{path}", self.sandbox.url());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let method = method.parse().unwrap();
        let request = client.request(method, url).body(body.to_string());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        answer.json().await.unwrap()
    }

    async fn fault(&self, fault: Value) {
        self.tell("POST", "faults", json!([fault])).await;
    }

    async fn report(&self) -> Value {
        self.tell("GET", "report", Value::Null).await
    }

    async fn media(&self, id: &str) -> Value {
        let report = self.report().await;
        let all = report["media"].as_array().unwrap();
        all.iter().find(|media| media["id"] == id).unwrap().clone()
    }
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

async fn settled(to: &dyn Destination, media: &str) -> MediaStatus {
    loop {
        let status = to.status(&[media.to_owned()]).await.unwrap().remove(0);
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
        let ticket = to.create(&upload.media("m1")).await.unwrap();
        let none = to.received(&ticket, &upload.plan).await.unwrap();
        assert_eq!(numbers(&none), [] as [u32; 0]);

        try_join_all([5, 3, 1].map(|n| upload.put(&*to, &ticket, n)))
            .await
            .unwrap();
        let some = to.received(&ticket, &upload.plan).await.unwrap();
        assert_eq!(numbers(&some), [1, 3, 5], "{}", to.describe());

        try_join_all([2, 4].map(|n| upload.put(&*to, &ticket, n)))
            .await
            .unwrap();
        if to.verify_before_complete(&ticket, 5) {
            let all = to.received(&ticket, &upload.plan).await.unwrap();
            assert_eq!(numbers(&all), [1, 2, 3, 4, 5]);
        }
        to.complete(&ticket, &upload.plan).await.unwrap();
        to.complete(&ticket, &upload.plan)
            .await
            .expect("ending twice is no error");
        assert_eq!(
            to.received(&ticket, &upload.plan).await.unwrap(),
            Received::Complete
        );
        assert_eq!(settled(&*to, &ticket.media).await, MediaStatus::Ready);

        let media = house.media(&ticket.media).await;
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
        let ticket = to.create(&upload.media("m1")).await.unwrap();
        assert!(!to.verify_before_complete(&ticket, 1));
        upload.put(&*to, &ticket, 1).await.unwrap();
        assert_eq!(
            to.received(&ticket, &upload.plan).await.unwrap(),
            Received::Complete
        );
        to.complete(&ticket, &upload.plan).await.unwrap();
        let media = house.media(&ticket.media).await;
        assert_eq!(media["sha256"], upload.sha256, "{}", to.describe());
        assert_eq!(media["parts"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn bytes_of_a_small_file_that_another_process_sent_prove_nothing() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let small = Upload::new(1000, 5 * MIB);
    let ticket = to.create(&small.media("m")).await.unwrap();
    let none = to.received(&ticket, &small.plan).await.unwrap();
    assert_eq!(numbers(&none), [] as [u32; 0]);
    small.put(&to, &ticket, 1).await.unwrap();
    let other = house.jwplayer();
    let there = other.received(&ticket, &small.plan).await.unwrap();
    assert_eq!(there, Received::Unproven);
    house
        .fault(json!({"fault": "link-expired", "on": "part"}))
        .await;
    let error = small.put(&other, &ticket, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::TicketGone, "{error}");
}

#[tokio::test]
async fn a_small_file_that_arrived_otherwise_goes_to_the_same_media_object_by_a_new_link() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let small = Upload::new(1000, 5 * MIB);
    let ticket = to.create(&small.media("m")).await.unwrap();
    house
        .fault(json!({"fault": "wrong-etag", "on": "part"}))
        .await;
    let (body, progress) = small.body(1);
    let receipt = to
        .put(&ticket, &small.plan, small.part(1), body)
        .await
        .unwrap();
    assert_ne!(receipt.md5, progress.md5());
    let there = to.received(&ticket, &small.plan).await.unwrap();
    assert_eq!(numbers(&there), [] as [u32; 0], "what is there is not it");
    // The new link is no better when it expires: what is there is still not the file.
    house
        .fault(json!({"fault": "link-expired", "on": "part"}))
        .await;
    let error = small.put(&to, &ticket, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::LinkExpired, "{error}");
    small.put(&to, &ticket, 1).await.unwrap();
    assert_eq!(house.media(&ticket.media).await["sha256"], small.sha256);
    let there = to.received(&ticket, &small.plan).await.unwrap();
    assert_eq!(there, Received::Complete);
    let report = house.report().await;
    assert_eq!(report["media"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn jw_player_costs_four_calls_for_a_file_in_parts_and_one_for_a_small_one() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let upload = Upload::new(16 * MIB, 5 * MIB);
    let ticket = to.create(&upload.media("m1")).await.unwrap();
    try_join_all([1, 2, 3, 4].map(|n| upload.put(&to, &ticket, n)))
        .await
        .unwrap();
    to.received(&ticket, &upload.plan).await.unwrap();
    to.complete(&ticket, &upload.plan).await.unwrap();

    let small = Upload::new(1000, 5 * MIB);
    let ticket = to.create(&small.media("m2")).await.unwrap();
    small.put(&to, &ticket, 1).await.unwrap();
    to.complete(&ticket, &small.plan).await.unwrap();

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
        assert_eq!(to.recover(&marker).await.unwrap(), None);
        house
            .fault(json!({"fault": "lost-answer", "on": "create"}))
            .await;
        let error = to.create(&upload.media(&marker)).await.unwrap_err();
        assert_eq!(error.kind, Kind::Broken, "{error}");

        let ticket = match to.recover(&marker).await.unwrap() {
            Some(ticket) => ticket,
            None => to.create(&upload.media(&marker)).await.unwrap(),
        };
        try_join_all([1, 2].map(|n| upload.put(&*to, &ticket, n)))
            .await
            .unwrap();
        to.complete(&ticket, &upload.plan).await.unwrap();

        let report = house.report().await;
        let left = report["media"].as_array().unwrap().iter();
        let left: Vec<_> = left
            .filter(|media| media["marker"] == marker.as_str() && media["state"] != "deleted")
            .collect();
        assert_eq!(left.len(), 1, "{}", to.describe());
        assert_eq!(left[0]["sha256"], upload.sha256);
        let found = to.recover(&marker).await.unwrap().unwrap();
        assert_eq!(found.media, ticket.media);
        assert_eq!(
            to.received(&found, &upload.plan).await.unwrap(),
            Received::Complete
        );
    }
}

#[tokio::test]
async fn a_part_whose_answer_was_lost_is_known_to_be_there() {
    let house = House::open(quick()).await;
    for to in house.all() {
        let upload = Upload::new(16 * MIB, 5 * MIB);
        let ticket = to.create(&upload.media("m")).await.unwrap();
        house
            .fault(json!({"fault": "lost-answer", "on": "part", "part": 2}))
            .await;
        let error = upload.put(&*to, &ticket, 2).await.unwrap_err();
        assert_eq!(error.kind, Kind::Broken);
        let there = to.received(&ticket, &upload.plan).await.unwrap();
        assert_eq!(numbers(&there), [2], "{}", to.describe());
    }
}

#[tokio::test]
async fn api_video_tells_a_part_that_was_sent_already() {
    let house = House::open(quick()).await;
    for range in [RangeMode::Bytes, RangeMode::Part] {
        let to = house.apivideo(range, false);
        let upload = Upload::new(11 * MIB, 5 * MIB);
        let ticket = to.create(&upload.media("m")).await.unwrap();
        upload.put(&to, &ticket, 1).await.unwrap();
        let error = upload.put(&to, &ticket, 1).await.unwrap_err();
        assert_eq!(error.kind, Kind::AlreadySent, "{range:?} {error}");
        try_join_all([2, 3].map(|n| upload.put(&to, &ticket, n)))
            .await
            .unwrap();
        let error = upload.put(&to, &ticket, 3).await.unwrap_err();
        assert_eq!(error.kind, Kind::AlreadySent, "{range:?} {error}");
    }
}

#[tokio::test]
async fn bytes_of_another_slicing_are_noticed() {
    let house = House::open(quick()).await;
    // Bytes that overlap, and a number with another total.
    for (range, unfit) in [(RangeMode::Bytes, 2), (RangeMode::Part, 3)] {
        let to = house.apivideo(range, false);
        let fine = Upload::new(30 * MIB, 5 * MIB);
        let coarse = Upload::new(30 * MIB, 7 * MIB);
        let ticket = to.create(&fine.media("m")).await.unwrap();
        fine.put(&to, &ticket, 2).await.unwrap();
        let received = to.received(&ticket, &coarse.plan).await.unwrap();
        assert!(matches!(received, Received::Foreign(_)), "{received:?}");
        // To send what can never fit would be in vain, however often.
        let error = coarse.put(&to, &ticket, unfit).await.unwrap_err();
        assert_eq!(error.kind, Kind::TicketGone, "{error}");
    }
    let to = house.jwplayer();
    let fine = Upload::new(30 * MIB, 5 * MIB);
    let ticket = to.create(&fine.media("m")).await.unwrap();
    fine.put(&to, &ticket, 6).await.unwrap();
    let coarse = PartPlan::cut(30 * MIB, (6 * MIB).try_into().unwrap());
    let received = to.received(&ticket, &coarse).await.unwrap();
    assert!(matches!(received, Received::Foreign(_)), "{received:?}");
}

#[tokio::test]
async fn a_part_of_a_longer_plan_that_comes_late_is_noticed() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let fine = Upload::new(200 * MIB, 5 * MIB);
    let ticket = to.create(&fine.media("m")).await.unwrap();
    fine.put(&to, &ticket, 1).await.unwrap();
    // Cut anew before it came, into so few parts that none of the pages asked for held it.
    let coarse = fine.plan.recut(2, (50 * MIB).try_into().unwrap());
    assert_eq!(coarse.count(), 5);
    let there = to.received(&ticket, &coarse).await.unwrap();
    assert_eq!(numbers(&there), [1]);
    fine.put(&to, &ticket, 33).await.unwrap();
    let there = to.received(&ticket, &coarse).await.unwrap();
    assert!(matches!(there, Received::Foreign(_)), "{there:?}");
}

#[tokio::test]
async fn an_expired_link_is_replaced_by_a_fresh_one() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let upload = Upload::new(11 * MIB, 5 * MIB);
    let ticket = to.create(&upload.media("m")).await.unwrap();
    house
        .fault(json!({"fault": "link-expired", "on": "part", "part": 2}))
        .await;
    upload.put(&to, &ticket, 1).await.unwrap();
    let error = upload.put(&to, &ticket, 2).await.unwrap_err();
    assert_eq!(error.kind, Kind::LinkExpired, "{error}");
    upload.put(&to, &ticket, 2).await.unwrap();
    upload.put(&to, &ticket, 3).await.unwrap();
    to.complete(&ticket, &upload.plan).await.unwrap();
    assert_eq!(house.media(&ticket.media).await["sha256"], upload.sha256);
}

#[tokio::test]
async fn an_expired_direct_link_is_replaced_by_a_fresh_one_for_the_same_media_object() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let small = Upload::new(1000, 5 * MIB);
    let ticket = to.create(&small.media("m")).await.unwrap();
    house
        .fault(json!({"fault": "link-expired", "on": "part"}))
        .await;
    let error = small.put(&to, &ticket, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::LinkExpired, "{error}");
    small.put(&to, &ticket, 1).await.unwrap();
    assert_eq!(house.media(&ticket.media).await["sha256"], small.sha256);
    // One that came through after all needs no link.
    house
        .fault(json!({"fault": "link-expired", "on": "part"}))
        .await;
    let error = small.put(&to, &ticket, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::AlreadySent, "{error}");
}

#[tokio::test]
async fn an_expired_upload_token_ends_the_upload() {
    let house = House::open(quick()).await;
    let to = house.jwplayer();
    let upload = Upload::new(11 * MIB, 5 * MIB);
    let ticket = to.create(&upload.media("m2")).await.unwrap();
    house
        .fault(json!({"fault": "token-expired", "on": "list"}))
        .await;
    let error = upload.put(&to, &ticket, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::TicketGone, "{error}");
    let error = to.received(&ticket, &upload.plan).await.unwrap_err();
    assert_eq!(error.kind, Kind::TicketGone, "{error}");
    to.remove(&ticket).await.unwrap();
    assert_eq!(house.media(&ticket.media).await["state"], "deleted");
    to.remove(&ticket)
        .await
        .expect("one that is gone is no error");
    let error = to.received(&ticket, &upload.plan).await.unwrap_err();
    assert_eq!(error.kind, Kind::TicketGone, "{error}");
    assert_eq!(
        to.status(&[ticket.media]).await.unwrap(),
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
    house
        .fault(json!({"fault": "token-expired", "on": "part"}))
        .await;
    let error = upload.put(&to, &ticket, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::LinkExpired, "{error}");
    try_join_all([1, 2, 3].map(|n| upload.put(&to, &ticket, n)))
        .await
        .unwrap();
    assert_eq!(house.media(&ticket.media).await["sha256"], upload.sha256);
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
    let ticket = to.create(&upload.media("m")).await.unwrap();
    house
        .fault(json!({"fault": "wrong-etag", "on": "part", "part": 1}))
        .await;
    let (body, progress) = upload.body(1);
    let receipt = to
        .put(&ticket, &upload.plan, upload.part(1), body)
        .await
        .unwrap();
    assert_ne!(receipt.md5, progress.md5());

    // Another process knows no link, and JW Player gives none for a part that is there.
    let other = house.jwplayer();
    let error = upload.put(&other, &ticket, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::TicketGone, "{error}");
    upload.put(&to, &ticket, 1).await.unwrap();
    upload
        .put(&other, &ticket, 1)
        .await
        .expect("the same bytes are there");
    assert_eq!(house.media(&ticket.media).await["parts"][0]["tries"], 2);
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
    let ticket = to.create(&upload.media("m")).await.unwrap();
    try_join_all([7, 1, 4].map(|n| upload.put(&to, &ticket, n)))
        .await
        .unwrap();
    let fresh = house.jwplayer();
    assert_eq!(
        numbers(&fresh.received(&ticket, &upload.plan).await.unwrap()),
        [1, 4, 7]
    );
    try_join_all([2, 3, 5, 6].map(|n| upload.put(&fresh, &ticket, n)))
        .await
        .unwrap();
    fresh.complete(&ticket, &upload.plan).await.unwrap();
    assert_eq!(house.media(&ticket.media).await["sha256"], upload.sha256);
}

#[tokio::test]
async fn many_statuses_come_in_their_order_with_what_is_gone_and_what_failed() {
    let house = House::open(quick()).await;
    for to in house.all() {
        let upload = Upload::new(1000, 5 * MIB);
        let mut tickets: Vec<Ticket> = Vec::new();
        for n in 0..4 {
            let ticket = to.create(&upload.media(&n.to_string())).await.unwrap();
            if n == 2 {
                let script = json!({"fault": "bad-media", "file": ticket.media});
                house.fault(script).await;
            }
            upload.put(&*to, &ticket, 1).await.unwrap();
            tickets.push(ticket);
        }
        to.remove(&tickets[1]).await.unwrap();
        let ids: Vec<_> = tickets.iter().map(|ticket| ticket.media.clone()).collect();
        settled(&*to, &ids[3]).await;
        let statuses = to.status(&ids).await.unwrap();
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
async fn wrong_keys_and_sites_are_told_as_such() {
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
    let wrong: [Arc<dyn Destination>; 4] = [
        Arc::new(jwplayer(SITE, "WRONG-KEY")),
        Arc::new(jwplayer("Other001", SECRET)),
        Arc::new(apivideo(false)),
        Arc::new(apivideo(true)),
    ];
    let upload = Upload::new(1000, 5 * MIB);
    for to in wrong {
        let check = to.check().await.unwrap_err();
        let create = to.create(&upload.media("m")).await.unwrap_err();
        for error in [check, create] {
            assert_eq!(error.kind, Kind::Credentials, "{error}");
            assert!(!format!("{error:?} {to:?}").contains("WRONG-KEY"));
        }
    }
}

#[tokio::test]
async fn a_429_is_throttled_and_tells_how_long_and_why() {
    let house = House::open(quick()).await;
    for to in house.all() {
        to.check().await.unwrap();
        assert_eq!(to.hold_up(), None);
        house
            .fault(json!({"fault": "rate-limit", "on": "create"}))
            .await;
        let upload = Upload::new(1000, 5 * MIB);
        let error = to.create(&upload.media("m")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Throttled, "{error}");
        assert!(error.wait.unwrap() >= Duration::from_secs(1));
        assert!(to.hold_up().unwrap().why.contains("too many"));
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
