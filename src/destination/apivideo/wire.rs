//! api.video's requests built and its answers read; pure, no I/O.
//!
//! Sources: the vendor's `OpenAPI` file, its error pages and its official clients.

use std::ops::Range;

use reqwest::{
    Method,
    header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    super::{
        MediaStatus, NewMedia,
        http::{Answer, Call, Http},
    },
    RangeMode,
};
use crate::{
    error::{Error, Kind, Result, clean},
    plan::{Part, PartPlan},
};

/// The metadata key under which the marker is kept.
pub(super) const MARKER: &str = "reelhaul";

/// Makes a video.
pub(super) fn create(http: &Http, media: &NewMedia, metadata: &Map<String, Value>) -> Result<Call> {
    let mut body = metadata.clone();
    body.entry("title")
        .or_insert_with(|| media.title.clone().into());
    let mark = json!({"key": MARKER, "value": media.marker});
    match body.entry("metadata").or_insert_with(|| json!([])) {
        Value::Array(pairs) => pairs.push(mark),
        other => *other = json!([mark]),
    }
    let call = Call::new("create", Method::POST, http.at(&["videos"])?);
    Ok(call.json(&body.into()))
}

/// Sends a part, or the whole file, as a form with this boundary. Its body is streamed.
pub(super) fn source(
    http: &Http,
    video: &str,
    plan: &PartPlan,
    part: Part,
    mode: RangeMode,
    boundary: &str,
) -> Result<Call> {
    let call = Call::new("send", Method::POST, http.at(&["videos", video, "source"])?);
    let form = format!("multipart/form-data; boundary={boundary}");
    let value = |text: String| {
        HeaderValue::try_from(text).map_err(|_| Error::new(Kind::Refused, "no valid header"))
    };
    let call = call.header(CONTENT_TYPE, value(form)?);
    match content_range(plan, part, mode) {
        Some(range) => Ok(call.header(CONTENT_RANGE, value(range)?)),
        None => Ok(call),
    }
}

/// What a request says of its place in the file; nothing where it is the whole file.
fn content_range(plan: &PartPlan, part: Part, mode: RangeMode) -> Option<String> {
    let count = plan.count();
    (count > 1).then(|| match mode {
        RangeMode::Bytes => {
            let (first, last) = (part.offset, part.range().end.saturating_sub(1));
            format!("bytes {first}-{last}/{}", plan.file_size())
        }
        RangeMode::Part => format!("part {}/{count}", part.number),
    })
}

/// Asks for a video's status.
pub(super) fn status(http: &Http, video: &str) -> Result<Call> {
    let url = http.at(&["videos", video, "status"])?;
    Ok(Call::new("status", Method::GET, url))
}

/// Looks for a marker by its metadata.
pub(super) fn find(http: &Http, marker: &str) -> Result<Call> {
    let key = format!("metadata[{MARKER}]");
    list(
        http,
        "look for a lost create",
        &[(&key, marker), ("pageSize", "100")],
    )
}

/// Asks for the newest videos: the filter may not know the very last ones yet.
pub(super) fn newest(http: &Http) -> Result<Call> {
    let pairs = [
        ("sortBy", "createdAt"),
        ("sortOrder", "desc"),
        ("pageSize", "100"),
    ];
    list(http, "look for a lost create", &pairs)
}

/// The cheapest call that tells whether a key is good, where there is no token to ask for.
pub(super) fn check(http: &Http) -> Result<Call> {
    list(http, "check", &[("pageSize", "1")])
}

fn list(http: &Http, doing: &'static str, pairs: &[(&str, &str)]) -> Result<Call> {
    Ok(Call::new(doing, Method::GET, http.at(&["videos"])?).query(pairs))
}

/// Deletes a video.
pub(super) fn delete(http: &Http, video: &str) -> Result<Call> {
    let url = http.at(&["videos", video])?;
    Ok(Call::new("remove", Method::DELETE, url))
}

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

