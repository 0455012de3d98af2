//! The tables, and how the file is opened.
//!
//! | table | contents |
//! |---|---|
//! | `started` | objects that are not accepted: under way, failed, discarded |
//! | `accepted` | objects that the account has taken in: written once, and short |
//! | `name` | the names of both, those of an object side by side |
//! | `account`, `owner`, `folder`, `file_system` | long values, by number; an account may have several ids |
//! | `imported` | session files whose uploads are in the ledger, as `stat` said of them then |
//! | `forgotten` | media objects that a person had forgotten, and markers: no import takes them in again |
//! | `meta` | the ledger's id, and that of its machine |
//!
//! An object has one number in both tables, which no other object ever gets, in this ledger or in the one
//! that it is rebuilt from sessions of: those may name their old claims.

use std::{
    fs::{OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::{
    ledger::FILE,
    path::with_suffix,
    state_dir::{make_private, sync_folder},
};

/// What marks a file as a ledger of ours: `reel`.
const APPLICATION: i64 = 0x7265_656c;

/// The edition of the tables.
const VERSION: i64 = 1;

/// What becomes of a damaged ledger.
const REBUILD: &str = "once no session runs, the next `reelhaul up` moves it aside and makes it anew from \
     the saved sessions";

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE,
    same INTEGER
);
CREATE TABLE owner (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    session TEXT NOT NULL,
    file BLOB NOT NULL
);
CREATE TABLE folder (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE);
CREATE TABLE file_system (id INTEGER PRIMARY KEY, number INTEGER NOT NULL UNIQUE);
CREATE TABLE started (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL,
    slot TEXT NOT NULL,
    size INTEGER NOT NULL,
    samples BLOB,
    state INTEGER NOT NULL,
    marker TEXT NOT NULL,
    plan NOT NULL,
    media TEXT,
    digest BLOB,
    ticket BLOB,
    owner INTEGER,
    epoch INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX started_by_size ON started (size, account, slot);
CREATE TABLE accepted (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL,
    slot TEXT NOT NULL,
    size INTEGER NOT NULL,
    samples BLOB,
    mark INTEGER NOT NULL,
    plan,
    media TEXT,
    digest BLOB,
    epoch INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX accepted_by_size ON accepted (size, account, slot);
CREATE TABLE name (
    object INTEGER NOT NULL,
    number INTEGER NOT NULL,
    folder INTEGER NOT NULL,
    base BLOB NOT NULL,
    modified NOT NULL,
    changed,
    file_system INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    PRIMARY KEY (object, number)
) WITHOUT ROWID;
CREATE TABLE imported (
    account INTEGER NOT NULL,
    file BLOB NOT NULL,
    size INTEGER NOT NULL,
    modified NOT NULL,
    PRIMARY KEY (account, file)
) WITHOUT ROWID;
CREATE TABLE forgotten (
    account INTEGER NOT NULL,
    media TEXT NOT NULL,
    PRIMARY KEY (media, account)
) WITHOUT ROWID;
";

/// Why the ledger can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFailed {
    /// Its file or folder can't be made or read.
    #[error("the ledger {path} can't be opened: {error}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system returned.
        error: io::Error,
    },
    /// Another process writes for too long.
    #[error("the ledger {0} is locked by another program; end that, then try again")]
    Locked(PathBuf),
    /// It can't be written.
    #[error("the ledger {0} is read-only; make it and its folder writable, then try again")]
    ReadOnly(PathBuf),
    /// No room is left.
    #[error("the disk of the ledger {0} is full; make room, then try again")]
    Full(PathBuf),
    /// It is something else.
    #[error(
        "{0} is not a ledger of reelhaul, and is left as it is; move it away, or name another file as \
         `path` under [ledger] in the config"
    )]
    Foreign(PathBuf),
    /// It is to be moved aside, and a session may be writing to it.
    #[error(
        "a session runs: the ledger {0} stays where it is, since what the session writes to it would be \
         lost. End all sessions, then try again"
    )]
    InUse(PathBuf),
    /// It was written by a newer build.
    #[error(
        "the ledger {path} is of edition {version}, and this build knows edition {VERSION}; use the \
         newer reelhaul"
    )]
    Newer {
        /// Which one.
        path: PathBuf,
        /// Its edition.
        version: i64,
    },
    /// It is of another machine, or a copy of one.
    #[error(
        "the ledger {0} was made on another machine: it knows nothing of what that has uploaded since it \
         was copied or restored, and nothing was started. To go on with it here, say --adopt once; two \
         machines need two state folders (XDG_STATE_HOME)"
    )]
    OtherMachine(PathBuf),
    /// It can't be read as a whole.
    #[error("the ledger {path} is damaged ({words}); {REBUILD}")]
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What SQLite returned.
        words: String,
    },
    /// Anything else.
    #[error("the ledger {path} can't be opened: {words}")]
    Other {
        /// Which one.
        path: PathBuf,
        /// What SQLite returned.
        words: String,
    },
}

