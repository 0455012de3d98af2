//! api.video's API as its clients know it: tokens, videos, progressive upload.

mod auth;
mod chunk;
mod show;
mod upload;

use axum::{body::Body, response::Response};
use hyper::{Method, StatusCode, header::HeaderValue};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::chunk::Chunk;
use super::{
    budget::{Allowance, Class},
    faults::Step,
    media::{Media, Vendor},
    request::{Ask, Payload, Subject, json, with_type},
    sign,
};

/// The `metadata` key under which a client may keep an id of its own.
const MARKER: &str = "reelhaul";

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    LogIn,
    Refresh,
    Create,
    Find,
    Get {
        video: String,
    },
    Status {
        video: String,
    },
    Delete {
        video: String,
    },
    /// A chunk, or the whole file, for a video that is there.
    Source {
        video: String,
    },
    MakeUploadToken,
    /// A chunk, or the whole file, with an upload token instead of a login.
    Delegated,
    Unknown,
}

impl Call {
    pub(super) fn of(ask: &Ask) -> Self {
        let path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
        let own = |text: &str| text.to_owned();
        match (&ask.method, path.as_slice()) {
            (&Method::POST, ["auth", "api-key"]) => Self::LogIn,
            (&Method::POST, ["auth", "refresh"]) => Self::Refresh,
            (&Method::POST, ["videos"]) => Self::Create,
            (&Method::GET, ["videos"]) => Self::Find,
            (&Method::GET, ["videos", video]) => Self::Get { video: own(video) },
            (&Method::DELETE, ["videos", video]) => Self::Delete { video: own(video) },
            (&Method::GET, ["videos", video, "status"]) => Self::Status { video: own(video) },
            (&Method::POST, ["videos", video, "source"]) => Self::Source { video: own(video) },
            (&Method::POST, ["upload-tokens"]) => Self::MakeUploadToken,
            (&Method::POST, ["upload"]) => Self::Delegated,
            _ => Self::Unknown,
        }
    }

    pub(super) fn step(&self) -> Step {
        match self {
            Self::LogIn => Step::Auth,
            Self::Refresh | Self::MakeUploadToken => Step::Token,
            Self::Create => Step::Create,
            Self::Find => Step::Find,
            Self::Get { .. } | Self::Status { .. } => Step::Status,
            Self::Delete { .. } => Step::Delete,
            Self::Source { .. } | Self::Delegated => Step::Part,
            Self::Unknown => Step::Other,
        }
    }

    pub(super) fn subject(&self, ask: &Ask, payload: &[u8]) -> Subject {
        let catalog = ask.house.store.catalog();
        let media = match self {
            Self::Get { video }
            | Self::Status { video }
            | Self::Delete { video }
            | Self::Source { video } => catalog.get(video),
            _ => None,
        };
        let title = match self {
            Self::Create => serde_json::from_slice::<Value>(payload)
                .ok()
                .and_then(|body| Some(body["title"].as_str()?.to_owned())),
            _ => media.map(|media| media.title.clone()),
        };
        let part = match (self.step(), Chunk::of(ask)) {
            (Step::Part, Ok(Chunk::Part { number, .. })) => Some(u64::from(number)),
            (Step::Part, Ok(Chunk::Range { from, to, total })) => {
                media.map(|media| media.part_number(from, to, total))
            }
            (Step::Part, Ok(Chunk::Whole)) => Some(1),
            _ => None,
        };
        Subject {
            media: media.map(|media| media.id.clone()),
            title,
            part,
        }
    }

    fn class(&self) -> Option<Class> {
        match self {
            Self::LogIn | Self::Refresh | Self::Unknown => None,
            Self::Source { .. } | Self::Delegated => Some(Class::Uploads),
            Self::Create | Self::Delete { .. } | Self::MakeUploadToken => Some(Class::Writes),
            Self::Find | Self::Get { .. } | Self::Status { .. } => Some(Class::Reads),
        }
    }

    pub(super) async fn answer(&self, ask: &Ask, payload: &mut Payload) -> Response {
        let allowance = self
            .class()
            .and_then(|class| ask.house.budget.take(class, Instant::now()));
        let mut reply = match allowance {
            Some(Allowance {
                remaining: None, ..
            }) => too_many(),
            _ => self
                .call(ask, payload)
                .await
                .unwrap_or_else(Problem::answer),
        };
        if let Some(allowance) = allowance {
            ration_headers(&mut reply, allowance);
        }
        reply
    }

    async fn call(&self, ask: &Ask, payload: &mut Payload) -> Result<Response, Problem> {
        if !matches!(self, Self::LogIn | Self::Refresh | Self::Delegated) {
            auth::check(ask)?;
        }
        match self {
            Self::LogIn => auth::log_in(ask, payload.small()),
            Self::Refresh => auth::refresh(ask, payload.small()),
            Self::MakeUploadToken => auth::make_upload_token(ask, payload.small()),
            Self::Create => {
                let media = new_video(ask, payload.small())?;
                let media = ask.house.store.create(media).map_err(|e| broken(&e))?;
                Ok(json(StatusCode::CREATED, &show::video(&media)))
            }
            Self::Find => show::find(ask),
            Self::Get { video } => {
                let catalog = ask.house.store.catalog();
                let media = catalog.get(video).filter(is_ours).ok_or_else(not_found)?;
                Ok(json(StatusCode::OK, &show::video(media)))
            }
            Self::Status { video } => {
                let catalog = ask.house.store.catalog();
                let media = catalog.get(video).filter(is_ours).ok_or_else(not_found)?;
                let stage = media.stage(ask.now, ask.house.options.processing);
                Ok(json(StatusCode::OK, &show::status(media, stage)))
            }
            Self::Delete { video } => delete(ask, video),
            Self::Source { video } => upload::source(ask, video, payload).await,
            Self::Delegated => upload::delegated(ask, payload).await,
            Self::Unknown => Err(Problem::new(
                StatusCode::NOT_FOUND,
                "unrecognized-request-url",
                "Unrecognized request URL.",
            )),
        }
    }
}

