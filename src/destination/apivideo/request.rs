//! api.video's requests, built; pure, no I/O.
//!
//! Sources: the vendor's `OpenAPI` file and its official clients.

use reqwest::{
    Method, Url,
    header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue},
};
use serde_json::{Map, Value, json};

use super::{
    super::{
        NewMedia,
        http::{Call, Http},
    },
    RangeMode,
};
use crate::{
    error::{CallClass, Error, Kind, Result},
    plan::{Part, PartPlan},
};

/// The metadata key under which the marker is kept.
pub(super) const MARKER: &str = "reelhaul";

/// What a create says of a file.
pub(super) fn metadata(media: &NewMedia, person: &Map<String, Value>) -> Map<String, Value> {
    let mut body = person.clone();
    body.entry("title")
        .or_insert_with(|| media.title.clone().into());
    let mark = json!({"key": MARKER, "value": media.marker});
    match body.entry("metadata").or_insert_with(|| json!([])) {
        Value::Array(pairs) => pairs.push(mark),
        other => *other = json!([mark]),
    }
    body
}

/// Makes a video.
pub(super) fn create(http: &Http, media: &NewMedia, person: &Map<String, Value>) -> Result<Call> {
    let call = Call::new(
        CallClass::Write,
        "create",
        Method::POST,
        http.at(&["videos"])?,
    );
    Ok(call.json(&metadata(media, person).into()))
}

/// Where a person can look at a video: the vendor's player, else the API.
pub(super) fn page(http: &Http, video: &str) -> Result<Url> {
    if !matches!(http.host(), "ws.api.video" | "sandbox.api.video") {
        return http.at(&["videos", video]);
    }
    let mut page = http.at(&["vod", video])?;
    page.set_host(Some("embed.api.video"))
        .map_err(|_| Error::new(Kind::Server, "an address that can't be one"))?;
    Ok(page)
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
    let call = Call::new(
        CallClass::Part,
        "send",
        Method::POST,
        http.at(&["videos", video, "source"])?,
    );
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
    Ok(Call::new(CallClass::Read, "status", Method::GET, url))
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

/// The cheapest call that shows whether a key is good, where there is no token to ask for.
pub(super) fn check(http: &Http) -> Result<Call> {
    list(http, "check", &[("pageSize", "1")])
}

fn list(http: &Http, doing: &'static str, pairs: &[(&str, &str)]) -> Result<Call> {
    Ok(Call::new(CallClass::Read, doing, Method::GET, http.at(&["videos"])?).query(pairs))
}

/// Deletes a video.
pub(super) fn delete(http: &Http, video: &str) -> Result<Call> {
    let url = http.at(&["videos", video])?;
    Ok(Call::new(CallClass::Write, "remove", Method::DELETE, url))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;

    use super::*;
    use crate::destination::http::HttpOptions;

    fn http() -> Http {
        Http::new(&HttpOptions {
            url: "https://ws.api.video".into(),
            allow_http: false,
            ca: None,
        })
        .unwrap()
    }

    fn plan(file: u64, part: u64) -> PartPlan {
        PartPlan::split(file, NonZeroU64::new(part).unwrap()).unwrap()
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
    fn a_video_is_looked_at_in_the_vendors_player() {
        let page = page(&http(), "vi4k0jvEUuaTdRAEjQ4Jfrgz").unwrap();
        assert_eq!(
            page.as_str(),
            "https://embed.api.video/vod/vi4k0jvEUuaTdRAEjQ4Jfrgz"
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
    }

    proptest! {
        #[test]
        fn the_ranges_of_all_parts_are_the_file(file in 2u64..100_000, part in 1u64..50_000) {
            let plan = plan(file, part);
            let mut next = 0;
            for part in plan.parts().filter(|_| plan.count() > 1) {
                let text = content_range(&plan, part, RangeMode::Bytes).unwrap();
                let (range, total) = text.strip_prefix("bytes ").unwrap().split_once('/').unwrap();
                let (first, last) = range.split_once('-').unwrap();
                let number = |text: &str| text.parse::<u64>().unwrap();
                prop_assert_eq!((number(first), number(total)), (next, file));
                next = number(last) + 1;
            }
            prop_assert!(next == file || plan.count() == 1);
        }
    }
}
