//! What a request asks, in the shape both vendors' calls are read from, and the shape of answers.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderName},
    http::request::Parts,
};
use jiff::Timestamp;

use super::{house::House, wire::Intake};

/// What a request asks, as far as its head tells.
pub(super) struct Ask {
    pub(super) house: Arc<House>,
    pub(super) method: Method,
    /// The path's segments, decoded, empty ones left out: a slash at the end makes no difference.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) now: Timestamp,
}

impl Ask {
    pub(super) fn new(house: Arc<House>, head: Parts, now: Timestamp) -> Self {
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8_lossy()
                .into_owned()
        };
        let segments = head.uri.path().split('/');
        let query = head.uri.query().unwrap_or_default();
        Self {
            house,
            path: segments.filter(|s| !s.is_empty()).map(decode).collect(),
            query: url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            method: head.method,
            headers: head.headers,
            now,
        }
    }

    /// A header as text; one that is no text counts as missing.
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first value of a query parameter.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let (_, value) = self.query.iter().find(|(key, _)| key == name)?;
        Some(value)
    }

    /// The token of `Authorization: Bearer …`.
    pub(super) fn bearer(&self) -> Option<&str> {
        self.header(header::AUTHORIZATION)?.strip_prefix("Bearer ")
    }

    /// How long the body is, where that is said.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.header(header::CONTENT_LENGTH)?.parse().ok()
    }

    /// Where this server is reached, as the one who asks sees it.
    pub(super) fn base(&self) -> String {
        match self.header(header::HOST) {
            // Listening on any address, only the client knows which one it took.
            Some(host) if self.house.anywhere => format!("http://{host}"),
            _ => self.house.url.clone(),
        }
    }
}

/// The body of a request.
pub(super) enum Payload {
    /// Read already.
    Small(Bytes),
    /// Bytes of a file, on their way; `None` once taken.
    Stream(Option<Intake>),
}

impl Payload {
    /// The body that was read, empty where it is bytes of a file.
    pub(super) fn small(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Stream(_) => &[],
        }
    }

    /// The bytes of a file, to be taken once.
    pub(super) fn stream(&mut self) -> Option<Intake> {
        match self {
            Self::Small(_) => None,
            Self::Stream(intake) => intake.take(),
        }
    }
}

/// What a call is about, for those who choose faults.
#[derive(Debug, Default)]
pub(super) struct Subject {
    pub(super) media: Option<String>,
    pub(super) title: Option<String>,
    pub(super) part: Option<u64>,
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    with_type(status, "application/json", body.to_string())
}

/// An answer of this type.
pub(super) fn with_type(status: StatusCode, mime: &'static str, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(mime));
    response
}
