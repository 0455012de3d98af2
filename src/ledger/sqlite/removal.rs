//! What the ledger has of a session whose file is to be removed, and what becomes of its claims then.
//!
//! A session's file may be the only place that says what it made: the ledger takes that in when an
//! upload starts, or when the file is imported, which asks the account. So a session may go when importing
//! it would change nothing. To find that out takes no account, no secret and no network: media ids and
//! markers are looked up, at whatever account the ledger has them.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, params};

use super::{
    PATIENCE,
    import::{has, owner_of_file},
    schema::{self, OpenFailed, in_transaction, reading},
    values::{Bytes, signed},
    worker::failed,
};
use crate::{
    error::Result,
    ledger::{
        import::{Made, Upload},
        owner::{NotTaken, Owner},
    },
};

/// How many uploads are looked up in one go: writes of others wait as long.
const IN_ONE_GO: usize = 5_000;

/// The ledger for whoever removes sessions.
pub struct Removal {
    /// `None`: there is no ledger, which has nothing of any session.
    connection: Option<Connection>,
    path: PathBuf,
    owners: PathBuf,
}

impl fmt::Debug for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Removal")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What the ledger has of a session's uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InLedger {
    /// How many made something that the ledger lacks.
    pub missing: usize,
    /// How many were started and can be continued by another session.
    pub started: usize,
}

impl Removal {
    /// Opens the ledger in this file, unless there is none; the owners' locks are in this folder.
    ///
    /// # Errors
    /// [`OpenFailed`] in words for a person.
    pub(in crate::ledger) fn open(
        file: &Path,
        owners: PathBuf,
    ) -> std::result::Result<Self, OpenFailed> {
        Ok(Self {
            connection: schema::open_existing(file, PATIENCE, true)?,
            path: file.to_owned(),
            owners,
        })
    }

    /// Becomes the session with this id as an owner, so that no copy of it runs meanwhile.
    ///
    /// # Errors
    /// [`NotTaken::InUse`] where one does.
    pub fn take_owner(&self, id: &str) -> std::result::Result<Owner, NotTaken> {
        Owner::take(&self.owners, id)
    }

    /// What the ledger has of these uploads.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when it can't be read.
    pub fn has(&self, uploads: impl Iterator<Item = Upload>) -> Result<InLedger> {
        let mut uploads = uploads.peekable();
        let mut found = InLedger::default();
        let Some(connection) = &self.connection else {
            found.missing = uploads.count();
            return Ok(found);
        };
        while uploads.peek().is_some() {
            let some = uploads.by_ref().take(IN_ONE_GO);
            let read = reading(connection, || count(connection, some, &mut found));
            read.map_err(|error| failed(&self.path, &error))?;
        }
        Ok(found)
    }

    /// The session with this id as an owner, or with this file where it has none, is removed: what it
    /// holds can be continued by anybody. All objects and names stay.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when it can't be written.
    pub fn give_back(&self, owner: &str, file: &Path) -> Result<()> {
        let Some(connection) = &self.connection else {
            return Ok(());
        };
        // It may have been imported before it had an id.
        let keys = [owner, &owner_of_file(file)];
        let written = in_transaction(connection, || {
            connection.execute(
                "UPDATE started SET owner = NULL \
                 WHERE owner IN (SELECT id FROM owner WHERE key IN (?1, ?2))",
                keys,
            )?;
            connection.execute("DELETE FROM owner WHERE key IN (?1, ?2)", keys)?;
            let sql = "DELETE FROM imported WHERE file = ?1";
            connection.execute(sql, [Bytes(file)])
        });
        written
            .map(drop)
            .map_err(|error| failed(&self.path, &error))
    }
}

/// Counts what the ledger has of these uploads.
fn count(
    connection: &Connection,
    uploads: impl Iterator<Item = Upload>,
    found: &mut InLedger,
) -> rusqlite::Result<()> {
    for upload in uploads {
        let size = upload.identity.size;
        let (media, marker) = match &upload.made {
            Made::Accepted(media) => (Some(media), ""),
            Made::Started { ticket, marker, .. } => (
                ticket.as_ref().and_then(|ticket| ticket.media.as_ref()),
                &**marker,
            ),
        };
        let is_there = has(connection, None, size, media, marker)?;
        found.missing += usize::from(!is_there);
        if !marker.is_empty() {
            let sql = "SELECT 1 FROM started WHERE size = ?1 AND marker = ?2 AND state IN (0, 1)";
            let is_open = connection
                .prepare_cached(sql)?
                .exists(params![signed(size), marker])?;
            found.started += usize::from(is_open);
        }
    }
    Ok(())
}
