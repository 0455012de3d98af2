//! What came back: status, headers and a bounded body, read into values or sorted into failures; pure.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::de::DeserializeOwned;

use super::super::{Md5, call_limiter::Budget};
use crate::error::{CallClass, Endpoint, Error, Kind, Result};

/// The longest wait that is believed.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// One answer of a server.
#[derive(Clone)]
pub(in super::super) struct Answer {
    /// The HTTP status.
    pub(in super::super) status: u16,
    /// The headers.
    pub(in super::super) headers: HeaderMap,
    /// The body; of a failure only its beginning.
    pub(in super::super) body: Bytes,
    /// How long the server asks to wait, an hour at most; `None` where it names no time.
    pub(in super::super) wait: Option<Duration>,
    /// Where it comes from.
    endpoint: Endpoint,
}

impl Answer {
    /// An answer from `endpoint` that arrived at `now`.
    pub(in super::super) fn new(
        status: u16,
        headers: HeaderMap,
        body: impl Into<Bytes>,
        now: Timestamp,
        endpoint: Endpoint,
    ) -> Self {
        let wait = wait(&headers, now);
        Self {
            status,
            headers,
            body: body.into(),
            wait,
            endpoint,
        }
    }

    /// Whether the server did what was asked.
    pub(in super::super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// What the server says of its budget: JW Player's headers and api.video's.
    pub(in super::super) fn budget(&self) -> Budget {
        let number = |names: [&str; 2]| {
            names
                .into_iter()
                .find_map(|name| self.header(name)?.parse().ok())
        };
        Budget {
            limit: number(["jw-request-limit", "x-ratelimit-limit"]),
            remaining: number(["jw-request-remaining", "x-ratelimit-remaining"]),
        }
    }

    /// The MD5 in the `ETag` header, where it is one.
    pub(in super::super) fn etag(&self) -> Option<Md5> {
        md5(self.header("etag")?)
    }

    /// Reads the body as JSON. The error says where it stops making sense and never repeats
    /// what is there: tokens are.
    pub(in super::super) fn json<T: DeserializeOwned>(&self, doing: &str) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let found = if self.is_markup() {
                "a web page instead of JSON (HTML)".to_owned()
            } else if self.body.is_empty() {
                "nothing, where JSON was expected".to_owned()
            } else if error.is_eof() {
                format!("JSON that breaks off after {} bytes", self.body.len())
            } else {
                let (line, column) = (error.line(), error.column());
                format!("JSON that makes no sense at line {line}, column {column}")
            };
            self.error(Kind::Server, doing, &found)
        })
    }

    /// Whether the body is HTML or XML.
    fn is_markup(&self) -> bool {
        self.body.trim_ascii_start().starts_with(b"<")
    }

    /// The body as text for a person, where it is short text and no web page.
    pub(in super::super) fn words(&self) -> String {
        if self.is_markup() {
            return "a web page".to_owned();
        }
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(4096)]);
        match text.trim() {
            "" => "no reason given".to_owned(),
            text => text.to_owned(),
        }
    }

    /// A failure of this kind with the answer's status, wait and endpoint.
    pub(in super::super) fn error(&self, kind: Kind, doing: &str, words: &str) -> Error {
        Error::new(kind, format!("{doing}: answered {}: {words}", self.status))
            .with_status(self.status)
            .with_wait(self.wait)
            .from_endpoint(self.endpoint.clone())
    }

    /// The failure this answer is, by its status; the vendor's `words` say why.
    pub(in super::super) fn refusal(&self, doing: &str, words: &str) -> Error {
        let kind = match self.status {
            // A redirect may be a portal that wants a login; following it would carry the key there.
            300..400 => {
                let words = "a redirect, which is not followed (check the url in the config)";
                return self.error(Kind::Server, doing, words);
            }
            429 => Kind::Throttled,
            503 if self.wait.is_some() => Kind::Throttled,
            // Of this one try, not of what was asked: a proxy that lost patience (408, 499) or took a
            // connection for another host's (421), a lock (423), a request that came too early (425).
            408 | 421 | 423 | 425 | 499 => Kind::Broken,
            413 if self.endpoint.class == CallClass::Part => Kind::TooLarge,
            401 | 407 => Kind::Credentials,
            // Of this object maybe, and not of the key.
            403 => Kind::Forbidden,
            400..500 => Kind::Refused,
            _ => Kind::Server,
        };
        self.error(kind, doing, words)
    }
}

