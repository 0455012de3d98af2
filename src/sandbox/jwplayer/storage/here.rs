//! The storage in the sandbox itself: links signed with its own key, and answers as S3 gives them.

use axum::{body::Body, response::Response};
use http_body_util::BodyExt;
use hyper::{
    StatusCode,
    header::{self, HeaderValue},
};
use jiff::Timestamp;

use super::S3Error;
use crate::{
    format::hex,
    sandbox::{
        house::House,
        media::{JwUpload, Media, Place, Stored},
        request::{Ask, Payload},
        sign,
    },
};

/// The first segment of a link's path.
pub(in super::super) const PATH: &str = "_storage";

/// The least that any part but the last must have, in bytes.
const PART_MIN: u64 = 5 * 1024 * 1024;

/// The most bytes S3 takes in one request.
const LARGEST: u64 = 5 * 1024 * 1024 * 1024;

/// A link to put a part (or, without a number, the whole) to, good from now on for a while. The
/// nonce makes each one another, so that one can be revoked alone.
pub(super) fn link(ask: &Ask, upload: &str, part: Option<u16>) -> String {
    let ttl = i64::try_from(ask.house.options.link_ttl.as_millis()).unwrap_or(i64::MAX);
    let expires = ask.now.as_millisecond().saturating_add(ttl).to_string();
    let nonce = sign::id(8);
    let signature = signature(&ask.house, upload, part.map(u32::from), &expires, &nonce);
    let number = part.map_or_else(String::new, |part| format!("partNumber={part}&"));
    format!(
        "{}/{PATH}/{upload}?{number}uploadId={upload}&AWSAccessKeyId=SANDBOX&Nonce={nonce}\
         &Expires={expires}&Signature={signature}",
        ask.base()
    )
}

fn signature(house: &House, upload: &str, part: Option<u32>, expires: &str, nonce: &str) -> String {
    let part = part.map_or_else(String::new, |part| part.to_string());
    house.key.sign(&["link", upload, &part, expires, nonce])
}

pub(in super::super) fn failed(status: StatusCode) -> Response {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => {
            let what = "Service is unable to handle request.";
            S3Error::new(status, "ServiceUnavailable", what).answer()
        }
        _ => S3Error::internal().answer(),
    }
}

