//! JW Player's rules.

use std::{io, time::Duration};

use reelhaul::sandbox::{Options, SECRET, SITE, Sandbox, Storage};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::client::{MIB, Upload, body, bytes, md5, only, sha256, start};

fn keep(folder: &tempfile::TempDir) -> Options {
    Options {
        storage: Storage::Keep(folder.path().to_owned()),
        processing: Duration::ZERO,
        ..Options::default()
    }
}

#[tokio::test]
async fn parts_of_two_sizes_out_of_order_become_the_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = start(keep(&folder)).await;
    let upload = run.multipart("two sizes").await;
    let file = bytes(1, 12 * MIB + 1);
    let parts = [
        &file[..5 * MIB],
        &file[5 * MIB..12 * MIB],
        &file[12 * MIB..],
    ];
    for number in [3, 1, 2] {
        run.put_part(&upload, number as u64, parts[number - 1])
            .await;
    }
    assert_eq!(run.complete(&upload).await.status(), StatusCode::ACCEPTED);

    let report = run.report().await;
    let media = only(&report);
    assert_eq!(media["id"], upload.media.as_str());
    assert_eq!(media["kind"], "jwplayer");
    assert_eq!(media["state"], "ready");
    assert_eq!(media["size"], file.len());
    assert_eq!(media["md5"], md5(&file));
    assert_eq!(media["sha256"], sha256(&file));
    for (part, bytes) in media["parts"].as_array().unwrap().iter().zip(parts) {
        assert_eq!(part["md5"], md5(bytes));
        assert_eq!(part["acknowledged"], 1);
        assert_eq!(part["received"], bytes.len());
    }
    assert_eq!(report["requests"]["jwplayer"]["part"], 3);
    let kept = folder.path().join("media").join(&upload.media).join("file");
    assert_eq!(std::fs::read(kept).unwrap(), file);
    let shown = body(run.site(Method::GET, &upload.media, None).await).await;
    assert_eq!(shown["status"], "ready");
}

#[tokio::test]
async fn after_a_restart_links_tokens_and_parts_are_still_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = bytes(2, 11 * MIB);
    let run = start(keep(&folder)).await;
    let address = run.sandbox.addr();
    let upload = run.multipart("restarted").await;
    run.put_part(&upload, 1, &file[..5 * MIB]).await;
    let old_link = run.link(&upload, 2).await;
    let fresh = run.multipart("never begun").await;
    run.sandbox.stop().await;

    let run = start(keep(&folder)).await;
    let moved = old_link.replace(&address.to_string(), &run.sandbox.addr().to_string());
    let answer = run.put(&moved, &file[5 * MIB..10 * MIB]).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let listed = run.list(&upload, "page_length=3").await;
    assert_eq!(listed["parts"][0]["etag"], md5(&file[..5 * MIB]));
    assert_eq!(listed["parts"][1]["etag"], md5(&file[5 * MIB..10 * MIB]));
    run.put_part(&upload, 3, &file[10 * MIB..]).await;
    assert_eq!(run.complete(&upload).await.status(), StatusCode::ACCEPTED);
    run.sandbox.stop().await;

    let run = start(keep(&folder)).await;
    let report = run.report().await;
    let media = report["media"].as_array().unwrap();
    assert_eq!(media.len(), 2);
    assert_eq!(media[0]["sha256"], sha256(&file));
    assert_eq!(media[0]["parts"].as_array().unwrap().len(), 3);
    assert_eq!(media[1]["id"], fresh.media.as_str());
    assert_eq!(media[1]["state"], "created");
}

#[tokio::test]
async fn a_folder_is_used_by_one_sandbox_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let run = start(keep(&folder)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = Sandbox::start(listener, keep(&folder)).await;
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    let upload = run.multipart("undisturbed").await;
    run.put_part(&upload, 1, b"x").await;
    run.sandbox.stop().await;
    start(keep(&folder)).await;
}

