//! api.video's rules.

use std::time::Duration;

use reelhaul::sandbox::{API_KEY, Options, Storage};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::client::{MIB, body, bytes, form, form_type, md5, only, sha256, slug, start};

fn keep(folder: &tempfile::TempDir) -> Options {
    Options {
        storage: Storage::Keep(folder.path().to_owned()),
        processing: Duration::ZERO,
        ..Options::default()
    }
}

#[tokio::test]
async fn ranges_in_any_order_at_once_become_the_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = start(keep(&folder)).await;
    let video = run.video("ranges").await;
    let file = bytes(1, 16 * MIB + 1);
    let total = file.len();
    let send = async |from: usize, to: usize| {
        let range = format!("bytes {from}-{}/{total}", to - 1);
        run.chunk(&video, &range, &file[from..to]).await.unwrap()
    };
    let (last, first) = tokio::join!(send(15 * MIB, total), send(0, 5 * MIB));
    assert_eq!(body(first).await, json!({ "videoId": video.1 }));
    assert_eq!(last.status(), StatusCode::CREATED);
    let status = run.video_status(&video).await;
    assert_eq!(status["ingest"]["status"], "uploading");
    assert_eq!(
        status["ingest"]["receivedBytes"],
        json!([
            { "from": 0, "to": 5 * MIB - 1, "total": total },
            { "from": 15 * MIB, "to": total - 1, "total": total },
        ])
    );
    let whole = body(send(5 * MIB, 15 * MIB).await).await;
    assert_eq!(whole["videoId"], video.1);
    assert_eq!(whole["title"], "ranges");
    let status = run.video_status(&video).await;
    assert_eq!(status["ingest"]["filesize"], total);
    assert_eq!(status["encoding"]["playable"], true);
    let report = run.report().await;
    assert_eq!(only(&report)["sha256"], sha256(&file));
    assert_eq!(
        only(&report)["parts"][1]["md5"],
        md5(&file[5 * MIB..15 * MIB])
    );
}

#[tokio::test]
async fn numbered_parts_after_a_restart_become_the_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = bytes(2, 11 * MIB);
    let run = start(keep(&folder)).await;
    let video = run.video("parts").await;
    let sent = run
        .chunk(&video, "part 2/*", &file[5 * MIB..10 * MIB])
        .await;
    assert_eq!(sent.unwrap().status(), StatusCode::CREATED);
    run.sandbox.stop().await;

    let run = start(keep(&folder)).await;
    let status = run.video_status(&video).await;
    let parts = &status["ingest"]["receivedParts"];
    assert_eq!(*parts, json!({ "parts": [2], "total": null }));
    run.chunk(&video, "part 3/3", &file[10 * MIB..])
        .await
        .unwrap();
    let done = run
        .chunk(&video, "part 1/3", &file[..5 * MIB])
        .await
        .unwrap();
    assert_eq!(body(done).await["title"], "parts");
    assert_eq!(only(&run.report().await)["sha256"], sha256(&file));
}

#[tokio::test]
async fn a_small_file_goes_in_one_request_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let run = start(keep(&folder)).await;
    let video = run.video("small").await;
    let sent = run.chunk(&video, "", b"small").await.unwrap();
    assert_eq!(sent.status(), StatusCode::CREATED);
    assert_eq!(only(&run.report().await)["sha256"], sha256(b"small"));
    let again = run.chunk(&video, "", b"small").await.unwrap();
    assert_eq!(
        slug(again).await,
        (400, "video-source-already-uploaded".to_owned())
    );
}

