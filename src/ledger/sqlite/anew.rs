//! A ledger that is moved aside, so that another is made in its place: of no use any more, or to be made
//! anew. Never while another session lives: what that writes would be lost.

use std::path::{Path, PathBuf};

use super::{
    PATIENCE,
    catalog::Catalog,
    schema::{self, OpenFailed},
};
use crate::{
    ledger::owner::{self, Owner},
    path::with_suffix,
};

/// What became of a ledger in whose place a new one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anew {
    /// Where the old one is; `None`: there was none.
    pub old: Option<PathBuf>,
    /// How many uploads that a person had forgotten are forgotten in the new one too; `None`: the old one
    /// can't be read.
    pub forgotten: Option<usize>,
}

/// Moves a ledger aside that is damaged, or is to be made anew, and returns where it is then.
///
/// # Errors
/// [`OpenFailed::InUse`] while a session lives besides this owner; [`OpenFailed::Io`].
pub(in crate::ledger) fn set_aside(
    file: &Path,
    owners: &Path,
    owner: &Owner,
    why: &str,
) -> Result<PathBuf, OpenFailed> {
    if owner::others_live(owners, owner) {
        return Err(OpenFailed::InUse(file.to_owned()));
    }
    let mut names = (1_u32..).map(|number| format!(".{why}-{number}"));
    let name = names
        .find(|name| !with_suffix(file, name).exists())
        .unwrap_or_default();
    let rename = |from: &Path, to: &Path| {
        std::fs::rename(from, to).map_err(|error| OpenFailed::Io {
            path: from.to_owned(),
            error,
        })
    };
    // What was wrong with it says nothing of the next.
    let _ = std::fs::remove_file(schema::suspicion(file));
    let journal = with_suffix(file, "-journal");
    if journal.exists() {
        rename(&journal, &with_suffix(file, &format!("{name}-journal")))?;
    }
    let aside = with_suffix(file, &name);
    rename(file, &aside)?;
    Ok(aside)
}

/// Makes a new ledger in the place of this one, which knows nothing but what a person had forgotten.
///
/// # Errors
/// [`OpenFailed::InUse`] while a session lives besides this owner; any other where the old one is neither
/// sound nor damaged, or the new one can't be made. The old one is where it was then.
pub(in crate::ledger) fn begin(
    file: &Path,
    owners: &Path,
    owner: &Owner,
) -> Result<Anew, OpenFailed> {
    if owner::others_live(owners, owner) {
        return Err(OpenFailed::InUse(file.to_owned()));
    }
    let failed = |error: &rusqlite::Error| OpenFailed::of(file, error);
    let old = Catalog::open(file, owners, false);
    let old = old.and_then(|old| {
        let read = old.map(|old| old.forgotten()).transpose();
        read.map_err(|error| failed(&error))
    });
    let forgotten = match old {
        Ok(forgotten) => Some(forgotten.unwrap_or_default()),
        Err(error) if error.is_damage() => None,
        Err(error) => return Err(error),
    };
    // All that it knows is on disk before it takes the place of the old one.
    let new = with_suffix(file, ".new");
    let io = |path: &Path, error| OpenFailed::Io {
        path: path.to_owned(),
        error,
    };
    // What is left of one that was killed here, its journal first.
    for left in [with_suffix(&new, "-journal"), new.clone()] {
        if left.exists() {
            std::fs::remove_file(&left).map_err(|error| io(&left, error))?;
        }
    }
    let connection = schema::open(Some(&new), PATIENCE)?;
    let rows = forgotten.as_deref().unwrap_or_default();
    schema::in_transaction(&connection, || {
        super::catalog::add_forgotten(&connection, rows)
    })
    .map_err(|error| failed(&error))?;
    drop(connection);
    let old = if file.exists() {
        Some(set_aside(file, owners, owner, "old")?)
    } else {
        None
    };
    std::fs::rename(&new, file).map_err(|error| io(&new, error))?;
    Ok(Anew {
        old,
        forgotten: forgotten.map(|rows| rows.len()),
    })
}
