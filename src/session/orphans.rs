//! Media objects that an account may still have and that no upload of the session is any more. Pure.

use std::path::PathBuf;

use serde::Deserialize;
use toml::value::Datetime;

use super::{
    record::{BadTable, Record, Writer, time},
    times::Moment,
};
use crate::{
    ids::{AccountId, MediaId},
    path,
};

/// A media object that was, or may have been, created for a file, and that no upload stands for: an
/// `[[orphan]]` table. A later table with the same marker replaces the earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The marker it was created under.
    pub marker: String,
    /// At which account, where that is known.
    pub account: Option<AccountId>,
    /// Its id, where the account returned one.
    pub media: Option<MediaId>,
    /// The file that it was created for.
    pub path: PathBuf,
    /// Since when it is one.
    pub at: Moment,
    /// Whether the account has it no longer: it was deleted there.
    pub gone: bool,
}

/// An `[[orphan]]` table as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrphanTable {
    marker: String,
    account: Option<AccountId>,
    media: Option<MediaId>,
    path: Option<String>,
    path_bytes: Option<String>,
    at: Datetime,
    #[serde(default)]
    gone: bool,
}

impl TryFrom<OrphanTable> for Record {
    type Error = BadTable;

    fn try_from(table: OrphanTable) -> Result<Self, BadTable> {
        Ok(Self::Orphan(Box::new(Orphan {
            marker: table.marker,
            account: table.account,
            media: table.media,
            path: path::one_of(table.path, table.path_bytes).ok_or_else(BadTable::which_path)?,
            at: time("at", &table.at)?.into(),
            gone: table.gone,
        })))
    }
}

/// Appends an `[[orphan]]` table.
pub fn write_orphan(out: &mut String, orphan: &Orphan) {
    out.push_str("[[orphan]]\n");
    let mut writer = Writer(out);
    writer.text("marker", &orphan.marker);
    writer.account(orphan.account.as_ref());
    if let Some(media) = &orphan.media {
        writer.text("media", media.as_str());
    }
    writer.path(&orphan.path);
    // A time that is not known is the beginning of time: the table needs one.
    writer.value("at", orphan.at.known().unwrap_or_default());
    if orphan.gone {
        writer.value("gone", true);
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    use super::*;
    use crate::session::record::read_table;

    fn orphan() -> Orphan {
        Orphan {
            marker: "m1".into(),
            account: Some(AccountId::new("jwplayer", "api.jwplayer.com", 443, "site")),
            media: Some("abcd1234".into()),
            path: "/archive/a.mov".into(),
            at: jiff::Timestamp::from_second(1_700_000_000).unwrap().into(),
            gone: false,
        }
    }

    #[test]
    fn an_orphan_reads_back_as_it_was_written() {
        let bare = Orphan {
            account: None,
            media: None,
            path: OsString::from_vec(b"/not\xffutf8\n".to_vec()).into(),
            at: Moment::default(),
            gone: true,
            ..orphan()
        };
        for orphan in [orphan(), bare] {
            let mut text = String::new();
            write_orphan(&mut text, &orphan);
            assert_eq!(text.matches("\n\n").count(), 1, "{text}");
            assert_eq!(read_table(&text), Ok(Record::Orphan(Box::new(orphan))));
        }
    }

    #[test]
    fn an_orphan_table_that_lacks_something_is_refused() {
        for lines in [
            "marker = \"m\"\npath = \"/a\"",
            "marker = \"m\"\nat = 2026-01-01T00:00:00Z",
            "path = \"/a\"\nat = 2026-01-01T00:00:00Z",
            "marker = \"m\"\npath = \"/a\"\npath_bytes = \"/a\"\nat = 2026-01-01T00:00:00Z",
            "marker = \"m\"\npath = \"/a\"\nat = 2026-01-01",
            "marker = \"m\"\npath = \"/a\"\nat = 2026-01-01T00:00:00Z\nsurprise = 1",
        ] {
            let table = format!("[[orphan]]\n{lines}\n\n");
            assert!(read_table(&table).is_err(), "{lines}");
        }
    }
}
