//! api.video's logins and tokens. A token proves itself by its signature, so it outlives a restart.

use std::time::Duration;

use axum::response::Response;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::{StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Problem;
use crate::sandbox::{
    house::House,
    request::{Ask, json},
    sign,
};

fn unauthorized(slug: &'static str, title: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, slug, title)
}

/// A token of this kind that is good until then.
fn token(house: &House, kind: &str, until: &str) -> String {
    let nonce = sign::id(12);
    let signature = house.key.sign(&[kind, until, &nonce]);
    format!("{until}.{nonce}.{signature}")
}

/// Whether a token of this kind is one of ours and still good.
fn is_good(ask: &Ask, kind: &str, token: &str) -> bool {
    let words: Vec<&str> = token.split('.').collect();
    let [until, nonce, signature] = *words.as_slice() else {
        return false;
    };
    let over = until
        .parse()
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .is_none_or(|until| until <= ask.now);
    // "0" is a token without an end.
    (until == "0" || !over)
        && signature == ask.house.key.sign(&[kind, until, nonce])
        && !ask.house.is_revoked(token)
}

fn until(now: Timestamp, ttl: Duration) -> String {
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    now.as_millisecond().saturating_add(ttl).to_string()
}

/// Whether the caller is logged in, either way.
pub(super) fn check(ask: &Ask) -> Result<(), Problem> {
    let Some(given) = ask.header(header::AUTHORIZATION) else {
        return Err(unauthorized(
            "authentication-missing-authorization-header",
            "The authorization header is missing.",
        ));
    };
    if let Some(basic) = given.strip_prefix("Basic ") {
        let keys = &mut ask.house.options.api_keys.iter();
        return if keys.any(|key| basic == BASE64_STANDARD.encode(format!("{key}:"))) {
            Ok(())
        } else {
            Err(unauthorized(
                "authentication-invalid-api-key",
                "The API key is invalid.",
            ))
        };
    }
    match ask.bearer() {
        Some(token) if is_good(ask, "access", token) => Ok(()),
        _ => Err(unauthorized(
            "authentication-invalid-access-token",
            "The access token is invalid.",
        )),
    }
}

fn text(body: &[u8], field: &str) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    Some(body[field].as_str()?.to_owned())
}

fn bad_credentials(name: &'static str) -> Problem {
    let what = "The user credentials were incorrect.";
    Problem::field("invalid-credentials", name, what)
}

fn tokens(ask: &Ask) -> Response {
    let house = &ask.house;
    let ttl = house.options.token_ttl;
    let body = json!({
        "token_type": "Bearer",
        "expires_in": ttl.as_secs(),
        "access_token": token(house, "access", &until(ask.now, ttl)),
        "refresh_token": token(house, "refresh", "0"),
    });
    json(StatusCode::OK, &body)
}

pub(super) fn log_in(ask: &Ask, body: &[u8]) -> Result<Response, Problem> {
    if text(body, "apiKey").is_some_and(|key| ask.house.options.api_keys.contains(&key)) {
        Ok(tokens(ask))
    } else {
        Err(bad_credentials("apiKey"))
    }
}

/// A new pair for a refresh token, which is good for once.
pub(super) fn refresh(ask: &Ask, body: &[u8]) -> Result<Response, Problem> {
    let given = text(body, "refreshToken").unwrap_or_default();
    if is_good(ask, "refresh", &given) && ask.house.revoke(&given) {
        Ok(tokens(ask))
    } else {
        Err(bad_credentials("refreshToken"))
    }
}

/// A token that lets its holder upload, and nothing else.
pub(super) fn make_upload_token(ask: &Ask, body: &[u8]) -> Result<Response, Problem> {
    let body: Value = match body {
        [] => json!({}),
        body => serde_json::from_slice(body)
            .map_err(|_| Problem::field("invalid-json", "", "The body is no JSON."))?,
    };
    let ttl = match &body["ttl"] {
        Value::Null => 0,
        ttl => ttl
            .as_u64()
            .filter(|ttl| *ttl <= 0x7fff_ffff)
            .ok_or_else(|| {
                let what = "This value is not valid.";
                Problem::field("invalid-attribute", "ttl", what)
            })?,
    };
    let ends = (ttl > 0).then(|| until(ask.now, Duration::from_secs(ttl)));
    let expires = ends
        .as_deref()
        .and_then(|ms| Timestamp::from_millisecond(ms.parse().ok()?).ok())
        .map(|at| at.to_string());
    let body = json!({
        "token": token(&ask.house, "upload", ends.as_deref().unwrap_or("0")),
        "ttl": ttl,
        "createdAt": ask.now.to_string(),
        "expiresAt": expires,
    });
    Ok(json(StatusCode::CREATED, &body))
}

/// Whether the caller has an upload token.
pub(super) fn check_upload_token(ask: &Ask) -> Result<(), Problem> {
    match ask.param("token") {
        Some(token) if is_good(ask, "upload", token) => Ok(()),
        _ => Err(unauthorized(
            "authentication-invalid-upload-token",
            "The upload token is invalid.",
        )),
    }
}
