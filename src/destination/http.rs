//! HTTP as all destinations need it: a client that follows no redirect, links that lead nowhere they
//! should not, answers that are bounded, failures sorted into kinds. Knows no vendor.

mod answer;
mod client;
mod reach;

pub(super) use answer::{Answer, md5};
pub(super) use client::{Call, Http, HttpOptions, heed, secret_header};

/// An answer as a test writes it down.
#[cfg(test)]
pub(super) fn answer(status: u16, body: &str) -> Answer {
    let headers = reqwest::header::HeaderMap::new();
    Answer::new(
        status,
        headers,
        body.to_owned(),
        jiff::Timestamp::UNIX_EPOCH,
    )
}
