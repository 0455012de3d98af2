//! JW Player's media objects: made, shown, searched, removed.

use axum::{body::Body, response::Response};
use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Refusal, broken, invalid_body, is_ours, not_found, number, query, unstored, upload_token,
};
use crate::sandbox::{
    house::House,
    media::{JwUpload, Media, Stage, Vendor},
    request::{Ask, json},
    sign,
};

/// How the bytes of a media object shall come.
struct Wanted {
    multipart: bool,
    mime_type: Option<String>,
}

/// The body of a create, checked.
fn parse_create(body: &[u8]) -> Result<(Wanted, Map<String, Value>), Refusal> {
    let body: Value = match body {
        [] => json!({}),
        body => serde_json::from_slice(body).map_err(|_| invalid_body("The body is no JSON."))?,
    };
    let Value::Object(mut body) = body else {
        return Err(invalid_body("The body is no JSON object."));
    };
    let metadata = match body.remove("metadata") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(metadata)) => metadata,
        Some(_) => return Err(invalid_body("metadata: must be an object.")),
    };
    check_metadata(&metadata)?;
    let upload = body.remove("upload").unwrap_or_else(|| json!({}));
    let multipart = match upload["method"].as_str() {
        None if upload["method"].is_null() => false,
        Some("direct") => false,
        Some("multipart") => true,
        Some("fetch" | "external") => {
            return Err(invalid_body("upload.method: this sandbox fetches nothing."));
        }
        _ => {
            return Err(invalid_body(
                "upload.method: must be one of direct, multipart, fetch, external.",
            ));
        }
    };
    let mime_type = match &upload["mime_type"] {
        Value::Null => None,
        Value::String(mime) if mime.contains('/') => Some(mime.clone()),
        _ => return Err(invalid_body("upload.mime_type: must be a media type.")),
    };
    let wanted = Wanted {
        multipart,
        mime_type,
    };
    Ok((wanted, metadata))
}

fn check_metadata(metadata: &Map<String, Value>) -> Result<(), Refusal> {
    for (key, value) in metadata {
        let (good, wanted) = match key.as_str() {
            "title" | "description" | "author" | "permalink" | "category" | "external_id"
            | "language" => (value.is_string() || value.is_null(), "must be a string."),
            "publish_start_date" | "publish_end_date" => (
                value.is_null()
                    || value
                        .as_str()
                        .is_some_and(|date| date.parse::<Timestamp>().is_ok()),
                "must be an ISO 8601 date.",
            ),
            "tags" => (
                value
                    .as_array()
                    .is_some_and(|tags| tags.iter().all(Value::is_string)),
                "must be a list of strings.",
            ),
            "custom_params" => (
                value
                    .as_object()
                    .is_some_and(|params| params.values().all(Value::is_string)),
                "must be an object of strings.",
            ),
            _ => (false, "is not known."),
        };
        if !good {
            return Err(invalid_body(&format!("metadata.{key}: {wanted}")));
        }
    }
    Ok(())
}

fn text(metadata: &Map<String, Value>, key: &str) -> Option<String> {
    Some(metadata.get(key)?.as_str()?.to_owned())
}

/// The upload for a media object, begun.
async fn begin(ask: &Ask, media: &str, wanted: Wanted) -> Result<JwUpload, Refusal> {
    let begun = ask.house.storage.begin(media, wanted.multipart).await;
    Ok(JwUpload {
        id: begun.map_err(|error| unstored(&error))?,
        multipart: wanted.multipart,
        mime_type: wanted.mime_type,
    })
}

pub(super) async fn create(ask: &Ask, body: &[u8]) -> Result<Response, Refusal> {
    let (wanted, metadata) = parse_create(body)?;
    let id = sign::id(8);
    let upload = begin(ask, &id, wanted).await?;
    let media = Media {
        id,
        vendor: Vendor::JwPlayer,
        title: text(&metadata, "title").unwrap_or_default(),
        marker: text(&metadata, "external_id"),
        order: 0,
        created: ask.now,
        completed: None,
        deleted: false,
        unplayable: false,
        details: Value::Object(metadata),
        upload: Some(upload),
        whole: None,
        pieces: std::collections::BTreeMap::new(),
        refused: crate::sandbox::media::Refused::default(),
    };
    let media = ask.house.store.create(media).map_err(|e| broken(&e))?;
    Ok(json(StatusCode::CREATED, &with_way_in(ask, &media)))
}

/// The media object with where its bytes are to go.
fn with_way_in(ask: &Ask, media: &Media) -> Value {
    let mut out = show(&ask.house, media, ask.now);
    if let Some(upload) = &media.upload {
        if upload.multipart {
            out["upload_id"] = json!(upload.id);
            out["upload_token"] = json!(upload_token(&ask.house, &upload.id));
        } else {
            let link = ask.house.storage.link(ask, &media.id, upload, None);
            out["upload_link"] = json!(link);
        }
    }
    out
}

