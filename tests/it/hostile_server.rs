//! Servers that are broken or mean harm: every answer ends in a clear, short error of the right
//! kind, after a bounded number of requests, and nothing secret goes where it should not.

use std::sync::Arc;

use crate::support::{
    MIB,
    scripted::{Scripted, answer},
    upload::Upload,
};
use reelhaul::{
    destination::{
        Destination, MediaStatus, Received, Ticket,
        apivideo::{ApiVideo, ApiVideoOptions, RangeMode},
        jwplayer::{JwPlayer, JwPlayerOptions},
    },
    error::{Error, Kind},
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
    Ticket {
        media: "abcd1234".into(),
        upload: Some("u1".into()),
        token: Some("TOKEN-1".into()),
        method: Some("multipart".into()),
    }
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
    let all: [Arc<dyn Destination>; 2] = [Arc::new(jwplayer(&server)), Arc::new(apivideo(&server))];
    for to in all {
        errors.extend(to.check().await.err());
        errors.extend(to.create(&media).await.err());
        errors.extend(to.recover("m").await.err());
        errors.extend(to.received(&multipart(), &upload.plan).await.err());
        errors.extend(to.status(&["a1".into(), "b2".into()]).await.err());
    }
    assert_eq!(errors.len(), 10, "each call fails: {errors:?}");
    errors.iter().for_each(decent);
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
    upload.put(&jwplayer(&api), &multipart(), 2).await.unwrap();
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
    for direct in [false, true] {
        // A portal that answers everything well.
        let storage = Scripted::start(|_| answer(200, "", "<h1>Welcome</h1>")).await;
        let link = format!("{}/p?Signature=1", storage.url);
        let ticket = if direct {
            Ticket {
                upload: None,
                token: Some(link.clone()),
                method: Some("direct video/mp4".into()),
                ..multipart()
            }
        } else {
            multipart()
        };
        let parts = format!(r#"{{"parts":[{{"id":1,"upload_link":"{link}"}}]}}"#);
        let api = Scripted::start(move |_| answer(200, "", &parts)).await;
        let upload = Upload::new(MIB, 5 * MIB);
        let error = upload.put(&jwplayer(&api), &ticket, 1).await.unwrap_err();
        assert_eq!(error.kind, Kind::Server, "{error}");
        assert!(error.message.contains("no ETag"), "{error}");
        decent(&error);
    }
}

#[tokio::test]
async fn a_complete_says_that_it_has_no_body() {
    let api = Scripted::start(|_| answer(202, "", "{}")).await;
    let upload = Upload::new(6 * MIB, 5 * MIB);
    let to = jwplayer(&api);
    to.complete(&multipart(), &upload.plan).await.unwrap();
    let asked = api.asked().remove(0);
    assert_eq!(asked.line, "PUT /v2/uploads/u1/complete HTTP/1.1");
    assert_eq!(asked.header("content-length"), Some("0"));
    assert_eq!(asked.header("authorization"), Some("Bearer TOKEN-1"));
}

/// A media object of this status, behind calls on its upload that are answered with this.
async fn with_media(status: u16, media: &'static str) -> Scripted {
    Scripted::start(move |asked| {
        if asked.line.contains("/media/") {
            answer(200, "", media)
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
    for (status, kind) in [
        (409, Kind::Server),
        (404, Kind::TicketGone),
        (400, Kind::Refused),
    ] {
        let api = with_media(status, r#"{"id":"abcd1234","status":"created"}"#).await;
        let to = jwplayer(&api);
        let error = to.complete(&multipart(), &upload.plan).await.unwrap_err();
        assert_eq!(error.kind, kind, "{status}: {error}");
        let error = to.received(&multipart(), &upload.plan).await.unwrap_err();
        assert_eq!(error.kind, kind, "{status}: {error}");
    }
    let api = with_media(409, r#"{"id":"abcd1234","status":"updating"}"#).await;
    let to = jwplayer(&api);
    to.complete(&multipart(), &upload.plan).await.unwrap();
    let there = to.received(&multipart(), &upload.plan).await.unwrap();
    assert_eq!(there, Received::Complete);
}

#[tokio::test]
async fn a_media_object_without_a_status_is_neither_complete_nor_removed() {
    let upload = Upload::new(6 * MIB, 5 * MIB);
    let media = r#"{"id":"abcd1234","metadata":{"external_id":"m"},
        "media":[{"id":"abcd1234","metadata":{"external_id":"m"}}]}"#;
    let api = with_media(404, media).await;
    let to = jwplayer(&api);
    let direct = Ticket {
        upload: None,
        method: Some("direct video/mp4".into()),
        ..multipart()
    };
    let errors = [
        to.received(&multipart(), &upload.plan).await.unwrap_err(),
        to.received(&direct, &upload.plan).await.unwrap_err(),
        to.complete(&multipart(), &upload.plan).await.unwrap_err(),
        to.recover("m").await.unwrap_err(),
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
async fn a_token_that_can_not_be_sent_is_no_fault_of_the_secret() {
    let api = Scripted::start(|_| answer(200, "", r#"{"parts":[]}"#)).await;
    let ticket = Ticket {
        token: Some("TOKEN-1\n".into()),
        ..multipart()
    };
    let upload = Upload::new(6 * MIB, 5 * MIB);
    let to = jwplayer(&api);
    let errors = [
        upload.put(&to, &ticket, 1).await.unwrap_err(),
        to.complete(&ticket, &upload.plan).await.unwrap_err(),
    ];
    for error in &errors {
        assert_eq!(error.kind, Kind::TicketGone, "{error}");
        decent(error);
    }
    assert_eq!(api.asked().len(), 0);
}

#[tokio::test]
async fn one_status_that_is_never_told_does_not_hold_the_others_back() {
    let server = Scripted::start(|asked| {
        let told = if asked.line.contains("auth") {
            LOGIN
        } else if asked.line.contains("/bad/") {
            return answer(500, "", "");
        } else if asked.line.contains("q=") {
            return answer(400, "", "");
        } else {
            r#"{"id":"a1","status":"ready","encoding":{"playable":true,"qualities":null}}"#
        };
        answer(200, "", told)
    })
    .await;
    let all: [Arc<dyn Destination>; 2] = [Arc::new(jwplayer(&server)), Arc::new(apivideo(&server))];
    for to in all {
        let ids = ["bad".to_owned(), "a1".to_owned()];
        let statuses = to.status(&ids).await.unwrap();
        assert!(matches!(statuses[0], MediaStatus::Processing(_)));
        assert_eq!(statuses[1], MediaStatus::Ready);
        let error = to.status(&ids[..1]).await.unwrap_err();
        assert_eq!(error.kind, Kind::Server, "{error}");
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
    let there = apivideo(&server).received(&multipart(), &upload.plan).await;
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
        let error = upload
            .put(&jwplayer(&api), &multipart(), 1)
            .await
            .unwrap_err();
        assert_eq!(error.kind, Kind::Server, "{error}");
        decent(&error);
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
        let to = jwplayer(&api);
        let upload = Upload::new(12 * MIB, 5 * MIB);
        let error = to.received(&multipart(), &upload.plan).await.unwrap_err();
        assert_eq!(error.kind, Kind::Server, "{parts}: {error}");
        let error = upload.put(&to, &multipart(), 2).await.unwrap_err();
        assert_eq!(error.kind, Kind::Server, "{parts}: {error}");
        assert!(api.asked().len() <= 2 * most, "{parts}");
    }
}

#[tokio::test]
async fn absurd_ranges_are_foreign_and_not_a_panic() {
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
    let received = apivideo(&server)
        .received(&multipart(), &upload.plan)
        .await
        .unwrap();
    assert!(matches!(received, Received::Foreign(_)), "{received:?}");
}

#[tokio::test]
async fn a_list_that_ignores_what_is_asked_is_replaced_by_single_calls() {
    let server = Scripted::start(|asked| {
        let body = if asked.line.contains("q=") {
            r#"{"media":[{"id":"other","status":"ready"}]}"#
        } else if asked.line.contains("/a1/") {
            r#"{"id":"a1","status":"ready"}"#
        } else {
            r#"{"id":"b2","status":"processing"}"#
        };
        answer(200, "", body)
    })
    .await;
    let to = jwplayer(&server);
    let ids = ["a1".to_owned(), "b2".to_owned()];
    for calls in [3, 5] {
        let statuses = to.status(&ids).await.unwrap();
        let processing = MediaStatus::Processing("processing".into());
        assert_eq!(statuses, [MediaStatus::Ready, processing]);
        assert_eq!(server.asked().len(), calls);
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
    assert_eq!(jwplayer(&server).recover("mine-1").await.unwrap(), None);
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
    upload.put(&to, &ticket, 2).await.unwrap();
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
    futures_util::future::try_join_all((0..8).map(|_| to.recover("m")))
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
    assert_eq!(to.recover("m").await.unwrap(), None);
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
        jwplayer(|options| options.metadata = "external_id = \"mine\"".parse().unwrap()),
        jwplayer(|options| options.site_id = "../other".into()),
        jwplayer(|options| options.secret = Secret::new(" \n")),
        jwplayer(|options| options.ca = Some("/nowhere/ca.pem".into())),
    ];
    errors.iter().for_each(decent);
    let kinds = errors.map(|error| error.kind);
    let (refused, key, local) = (Kind::Refused, Kind::Credentials, Kind::Local);
    assert_eq!(kinds, [refused, refused, refused, key, local]);

    for metadata in ["source = \"https://x/\"", "metadata = { reelhaul = \"x\" }"] {
        let mut options = ApiVideoOptions::new(Secret::new("SECRET-0"));
        options.metadata = metadata.parse().unwrap();
        assert_eq!(ApiVideo::new(options).unwrap_err().kind, Kind::Refused);
    }
    let mut options = ApiVideoOptions::new(Secret::new("SECRET-0"));
    options.range = RangeMode::Part;
    assert!(!ApiVideo::new(options).unwrap().limits().recut);
}
