//! Servers that are broken or mean harm: every answer ends in a clear, short error of the right
//! kind, after a bounded number of requests, and nothing secret goes where it should not.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::support::{
    MIB,
    scripted::{Scripted, answer},
    upload::Upload,
};
use reelhaul::{
    destination::{
        Account, Completed, Lookup, MediaStatus, Received, ReceivedPart, RemoteUpload, Target,
        Ticket,
        apivideo::{ApiVideo, ApiVideoOptions, RangeMode},
        jwplayer::{JwPlayer, JwPlayerOptions},
    },
    error::{CallClass, Endpoint, Error, Kind},
    secret::Secret,
};

const CREATED: &str = r#"{"id":"abcd1234","upload_id":"u1","upload_token":"TOKEN-1"}"#;
const LOGIN: &str = r#"{"expires_in":3600,"access_token":"TOKEN-1","refresh_token":"TOKEN-2"}"#;

fn jwplayer(server: &Scripted) -> JwPlayer {
    let mut options = JwPlayerOptions::new("Site0001", Secret::new("SECRET-0"));
    options.url.clone_from(&server.url);
    options.calls_per_minute = 10_000;
    JwPlayer::new(options).unwrap()
}

fn apivideo(server: &Scripted) -> ApiVideo {
    let mut options = ApiVideoOptions::new(Secret::new("SECRET-0"));
    options.url.clone_from(&server.url);
    ApiVideo::new(options).unwrap()
}

fn multipart() -> Ticket {
    Ticket::of("abcd1234")
        .with("upload", "u1")
        .with("token", "TOKEN-1")
        .with("method", "multipart")
}

fn direct(link: &str) -> Ticket {
    Ticket::of("abcd1234")
        .with("token", link)
        .with("method", "direct video/mp4")
}

/// The upload of the multipart ticket at JW Player.
fn opened(server: &Scripted) -> Box<dyn RemoteUpload> {
    jwplayer(server).open(multipart()).unwrap()
}

/// What every error has to be, whatever the server did.
fn decent(error: &Error) {
    assert!(error.message.chars().count() < 450, "{error}");
    assert!(!error.message.chars().any(char::is_control), "{error:?}");
    for secret in ["SECRET-0", "TOKEN-1", "TOKEN-2", "Signature=1"] {
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
    }
}

/// What each call that asks for JSON makes of an answer.
async fn every_call(bytes: Vec<u8>) -> Vec<Error> {
    let server = Scripted::start(move |_| bytes.clone()).await;
    let upload = Upload::new(12 * MIB, 5 * MIB);
    let media = upload.media("m");
    let mut errors = Vec::new();
    let all: [Arc<dyn Account>; 2] = [Arc::new(jwplayer(&server)), Arc::new(apivideo(&server))];
    for to in all {
        errors.extend(to.check().await.err());
        errors.extend(to.create(&media).await.err());
        errors.extend(to.find_created(&media).await.err());
        let opened = to.open(multipart()).unwrap();
        errors.extend(opened.received(&upload.plan).await.err());
        let statuses = to.status(&["a1".into(), "b2".into()]).await;
        errors.extend(statuses.outcome().err().cloned());
    }
    assert_eq!(errors.len(), 10, "each call fails: {errors:?}");
    errors.iter().for_each(decent);
    let host = server.url.trim_start_matches("http://");
    for error in &errors {
        let endpoint = error.endpoint.as_ref().unwrap();
        assert_eq!(&*endpoint.host, host, "{error}");
    }
    errors
}