fn status(house: &House, media: &Media, now: Timestamp) -> &'static str {
    match media.stage(now, house.options.processing) {
        Stage::Created | Stage::Uploading | Stage::Deleted => "created",
        Stage::Processing(_) => "processing",
        Stage::Ready => "ready",
        Stage::Failed => "failed",
    }
}

pub(super) fn show(house: &House, media: &Media, now: Timestamp) -> Value {
    let status = status(house, media, now);
    json!({
        "id": media.id,
        "type": "media",
        "created": media.created.to_string(),
        "last_modified": media.completed.unwrap_or(media.created).to_string(),
        "status": status,
        "error_message": (status == "failed").then_some("The original could not be processed."),
        "duration": if status == "ready" { json!(60.0) } else { Value::Null },
        "media_type": "video",
        "hosting_type": "hosted",
        "mime_type": media.upload.as_ref().and_then(|upload| upload.mime_type.clone()),
        "metadata": media.details,
        "relationships": {},
        "schema": Value::Null,
    })
}

fn page<T>(all: Vec<T>, page: u64, length: u64) -> Vec<T> {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    all.into_iter()
        .skip(size((page - 1).saturating_mul(length)))
        .take(size(length))
        .collect()
}

pub(super) async fn get(ask: &Ask, id: &str) -> Result<Response, Refusal> {
    let house = &ask.house;
    let looked = house.storage.look(house, id, ask.now).await;
    looked.map_err(|error| unstored(&error))?;
    let catalog = house.store.catalog();
    let media = catalog.get(id).filter(is_ours).ok_or_else(not_found)?;
    Ok(json(StatusCode::OK, &show(house, media, ask.now)))
}

pub(super) async fn find(ask: &Ask) -> Result<Response, Refusal> {
    let (at, length) = (number(ask, "page", 1)?, number(ask, "page_length", 10)?);
    let invalid = |what: &str| Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", what);
    let wanted = ask
        .param("q")
        .map(query::parse)
        .transpose()
        .map_err(|what| invalid(&format!("q: {what}")))?;
    ask.house.storage.look_at_all(&ask.house, ask.now).await;
    let catalog = ask.house.store.catalog();
    let mut found: Vec<&Media> = catalog
        .all()
        .into_iter()
        .filter(|media| is_ours(media) && !media.deleted)
        .filter(|media| {
            wanted.as_ref().is_none_or(|wanted| {
                wanted.matches(&|field| match field {
                    "id" => vec![media.id.clone()],
                    "status" => vec![status(&ask.house, media, ask.now).to_owned()],
                    "tags" => media.details["tags"]
                        .as_array()
                        .map(|tags| {
                            let texts = tags.iter().filter_map(Value::as_str);
                            texts.map(str::to_owned).collect()
                        })
                        .unwrap_or_default(),
                    field => media.details[field]
                        .as_str()
                        .map(|text| vec![text.to_owned()])
                        .unwrap_or_default(),
                })
            })
        })
        .collect();
    // Newest first, as the API sorts unless told otherwise.
    if ask.param("sort") != Some("created:asc") {
        found.reverse();
    }
    let total = found.len();
    let media: Vec<_> = page(found, at, length)
        .into_iter()
        .map(|media| show(&ask.house, media, ask.now))
        .collect();
    let body = json!({ "page": at, "page_length": length, "total": total, "media": media });
    Ok(json(StatusCode::OK, &body))
}

async fn drop_bytes(ask: &Ask, id: &str) -> Result<(), Refusal> {
    let house = &ask.house;
    house
        .store
        .catalog()
        .get(id)
        .filter(is_ours)
        .ok_or_else(not_found)?;
    let removed = house.storage.remove(house, id).await;
    removed.map_err(|error| unstored(&error))
}

pub(super) async fn delete(ask: &Ask, id: &str) -> Result<Response, Refusal> {
    drop_bytes(ask, id).await?;
    ask.house
        .store
        .change(id, |media| media.deleted = true)
        .map_err(|e| broken(&e))?
        .ok_or_else(not_found)?;
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    Ok(reply)
}

pub(super) async fn reupload(ask: &Ask, id: &str, body: &[u8]) -> Result<Response, Refusal> {
    let (wanted, _) = parse_create(body)?;
    drop_bytes(ask, id).await?;
    let upload = begin(ask, id, wanted).await?;
    let media = ask
        .house
        .store
        .change(id, |media| {
            media.upload = Some(upload);
            media.completed = None;
            media.whole = None;
            media.pieces.clear();
            media.clone()
        })
        .map_err(|e| broken(&e))?
        .ok_or_else(not_found)?;
    Ok(json(StatusCode::OK, &with_way_in(ask, &media)))
}