pub(in super::super) fn forbidden() -> Response {
    S3Error::new(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied").answer()
}

pub(in super::super) fn slow_down() -> Response {
    let what = "Please reduce your request rate.";
    S3Error::new(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", what).answer()
}

fn no_such_upload() -> S3Error {
    let what = "The specified upload does not exist. The upload ID may be invalid, or the upload \
                may have been aborted or completed.";
    S3Error::new(StatusCode::NOT_FOUND, "NoSuchUpload", what)
}

fn bad_signature() -> S3Error {
    let what = "The request signature we calculated does not match the signature you provided. \
                Check your key and signing method.";
    S3Error::new(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", what)
}

/// Whether the link is one of ours, and still good.
fn check_link(ask: &Ask, upload: &str, part: Option<u32>) -> Result<(), S3Error> {
    let param = |name| ask.param(name).unwrap_or_default();
    let (expires, nonce, given) = (param("Expires"), param("Nonce"), param("Signature"));
    if given != signature(&ask.house, upload, part, expires, nonce)
        || ask.param("uploadId") != Some(upload)
    {
        return Err(bad_signature());
    }
    let until = expires
        .parse()
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    if until.is_none_or(|until| until < ask.now) || ask.house.is_revoked(given) {
        return Err(S3Error::new(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "Request has expired",
        ));
    }
    Ok(())
}

/// Whether the headers are what the link was signed for.
fn check_headers(ask: &Ask, upload: &JwUpload) -> Result<u64, S3Error> {
    if ask.headers.contains_key(header::AUTHORIZATION) {
        let what = "Only one auth mechanism allowed; only the query parameters or the Authorization \
                    header should be specified";
        return Err(S3Error::new(
            StatusCode::BAD_REQUEST,
            "InvalidArgument",
            what,
        ));
    }
    let given = ask.header(header::CONTENT_TYPE);
    // A part's link is signed without a type, a direct one with the type that was announced.
    let signed = upload.mime_type.as_deref().filter(|_| !upload.multipart);
    if given != signed {
        return Err(bad_signature());
    }
    if ask.headers.contains_key(header::TRANSFER_ENCODING) {
        let what = "A header you provided implies functionality that is not implemented.";
        return Err(S3Error::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            what,
        ));
    }
    match ask.content_length() {
        None => Err(S3Error::new(
            StatusCode::LENGTH_REQUIRED,
            "MissingContentLength",
            "You must provide the Content-Length HTTP header.",
        )),
        Some(length) if length > LARGEST => Err(S3Error::new(
            StatusCode::BAD_REQUEST,
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed size",
        )),
        Some(length) => Ok(length),
    }
}

/// Whether parts in a row, from 1, may become an object.
pub(super) fn check_sizes(parts: &[Stored]) -> Result<(), S3Error> {
    let before_last = parts.split_last().map_or(&[][..], |(_, before)| before);
    match before_last
        .iter()
        .zip(1..)
        .find(|(part, _)| part.size < PART_MIN)
    {
        None => Ok(()),
        Some((part, number)) => {
            let what = format!(
                "part {number} has {} bytes; all but the last need {PART_MIN}.",
                part.size
            );
            Err(S3Error::new(
                StatusCode::BAD_REQUEST,
                "EntityTooSmall",
                what,
            ))
        }
    }
}

/// Takes the bytes put to a link.
pub(in super::super) async fn put(
    ask: &Ask,
    upload: &str,
    part: Option<u32>,
    payload: &mut Payload,
) -> Response {
    take(ask, upload, part, payload)
        .await
        .unwrap_or_else(S3Error::answer)
}

async fn take(
    ask: &Ask,
    upload_id: &str,
    part: Option<u32>,
    payload: &mut Payload,
) -> Result<Response, S3Error> {
    check_link(ask, upload_id, part)?;
    let store = &ask.house.store;
    let (id, upload) = store
        .catalog()
        .by_upload(upload_id)
        .and_then(|media| Some((media.id.clone(), media.upload.clone()?)))
        .filter(|(_, upload)| upload.multipart == part.is_some())
        .ok_or_else(no_such_upload)?;
    check_headers(ask, &upload)?;
    let place = part.map_or(Place::Whole, |number| Place::Part { number, of: None });

    let mut intake = payload.stream().ok_or_else(S3Error::internal)?;
    let attempt = store.attempt(&id, place, false);
    let sink = store.receive()?;
    while let Some(frame) = intake.frame().await {
        // The client is gone, or is being cut off: the answer is for nobody.
        let block = frame.map_err(|_| S3Error::internal())?.into_data();
        let block = block.unwrap_or_default();
        attempt.received(block.len());
        sink.write(block).await;
    }
    drop(attempt);
    let arrived = sink.finish().await?;
    let etag = format!("\"{}\"", hex(&arrived.md5));
    let open = |media: &Media| {
        let same = media.upload.as_ref().is_some_and(|now| now.id == upload_id);
        // A direct link takes the file again as often as it is sent, as any object in S3.
        if same && (media.completed.is_none() || !upload.multipart) {
            Ok(())
        } else {
            Err(Refused::Closed)
        }
    };
    match store.keep(&id, place, arrived, open, |_| ()) {
        Ok(Some(())) => {}
        Ok(None) | Err(Refused::Closed) => return Err(no_such_upload()),
        Err(Refused::Disk(error)) => return Err(error.into()),
    }
    if !upload.multipart {
        store.change(&id, |media| {
            media.completed = Some(ask.now);
            media.whole = None;
        })?;
        store.assemble(&id);
    }
    let mut reply = Response::new(Body::empty());
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        reply.headers_mut().insert(header::ETAG, etag);
    }
    Ok(reply)
}

/// Why bytes that arrived were not kept.
enum Refused {
    Closed,
    Disk(std::io::Error),
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}
