//! JW Player's requests built and its answers read; pure, no I/O.
//!
//! Sources: the vendor's Management API v2 and S3 multipart upload guides, and its official Python
//! client. `q` is a search, not a lookup: the vendor says that values longer than 15 characters may
//! match more than asked, so whatever is found is compared before it is believed.

use std::ops::RangeInclusive;

use reqwest::{
    Method, Url,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::{
    MediaStatus, NewMedia, ReceivedPart, Ticket,
    http::{Answer, Call, Http, md5, secret_header},
};
use crate::error::{Error, Kind, Result};

/// How many part slots an upload has; no id beyond is believed.
pub(super) const SLOTS: u32 = 10_000;

/// How many items a list answers at most.
pub(super) const LONGEST_PAGE: u32 = 1_000;

/// How many media objects are asked for in one list.
pub(super) const STATUS_BATCH: usize = 50;

/// The largest file for a single `PUT`, in bytes (S3's own limit).
const DIRECT_MOST: u64 = 5_000_000_000;

/// How an upload's bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending<'a> {
    /// In parts, each by a link of its own.
    Multipart,
    /// In one request with this Content-Type.
    Direct(&'a str),
}

impl<'a> Sending<'a> {
    /// What the ticket says.
    pub(super) fn of(ticket: &'a Ticket) -> Self {
        let direct = ticket.method.as_deref();
        match direct.and_then(|method| method.strip_prefix("direct ")) {
            Some(mime) => Self::Direct(mime),
            None => Self::Multipart,
        }
    }
}

/// The address of a site's API and the authorization for it.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) http: Http,
    pub(super) id: String,
    pub(super) secret: HeaderValue,
}

impl Site {
    fn media(&self) -> Result<Url> {
        self.http.at(&["v2", "sites", &self.id, "media", ""])
    }

    /// A call on one media object, by the site's secret.
    fn one(&self, doing: &'static str, method: Method, media: &str) -> Result<Call> {
        let url = self
            .http
            .at(&["v2", "sites", &self.id, "media", media, ""])?;
        Ok(Call::new(doing, method, url).authorized(&self.secret))
    }

    fn list(&self, doing: &'static str, pairs: &[(&str, &str)]) -> Result<Call> {
        let call = Call::new(doing, Method::GET, self.media()?).authorized(&self.secret);
        Ok(call.query(pairs))
    }

    /// Makes a media object: `direct` for a file that goes in one part, as one call less is needed.
    pub(super) fn create(&self, media: &NewMedia, metadata: &Map<String, Value>) -> Result<Call> {
        let direct = media.parts <= 1 && media.size <= DIRECT_MOST;
        let mut metadata = metadata.clone();
        metadata
            .entry("title")
            .or_insert_with(|| media.title.clone().into());
        metadata.insert("external_id".into(), media.marker.clone().into());
        let body = json!({
            "upload": {
                "method": if direct { "direct" } else { "multipart" },
                "mime_type": media.mime,
            },
            "metadata": metadata,
        });
        let call = Call::new("create", Method::POST, self.media()?).authorized(&self.secret);
        Ok(call.json(&body))
    }

    /// Asks for one media object.
    pub(super) fn status(&self, media: &str) -> Result<Call> {
        self.one("status", Method::GET, media)
    }

    /// Asks for several media objects in one list.
    pub(super) fn statuses(&self, media: &[String]) -> Result<Call> {
        let query = format!("id:({})", media.join(" OR "));
        let length = media.len().to_string();
        self.list("status", &[("page_length", &length), ("q", &query)])
    }

    /// Looks for a marker by search.
    pub(super) fn find(&self, marker: &str) -> Result<Call> {
        let query = format!("external_id:\"{marker}\"");
        self.list(
            "look for a lost create",
            &[("page_length", "50"), ("q", &query)],
        )
    }

    /// Asks for the newest media objects: the search may not know the very last ones yet.
    pub(super) fn newest(&self) -> Result<Call> {
        let pairs = [("page_length", "100"), ("sort", "created:dsc")];
        self.list("look for a lost create", &pairs)
    }

    /// The cheapest call that tells whether secret and site are good.
    pub(super) fn check(&self) -> Result<Call> {
        self.list("check", &[("page_length", "1")])
    }

    /// Deletes a media object.
    pub(super) fn delete(&self, media: &str) -> Result<Call> {
        self.one("remove", Method::DELETE, media)
    }

