//! The storage on an S3 server: real pre-signed links, and the calls a multipart upload takes. Knows
//! no media object but by its id, which is the object's key.

use std::{io, time::Duration};

use bytes::Bytes;
use hyper::{
    Method, StatusCode,
    header::{CONTENT_LENGTH, ETAG},
};
use jiff::Timestamp;
use reqwest::{Client, Response, Url};
use rusty_s3::{
    Credentials, S3Action, UrlStyle,
    actions::{CompleteMultipartUploadResponse, CreateMultipartUpload, ListParts},
};
use tokio::sync::mpsc;

use super::{Found, S3Error};
use crate::sandbox::{
    S3Options,
    media::{JwUpload, Stored, Whole, WholeHash},
    sign::unhex,
};

/// How long a call of the sandbox's own stays good once signed.
const OWN: Duration = Duration::from_mins(1);

/// The longest a link can be good, by S3's rules.
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// How many blocks may wait to be hashed.
const AHEAD: usize = 2;

/// A bucket of an S3 server, with the keys to it.
#[derive(Clone)]
pub(in crate::sandbox) struct Bucket {
    client: Client,
    at: rusty_s3::Bucket,
    keys: Credentials,
    link_ttl: Duration,
}

impl Bucket {
    pub(super) fn open(options: &S3Options, link_ttl: Duration) -> io::Result<Self> {
        let bad = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let of_url = |why: &dyn std::fmt::Display| {
            bad(format!("the S3 address {:?}: {why}", options.endpoint))
        };
        let url = options.endpoint.parse::<Url>().map_err(|e| of_url(&e))?;
        let name = options.bucket.clone();
        let at = rusty_s3::Bucket::new(url, UrlStyle::Path, name, options.region.clone())
            .map_err(|e| of_url(&e))?;
        // Whoever uses this as a library need not know that TLS wants a provider; a program that
        // chose one keeps it, which is the only way this can fail.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| bad(error.to_string()))?;
        let (key, secret) = (&options.access_key, &options.secret_key);
        Ok(Self {
            client,
            at,
            keys: Credentials::new(key.expose(), secret.expose()),
            // Links are signed in whole seconds.
            link_ttl: link_ttl.clamp(Duration::from_secs(1), LONGEST),
        })
    }

    /// Whether the bucket is there and the keys open it.
    pub(super) async fn check(&self) -> io::Result<()> {
        let url = self.at.head_bucket(Some(&self.keys)).sign(OWN);
        let name = self.at.name();
        let why = match self.ask(Method::HEAD, url, String::new()).await {
            Ok(_) => return Ok(()),
            // A HEAD is answered without words.
            Err(error) if error.status == StatusCode::FORBIDDEN => "the keys do not open it".into(),
            Err(error) if error.status == StatusCode::NOT_FOUND => "there is none".into(),
            Err(error) => error.to_string(),
        };
        let words = format!("the S3 bucket {name:?} can't be used: {why}");
        Err(io::Error::other(words))
    }

    /// `CreateMultipartUpload`: the upload's id.
    pub(super) async fn create(&self, media: &str) -> Result<String, S3Error> {
        let call = self.at.create_multipart_upload(Some(&self.keys), media);
        let text = self
            .text(Method::POST, call.sign(OWN), String::new())
            .await?;
        let made = CreateMultipartUpload::parse_response(&text).map_err(nonsense)?;
        Ok(made.upload_id().to_owned())
    }

    /// A pre-signed `UploadPart`, or `PutObject` for the media type that was announced.
    pub(super) fn link(
        &self,
        media: &str,
        upload: &JwUpload,
        part: Option<u16>,
        now: Timestamp,
    ) -> String {
        let keys = Some(&self.keys);
        if let Some(part) = part {
            let put = self.at.upload_part(keys, media, part, &upload.id);
            return put.sign_with_time(self.link_ttl, &now).into();
        }
        let mut put = self.at.put_object(keys, media);
        if let Some(mime) = &upload.mime_type {
            put.headers_mut().insert("content-type", mime.clone());
        }
        put.sign_with_time(self.link_ttl, &now).into()
    }

