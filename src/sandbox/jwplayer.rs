//! JW Player's API as its clients know it: media, uploads, parts; the bytes go to `storage`.

mod media;
mod query;
mod storage;
mod upload;

use axum::response::Response;
use hyper::{Method, StatusCode, header::HeaderValue};
use serde_json::{Value, json};
use tokio::time::Instant;

pub(super) use self::storage::Storage;
use self::storage::here;
use super::{
    budget::{Allowance, Class},
    faults::Step,
    house::House,
    media::{Media, Vendor},
    request::{Ask, Payload, Subject, json},
};
use crate::format::hex;

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
            [here::PATH, upload] if method == Method::PUT => Self::Put {
                upload: own(upload),
                part: ask.param("partNumber").and_then(|part| part.parse().ok()),
            },
            ["v1" | "v2", "sites", _, "media", _, "reupload"]
            | ["v1" | "v2", "uploads", _, "parts" | "complete"]
            | [here::PATH, _] => Self::WrongMethod,
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
            Self::Put { .. } => here::failed(status),
            _ => internal(status).answer(),
        }
    }

    pub(super) fn forbidden(&self) -> Response {
        if let Self::Put { .. } = self {
            return here::forbidden();
        }
        let what = "You are not allowed to do this.";
        Refusal::new(StatusCode::FORBIDDEN, "forbidden", what).answer()
    }

    pub(super) fn rate_limited(&self) -> Response {
        if let Self::Put { .. } = self {
            return here::slow_down();
        }
        let mut reply = too_many().answer();
        let headers = reply.headers_mut();
        headers.insert("jw-request-limit", HeaderValue::from_static("60"));
        headers.insert("jw-request-remaining", HeaderValue::from_static("0"));
        reply
    }

    pub(super) async fn answer(&self, ask: &Ask, payload: &mut Payload) -> Response {
        if let Self::Put { upload, part } = self {
            return here::put(ask, upload, *part, payload).await;
        }
        let body = payload.small();
        let allowance = ask.house.budget.take(Class::JwPlayer, Instant::now());
        let mut reply = match allowance {
            Some(Allowance {
                remaining: None, ..
            }) => too_many().answer(),
            _ => self.call(ask, body).await.unwrap_or_else(Refusal::answer),
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

    async fn call(&self, ask: &Ask, body: &[u8]) -> Result<Response, Refusal> {
        match self {
            Self::Create { site } => {
                authorize(ask, site)?;
                media::create(ask, body).await
            }
            Self::Find { site } => {
                authorize(ask, site)?;
                media::find(ask).await
            }
            Self::Get { site, media } => {
                authorize(ask, site)?;
                media::get(ask, media).await
            }
            Self::Delete { site, media } => {
                authorize(ask, site)?;
                media::delete(ask, media).await
            }
            Self::Reupload { site, media } => {
                authorize(ask, site)?;
                media::reupload(ask, media, body).await
            }
            Self::List { upload } => {
                authorize_upload(ask, upload)?;
                upload::list(ask, upload).await
            }
            Self::Complete { upload } => {
                authorize_upload(ask, upload)?;
                upload::complete(ask, upload).await
            }
            Self::WrongMethod => Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed.",
            )),
            Self::Put { .. } | Self::Unknown => Err(not_found()),
        }
    }
}

/// An error as JW Player writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    description: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, description: &str) -> Self {
        Self {
            status,
            code,
            description: description.to_owned(),
        }
    }

    fn answer(self) -> Response {
        let error = json!({ "code": self.code, "description": self.description });
        json(self.status, &json!({ "errors": [error] }))
    }
}

fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", "Not found.")
}

fn invalid_body(description: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_body", description)
}

fn too_many() -> Refusal {
    let what = "The rate limit of this API key is exceeded.";
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", what)
}

fn internal(status: StatusCode) -> Refusal {
    Refusal::new(status, "internal_error", "Something went wrong.")
}

/// Makes a list of parts report the last one on the page as received. Returns whether there is one.
pub(super) fn odd_ranges(page: &mut Value) -> bool {
    let parts = page["parts"].as_array_mut();
    let Some(last) = parts.and_then(|parts| parts.last_mut()) else {
        return false;
    };
    *last = json!({ "id": last["id"], "etag": hex(&[0xab; 16]) });
    true
}

/// A list of media objects that has none.
pub(super) fn empty_list() -> Response {
    let body = json!({ "page": 1, "page_length": 10, "total": 0, "media": [] });
    json(StatusCode::OK, &body)
}

fn broken(error: &std::io::Error) -> Refusal {
    tracing::debug!(%error, "the storage failed");
    internal(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The storage has no bytes, or does not take any, and the caller is not at fault.
fn unstored(error: &storage::S3Error) -> Refusal {
    tracing::warn!(%error, "the storage failed");
    internal(StatusCode::INTERNAL_SERVER_ERROR)
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape `Option::filter` wants
fn is_ours(media: &&Media) -> bool {
    media.vendor == Vendor::JwPlayer
}

/// Whether the caller may use this site.
fn authorize(ask: &Ask, site: &str) -> Result<(), Refusal> {
    let options = &ask.house.options;
    match ask.bearer() {
        Some(secret) if secret == options.secret => {}
        Some(_) => {
            let what = "The API secret is not valid.";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", what));
        }
        None => {
            let what = "An authorization header with an API secret is needed.";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", what));
        }
    }
    if site == options.site_id {
        Ok(())
    } else {
        let what = "The API secret gives no access to this site.";
        Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", what))
    }
}

fn upload_token(house: &House, upload: &str) -> String {
    house.key.sign(&["upload", upload])
}

/// Whether the caller may go on with this upload.
fn authorize_upload(ask: &Ask, upload: &str) -> Result<(), Refusal> {
    let Some(token) = ask.bearer() else {
        let what = "An authorization header with an upload token is needed.";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", what));
    };
    if ask.house.store.catalog().by_upload(upload).is_none() {
        return Err(not_found());
    }
    if token != upload_token(&ask.house, upload) || ask.house.is_revoked(token) {
        let what = "The upload token is not valid.";
        return Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", what));
    }
    Ok(())
}

/// A number from the query, from 1.
fn number(ask: &Ask, name: &str, default: u64) -> Result<u64, Refusal> {
    let Some(text) = ask.param(name) else {
        return Ok(default);
    };
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| {
            let what = format!("{name}: must be a number from 1.");
            Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", &what)
        })
}
