//! The client itself: the only place where a request leaves. Knows how to send a [`Call`] and how a
//! connection fails, no vendor.

use std::{error::Error as _, io, path::PathBuf, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Body, Client, Method, Request, Response, Url,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};

use super::{
    super::call_limiter::CallRateLimiter,
    answer::Answer,
    reach::{self, Reach},
};
use crate::{
    error::{CallClass, Endpoint, Error, Kind, Result},
    open_files::is_used_up,
};

/// How long a connection may take to stand.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an API call may take, from the first byte sent to the last received.
const ANSWER: Duration = Duration::from_mins(1);

/// How much of a failure's body is read: enough for any reason.
const FAILURE_MOST: usize = 64 * 1024;

/// The longest answer that is read: a list of 1,000 signed links fits many times.
const ANSWER_MOST: usize = 16 * 1024 * 1024;

/// What a segment of a path may hold as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// One request, ready to go but for its body where that is streamed. It has no `Debug`: its headers
/// and its URL may be secret.
#[derive(Clone)]
pub(in super::super) struct Call {
    /// Which call budget it counts against, and which part of a host fails when it does.
    pub(in super::super) class: CallClass,
    /// What is done, for messages: `"create"`.
    pub(in super::super) doing: &'static str,
    /// The method.
    pub(in super::super) method: Method,
    /// Where to.
    pub(in super::super) url: Url,
    /// The headers.
    pub(in super::super) headers: HeaderMap,
    /// The body, where it is known whole.
    pub(in super::super) body: Bytes,
}

