//! `/_sandbox/…`: what tests ask the sandbox and tell it; no vendor has this.

use std::time::Duration;

use axum::response::Response;
use hyper::{Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    faults::Script,
    line, report,
    request::{Ask, json},
};

/// A change of the line; what is left out stays, a speed of 0 is no limit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineChange {
    speed: Option<u64>,
    latency_ms: Option<u64>,
}

pub(super) async fn answer(ask: &Ask, body: &[u8]) -> Response {
    let house = &ask.house;
    let path: Vec<&str> = ask.path.iter().skip(1).map(String::as_str).collect();
    let done = match (&ask.method, path.as_slice()) {
        (&Method::GET, ["report"]) => {
            house.storage.look_at_all(house, ask.now).await;
            house.store.settled().await;
            Ok(report::report(house, ask.now))
        }
        (&Method::GET, ["faults"]) => Ok(house.faults.tell()),
        (&Method::POST, ["faults"]) => parse::<Vec<Script>>(body).map(|scripts| {
            house.faults.add(scripts);
            house.faults.tell()
        }),
        (&Method::DELETE, ["faults"]) => {
            house.faults.clear();
            Ok(house.faults.tell())
        }
        (&Method::DELETE, ["holds"]) => {
            house.release();
            Ok(house.faults.tell())
        }
        (&Method::DELETE, ["holds", "held"]) => {
            house.held.release();
            Ok(house.faults.tell())
        }
        (&Method::DELETE, ["late"]) => {
            house.do_what_is_late().await;
            Ok(house.faults.tell())
        }
        (&Method::GET, ["line"]) => Ok(tell(house.line.state())),
        (&Method::PUT, ["line"]) => parse::<LineChange>(body).map(|change| {
            let before = house.line.state();
            let state = line::State {
                speed: change.speed.or(before.speed).filter(|speed| *speed > 0),
                latency: change
                    .latency_ms
                    .map_or(before.latency, Duration::from_millis),
            };
            house.line.set(state);
            tell(state)
        }),
        _ => {
            let what = "there are GET report; GET, POST, DELETE faults; DELETE holds, holds/held, late; GET, PUT line";
            return json(StatusCode::NOT_FOUND, &json!({ "error": what }));
        }
    };
    match done {
        Ok(body) => json(StatusCode::OK, &body),
        Err(error) => json(StatusCode::BAD_REQUEST, &json!({ "error": error })),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn tell(state: line::State) -> Value {
    json!({
        "speed": state.speed,
        "latency_ms": u64::try_from(state.latency.as_millis()).unwrap_or(u64::MAX),
    })
}
