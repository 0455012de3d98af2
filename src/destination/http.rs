//! HTTP as all accounts need it: a client that follows no redirect, links that lead nowhere they
//! should not, answers that are bounded, failures sorted into kinds. Knows no vendor.

mod answer;
mod client;
mod reach;

pub(super) use answer::{Answer, md5};
pub(super) use client::{Call, Http, HttpOptions, observe, secret_header};
pub use reach::base_url;

/// An answer as a test writes it down.
#[cfg(test)]
pub(super) fn answer(status: u16, body: &str) -> Answer {
    let endpoint = crate::error::Endpoint {
        host: "api.example".into(),
        class: crate::error::CallClass::Call,
    };
    Answer::new(
        status,
        reqwest::header::HeaderMap::new(),
        body.to_owned(),
        jiff::Timestamp::UNIX_EPOCH,
        endpoint,
    )
}
