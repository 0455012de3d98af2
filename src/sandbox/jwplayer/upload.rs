//! JW Player's multipart uploads: which parts are there, and the end of it.

use axum::response::Response;
use hyper::StatusCode;
use serde_json::json;

use super::{Refusal, broken, not_found, number, storage::S3Error, unstored};
use crate::sandbox::{
    media::{JwUpload, Media, Place, Stored},
    request::{Ask, json},
};

/// Parts an upload has room for, put or not.
const PARTS: u64 = 10_000;

pub(super) async fn list(ask: &Ask, upload: &str) -> Result<Response, Refusal> {
    let at = number(ask, "page", 1)?;
    let length = number(ask, "page_length", 10)?.min(ask.house.options.page_length_max);
    let (house, storage) = (&ask.house, &ask.house.storage);
    let (id, own) = the_upload(ask, upload)?;
    let looked = storage.look(house, &id, ask.now).await;
    looked.map_err(|error| unstored(&error))?;
    let catalog = house.store.catalog();
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
            match (stored, u16::try_from(id)) {
                (Some(stored), _) => json!({ "id": id, "etag": stored.etag() }),
                (None, part) => {
                    let link = storage.link(ask, &media.id, &own, part.ok());
                    json!({ "id": id, "upload_link": link })
                }
            }
        })
        .collect();
    house.stats.listed(parts.len());
    let body = json!({ "page": at, "page_length": length, "total": PARTS, "parts": parts });
    Ok(json(StatusCode::OK, &body))
}

fn done_already() -> Refusal {
    let what = "The upload is complete already.";
    Refusal::new(StatusCode::CONFLICT, "conflict", what)
}

/// The media object an upload is for, and the upload.
fn the_upload(ask: &Ask, upload: &str) -> Result<(String, JwUpload), Refusal> {
    let catalog = ask.house.store.catalog();
    let media = catalog.by_upload(upload).ok_or_else(not_found)?;
    let own = media.upload.clone().ok_or_else(not_found)?;
    Ok((media.id.clone(), own))
}

pub(super) async fn complete(ask: &Ask, upload: &str) -> Result<Response, Refusal> {
    let (house, store) = (&ask.house, &ask.house.store);
    let (id, _) = the_upload(ask, upload)?;
    let looked = house.storage.look(house, &id, ask.now).await;
    looked.map_err(|error| unstored(&error))?;
    let truncate = house.options.truncate_gaps;
    let parts = {
        let catalog = store.catalog();
        in_a_row(catalog.by_upload(upload).ok_or_else(not_found)?, truncate)?
    };
    let joined = house.storage.join(&id, upload, &parts).await;
    joined.map_err(|error| unjoined(&error))?;
    let left_out = store
        .change(&id, |media| {
            // A part that came meanwhile is not in what was joined.
            if in_a_row(media, truncate)? != parts {
                let what = "The parts have changed meanwhile.";
                return Err(Refusal::new(StatusCode::CONFLICT, "conflict", what));
            }
            let beyond = media.pieces.split_off(&(parts.len() as u64 + 1));
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
    house.storage.assemble(house, &id);
    Ok(json(StatusCode::ACCEPTED, &json!({})))
}

fn invalid(what: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_upload", what)
}

/// Why the storage made no object of the parts: its own words where they are at fault.
fn unjoined(error: &S3Error) -> Refusal {
    if error.status.is_client_error() {
        return invalid(&error.to_string());
    }
    unstored(error)
}

/// The parts an upload can be completed with: those in a row from 1.
fn in_a_row(media: &Media, truncate: bool) -> Result<Vec<Stored>, Refusal> {
    if media.completed.is_some() {
        return Err(done_already());
    }
    let there: Vec<_> = media
        .stored()
        .filter(|(piece, _)| matches!(piece.place, Place::Part { .. }))
        .collect();
    let parts: Vec<Stored> = (1..)
        .zip(&there)
        .take_while(|(wanted, (piece, _))| *wanted == piece.place.key())
        .map(|(_, (_, stored))| (*stored).clone())
        .collect();
    if parts.is_empty() || (parts.len() < there.len() && !truncate) {
        return Err(invalid("Parts are missing."));
    }
    Ok(parts)
}
