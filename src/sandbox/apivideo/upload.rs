//! Bytes that arrive as a form, for a video that is there or, with an upload token, for a new one.
//!
//! A form is always read to its end before it is judged, as the vendor does: an answer in mid-body
//! would be lost on clients that are still writing.

use axum::{
    extract::{DefaultBodyLimit, FromRequest, Multipart, multipart::Field},
    response::Response,
};
use hyper::{Request, StatusCode, header};
use serde_json::json;

use super::{
    Problem, auth, broken,
    chunk::{self, Chunk},
    is_ours, not_found, show, video,
};
use crate::sandbox::{
    media::Media,
    request::{Ask, Payload, json},
    store::{Arrived, Attempt},
    wire::Intake,
};

/// The most that is read of a field that is no file.
const FIELD_MAX: usize = 1024;

/// What a form held.
#[derive(Default)]
struct Form {
    file: Option<Arrived>,
    file_name: String,
    video_id: Option<String>,
    files: usize,
}

fn unreadable() -> Problem {
    let what = "The form can't be read.";
    Problem::field("uploaded-file-no-file", "file", what)
}

/// Bytes for a video that is there.
pub(super) async fn source(
    ask: &Ask,
    id: &str,
    payload: &mut Payload,
) -> Result<Response, Problem> {
    let store = &ask.house.store;
    let chunk = Chunk::of(ask);
    let allowed = {
        let catalog = store.catalog();
        match catalog.get(id).filter(is_ours) {
            None => Err(not_found()),
            Some(media) => chunk.clone().and_then(|chunk| chunk.check(media)),
        }
    };
    // Tries are counted where they name a place, those that are refused too.
    let attempt = chunk
        .as_ref()
        .ok()
        .filter(|_| allowed.as_ref() != Err(&not_found()))
        .map(|chunk| store.attempt(id, chunk.place(), allowed.is_err()));
    let form = read(ask, payload, attempt.as_ref()).await?;
    drop(attempt);
    allowed?;
    take(ask, id, chunk?, form)
}

/// Bytes with an upload token: the first chunk makes the video, the others name it.
pub(super) async fn delegated(ask: &Ask, payload: &mut Payload) -> Result<Response, Problem> {
    auth::check_upload_token(ask)?;
    let chunk = Chunk::of(ask)?;
    let form = read(ask, payload, None).await?;
    let id = if let Some(id) = &form.video_id {
        id.clone()
    } else {
        let title = form.file_name.clone();
        let details = json!({ "title": title });
        let media = video(ask, title, None, details);
        chunk.check(&media)?;
        chunk.check_size(form.file.as_ref().map_or(0, |file| file.size))?;
        let media = ask.house.store.create(media).map_err(|e| broken(&e))?;
        media.id
    };
    take(ask, &id, chunk, form)
}

/// Reads a form to its end.
async fn read(
    ask: &Ask,
    payload: &mut Payload,
    attempt: Option<&Attempt>,
) -> Result<Form, Problem> {
    if ask.content_length().is_none() {
        let what = "The Content-Length header is missing.";
        return Err(Problem::new(
            StatusCode::LENGTH_REQUIRED,
            "length-required",
            what,
        ));
    }
    let mut multipart = open(ask, payload.stream().ok_or_else(unreadable)?).await?;
    let mut form = Form::default();
    while let Some(field) = multipart.next_field().await.map_err(|_| unreadable())? {
        if let Some(name) = field.file_name() {
            form.file_name = name.to_owned();
            form.files += 1;
            form.file = Some(file(ask, field, attempt).await?);
        } else if field.name() == Some("videoId") {
            form.video_id = Some(small(field).await?);
        } else {
            small(field).await?;
        }
    }
    match form.files {
        1 => Ok(form),
        0 => Err(Problem::field(
            "uploaded-file-no-file",
            "file",
            "There is no file in the form.",
        )),
        _ => Err(Problem::field(
            "uploaded-file-multiple-files",
            "file",
            "There is more than one file in the form.",
        )),
    }
}

async fn open(ask: &Ask, intake: Intake) -> Result<Multipart, Problem> {
    let mut request = Request::new(axum::body::Body::new(intake));
    if let Some(mime) = ask.headers.get(header::CONTENT_TYPE) {
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, mime.clone());
    }
    // The limit is on the file, and answered in the vendor's own words.
    DefaultBodyLimit::disable().apply(&mut request);
    Multipart::from_request(request, &())
        .await
        .map_err(|_| unreadable())
}

/// The bytes of the file, on their way to the storage. What is too much is read but not stored.
async fn file(
    ask: &Ask,
    mut field: Field<'_>,
    attempt: Option<&Attempt>,
) -> Result<Arrived, Problem> {
    let sink = ask.house.store.receive().map_err(|e| broken(&e))?;
    let mut size = 0;
    while let Some(block) = field.chunk().await.map_err(|_| unreadable())? {
        size += block.len() as u64;
        if let Some(attempt) = attempt {
            attempt.received(block.len());
        }
        if size <= chunk::MAX {
            sink.write(block).await;
        }
    }
    let mut arrived = sink.finish().await.map_err(|e| broken(&e))?;
    arrived.size = size;
    Ok(arrived)
}

async fn small(mut field: Field<'_>) -> Result<String, Problem> {
    let mut text = Vec::new();
    while let Some(block) = field.chunk().await.map_err(|_| unreadable())? {
        text.extend_from_slice(&block);
        text.truncate(FIELD_MAX);
    }
    String::from_utf8(text).map_err(|_| unreadable())
}

/// Keeps a chunk; the one that completes the file is answered with the whole video.
fn take(ask: &Ask, id: &str, chunk: Chunk, form: Form) -> Result<Response, Problem> {
    let store = &ask.house.store;
    let arrived = form.file.ok_or_else(unreadable)?;
    chunk.check_size(arrived.size)?;
    let allowed = |media: &Media| {
        if !is_ours(&media) {
            return Err(Refused::Rule(not_found()));
        }
        chunk.check(media).map_err(Refused::Rule)
    };
    let complete = store
        .keep(id, chunk.place(), arrived, allowed, chunk::is_complete)
        .map_err(|refused| match refused {
            Refused::Rule(problem) => problem,
            Refused::Disk(error) => broken(&error),
        })?
        .ok_or_else(not_found)?;
    if !complete {
        return Ok(json(StatusCode::CREATED, &json!({ "videoId": id })));
    }
    let media: Media = store
        .change(id, |media| {
            media.completed = Some(ask.now);
            media.clone()
        })
        .map_err(|e| broken(&e))?
        .ok_or_else(not_found)?;
    store.assemble(id);
    Ok(json(StatusCode::CREATED, &show::video(&media)))
}

/// Why bytes that arrived were not kept.
enum Refused {
    Rule(Problem),
    Disk(std::io::Error),
}

impl From<std::io::Error> for Refused {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}