/// An MD5 as 32 hex digits, quoted or not, also where a proxy made the `ETag` a weak one (`W/`);
/// `None` for anything else (such as the `ETag` of a multipart object).
pub(in super::super) fn md5(text: &str) -> Option<Md5> {
    let text = text.trim();
    let text = text.strip_prefix("W/").unwrap_or(text);
    let text = text.trim_matches('"').as_bytes();
    if text.len() != 32 {
        return None;
    }
    let mut md5 = Md5::default();
    for (byte, pair) in md5.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |c: u8| {
            char::from(c)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(md5)
}

/// How long the headers ask to wait: `Retry-After` in seconds or as a date, api.video's
/// `X-RateLimit-Retry-After` in seconds, or the longer of both. A date is compared with the server's
/// own clock where the answer has it, because ours may be wrong. Never more than an hour is believed.
fn wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds = |text: &str| {
        let whole = text.split('.').next().unwrap_or(text);
        let digits = !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit());
        // More digits than a number holds is still a long time.
        digits.then(|| Duration::from_secs(whole.parse().unwrap_or(u64::MAX)))
    };
    let date = |text: &str| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
    let until = |at: Timestamp| {
        let now = text(DATE.as_str()).and_then(date).unwrap_or(now);
        Duration::try_from(at.duration_since(now)).unwrap_or_default()
    };
    let standard = text(RETRY_AFTER.as_str());
    let standard = standard.and_then(|text| seconds(text).or_else(|| date(text).map(until)));
    let own = text("x-ratelimit-retry-after").and_then(seconds);
    standard.max(own).map(|wait| wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::error::CallClass;

    fn endpoint() -> Endpoint {
        Endpoint {
            host: "api.example:8443".into(),
            class: CallClass::Write,
        }
    }

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                let value = HeaderValue::from_str(value).unwrap();
                (HeaderName::from_static(name), value)
            })
            .collect();
        let now = "1994-11-06T08:49:30Z".parse().unwrap();
        Answer::new(status, headers, body.to_owned(), now, endpoint())
    }

    #[test]
    fn the_time_to_wait_is_read_from_seconds_dates_and_api_videos_own_header() {
        for (name, value, wait) in [
            ("retry-after", "12", Some(12)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("retry-after", "Sat, 06 Nov 1993 08:49:37 GMT", Some(0)),
            ("retry-after", "99999999999999999999999999", Some(3600)),
            ("retry-after", "soon", None),
            ("retry-after", "-5", None),
            ("x-ratelimit-retry-after", "30", Some(30)),
        ] {
            let answer = answer(429, &[(name, value)], "");
            assert_eq!(answer.wait, wait.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn of_two_times_to_wait_the_longer_counts_and_a_date_is_read_by_the_servers_own_clock() {
        let wait = |headers: &[(&'static str, &str)]| answer(429, headers, "").wait.unwrap();
        let (standard, own) = ("retry-after", "x-ratelimit-retry-after");
        assert_eq!(wait(&[(standard, "2"), (own, "30")]).as_secs(), 30);
        assert_eq!(wait(&[(standard, "40"), (own, "30")]).as_secs(), 40);
        // Ours is two hours behind.
        let dates = [
            ("date", "Sun, 06 Nov 1994 10:49:30 GMT"),
            (standard, "Sun, 06 Nov 1994 10:49:37 GMT"),
        ];
        assert_eq!(wait(&dates).as_secs(), 7);
    }

    #[test]
    fn statuses_become_kinds() {
        for (status, headers, kind) in [
            (429, &[][..], Kind::Throttled),
            (503, &[("retry-after", "3")], Kind::Throttled),
            (503, &[], Kind::Server),
            (500, &[], Kind::Server),
            (408, &[], Kind::Broken),
            (421, &[], Kind::Broken),
            (423, &[], Kind::Broken),
            (425, &[], Kind::Broken),
            (499, &[], Kind::Broken),
            (423, &[("retry-after", "3")], Kind::Broken),
            (409, &[], Kind::Refused),
            (422, &[], Kind::Refused),
            (401, &[], Kind::Credentials),
            (400, &[], Kind::Refused),
            (302, &[("location", "https://evil.example/")], Kind::Server),
        ] {
            let error = answer(status, headers, "").refusal("create", "x");
            assert_eq!((error.kind, error.status), (kind, Some(status)));
            assert_eq!(error.endpoint, Some(endpoint()));
        }
    }

    #[test]
    fn what_is_no_json_is_named_without_repeating_it() {
        let message = |body: &str| {
            let error = answer(200, &[], body).json::<Vec<u32>>("list").unwrap_err();
            assert_eq!(error.kind, Kind::Server);
            error.message
        };
        assert!(message("<html><b>Log in</b>").contains("HTML"));
        assert!(message("[1, 2").contains("breaks off after 5 bytes"));
        assert!(message("").contains("nothing"));
        let message = message("[\"token-SECRET\"]");
        assert!(message.contains("line 1") && !message.contains("SECRET"));
    }

    #[test]
    fn only_an_md5_is_taken_for_one() {
        let hex = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(md5(hex).unwrap()[..2], [0xd4, 0x1d]);
        assert_eq!(md5(&format!("\"{hex}\"")), md5(hex));
        assert_eq!(md5(&format!("W/\"{hex}\"")), md5(hex));
        for other in ["", "\"\"", &hex[1..], &format!("{hex}-3"), &"é".repeat(16)] {
            assert_eq!(md5(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_reading_panic(status in 100u16..1000, body: Vec<u8>, value in "[ -~]{0,40}") {
            let mut headers = HeaderMap::new();
            for name in ["retry-after", "etag", "jw-request-remaining", "x-ratelimit-limit"] {
                headers.insert(name, HeaderValue::from_str(&value).unwrap());
            }
            let answer = Answer::new(status, headers, body, Timestamp::UNIX_EPOCH, endpoint());
            let _ = (answer.budget(), answer.etag(), answer.words());
            let error = answer.refusal("create", &answer.words());
            prop_assert!(error.message.chars().count() < 400);
            let _ = answer.json::<serde_json::Value>("list");
        }
    }
}