    /// What is there of an unfinished upload.
    pub(super) async fn find(&self, media: &str, upload: &JwUpload) -> Result<Found, S3Error> {
        if upload.multipart {
            match self.parts(media, &upload.id).await {
                // Perhaps it was completed, and the sandbox ended before it took note.
                Err(error) if error.status == StatusCode::NOT_FOUND => {}
                parts => return parts.map(Found::Parts),
            }
        }
        let url = self.at.head_object(Some(&self.keys), media).sign(OWN);
        match self.ask(Method::HEAD, url, String::new()).await {
            Ok(head) if upload.multipart => {
                drop(head);
                Ok(Found::Whole(None))
            }
            Ok(head) => {
                let header = |name| head.headers().get(name)?.to_str().ok();
                let size = header(CONTENT_LENGTH).and_then(|size| size.parse().ok());
                let stored = size
                    .zip(header(ETAG))
                    .map(|(size, etag)| stored(size, etag));
                Ok(Found::Whole(stored.transpose()?))
            }
            Err(error) if error.status == StatusCode::NOT_FOUND => Ok(Found::Nothing),
            Err(error) => Err(error),
        }
    }

    /// `ListParts`, all pages.
    async fn parts(&self, media: &str, upload: &str) -> Result<Vec<(u32, Stored)>, S3Error> {
        let mut parts = Vec::new();
        let mut after = None;
        loop {
            let mut call = self.at.list_parts(Some(&self.keys), media, upload);
            if let Some(after) = after {
                call.set_part_number_marker(after);
            }
            let text = self
                .text(Method::GET, call.sign(OWN), String::new())
                .await?;
            let page = ListParts::parse_response(&text).map_err(nonsense)?;
            for part in page.parts {
                parts.push((u32::from(part.number), stored(part.size, &part.etag)?));
            }
            match page.next_part_number_marker {
                None => return Ok(parts),
                next if next <= after => return Err(nonsense("the list goes back")),
                next => after = next,
            }
        }
    }

    /// `CompleteMultipartUpload` with exactly these parts.
    pub(super) async fn complete(
        &self,
        media: &str,
        upload: &str,
        parts: &[Stored],
    ) -> Result<(), S3Error> {
        let etags: Vec<String> = parts.iter().map(Stored::etag).collect();
        let etags = etags.iter().map(String::as_str);
        let call = self
            .at
            .complete_multipart_upload(Some(&self.keys), media, upload, etags);
        let url = call.sign(OWN);
        let text = self.text(Method::POST, url, call.body()).await?;
        // S3 may begin to answer before it knows how it ends: an error can come with a 200.
        match CompleteMultipartUploadResponse::parse(&text) {
            Ok(_) => Ok(()),
            Err(_) if text.contains("<Error>") => {
                Err(S3Error::read(StatusCode::INTERNAL_SERVER_ERROR, &text))
            }
            Err(error) => Err(nonsense(error)),
        }
    }

    /// `GetObject`, to hash the finished object.
    pub(super) async fn hash(&self, media: &str) -> Result<Whole, S3Error> {
        let url = self.at.get_object(Some(&self.keys), media).sign(OWN);
        let mut object = self.ask(Method::GET, url, String::new()).await?;
        let (blocks, mut incoming) = mpsc::channel::<Bytes>(AHEAD);
        let hashed = tokio::task::spawn_blocking(move || {
            let mut hash = WholeHash::default();
            while let Some(block) = incoming.blocking_recv() {
                hash.update(&block);
            }
            hash.finish()
        });
        while let Some(block) = object.chunk().await.map_err(unreachable)? {
            // Only a panic over there closes the channel, and that comes out at the end.
            drop(blocks.send(block).await);
        }
        drop(blocks);
        hashed.await.map_err(|error| io::Error::other(error).into())
    }

