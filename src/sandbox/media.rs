//! One media object and the pieces of it that arrived; pure, knows no disk and no HTTP.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jiff::Timestamp;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;

use super::sign::unhex;
use crate::format::hex;

/// Whose API it was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Vendor {
    JwPlayer,
    ApiVideo,
}

impl Vendor {
    /// The headers that name how many calls a minute there are, and how many of them are left.
    pub(super) fn budget_headers(self) -> [&'static str; 2] {
        match self {
            Self::JwPlayer => ["jw-request-limit", "jw-request-remaining"],
            Self::ApiVideo => ["x-ratelimit-limit", "x-ratelimit-remaining"],
        }
    }
}

/// Where a piece belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// The whole file.
    Whole,
    /// A part by its number, from 1, and how many there are, where that was said.
    Part { number: u32, of: Option<u32> },
    /// Bytes `from` to `to` (inclusive) of `total`.
    Range { from: u64, to: u64, total: u64 },
}

impl Place {
    /// What orders the pieces of one media object.
    pub(super) fn key(self) -> u64 {
        match self {
            Self::Whole => 0,
            Self::Part { number, .. } => u64::from(number),
            Self::Range { from, .. } => from,
        }
    }

    /// The name of the file a piece is kept in. It carries all there is to know of the piece, so
    /// that a part costs no write but its own.
    pub(super) fn file_name(self, md5: &[u8; 16]) -> String {
        let md5 = hex(md5);
        match self {
            Self::Whole => format!("piece-whole-{md5}"),
            Self::Part { number, of: None } => format!("piece-part-{number}-{md5}"),
            Self::Part {
                number,
                of: Some(of),
            } => format!("piece-part-{number}-{of}-{md5}"),
            Self::Range { from, to, total } => format!("piece-range-{from}-{to}-{total}-{md5}"),
        }
    }

    /// Place and MD5 by the name of a kept piece.
    pub(super) fn from_file_name(name: &str) -> Option<(Self, [u8; 16])> {
        let words: Vec<&str> = name.strip_prefix("piece-")?.split('-').collect();
        let (md5, words) = words.split_last()?;
        let place = match *words {
            ["whole"] => Self::Whole,
            ["part", number] => Self::Part {
                number: number.parse().ok()?,
                of: None,
            },
            ["part", number, of] => Self::Part {
                number: number.parse().ok()?,
                of: Some(of.parse().ok()?),
            },
            ["range", from, to, total] => Self::Range {
                from: from.parse().ok()?,
                to: to.parse().ok()?,
                total: total.parse().ok()?,
            },
            _ => return None,
        };
        Some((place, unhex(md5)?))
    }
}

/// Bytes that arrived whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) size: u64,
    #[serde(with = "hex_md5")]
    pub(super) md5: [u8; 16],
    /// Where they are kept, until they are part of the whole.
    #[serde(skip)]
    pub(super) file: Option<PathBuf>,
}

impl Stored {
    /// The MD5 as JW Player and S3 write it, without the quotes.
    pub(super) fn etag(&self) -> String {
        hex(&self.md5)
    }
}

mod hex_md5 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(md5: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::hex(md5))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
        super::unhex(&String::deserialize(from)?).ok_or_else(|| D::Error::custom("no MD5"))
    }
}

/// What became of one part or range.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Piece {
    pub(super) place: Place,
    /// The bytes, once they arrived whole.
    pub(super) stored: Option<Stored>,
    /// How often they were received whole and acknowledged.
    pub(super) acknowledged: u64,
    /// Tries to send it.
    pub(super) tries: u64,
    /// Tries that began after it had been acknowledged.
    pub(super) resent: u64,
    /// Bytes of content received over all tries.
    pub(super) received: u64,
}

impl Piece {
    pub(super) fn new(place: Place) -> Self {
        Self {
            place,
            stored: None,
            acknowledged: 0,
            tries: 0,
            resent: 0,
            received: 0,
        }
    }
}

/// The upload that JW Player made for a media object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JwUpload {
    pub(super) id: String,
    pub(super) multipart: bool,
    pub(super) mime_type: Option<String>,
}

/// The hashes of a whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Whole {
    pub(super) size: u64,
    pub(super) md5: String,
    pub(super) sha256: String,
}

/// Hashes a whole file, block by block.
#[derive(Default)]
pub(super) struct WholeHash {
    size: u64,
    md5: Md5,
    sha256: Sha256,
}