impl OpenFailed {
    /// Whether nothing can be done with it but to make it anew.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Why SQLite could not open what is at the path.
    pub(super) fn of(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(path),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly(path),
            Some(ErrorCode::DiskFull) => Self::Full(path),
            // Nothing in it says that it was a ledger: its name has to.
            Some(ErrorCode::NotADatabase) if !path.ends_with(FILE) => Self::Foreign(path),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged {
                path,
                words: error.to_string(),
            },
            _ => Self::Other {
                path,
                words: error.to_string(),
            },
        }
    }
}

/// Opens the ledger at the path, and makes it where there is none; `None`: in memory.
pub(super) fn open(path: Option<&Path>, patience: Duration) -> Result<Connection, OpenFailed> {
    let shown = path.unwrap_or(Path::new("in memory"));
    let failed = |error| OpenFailed::of(shown, &error);
    let connection = match path {
        None => Connection::open_in_memory().map_err(failed)?,
        Some(path) if path.exists() && !path.is_file() => {
            return Err(OpenFailed::Foreign(path.to_owned()));
        }
        Some(path) => {
            make_private_file(path).map_err(|error| {
                let path = path.to_owned();
                match error.kind() {
                    io::ErrorKind::StorageFull => OpenFailed::Full(path),
                    io::ErrorKind::ReadOnlyFilesystem => OpenFailed::ReadOnly(path),
                    _ => OpenFailed::Io { path, error },
                }
            })?;
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            Connection::open_with_flags(path, flags).map_err(failed)?
        }
    };
    connection.busy_timeout(patience).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    check(&connection, shown)?;
    if let Some(path) = path {
        keep_private(path);
        check_suspect(&connection, path)?;
    }
    set_up(&connection, path.is_none_or(syncs_folder)).map_err(failed)?;
    if connection.is_readonly("main").map_err(failed)? {
        return Err(OpenFailed::ReadOnly(shown.to_owned()));
    }
    Ok(connection)
}

/// The file that says that the ledger in this file was found to be damaged while it was open.
pub(super) fn suspicion(path: &Path) -> PathBuf {
    with_suffix(path, "-suspect")
}

/// The ledger was found to be damaged: the next one to open it looks at all of it.
pub(super) fn suspect(path: &Path) {
    // Where that can't be written, the damage is met once more.
    let _ = std::fs::write(suspicion(path), "");
}

/// Looks at all of a ledger that was found to be damaged while it was open.
fn check_suspect(connection: &Connection, path: &Path) -> Result<(), OpenFailed> {
    let suspicion = suspicion(path);
    if !suspicion.exists() {
        return Ok(());
    }
    let found = "PRAGMA quick_check(1)";
    let found: rusqlite::Result<String> = connection.query_row(found, (), |row| row.get(0));
    match found {
        Ok(words) if words == "ok" => {
            let _ = std::fs::remove_file(suspicion);
            Ok(())
        }
        Ok(words) => Err(OpenFailed::Damaged {
            path: path.to_owned(),
            words,
        }),
        Err(error) => Err(OpenFailed::of(path, &error)),
    }
}

/// Opens the ledger at the path, to be read or changed by what is no session; `None` where there is none.
pub(super) fn open_existing(
    path: &Path,
    patience: Duration,
    is_changed: bool,
) -> Result<Option<Connection>, OpenFailed> {
    let failed = |error| OpenFailed::of(path, &error);
    let io = |error| OpenFailed::Io {
        path: path.to_owned(),
        error,
    };
    if !path.try_exists().map_err(io)? {
        return Ok(None);
    }
    if is_changed {
        return open(Some(path), patience).map(Some);
    }
    // What a killed session has not finished writing is undone by whoever reads first: so it is opened
    // for writing, where that is allowed, and changes nothing else.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(patience).map_err(failed)?;
    connection
        .execute_batch("PRAGMA query_only = ON")
        .map_err(failed)?;
    let is_made = check(&connection, path)?;
    Ok(is_made.then_some(connection))
}