/// What a video's status tells.
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
    parts: Vec<u32>,
    total: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Encoding {
    playable: bool,
    qualities: Option<Vec<Quality>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Quality {
    quality: String,
    status: String,
}

/// Received stretches of a file: begin, end (exclusive) and the file's size, as the server tells.
pub(super) struct Stretch {
    /// The bytes.
    pub(super) bytes: Range<u64>,
    /// The file's size, where it is told.
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
        uploaded.contains(&self.word()) || self.encoding.as_ref().is_some_and(|e| e.playable)
    }

    /// The stretches of the file that were received, as they came.
    pub(super) fn stretches(&self) -> impl Iterator<Item = Stretch> + '_ {
        let received = self.ingest.iter().flat_map(|ingest| &ingest.received_bytes);
        received.flatten().map(|bytes| Stretch {
            bytes: bytes.from..bytes.to.saturating_add(1),
            total: bytes.total,
        })
    }

    /// The numbers of the parts that were received, and how many there are, where it is told.
    pub(super) fn parts(&self) -> (&[u32], Option<u32>) {
        let parts = self
            .ingest
            .as_ref()
            .and_then(|ingest| ingest.received_parts.as_ref());
        parts.map_or((&[], None), |parts| (&parts.parts, parts.total))
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
            |status: &str| !qualities.is_empty() && qualities.iter().all(|q| q.status == status);
        if encoding.playable || all("encoded") {
            return MediaStatus::Ready;
        }
        let settled = |q: &Quality| matches!(q.status.as_str(), "failed" | "encoded");
        if !qualities.is_empty() && qualities.iter().all(settled) {
            let failed = qualities.iter().filter(|q| q.status == "failed");
            let names: Vec<_> = failed.take(8).map(|q| q.quality.as_str()).collect();
            return MediaStatus::Failed(clean(&format!("encoding failed: {}", names.join(", "))));
        }
        let working = qualities.iter().any(|q| q.status == "encoding");
        MediaStatus::Processing(clean(if working { "encoding" } else { word }))
    }
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
        let told = |problem: &Self| {
            let title = problem.title.as_deref()?;
            Some(
                match problem.name.as_deref().filter(|name| !name.is_empty()) {
                    Some(name) => format!("{title} ({name})"),
                    None => title.to_owned(),
                },
            )
        };
        let inner = self.problems.iter().flatten().take(5).filter_map(told);
        let all: Vec<_> = told(self).into_iter().chain(inner).collect();
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

    use super::*;
    use crate::destination::http::{HttpOptions, answer};

    fn http() -> Http {
        Http::new(&HttpOptions {
            url: "https://ws.api.video".into(),
            allow_http: false,
            ca: None,
        })
        .unwrap()
    }

    fn plan(file: u64, part: u64) -> PartPlan {
        PartPlan::cut(file, NonZeroU64::new(part).unwrap())
    }

    #[test]
    fn a_create_adds_title_and_marker_to_what_the_person_wants() {
        let media = NewMedia {
            marker: "m-7f3a".into(),
            title: "Wedding".into(),
            file_name: "w.mov".into(),
            mime: "video/quicktime".into(),
            size: 5,
            parts: 1,
        };
        let metadata = json!({"public": false, "metadata": [{"key": "camera", "value": "A"}]});
        let call = create(&http(), &media, metadata.as_object().unwrap()).unwrap();
        assert_eq!(
            format!("{} {}", call.method, call.url),
            "POST https://ws.api.video/videos"
        );
        assert_eq!(
            serde_json::from_slice::<Value>(&call.body).unwrap(),
            json!({"title": "Wedding", "public": false, "metadata": [
                {"key": "camera", "value": "A"}, {"key": "reelhaul", "value": "m-7f3a"}]})
        );
    }

    #[test]
    fn a_part_says_its_place_and_a_whole_file_says_none() {
        let plan_of_three = plan(25, 10);
        let last = plan_of_three.part(3).unwrap();
        let range = |mode| content_range(&plan_of_three, last, mode).unwrap();
        assert_eq!(range(RangeMode::Bytes), "bytes 20-24/25");
        assert_eq!(range(RangeMode::Part), "part 3/3");
        let whole = plan(25, 25);
        assert_eq!(
            content_range(&whole, whole.part(1).unwrap(), RangeMode::Bytes),
            None
        );

        let call = source(&http(), "vi1", &plan_of_three, last, RangeMode::Bytes, "B").unwrap();
        assert_eq!(call.url.as_str(), "https://ws.api.video/videos/vi1/source");
        assert_eq!(call.headers["content-range"], "bytes 20-24/25");
        assert_eq!(
            call.headers["content-type"],
            "multipart/form-data; boundary=B"
        );
    }

    #[test]
    fn a_marker_is_looked_for_by_the_metadata_filter() {
        assert_eq!(
            find(&http(), "m-7f3a").unwrap().url.as_str(),
            "https://ws.api.video/videos?metadata%5Breelhaul%5D=m-7f3a&pageSize=100"
        );
        let list = r#"{"data":[{"videoId":"vi1","metadata":[{"key":"reelhaul","value":"other"}]},
            {"videoId":"vi2","metadata":[{"key":"reelhaul","value":"m-7f3a"}]},{"videoId":"vi3"}],
            "pagination":{"itemsTotal":3}}"#;
        let videos = read_list(&answer(200, list), "x").unwrap();
        let marked: Vec<_> = videos.iter().filter(|v| v.is_marked("m-7f3a")).collect();
        assert_eq!(marked.len(), 1);
        assert_eq!(marked[0].id, "vi2");
    }

    #[test]
    fn the_vendors_status_example_is_understood() {
        let status = read_status(&answer(
            200,
            r#"{"ingest":{"status":"uploading","filesize":null,
              "receivedBytes":[{"from":0,"to":134217727,"total":273579401}],
              "receivedParts":{"parts":[1,2],"total":null}},
             "encoding":{"playable":false,"qualities":[{"type":"hls","quality":"720p","status":"waiting"}],"metadata":{}}}"#,
        ))
        .unwrap()
        .unwrap();
        assert!(!status.is_uploaded());
        assert_eq!(status.stretches().next().unwrap().bytes, 0..134_217_728);
        assert_eq!(status.parts(), (&[1, 2][..], None));
        assert_eq!(status.media(), MediaStatus::Processing("uploading".into()));
    }

    #[test]
    fn statuses_move_on_to_ready_or_failed() {
        let media = |body: &str| read_status(&answer(200, body)).unwrap().unwrap().media();
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

    proptest! {
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
