//! Connections, and the way of one request: line, faults, vendor, faults again.

use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Incoming,
    header::{self, HeaderName},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Options, Storage, apivideo,
    budget::Budget,
    control,
    faults::{self, Fault, Faults, Step, Strike},
    jwplayer, line,
    line::Line,
    media::Vendor,
    sign::Key,
    stats::Stats,
    store::Store,
    wire::{Fate, Intake, Tamper, Wire},
};

/// The largest body of a call that is not bytes of a file.
const SMALL_BODY: usize = 1024 * 1024;

/// How long a body nobody wanted is still read.
const DRAIN: Duration = Duration::from_secs(30);

/// Everything one sandbox is made of.
pub(super) struct House {
    pub(super) options: Options,
    url: String,
    /// Whether it listens on any address.
    anywhere: bool,
    pub(super) store: Arc<Store>,
    pub(super) faults: Faults,
    pub(super) line: Line,
    pub(super) stats: Stats,
    pub(super) budget: Budget,
    pub(super) key: Key,
    /// Links and tokens that are good no more, before their time.
    revoked: Mutex<HashSet<String>>,
}

impl House {
    /// Opens the storage. Blocks.
    pub(super) fn open(addr: SocketAddr, options: Options) -> io::Result<Self> {
        let store = Arc::new(Store::open(&options.storage)?);
        let key = match &options.storage {
            Storage::Keep(folder) => Key::open(&folder.join("key"))?,
            Storage::Discard => Key::new()?,
        };
        Ok(Self {
            url: super::url(addr),
            anywhere: addr.ip().is_unspecified(),
            store,
            faults: Faults::new(&options.faults, options.seed),
            line: Line::new(options.speed, options.latency),
            stats: Stats::new(Instant::now()),
            budget: Budget::new(options.calls_per_minute),
            key,
            revoked: Mutex::default(),
            options,
        })
    }

    /// Makes a link or token invalid from now on. Says whether it was valid until now.
    pub(super) fn revoke(&self, word: &str) -> bool {
        self.revoked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(word.to_owned())
    }

    /// Whether a link or token was made invalid.
    pub(super) fn is_revoked(&self, word: &str) -> bool {
        self.revoked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(word)
    }
}

/// Serves until it is told to end.
pub(super) async fn serve(listener: TcpListener, house: Arc<House>, end: CancellationToken) {
    house.store.go_on();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = end.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Answers are small; waiting to fill a packet would only delay them.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(connection(stream, Arc::clone(&house)));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: give those in use time to end.
                    tracing::debug!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    connections.shutdown().await;
    house.store.settled().await;
}

