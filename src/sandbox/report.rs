//! What was received, for those who want to ask instead of trust. No secret, token or link is in it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Options,
    house::House,
    media::{Media, Piece, Place, Stage, Vendor},
};
use crate::format::hex;

/// Everything, as `GET /_sandbox/report` tells it.
pub(super) fn report(house: &House, now: Timestamp) -> Value {
    let catalog = house.store.catalog();
    let media: Vec<_> = catalog
        .all()
        .into_iter()
        .map(|media| one(media, now, &house.options))
        .collect();
    drop(catalog);
    json!({
        "media": media,
        "requests": house.stats.requests(),
        "calls_per_minute": house.stats.minutes(),
        "connections": house.stats.connections(),
        "most_connections": house.stats.most_connections(),
        "bytes_received": house.stats.bytes(),
        "part_slots_listed": house.stats.slots(),
    })
}

fn one(media: &Media, now: Timestamp, options: &Options) -> Value {
    let state = match media.stage(now, options.processing) {
        Stage::Created => "created",
        Stage::Uploading => "uploading",
        // A moment no client sees, and that no clock need hit: complete, nothing done with it yet.
        Stage::Processing(0.0) => "complete",
        Stage::Processing(_) => "processing",
        Stage::Ready => "ready",
        Stage::Failed => "failed",
        Stage::Deleted => "deleted",
    };
    let kind = match media.vendor {
        Vendor::JwPlayer => "jwplayer",
        Vendor::ApiVideo => "apivideo",
    };
    json!({
        "id": media.id,
        "kind": kind,
        "title": media.title,
        "state": state,
        "complete": media.completed.is_some(),
        "marker": media.marker,
        "created": media.created.to_string(),
        "details": media.details,
        "size": media.size(),
        "md5": media.whole.as_ref().map(|whole| &whole.md5),
        "sha256": media.whole.as_ref().map(|whole| &whole.sha256),
        "refused": media.refused,
        "parts": media.pieces.values().map(piece).collect::<Vec<_>>(),
    })
}

fn piece(piece: &Piece) -> Value {
    let mut out = json!({
        "size": piece.stored.as_ref().map(|stored| stored.size),
        "md5": piece.stored.as_ref().map(|stored| hex(&stored.md5)),
        "acknowledged": piece.acknowledged,
        "tries": piece.tries,
        "resent": piece.resent,
        "received": piece.received,
    });
    match piece.place {
        Place::Whole => out["whole"] = json!(true),
        Place::Part { number, of } => {
            out["part"] = json!(number);
            out["of"] = json!(of);
        }
        Place::Range { from, to, total } => {
            out["from"] = json!(from);
            out["to"] = json!(to);
            out["total"] = json!(total);
        }
    }
    out
}
