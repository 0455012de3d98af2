//! Where JW Player's bytes go by pre-signed links: to the sandbox itself, or past it to an S3 server
//! that nobody here wrote. Knows nothing of JW Player's calls and their words.
//!
//! What lies on an S3 server the sandbox only learns by asking: [`Storage::look`] before every call
//! that depends on it.

pub(super) mod here;
mod s3;

use std::{borrow::Cow, io, sync::Arc};

use axum::response::Response;
use hyper::StatusCode;
use jiff::Timestamp;

use crate::sandbox::{
    Options,
    house::House,
    media::{JwUpload, Media, Piece, Place, Stored},
    request::{Ask, with_type},
    sign,
};

/// The storage of one sandbox.
pub(in crate::sandbox) enum Storage {
    Here,
    S3(Box<s3::Bucket>),
}

impl Storage {
    pub(in crate::sandbox) fn open(options: &Options) -> io::Result<Self> {
        Ok(match &options.s3 {
            None => Self::Here,
            Some(s3) => Self::S3(Box::new(s3::Bucket::open(s3, options.link_ttl)?)),
        })
    }

    /// Whether it can be used, asked once before anything is begun.
    pub(in crate::sandbox) async fn check(&self) -> io::Result<()> {
        match self {
            Self::Here => Ok(()),
            Self::S3(bucket) => bucket.check().await,
        }
    }

    /// Makes room for the bytes of a media object; the id of the upload.
    pub(super) async fn begin(&self, media: &str, multipart: bool) -> Result<String, S3Error> {
        match self {
            Self::S3(bucket) if multipart => bucket.create(media).await,
            _ => Ok(sign::id(32)),
        }
    }

    /// A link to put a part (or, without a number, the whole) to, good from now on for a while.
    pub(super) fn link(
        &self,
        ask: &Ask,
        media: &str,
        upload: &JwUpload,
        part: Option<u16>,
    ) -> String {
        match self {
            Self::Here => here::link(ask, &upload.id, part),
            Self::S3(bucket) => bucket.link(media, upload, part, ask.now),
        }
    }

    /// Learns what arrived of an unfinished upload.
    pub(super) async fn look(
        &self,
        house: &Arc<House>,
        id: &str,
        now: Timestamp,
    ) -> Result<(), S3Error> {
        let Self::S3(bucket) = self else {
            return Ok(());
        };
        let Some(upload) = house
            .store
            .catalog()
            .get(id)
            .filter(|media| media.completed.is_none())
            .and_then(|media| media.upload.clone())
        else {
            return Ok(());
        };
        let found = bucket.find(id, &upload).await?;
        let whole = matches!(found, Found::Whole(_));
        let learned = house.store.change(id, |media| {
            // It may have been completed or replaced while the storage was asked.
            let same = media.completed.is_none() && media.upload.as_ref() == Some(&upload);
            if same {
                learn(media, found, now);
            }
            same
        })?;
        if whole && learned == Some(true) {
            self.assemble(house, id);
        }
        Ok(())
    }

    /// Learns what arrived of all unfinished uploads; one that can't be asked for stays as it was.
    pub(in crate::sandbox) async fn look_at_all(&self, house: &Arc<House>, now: Timestamp) {
        let unfinished: Vec<String> = house
            .store
            .catalog()
            .all()
            .into_iter()
            .filter(|media| !media.deleted && media.completed.is_none() && media.upload.is_some())
            .map(|media| media.id.clone())
            .collect();
        for id in unfinished {
            if let Err(error) = self.look(house, &id, now).await {
                tracing::warn!(media = id, %error, "the storage does not tell what it has");
            }
        }
    }

    /// Makes one object of an upload's parts, given in a row from 1.
    pub(super) async fn join(
        &self,
        media: &str,
        upload: &str,
        parts: &[Stored],
    ) -> Result<(), S3Error> {
        match self {
            Self::Here => here::check_sizes(parts),
            Self::S3(bucket) => bucket.complete(media, upload, parts).await,
        }
    }

    /// Hashes a complete file, in the background.
    pub(in crate::sandbox) fn assemble(&self, house: &Arc<House>, id: &str) {
        let Self::S3(bucket) = self else {
            return house.store.assemble(id);
        };
        let Some(media) = house.store.catalog().get(id).cloned() else {
            return;
        };
        let (bucket, store) = (bucket.clone(), Arc::clone(&house.store));
        let assembling = store.assembling();
        house.tasks.spawn(async move {
            let entered = match bucket.hash(&media.id).await {
                Ok(whole) => store.enter(&media, whole).map_err(S3Error::from),
                Err(error) => Err(error),
            };
            if let Err(error) = entered {
                tracing::warn!(media = media.id, %error, "the storage does not give the file");
            }
            drop(assembling);
        });
    }

    /// Drops the bytes of a media object, complete or not.
    pub(super) async fn remove(&self, house: &Arc<House>, id: &str) -> Result<(), S3Error> {
        let media = house.store.catalog().get(id).cloned();
        if let (Self::S3(bucket), Some(media)) = (self, media) {
            let unfinished = media.upload.filter(|_| media.completed.is_none());
            bucket.remove(id, unfinished.as_ref()).await?;
        }
        Ok(house.store.drop_bytes(id)?)
    }
}

/// What a storage has of an unfinished upload.
enum Found {
    Nothing,
    Parts(Vec<(u32, Stored)>),
    /// The object is there; with what is known of a file sent in one request.
    Whole(Option<Stored>),
}

fn learn(media: &mut Media, found: Found, now: Timestamp) {
    let mut there = match found {
        Found::Nothing => Vec::new(),
        Found::Parts(parts) => parts
            .into_iter()
            .map(|(number, stored)| (Place::Part { number, of: None }, stored))
            .collect(),
        Found::Whole(stored) => {
            media.completed = Some(now);
            match stored {
                Some(stored) => vec![(Place::Whole, stored)],
                // Its parts are known from when they were last asked for.
                None => return,
            }
        }
    };
    media.pieces = there
        .drain(..)
        .map(|(place, stored)| {
            let mut piece = Piece::new(place);
            piece.acknowledged = 1;
            piece.stored = Some(stored);
            (place.key(), piece)
        })
        .collect();
}

/// An error as S3 has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct S3Error {
    pub(super) status: StatusCode,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
}

impl S3Error {
    fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
        }
    }

    fn internal() -> Self {
        let what = "We encountered an internal error. Please try again.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", what)
    }

    /// Reads an error as S3 writes it.
    fn read(status: StatusCode, text: &str) -> Self {
        let element = |name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            let (inner, _) = rest.split_once(&format!("</{name}>"))?;
            Some(inner.to_owned())
        };
        let code = element("Code").unwrap_or_else(|| status.as_str().to_owned());
        let message = element("Message").unwrap_or_else(|| "no reason given".to_owned());
        Self::new(status, code, message)
    }

    fn answer(self) -> Response {
        let Self {
            status,
            code,
            message,
        } = self;
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
             <Message>{message}</Message><RequestId>{}</RequestId></Error>",
            sign::id(16).to_uppercase()
        );
        with_type(status, "application/xml", body)
    }
}

impl From<io::Error> for S3Error {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "the storage failed");
        Self::internal()
    }
}