/// Whether the file is a ledger of this edition; `false`: it is nothing yet. Changes nothing.
fn check(connection: &Connection, path: &Path) -> Result<bool, OpenFailed> {
    // All three at once: another session may make it at this moment.
    let read = reading(connection, || {
        let number = |sql| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
        Ok((
            number("PRAGMA application_id")?,
            number("PRAGMA user_version")?,
            number("SELECT count(*) FROM sqlite_schema")?,
        ))
    });
    match read.map_err(|error| OpenFailed::of(path, &error))? {
        (0, 0, 0) => Ok(false),
        (APPLICATION, version, _) if version > VERSION => Err(OpenFailed::Newer {
            path: path.to_owned(),
            version,
        }),
        (APPLICATION, ..) => Ok(true),
        _ => Err(OpenFailed::Foreign(path.to_owned())),
    }
}

/// Reads several times from one state of the ledger, which nobody can write meanwhile.
pub(super) fn reading<T>(
    connection: &Connection,
    read: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("BEGIN")?;
    let done = read();
    roll_back(connection);
    done
}

/// Sets how it is written, and makes the tables where they are missing.
fn set_up(connection: &Connection, syncs_folder: bool) -> rusqlite::Result<()> {
    // A commit is on disk when it returns, and so is the end of its journal: a power cut undoes neither.
    // Where the removal of a journal can't be synced, its file is made empty and stays.
    let (journal, synchronous) = if syncs_folder {
        ("DELETE", "EXTRA")
    } else {
        ("TRUNCATE", "FULL")
    };
    let journal = format!("PRAGMA journal_mode = {journal}");
    connection.query_row(&journal, (), |_| Ok(()))?;
    connection.execute_batch(&format!(
        "PRAGMA synchronous = {synchronous}; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;"
    ))?;
    in_transaction(connection, || {
        let read = |sql| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
        if read("PRAGMA application_id")? == APPLICATION {
            return Ok(());
        }
        connection.execute_batch(TABLES)?;
        connection.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('started', ?1)",
            [i64::from(fastrand::u32(1..1 << 24)) << 20],
        )?;
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('id', ?1)",
            [new_id()],
        )?;
        connection.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
        ))
    })
}

/// Whether the folder of this file can be synced. Any error but that it can't, SQLite returns too.
fn syncs_folder(path: &Path) -> bool {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let synced = sync_folder(folder.unwrap_or(Path::new(".")));
    !matches!(synced, Ok(Some(_)))
}

/// Does this in a transaction that nobody else can write in.
pub(super) fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = work().and_then(|done| connection.execute_batch("COMMIT").map(|()| done));
    if done.is_err() {
        roll_back(connection);
    }
    done
}

/// Ends a transaction that failed; SQLite has ended some by itself.
pub(super) fn roll_back(connection: &Connection) {
    if !connection.is_autocommit() {
        // What the transaction failed by is what is told.
        let _ = connection.execute_batch("ROLLBACK");
    }
}

/// A new ledger's id: eight letters and digits.
pub(super) fn new_id() -> String {
    let mut random = fastrand::Rng::new();
    (0..8)
        .map(|_| random.alphanumeric().to_ascii_lowercase())
        .collect()
}

/// Makes an empty file that nobody else can read, before SQLite opens it. A file that is there is not
/// opened: closing it would drop the locks that SQLite has on it in this process.
fn make_private_file(path: &Path) -> io::Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        make_private(folder)?;
    }
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// Keeps others from reading a ledger that they could.
fn keep_private(path: &Path) {
    let Ok(found) = std::fs::metadata(path) else {
        return;
    };
    let mode = found.permissions().mode();
    if mode & 0o077 != 0 {
        // Somebody else's file can't be changed, and SQLite says whether it can be used.
        let _ = std::fs::set_permissions(path, Permissions::from_mode(mode & 0o700));
    }
}