#[tokio::test]
async fn a_chunk_that_breaks_a_rule_is_refused_by_its_name() {
    let run = start(Options::default()).await;
    let chunk = bytes(3, 5 * MIB);
    let ranges = run.video("ranges").await;
    let parts = run.video("parts").await;
    run.chunk(&ranges, "bytes 0-5242879/20000000", &chunk)
        .await
        .unwrap();
    run.chunk(&parts, "part 1/3", &chunk).await.unwrap();
    for (video, range, bytes, expected) in [
        (
            &ranges,
            "bytes 0-5242879/20000000",
            &chunk[..],
            "video-content-range-by-bytes-range-overlap",
        ),
        (
            &ranges,
            "bytes 5242880-5242899/20000000",
            b"x",
            "video-content-range-by-bytes-range-too-small",
        ),
        (
            &ranges,
            "bytes 5242880-10485759/20000001",
            b"x",
            "video-content-range-by-bytes-range-mismatch",
        ),
        (
            &ranges,
            "bytes 5242880-10485759/20000000",
            b"x",
            "video-content-range-by-bytes-range-mismatch",
        ),
        (
            &ranges,
            "bytes 5242880-10485759",
            b"x",
            "video-content-range-malformed",
        ),
        (
            &ranges,
            "part 2/3",
            &chunk,
            "video-content-range-started-with-bytes",
        ),
        (&ranges, "", &chunk, "video-content-range-already-initiated"),
        (
            &parts,
            "part 1/3",
            &chunk,
            "video-content-range-by-part-part-already-sent",
        ),
        (
            &parts,
            "part 2/4",
            &chunk,
            "video-content-range-by-part-different-total-parts",
        ),
        (
            &parts,
            "part 4/3",
            &chunk,
            "video-content-range-by-part-part-too-high-total",
        ),
        (
            &parts,
            "part 2/3",
            b"x",
            "video-content-range-by-part-uploaded-file-too-small",
        ),
        (
            &parts,
            "bytes 0-5242879/20000000",
            &chunk,
            "video-content-range-started-with-part",
        ),
        (&parts, "part 2/3", b"", "uploaded-file-empty"),
    ] {
        let answer = run.chunk(video, range, bytes).await.unwrap();
        assert_eq!(slug(answer).await, (400, expected.to_owned()), "{range}");
    }
    let report = run.report().await;
    let parts = &report["media"][1]["parts"];
    assert_eq!(parts[0]["acknowledged"], 1);
    assert_eq!(parts[0]["resent"], 1);
    assert_eq!(parts[0]["received"], 2 * chunk.len());
    assert_eq!(report["media"][1]["refused"]["tries"], 4);
}

#[tokio::test]
async fn a_form_without_one_file_is_refused() {
    let run = start(Options::default()).await;
    let (token, video) = run.video("forms").await;
    for (fields, expected) in [
        (vec![("videoId", None, &b"x"[..])], "uploaded-file-no-file"),
        (
            vec![("a", Some("a.mp4"), &b"x"[..]), ("b", Some("b.mp4"), b"y")],
            "uploaded-file-multiple-files",
        ),
    ] {
        let request = run
            .client
            .post(run.at(&format!("/videos/{video}/source")))
            .bearer_auth(&token)
            .header("content-type", form_type())
            .body(form(&fields));
        let answer = request.send().await.unwrap();
        assert_eq!(slug(answer).await, (400, expected.to_owned()));
    }
}