impl WholeHash {
    pub(super) fn update(&mut self, block: &[u8]) {
        self.size += block.len() as u64;
        self.md5.update(block);
        self.sha256.update(block);
    }

    pub(super) fn finish(self) -> Whole {
        Whole {
            size: self.size,
            md5: hex(&self.md5.finalize()),
            sha256: hex(&self.sha256.finalize()),
        }
    }
}

/// One media object; all of it but the pieces of an unfinished upload is written to disk at once
/// when it changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Media {
    pub(super) id: String,
    pub(super) vendor: Vendor,
    pub(super) title: String,
    /// The id by which its maker finds it again.
    pub(super) marker: Option<String>,
    /// Its place in the order of creation.
    pub(super) order: u64,
    pub(super) created: Timestamp,
    pub(super) completed: Option<Timestamp>,
    pub(super) deleted: bool,
    /// Whether it ends as failed instead of ready.
    pub(super) unplayable: bool,
    /// What the create said of it.
    pub(super) details: Value,
    pub(super) upload: Option<JwUpload>,
    pub(super) whole: Option<Whole>,
    pub(super) pieces: BTreeMap<u64, Piece>,
    #[serde(default)]
    pub(super) refused: Refused,
}

/// What was sent and refused, by a rule that could be told before its bytes came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) tries: u64,
    pub(super) bytes: u64,
}

/// How far a media object has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stage {
    Created,
    Uploading,
    /// How much of the processing is done, from 0 to 1.
    Processing(f64),
    Ready,
    Failed,
    Deleted,
}

impl Media {
    pub(super) fn stage(&self, now: Timestamp, processing: Duration) -> Stage {
        let Some(completed) = self.completed else {
            return match (self.deleted, self.stored().next()) {
                (true, _) => Stage::Deleted,
                (false, None) => Stage::Created,
                (false, Some(_)) => Stage::Uploading,
            };
        };
        // A clock that was set back leaves it where it was: nothing has passed.
        let passed = Duration::try_from(now.duration_since(completed)).unwrap_or_default();
        match () {
            () if self.deleted => Stage::Deleted,
            () if passed < processing => {
                Stage::Processing(passed.as_secs_f64() / processing.as_secs_f64())
            }
            () if self.unplayable => Stage::Failed,
            () => Stage::Ready,
        }
    }

    /// The piece of this place; another that begins there is none.
    pub(super) fn same_piece(&mut self, place: Place) -> Option<&mut Piece> {
        let piece = self.pieces.get_mut(&place.key())?;
        let same = match (piece.place, place) {
            (Place::Part { number: a, .. }, Place::Part { number: b, .. }) => a == b,
            (a, b) => a == b,
        };
        same.then_some(piece)
    }

    /// The pieces that arrived whole, in order.
    pub(super) fn stored(&self) -> impl Iterator<Item = (&Piece, &Stored)> {
        self.pieces
            .values()
            .filter_map(|piece| Some((piece, piece.stored.as_ref()?)))
    }

    /// How many bytes arrived whole.
    pub(super) fn size(&self) -> u64 {
        match &self.whole {
            Some(whole) => whole.size,
            None => self.stored().map(|(_, stored)| stored.size).sum(),
        }
    }

    /// The number of the part a byte range is, as the client counts its parts: told from the size of
    /// a range that is not the last.
    pub(super) fn part_number(&self, from: u64, to: u64, total: u64) -> u64 {
        let size_of = |place| match place {
            Place::Range { from, to, total } if to + 1 < total => Some(to + 1 - from),
            _ => None,
        };
        let size = size_of(Place::Range { from, to, total })
            .or_else(|| self.pieces.values().find_map(|piece| size_of(piece.place)))
            .unwrap_or(to + 1 - from);
        from.div_ceil(size.max(1)) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_known_again_by_its_file_name() {
        let md5 = [0xab; 16];
        for place in [
            Place::Whole,
            Place::Part {
                number: 7,
                of: None,
            },
            Place::Part {
                number: 7,
                of: Some(9),
            },
            Place::Range {
                from: 0,
                to: 9,
                total: 20,
            },
        ] {
            let name = place.file_name(&md5);
            assert_eq!(Place::from_file_name(&name), Some((place, md5)), "{name}");
        }
        assert_eq!(Place::from_file_name("media.json"), None);
        assert_eq!(Place::from_file_name("piece-part-x-00"), None);
    }
}
