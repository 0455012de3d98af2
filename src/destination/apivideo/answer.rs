//! api.video's answers, read; pure, no I/O.
//!
//! Sources: the vendor's `OpenAPI` file and its error pages.

use serde::Deserialize;

use super::{super::http::Answer, request::MARKER, status::Status};
use crate::error::{Error, Kind, Result};

/// A video as far as it matters here.
#[derive(Debug, Deserialize)]
pub(super) struct Video {
    /// Its id.
    #[serde(rename = "videoId")]
    pub(super) id: String,
    #[serde(default)]
    metadata: Option<Vec<Pair>>,
}

#[derive(Debug, Deserialize)]
struct Pair {
    key: String,
    #[serde(default)]
    value: Option<String>,
}

impl Video {
    /// Whether a create of ours with this marker made it.
    pub(super) fn is_marked(&self, marker: &str) -> bool {
        self.metadata
            .iter()
            .flatten()
            .any(|pair| pair.key == MARKER && pair.value.as_deref() == Some(marker))
    }
}

/// Reads what a create answered: the video's id.
pub(super) fn read_created(answer: &Answer) -> Result<String> {
    let video: Video = expect(answer, "create")?;
    checked(answer, "create", video).map(|video| video.id)
}

/// Reads a list of videos.
pub(super) fn read_list(answer: &Answer, doing: &str) -> Result<Vec<Video>> {
    #[derive(Deserialize)]
    struct List {
        data: Vec<Video>,
    }
    let videos = expect::<List>(answer, doing)?.data;
    videos
        .into_iter()
        .map(|video| checked(answer, doing, video))
        .collect()
}

/// A video whose id can be one: it goes into paths.
fn checked(answer: &Answer, doing: &str, video: Video) -> Result<Video> {
    let fits = (1..=64).contains(&video.id.len())
        && video
            .id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        return Ok(video);
    }
    Err(answer.error(Kind::Server, doing, "a video id that can't be one"))
}

/// Reads a status; `None` when there is no such video.
pub(super) fn read_status(answer: &Answer) -> Result<Option<Status>> {
    match answer.status {
        404 | 410 => Ok(None),
        _ => expect(answer, "status").map(Some),
    }
}

/// Reads an answer that is only about success.
pub(super) fn read_done(answer: &Answer, doing: &str) -> Result<()> {
    if answer.is_success() {
        return Ok(());
    }
    Err(failure(answer, doing))
}

pub(super) fn expect<T: serde::de::DeserializeOwned>(answer: &Answer, doing: &str) -> Result<T> {
    read_done(answer, doing)?;
    answer.json(doing)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    #[serde(rename = "type")]
    kind: Option<String>,
    title: Option<String>,
    name: Option<String>,
    problems: Option<Vec<Problem>>,
}

impl Problem {
    fn of(answer: &Answer) -> Self {
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// The last segments of its and its problems' types: what the vendor's error pages are named by.
    fn slugs(&self) -> impl Iterator<Item = &str> {
        let inner = self.problems.iter().flatten();
        let kinds = inner
            .filter_map(|p| p.kind.as_deref())
            .chain(self.kind.as_deref());
        kinds.filter_map(|kind| kind.rsplit(['/', '#']).find(|slug| !slug.is_empty()))
    }

    fn words(&self, answer: &Answer) -> String {
        let words = |problem: &Self| {
            let title = problem.title.as_deref()?;
            Some(
                match problem.name.as_deref().filter(|name| !name.is_empty()) {
                    Some(name) => format!("{title} ({name})"),
                    None => title.to_owned(),
                },
            )
        };
        let inner = self.problems.iter().flatten().take(5).filter_map(words);
        let mut all: Vec<_> = words(self).into_iter().chain(inner).collect();
        // A problem that has no more to say than what it is in says it once.
        all.dedup();
        if all.is_empty() {
            answer.words()
        } else {
            all.join("; ")
        }
    }
}

/// Whether the answer is a refusal of the access token, which another token may mend.
pub(super) fn wants_new_token(answer: &Answer) -> bool {
    answer.status == 401
        && !Problem::of(answer)
            .slugs()
            .any(|slug| slug == "authentication-invalid-api-key")
}

/// Whether the answer says that bytes of this range were received before.
pub(super) fn overlaps(answer: &Answer) -> bool {
    answer.status == 400
        && Problem::of(answer)
            .slugs()
            .any(|slug| slug.ends_with("range-overlap"))
}

/// The failure that an answer is, in the vendor's words.
pub(super) fn failure(answer: &Answer, doing: &str) -> Error {
    let problem = Problem::of(answer);
    let words = problem.words(answer);
    let kind = problem.slugs().find_map(|slug| {
        let slug = slug.strip_prefix("video-content-range-").unwrap_or(slug);
        Some(match slug {
            "authorization-suspended-account" => Kind::Credentials,
            "by-part-part-already-sent" | "video-source-already-uploaded" => Kind::AlreadySent,
            "started-with-part"
            | "started-with-bytes"
            | "already-initiated"
            | "by-part-different-total-parts"
            | "by-part-part-too-high-total"
            | "by-part-total-parts-too-low" => Kind::TicketGone,
            _ => return None,
        })
    });
    match kind {
        Some(kind) if answer.status < 500 => answer.error(kind, doing, &words),
        _ => answer.refusal(doing, &words),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;

    use super::{
        super::{RangeMode, received::received},
        *,
    };
    use crate::{
        destination::{Received, http::answer},
        plan::PartPlan,
    };

    #[test]
    fn only_a_video_with_the_very_marker_is_marked() {
        let list = r#"{"data":[{"videoId":"vi1","metadata":[{"key":"reelhaul","value":"other"}]},
            {"videoId":"vi2","metadata":[{"key":"reelhaul","value":"m-7f3a"}]},{"videoId":"vi3"}],
            "pagination":{"itemsTotal":3}}"#;
        let videos = read_list(&answer(200, list), "x").unwrap();
        let marked: Vec<_> = videos.iter().filter(|v| v.is_marked("m-7f3a")).collect();
        assert_eq!(marked.len(), 1);
        assert_eq!(marked[0].id, "vi2");
    }

