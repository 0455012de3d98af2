//! What it does wrong on purpose: each fault, and that it was really met.

use std::{error::Error as _, io, time::Duration};

use reelhaul::sandbox::{API_KEY, Fault, Options, SECRET, SITE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::client::{MIB, Running, body, bytes, md5, only, slug, start};

fn part(fault: &str) -> Value {
    json!([{ "fault": fault, "on": "part", "part": 2, "file": "struck" }])
}

async fn put(run: &Running, part: u64, bytes: &[u8]) -> reqwest::Result<reqwest::Response> {
    let upload = run.multipart("struck").await;
    let link = run.link(&upload, part).await;
    run.put(&link, bytes).await
}

#[tokio::test]
async fn only_the_part_that_was_named_is_struck_and_only_as_often() {
    let run = start(Options::default()).await;
    run.script(part("error-before")).await;
    let upload = run.multipart("struck").await;
    let other = run.multipart("other").await;
    run.put_part(&other, 2, b"x").await;
    run.put_part(&upload, 1, b"x").await;
    assert_eq!(run.met().await, json!({}));
    let link = run.link(&upload, 2).await;
    let struck = run.put(&link, b"x").await.unwrap();
    assert_eq!(struck.status(), StatusCode::INTERNAL_SERVER_ERROR);
    run.put_part(&upload, 2, b"x").await;
    assert_eq!(run.met().await, json!({ "error-before": 1 }));
    let cleared = run.call(Method::DELETE, "/_sandbox/faults", "", None).await;
    assert_eq!(body(cleared).await["met"], json!({}));
}

#[tokio::test]
async fn a_byte_range_is_struck_by_the_number_of_the_part_it_is() {
    let run = start(Options::default()).await;
    run.script(part("error-before")).await;
    run.script(json!([{ "fault": "error-after", "on": "part", "part": 3 }]))
        .await;
    let video = run.video("struck").await;
    let file = bytes(7, 11 * MIB);
    let mut answers = Vec::new();
    for from in [0, 5 * MIB, 10 * MIB] {
        let to = (from + 5 * MIB).min(file.len());
        let range = format!("bytes {from}-{}/{}", to - 1, file.len());
        let answer = run.chunk(&video, &range, &file[from..to]).await.unwrap();
        answers.push(answer.status().as_u16());
    }
    assert_eq!(answers, [201, 500, 503]);
    let received = &run.video_status(&video).await["ingest"]["receivedBytes"];
    assert_eq!(received[1]["from"], 10 * MIB);
    assert_eq!(received.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_held_goes_on_where_it_was_when_it_is_released_and_nothing_is_held_after() {
    let run = start(Options::default()).await;
    let upload = run.multipart("held").await;
    let link = run.link(&upload, 1).await;
    let part = bytes(8, 6 * MIB);
    run.script(json!([
        { "fault": "hold", "on": "part", "times": 2 },
        { "fault": "hold", "on": "complete" },
    ]))
    .await;
    let put = tokio::spawn(run.client.put(link).body(part.clone()).send());
    while run.met().await["hold"] != 1 {
        tokio::task::yield_now().await;
    }
    assert!(!put.is_finished());
    let received = run.report().await["bytes_received"].as_u64().unwrap();
    assert!((3..6).contains(&(received >> 20)), "{received}");
    let path = "/_sandbox/holds";
    let released = run.call(Method::DELETE, path, "", None).await;
    assert_eq!(released.status(), StatusCode::OK);
    let answer = put.await.unwrap().unwrap();
    assert_eq!(answer.headers()["etag"], format!("\"{}\"", md5(&part)));
    assert_eq!(run.complete(&upload).await.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn what_is_late_is_done_when_it_is_released_though_its_client_has_gone() {
    let run = start(Options::default()).await;
    let upload = run.multipart("late").await;
    let link = run.link(&upload, 1).await;
    let video = run.video("late too").await;
    let part = bytes(8, 6 * MIB);
    run.script(json!([
        { "fault": "late", "on": "part", "times": 2 },
        { "fault": "late", "on": "create" },
    ]))
    .await;
    let put = run.client.put(link).body(part.clone()).send();
    let range = format!("bytes 0-{}/{}", part.len() - 1, 2 * part.len());
    let chunk = run.chunk(&video, &range, &part);
    let wanted = json!({ "metadata": { "title": "made late", "external_id": "m-1" } });
    let create = run.client.post(run.at(&format!("/v2/sites/{SITE}/media/")));
    let create = create.bearer_auth(SECRET).json(&wanted).send();
    let connections = async || run.report().await["connections"].as_u64().unwrap();
    let while_they_wait = {
        let all = async { tokio::join!(put, chunk, create) };
        let taken = async {
            while run.met().await["late"] != 3 {
                tokio::task::yield_now().await;
            }
            connections().await
        };
        // Those that wait for an answer are dropped with their connections.
        tokio::select! {
            _ = all => panic!("answered before it was released"),
            count = taken => count,
        }
    };
    while connections().await > while_they_wait - 3 {
        tokio::task::yield_now().await;
    }
    let there = |report: &Value| -> Vec<(String, Value)> {
        let media = report["media"].as_array().unwrap().iter();
        let sized = media.map(|media| {
            (
                media["title"].as_str().unwrap().into(),
                media["size"].clone(),
            )
        });
        sized.collect()
    };
    let before = [("late".into(), json!(0)), ("late too".into(), json!(0))];
    assert_eq!(there(&run.report().await), before);
    let done = run.call(Method::DELETE, "/_sandbox/late", "", None).await;
    assert_eq!(done.status(), StatusCode::OK);
    let after = [
        ("late".into(), json!(part.len())),
        ("late too".into(), json!(part.len())),
        ("made late".into(), json!(0)),
    ];
    assert_eq!(there(&run.report().await), after);
}

#[tokio::test]
async fn other_bytes_than_were_received_are_reported_as_often_as_scripted() {
    let run = start(Options::default()).await;
    let file = bytes(7, 11 * MIB);
    let video = run.video("by bytes").await;
    let range = format!("bytes 0-{}/{}", 5 * MIB - 1, file.len());
    run.chunk(&video, &range, &file[..5 * MIB]).await.unwrap();
    let other = run.video("by part").await;
    run.chunk(&other, "part 1/3", &file[..5 * MIB])
        .await
        .unwrap();
    let upload = run.multipart("parts").await;
    run.put_part(&upload, 1, b"x").await;
    run.script(json!([{ "fault": "odd-ranges", "times": 3 }]))
        .await;

    let odd = &run.video_status(&video).await["ingest"];
    assert_eq!(odd["receivedBytes"][0]["to"], 5 * MIB / 2 - 1);
    let odd = &run.video_status(&other).await["ingest"];
    assert_eq!(odd["receivedParts"]["total"], 4);
    let odd = run.list(&upload, "page_length=3").await;
    assert!(odd["parts"][2]["etag"].is_string(), "{odd}");
    assert_eq!(run.met().await, json!({ "odd-ranges": 3 }));

    let told = &run.video_status(&video).await["ingest"];
    assert_eq!(told["receivedBytes"][0]["to"], 5 * MIB - 1);
    let told = run.list(&upload, "page_length=3").await;
    assert!(told["parts"][2]["etag"].is_null(), "{told}");
}

#[tokio::test]
async fn nothing_that_lets_a_reader_in_is_told() {
    let options = Options::default();
    let shown = format!("{options:?}");
    let run = start(options).await;
    let (access, _) = run.video("api").await;
    let upload = run.multipart("jw").await;
    run.put_part(&upload, 1, b"x").await;
    let told = run.report().await.to_string() + &run.met().await.to_string() + &shown;
    for secret in [SECRET, API_KEY, &access, &upload.token, "Signature"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}

#[tokio::test]
async fn an_error_before_a_large_body_is_still_read_by_who_sends_it() {
    let run = start(Options::default()).await;
    run.script(part("error-before")).await;
    let answer = put(&run, 2, &bytes(1, 20 * MIB)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.text().await.unwrap().contains("InternalError"));
    assert_eq!(only(&run.report().await)["parts"], json!([]));
}

#[tokio::test]
async fn an_error_after_leaves_the_part_there() {
    let run = start(Options::default()).await;
    run.script(part("error-after")).await;
    let answer = put(&run, 2, b"there").await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(run.met().await, json!({ "error-after": 1 }));
    assert_eq!(only(&run.report().await)["parts"][0]["md5"], md5(b"there"));
}

#[tokio::test]
async fn a_lost_answer_leaves_the_part_there() {
    let run = start(Options::default()).await;
    run.script(part("lost-answer")).await;
    assert!(put(&run, 2, b"there").await.is_err());
    assert_eq!(run.met().await, json!({ "lost-answer": 1 }));
    assert_eq!(only(&run.report().await)["parts"][0]["md5"], md5(b"there"));
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_was_made() {
    let run = start(Options::default()).await;
    run.script(json!([{ "fault": "lost-answer", "on": "create", "file": "struck" }]))
        .await;
    let wanted = json!({ "metadata": { "title": "struck", "external_id": "m-1" } });
    let request = run
        .client
        .post(run.at(&format!("/v2/sites/{SITE}/media/")))
        .bearer_auth(SECRET)
        .json(&wanted);
    assert!(request.send().await.is_err());
    assert_eq!(run.met().await, json!({ "lost-answer": 1 }));
    assert_eq!(only(&run.report().await)["marker"], "m-1");
}

#[tokio::test]
async fn storage_asks_to_slow_down_and_the_apis_to_wait() {
    let run = start(Options::default()).await;
    run.script(json!([
        { "fault": "rate-limit", "on": "part" },
        { "fault": "rate-limit", "on": "status" },
        { "fault": "rate-limit", "on": "status", "ms": 59_001 },
    ]))
    .await;
    let answer = put(&run, 1, b"x").await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.text().await.unwrap().contains("SlowDown"));
    let id = only(&run.report().await)["id"].as_str().unwrap().to_owned();
    let answer = run.site(Method::GET, &id, None).await;
    assert_eq!(answer.headers()["jw-request-remaining"], "0");
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let (token, video) = run.video("api").await;
    let path = format!("/videos/{video}/status");
    let answer = run.call(Method::GET, &path, &token, None).await;
    assert_eq!(answer.headers()["x-ratelimit-retry-after"], "1");
    assert_eq!(answer.headers()["retry-after"], "60");
    assert_eq!(slug(answer).await, (429, "too-many-requests".to_owned()));
    assert_eq!(run.met().await, json!({ "rate-limit": 3 }));
}

#[tokio::test]
async fn a_list_is_empty_and_a_budget_is_odd_as_often_as_scripted() {
    let run = start(Options::default()).await;
    run.multipart("listed").await;
    run.script(json!([
        { "fault": "empty-list", "on": "find" },
        { "fault": "odd-limit", "on": "find" },
    ]))
    .await;
    let empty = body(run.site(Method::GET, "", None).await).await;
    assert_eq!(empty["media"], json!([]));
    let odd = run.site(Method::GET, "", None).await;
    assert_eq!(odd.headers()["jw-request-limit"], "1");
    assert_eq!(odd.headers()["jw-request-remaining"], "0");
    assert_eq!(body(odd).await["media"].as_array().unwrap().len(), 1);
    let next = run.site(Method::GET, "", None).await;
    assert!(!next.headers().contains_key("jw-request-limit"));
    assert_eq!(run.met().await, json!({ "empty-list": 1, "odd-limit": 1 }));
}

#[tokio::test]
async fn a_call_is_forbidden_and_links_are_dead_as_often_as_scripted() {
    let run = start(Options::default()).await;
    run.script(json!([
        { "fault": "forbidden", "on": "find" },
        { "fault": "dead-links", "on": "list" },
    ]))
    .await;
    let forbidden = run.site(Method::GET, "", None).await;
    assert_eq!(forbidden.status(), StatusCode::FORBIDDEN);
    assert_eq!(body(forbidden).await["errors"][0]["code"], "forbidden");
    let found = run.site(Method::GET, "", None).await;
    assert_eq!(found.status(), StatusCode::OK);
    let upload = run.multipart("dead").await;
    let dead = run.link(&upload, 1).await;
    assert!(dead.starts_with("http://127.0.0.1:1/_storage/"), "{dead}");
    let good = run.link(&upload, 1).await;
    assert!(good.starts_with(&run.sandbox.url()), "{good}");
    assert_eq!(run.met().await, json!({ "forbidden": 1, "dead-links": 1 }));
}

#[tokio::test]
async fn a_reset_in_mid_body_is_a_real_one_and_its_bytes_are_told() {
    let run = start(Options::default()).await;
    run.script(part("reset")).await;
    let upload = run.multipart("struck").await;
    let link = run.link(&upload, 2).await;
    let target = link.strip_prefix(&run.sandbox.url()).unwrap();
    let mut raw = TcpStream::connect(run.sandbox.addr()).await.unwrap();
    let head = format!("PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB}\r\n\r\n");
    raw.write_all(head.as_bytes()).await.unwrap();
    raw.write_all(&bytes(2, MIB / 2)).await.unwrap();
    let error = raw.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(run.met().await, json!({ "reset": 1 }));
    run.put_part(&upload, 2, b"again").await;
    let report = run.report().await;
    let part = &only(&report)["parts"][0];
    assert_eq!(part["received"], MIB / 2 + 5);
    assert_eq!(part["acknowledged"], 1);
    assert_eq!(part["tries"], 2);
    assert_eq!(part["resent"], 0);
}

#[tokio::test]
async fn a_stall_stops_reading_and_holds_the_connection() {
    let run = start(Options::default()).await;
    run.script(part("stall")).await;
    let upload = run.multipart("struck").await;
    let link = run.link(&upload, 2).await;
    let sending = tokio::spawn(run.client.put(link).body(bytes(3, MIB)).send());
    while run.met().await != json!({ "stall": 1 }) {
        tokio::task::yield_now().await;
    }
    assert!(!sending.is_finished());
    sending.abort();
    run.put_part(&upload, 2, b"again").await;
}

#[tokio::test]
async fn a_wrong_etag_is_what_the_list_shows_too() {
    let run = start(Options::default()).await;
    run.script(part("wrong-etag")).await;
    let upload = run.multipart("struck").await;
    let link = run.link(&upload, 2).await;
    let answer = run.put(&link, b"bytes").await.unwrap();
    let etag = answer.headers()["etag"].to_str().unwrap().trim_matches('"');
    assert_ne!(etag, md5(b"bytes"));
    let listed = run.list(&upload, "page_length=2").await;
    assert_eq!(listed["parts"][1]["etag"], etag);
    assert_eq!(run.met().await, json!({ "wrong-etag": 1 }));
}

#[tokio::test]
async fn an_expired_link_stays_so_and_a_fresh_one_works() {
    let run = start(Options::default()).await;
    run.script(part("link-expired")).await;
    let upload = run.multipart("struck").await;
    let link = run.link(&upload, 2).await;
    for _ in 0..2 {
        let answer = run.put(&link, b"x").await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert!(answer.text().await.unwrap().contains("Request has expired"));
    }
    run.put_part(&upload, 2, b"x").await;
    assert_eq!(run.met().await, json!({ "link-expired": 1 }));
}

#[tokio::test]
async fn an_expired_token_stays_so_and_a_fresh_one_works() {
    let run = start(Options::default()).await;
    let video = run.video("struck").await;
    run.script(part("token-expired")).await;
    let refused = async |range: &str| {
        let answer = run.chunk(&video, range, &bytes(4, 5 * MIB)).await;
        slug(answer.unwrap()).await
    };
    let expired = (401, "authentication-invalid-access-token".to_owned());
    assert_eq!(refused("part 2/3").await, expired);
    assert_eq!(refused("part 1/3").await, expired);
    let fresh = run.log_in().await["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let video = (fresh, video.1);
    let sent = run.chunk(&video, "part 2/3", &bytes(4, 5 * MIB)).await;
    assert_eq!(sent.unwrap().status(), StatusCode::CREATED);
    assert_eq!(run.met().await, json!({ "token-expired": 1 }));
}

#[tokio::test]
async fn an_upload_token_that_is_gone_is_gone_for_good() {
    let run = start(Options::default()).await;
    run.script(json!([{ "fault": "token-expired", "on": "complete" }]))
        .await;
    let upload = run.multipart("struck").await;
    run.put_part(&upload, 1, b"x").await;
    for _ in 0..2 {
        assert_eq!(run.complete(&upload).await.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(run.met().await, json!({ "token-expired": 1 }));
}

#[tokio::test]
async fn delays_and_slow_bodies_arrive_all_the_same() {
    let run = start(Options::default()).await;
    run.script(json!([
        { "fault": "delay", "on": "part", "part": 1, "ms": 1 },
        { "fault": "slow", "on": "part", "part": 2, "speed": 10 * MIB },
    ]))
    .await;
    let upload = run.multipart("struck").await;
    run.put_part(&upload, 1, b"late").await;
    run.put_part(&upload, 2, &bytes(5, MIB)).await;
    assert_eq!(run.met().await, json!({ "delay": 1, "slow": 1 }));
}

#[tokio::test]
async fn media_that_can_not_be_used_fails_in_the_vendors_words() {
    let run = start(Options {
        processing: Duration::ZERO,
        ..Options::default()
    })
    .await;
    run.script(json!([{ "fault": "bad-media", "on": "complete" }, { "fault": "bad-media", "on": "part", "file": "bad" }]))
        .await;
    let upload = run.multipart("jw").await;
    run.put_part(&upload, 1, b"x").await;
    run.complete(&upload).await;
    let shown = body(run.site(Method::GET, &upload.media, None).await).await;
    assert_eq!(shown["status"], "failed");
    assert!(shown["error_message"].is_string());
    let video = run.video("bad").await;
    run.chunk(&video, "", b"x").await.unwrap();
    let status = run.video_status(&video).await;
    assert_eq!(status["encoding"]["qualities"][0]["status"], "failed");
    assert_eq!(run.met().await, json!({ "bad-media": 2 }));
}

#[tokio::test]
async fn rates_strike_and_what_is_sent_until_it_arrives_arrives() {
    let run = start(Options {
        faults: vec![(Fault::ErrorBefore, 0.3), (Fault::LostAnswer, 0.3)],
        seed: 3,
        ..Options::default()
    })
    .await;
    run.script(json!([{ "fault": "reset", "rate": 0.2 }])).await;
    let mut sent = 0;
    for _ in 0..60 {
        let request = run
            .client
            .post(run.at(&format!("/v2/sites/{SITE}/media/")))
            .bearer_auth(SECRET)
            .body("{}");
        if let Ok(answer) = request.send().await {
            sent += usize::from(answer.status() == StatusCode::CREATED);
        }
    }
    let met = run.met().await;
    let count = |fault: &str| usize::try_from(met[fault].as_u64().unwrap()).unwrap();
    assert!(
        count("error-before") > 0 && count("lost-answer") > 0,
        "{met}"
    );
    assert!(met["reset"].is_null(), "a rate resets only bytes of files");
    assert_eq!(sent + count("error-before") + count("lost-answer"), 60);
    let made = run.report().await["media"].as_array().unwrap().len();
    assert_eq!(made, sent + count("lost-answer"));
}

#[tokio::test]
async fn a_line_that_gets_faster_lets_waiting_bytes_through() {
    let run = start(Options::default()).await;
    let upload = run.multipart("line").await;
    let link = run.link(&upload, 1).await;
    let set = async |line: Value| {
        let answer = run
            .call(Method::PUT, "/_sandbox/line", "", Some(line))
            .await;
        body(answer).await
    };
    // Slow enough that this part would take minutes, and what the line still owes a call not long.
    let slow = set(json!({ "speed": 64 * 1024, "latency_ms": 1 })).await;
    assert_eq!(slow, json!({ "speed": 64 * 1024, "latency_ms": 1 }));
    let part = bytes(6, 32 * MIB);
    let sending = tokio::spawn(run.client.put(link).body(part).send());
    while only(&run.report().await)["parts"] == json!([]) {
        tokio::task::yield_now().await;
    }
    assert!(!sending.is_finished());
    assert_eq!(set(json!({ "speed": 0 })).await["speed"], Value::Null);
    let answer = sending.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_no_fault_is_refused() {
    let run = start(Options::default()).await;
    for bad in [
        json!([{ "fault": "nonsense" }]),
        json!([{ "fault": "reset", "no": 1 }]),
        json!({}),
    ] {
        let answer = run
            .call(Method::POST, "/_sandbox/faults", "", Some(bad))
            .await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }
    let error = "nonsense".parse::<Fault>().unwrap_err();
    assert!(error.to_string().contains("lost-answer"));
    assert!(error.source().is_none());
}
