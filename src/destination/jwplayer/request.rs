//! JW Player's requests, built; pure, no I/O.
//!
//! Sources: the vendor's Management API v2 and S3 multipart upload guides, and its official Python
//! client. `q` is a search, not a lookup: the vendor says that values longer than 15 characters may
//! match more than asked, so whatever is found is compared before it is believed.

use reqwest::{
    Method, Url,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::{Map, Value, json};

use super::super::{
    NewMedia, Ticket,
    http::{Call, Http, secret_header},
};
use crate::{
    error::{CallClass, Error, Kind, Result},
    ids::MediaId,
};

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
        let direct = ticket.text("method");
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
        Ok(Call::new(CallClass::Call, doing, method, url).authorized(&self.secret))
    }

    fn list(&self, doing: &'static str, pairs: &[(&str, &str)]) -> Result<Call> {
        let call =
            Call::new(CallClass::Call, doing, Method::GET, self.media()?).authorized(&self.secret);
        Ok(call.query(pairs))
    }

    /// What a create says of a file.
    pub(super) fn metadata(media: &NewMedia, person: &Map<String, Value>) -> Map<String, Value> {
        let mut metadata = person.clone();
        metadata
            .entry("title")
            .or_insert_with(|| media.title.clone().into());
        metadata.insert("external_id".into(), media.marker.clone().into());
        metadata
    }

    /// Makes a media object: `direct` for a file that goes in one part, as one call less is needed.
    pub(super) fn create(&self, media: &NewMedia, metadata: &Map<String, Value>) -> Result<Call> {
        let direct = media.parts <= 1 && media.size <= DIRECT_MOST;
        let body = json!({
            "upload": {
                "method": if direct { "direct" } else { "multipart" },
                "mime_type": media.mime,
            },
            "metadata": Self::metadata(media, metadata),
        });
        let call = Call::new(CallClass::Call, "create", Method::POST, self.media()?)
            .authorized(&self.secret);
        Ok(call.json(&body))
    }

    /// Asks for another link for the bytes of a media object that was made for one request.
    pub(super) fn link_again(&self, media: &str, mime: &str) -> Result<Call> {
        let url = self
            .http
            .at(&["v2", "sites", &self.id, "media", media, "reupload", ""])?;
        let call =
            Call::new(CallClass::Call, "get a new link", Method::PUT, url).authorized(&self.secret);
        Ok(call.json(&json!({ "upload": { "method": "direct", "mime_type": mime } })))
    }

    /// Where a person can look at a media object: the vendor's dashboard, else the API.
    pub(super) fn page(&self, media: &str) -> Result<Url> {
        if self.http.host() != "api.jwplayer.com" {
            return self.http.at(&["v2", "sites", &self.id, "media", media, ""]);
        }
        let mut page = self.http.at(&["p", &self.id, "media", media])?;
        page.set_host(Some("dashboard.jwplayer.com"))
            .map_err(|_| Error::new(Kind::Server, "an address that can't be one"))?;
        Ok(page)
    }

    /// Asks for one media object.
    pub(super) fn status(&self, media: &str) -> Result<Call> {
        self.one("status", Method::GET, media)
    }

    /// Asks for several media objects in one list.
    pub(super) fn statuses(&self, media: &[MediaId]) -> Result<Call> {
        let ids: Vec<&str> = media.iter().map(MediaId::as_str).collect();
        let query = format!("id:({})", ids.join(" OR "));
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

    /// The cheapest call that shows whether secret and site are good.
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
        let call = Call::new(CallClass::Call, "list parts", Method::GET, url)
            .authorized(&upload_bearer(token)?);
        let (page, length) = (page.to_string(), length.to_string());
        Ok(call.query(&[("page", &page), ("page_length", &length)]))
    }

    /// Ends an upload.
    pub(super) fn complete(&self, upload: &str, token: &str) -> Result<Call> {
        let url = self.http.at(&["v2", "uploads", upload, "complete"])?;
        Ok(Call::new(CallClass::Call, "complete", Method::PUT, url)
            .authorized(&upload_bearer(token)?))
    }

    /// Sends a part, or the whole file, to a link. Neither secret nor token go there. A part's link
    /// is signed without a Content-Type, a direct one with that of the create.
    pub(super) fn put(&self, link: &str, mime: Option<&str>) -> Result<Call> {
        let call = Call::new(CallClass::Part, "send", Method::PUT, self.http.link(link)?);
        let Some(mime) = mime else { return Ok(call) };
        let mime = HeaderValue::from_str(mime)
            .map_err(|_| Error::new(Kind::Refused, format!("{mime:?} is no media type")))?;
        Ok(call.header(CONTENT_TYPE, mime))
    }
}

/// The authorization by an upload's token. One that can't be sent is this upload's failure; the secret
/// may be good.
fn upload_bearer(token: &str) -> Result<HeaderValue> {
    bearer(token).map_err(|error| Error {
        kind: Kind::TicketGone,
        ..error
    })
}

/// A bearer's authorization.
pub(super) fn bearer(token: &str) -> Result<HeaderValue> {
    secret_header(&format!("Bearer {token}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::http::HttpOptions;

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

    #[test]
    fn a_media_object_is_looked_at_on_the_vendors_dashboard_or_in_the_api_of_another_server() {
        assert_eq!(
            site().page("Xy12").unwrap().as_str(),
            "https://dashboard.jwplayer.com/p/AbCd1234/media/Xy12"
        );
        let options = HttpOptions {
            url: "https://uploads.example/jw".into(),
            allow_http: false,
            ca: None,
        };
        let elsewhere = Site {
            http: Http::new(&options).unwrap(),
            ..site()
        };
        assert_eq!(
            elsewhere.page("../Xy12").unwrap().as_str(),
            "https://uploads.example/jw/v2/sites/AbCd1234/media/..%2FXy12/"
        );
    }

    fn parts_of(call: &Call) -> (String, String, String) {
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
        let (line, authorization, body) = parts_of(&call);
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
        let (_, _, body) = parts_of(&site().create(&media(1), metadata).unwrap());
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
            let (line_sent, authorization_sent, _) = parts_of(&call.unwrap());
            assert_eq!(
                (line_sent.as_str(), authorization_sent.as_str()),
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
}