fn all_are(errors: &[Error], kind: Kind, words: &str) {
    for error in errors {
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_failure_of_five_megabytes_is_told_in_a_line() {
    let errors = every_call(answer(500, "", &"no \u{1b}[31m".repeat(700_000))).await;
    all_are(&errors, Kind::Server, "answered 500");
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_cut_off() {
    let mut endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n[".to_vec();
    endless.resize(17 << 20, b' ');
    let errors = every_call(endless).await;
    all_are(&errors, Kind::Server, "more than 16 MiB");
}

#[tokio::test]
async fn a_web_page_with_status_200_is_called_one() {
    let errors = every_call(answer(200, "", "<!doctype html><h1>Log in</h1>")).await;
    all_are(&errors, Kind::Server, "HTML");
}

#[tokio::test]
async fn json_that_breaks_off_makes_no_sense() {
    let errors = every_call(answer(200, "", r#"{"access_token":"TOKEN-1","#)).await;
    all_are(&errors, Kind::Server, "breaks off");
}

#[tokio::test]
async fn json_of_another_shape_is_not_repeated() {
    let errors = every_call(answer(
        200,
        "",
        r#"{"id":["TOKEN-1"],"media":"TOKEN-1","access_token":7}"#,
    ))
    .await;
    all_are(&errors, Kind::Server, "makes no sense");
}

#[tokio::test]
async fn a_connection_cut_in_an_answer_is_broken() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"id\":".to_vec();
    all_are(&every_call(cut).await, Kind::Broken, "connection broke");
    all_are(
        &every_call(b"SSH-2.0-OpenSSH\r\n".to_vec()).await,
        Kind::Broken,
        "connection broke",
    );
    all_are(
        &every_call(Vec::new()).await,
        Kind::Broken,
        "connection broke",
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_goes_nowhere() {
    let other = Scripted::start(|_| answer(200, "", CREATED)).await;
    for target in ["/v2/again".to_owned(), format!("{}/steal", other.url)] {
        let header = format!("Location: {target}\r\n");
        let errors = every_call(answer(307, &header, "")).await;
        all_are(&errors, Kind::Server, "redirect");
    }
    assert_eq!(other.asked().len(), 0);
}

#[tokio::test]
async fn a_part_takes_neither_key_nor_token_along_and_says_its_length() {
    let storage = Scripted::start(|_| answer(200, "ETag: \"x\"\r\n", "")).await;
    let link = format!("{}/p?partNumber=2&Signature=1", storage.url);
    let api = Scripted::start(move |_| {
        let parts =
            format!(r#"{{"parts":[{{"id":1,"etag":"x"}},{{"id":2,"upload_link":"{link}"}}]}}"#);
        answer(200, "", &parts)
    })
    .await;
    let upload = Upload::new(6 * MIB, 5 * MIB);
    upload.put(&*opened(&api), 2).await.unwrap();
    let asked = storage.asked().remove(0);
    assert_eq!(asked.line, "PUT /p?partNumber=2&Signature=1 HTTP/1.1");
    assert_eq!(asked.header("content-length"), Some("1048576"));
    for absent in [
        "authorization",
        "content-type",
        "transfer-encoding",
        "referer",
        "cookie",
    ] {
        assert_eq!(asked.header(absent), None);
    }
    assert!(asked.header("user-agent").unwrap().starts_with("reelhaul/"));
    assert_eq!(
        api.asked()[0].header("authorization"),
        Some("Bearer TOKEN-1")
    );
}

#[tokio::test]
async fn a_yes_without_an_etag_is_no_storages() {
    // A portal that answers everything well.
    let storage = Scripted::start(|_| answer(200, "", "<h1>Welcome</h1>")).await;
    let link = format!("{}/p?Signature=1", storage.url);
    for ticket in [direct(&link), multipart()] {
        let parts = format!(r#"{{"parts":[{{"id":1,"upload_link":"{link}"}}]}}"#);
        let api = Scripted::start(move |_| answer(200, "", &parts)).await;
        let upload = Upload::new(MIB, 5 * MIB);
        let opened = jwplayer(&api).open(ticket).unwrap();
        let error = upload.put(&*opened, 1).await.unwrap_err();
        assert_eq!(error.kind, Kind::Server, "{error}");
        assert!(error.message.contains("no ETag"), "{error}");
        decent(&error);
        let storage = Endpoint {
            host: storage.url.trim_start_matches("http://").into(),
            class: CallClass::Part,
        };
        assert_eq!(error.endpoint, Some(storage));
    }
}

#[tokio::test]
async fn a_complete_says_that_it_has_no_body() {
    let parts = r#"{"parts":[{"id":1,"etag":"x"},{"id":2,"etag":"x"},{"id":3}]}"#;
    let api = Scripted::start(move |_| answer(202, "", parts)).await;
    let upload = Upload::new(6 * MIB, 5 * MIB);
    let to = opened(&api);
    to.complete(&upload.plan, &upload.receipts()).await.unwrap();
    let asked = api.asked().remove(1);
    assert_eq!(asked.line, "PUT /v2/uploads/u1/complete HTTP/1.1");
    assert_eq!(asked.header("content-length"), Some("0"));
    assert_eq!(asked.header("authorization"), Some("Bearer TOKEN-1"));
}

/// A media object, and an upload whose complete is answered with this status; the list of its parts
/// likewise, or with both parts of a file.
async fn with_media(status: u16, media: &'static str, lists: bool) -> Scripted {
    Scripted::start(move |asked| {
        if asked.line.contains("/media/") {
            answer(200, "", media)
        } else if lists && asked.line.contains("/parts") {
            answer(
                200,
                "",
                r#"{"parts":[{"id":1,"etag":"x"},{"id":2,"etag":"x"}]}"#,
            )
        } else {
            answer(
                status,
                "",
                r#"{"errors":[{"code":"x","description":"no"}]}"#,
            )
        }
    })
    .await
}

#[tokio::test]
async fn a_complete_that_is_still_on_its_way_is_not_given_up() {
    let upload = Upload::new(6 * MIB, 5 * MIB);
    let receipts = upload.receipts();
    for lists in [true, false] {
        for (status, kind) in [
            (409, Kind::Server),
            (404, Kind::TicketGone),
            (400, Kind::Refused),
        ] {
            let media = r#"{"id":"abcd1234","status":"created"}"#;
            let to = opened(&with_media(status, media, lists).await);
            let error = to.complete(&upload.plan, &receipts).await.unwrap_err();
            assert_eq!(error.kind, kind, "{status}: {error}");
            if !lists {
                let error = to.received(&upload.plan).await.unwrap_err();
                assert_eq!(error.kind, kind, "{status}: {error}");
            }
        }
        let media = r#"{"id":"abcd1234","status":"updating"}"#;
        let to = opened(&with_media(409, media, lists).await);
        let completed = to.complete(&upload.plan, &receipts).await.unwrap();
        assert_eq!(completed, Completed::Complete("abcd1234".into()));
        if !lists {
            let there = to.received(&upload.plan).await.unwrap();
            assert_eq!(there, Received::Complete);
        }
    }
}

#[tokio::test]
async fn a_media_object_without_a_status_is_neither_complete_nor_deleted() {
    let upload = Upload::new(6 * MIB, 5 * MIB);
    let media = r#"{"id":"abcd1234","metadata":{"external_id":"m"},
        "media":[{"id":"abcd1234","metadata":{"external_id":"m"}}]}"#;
    let api = with_media(404, media, false).await;
    let account = jwplayer(&api);
    let to = opened(&api);
    let direct = account.open(direct("https://x/")).unwrap();
    let receipts = upload.receipts();
    let errors = [
        to.received(&upload.plan).await.unwrap_err(),
        direct.received(&upload.plan).await.unwrap_err(),
        to.complete(&upload.plan, &receipts).await.unwrap_err(),
        account.find_created(&upload.media("m")).await.unwrap_err(),
    ];
    for error in &errors {
        assert_eq!(error.kind, Kind::Server, "{error}");
        decent(error);
    }
    assert!(
        api.asked()
            .iter()
            .all(|asked| !asked.line.starts_with("DELETE"))
    );
}

#[tokio::test]
async fn media_objects_whose_token_is_lost_are_all_named_and_none_is_deleted() {
    let of = |status: &str, id: &str| {
        format!(r#"{{"id":"{id}","status":"{status}","metadata":{{"external_id":"m"}}}}"#)
    };
    let media = Upload::new(6 * MIB, 5 * MIB).media("m");
    let [a, b, b_done, c_done] = [
        of("created", "a1"),
        of("created", "b2"),
        of("processing", "b2"),
        of("ready", "c3"),
    ];
    let lost = |ids: &[&str]| Lookup::Lost(ids.iter().map(|id| Ticket::of(*id)).collect());
    let found = |id: &str| Lookup::Found(Ticket::of(id));
    for (search, newest, expected, calls) in [
        (vec![], vec![&b, &a], lost(&["b2", "a1"]), 2),
        (vec![&a], vec![&b, &a], lost(&["a1", "b2"]), 2),
        // The search may lag behind.
        (vec![&b], vec![&a, &b_done], found("b2"), 2),
        (vec![&a, &c_done], vec![], found("c3"), 1),
        (vec![], vec![], Lookup::Absent, 2),
    ] {
        let page = |all: &[&String]| {
            let all: Vec<&str> = all.iter().map(|one| one.as_str()).collect();
            format!(r#"{{"media":[{}]}}"#, all.join(","))
        };
        let (search, newest) = (page(&search), page(&newest));
        let api = Scripted::start(move |asked| {
            let searched = asked.line.contains("q=");
            answer(200, "", if searched { &search } else { &newest })
        })
        .await;
        assert_eq!(jwplayer(&api).find_created(&media).await.unwrap(), expected);
        let asked = api.asked();
        assert_eq!(asked.len(), calls);
        assert!(asked.iter().all(|asked| asked.line.starts_with("GET")));
    }
}

#[tokio::test]
async fn a_token_that_can_not_be_sent_is_no_fault_of_the_secret() {
    let api = Scripted::start(|_| answer(200, "", r#"{"parts":[]}"#)).await;
    let ticket = multipart().with("token", "TOKEN-1\n");
    let upload = Upload::new(6 * MIB, 5 * MIB);
    let to = jwplayer(&api).open(ticket).unwrap();
    let receipts = upload.receipts();
    let errors = [
        upload.put(&*to, 1).await.unwrap_err(),
        to.complete(&upload.plan, &receipts).await.unwrap_err(),
    ];
    for error in &errors {
        assert_eq!(error.kind, Kind::TicketGone, "{error}");
        decent(error);
    }
    assert_eq!(api.asked().len(), 0);
}

#[tokio::test]
async fn one_status_that_never_comes_does_not_hold_the_others_back() {
    let server = Scripted::start(|asked| {
        let status = if asked.line.contains("auth") {
            LOGIN
        } else if asked.line.contains("/bad/") {
            return answer(500, "", "");
        } else if asked.line.contains("q=") {
            return answer(400, "", "");
        } else {
            r#"{"id":"a1","status":"ready","encoding":{"playable":true,"qualities":null}}"#
        };
        answer(200, "", status)
    })
    .await;
    let all: [Arc<dyn Account>; 2] = [Arc::new(jwplayer(&server)), Arc::new(apivideo(&server))];
    for to in all {
        let ids = ["bad".into(), "a1".into()];
        let batch = to.status(&ids).await;
        let error = batch.answers[0].as_ref().unwrap().as_ref().unwrap_err();
        assert_eq!(error.kind, Kind::Server, "{error}");
        assert_eq!(batch.answers[1], Some(Ok(MediaStatus::Ready)));
        assert_eq!(batch.outcome(), Ok(()));
        let batch = to.status(&ids[..1]).await;
        assert_eq!(batch.outcome().unwrap_err().kind, Kind::Server);
    }
}

#[tokio::test]
async fn a_status_with_nulls_is_understood() {
    let status = r#"{"ingest":{"status":null,"filesize":null,"receivedBytes":null,
        "receivedParts":{"parts":null,"total":null}},
        "encoding":{"playable":null,"qualities":[{"quality":null,"status":null}],"metadata":null}}"#;
    let server = Scripted::start(move |asked| {
        let login = asked.line.contains("auth");
        answer(200, "", if login { LOGIN } else { status })
    })
    .await;
    let upload = Upload::new(6 * MIB, 5 * MIB);
    let opened = apivideo(&server).open(multipart()).unwrap();
    let there = opened.received(&upload.plan).await;
    assert_eq!(there.unwrap(), Received::Parts(Vec::new()));
}

#[tokio::test]
async fn a_link_that_leads_astray_is_not_used() {
    for link in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/p?Signature=1",
        "http://storage.example/p?Signature=1",
        "http:",
        "https://me:SECRET-0@storage.example/",
    ] {
        let parts = format!(r#"{{"parts":[{{"id":1,"upload_link":"{link}"}},{{"id":2}}]}}"#);
        let api = Scripted::start(move |_| answer(200, "", &parts)).await;
        let upload = Upload::new(6 * MIB, 5 * MIB);
        let error = upload.put(&*opened(&api), 1).await.unwrap_err();
        assert_eq!(error.kind, Kind::Server, "{error}");
        decent(&error);
        assert_eq!(error.endpoint.unwrap().class, CallClass::Call, "the API's");
        assert_eq!(api.asked().len(), 1);
    }
}

#[tokio::test]
async fn lists_without_end_or_sense_are_given_up() {
    for (parts, most) in [
        (r#"{"total":99999999999,"parts":[{"id":1}]}"#, 2),
        (r#"{"parts":[]}"#, 2),
        (r#"{"parts":[{"id":9000,"upload_link":"https://x/"}]}"#, 2),
        (r#"{"parts":[{"id":4294967296}]}"#, 2),
        (r#"{"parts":[{"id":-1}]}"#, 2),
    ] {
        let api = Scripted::start(move |_| answer(200, "", parts)).await;
        let to = opened(&api);
        let upload = Upload::new(12 * MIB, 5 * MIB);
        let error = to.received(&upload.plan).await.unwrap_err();
        assert_eq!(error.kind, Kind::Server, "{parts}: {error}");
        let error = upload.put(&*to, 2).await.unwrap_err();
        assert_eq!(error.kind, Kind::Server, "{parts}: {error}");
        assert!(api.asked().len() <= 2 * most, "{parts}");
    }
}

#[tokio::test]
async fn a_list_may_end_before_parts_that_only_an_earlier_plan_had() {
    let api = Scripted::start(|asked| {
        let first = r#"{"parts":[{"id":1,"etag":"x"},{"id":2},{"id":3}]}"#;
        let page = if asked.line.contains("page=1&") {
            first
        } else {
            r#"{"parts":[]}"#
        };
        answer(200, "", page)
    })
    .await;
    let upload = Upload::new(12 * MIB, 5 * MIB);
    let plan = upload.plan.clone().with_highest(20);
    let received = opened(&api).received(&plan).await.unwrap();
    let only = ReceivedPart {
        number: 1,
        md5: None,
    };
    assert_eq!(received, Received::Parts(vec![only]));
    let asked = &api.asked()[0].line;
    assert!(asked.contains("page_length=21"), "{asked}");
}

#[tokio::test]
async fn no_account_and_no_upload_shows_a_key_a_token_or_a_link() {
    let server = Scripted::start(|_| answer(200, "", LOGIN)).await;
    let (jwplayer, apivideo) = (jwplayer(&server), apivideo(&server));
    apivideo.check().await.unwrap();
    let link = "https://s3.example/p?Signature=1";
    let opened = [
        jwplayer.open(multipart()).unwrap(),
        jwplayer.open(direct(link)).unwrap(),
        apivideo.open(multipart()).unwrap(),
    ];
    let target = Target::Link(link.into());
    let shown = format!("{jwplayer:?} {apivideo:?} {opened:?} {target:?}");
    for secret in ["SECRET-0", "TOKEN-1", "TOKEN-2", "Signature"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}

#[tokio::test]
async fn absurd_ranges_conflict_and_do_not_panic() {
    let status = r#"{"ingest":{"status":"uploading","receivedBytes":[
        {"from":0,"to":18446744073709551615,"total":18446744073709551615}]}}"#;
    let server = Scripted::start(move |asked| {
        answer(
            200,
            "",
            if asked.line.contains("auth") {
                LOGIN
            } else {
                status
            },
        )
    })
    .await;
    let upload = Upload::new(12 * MIB, 5 * MIB);
    let opened = apivideo(&server).open(multipart()).unwrap();
    let received = opened.received(&upload.plan).await.unwrap();
    assert!(matches!(received, Received::Conflict(_)), "{received:?}");
}

#[tokio::test]
async fn media_objects_that_the_list_lacks_are_asked_for_singly_and_only_this_once() {
    let calls = Arc::new(AtomicU64::new(0));
    let server = Scripted::start(move |asked| {
        let body = if asked.line.contains("q=") {
            match calls.fetch_add(1, Ordering::Relaxed) {
                0 => r#"{"media":[{"id":"other","status":"ready"}]}"#,
                1 => return answer(400, "", "{}"),
                2 => r#"{"media":[]}"#,
                3 => r#"{"media":[{"id":"b2","status":"ready"}]}"#,
                _ => r#"{"media":[{"id":"b2","status":"ready"},{"id":"a1","status":"ready"}]}"#,
            }
        } else if asked.line.contains("/a1/") {
            r#"{"id":"a1","status":"ready"}"#
        } else {
            r#"{"id":"b2","status":"ready"}"#
        };
        answer(200, "", body)
    })
    .await;
    let to = jwplayer(&server);
    let mut before = 0;
    for calls in [3, 3, 3, 2, 1] {
        let batch = to.status(&["a1".into(), "b2".into()]).await;
        assert_eq!(batch, vec![MediaStatus::Ready, MediaStatus::Ready].into());
        let asked = server.asked().len();
        assert_eq!(asked - before, calls);
        before = asked;
    }
}

#[tokio::test]
async fn a_search_that_finds_others_is_not_believed() {
    let server = Scripted::start(|asked| {
        let body = r#"{"media":[{"id":"x1","status":"created","metadata":{"external_id":"mine-2"}},
            {"id":"x2","status":"created","metadata":{}},{"id":"x3","status":"created"}]}"#;
        assert!(!asked.line.starts_with("DELETE"), "{}", asked.line);
        answer(200, "", body)
    })
    .await;
    let media = Upload::new(9, 9).media("mine-1");
    let found = jwplayer(&server).find_created(&media).await.unwrap();
    assert_eq!(found, Lookup::Absent);
    assert_eq!(server.asked().len(), 2, "the search, then the newest");
}

#[tokio::test]
async fn a_form_has_an_exact_length_and_one_file() {
    let server = Scripted::start(|asked| {
        let login = asked.line.contains("auth");
        answer(201, "", if login { LOGIN } else { r#"{"videoId":"vi1"}"# })
    })
    .await;
    let to = apivideo(&server);
    let upload = Upload::new(6 * MIB, 5 * MIB);
    let ticket = to.create(&upload.media("m")).await.unwrap();
    let opened = to.open(ticket).unwrap();
    assert_eq!(
        opened.prepare(&upload.plan, upload.part(2)).await.unwrap(),
        Target::Account
    );
    upload.put(&*opened, 2).await.unwrap();
    let asked = server.asked().pop().unwrap();
    assert_eq!(asked.line, "POST /videos/vi1/source HTTP/1.1");
    assert_eq!(
        asked.header("content-range"),
        Some("bytes 5242880-6291455/6291456")
    );
    assert_eq!(asked.header("transfer-encoding"), None);
    assert_eq!(asked.header("authorization"), Some("Bearer TOKEN-1"));
    let head = String::from_utf8_lossy(&asked.body[..300]);
    assert!(
        head.contains("name=\"file\"; filename=\"Hochzeit %222019%22.mp4\""),
        "{head}"
    );
    assert!(head.contains("Content-Type: video/mp4"), "{head}");
}

#[tokio::test]
async fn a_token_at_its_end_is_renewed_before_it_is_used_and_only_once_for_all() {
    let server = Scripted::start(|asked| {
        let body = if asked.line.contains("/auth/api-key") {
            r#"{"expires_in":0,"access_token":"TOKEN-1","refresh_token":"TOKEN-2"}"#
        } else if asked.line.contains("/auth/refresh") {
            assert!(String::from_utf8_lossy(&asked.body).contains("TOKEN-2"));
            r#"{"expires_in":3600,"access_token":"TOKEN-3"}"#
        } else {
            r#"{"data":[]}"#
        };
        answer(200, "", body)
    })
    .await;
    let to = apivideo(&server);
    to.check().await.unwrap();
    let media = Upload::new(9, 9).media("m");
    futures_util::future::try_join_all((0..8).map(|_| to.find_created(&media)))
        .await
        .unwrap();
    let asked = server.asked();
    let count = |what: &str| {
        asked
            .iter()
            .filter(|asked| asked.line.contains(what))
            .count()
    };
    assert_eq!(
        (
            count("/auth/api-key"),
            count("/auth/refresh"),
            count("/videos")
        ),
        (1, 1, 16)
    );
    let fresh = |asked: &&crate::support::scripted::Asked| {
        asked.header("authorization") == Some("Bearer TOKEN-3")
    };
    assert_eq!(asked.iter().filter(fresh).count(), 16);
}

#[tokio::test]
async fn a_refused_refresh_falls_back_on_the_key() {
    let server = Scripted::start(|asked| {
        if asked.line.contains("/auth/api-key") {
            return answer(
                200,
                "",
                r#"{"expires_in":0,"access_token":"A","refresh_token":"R"}"#,
            );
        }
        if asked.line.contains("/auth/refresh") {
            return answer(401, "", r#"{"title":"The refresh token is invalid."}"#);
        }
        answer(200, "", r#"{"data":[]}"#)
    })
    .await;
    let to = apivideo(&server);
    to.check().await.unwrap();
    let media = Upload::new(9, 9).media("m");
    assert_eq!(to.find_created(&media).await.unwrap(), Lookup::Absent);
}

#[test]
fn what_may_not_be_configured_is_refused_at_once() {
    let jwplayer = |change: fn(&mut JwPlayerOptions)| {
        let mut options = JwPlayerOptions::new("Site0001", Secret::new("SECRET-0"));
        change(&mut options);
        JwPlayer::new(options).unwrap_err()
    };
    let errors = [
        jwplayer(|options| options.url = "http://api.jwplayer.com".into()),
        jwplayer(|options| drop(options.metadata.insert("external_id".into(), "mine".into()))),
        jwplayer(|options| options.site_id = "../other".into()),
        jwplayer(|options| options.secret = Secret::new(" \n")),
        jwplayer(|options| options.ca = Some("/nowhere/ca.pem".into())),
    ];
    errors.iter().for_each(decent);
    let kinds = errors.map(|error| error.kind);
    let (refused, key, local) = (Kind::Refused, Kind::Credentials, Kind::Local);
    assert_eq!(kinds, [refused, refused, refused, key, local]);

    for metadata in [
        r#"{ "source": "https://x/" }"#,
        r#"{ "metadata": { "reelhaul": "x" } }"#,
    ] {
        let mut options = ApiVideoOptions::new(Secret::new("SECRET-0"));
        options.metadata = serde_json::from_str(metadata).unwrap();
        assert_eq!(ApiVideo::new(options).unwrap_err().kind, Kind::Refused);
    }
    let mut options = ApiVideoOptions::new(Secret::new("SECRET-0"));
    options.range = RangeMode::Part;
    assert!(!ApiVideo::new(options).unwrap().limits().can_replan);
}

#[tokio::test]
async fn a_refused_login_is_the_apis_error_though_it_is_met_with_a_part() {
    let server = Scripted::start(|_| answer(401, "", r#"{"title":"No."}"#)).await;
    let upload = Upload::new(6 * MIB, 5 * MIB);
    let opened = apivideo(&server).open(Ticket::of("vi1")).unwrap();
    let error = upload.put(&*opened, 1).await.unwrap_err();
    assert_eq!(error.kind, Kind::Credentials, "{error}");
    assert_eq!(error.endpoint.unwrap().class, CallClass::Write);
}

#[test]
fn an_account_is_the_same_whatever_its_path_and_another_by_host_port_site_or_key() {
    let jwplayer = |url: &str, site: &str| {
        let mut options = JwPlayerOptions::new(site, Secret::new("SECRET-0"));
        options.url = url.into();
        options.metadata.insert("tags".to_owned(), "x".into());
        JwPlayer::new(options).unwrap().id().clone()
    };
    let apivideo = |url: &str, key: &str| {
        let mut options = ApiVideoOptions::new(Secret::new(key));
        options.url = url.into();
        ApiVideo::new(options).unwrap().id().clone()
    };
    let site = jwplayer("https://api.jwplayer.com", "AbCd1234");
    assert_eq!(site.as_str(), "jwplayer:api.jwplayer.com:443/AbCd1234");
    for same in [
        "https://API.jwplayer.com:443/",
        "https://api.jwplayer.com/v2",
    ] {
        assert_eq!(jwplayer(same, "AbCd1234"), site);
    }
    let key = apivideo("https://ws.api.video", "SECRET-0");
    assert_eq!(apivideo("https://WS.api.video/x", "SECRET-0"), key);
    let hash = key
        .as_str()
        .strip_prefix("apivideo:ws.api.video:443/")
        .unwrap();
    assert_eq!(hash.len(), 32);
    assert!(!key.as_str().contains("SECRET-0"));
    let mut all = vec![
        site,
        jwplayer("https://api.jwplayer.com", "abcd1234"),
        jwplayer("https://api.jwplayer.com:8443", "AbCd1234"),
        jwplayer("https://jw.example", "AbCd1234"),
        key,
        apivideo("https://ws.api.video", "SECRET-1"),
        apivideo("https://ws.api.video:8443", "SECRET-0"),
        apivideo("https://sandbox.api.video", "SECRET-0"),
    ];
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 8, "{all:?}");
}
