//! api.video's authorization: the key itself (Basic), or an access token asked for by it and renewed
//! before it expires. Knows no video.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, header::HeaderValue};
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::Mutex, time::Instant};

use super::{
    super::{
        call_limiter::CallRateLimiter,
        http::{Answer, Call, Http, secret_header},
        need,
    },
    answer,
};
use crate::{
    error::{CallClass, Error, Kind, Result},
    secret::Secret,
};

/// The longest life of a token that is believed.
const LONGEST_LIFE: Duration = Duration::from_hours(24);

/// How long before its end a token is renewed, at most: a tenth of its life where that is shorter.
const MARGIN: Duration = Duration::from_mins(5);

/// How calls are authorised.
#[derive(Debug)]
pub(super) struct Auth {
    key: Secret,
    /// The key as a header, where it is sent with every call.
    basic: Option<HeaderValue>,
    /// Held while a token is asked for, so that calls that start together ask once.
    token: Mutex<Option<Token>>,
    /// How many tokens in a row were refused with a part, and none was accepted with one.
    refused: AtomicU32,
}

/// After how many tokens in a row that were refused it is no matter of tokens. One may have expired,
/// and the next while the part that it went with was sent.
const REFUSED_FOR_GOOD: u32 = 3;

#[derive(Debug)]
struct Token {
    bearer: HeaderValue,
    refresh: Option<Secret>,
    /// From when on it is renewed before it is used.
    stale_at: Instant,
    /// Whether a part was refused that it went with.
    refused: bool,
}

impl Auth {
    /// By this key.
    pub(super) fn new(key: Secret, basic: bool) -> Result<Self> {
        if key.is_empty() {
            return Err(Error::new(Kind::Credentials, "the api.video key is empty"));
        }
        let basic = basic
            .then(|| {
                let pair = STANDARD.encode(format!("{}:", key.expose()));
                secret_header(&format!("Basic {pair}"))
            })
            .transpose()?;
        Ok(Self {
            key,
            basic,
            token: Mutex::new(None),
            refused: AtomicU32::new(0),
        })
    }

    /// Whether the key itself goes with every call, so that there is nothing to renew.
    pub(super) fn is_basic(&self) -> bool {
        self.basic.is_some()
    }

    /// The authorization for a call made now.
    pub(super) async fn header(
        &self,
        http: &Http,
        limiter: &CallRateLimiter,
    ) -> Result<HeaderValue> {
        if let Some(basic) = &self.basic {
            return Ok(basic.clone());
        }
        let mut current = self.token.lock().await;
        if let Some(token) = current.as_ref()
            && Instant::now() < token.stale_at
        {
            return Ok(token.bearer.clone());
        }
        // Taken, not borrowed: a refresh whose answer is lost may have used the refresh token up.
        let refresh = current.take().and_then(|token| token.refresh);
        // Calls of older need may wait for this token.
        let token = need::before_all(self.renew(refresh, http, limiter)).await?;
        let bearer = token.bearer.clone();
        *current = Some(token);
        Ok(bearer)
    }

    /// Another token: by the refresh token while that is good, else by the key.
    async fn renew(
        &self,
        refresh: Option<Secret>,
        http: &Http,
        limiter: &CallRateLimiter,
    ) -> Result<Token> {
        if let Some(refresh) = refresh {
            let answer = http.ask(limiter, by_refresh(http, &refresh)?).await?;
            if let Ok(token) = read_token(&answer, Instant::now()) {
                return Ok(token);
            }
        }
        self.by_key(http, limiter).await
    }

    /// Marks a token that was refused as stale, unless it was replaced meanwhile.
    pub(super) async fn refused(&self, bearer: &HeaderValue) {
        let mut current = self.token.lock().await;
        if let Some(token) = current.as_mut().filter(|token| token.bearer == *bearer) {
            token.stale_at = Instant::now();
        }
    }

