//! The numbers and names by which things are known.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The number of an upload, unique within its session and never used again as long as that is open:
/// what is known by it (a screen's marked rows, lines) does not outlive the engine. The numbers of
/// the last ones may be given anew after they were taken out, once the session was written without
/// them and opened again.
pub type UploadId = u32;

/// The highest id of an upload in one session. The ids of removed uploads are not used again, so that a
/// session may have far fewer uploads than this. A higher id in a session file is an error of whoever
/// wrote it there: memory is reserved by ids.
pub const MOST_UPLOADS: UploadId = 8_000_000;

/// The number of a walk, from 1, that is its own as long as the session lives.
pub type WalkId = u32;

/// The highest id of a scan that a session file may have: as many again stay for those to come.
pub const MOST_WALKS: WalkId = WalkId::MAX / 2;

/// The number of an object in the ledger.
pub type ObjectId = i64;

/// Grows by one each time an object of the ledger changes its owner, from a random number on.
pub type Epoch = u32;

/// Who may act on an object of the ledger: what every write to its row names. A session's file keeps it
/// beside the marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "(ObjectId, Epoch)", into = "(ObjectId, Epoch)")]
pub struct Claim {
    /// The object.
    pub object: ObjectId,
    /// The epoch at which it was granted.
    pub epoch: Epoch,
}

impl From<(ObjectId, Epoch)> for Claim {
    fn from((object, epoch): (ObjectId, Epoch)) -> Self {
        Self { object, epoch }
    }
}

impl From<Claim> for (ObjectId, Epoch) {
    fn from(claim: Claim) -> Self {
        (claim.object, claim.epoch)
    }
}

/// The id of a media object at its account, as the account spells it. It may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaId(Box<str>);

impl MediaId {
    /// The text of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Box<str>>> From<T> for MediaId {
    fn from(id: T) -> Self {
        Self(id.into())
    }
}

impl AsRef<str> for MediaId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which account an upload goes to: the kind, the API's host and port, and the site, bucket or key
/// behind it, in one line such as `jwplayer:api.jwplayer.com:443/AbCd1234`. Two destinations of the
/// config with the same id are one account, whatever their names. Holds no secret: a key stands in it
/// as a hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// The id of an account of this kind at this host and port; `within` says which of the accounts
    /// there it is.
    #[must_use]
    pub fn new(kind: &str, host: &str, port: u16, within: &str) -> Self {
        Self(format!("{kind}:{host}:{port}/{within}").into())
    }

    /// The id as it was saved.
    #[must_use]
    pub fn saved(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is the same in the ids of all accounts of this kind at this host and port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.split_inclusive('/').next().unwrap_or_default()
    }
}

/// The hosts that a vendor has: only another one is worth being named.
const VENDORS: [(&str, &str, &str); 3] = [
    ("jwplayer", "api.jwplayer.com:443", "JW Player site"),
    ("apivideo", "ws.api.video:443", "api.video account"),
    (
        "apivideo",
        "sandbox.api.video:443",
        "api.video sandbox account",
    ),
];

impl AccountId {
    /// The account for people; of one that is known by the hash of its key, the beginning of that.
    #[must_use]
    pub fn in_words(&self) -> String {
        let parts = self.0.split_once(':');
        let parts = parts.and_then(|(kind, rest)| Some((kind, rest.split_once('/')?)));
        let Some((kind, (host, within))) = parts else {
            return self.0.to_string();
        };
        let within = match kind {
            "apivideo" => within.get(..8).unwrap_or(within),
            _ => within,
        };
        let of_kind = || VENDORS.iter().filter(|(known, ..)| *known == kind);
        let own = of_kind().find(|(_, known, _)| *known == host);
        match (own, of_kind().next()) {
            (Some((.., words)), _) => format!("{words} {within}"),
            (None, Some((.., words))) => format!("{words} {within} at {host}"),
            (None, None) => self.0.to_string(),
        }
    }
}

impl From<String> for AccountId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_named_as_its_vendor_does_and_with_a_host_of_its_own() {
        for (id, words) in [
            (
                "jwplayer:api.jwplayer.com:443/AbCd1234",
                "JW Player site AbCd1234",
            ),
            (
                "jwplayer:127.0.0.1:8080/Site0001",
                "JW Player site Site0001 at 127.0.0.1:8080",
            ),
            (
                "apivideo:ws.api.video:443/0a1b2c3d4e5f60718293a4b5c6d7e8f9",
                "api.video account 0a1b2c3d",
            ),
            (
                "apivideo:sandbox.api.video:443/0a1b2c3d4e5f60718293a4b5c6d7e8f9",
                "api.video sandbox account 0a1b2c3d",
            ),
            ("s3:host:443/bucket", "s3:host:443/bucket"),
            ("odd", "odd"),
        ] {
            assert_eq!(AccountId::saved(id).in_words(), words);
        }
    }
}