    #[test]
    fn problems_are_sorted_by_the_page_they_point_to() {
        let problem = |status: u16, slug: &str| {
            answer(
                status,
                &format!(
                    r#"{{"type":"https://docs.api.video/reference/{slug}","title":"Why","name":"range","status":{status}}}"#
                ),
            )
        };
        for (status, slug, kind) in [
            (
                400,
                "video-content-range-by-part-part-already-sent",
                Kind::AlreadySent,
            ),
            (400, "video-source-already-uploaded", Kind::AlreadySent),
            (
                400,
                "video-content-range-started-with-part",
                Kind::TicketGone,
            ),
            (
                400,
                "video-content-range-by-bytes-range-too-small",
                Kind::Refused,
            ),
            (400, "uploaded-file-too-large", Kind::Refused),
            (401, "authentication-invalid-api-key", Kind::Credentials),
            (403, "authorization-suspended-account", Kind::Credentials),
            (429, "too-many-requests", Kind::Throttled),
            (500, "video-source-already-uploaded", Kind::Server),
        ] {
            let error = failure(&problem(status, slug), "send");
            assert_eq!(error.kind, kind, "{slug}");
            assert!(error.message.contains("Why (range)"), "{error}");
        }
        assert!(wants_new_token(&problem(
            401,
            "authentication-invalid-access-token"
        )));
        assert!(!wants_new_token(&problem(
            401,
            "authentication-invalid-api-key"
        )));
        assert!(overlaps(&problem(
            400,
            "video-content-range-by-bytes-range-overlap"
        )));
    }

    #[test]
    fn what_passes_is_tried_again_whatever_the_body_says() {
        let bodies = [
            "",
            "<html><h1>A proxy</h1></html>",
            r#"{"type":"https://docs.api.video/reference/locked","title":"Busy"}"#,
        ];
        for status in [408, 421, 423, 425, 499] {
            for body in bodies {
                let error = failure(&answer(status, body), "send");
                assert_eq!(error.kind, Kind::Broken, "{status} {body}");
            }
        }
    }

    #[test]
    fn a_problem_inside_a_problem_is_found() {
        let body = r#"{"title":"An attribute is invalid.","name":"file","problems":[
            {"type":"https://docs.api.video/reference/video-source-already-uploaded","title":"Already"}]}"#;
        let error = failure(&answer(400, body), "send");
        assert_eq!(error.kind, Kind::AlreadySent);
        assert_eq!(
            error.message,
            "send: answered 400: An attribute is invalid. (file); Already"
        );
    }

    #[test]
    fn what_a_problem_and_the_one_inside_say_alike_is_said_once() {
        let body = r#"{"title":"An internal error occurred.","status":500,"problems":[
            {"title":"An internal error occurred."}]}"#;
        assert_eq!(
            failure(&answer(500, body), "send").message,
            "send: answered 500: An internal error occurred."
        );
    }

    /// Answers as api.video gives them.
    const REAL: [&[u8]; 4] = [
        include_bytes!("../../../tests/corpus/answers/apivideo/status_bytes.json"),
        include_bytes!("../../../tests/corpus/answers/apivideo/status_parts.json"),
        include_bytes!("../../../tests/corpus/answers/apivideo/list.json"),
        include_bytes!("../../../tests/corpus/answers/apivideo/problem.json"),
    ];

    proptest! {
        #[test]
        fn no_accident_to_a_real_answer_makes_reading_panic_or_grow(
            status in prop::sample::select(vec![200u16, 201, 400, 401, 404, 500]),
            body in crate::damage::damaged(REAL.map(<[u8]>::to_vec).into()),
            part in 1u64..30_000_000, by_bytes: bool,
        ) {
            let text = String::from_utf8_lossy(&body);
            let answer = answer(status, &text);
            if let Ok(Some(status)) = read_status(&answer) {
                let plan = PartPlan::split(26_214_400, NonZeroU64::new(part).unwrap()).unwrap();
                let mode = if by_bytes { RangeMode::Bytes } else { RangeMode::Part };
                if let Received::Parts(parts) = received(&status, &plan, mode) {
                    prop_assert!(parts.iter().all(|found| (1..=plan.count()).contains(&found.number)));
                }
                let _ = (status.media(), status.is_uploaded());
            }
            if let Ok(list) = read_list(&answer, "x") {
                prop_assert!(list.len() <= body.len());
            }
            let _ = (read_created(&answer), overlaps(&answer), wants_new_token(&answer));
            let error = failure(&answer, "x");
            prop_assert!(error.message.chars().count() < 1000, "{}", error);
        }

        #[test]
        fn no_answer_makes_reading_panic(
            status in 100u16..600,
            body in "\\PC{0,60}|\\{\"ingest\":\\{\"receivedBytes\":\\[(\\{\"from\":[0-9]{1,22},\"to\":[0-9]{1,22}\\},?){0,3}\\]\\}\\}",
        ) {
            let answer = answer(status, &body);
            if let Ok(Some(status)) = read_status(&answer) {
                let _ = (status.stretches().count(), status.media(), status.is_uploaded());
            }
            let _ = read_created(&answer);
            let _ = read_list(&answer, "x");
            let _ = (failure(&answer, "x"), overlaps(&answer), wants_new_token(&answer));
        }
    }
}