    /// Lists parts of an upload.
    pub(super) fn parts(&self, upload: &str, token: &str, page: u32, length: u32) -> Result<Call> {
        let url = self.http.at(&["v2", "uploads", upload, "parts"])?;
        let call = Call::new("list parts", Method::GET, url).authorized(&bearer(token)?);
        let (page, length) = (page.to_string(), length.to_string());
        Ok(call.query(&[("page", &page), ("page_length", &length)]))
    }

    /// Ends an upload.
    pub(super) fn complete(&self, upload: &str, token: &str) -> Result<Call> {
        let url = self.http.at(&["v2", "uploads", upload, "complete"])?;
        Ok(Call::new("complete", Method::PUT, url).authorized(&bearer(token)?))
    }

    /// Sends a part, or the whole file, to a link. Neither secret nor token go there. A part's link
    /// is signed without a Content-Type, a direct one with that of the create.
    pub(super) fn put(&self, link: &str, mime: Option<&str>) -> Result<Call> {
        let call = Call::new("send", Method::PUT, self.http.link(link)?);
        let Some(mime) = mime else { return Ok(call) };
        let mime = HeaderValue::from_str(mime)
            .map_err(|_| Error::new(Kind::Refused, format!("{mime:?} is no media type")))?;
        Ok(call.header(CONTENT_TYPE, mime))
    }
}

/// A bearer's authorization.
pub(super) fn bearer(token: &str) -> Result<HeaderValue> {
    secret_header(&format!("Bearer {token}"))
}

#[derive(Deserialize)]
struct Created {
    id: String,
    #[serde(default)]
    upload_id: Option<String>,
    #[serde(default)]
    upload_token: Option<String>,
    #[serde(default)]
    upload_link: Option<String>,
}

/// Reads what a create answered.
pub(super) fn read_created(answer: &Answer, mime: &str) -> Result<Ticket> {
    let made: Created = expect(answer, "create")?;
    let made = match made {
        Created {
            id,
            upload_id: Some(upload),
            upload_token: Some(token),
            ..
        } => Ticket {
            media: id,
            upload: Some(upload),
            token: Some(token),
            method: Some("multipart".into()),
        },
        Created {
            id,
            upload_link: Some(link),
            ..
        } => Ticket {
            media: id,
            upload: None,
            token: Some(link),
            method: Some(format!("direct {mime}")),
        },
        Created { .. } => {
            let why = "a media object without a way to upload to it";
            return Err(answer.error(Kind::Server, "create", why));
        }
    };
    if !is_id(&made.media) {
        return Err(answer.error(Kind::Server, "create", "a media id that can't be one"));
    }
    Ok(made)
}

/// Whether a text can be a media id: it goes into paths and queries.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// One part slot of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Slot {
    /// Its number, from 1.
    pub(super) id: u32,
    /// The MD5 of a part that is there.
    #[serde(default)]
    etag: Option<String>,
    /// Where to send a part that is not.
    #[serde(default)]
    pub(super) upload_link: Option<String>,
}

impl Slot {
    /// The part that is there, if one is.
    pub(super) fn received(&self) -> Option<ReceivedPart> {
        let etag = self.etag.as_deref().filter(|etag| !etag.is_empty())?;
        Some(ReceivedPart {
            number: self.id,
            md5: md5(etag),
        })
    }
}

/// One page of an upload's parts. What it says of itself (`page_length`, `total`) is not read: the
/// ids tell.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    /// The slots, in the order they came.
    pub(super) parts: Vec<Slot>,
}

impl Page {
    /// How many slots the server puts on a page, where that can be told from this being page
    /// `number`: it may be fewer than were asked for.
    pub(super) fn length(&self, number: u32) -> Option<u32> {
        let first = *self.span()?.start();
        let length = match number.checked_sub(1)? {
            0 => u32::try_from(self.parts.len()).ok()?,
            before if (first - 1).is_multiple_of(before) => (first - 1) / before,
            _ => return None,
        };
        (length > 0).then_some(length)
    }

    /// The numbers on it.
    pub(super) fn span(&self) -> Option<RangeInclusive<u32>> {
        let ids = || self.parts.iter().map(|slot| slot.id);
        Some(ids().min()?..=ids().max()?)
    }
}

/// Reads a page of parts.
pub(super) fn read_parts(answer: &Answer) -> Result<Page> {
    let page: Page = expect(answer, "list parts")?;
    if page
        .parts
        .iter()
        .any(|slot| !(1..=SLOTS).contains(&slot.id))
    {
        return Err(answer.error(
            Kind::Server,
            "list parts",
            "a part number that can't be one",
        ));
    }
    Ok(page)
}

