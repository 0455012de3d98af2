//! What a video's status says: how much of it was received, and what became of it; pure.

use std::ops::Range;

use serde::Deserialize;

use super::{super::MediaStatus, RangeMode};
use crate::error::clean;

/// What a video's status says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    ingest: Option<Ingest>,
    #[serde(default)]
    encoding: Option<Encoding>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ingest {
    status: Option<String>,
    received_bytes: Option<Vec<Bytes>>,
    received_parts: Option<Parts>,
}

/// A range of the file, both ends inclusive.
#[derive(Debug, Clone, Deserialize)]
struct Bytes {
    from: u64,
    to: u64,
    #[serde(default)]
    total: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parts {
    parts: Option<Vec<u32>>,
    total: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Encoding {
    playable: Option<bool>,
    qualities: Option<Vec<Quality>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Quality {
    quality: Option<String>,
    status: Option<String>,
}

impl Quality {
    fn word(&self) -> &str {
        self.status.as_deref().unwrap_or_default()
    }
}

impl Encoding {
    fn is_playable(&self) -> bool {
        self.playable == Some(true)
    }
}

/// Received stretches of a file: begin, end (exclusive) and the file's size, as the server says.
pub(super) struct Stretch {
    /// The bytes.
    pub(super) bytes: Range<u64>,
    /// The file's size, where it is named.
    pub(super) total: Option<u64>,
}

impl Status {
    fn word(&self) -> &str {
        let ingest = self.ingest.as_ref();
        ingest
            .and_then(|ingest| ingest.status.as_deref())
            .unwrap_or("created")
    }

    /// Whether all bytes are there. `merging` is a word of older documents.
    pub(super) fn is_uploaded(&self) -> bool {
        let uploaded = ["uploaded", "ingesting", "ingested", "merging"];
        uploaded.contains(&self.word()) || self.encoding.as_ref().is_some_and(Encoding::is_playable)
    }

    /// The stretches of the file that were received, as they came.
    pub(super) fn stretches(&self) -> impl Iterator<Item = Stretch> + '_ {
        let received = self.ingest.iter().flat_map(|ingest| &ingest.received_bytes);
        received.flatten().map(|bytes| Stretch {
            bytes: bytes.from..bytes.to.saturating_add(1),
            total: bytes.total,
        })
    }

    /// The numbers of the parts that were received, and how many there are, where it is named.
    pub(super) fn parts(&self) -> (&[u32], Option<u32>) {
        let parts = self
            .ingest
            .as_ref()
            .and_then(|ingest| ingest.received_parts.as_ref());
        parts.map_or((&[], None), |parts| {
            (parts.parts.as_deref().unwrap_or_default(), parts.total)
        })
    }

    /// How the upload was sent, by what was received: parts by number, or byte ranges. `None` where
    /// nothing was, or both are named.
    pub(super) fn mode(&self) -> Option<RangeMode> {
        let has_bytes = self.stretches().next().is_some();
        match (has_bytes, self.parts().0) {
            (true, []) => Some(RangeMode::Bytes),
            (false, [_, ..]) => Some(RangeMode::Part),
            (true, _) | (false, []) => None,
        }
    }

    /// What became of the video. Words that are not known mean that work goes on.
    pub(super) fn media(&self) -> MediaStatus {
        let word = self.word();
        if matches!(word, "failed" | "missing") {
            return MediaStatus::Failed(format!("ingest {word}"));
        }
        let none = Encoding::default();
        let encoding = self.encoding.as_ref().unwrap_or(&none);
        let qualities = encoding.qualities.as_deref().unwrap_or_default();
        let all =
            |status: &str| !qualities.is_empty() && qualities.iter().all(|q| q.word() == status);
        if encoding.is_playable() || all("encoded") {
            return MediaStatus::Ready;
        }
        let settled = |q: &Quality| matches!(q.word(), "failed" | "encoded");
        if !qualities.is_empty() && qualities.iter().all(settled) {
            let failed = qualities.iter().filter(|q| q.word() == "failed");
            let names = failed.take(8).filter_map(|q| q.quality.as_deref());
            let names: Vec<_> = names.collect();
            return MediaStatus::Failed(clean(&format!("encoding failed: {}", names.join(", "))));
        }
        let working = qualities.iter().any(|q| q.word() == "encoding");
        MediaStatus::Processing(clean(if working { "encoding" } else { word }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Status {
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn the_vendors_status_example_is_understood() {
        let status = read(
            r#"{"ingest":{"status":"uploading","filesize":null,
              "receivedBytes":[{"from":0,"to":134217727,"total":273579401}],
              "receivedParts":{"parts":[1,2],"total":null}},
             "encoding":{"playable":false,"qualities":[{"type":"hls","quality":"720p","status":"waiting"}],"metadata":{}}}"#,
        );
        assert!(!status.is_uploaded());
        assert_eq!(status.stretches().next().unwrap().bytes, 0..134_217_728);
        assert_eq!(status.parts(), (&[1, 2][..], None));
        assert_eq!(status.mode(), None, "it names both");
        assert_eq!(status.media(), MediaStatus::Processing("uploading".into()));
    }

    #[test]
    fn what_was_received_says_how_it_was_sent() {
        let mode = |ingest: &str| read(&format!(r#"{{"ingest":{ingest}}}"#)).mode();
        let bytes = r#"{"receivedBytes":[{"from":0,"to":9,"total":25}],"receivedParts":null}"#;
        assert_eq!(mode(bytes), Some(RangeMode::Bytes));
        let parts = r#"{"receivedBytes":[],"receivedParts":{"parts":[2],"total":3}}"#;
        assert_eq!(mode(parts), Some(RangeMode::Part));
        let nothing = r#"{"receivedBytes":[],"receivedParts":{"parts":[],"total":null}}"#;
        assert_eq!((mode(nothing), mode("null")), (None, None));
    }

    #[test]
    fn statuses_move_on_to_ready_or_failed() {
        let media = |body: &str| read(body).media();
        let encoding = |qualities: &str| {
            let body = r#"{"ingest":{"status":"ingested"},"encoding":{"qualities":[Q]}}"#;
            media(&body.replace('Q', qualities))
        };
        assert_eq!(
            media(r#"{"ingest":null,"encoding":null}"#),
            MediaStatus::Processing("created".into())
        );
        assert_eq!(
            media(r#"{"encoding":{"playable":true}}"#),
            MediaStatus::Ready
        );
        let (encoded, failed, waiting) = (
            r#"{"quality":"360p","status":"encoded"}"#,
            r#"{"quality":"720p","status":"failed"}"#,
            r#"{"quality":"1080p","status":"encoding"}"#,
        );
        assert_eq!(encoding(encoded), MediaStatus::Ready);
        assert_eq!(
            encoding(&format!("{encoded},{failed}")),
            MediaStatus::Failed("encoding failed: 720p".into())
        );
        assert_eq!(
            encoding(&format!("{failed},{waiting}")),
            MediaStatus::Processing("encoding".into())
        );
    }
}