#[tokio::test]
async fn parts_are_listed_by_pages_no_longer_than_the_server_likes() {
    let run = start(Options {
        page_length_max: 50,
        ..Options::default()
    })
    .await;
    let upload = run.multipart("pages").await;
    run.put_part(&upload, 52, b"stray").await;
    let listed = run.list(&upload, "page=2&page_length=1000").await;
    assert_eq!(listed["page"], 2);
    assert_eq!(listed["page_length"], 50);
    assert_eq!(listed["total"], 10_000);
    let parts = listed["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 50);
    assert_eq!(parts[0]["id"], 51);
    assert_eq!(parts[1], json!({ "id": 52, "etag": md5(b"stray") }));
    let beyond = run.list(&upload, "page=201&page_length=50").await;
    assert_eq!(beyond["parts"], json!([]));
}

#[tokio::test]
async fn old_paths_slashes_and_absolute_targets_are_the_same_calls() {
    let run = start(Options::default()).await;
    let upload = run.multipart("paths").await;
    for path in [
        "v1/uploads/{}/parts/?page_length=2",
        "v2/uploads/{}/parts?page_length=2",
    ] {
        let path = format!("/{}", path.replace("{}", &upload.id));
        let answer = run.call(Method::GET, &path, &upload.token, None).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    let mut raw = tokio::net::TcpStream::connect(run.sandbox.addr())
        .await
        .unwrap();
    let request = format!(
        "GET https://api.jwplayer.com/v2/sites/{SITE}/media HTTP/1.1\r\nHost: api.jwplayer.com\r\n\
         Authorization: Bearer {SECRET}\r\nConnection: close\r\n\r\n"
    );
    raw.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    raw.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_gap_a_small_part_or_nothing_at_all_is_not_completed() {
    let run = start(Options::default()).await;
    let upload = run.multipart("gap").await;
    assert_eq!(
        run.complete(&upload).await.status(),
        StatusCode::BAD_REQUEST
    );
    // A part that is there is listed without a link: who wants to replace it needs the first one.
    let link = run.link(&upload, 1).await;
    run.put(&link, b"too small").await.unwrap();
    run.put_part(&upload, 3, b"the last").await;
    assert_eq!(
        run.complete(&upload).await.status(),
        StatusCode::BAD_REQUEST
    );
    run.put_part(&upload, 2, &bytes(3, 5 * MIB)).await;
    let answer = run.complete(&upload).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let error = body(answer).await;
    let words = error["errors"][0]["description"].as_str().unwrap();
    assert!(words.starts_with("EntityTooSmall: part 1"), "{words}");
    run.put(&link, &bytes(4, 5 * MIB)).await.unwrap();
    assert_eq!(run.complete(&upload).await.status(), StatusCode::ACCEPTED);
    assert_eq!(run.complete(&upload).await.status(), StatusCode::CONFLICT);
    let report = run.report().await;
    let parts = &only(&report)["parts"];
    assert_eq!(parts[0]["acknowledged"], 2);
    assert_eq!(parts[0]["resent"], 1);
}

#[tokio::test]
async fn where_gaps_truncate_what_lies_beyond_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let run = start(Options {
        truncate_gaps: true,
        ..keep(&folder)
    })
    .await;
    let upload = run.multipart("truncated").await;
    run.put_part(&upload, 1, b"kept").await;
    run.put_part(&upload, 3, b"lost").await;
    assert_eq!(run.complete(&upload).await.status(), StatusCode::ACCEPTED);
    assert_eq!(only(&run.report().await)["sha256"], sha256(b"kept"));
}

#[tokio::test]
async fn a_link_takes_only_what_it_was_signed_for() {
    let run = start(Options::default()).await;
    let upload = run.multipart("links").await;
    let link = run.link(&upload, 1).await;
    let refused = async |request: reqwest::RequestBuilder| {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let xml = answer.text().await.unwrap();
        let code = xml
            .split(['<', '>'])
            .skip_while(|word| *word != "Code")
            .nth(1);
        (status, code.unwrap().to_owned())
    };
    let put = |link: &str| run.client.put(link).body("bytes");
    let expected = |status, code: &str| (status, code.to_owned());

    let typed = put(&link).header("content-type", "video/mp4");
    assert_eq!(refused(typed).await, expected(403, "SignatureDoesNotMatch"));
    let authorized = put(&link).bearer_auth(SECRET);
    assert_eq!(refused(authorized).await, expected(400, "InvalidArgument"));
    let other_part = put(&link.replace("partNumber=1", "partNumber=2"));
    assert_eq!(
        refused(other_part).await,
        expected(403, "SignatureDoesNotMatch")
    );
    let longer = put(&link.replace("Expires=", "Expires=9"));
    assert_eq!(
        refused(longer).await,
        expected(403, "SignatureDoesNotMatch")
    );
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>("bytes")]);
    let chunked = run
        .client
        .put(&link)
        .body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(refused(chunked).await, expected(501, "NotImplemented"));

    assert_eq!(put(&link).send().await.unwrap().status(), StatusCode::OK);
    run.complete(&upload).await;
    assert_eq!(refused(put(&link)).await, expected(404, "NoSuchUpload"));
}

