//! A ledger belongs to one machine. A copy of it, or the one of a machine that was restored, knows nothing of
//! what the original has done since: it is used only by who says that it is to be.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::schema::{OpenFailed, in_transaction, new_id};

/// The machine that opens a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its id, where it has one.
    pub id: Option<String>,
    /// Whether it adopts the ledger of another machine.
    pub adopts: bool,
}

/// Checks that the ledger is this machine's, or adopts it: it has another id then, and every upload that was
/// started may be continued by whoever asks first.
pub(super) fn check(
    connection: &Connection,
    path: &Path,
    machine: &Machine,
) -> Result<(), OpenFailed> {
    let Some(id) = &machine.id else {
        return Ok(());
    };
    let is_ours = in_transaction(connection, || {
        let known: Option<String> = connection
            .query_row("SELECT value FROM meta WHERE key = 'machine'", (), |row| {
                row.get(0)
            })
            .optional()?;
        let is_other = known.is_some_and(|known| known != *id);
        if is_other && !machine.adopts {
            return Ok(false);
        }
        if is_other {
            connection.execute("UPDATE meta SET value = ?1 WHERE key = 'id'", [new_id()])?;
            connection.execute("UPDATE started SET epoch = epoch + 1, owner = NULL", ())?;
        }
        connection.execute(
            "INSERT OR REPLACE INTO meta (key, value) VALUES ('machine', ?1)",
            [id],
        )?;
        Ok(true)
    });
    match is_ours {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenFailed::OtherMachine(path.to_owned())),
        Err(error) => Err(OpenFailed::of(path, &error)),
    }
}