/// An error as api.video writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    status: StatusCode,
    /// The last segment of its address in the vendor's reference.
    slug: &'static str,
    title: String,
    /// The field that is wrong.
    name: &'static str,
}

impl Problem {
    fn new(status: StatusCode, slug: &'static str, title: &str) -> Self {
        Self {
            status,
            slug,
            title: title.to_owned(),
            name: "",
        }
    }

    /// A 400 about this field.
    fn field(slug: &'static str, name: &'static str, title: &str) -> Self {
        Self {
            name,
            ..Self::new(StatusCode::BAD_REQUEST, slug, title)
        }
    }

    fn answer(self) -> Response {
        let kind = format!("https://docs.api.video/reference/{}", self.slug);
        let problem = json!({ "type": kind, "title": self.title, "name": self.name });
        let body = json!({
            "type": kind,
            "title": self.title,
            "name": self.name,
            "status": self.status.as_u16(),
            "problems": [problem],
        });
        with_type(self.status, "application/problem+json", body.to_string())
    }
}

fn not_found() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "resource-not-found",
        "The requested resource was not found.",
    )
}

fn broken(error: &std::io::Error) -> Problem {
    tracing::debug!(%error, "the storage failed");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal-server-error",
        "An internal error occurred.",
    )
}

pub(super) fn failed(status: StatusCode) -> Response {
    let title = match status {
        StatusCode::SERVICE_UNAVAILABLE => "The service is unavailable.",
        StatusCode::PAYLOAD_TOO_LARGE => "The body is too large.",
        _ => "An internal error occurred.",
    };
    Problem::new(status, "internal-server-error", title).answer()
}

/// What this key may not do.
pub(super) fn forbidden() -> Response {
    let what = "You are not allowed to do this.";
    Problem::new(StatusCode::FORBIDDEN, "forbidden", what).answer()
}

fn too_many() -> Response {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too-many-requests",
        "Too many requests.",
    )
    .answer()
}

/// Makes a status report other bytes than were received. Returns whether it could.
pub(super) fn odd_ranges(status: &mut Value) -> bool {
    show::make_odd(status)
}

/// A call too many, where nothing is rationed: to be tried again in a second.
pub(super) fn rate_limited() -> Response {
    let mut reply = too_many();
    for (name, value) in [
        ("x-ratelimit-limit", "100"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-retry-after", "1"),
    ] {
        reply
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    reply
}

fn ration_headers(reply: &mut Response, allowance: Allowance) {
    let headers = reply.headers_mut();
    headers.insert("x-ratelimit-limit", allowance.limit.into());
    headers.insert(
        "x-ratelimit-remaining",
        allowance.remaining.unwrap_or(0).into(),
    );
    if allowance.remaining.is_none() {
        let seconds = allowance.retry_after.as_secs() + 1;
        headers.insert("x-ratelimit-retry-after", seconds.into());
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape `Option::filter` wants
fn is_ours(media: &&Media) -> bool {
    media.vendor == Vendor::ApiVideo
}

/// The video a create asks for.
fn new_video(ask: &Ask, body: &[u8]) -> Result<Media, Problem> {
    let details: Value = serde_json::from_slice(body)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| Problem::field("invalid-json", "", "The body is no JSON object."))?;
    let title = match &details["title"] {
        Value::String(title) if !title.is_empty() => title.clone(),
        _ => {
            let what = "This value should not be blank.";
            return Err(Problem::field("invalid-attribute", "title", what));
        }
    };
    let fields: [(&'static str, bool); 5] = [
        (
            "description",
            is_or_null(&details["description"], Value::is_string),
        ),
        ("public", is_or_null(&details["public"], Value::is_boolean)),
        (
            "mp4Support",
            is_or_null(&details["mp4Support"], Value::is_boolean),
        ),
        (
            "tags",
            is_or_null(&details["tags"], |tags| list_of(tags, Value::is_string)),
        ),
        (
            "metadata",
            is_or_null(&details["metadata"], |all| {
                list_of(all, |pair| {
                    pair["key"].is_string() && pair["value"].is_string()
                })
            }),
        ),
    ];
    if let Some((name, _)) = fields.into_iter().find(|(_, good)| !good) {
        let what = "This value is not valid.";
        return Err(Problem::field("invalid-attribute", name, what));
    }
    if !details["source"].is_null() {
        let what = "This sandbox fetches nothing.";
        return Err(Problem::field("invalid-attribute", "source", what));
    }
    let marker = details["metadata"].as_array().and_then(|pairs| {
        let ours = pairs.iter().find(|pair| pair["key"] == MARKER)?;
        Some(ours["value"].as_str()?.to_owned())
    });
    Ok(video(ask, title, marker, details))
}

fn is_or_null(value: &Value, is: impl Fn(&Value) -> bool) -> bool {
    value.is_null() || is(value)
}

fn list_of(value: &Value, is: impl Fn(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|all| all.iter().all(is))
}

fn video(ask: &Ask, title: String, marker: Option<String>, details: Value) -> Media {
    Media {
        id: format!("vi{}", sign::id(22)),
        vendor: Vendor::ApiVideo,
        title,
        marker,
        order: 0,
        created: ask.now,
        completed: None,
        deleted: false,
        unplayable: false,
        details,
        upload: None,
        whole: None,
        pieces: std::collections::BTreeMap::new(),
        refused: crate::sandbox::media::Refused::default(),
    }
}

fn delete(ask: &Ask, id: &str) -> Result<Response, Problem> {
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
