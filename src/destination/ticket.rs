//! What an account returned for an upload.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{ids::MediaId, secret::Secret};

/// What an account returned for an upload: the media object's id, where there is one yet, and a table
/// that only the account's own kind reads. Everything in the table may be a secret.
///
/// In a session file it is one table, `{ media = "…", … }`.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct Ticket {
    /// The media object's id, which may be shown. Some accounts return it with the first part or at
    /// the end ([`Receipt::ticket`](super::Receipt::ticket)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaId>,
    /// What the account's kind keeps: ids, tokens, the way this upload is sent.
    #[serde(flatten)]
    pub data: toml::Table,
}

impl TryFrom<toml::Table> for Ticket {
    type Error = &'static str;

    fn try_from(mut data: toml::Table) -> Result<Self, &'static str> {
        let media = match data.remove("media") {
            None => None,
            Some(toml::Value::String(media)) => Some(media.into()),
            Some(_) => return Err("`media` is not a text"),
        };
        Ok(Self { media, data })
    }
}

// No kind keeps a number that is NaN.
impl Eq for Ticket {}

impl Ticket {
    /// The ticket of a media object, with nothing else in it.
    #[must_use]
    pub fn of(media: impl Into<MediaId>) -> Self {
        Self {
            media: Some(media.into()),
            data: toml::Table::new(),
        }
    }

    /// The same with a text of the kind's own; `media` is no key for one.
    #[must_use]
    pub fn with(mut self, key: &str, text: impl Into<String>) -> Self {
        self.data
            .insert(key.to_owned(), toml::Value::String(text.into()));
        self
    }

    /// A text of the kind's own.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.data.get(key)?.as_str()
    }
}

/// The key by which an account's tickets are encrypted outside session files: made from its secret, so
/// that it is kept nowhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TicketKey(pub [u8; 32]);

impl TicketKey {
    pub(super) fn from_secret(secret: &Secret) -> Self {
        let key = Sha256::new()
            .chain_update(b"reelhaul tickets\0")
            .chain_update(secret.expose());
        Self(key.finalize().into())
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey(…)")
    }
}

impl fmt::Debug for Ticket {
    /// Shows the media id alone: the rest lets its holder write to the account.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("media", &self.media)
            .finish_non_exhaustive()
    }
}
