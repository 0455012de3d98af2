//! The rules of api.video's progressive upload: what a `Content-Range` says, and whether it fits
//! what came before; pure.

use hyper::header::CONTENT_RANGE;

use super::Problem;
use crate::sandbox::{
    media::{Media, Place},
    request::Ask,
};

/// The least that any chunk but the last must have, in bytes.
pub(super) const MIN: u64 = 5 * 1024 * 1024;

/// The most a request may carry, in bytes.
pub(super) const MAX: u64 = 200 * 1024 * 1024;

/// The most chunks of one video.
const CHUNKS: u32 = 10_000;

/// The largest file, in bytes.
const LARGEST: u64 = 52_428_800_000;

/// What a request carries of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    Whole,
    Part { number: u32, of: Option<u32> },
    Range { from: u64, to: u64, total: u64 },
}

fn bad(slug: &'static str, title: &str) -> Problem {
    Problem::field(slug, "content-range", title)
}

impl Chunk {
    /// What the request says it carries.
    pub(super) fn of(ask: &Ask) -> Result<Self, Problem> {
        match ask.headers.get(CONTENT_RANGE) {
            None => Ok(Self::Whole),
            Some(value) => value.to_str().ok().and_then(Self::parse).ok_or_else(|| {
                bad(
                    "video-content-range-malformed",
                    "The Content-Range header is malformed.",
                )
            }),
        }
    }

    /// `bytes A-B/TOTAL`, `part N/TOTAL` or `part N/*`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (what, total) = rest.trim().split_once('/')?;
        match unit {
            "bytes" => {
                let (from, to) = what.split_once('-')?;
                let (from, to, total) = (number(from)?, number(to)?, number(total)?);
                (from <= to && to < total).then_some(Self::Range { from, to, total })
            }
            "part" => {
                let number = u32::try_from(self::number(what)?).ok()?;
                let of = match total {
                    "*" => None,
                    total => Some(u32::try_from(self::number(total)?).ok()?),
                };
                (number >= 1 && of != Some(0)).then_some(Self::Part { number, of })
            }
            _ => None,
        }
    }

    pub(super) fn place(self) -> Place {
        match self {
            Self::Whole => Place::Whole,
            Self::Part { number, of } => Place::Part { number, of },
            Self::Range { from, to, total } => Place::Range { from, to, total },
        }
    }

    /// Whether it may come now, as far as can be told without its bytes.
    pub(super) fn check(self, media: &Media) -> Result<(), Problem> {
        if media.completed.is_some() {
            return Err(Problem::new(
                hyper::StatusCode::BAD_REQUEST,
                "video-source-already-uploaded",
                "The source of the video is already uploaded.",
            ));
        }
        let before: Vec<Place> = media.stored().map(|(piece, _)| piece.place).collect();
        match self {
            Self::Whole if before.is_empty() => Ok(()),
            Self::Whole => Err(bad(
                "video-content-range-already-initiated",
                "A progressive upload is already initiated for this video.",
            )),
            Self::Part { number, of } => check_part(number, of, &before),
            Self::Range { from, to, total } => check_range(from, to, total, &before),
        }
    }

    /// Whether its bytes are as many as they may be.
    pub(super) fn check_size(self, size: u64) -> Result<(), Problem> {
        if size == 0 {
            let what = "The uploaded file is empty.";
            return Err(Problem::field("uploaded-file-empty", "file", what));
        }
        if size > MAX {
            let what = "The uploaded file is larger than 200 MiB.";
            return Err(Problem::field("uploaded-file-too-large", "file", what));
        }
        match self {
            Self::Part { number, of } if size < MIN && of != Some(number) => Err(bad(
                "video-content-range-by-part-uploaded-file-too-small",
                "The uploaded part is smaller than 5 MiB and is not the last.",
            )),
            Self::Range { from, to, .. } if size != to + 1 - from => Err(bad(
                "video-content-range-by-bytes-range-mismatch",
                "The range does not match the size of the uploaded file.",
            )),
            _ => Ok(()),
        }
    }
}

/// Digits alone: no sign, no space.
fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn check_part(number: u32, of: Option<u32>, before: &[Place]) -> Result<(), Problem> {
    let mut highest = number;
    for place in before {
        let Place::Part {
            number: sent,
            of: said,
        } = *place
        else {
            return Err(bad(
                "video-content-range-started-with-bytes",
                "The upload was started with byte ranges.",
            ));
        };
        if sent == number {
            return Err(bad(
                "video-content-range-by-part-part-already-sent",
                &format!("The part {number} was already sent."),
            ));
        }
        if let (Some(of), Some(said)) = (of, said)
            && of != said
        {
            return Err(bad(
                "video-content-range-by-part-different-total-parts",
                "The total of parts differs from the one sent before.",
            ));
        }
        if said.is_some_and(|said| number > said) {
            return Err(too_high());
        }
        highest = highest.max(sent);
    }
    if number > CHUNKS || of.is_some_and(|of| number > of || of > CHUNKS) {
        return Err(too_high());
    }
    if of.is_some_and(|of| highest > of) {
        return Err(bad(
            "video-content-range-by-part-total-parts-too-low",
            "The total of parts is lower than a part that was sent.",
        ));
    }
    Ok(())
}

fn too_high() -> Problem {
    bad(
        "video-content-range-by-part-part-too-high-total",
        "The part is higher than the total of parts.",
    )
}

