//! What the sandbox's tests share: a running one, and the calls a client would make.

use std::io::Write as _;

use md5::{Digest, Md5};
use reelhaul::sandbox::{API_KEY, Options, SECRET, SITE, Sandbox};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;

use crate::support::{self, hex, install_crypto};

#[allow(clippy::cast_possible_truncation, reason = "a MiB fits everywhere")]
pub(crate) const MIB: usize = support::MIB as usize;

/// A running sandbox and a client of it.
pub(crate) struct Running {
    pub(crate) sandbox: Sandbox,
    pub(crate) client: reqwest::Client,
}

pub(crate) async fn start(options: Options) -> Running {
    install_crypto();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Running {
        sandbox: Sandbox::start(listener, options).await.unwrap(),
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
    }
}

/// Bytes that differ from place to place, and from seed to seed.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut out);
    out
}

pub(crate) fn md5(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) async fn body(answer: Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// The one media object of a report.
pub(crate) fn only(report: &Value) -> &Value {
    let all = report["media"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    &all[0]
}

impl Running {
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.sandbox.url())
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        body: Option<Value>,
    ) -> Response {
        let mut request = self.client.request(method, self.at(path));
        if !bearer.is_empty() {
            request = request.bearer_auth(bearer);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn report(&self) -> Value {
        body(self.call(Method::GET, "/_sandbox/report", "", None).await).await
    }

    pub(crate) async fn script(&self, faults: Value) {
        let answer = self
            .call(Method::POST, "/_sandbox/faults", "", Some(faults))
            .await;
        assert_eq!(answer.status(), StatusCode::OK);
    }

    /// How often each fault was met.
    pub(crate) async fn met(&self) -> Value {
        let told = body(self.call(Method::GET, "/_sandbox/faults", "", None).await).await;
        told["met"].clone()
    }
}

/// JW Player.
impl Running {
    pub(crate) async fn site(&self, method: Method, rest: &str, body: Option<Value>) -> Response {
        let path = format!("/v2/sites/{SITE}/media/{rest}");
        self.call(method, &path, SECRET, body).await
    }

    pub(crate) async fn jw_create(&self, upload: Value, title: &str) -> Value {
        let wanted = json!({ "upload": upload, "metadata": { "title": title } });
        let answer = self.site(Method::POST, "", Some(wanted)).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        body(answer).await
    }

    pub(crate) async fn multipart(&self, title: &str) -> Upload {
        Upload::of(
            &self
                .jw_create(json!({ "method": "multipart" }), title)
                .await,
        )
    }

    pub(crate) async fn list(&self, upload: &Upload, query: &str) -> Value {
        let path = format!("/v2/uploads/{}/parts?{query}", upload.id);
        let answer = self.call(Method::GET, &path, &upload.token, None).await;
        assert_eq!(answer.status(), StatusCode::OK);
        body(answer).await
    }

    pub(crate) async fn link(&self, upload: &Upload, part: u64) -> String {
        let listed = self
            .list(upload, &format!("page={part}&page_length=1"))
            .await;
        assert_eq!(listed["parts"][0]["id"], part);
        listed["parts"][0]["upload_link"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) async fn put(&self, link: &str, bytes: &[u8]) -> reqwest::Result<Response> {
        self.client.put(link).body(bytes.to_vec()).send().await
    }

    pub(crate) async fn put_part(&self, upload: &Upload, part: u64, bytes: &[u8]) {
        let link = self.link(upload, part).await;
        let answer = self.put(&link, bytes).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let etag = answer.headers()["etag"].to_str().unwrap();
        assert_eq!(etag, format!("\"{}\"", md5(bytes)));
    }

    pub(crate) async fn complete(&self, upload: &Upload) -> Response {
        let path = format!("/v2/uploads/{}/complete", upload.id);
        self.call(Method::PUT, &path, &upload.token, None).await
    }
}

/// What JW Player gave for a multipart upload.
pub(crate) struct Upload {
    pub(crate) media: String,
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Upload {
    pub(crate) fn of(created: &Value) -> Self {
        let text = |key: &str| created[key].as_str().unwrap().to_owned();
        Self {
            media: text("id"),
            id: text("upload_id"),
            token: text("upload_token"),
        }
    }
}

/// api.video.
impl Running {
    pub(crate) async fn log_in(&self) -> Value {
        let key = json!({ "apiKey": API_KEY });
        let answer = self
            .call(Method::POST, "/auth/api-key", "", Some(key))
            .await;
        assert_eq!(answer.status(), StatusCode::OK);
        body(answer).await
    }

    /// An access token and the id of a new video.
    pub(crate) async fn video(&self, title: &str) -> (String, String) {
        let token = self.log_in().await["access_token"]
            .as_str()
            .unwrap()
            .to_owned();
        let wanted = json!({ "title": title });
        let answer = self
            .call(Method::POST, "/videos", &token, Some(wanted))
            .await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        let id = body(answer).await["videoId"].as_str().unwrap().to_owned();
        (token, id)
    }

    pub(crate) async fn chunk(
        &self,
        (token, video): &(String, String),
        range: &str,
        bytes: &[u8],
    ) -> reqwest::Result<Response> {
        let mut request = self
            .client
            .post(self.at(&format!("/videos/{video}/source")))
            .bearer_auth(token)
            .header("content-type", form_type())
            .body(form(&[("file", Some("big.mp4"), bytes)]));
        if !range.is_empty() {
            request = request.header("content-range", range);
        }
        request.send().await
    }

    pub(crate) async fn video_status(&self, (token, video): &(String, String)) -> Value {
        let path = format!("/videos/{video}/status");
        body(self.call(Method::GET, &path, token, None).await).await
    }
}

const BOUNDARY: &str = "------boundary7";

pub(crate) fn form_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

/// A form of fields: name, file name if it is a file, bytes.
pub(crate) fn form(fields: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, file, bytes) in fields {
        let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\""));
        write!(
            out,
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
        )
        .unwrap();
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
    write!(out, "--{BOUNDARY}--\r\n").unwrap();
    out
}

/// The last segment of a problem's address.
pub(crate) async fn slug(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let problem = body(answer).await;
    assert_eq!(problem["status"], status);
    let kind = problem["type"].as_str().unwrap();
    (status, kind.rsplit('/').next().unwrap().to_owned())
}