impl Call {
    /// A call without headers and body.
    pub(in super::super) fn new(
        class: CallClass,
        doing: &'static str,
        method: Method,
        url: Url,
    ) -> Self {
        Self {
            class,
            doing,
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// The same with a header.
    pub(in super::super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same, authorised.
    pub(in super::super) fn authorized(self, authorization: &HeaderValue) -> Self {
        self.header(AUTHORIZATION, authorization.clone())
    }

    /// The same with a JSON body.
    pub(in super::super) fn json(mut self, value: &serde_json::Value) -> Self {
        self.body = value.to_string().into();
        self.header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// The same with these pairs added to the query.
    pub(in super::super) fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        self.url.query_pairs_mut().extend_pairs(pairs);
        self
    }
}

/// A header value that is a secret, so that nothing prints it.
///
/// # Errors
/// [`Kind::Credentials`] when the text can't be a header.
pub(in super::super) fn secret_header(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        let why = "the key or token has characters that can't be sent";
        Error::new(Kind::Credentials, why)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// How to reach an API.
#[derive(Debug, Clone)]
pub(in super::super) struct HttpOptions {
    /// The API's address.
    pub(in super::super) url: String,
    /// Whether plain http is allowed beyond loopback.
    pub(in super::super) allow_http: bool,
    /// A PEM file with CAs that are trusted besides the system's.
    pub(in super::super) ca: Option<PathBuf>,
}

/// A way to one API, and to the links it hands out. Connections are kept and used again.
#[derive(Debug, Clone)]
pub(in super::super) struct Http {
    client: Client,
    base: Url,
    clear_links: bool,
}

impl Http {
    /// Makes the client.
    ///
    /// # Errors
    /// When the address may not be used, or the CA file can't.
    pub(in super::super) fn new(options: &HttpOptions) -> Result<Self> {
        let base = reach::base_url(&options.url, options.allow_http).map_err(|it| it.at("url"))?;
        // Whoever uses this as a library need not know that TLS wants a provider; a program that
        // chose one keeps it, which is the only way this can fail.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut client = Client::builder()
            .user_agent(concat!("reelhaul/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT)
            .http1_only()
            .tcp_nodelay(true);
        if Reach::of(&base) == Some(Reach::Loopback) {
            client = client.no_proxy();
        }
        if let Some(path) = &options.ca {
            let place = format!("the CA file {}", crate::path::encode(path));
            let pem = std::fs::read(path).map_err(|error| Error::local(&place, &error))?;
            let unusable = |why: &str| Error::new(Kind::Refused, format!("{place}: {why}"));
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|_| unusable("is no PEM file"))?;
            if certificates.is_empty() {
                return Err(unusable("holds no certificate"));
            }
            client = client.tls_certs_merge(certificates);
        }
        let client = client.build().map_err(|error| {
            let why = format!("TLS can't be set up: {}", cause(&error));
            Error::new(Kind::Refused, why)
        })?;
        Ok(Self {
            client,
            base,
            clear_links: options.allow_http,
        })
    }

    /// The API's address with these path segments, each encoded, and a slash at its end if the last
    /// segment is empty.
    ///
    /// # Errors
    /// [`Kind::Server`] for a segment that would lead elsewhere (`..`): ids come from servers.
    pub(in super::super) fn at(&self, segments: &[&str]) -> Result<Url> {
        let mut path = self.base.path().to_owned();
        for (index, segment) in segments.iter().enumerate() {
            if index > 0 {
                path.push('/');
            }
            if matches!(*segment, "." | "..") || segment.len() > 1024 {
                return Err(Error::new(Kind::Server, "an id that can't be one"));
            }
            path.extend(utf8_percent_encode(segment, SEGMENT));
        }
        let mut url = self.base.clone();
        url.set_path(&path);
        Ok(url)
    }

    /// The API's host, for people.
    pub(in super::super) fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// The API's host as endpoints name it.
    pub(in super::super) fn endpoint_host(&self) -> Arc<str> {
        Arc::from(host_and_port(&self.base))
    }

    /// A link the server handed out, if it leads where it may.
    ///
    /// # Errors
    /// [`Kind::Server`] when it does not.
    pub(in super::super) fn link(&self, text: &str) -> Result<Url> {
        reach::link(&self.base, self.clear_links, text)
    }

    /// The host that a link leads to, as endpoints name it.
    ///
    /// # Errors
    /// As [`Self::link`].
    pub(in super::super) fn link_host(&self, text: &str) -> Result<Arc<str>> {
        self.link(text).map(|url| Arc::from(host_and_port(&url)))
    }

    /// The port that the API is at.
    pub(in super::super) fn port(&self) -> u16 {
        self.base.port_or_known_default().unwrap_or_default()
    }

    /// A failure of the API's that is read from the meaning of its answers.
    pub(in super::super) fn api_error(
        &self,
        class: CallClass,
        kind: Kind,
        words: impl AsRef<str>,
    ) -> Error {
        Error::new(kind, words).from_endpoint(endpoint(&self.base, class))
    }

    /// Makes an API call when the budget allows it, and reads its answer, whatever its status.
    ///
    /// # Errors
    /// When no answer came, or one without end.
    pub(in super::super) async fn ask(
        &self,
        limiter: &CallRateLimiter,
        call: Call,
    ) -> Result<Answer> {
        limiter.acquire().await;
        self.send(limiter, call).await
    }

    /// Makes an API call now, for which the caller has acquired its place in the budget, and reads
    /// its answer, whatever its status.
    ///
    /// # Errors
    /// When no answer came, or one without end.
    pub(in super::super) async fn send(
        &self,
        limiter: &CallRateLimiter,
        call: Call,
    ) -> Result<Answer> {
        let body = call.body.clone();
        let announced = matches!(call.method, Method::PUT | Method::POST);
        let call = if announced && body.is_empty() {
            // Not sent otherwise, and a server may insist on a length.
            call.header(CONTENT_LENGTH, HeaderValue::from_static("0"))
        } else {
            call
        };
        let answer = self.exchange(call, body.into(), Some(ANSWER)).await?;
        observe(limiter, &answer);
        Ok(answer)
    }

    /// Sends a body that is streamed. There is no time limit until the answer begins: the engine
    /// watches whether bytes are taken.
    ///
    /// # Errors
    /// When no answer came, or one without end.
    pub(in super::super) async fn stream(&self, call: Call, body: Body) -> Result<Answer> {
        self.exchange(call, body, None).await
    }

    async fn exchange(&self, call: Call, body: Body, time: Option<Duration>) -> Result<Answer> {
        let endpoint = endpoint(&call.url, call.class);
        let result = self.exchange_with(&endpoint, call, body, time).await;
        result.map_err(|error| error.from_endpoint(endpoint))
    }

    async fn exchange_with(
        &self,
        endpoint: &Endpoint,
        call: Call,
        body: Body,
        time: Option<Duration>,
    ) -> Result<Answer> {
        let host = &*endpoint.host;
        let mut request = Request::new(call.method, call.url);
        *request.headers_mut() = call.headers;
        *request.body_mut() = Some(body);
        *request.timeout_mut() = time;
        let broke = |error: reqwest::Error| transport(call.doing, host, &error);
        let response = self.client.execute(request).await.map_err(broke)?;
        match tokio::time::timeout(ANSWER, read(response, endpoint)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(broke(error)),
            Err(_) => Err(Error::new(
                Kind::Broken,
                format!("{}: {host} does not finish its answer", call.doing),
            )),
        }
    }
}

/// Hands the limiter what the answer says of the budget. A 429 is not one of those: the engine waits
/// for that.
pub(in super::super) fn observe(limiter: &CallRateLimiter, answer: &Answer) {
    if answer.status != 429 {
        limiter.observe_headers(answer.budget());
    }
}

/// Where a call goes.
fn endpoint(url: &Url, class: CallClass) -> Endpoint {
    let host = host_and_port(url).into();
    Endpoint { host, class }
}

/// The host of a URL, with its port where that is not the usual one.
fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Reads an answer, never more than it may be long.
async fn read(
    mut response: Response,
    endpoint: &Endpoint,
) -> Result<Result<Answer>, reqwest::Error> {
    let status = response.status();
    let most = if status.is_success() {
        ANSWER_MOST
    } else {
        FAILURE_MOST
    };
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        let room = most - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            if status.is_success() {
                let why = format!("an answer of more than {} MiB", ANSWER_MOST >> 20);
                return Ok(Err(Error::new(Kind::Server, why)));
            }
            break;
        }
    }
    let headers = std::mem::take(response.headers_mut());
    let now = Timestamp::now();
    Ok(Ok(Answer::new(
        status.as_u16(),
        headers,
        body.freeze(),
        now,
        endpoint.clone(),
    )))
}

/// The failure of a connection, without its URL.
fn transport(doing: &str, host: &str, error: &reqwest::Error) -> Error {
    let cause = cause(error);
    if let Some(tls) = tls(error) {
        let words = format!("{doing}: no safe connection to {host}: {tls}");
        let kind = match tls {
            rustls::Error::InvalidCertificate(_) => Kind::Certificate,
            // Not the network's fault, so it is counted and then reported instead of retried for ever.
            _ => Kind::Server,
        };
        return Error::new(kind, words);
    }
    let (kind, what) = if is_out_of_room(error) {
        (Kind::Crowded, "can't reach")
    } else if error.is_connect() {
        (Kind::Offline, "can't reach")
    } else if error.is_timeout() {
        (Kind::Broken, "no answer in time from")
    } else {
        (Kind::Broken, "the connection broke to")
    };
    Error::new(kind, format!("{doing}: {what} {host}: {cause}"))
}

/// Whether the connection could not be made for want of open files or memory on this machine.
fn is_out_of_room(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(is_used_up) || error.source().is_some_and(is_out_of_room)
}

/// The innermost cause: the ones around it only say that there is one.
fn cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(next) = cause.and_then(std::error::Error::source) {
        cause = Some(next);
    }
    // Without a cause the error may show its URL, which may be signed.
    cause.map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

/// The TLS error among the causes, if that is what it was. An I/O error has to be looked into: it
/// names as its source not what it wraps but that one's source.
fn tls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .map(|inner| inner as &(dyn std::error::Error + 'static));
    error
        .downcast_ref()
        .or_else(|| tls(wrapped?))
        .or_else(|| tls(error.source()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error around another, as a client and its connector make them.
    #[derive(Debug, thiserror::Error)]
    #[error("tcp open error")]
    struct Around(#[source] io::Error);

    #[test]
    fn a_connection_for_which_this_machine_has_no_room_is_no_failure_of_the_host() {
        use rustix::io::Errno;
        for (errno, used_up) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOMEM, true),
            (Errno::CONNREFUSED, false),
            (Errno::NOENT, false),
        ] {
            let error = io::Error::from(errno);
            assert_eq!(is_out_of_room(&Around(error)), used_up, "{errno}");
        }
        assert!(!is_out_of_room(&Around(io::Error::other("no reason"))));
    }
}
