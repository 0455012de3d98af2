//! What a fault does to a call before it is answered; what it does afterwards is `server`'s.

use std::time::Duration;

use axum::response::Response;
use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};

use super::{
    faults::{Fault, Step, Strike},
    jwplayer, line,
    request::{Ask, Subject},
    server::Call,
    wire::{Fate, Released, Tamper},
};

/// What a fault does to a call before it is answered.
#[derive(Default)]
pub(super) struct Struck {
    pub(super) tamper: Tamper,
    pub(super) answer: Option<Response>,
    /// What the call waits for, outliving its connection.
    pub(super) late: Option<Released>,
}

pub(super) async fn before(
    ask: &Ask,
    call: &Call,
    subject: &Subject,
    strike: Strike,
    fate: &Fate,
) -> Struck {
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
            let mut refusal = call.rate_limited();
            ask_to_wait(&mut refusal, strike.ms);
            struck.answer = Some(refusal);
        }
        Fault::ErrorBefore => {
            house.faults.met(strike.fault);
            struck.answer = Some(call.failed(StatusCode::INTERNAL_SERVER_ERROR));
        }
        Fault::Forbidden => {
            house.faults.met(strike.fault);
            struck.answer = Some(call.forbidden());
        }
        Fault::Status => {
            house.faults.met(strike.fault);
            struck.answer = Some(page(strike.status));
        }
        Fault::Reset | Fault::Stall if call.step() == Step::Part => {
            let half = ask.content_length().unwrap_or(0) / 2;
            struck.tamper.cut = Some((strike.after.unwrap_or(half), strike.fault));
        }
        Fault::Hold if call.step() == Step::Part => {
            let half = ask.content_length().unwrap_or(0) / 2;
            struck.tamper.hold = Some((
                strike.after.unwrap_or(half),
                Box::pin(house.held.next_release()),
            ));
        }
        Fault::Hold => {
            let released = house.held.next_release();
            house.faults.met(strike.fault);
            released.await;
        }
        Fault::Late => {
            let released = Box::pin(house.late.next_release());
            let rest = (call.step() == Step::Part).then(|| ask.content_length().unwrap_or(0));
            if let Some(length) = rest {
                struck.tamper.late = Some((length, released));
            } else {
                struck.late = Some(released);
            }
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
        Fault::EmptyList => {
            house.faults.met(strike.fault);
            struck.answer = Some(jwplayer::empty_list());
        }
        Fault::ErrorAfter
        | Fault::LostAnswer
        | Fault::OddLimit
        | Fault::OddRanges
        | Fault::DeadLinks => {}
    }
    struck
}

/// A status as a proxy between client and vendor answers it: a web page, in nobody's own words.
fn page(status: Option<u16>) -> Response {
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::BAD_REQUEST);
    let body = format!("<html><body><h1>{status}</h1></body></html>");
    let mut page = Response::new(body.into());
    *page.status_mut() = status;
    let html = HeaderValue::from_static("text/html");
    page.headers_mut().insert(CONTENT_TYPE, html);
    page
}

/// Has an answer ask to wait so many milliseconds, in whole seconds.
pub(super) fn ask_to_wait(answer: &mut Response, ms: Option<u64>) {
    if let Some(ms) = ms {
        let seconds = ms.div_ceil(1000);
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
}
