//! JW Player's API as its clients know it: media, uploads, parts; the bytes go to `storage`.

mod query;
mod storage;

use axum::{body::Body, response::Response};
use hyper::{Method, StatusCode, header::HeaderValue};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    budget::{Allowance, Class},
    faults::Step,
    media::{JwUpload, Media, Place, Stage, Vendor},
    server::{Ask, House, Payload, Subject, json},
    sign,
};

/// Parts an upload has room for, put or not.
const PARTS: u64 = 10_000;

/// The least that any part but the last must have, in bytes.
const PART_MIN: u64 = 5 * 1024 * 1024;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Create {
        site: String,
    },
    Find {
        site: String,
    },
    Get {
        site: String,
        media: String,
    },
    Delete {
        site: String,
        media: String,
    },
    Reupload {
        site: String,
        media: String,
    },
    List {
        upload: String,
    },
    Complete {
        upload: String,
    },
    /// Bytes to a storage link.
    Put {
        upload: String,
        part: Option<u32>,
    },
    WrongMethod,
    Unknown,
}

impl Call {
    pub(super) fn of(ask: &Ask) -> Self {
        let path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
        let own = |text: &str| text.to_owned();
        let method = &ask.method;
        match *path.as_slice() {
            ["v1" | "v2", "sites", site, "media"] => match *method {
                Method::POST => Self::Create { site: own(site) },
                Method::GET => Self::Find { site: own(site) },
                _ => Self::WrongMethod,
            },
            ["v1" | "v2", "sites", site, "media", media] => {
                let (site, media) = (own(site), own(media));
                match *method {
                    Method::GET => Self::Get { site, media },
                    Method::DELETE => Self::Delete { site, media },
                    _ => Self::WrongMethod,
                }
            }
            ["v1" | "v2", "sites", site, "media", media, "reupload"] if method == Method::PUT => {
                Self::Reupload {
                    site: own(site),
                    media: own(media),
                }
            }
            ["v1" | "v2", "uploads", upload, "parts"] if method == Method::GET => Self::List {
                upload: own(upload),
            },
            ["v1" | "v2", "uploads", upload, "complete"] if method == Method::PUT => {
                Self::Complete {
                    upload: own(upload),
                }
            }
            [storage::PATH, upload] if method == Method::PUT => Self::Put {
                upload: own(upload),
                part: ask.param("partNumber").and_then(|part| part.parse().ok()),
            },
            ["v1" | "v2", "sites", _, "media", _, "reupload"]
            | ["v1" | "v2", "uploads", _, "parts" | "complete"]
            | [storage::PATH, _] => Self::WrongMethod,
            _ => Self::Unknown,
        }
    }

    pub(super) fn step(&self) -> Step {
        match self {
            Self::Create { .. } | Self::Reupload { .. } => Step::Create,
            Self::Find { .. } => Step::Find,
            Self::Get { .. } => Step::Status,
            Self::Delete { .. } => Step::Delete,
            Self::List { .. } => Step::List,
            Self::Complete { .. } => Step::Complete,
            Self::Put { .. } => Step::Part,
            Self::WrongMethod | Self::Unknown => Step::Other,
        }
    }

    pub(super) fn subject(&self, ask: &Ask, payload: &[u8]) -> Subject {
        let catalog = ask.house.store.catalog();
        let media = match self {
            Self::Get { media, .. } | Self::Delete { media, .. } | Self::Reupload { media, .. } => {
                catalog.get(media)
            }
            Self::List { upload } | Self::Complete { upload } | Self::Put { upload, .. } => {
                catalog.by_upload(upload)
            }
            _ => None,
        };
        let title = match self {
            Self::Create { .. } => serde_json::from_slice::<Value>(payload)
                .ok()
                .and_then(|body| Some(body["metadata"]["title"].as_str()?.to_owned())),
            _ => media.map(|media| media.title.clone()),
        };
        let part = match self {
            // A direct upload is its own first part.
            Self::Put { part, .. } => Some(part.map_or(1, u64::from)),
            _ => None,
        };
        Subject {
            media: media.map(|media| media.id.clone()),
            title,
            part,
        }
    }