fn check_range(from: u64, to: u64, total: u64, before: &[Place]) -> Result<(), Problem> {
    let size = to + 1 - from;
    if size > MAX || total > LARGEST || before.len() >= CHUNKS as usize {
        return Err(bad(
            "video-content-range-by-bytes-range-too-large",
            "The range is too large.",
        ));
    }
    for place in before {
        let Place::Range {
            from: other_from,
            to: other_to,
            total: said,
        } = *place
        else {
            return Err(bad(
                "video-content-range-started-with-part",
                "The upload was started with parts.",
            ));
        };
        if said != total {
            return Err(bad(
                "video-content-range-by-bytes-range-mismatch",
                "The total differs from the one sent before.",
            ));
        }
        if from <= other_to && other_from <= to {
            return Err(bad(
                "video-content-range-by-bytes-range-overlap",
                "The range, or a piece of it, was already sent.",
            ));
        }
    }
    if size < MIN && to + 1 < total {
        return Err(bad(
            "video-content-range-by-bytes-range-too-small",
            "The range is smaller than 5 MiB and is not the last.",
        ));
    }
    Ok(())
}

/// Whether all of the file is there.
pub(super) fn is_complete(media: &Media) -> bool {
    let (mut count, mut bytes, mut parts, mut total) = (0, 0, None, None);
    for (piece, stored) in media.stored() {
        count += 1;
        bytes += stored.size;
        match piece.place {
            Place::Whole => return true,
            Place::Part { of, .. } => parts = parts.or(of),
            Place::Range { total: said, .. } => total = Some(said),
        }
    }
    parts == Some(count) || total == Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(result: Result<(), Problem>) -> &'static str {
        result.unwrap_err().slug
    }

    #[test]
    fn only_the_documented_forms_are_read() {
        assert_eq!(
            Chunk::parse("bytes 0-9/20"),
            Some(Chunk::Range {
                from: 0,
                to: 9,
                total: 20
            })
        );
        assert_eq!(
            Chunk::parse("part 2/*"),
            Some(Chunk::Part {
                number: 2,
                of: None
            })
        );
        for bad in [
            "part%201%2F3",
            "bytes 0-5242879",
            "bytes 9-0/20",
            "bytes 0-20/20",
            "part 0/3",
            "part 1/0",
            "parts 1/3",
            "bytes +0-9/20",
            "bytes 0-9/99999999999999999999",
            "",
        ] {
            assert_eq!(Chunk::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_part_that_does_not_fit_those_before_is_refused_by_name() {
        let part = |number, of| Place::Part { number, of };
        let sent = [part(1, Some(4)), part(3, None)];
        assert_eq!(check_part(2, Some(4), &sent), Ok(()));
        assert_eq!(
            slug(check_part(3, Some(4), &sent)),
            "video-content-range-by-part-part-already-sent"
        );
        assert_eq!(
            slug(check_part(2, Some(5), &sent)),
            "video-content-range-by-part-different-total-parts"
        );
        assert_eq!(
            slug(check_part(5, None, &sent)),
            "video-content-range-by-part-part-too-high-total"
        );
        assert_eq!(
            slug(check_part(2, Some(2), &sent[1..])),
            "video-content-range-by-part-total-parts-too-low"
        );
        assert_eq!(
            slug(check_range(0, 9, 10, &sent)),
            "video-content-range-started-with-part"
        );
    }

    #[test]
    fn a_range_that_does_not_fit_those_before_is_refused_by_name() {
        let (total, sent) = (
            4 * MIN,
            [Place::Range {
                from: MIN,
                to: 2 * MIN - 1,
                total: 4 * MIN,
            }],
        );
        assert_eq!(check_range(0, MIN - 1, total, &sent), Ok(()));
        assert_eq!(
            slug(check_range(0, MIN, total, &sent)),
            "video-content-range-by-bytes-range-overlap"
        );
        assert_eq!(
            slug(check_range(0, MIN - 1, total + 1, &sent)),
            "video-content-range-by-bytes-range-mismatch"
        );
        assert_eq!(
            slug(check_range(0, MIN - 2, total, &sent)),
            "video-content-range-by-bytes-range-too-small"
        );
        assert_eq!(
            slug(check_range(0, MAX, 2 * MAX, &[])),
            "video-content-range-by-bytes-range-too-large"
        );
        assert_eq!(
            slug(check_part(1, None, &sent)),
            "video-content-range-started-with-bytes"
        );
        assert_eq!(check_range(total - 1, total - 1, total, &sent), Ok(()));
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_content_range_says_is_one_that_can_be_or_none(
            text in "\\PC{0,40}|(bytes|part|items)? ?[0-9*+-]{0,25}[-/][0-9*]{0,25}/?[0-9*]{0,25} ?",
        ) {
            match Chunk::parse(&text) {
                Some(Chunk::Range { from, to, total }) => {
                    proptest::prop_assert!(from <= to && to < total);
                }
                Some(Chunk::Part { number, of }) => {
                    proptest::prop_assert!(number >= 1 && of != Some(0));
                }
                Some(Chunk::Whole) => proptest::prop_assert!(false, "nobody said that"),
                None => {}
            }
        }

        #[test]
        fn a_content_range_means_what_it_says(from: u64, length in 1..u64::MAX, more: u64, of: u32) {
            let to = from.saturating_add(length - 1).min(u64::MAX - 1);
            let from = from.min(to);
            let total = (to + 1).saturating_add(more);
            let range = Chunk::Range { from, to, total };
            proptest::prop_assert_eq!(Chunk::parse(&format!("bytes {from}-{to}/{total}")), Some(range));
            let number = of.max(1);
            let part = |of| Some(Chunk::Part { number, of });
            proptest::prop_assert_eq!(Chunk::parse(&format!("part {number}/*")), part(None));
            let told = format!("part {number}/{number}");
            proptest::prop_assert_eq!(Chunk::parse(&told), part(Some(number)));
        }
    }
}
