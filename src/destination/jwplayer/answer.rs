//! JW Player's answers, read; pure, no I/O.

use std::ops::RangeInclusive;

use serde::Deserialize;

use super::super::{
    Md5, MediaStatus, ReceivedPart, Ticket,
    http::{Answer, md5},
};
use crate::error::{Error, Kind, Result};

/// How many part slots an upload has; no id beyond is believed.
pub(super) const SLOTS: u32 = 10_000;

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
    if !is_id(&made.id) {
        return Err(answer.error(Kind::Server, "create", "a media id that can't be one"));
    }
    let ticket = Ticket::of(made.id);
    match (made.upload_id.zip(made.upload_token), made.upload_link) {
        (Some((upload, token)), _) => Ok(ticket
            .with("upload", upload)
            .with("token", token)
            .with("method", "multipart")),
        (None, Some(link)) => Ok(ticket
            .with("token", link)
            .with("method", format!("direct {mime}"))),
        (None, None) => {
            let why = "a media object without a way to upload to it";
            Err(answer.error(Kind::Server, "create", why))
        }
    }
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
/// ids show it.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    /// The slots, in the order they came.
    pub(super) parts: Vec<Slot>,
}

impl Page {
    /// How many slots the server puts on a page, where that shows from this being page
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
    /// Whether no byte of it was completed yet; `None` when it does not say: neither may then be
    /// believed.
    pub(super) fn is_unfinished(&self) -> Option<bool> {
        (!self.status.is_empty()).then(|| self.status == "created")
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

/// The MD5 that the storage names for bytes it took, where it names one.
///
/// # Errors
/// When the answer has no `ETag` at all: then it was no storage that said so.
pub(super) fn stored(answer: &Answer) -> Result<Option<Md5>> {
    if answer.headers.contains_key(reqwest::header::ETAG) {
        return Ok(answer.etag());
    }
    let why = "no ETag, so this was no storage";
    Err(answer.error(Kind::Server, "send", why))
}

/// The failure that the storage's answer to a part is: `<Error><Code>…</Code><Message>…`.
pub(super) fn storage_failure(answer: &Answer) -> Error {
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
    let kind = match (code, answer.status) {
        ("NoSuchUpload", _) => Kind::TicketGone,
        ("BadDigest" | "InvalidDigest", _) => Kind::Corrupt,
        ("RequestTimeout" | "IncompleteBody", _) => Kind::Broken,
        ("EntityTooLarge", _) => Kind::TooLarge,
        ("SlowDown", _) => Kind::Throttled,
        ("ExpiredToken", _) | (_, 401 | 403) => Kind::LinkExpired,
        _ => return answer.refusal("send", &words),
    };
    answer.error(kind, "send", &words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::request::Sending, *};
    use crate::destination::http::answer;

    #[test]
    fn both_kinds_of_create_answers_become_tickets() {
        let multipart = answer(
            201,
            r#"{"id":"abcd1234","type":"media","status":"created","upload_id":"u1","upload_token":"t1"}"#,
        );
        let ticket = read_created(&multipart, "video/mp4").unwrap();
        assert_eq!(Sending::of(&ticket), Sending::Multipart);
        assert_eq!(
            (ticket.text("upload"), ticket.text("token")),
            (Some("u1"), Some("t1"))
        );

        let direct = answer(
            200,
            r#"{"id":"abcd1234","upload_link":"https://s3/x?sig=1"}"#,
        );
        let ticket = read_created(&direct, "video/mp4").unwrap();
        assert_eq!(ticket.text("upload"), None);
        assert_eq!(ticket.text("token"), Some("https://s3/x?sig=1"));
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
    fn a_list_of_parts_separates_received_from_missing() {
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
            "the ids say it, not page_length"
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
    fn statuses_are_in_the_vendors_words() {
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
    fn what_passes_is_tried_again_whatever_the_body_says() {
        let bodies = [
            "",
            "<html><h1>A proxy</h1></html>",
            r#"{"errors":[{"code":"locked","description":"Busy"}]}"#,
            "<Error><Code>Other</Code><Message>Busy</Message></Error>",
        ];
        for status in [408, 421, 423, 425, 499] {
            for body in bodies {
                let answer = answer(status, body);
                for error in [failure(&answer, "create"), storage_failure(&answer)] {
                    assert_eq!(error.kind, Kind::Broken, "{status} {body}");
                }
            }
        }
    }

    #[test]
    fn what_storage_refuses_is_sorted_by_its_code() {
        for (status, code, kind) in [
            (403, "AccessDenied", Kind::LinkExpired),
            (400, "ExpiredToken", Kind::LinkExpired),
            (404, "NoSuchUpload", Kind::TicketGone),
            (400, "RequestTimeout", Kind::Broken),
            (503, "SlowDown", Kind::Throttled),
            (500, "InternalError", Kind::Server),
            (400, "BadDigest", Kind::Corrupt),
            (400, "EntityTooLarge", Kind::TooLarge),
        ] {
            let body = format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Why</Message></Error>"
            );
            let error = storage_failure(&answer(status, &body));
            assert_eq!(error.kind, kind, "{status} {code}");
            assert!(error.message.contains("Why"), "{error}");
        }
    }

    /// Answers as JW Player and its storage give them.
    const REAL: [&[u8]; 5] = [
        include_bytes!("../../../tests/corpus/answers/jwplayer/parts.json"),
        include_bytes!("../../../tests/corpus/answers/jwplayer/media.json"),
        include_bytes!("../../../tests/corpus/answers/jwplayer/created.json"),
        include_bytes!("../../../tests/corpus/answers/jwplayer/refused.json"),
        include_bytes!("../../../tests/corpus/answers/jwplayer/storage.xml"),
    ];

    proptest! {
        #[test]
        fn no_accident_to_a_real_answer_makes_reading_panic_or_grow(
            status in prop::sample::select(vec![200u16, 201, 400, 403, 404, 500]),
            body in crate::damage::damaged(REAL.map(<[u8]>::to_vec).into()),
        ) {
            let (text, size) = (String::from_utf8_lossy(&body), body.len());
            let answer = answer(status, &text);
            if let Ok(page) = read_parts(&answer) {
                prop_assert!(page.parts.iter().all(|slot| slot.id <= SLOTS));
                prop_assert!(page.parts.len() <= size);
                let _ = (page.length(1), page.length(3), page.span());
                for slot in &page.parts {
                    let _ = slot.received();
                }
            }
            if let Ok(list) = read_list(&answer, "status") {
                for one in &list {
                    let _ = (one.status(), one.is_marked("m"));
                }
            }
            let _ = (read_created(&answer, "video/mp4"), read_media(&answer), stored(&answer));
            for error in [storage_failure(&answer), failure(&answer, "create")] {
                prop_assert!(error.message.chars().count() < 1000, "{}", error);
                prop_assert!(!error.message.contains('\u{1b}'), "{}", error);
            }
        }

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
            let _ = storage_failure(&answer);
            let _ = failure(&answer, "create");
        }
    }
}
