//! JW Player's multipart uploads: which parts are there, and the end of it.

use axum::response::Response;
use hyper::StatusCode;
use serde_json::json;

use super::{Refusal, broken, not_found, number, storage};
use crate::sandbox::{
    media::{Media, Place},
    request::{Ask, json},
    sign,
};

/// Parts an upload has room for, put or not.
const PARTS: u64 = 10_000;

/// The least that any part but the last must have, in bytes.
const PART_MIN: u64 = 5 * 1024 * 1024;

pub(super) fn list(ask: &Ask, upload: &str) -> Result<Response, Refusal> {
    let at = number(ask, "page", 1)?;
    let length = number(ask, "page_length", 10)?.min(ask.house.options.page_length_max);
    let catalog = ask.house.store.catalog();
    let media = catalog.by_upload(upload).ok_or_else(not_found)?;
    if media.completed.is_some() {
        return Err(done_already());
    }
    let first = (at - 1).saturating_mul(length).min(PARTS) + 1;
    let last = at.saturating_mul(length).min(PARTS);
    let parts: Vec<_> = (first..=last)
        .map(|id| {
            let stored = media
                .pieces
                .get(&id)
                .and_then(|piece| piece.stored.as_ref());
            match (stored, u32::try_from(id)) {
                (Some(stored), _) => json!({ "id": id, "etag": sign::hex(&stored.md5) }),
                (None, part) => {
                    json!({ "id": id, "upload_link": storage::link(ask, upload, part.ok()) })
                }
            }
        })
        .collect();
    let body = json!({ "page": at, "page_length": length, "total": PARTS, "parts": parts });
    Ok(json(StatusCode::OK, &body))
}

fn done_already() -> Refusal {
    let what = "The upload is complete already.";
    Refusal::new(StatusCode::CONFLICT, "conflict", what)
}

pub(super) fn complete(ask: &Ask, upload: &str) -> Result<Response, Refusal> {
    let store = &ask.house.store;
    let id = store
        .catalog()
        .by_upload(upload)
        .map(|media| media.id.clone())
        .ok_or_else(not_found)?;
    let truncate = ask.house.options.truncate_gaps;
    let left_out = store
        .change(&id, |media| {
            let kept = check_parts(media, truncate)?;
            let beyond = media.pieces.split_off(&(kept + 1));
            media.completed = Some(ask.now);
            Ok(beyond)
        })
        .map_err(|e| broken(&e))?
        .ok_or_else(not_found)??;
    for stored in left_out.into_values().filter_map(|piece| piece.stored) {
        if let Some(file) = stored.file {
            std::fs::remove_file(file).map_err(|e| broken(&e))?;
        }
    }
    store.assemble(&id);
    Ok(json(StatusCode::ACCEPTED, &json!({})))
}

/// The number of the last part that counts, if the upload can be completed.
fn check_parts(media: &Media, truncate: bool) -> Result<u64, Refusal> {
    if media.completed.is_some() {
        return Err(done_already());
    }
    let bad = |what: &str| Refusal::new(StatusCode::BAD_REQUEST, "invalid_upload", what);
    let there: Vec<(u64, u64)> = media
        .stored()
        .filter(|(piece, _)| matches!(piece.place, Place::Part { .. }))
        .map(|(piece, stored)| (piece.place.key(), stored.size))
        .collect();
    let in_a_row = (1..)
        .zip(&there)
        .take_while(|(wanted, (number, _))| wanted == number)
        .count();
    if in_a_row == 0 || (in_a_row < there.len() && !truncate) {
        return Err(bad("Parts are missing."));
    }
    let (last, before) = there[..in_a_row].split_last().ok_or_else(not_found)?;
    if let Some((number, size)) = before.iter().find(|(_, size)| *size < PART_MIN) {
        return Err(bad(&format!(
            "EntityTooSmall: part {number} has {size} bytes; all but the last need {PART_MIN}."
        )));
    }
    Ok(last.0)
}