/// A media object as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Media {
    /// Its id.
    pub(super) id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    error_message: Option<String>,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    #[serde(default)]
    external_id: Option<String>,
}

impl Media {
    /// Whether no byte of it was completed yet.
    pub(super) fn is_unfinished(&self) -> bool {
        self.status == "created"
    }

    /// Whether a create of ours with this marker made it.
    pub(super) fn is_marked(&self, marker: &str) -> bool {
        let inner = self
            .metadata
            .as_ref()
            .and_then(|m| m.external_id.as_deref());
        inner.or(self.external_id.as_deref()) == Some(marker)
    }

    /// What became of it. Words that are not known mean that work goes on.
    pub(super) fn status(&self) -> MediaStatus {
        match self.status.as_str() {
            "ready" => MediaStatus::Ready,
            "failed" => {
                let why = self.error_message.as_deref().filter(|why| !why.is_empty());
                MediaStatus::Failed(crate::error::clean(why.unwrap_or("no reason given")))
            }
            other => MediaStatus::Processing(crate::error::clean(other)),
        }
    }
}

/// Reads one media object; `None` when there is none with this id.
pub(super) fn read_media(answer: &Answer) -> Result<Option<Media>> {
    match answer.status {
        404 | 410 => Ok(None),
        _ => expect(answer, "status").map(Some),
    }
}

/// Reads a list of media objects.
pub(super) fn read_list(answer: &Answer, doing: &str) -> Result<Vec<Media>> {
    #[derive(Deserialize)]
    struct List {
        media: Vec<Media>,
    }
    expect::<List>(answer, doing).map(|list| list.media)
}

/// Reads an answer that is only about success.
pub(super) fn read_done(answer: &Answer, doing: &str) -> Result<()> {
    if answer.is_success() {
        return Ok(());
    }
    Err(failure(answer, doing))
}

fn expect<T: serde::de::DeserializeOwned>(answer: &Answer, doing: &str) -> Result<T> {
    read_done(answer, doing)?;
    answer.json(doing)
}

/// The failure an API call's answer is, in the vendor's words:
/// `{"errors":[{"code":"…","description":"…"}]}`.
pub(super) fn failure(answer: &Answer, doing: &str) -> Error {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        #[serde(default)]
        code: String,
        #[serde(default)]
        description: String,
    }
    let words = match serde_json::from_slice::<Errors>(&answer.body) {
        Ok(Errors { errors }) if !errors.is_empty() => errors
            .iter()
            .take(5)
            .map(|item| format!("{} ({})", item.description, item.code))
            .collect::<Vec<_>>()
            .join("; "),
        _ => answer.words(),
    };
    answer.refusal(doing, &words)
}

