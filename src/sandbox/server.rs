//! Connections, and the way of one request: line, faults, vendor, faults again.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Request, StatusCode, body::Incoming, header::CONTENT_LENGTH, http::response::Parts,
    server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    apivideo, control,
    faults::{self, Fault, Step},
    house::House,
    jwplayer,
    media::Vendor,
    request::{Ask, Payload, Subject, json},
    strike::{self, Struck},
    wire::{Fate, Intake, Released, Wire},
};

/// The largest body of a call that is not bytes of a file.
const SMALL_BODY: usize = 1024 * 1024;

/// How long a body nobody wanted is still read.
const DRAIN: Duration = Duration::from_secs(30);

/// Serves until it is told to end.
pub(super) async fn serve(listener: TcpListener, house: Arc<House>, end: CancellationToken) {
    house.go_on();
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
    house.do_what_is_late().await;
    house.tasks.close();
    house.tasks.wait().await;
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

/// A call of either vendor's API.
pub(super) enum Call {
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

    pub(super) fn step(&self) -> Step {
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
    pub(super) fn failed(&self, status: StatusCode) -> Response {
        match self {
            Self::Jw(call) => call.failed(status),
            Self::Api(_) => apivideo::failed(status),
        }
    }

    /// The answer to what was received, with something in it that was not.
    async fn with_odd_ranges(&self, house: &House, reply: Response) -> Response {
        let (head, body) = whole(reply).await;
        let mut value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let altered = match self {
            Self::Jw(_) => jwplayer::odd_ranges(&mut value),
            Self::Api(_) => apivideo::odd_ranges(&mut value),
        };
        if !altered {
            return Response::from_parts(head, body.into());
        }
        house.faults.met(Fault::OddRanges);
        json(head.status, &value)
    }

    /// The vendor's own words for what a key may not do.
    pub(super) fn forbidden(&self) -> Response {
        match self {
            Self::Jw(call) => call.forbidden(),
            Self::Api(_) => apivideo::forbidden(),
        }
    }

    /// The vendor's own words for a call too many.
    pub(super) fn rate_limited(&self) -> Response {
        match self {
            Self::Jw(call) => call.rate_limited(),
            Self::Api(_) => apivideo::rate_limited(),
        }
    }

    /// The link or token the call is made with.
    pub(super) fn token(&self, ask: &Ask) -> Option<String> {
        match self {
            Self::Jw(jwplayer::Call::Put { .. }) => ask.param("Signature").map(str::to_owned),
            _ => ask.bearer().map(str::to_owned),
        }
    }
}

/// An answer and all its bytes.
async fn whole(reply: Response) -> (Parts, Bytes) {
    let (head, body) = reply.into_parts();
    let body = body.collect().await;
    let body = body.map(http_body_util::Collected::to_bytes);
    (head, body.unwrap_or_default())
}

/// The answer with links that lead to a port where nobody listens.
async fn with_dead_links(ask: &Ask, reply: Response) -> Response {
    let (mut head, body) = whole(reply).await;
    let text = String::from_utf8_lossy(&body);
    let dead = text.replace(
        &format!("{}/_storage", ask.base()),
        "http://127.0.0.1:1/_storage",
    );
    if *text != dead {
        ask.house.faults.met(Fault::DeadLinks);
    }
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, dead.into())
}

async fn answer(
    house: Arc<House>,
    fate: Arc<Fate>,
    request: Request<Incoming>,
) -> Result<Response, HungUp> {
    let (head, body) = request.into_parts();
    let ask = Ask::new(Arc::clone(&house), head, Timestamp::now());
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
        length: ask.content_length(),
    });
    let struck = match strike {
        Some(strike) => strike::before(&ask, &call, &subject, strike, &fate).await,
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
    if strike.is_some_and(|strike| strike.fault == Fault::Late) {
        return late(call, ask, payload, struck.late).await;
    }
    let reply = match struck.answer {
        Some(reply) => reply,
        None if fate.is_hung_up() => return Err(HungUp),
        None => call.answer(&ask, &mut payload).await,
    };
    let reply = match strike.map(|strike| (strike.fault, strike.ms)) {
        Some((Fault::ErrorAfter, wait)) => {
            house.faults.met(Fault::ErrorAfter);
            let mut failed = call.failed(StatusCode::SERVICE_UNAVAILABLE);
            strike::ask_to_wait(&mut failed, wait);
            failed
        }
        Some((Fault::LostAnswer, _)) => {
            house.faults.met(Fault::LostAnswer);
            fate.hang_up();
            reply
        }
        Some((Fault::OddLimit, _)) => {
            house.faults.met(Fault::OddLimit);
            let [limit, remaining] = vendor.budget_headers();
            let mut reply = reply;
            reply.headers_mut().insert(limit, 1.into());
            reply.headers_mut().insert(remaining, 0.into());
            reply
        }
        Some((Fault::OddRanges, _)) => call.with_odd_ranges(&house, reply).await,
        Some((Fault::DeadLinks, _)) => with_dead_links(&ask, reply).await,
        _ => reply,
    };
    if fate.is_hung_up() {
        return Err(HungUp);
    }
    if let Some(rest) = payload.stream() {
        // It ends with the connection, which is what it reads from.
        let drained = tokio::time::timeout(DRAIN, rest.drain());
        house.tasks.spawn(drained);
    }
    Ok(reply)
}

/// Answers a call when it is released, even if nobody waits for the answer any more.
async fn late(
    call: Call,
    ask: Ask,
    mut payload: Payload,
    released: Option<Released>,
) -> Result<Response, HungUp> {
    let house = Arc::clone(&ask.house);
    let answered = house.late_calls.spawn(async move {
        if let Some(released) = released {
            ask.house.faults.met(Fault::Late);
            released.await;
        }
        call.answer(&ask, &mut payload).await
    });
    answered.await.map_err(|_| HungUp)
}

/// Reads the body of a call that is not bytes of a file.
async fn small(body: Incoming) -> Result<Bytes, StatusCode> {
    match Limited::new(body, SMALL_BODY).collect().await {
        Ok(bytes) => Ok(bytes.to_bytes()),
        Err(_) => Err(StatusCode::PAYLOAD_TOO_LARGE),
    }
}