#[tokio::test]
async fn a_link_past_its_time_has_expired() {
    let run = start(Options {
        link_ttl: Duration::ZERO,
        ..Options::default()
    })
    .await;
    let upload = run.multipart("late").await;
    let link = run.link(&upload, 1).await;
    // The link is good within the millisecond it was made in.
    let answer = loop {
        let answer = run.put(&link, b"late").await.unwrap();
        if answer.status() != StatusCode::OK {
            break answer;
        }
    };
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let xml = answer.text().await.unwrap();
    assert!(
        xml.contains("<Code>AccessDenied</Code><Message>Request has expired"),
        "{xml}"
    );
}

#[tokio::test]
async fn a_direct_link_wants_the_type_that_was_announced() {
    let run = start(Options::default()).await;
    let upload = json!({ "method": "direct", "mime_type": "video/mp4" });
    let created = run.jw_create(upload, "direct").await;
    let link = created["upload_link"].as_str().unwrap();
    let untyped = run.put(link, b"bytes").await.unwrap();
    assert_eq!(untyped.status(), StatusCode::FORBIDDEN);
    let typed = run
        .client
        .put(link)
        .header("content-type", "video/mp4")
        .body("bytes");
    assert_eq!(typed.send().await.unwrap().status(), StatusCode::OK);

    let plain = run.jw_create(json!({}), "plain").await;
    let link = plain["upload_link"].as_str().unwrap();
    for _ in 0..2 {
        let answer = run.put(link, b"again and again").await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let report = run.report().await;
    let media = &report["media"][1];
    assert_eq!(media["complete"], true);
    assert_eq!(media["parts"][0]["acknowledged"], 2);
}

#[tokio::test]
async fn who_may_not_is_told_so_in_the_vendors_words() {
    let run = start(Options::default()).await;
    let upload = run.multipart("mine").await;
    let parts = format!("/v2/uploads/{}/parts", upload.id);
    let media = format!("/v2/sites/{SITE}/media/");
    let missing = format!("{media}nothing1/");
    for (path, bearer, status, code) in [
        (media.as_str(), "", 401, "unauthorized"),
        (&media, "wrong", 401, "unauthorized"),
        ("/v2/sites/Other001/media/", SECRET, 403, "forbidden"),
        (&missing, SECRET, 404, "not_found"),
        (&parts, "", 401, "unauthorized"),
        (&parts, SECRET, 403, "forbidden"),
        ("/v2/uploads/none/parts", SECRET, 404, "not_found"),
        ("/v2/nonsense", SECRET, 404, "not_found"),
    ] {
        let answer = run.call(Method::GET, path, bearer, None).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(body(answer).await["errors"][0]["code"], code, "{path}");
    }
}

#[tokio::test]
async fn bad_metadata_is_refused_and_named() {
    let run = start(Options::default()).await;
    for (metadata, named) in [
        (json!({ "title": 1 }), "metadata.title"),
        (json!({ "tags": "a" }), "metadata.tags"),
        (
            json!({ "custom_params": { "a": 1 } }),
            "metadata.custom_params",
        ),
        (
            json!({ "publish_start_date": "soon" }),
            "metadata.publish_start_date",
        ),
        (json!({ "nonsense": "x" }), "metadata.nonsense"),
    ] {
        let wanted = json!({ "upload": {}, "metadata": metadata });
        let answer = run.site(Method::POST, "", Some(wanted)).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{named}");
        let error = &body(answer).await["errors"][0];
        assert_eq!(error["code"], "invalid_body");
        assert!(error["description"].as_str().unwrap().starts_with(named));
    }
    assert_eq!(run.report().await["media"], json!([]));
}

#[tokio::test]
async fn media_is_found_by_the_id_of_its_maker_until_it_is_deleted() {
    let run = start(Options::default()).await;
    for number in 1..=3 {
        let metadata = json!({ "title": "t", "external_id": format!("reelhaul-{number}") });
        let wanted = json!({ "upload": { "method": "multipart" }, "metadata": metadata });
        run.site(Method::POST, "", Some(wanted)).await;
    }
    let found = async |query: &str| {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        body(
            run.site(Method::GET, &format!("?page_length=2&q={query}"), None)
                .await,
        )
        .await
    };
    let one = found("external_id:\"reelhaul-2\"").await;
    assert_eq!(one["total"], 1);
    assert_eq!(one["media"][0]["metadata"]["external_id"], "reelhaul-2");
    assert_eq!(one["media"][0]["status"], "created");
    let all = found("external_id: reelhaul-* AND status: created").await;
    assert_eq!(all["total"], 3);
    assert_eq!(all["media"].as_array().unwrap().len(), 2);

    let id = one["media"][0]["id"].as_str().unwrap();
    let deleted = run.site(Method::DELETE, &format!("{id}/"), None).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(found("external_id:\"reelhaul-2\"").await["total"], 0);
    let again = run.site(Method::DELETE, id, None).await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    assert_eq!(run.report().await["media"][1]["state"], "deleted");
}

#[tokio::test]
async fn a_reupload_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let run = start(keep(&folder)).await;
    let first = run.multipart("again").await;
    run.put_part(&first, 1, b"first").await;
    run.complete(&first).await;
    assert_eq!(only(&run.report().await)["sha256"], sha256(b"first"));
    let again = format!("{}/reupload/", first.media);
    let wanted = json!({ "upload": { "method": "multipart" } });
    let second = Upload::of(&body(run.site(Method::PUT, &again, Some(wanted)).await).await);
    assert_eq!(second.media, first.media);
    run.put_part(&second, 1, b"second").await;
    assert_eq!(run.complete(&second).await.status(), StatusCode::ACCEPTED);
    assert_eq!(only(&run.report().await)["sha256"], sha256(b"second"));
    assert_eq!(run.complete(&first).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn calls_beyond_the_budget_are_refused_and_parts_do_not_count() {
    let run = start(Options {
        calls_per_minute: Some(3),
        ..Options::default()
    })
    .await;
    let upload = run.multipart("budget").await;
    let link = run.link(&upload, 1).await;
    for _ in 0..5 {
        assert_eq!(run.put(&link, b"x").await.unwrap().status(), StatusCode::OK);
    }
    let last = run.site(Method::GET, "", None).await;
    assert_eq!(last.headers()["jw-request-limit"], "3");
    assert_eq!(last.headers()["jw-request-remaining"], "0");
    let refused = run.site(Method::GET, "", None).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let error = body(refused).await;
    assert_eq!(error["errors"][0]["code"], "rate_limit_exceeded");
    assert_eq!(
        run.report().await["calls_per_minute"]["jwplayer"],
        json!([4])
    );
}