    /// The same where it was a part that was refused. Returns whether another token is worth a try.
    pub(super) async fn part_refused(&self, bearer: &HeaderValue) -> bool {
        let mut current = self.token.lock().await;
        if let Some(token) = current.as_mut().filter(|token| token.bearer == *bearer) {
            token.stale_at = Instant::now();
            // Parts that went out together are refused together: that is one token.
            if !std::mem::replace(&mut token.refused, true) {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.refused.load(Ordering::Relaxed) < REFUSED_FOR_GOOD
    }

    /// A part was not refused for its token.
    pub(super) fn part_accepted(&self) {
        self.refused.store(0, Ordering::Relaxed);
    }

    /// Asks for a token by the key, whatever is there, which shows whether the key is good.
    pub(super) async fn check(&self, http: &Http, limiter: &CallRateLimiter) -> Result<()> {
        let token = self.by_key(http, limiter).await?;
        *self.token.lock().await = Some(token);
        Ok(())
    }

    async fn by_key(&self, http: &Http, limiter: &CallRateLimiter) -> Result<Token> {
        let call = Call::new(
            CallClass::Write,
            "authorize",
            Method::POST,
            http.at(&["auth", "api-key"])?,
        );
        let call = call.json(&json!({"apiKey": self.key.expose()}));
        let answer = http.ask(limiter, call).await?;
        read_token(&answer, Instant::now())
    }
}

fn by_refresh(http: &Http, refresh: &Secret) -> Result<Call> {
    let call = Call::new(
        CallClass::Write,
        "authorize",
        Method::POST,
        http.at(&["auth", "refresh"])?,
    );
    Ok(call.json(&json!({"refreshToken": refresh.expose()})))
}

/// Reads a token that was asked for at `now`.
fn read_token(answer: &Answer, now: Instant) -> Result<Token> {
    #[derive(Deserialize)]
    struct Pair {
        access_token: String,
        #[serde(default)]
        refresh_token: Option<String>,
        #[serde(default)]
        expires_in: Option<u64>,
    }
    let pair: Pair = answer::expect(answer, "authorize").map_err(|error| match error.status {
        // A wrong key may be a 400 "The user credentials were incorrect".
        Some(400 | 403) => Error {
            kind: Kind::Credentials,
            ..error
        },
        _ => error,
    })?;
    let life = pair
        .expires_in
        .map_or(LONGEST_LIFE, Duration::from_secs)
        .min(LONGEST_LIFE);
    Ok(Token {
        bearer: secret_header(&format!("Bearer {}", pair.access_token))?,
        refresh: pair.refresh_token.map(Secret::new),
        stale_at: now + life.saturating_sub(MARGIN.min(life / 10)),
        refused: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::http::answer;

    #[test]
    fn a_token_is_renewed_before_it_expires_and_never_shown() {
        let now = Instant::now();
        let life = |expires: &str| {
            let body = format!(
                r#"{{"token_type":"Bearer","expires_in":{expires},"access_token":"ACC","refresh_token":"REF"}}"#
            );
            let token = read_token(&answer(200, &body), now).unwrap();
            let shown = format!("{token:?}");
            assert!(!shown.contains("ACC") && !shown.contains("REF"), "{shown}");
            (token.stale_at - now).as_secs()
        };
        assert_eq!(life("3600"), 3300);
        assert_eq!(life("10"), 9);
        assert_eq!(life("0"), 0);
        assert_eq!(life("18446744073709551615"), 86_400 - 300);
    }

    #[test]
    fn a_wrong_key_is_reported_as_one_whatever_its_status() {
        let body =
            r#"{"type":"invalid_credentials","title":"The user credentials were incorrect."}"#;
        for status in [400, 401, 403] {
            let error = read_token(&answer(status, body), Instant::now()).unwrap_err();
            assert_eq!(error.kind, Kind::Credentials);
            assert!(error.message.contains("user credentials were incorrect"));
        }
    }

    #[test]
    fn basic_is_the_key_and_a_colon() {
        let auth = Auth::new(Secret::new("K"), true).unwrap();
        assert_eq!(auth.basic.as_ref().unwrap(), "Basic Szo=");
        assert!(!format!("{auth:?}").contains("Szo="));
    }
}
