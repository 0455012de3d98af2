//! How api.video shows a video, its status, and a page of videos.

use axum::response::Response;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::{Problem, chunk, is_ours};
use crate::sandbox::{
    media::{Media, Place, Stage},
    request::{Ask, json},
};

/// A video.
pub(super) fn video(media: &Media) -> Value {
    let id = &media.id;
    let details = &media.details;
    let or = |key: &str, default: Value| match &details[key] {
        Value::Null => default,
        value => value.clone(),
    };
    json!({
        "videoId": id,
        "title": media.title,
        "description": or("description", json!("")),
        "public": or("public", json!(true)),
        "panoramic": or("panoramic", json!(false)),
        "mp4Support": or("mp4Support", json!(true)),
        "tags": or("tags", json!([])),
        "metadata": or("metadata", json!([])),
        "createdAt": media.created.to_string(),
        "publishedAt": media.created.to_string(),
        "updatedAt": media.completed.unwrap_or(media.created).to_string(),
        "source": { "type": "upload", "uri": format!("/videos/{id}/source") },
        "assets": {
            "iframe": format!("<iframe src=\"https://embed.invalid/vod/{id}\"></iframe>"),
            "player": format!("https://embed.invalid/vod/{id}"),
            "hls": format!("https://vod.invalid/vod/{id}/hls/manifest.m3u8"),
            "thumbnail": format!("https://vod.invalid/vod/{id}/thumbnail.jpg"),
            "mp4": format!("https://vod.invalid/vod/{id}/mp4/source.mp4"),
        },
    })
}

/// Where a video stands: what was received, and how far its encoding is.
pub(super) fn status(media: &Media, stage: Stage) -> Value {
    let (ingest, quality) = match stage {
        Stage::Processing(done) if done < 0.25 => ("uploaded", "waiting"),
        Stage::Processing(done) if done < 0.5 => ("ingesting", "waiting"),
        Stage::Processing(_) => ("ingested", "encoding"),
        Stage::Ready => ("ingested", "encoded"),
        Stage::Failed => ("ingested", "failed"),
        Stage::Created | Stage::Uploading | Stage::Deleted => ("uploading", "waiting"),
    };
    let (mut ranges, mut parts, mut of) = (Vec::new(), Vec::new(), None);
    for (piece, _) in media.stored() {
        match piece.place {
            Place::Whole => {}
            Place::Part { number, of: said } => {
                parts.push(number);
                of = of.or(said);
            }
            Place::Range { from, to, total } => {
                ranges.push(json!({ "from": from, "to": to, "total": total }));
            }
        }
    }
    let ready = stage == Stage::Ready;
    let qualities: Vec<_> = ["240p", "720p"]
        .iter()
        .map(|size| json!({ "type": "hls", "quality": size, "status": quality }))
        .collect();
    json!({
        "ingest": {
            "status": ingest,
            "filesize": chunk::is_complete(media).then(|| media.size()),
            "receivedBytes": ranges,
            "receivedParts": { "parts": parts, "total": of },
        },
        "encoding": {
            "playable": ready,
            "qualities": qualities,
            "metadata": if ready {
                json!({ "width": 1280, "height": 720, "duration": 60, "framerate": 25 })
            } else {
                json!({})
            },
        },
    })
}

/// Makes a status report other bytes than were received: the last range ends in the middle of what it
/// was, or one part more was announced. Returns whether anything was received that it could alter.
pub(super) fn make_odd(status: &mut Value) -> bool {
    let ingest = &mut status["ingest"];
    let ranges = ingest["receivedBytes"].as_array_mut();
    if let Some(last) = ranges.and_then(|ranges| ranges.last_mut())
        && let (Some(from), Some(to)) = (last["from"].as_u64(), last["to"].as_u64())
    {
        last["to"] = json!(from.midpoint(to));
        return true;
    }
    let parts = &mut ingest["receivedParts"];
    let received = parts["parts"].as_array().map_or(0, Vec::len);
    if received > 0 {
        let total = parts["total"].as_u64();
        parts["total"] = json!(total.unwrap_or(received as u64) + 1);
    }
    received > 0
}

/// A number from the query, from 1.
fn number(ask: &Ask, name: &'static str, default: u64, most: u64) -> Result<u64, Problem> {
    let Some(text) = ask.param(name) else {
        return Ok(default);
    };
    text.parse()
        .ok()
        .filter(|number| (1..=most).contains(number))
        .ok_or_else(|| {
            let what = "This parameter is out of its bounds.";
            Problem::field("invalid-query-parameter", name, what)
        })
}

/// Whether a video is what the query asks for: `title`, `description` (a piece of them), `tags[]`,
/// `metadata[key]=value`.
fn is_wanted(media: &Media, query: &[(String, String)]) -> bool {
    let holds = |field: &Value, piece: &str| {
        field
            .as_str()
            .is_some_and(|text| text.to_lowercase().contains(&piece.to_lowercase()))
    };
    query.iter().all(|(name, value)| {
        let metadata = name
            .strip_prefix("metadata[")
            .and_then(|name| name.strip_suffix(']'));
        match (name.as_str(), metadata) {
            ("title" | "description", _) => holds(&media.details[name.as_str()], value),
            ("tags[]" | "tags", _) => media.details["tags"]
                .as_array()
                .is_some_and(|tags| tags.contains(&json!(value))),
            (_, Some(key)) => media.details["metadata"].as_array().is_some_and(|pairs| {
                pairs
                    .iter()
                    .any(|pair| pair["key"] == key && pair["value"] == value.as_str())
            }),
            _ => true,
        }
    })
}

/// A page of the videos that the query asks for, newest first unless told otherwise.
pub(super) fn find(ask: &Ask) -> Result<Response, Problem> {
    let at = number(ask, "currentPage", 1, u64::MAX)?;
    let length = number(ask, "pageSize", 25, 100)?;
    let catalog = ask.house.store.catalog();
    let mut found: Vec<_> = catalog
        .all()
        .into_iter()
        .filter(|media| is_ours(media) && !media.deleted && is_wanted(media, &ask.query))
        .collect();
    if ask.param("sortOrder") != Some("asc") {
        found.reverse();
    }
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let total = found.len();
    let pages = total.div_ceil(size(length)).max(1);
    let data: Vec<_> = found
        .into_iter()
        .skip(size((at - 1).saturating_mul(length)))
        .take(size(length))
        .map(video)
        .collect();
    let link = |rel: &str, page: usize| {
        let uri = format!("/videos?currentPage={page}&pageSize={length}");
        json!({ "rel": rel, "uri": uri })
    };
    let body = json!({
        "pagination": {
            "currentPage": at,
            "currentPageItems": data.len(),
            "pageSize": length,
            "pagesTotal": pages,
            "itemsTotal": total,
            "links": [link("self", size(at)), link("first", 1), link("last", pages)],
        },
        "data": data,
    });
    Ok(json(StatusCode::OK, &body))
}