#[tokio::test]
async fn tokens_are_refreshed_once_and_a_key_works_alone() {
    let run = start(Options::default()).await;
    let first = run.log_in().await;
    assert_eq!(first["expires_in"], 3600);
    let refresh = json!({ "refreshToken": first["refresh_token"] });
    let refreshed = run
        .call(Method::POST, "/auth/refresh", "", Some(refresh.clone()))
        .await;
    let second = body(refreshed).await;
    let again = run
        .call(Method::POST, "/auth/refresh", "", Some(refresh))
        .await;
    assert_eq!(again.status(), StatusCode::BAD_REQUEST);
    let access = second["access_token"].as_str().unwrap();
    let listed = run.call(Method::GET, "/videos", access, None).await;
    assert_eq!(listed.status(), StatusCode::OK);
    let basic = async |key: &str| {
        let request = run.client.get(run.at("/videos"));
        request.basic_auth(key, Some("")).send().await.unwrap()
    };
    assert_eq!(basic(API_KEY).await.status(), StatusCode::OK);
    let refused = slug(basic("wrong").await).await;
    assert_eq!(refused, (401, "authentication-invalid-api-key".to_owned()));
    let nobody = run.call(Method::GET, "/videos", "", None).await;
    let refused = slug(nobody).await;
    assert_eq!(
        refused,
        (
            401,
            "authentication-missing-authorization-header".to_owned()
        )
    );
    let wrong = json!({ "apiKey": "wrong" });
    let refused = run
        .call(Method::POST, "/auth/api-key", "", Some(wrong))
        .await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_access_token_past_its_time_is_refused() {
    let run = start(Options {
        token_ttl: Duration::ZERO,
        ..Options::default()
    })
    .await;
    let token = run.log_in().await["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let refused = slug(run.call(Method::GET, "/videos", &token, None).await).await;
    assert_eq!(
        refused,
        (401, "authentication-invalid-access-token".to_owned())
    );
}

#[tokio::test]
async fn videos_are_found_by_their_metadata_page_by_page() {
    let run = start(Options::default()).await;
    let (token, _) = run.video("other").await;
    for number in 1..=3 {
        let metadata = json!([{ "key": "reelhaul", "value": format!("m-{number}") }, { "key": "all", "value": "x" }]);
        let wanted = json!({ "title": format!("v{number}"), "metadata": metadata });
        run.call(Method::POST, "/videos", &token, Some(wanted))
            .await;
    }
    let find = async |query: &str| {
        let path = format!("/videos?{query}");
        body(run.call(Method::GET, &path, &token, None).await).await
    };
    let one = find("metadata%5Breelhaul%5D=m-2").await;
    assert_eq!(one["pagination"]["itemsTotal"], 1);
    assert_eq!(one["data"][0]["title"], "v2");
    let last = find("metadata[all]=x&pageSize=2&currentPage=2").await;
    assert_eq!(last["pagination"]["pagesTotal"], 2);
    assert_eq!(last["pagination"]["itemsTotal"], 3);
    assert_eq!(last["data"][0]["title"], "v1");
    assert_eq!(run.report().await["media"][2]["marker"], "m-2");

    let id = one["data"][0]["videoId"].as_str().unwrap();
    let path = format!("/videos/{id}");
    let deleted = run.call(Method::DELETE, &path, &token, None).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let gone = slug(run.call(Method::GET, &path, &token, None).await).await;
    assert_eq!(gone, (404, "resource-not-found".to_owned()));
}

#[tokio::test]
async fn an_upload_token_alone_makes_a_video_and_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = start(keep(&folder)).await;
    let (access, _) = run.video("other").await;
    let made = run
        .call(
            Method::POST,
            "/upload-tokens",
            &access,
            Some(json!({ "ttl": 0 })),
        )
        .await;
    let token = body(made).await["token"].as_str().unwrap().to_owned();
    let file = bytes(4, 6 * MIB);
    let send = async |token: &str, range: &str, form: Vec<u8>| {
        let request = run
            .client
            .post(run.at(&format!("/upload?token={token}")))
            .header("content-range", range.to_owned())
            .header("content-type", form_type());
        request.body(form).send().await.unwrap()
    };
    let chunk = ("file", Some("delegated.mp4"), &file[..5 * MIB]);
    let refused = slug(send("wrong", "part 1/2", form(&[chunk])).await).await;
    assert_eq!(
        refused,
        (401, "authentication-invalid-upload-token".to_owned())
    );
    let first = body(send(&token, "part 1/2", form(&[chunk])).await).await;
    let id = first["videoId"].as_str().unwrap();
    let rest = ("file", Some("delegated.mp4"), &file[5 * MIB..]);
    let named = ("videoId", None, id.as_bytes());
    let whole = body(send(&token, "part 2/2", form(&[rest, named])).await).await;
    assert_eq!(whole["title"], "delegated.mp4");
    assert_eq!(run.report().await["media"][1]["sha256"], sha256(&file));
}

#[tokio::test]
async fn uploads_writes_and_reads_have_budgets_of_their_own() {
    let run = start(Options {
        calls_per_minute: Some(1),
        ..Options::default()
    })
    .await;
    let video = run.video("budget").await;
    let first = run.call(Method::GET, "/videos", &video.0, None).await;
    assert_eq!(first.headers()["x-ratelimit-remaining"], "0");
    assert!(first.headers().get("x-ratelimit-retry-after").is_none());
    let refused = run.call(Method::GET, "/videos", &video.0, None).await;
    let wait = refused.headers()["x-ratelimit-retry-after"]
        .to_str()
        .unwrap();
    assert!((1..=61).contains(&wait.parse::<u64>().unwrap()), "{wait}");
    assert_eq!(slug(refused).await, (429, "too-many-requests".to_owned()));
    let sent = run.chunk(&video, "", b"x").await.unwrap();
    assert_eq!(sent.status(), StatusCode::CREATED);
}