    pub(super) fn failed(&self, status: StatusCode) -> Response {
        match self {
            Self::Put { .. } => storage::failed(status),
            _ => error(status, "internal_error", "Something went wrong."),
        }
    }

    pub(super) fn rate_limited(&self) -> Response {
        match self {
            Self::Put { .. } => storage::slow_down(),
            _ => {
                let mut reply = too_many();
                let headers = reply.headers_mut();
                headers.insert("jw-request-limit", HeaderValue::from_static("60"));
                headers.insert("jw-request-remaining", HeaderValue::from_static("0"));
                reply
            }
        }
    }

    pub(super) async fn answer(&self, ask: &Ask, payload: &mut Payload) -> Response {
        if let Self::Put { upload, part } = self {
            return storage::put(ask, upload, *part, payload).await;
        }
        let allowance = ask.house.budget.take(Class::JwPlayer, Instant::now());
        let mut reply = match allowance {
            Some(Allowance {
                remaining: None, ..
            }) => too_many(),
            _ => self
                .call(ask, payload.small())
                .unwrap_or_else(|error| error),
        };
        if let Some(Allowance {
            limit, remaining, ..
        }) = allowance
        {
            let headers = reply.headers_mut();
            headers.insert("jw-request-limit", limit.into());
            headers.insert("jw-request-remaining", remaining.unwrap_or(0).into());
        }
        reply
    }

    fn call(&self, ask: &Ask, body: &[u8]) -> Result<Response, Response> {
        match self {
            Self::Create { site } => {
                authorize(ask, site)?;
                create(ask, body)
            }
            Self::Find { site } => {
                authorize(ask, site)?;
                find(ask)
            }
            Self::Get { site, media } => {
                authorize(ask, site)?;
                let catalog = ask.house.store.catalog();
                let media = catalog.get(media).filter(is_ours).ok_or_else(not_found)?;
                Ok(json(StatusCode::OK, &show(&ask.house, media, ask.now)))
            }
            Self::Delete { site, media } => {
                authorize(ask, site)?;
                delete(ask, media)
            }
            Self::Reupload { site, media } => {
                authorize(ask, site)?;
                reupload(ask, media, body)
            }
            Self::List { upload } => {
                authorize_upload(ask, upload)?;
                list(ask, upload)
            }
            Self::Complete { upload } => {
                authorize_upload(ask, upload)?;
                complete(ask, upload)
            }
            Self::WrongMethod => Err(error(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed.",
            )),
            Self::Put { .. } | Self::Unknown => Err(not_found()),
        }
    }
}

fn error(status: StatusCode, code: &str, description: &str) -> Response {
    let body = json!({ "errors": [{ "code": code, "description": description }] });
    json(status, &body)
}

fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "not_found", "Not found.")
}

fn invalid_body(description: &str) -> Response {
    error(StatusCode::BAD_REQUEST, "invalid_body", description)
}