/// The failure that the storage's answer to a part is: `<Error><Code>…</Code><Message>…`.
pub(super) fn storage_failure(answer: &Answer, direct: bool) -> Error {
    let text = String::from_utf8_lossy(&answer.body);
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (inner, _) = rest.split_once(&format!("</{name}>"))?;
        Some(inner)
    };
    let code = element("Code").unwrap_or_default();
    let words = match element("Message") {
        Some(message) => format!("{message} ({code})"),
        None => answer.words(),
    };
    let expired = if direct {
        // There is no second link for a direct upload.
        Kind::TicketGone
    } else {
        Kind::LinkExpired
    };
    let kind = match (code, answer.status) {
        ("NoSuchUpload", _) => Kind::TicketGone,
        ("BadDigest" | "InvalidDigest", _) => Kind::Corrupt,
        ("RequestTimeout" | "IncompleteBody", _) => Kind::Broken,
        ("SlowDown", _) => Kind::Throttled,
        ("ExpiredToken", _) | (_, 401 | 403) => expired,
        _ => return answer.refusal("send", &words),
    };
    answer.error(kind, "send", &words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::destination::http::{HttpOptions, answer};

    fn site() -> Site {
        let options = HttpOptions {
            url: "https://api.jwplayer.com".into(),
            allow_http: false,
            ca: None,
        };
        Site {
            http: Http::new(&options).unwrap(),
            id: "AbCd1234".into(),
            secret: bearer("S3CRET").unwrap(),
        }
    }

    fn media(parts: u32) -> NewMedia {
        NewMedia {
            marker: "reelhaul-7f3a".into(),
            title: "Wedding".into(),
            file_name: "wedding.mov".into(),
            mime: "video/quicktime".into(),
            size: 100 << 20,
            parts,
        }
    }

    fn told(call: &Call) -> (String, String, String) {
        let authorization = call.headers.get("authorization");
        (
            format!("{} {}", call.method, call.url),
            authorization.map_or(String::new(), |v| v.to_str().unwrap().to_owned()),
            String::from_utf8(call.body.to_vec()).unwrap(),
        )
    }

    #[test]
    fn a_create_names_method_type_title_and_marker() {
        let metadata = json!({"tags": ["archive"]});
        let metadata = metadata.as_object().unwrap();
        let call = site().create(&media(7), metadata).unwrap();
        let (line, authorization, body) = told(&call);
        assert_eq!(
            line,
            "POST https://api.jwplayer.com/v2/sites/AbCd1234/media/"
        );
        assert_eq!(authorization, "Bearer S3CRET");
        assert_eq!(
            serde_json::from_str::<Value>(&body).unwrap(),
            json!({
                "upload": {"method": "multipart", "mime_type": "video/quicktime"},
                "metadata": {"tags": ["archive"], "title": "Wedding", "external_id": "reelhaul-7f3a"},
            })
        );
        let (_, _, body) = told(&site().create(&media(1), metadata).unwrap());
        assert!(body.contains(r#""method":"direct""#), "{body}");
    }

    #[test]
    fn every_call_goes_where_the_vendor_says_with_the_right_authorization() {
        let site = site();
        for (call, line, authorization) in [
            (
                site.parts("u/1", "TOKEN", 2, 40),
                "GET https://api.jwplayer.com/v2/uploads/u%2F1/parts?page=2&page_length=40",
                "Bearer TOKEN",
            ),
            (
                site.complete("u1", "TOKEN"),
                "PUT https://api.jwplayer.com/v2/uploads/u1/complete",
                "Bearer TOKEN",
            ),
            (
                site.status("abcd1234"),
                "GET https://api.jwplayer.com/v2/sites/AbCd1234/media/abcd1234/",
                "Bearer S3CRET",
            ),
            (
                site.delete("abcd1234"),
                "DELETE https://api.jwplayer.com/v2/sites/AbCd1234/media/abcd1234/",
                "Bearer S3CRET",
            ),
            (
                site.check(),
                "GET https://api.jwplayer.com/v2/sites/AbCd1234/media/?page_length=1",
                "Bearer S3CRET",
            ),
            (
                site.statuses(&["a1".into(), "b2".into()]),
                "GET https://api.jwplayer.com/v2/sites/AbCd1234/media/?page_length=2&q=id%3A%28a1+OR+b2%29",
                "Bearer S3CRET",
            ),
        ] {
            let (told_line, told_authorization, _) = told(&call.unwrap());
            assert_eq!(
                (told_line.as_str(), told_authorization.as_str()),
                (line, authorization)
            );
        }
        assert!(site.parts("..", "T", 1, 1).is_err(), "an id is no path");
    }

    #[test]
    fn a_part_goes_to_its_link_with_no_header_of_ours() {
        let link = "https://b.s3.amazonaws.com/p?partNumber=1&X-Amz-Signature=a%2Fb";
        let call = site().put(link, None).unwrap();
        assert_eq!(call.url.as_str(), link);
        assert!(call.headers.is_empty());
        let call = site().put(link, Some("video/mp4")).unwrap();
        assert_eq!(call.headers.len(), 1);
        assert_eq!(call.headers["content-type"], "video/mp4");
    }

    #[test]
    fn both_kinds_of_create_answers_become_tickets() {
        let multipart = answer(
            201,
            r#"{"id":"abcd1234","type":"media","status":"created","upload_id":"u1","upload_token":"t1"}"#,
        );
        let ticket = read_created(&multipart, "video/mp4").unwrap();
        assert_eq!(Sending::of(&ticket), Sending::Multipart);
        assert_eq!(
            (ticket.upload.as_deref(), ticket.token.as_deref()),
            (Some("u1"), Some("t1"))
        );

        let direct = answer(
            200,
            r#"{"id":"abcd1234","upload_link":"https://s3/x?sig=1"}"#,
        );
        let ticket = read_created(&direct, "video/mp4").unwrap();
        assert_eq!(Sending::of(&ticket), Sending::Direct("video/mp4"));
        assert!(!format!("{ticket:?}").contains("sig"));

        for bad in [
            r#"{"id":"abcd1234"}"#,
            r#"{"id":"../x","upload_link":"https://s3/"}"#,
            "<html>",
        ] {
            assert_eq!(
                read_created(&answer(201, bad), "video/mp4")
                    .unwrap_err()
                    .kind,
                Kind::Server
            );
        }
    }

    #[test]
    fn a_list_of_parts_tells_received_from_missing() {
        let page = read_parts(&answer(
            200,
            r#"{"page":1,"page_length":1000,"total":10000,"parts":[
                {"id":1,"etag":"d41d8cd98f00b204e9800998ecf8427e"},
                {"id":2,"upload_link":"https://s3/2"},{"id":3,"etag":"\"abc-3\""}]}"#,
        ))
        .unwrap();
        let received: Vec<_> = page
            .parts
            .iter()
            .map(|slot| slot.received().is_some())
            .collect();
        assert_eq!(received, [true, false, true]);
        assert!(page.parts[0].received().unwrap().md5.is_some());
        assert_eq!(
            page.parts[2].received().unwrap().md5,
            None,
            "an ETag that is no MD5"
        );
        assert_eq!((page.span(), page.length(1)), (Some(1..=3), Some(3)));
        let later = read_parts(&answer(
            200,
            r#"{"page_length":1000,"parts":[{"id":901},{"id":902}]}"#,
        ));
        assert_eq!(
            later.unwrap().length(10),
            Some(100),
            "the ids tell, not page_length"
        );
        for absurd in [
            r#"{"parts":[{"id":0}]}"#,
            r#"{"parts":[{"id":10001}]}"#,
            r#"{"parts":[{"id":99999999999999999999}]}"#,
            r#"{"parts":[{"id":-1}]}"#,
            r#"{"parts":{}}"#,
            r#"{"parts":[{"id":1}"#,
        ] {
            assert_eq!(
                read_parts(&answer(200, absurd)).unwrap_err().kind,
                Kind::Server
            );
        }
    }

    #[test]
    fn statuses_are_told_in_the_vendors_words() {
        let status = |body: &str| read_media(&answer(200, body)).unwrap().unwrap().status();
        assert_eq!(status(r#"{"id":"a","status":"ready"}"#), MediaStatus::Ready);
        assert_eq!(
            status(r#"{"id":"a","status":"failed","error_message":"bad\u001b[31m codec"}"#),
            MediaStatus::Failed("bad [31m codec".into())
        );
        assert_eq!(
            status(r#"{"id":"a","status":"levitating"}"#),
            MediaStatus::Processing("levitating".into())
        );
        assert!(read_media(&answer(404, "{}")).unwrap().is_none());
    }

    #[test]
    fn refusals_carry_the_vendors_words_and_the_right_kind() {
        let body = r#"{"errors":[{"code":"invalid_body","description":"title too long"}]}"#;
        let error = failure(&answer(400, body), "create");
        assert_eq!(error.kind, Kind::Refused);
        assert_eq!(
            error.message,
            "create: answered 400: title too long (invalid_body)"
        );
    }

    #[test]
    fn what_storage_refuses_is_sorted_by_its_code() {
        for (status, code, direct, kind) in [
            (403, "AccessDenied", false, Kind::LinkExpired),
            (403, "AccessDenied", true, Kind::TicketGone),
            (400, "ExpiredToken", false, Kind::LinkExpired),
            (404, "NoSuchUpload", false, Kind::TicketGone),
            (400, "RequestTimeout", false, Kind::Broken),
            (503, "SlowDown", false, Kind::Throttled),
            (500, "InternalError", false, Kind::Server),
            (400, "BadDigest", false, Kind::Corrupt),
            (400, "EntityTooLarge", false, Kind::Refused),
        ] {
            let body = format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Why</Message></Error>"
            );
            let error = storage_failure(&answer(status, &body), direct);
            assert_eq!(error.kind, kind, "{status} {code}");
            assert!(error.message.contains("Why"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_reading_panic(status in 100u16..600, body in "\\PC{0,60}|\\{\"parts\":\\[(\\{\"id\":[0-9]{1,12}\\},?){0,4}\\]\\}|<Error><Code>\\PC{0,9}(</Code>)?") {
            let answer = answer(status, &body);
            if let Ok(page) = read_parts(&answer) {
                prop_assert!(page.parts.iter().all(|slot| slot.id <= SLOTS));
                let _ = (page.length(1), page.length(3), page.span());
            }
            let _ = read_created(&answer, "video/mp4");
            let _ = read_media(&answer);
            let _ = read_list(&answer, "status");
            let _ = storage_failure(&answer, false);
            let _ = failure(&answer, "create");
        }
    }
}