    /// `AbortMultipartUpload` of what is unfinished, and `DeleteObject`.
    pub(super) async fn remove(
        &self,
        media: &str,
        unfinished: Option<&JwUpload>,
    ) -> Result<(), S3Error> {
        let keys = Some(&self.keys);
        let mut calls = vec![self.at.delete_object(keys, media).sign(OWN)];
        if let Some(upload) = unfinished.filter(|upload| upload.multipart) {
            let abort = self.at.abort_multipart_upload(keys, media, &upload.id);
            calls.push(abort.sign(OWN));
        }
        for url in calls {
            match self.ask(Method::DELETE, url, String::new()).await {
                Err(error) if error.status != StatusCode::NOT_FOUND => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    async fn text(&self, method: Method, url: Url, body: String) -> Result<String, S3Error> {
        let answer = self.ask(method, url, body).await?;
        answer.text().await.map_err(unreachable)
    }

    async fn ask(&self, method: Method, url: Url, body: String) -> Result<Response, S3Error> {
        let request = self.client.request(method, url).body(body);
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.map_err(unreachable)?;
        Err(S3Error::read(status, &text))
    }
}

/// What S3 says of bytes it has. JW Player's `ETag`s are MD5s, and so must the storage's be.
fn stored(size: u64, etag: &str) -> Result<Stored, S3Error> {
    let md5 = unhex(etag.trim_matches('"')).ok_or_else(|| nonsense("an ETag is no MD5"))?;
    Ok(Stored {
        size,
        md5,
        file: None,
    })
}

/// Tells no URL: they are signed.
fn unreachable(error: reqwest::Error) -> S3Error {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    S3Error::new(StatusCode::BAD_GATEWAY, "Unreachable", words)
}

fn nonsense(error: impl std::fmt::Display) -> S3Error {
    let what = format!("the answer makes no sense: {error}");
    S3Error::new(StatusCode::BAD_GATEWAY, "Nonsense", what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn options() -> S3Options {
        S3Options {
            endpoint: "http://127.0.0.1:8333".into(),
            bucket: "films".into(),
            region: "us-east-1".into(),
            access_key: Secret::new("THEKEY"),
            secret_key: Secret::new("THESECRET"),
        }
    }

    fn link(ttl: Duration, upload: &JwUpload, part: Option<u16>) -> String {
        let bucket = Bucket::open(&options(), ttl).unwrap();
        let now = "2026-11-23T10:00:00Z".parse().unwrap();
        bucket.link("abcd1234", upload, part, now)
    }

    fn upload(multipart: bool) -> JwUpload {
        JwUpload {
            id: "u1".into(),
            multipart,
            mime_type: Some("video/mp4".into()),
        }
    }

    #[test]
    fn a_parts_link_is_signed_for_its_number_and_upload_alone() {
        let link = link(Duration::from_mins(5), &upload(true), Some(7));
        assert!(
            link.starts_with("http://127.0.0.1:8333/films/abcd1234?"),
            "{link}"
        );
        for pair in [
            "partNumber=7",
            "uploadId=u1",
            "X-Amz-Date=20261123T100000Z",
            "X-Amz-Expires=300",
            "X-Amz-SignedHeaders=host",
        ] {
            assert!(link.split(['?', '&']).any(|part| part == pair), "{link}");
        }
        assert!(!link.contains("THESECRET"));
    }

    #[test]
    fn a_direct_link_is_signed_for_the_type_that_was_announced() {
        let link = link(Duration::from_mins(5), &upload(false), None);
        assert!(
            link.contains("X-Amz-SignedHeaders=content-type%3Bhost"),
            "{link}"
        );
    }

    #[test]
    fn links_live_as_long_as_s3_lets_them() {
        let lives = |ttl| link(ttl, &upload(true), Some(1));
        assert!(lives(Duration::from_millis(10)).contains("X-Amz-Expires=1&"));
        assert!(lives(Duration::from_hours(1000)).contains("X-Amz-Expires=604800&"));
    }

    #[test]
    fn keys_are_not_told() {
        let told = format!("{:?}", options());
        assert!(!told.contains("THEKEY") && !told.contains("THESECRET"));
    }

    #[test]
    fn an_etag_is_an_md5_with_or_without_quotes() {
        let md5 = "0123456789abcdef0123456789abcdef";
        for etag in [md5.to_owned(), format!("\"{md5}\"")] {
            assert_eq!(stored(5, &etag).unwrap().etag(), md5);
        }
        // That of an object made of parts, which says nothing of the bytes.
        assert!(stored(5, &format!("\"{md5}-3\"")).is_err());
    }
}