async fn connection(stream: tokio::net::TcpStream, house: Arc<House>) {
    let fate = Arc::new(Fate::default());
    let wire = Wire::new(stream, Arc::clone(&house), Arc::clone(&fate));
    let service = service_fn(|request| answer(Arc::clone(&house), Arc::clone(&fate), request));
    if let Err(error) = http1::Builder::new()
        .serve_connection(TokioIo::new(wire), service)
        .await
    {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("hung up on purpose")]
struct HungUp;

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

/// A call of either vendor's API.
enum Call {
    Jw(jwplayer::Call),
    Api(apivideo::Call),
}

impl Call {
    fn of(ask: &Ask) -> Self {
        match ask.path.first().map(String::as_str) {
            Some("auth" | "videos" | "upload" | "upload-tokens") => {
                Self::Api(apivideo::Call::of(ask))
            }
            _ => Self::Jw(jwplayer::Call::of(ask)),
        }
    }

    fn vendor(&self) -> Vendor {
        match self {
            Self::Jw(_) => Vendor::JwPlayer,
            Self::Api(_) => Vendor::ApiVideo,
        }
    }

    fn step(&self) -> Step {
        match self {
            Self::Jw(call) => call.step(),
            Self::Api(call) => call.step(),
        }
    }

    fn subject(&self, ask: &Ask, payload: &[u8]) -> Subject {
        match self {
            Self::Jw(call) => call.subject(ask, payload),
            Self::Api(call) => call.subject(ask, payload),
        }
    }

    async fn answer(&self, ask: &Ask, payload: &mut Payload) -> Response {
        match self {
            Self::Jw(call) => call.answer(ask, payload).await,
            Self::Api(call) => call.answer(ask, payload).await,
        }
    }

    /// The vendor's own words for a server that failed.
    fn failed(&self, status: StatusCode) -> Response {
        match self {
            Self::Jw(call) => call.failed(status),
            Self::Api(_) => apivideo::failed(status),
        }
    }

    /// The vendor's own words for a call too many.
    fn rate_limited(&self) -> Response {
        match self {
            Self::Jw(call) => call.rate_limited(),
            Self::Api(_) => apivideo::rate_limited(),
        }
    }

    /// The link or token the call is made with.
    fn token(&self, ask: &Ask) -> Option<String> {
        match self {
            Self::Jw(jwplayer::Call::Put { .. }) => ask.param("Signature").map(str::to_owned),
            _ => ask.bearer().map(str::to_owned),
        }
    }
}

async fn answer(
    house: Arc<House>,
    fate: Arc<Fate>,
    request: Request<Incoming>,
) -> Result<Response, HungUp> {
    let (head, body) = request.into_parts();
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let ask = Ask {
        house: Arc::clone(&house),
        method: head.method,
        path: head
            .uri
            .path()
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode)
            .collect(),
        query: url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect(),
        headers: head.headers,
        now: Timestamp::now(),
    };
    if ask.path.first().is_some_and(|first| first == "_sandbox") {
        let body = small(body).await.unwrap_or_default();
        return Ok(control::answer(&ask, &body).await);
    }
    let latency = house.line.state().latency;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let call = Call::of(&ask);
    let (vendor, step) = (call.vendor(), call.step());
    house.stats.request(vendor, step, Instant::now());
    tracing::debug!(?vendor, ?step, method = %ask.method, "asked");

    let (early, body) = if step == Step::Part {
        (Bytes::new(), Some(body))
    } else {
        match small(body).await {
            Ok(bytes) => (bytes, None),
            Err(status) => return Ok(call.failed(status)),
        }
    };
    let subject = call.subject(&ask, &early);
    let strike = house.faults.choose(&faults::Request {
        vendor,
        step,
        part: subject.part,
        media: subject.media.as_deref(),
        title: subject.title.as_deref(),
        bearer: ask.bearer().is_some(),
    });
    let struck = match strike {
        Some(strike) => before(&ask, &call, &subject, strike, &fate).await,
        None => Struck::default(),
    };
    let mut payload = match body {
        Some(body) => Payload::Stream(Some(Intake::new(
            body,
            Arc::clone(&house),
            Arc::clone(&fate),
            struck.tamper,
        ))),
        None => Payload::Small(early),
    };
    let reply = match struck.answer {
        Some(reply) => reply,
        None if fate.is_hung_up() => return Err(HungUp),
        None => call.answer(&ask, &mut payload).await,
    };
    let reply = match strike.map(|strike| strike.fault) {
        Some(Fault::ErrorAfter) => {
            house.faults.met(Fault::ErrorAfter);
            call.failed(StatusCode::SERVICE_UNAVAILABLE)
        }
        Some(Fault::LostAnswer) => {
            house.faults.met(Fault::LostAnswer);
            fate.hang_up();
            reply
        }
        _ => reply,
    };
    if fate.is_hung_up() {
        return Err(HungUp);
    }
    if let Some(rest) = payload.stream() {
        tokio::spawn(tokio::time::timeout(DRAIN, rest.drain()));
    }
    Ok(reply)
}

/// Reads the body of a call that is not bytes of a file.
async fn small(body: Incoming) -> Result<Bytes, StatusCode> {
    match Limited::new(body, SMALL_BODY).collect().await {
        Ok(bytes) => Ok(bytes.to_bytes()),
        Err(_) => Err(StatusCode::PAYLOAD_TOO_LARGE),
    }
}

/// What a fault does to a call before it is answered.
#[derive(Default)]
struct Struck {
    tamper: Tamper,
    answer: Option<Response>,
}

async fn before(ask: &Ask, call: &Call, subject: &Subject, strike: Strike, fate: &Fate) -> Struck {
    let house = &ask.house;
    let mut struck = Struck::default();
    match strike.fault {
        Fault::Delay => {
            house.faults.met(strike.fault);
            tokio::time::sleep(Duration::from_millis(strike.ms.unwrap_or(1000))).await;
        }
        Fault::Slow => {
            house.faults.met(strike.fault);
            struck.tamper.pace = Some(line::slow(strike.speed.unwrap_or(256 * 1024)));
        }
        Fault::RateLimit => {
            house.faults.met(strike.fault);
            struck.answer = Some(call.rate_limited());
        }
        Fault::ErrorBefore => {
            house.faults.met(strike.fault);
            struck.answer = Some(call.failed(StatusCode::INTERNAL_SERVER_ERROR));
        }
        Fault::Reset | Fault::Stall if call.step() == Step::Part => {
            let half = ask.content_length().unwrap_or(0) / 2;
            struck.tamper.cut = Some((strike.after.unwrap_or(half), strike.fault));
        }
        Fault::Reset => {
            house.faults.met(strike.fault);
            fate.reset();
        }
        Fault::Stall => {
            house.faults.met(strike.fault);
            std::future::pending::<()>().await;
        }
        Fault::WrongEtag => struck.tamper.flip = true,
        Fault::LinkExpired | Fault::TokenExpired => {
            house.faults.met(strike.fault);
            if let Some(token) = call.token(ask) {
                house.revoke(&token);
            }
        }
        Fault::BadMedia => {
            if let Some(media) = &subject.media
                && let Ok(Some(())) = house.store.change(media, |media| media.unplayable = true)
            {
                house.faults.met(strike.fault);
            }
        }
        Fault::ErrorAfter | Fault::LostAnswer => {}
    }
    struck
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