fn too_many() -> Response {
    let what = "The rate limit of this API key is exceeded.";
    error(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", what)
}

fn broken(error: &std::io::Error) -> Response {
    tracing::debug!(%error, "the storage failed");
    self::error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        "Something went wrong.",
    )
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape `Option::filter` wants
fn is_ours(media: &&Media) -> bool {
    media.vendor == Vendor::JwPlayer
}

/// Whether the caller may use this site.
fn authorize(ask: &Ask, site: &str) -> Result<(), Response> {
    let options = &ask.house.options;
    match ask.bearer() {
        Some(secret) if secret == options.secret => {}
        Some(_) => {
            let what = "The API secret is not valid.";
            return Err(error(StatusCode::UNAUTHORIZED, "unauthorized", what));
        }
        None => {
            let what = "An authorization header with an API secret is needed.";
            return Err(error(StatusCode::UNAUTHORIZED, "unauthorized", what));
        }
    }
    if site == options.site_id {
        Ok(())
    } else {
        let what = "The API secret gives no access to this site.";
        Err(error(StatusCode::FORBIDDEN, "forbidden", what))
    }
}

fn upload_token(house: &House, upload: &str) -> String {
    house.key.sign(&["upload", upload])
}

/// Whether the caller may go on with this upload.
fn authorize_upload(ask: &Ask, upload: &str) -> Result<(), Response> {
    let Some(token) = ask.bearer() else {
        let what = "An authorization header with an upload token is needed.";
        return Err(error(StatusCode::UNAUTHORIZED, "unauthorized", what));
    };
    if ask.house.store.catalog().by_upload(upload).is_none() {
        return Err(not_found());
    }
    if token != upload_token(&ask.house, upload) || ask.house.is_revoked(token) {
        let what = "The upload token is not valid.";
        return Err(error(StatusCode::FORBIDDEN, "forbidden", what));
    }
    Ok(())
}

/// The body of a create, checked.
fn parse_create(body: &[u8]) -> Result<(JwUpload, Map<String, Value>), Response> {
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
    let upload = JwUpload {
        id: sign::id(32),
        multipart,
        mime_type,
    };
    Ok((upload, metadata))
}

fn check_metadata(metadata: &Map<String, Value>) -> Result<(), Response> {
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

fn create(ask: &Ask, body: &[u8]) -> Result<Response, Response> {
    let (upload, metadata) = parse_create(body)?;
    let media = Media {
        id: sign::id(8),
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
            out["upload_link"] = json!(storage::link(ask, &upload.id, None));
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

fn show(house: &House, media: &Media, now: Timestamp) -> Value {
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

/// A number from the query, from 1.
fn number(ask: &Ask, name: &str, default: u64) -> Result<u64, Response> {
    let Some(text) = ask.param(name) else {
        return Ok(default);
    };
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| {
            let what = format!("{name}: must be a number from 1.");
            error(StatusCode::BAD_REQUEST, "invalid_query", &what)
        })
}

fn page<T>(all: Vec<T>, page: u64, length: u64) -> Vec<T> {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    all.into_iter()
        .skip(size((page - 1).saturating_mul(length)))
        .take(size(length))
        .collect()
}

fn find(ask: &Ask) -> Result<Response, Response> {
    let (at, length) = (number(ask, "page", 1)?, number(ask, "page_length", 10)?);
    let invalid = |what: &str| error(StatusCode::BAD_REQUEST, "invalid_query", what);
    let wanted = ask
        .param("q")
        .map(query::parse)
        .transpose()
        .map_err(|what| invalid(&format!("q: {what}")))?;
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

fn delete(ask: &Ask, id: &str) -> Result<Response, Response> {
    let store = &ask.house.store;
    store
        .catalog()
        .get(id)
        .filter(is_ours)
        .ok_or_else(not_found)?;
    store.drop_bytes(id).map_err(|e| broken(&e))?;
    store
        .change(id, |media| media.deleted = true)
        .map_err(|e| broken(&e))?
        .ok_or_else(not_found)?;
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    Ok(reply)
}

fn reupload(ask: &Ask, id: &str, body: &[u8]) -> Result<Response, Response> {
    let (upload, _) = parse_create(body)?;
    let store = &ask.house.store;
    store
        .catalog()
        .get(id)
        .filter(is_ours)
        .ok_or_else(not_found)?;
    store.drop_bytes(id).map_err(|e| broken(&e))?;
    let media = store
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

fn list(ask: &Ask, upload: &str) -> Result<Response, Response> {
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

fn done_already() -> Response {
    let what = "The upload is complete already.";
    error(StatusCode::CONFLICT, "conflict", what)
}

fn complete(ask: &Ask, upload: &str) -> Result<Response, Response> {
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
fn check_parts(media: &Media, truncate: bool) -> Result<u64, Response> {
    if media.completed.is_some() {
        return Err(done_already());
    }
    let bad = |what: &str| error(StatusCode::BAD_REQUEST, "invalid_upload", what);
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
