//! What a person sees and changes of the ledger: at all accounts, and without a session.
//!
//! No read stays open: an open reader blocks all commits. So many objects are read in several goes, and
//! sorted in a file of their own.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    PATIENCE, core, import,
    known::IN_ONE_GO,
    schema::{self, OpenFailed, in_transaction, reading},
    values::{self, Bytes},
    worker::failed,
};
use crate::{
    error::Result,
    ids::{AccountId, MediaId, ObjectId},
    ledger::{ObjectState, owner},
};

/// Which uploads are meant.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of these files, and of what lies below these folders; all where there are none.
    pub paths: Vec<PathBuf>,
    /// Those at this account; at all where there is none.
    pub account: Option<AccountId>,
}

impl Filter {
    /// The id by which the ledger has the account that is meant.
    fn account(&self, connection: &Connection) -> rusqlite::Result<Option<AccountId>> {
        let Some(account) = &self.account else {
            return Ok(None);
        };
        let first = "SELECT text FROM account WHERE id = \
             (SELECT coalesce(same, id) FROM account WHERE text = ?1)";
        let found: Option<String> = connection
            .query_row(first, [account.as_str()], |row| row.get(0))
            .optional()?;
        Ok(Some(
            found.map_or_else(|| account.clone(), AccountId::saved),
        ))
    }

    fn is_path(&self, path: &Path) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|above| path.starts_with(above))
    }
}

/// An object under one of its paths. Only what is accepted or under way has entries: all else counts as
/// not uploaded anyway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where its file was seen.
    pub path: PathBuf,
    /// The path that it was seen at first, where that is another.
    pub same_as: Option<PathBuf>,
    /// The account.
    pub account: AccountId,
    /// The media object, where there is one.
    pub media: Option<MediaId>,
    /// How far it is.
    pub state: ObjectState,
    /// The session that uploads it now.
    pub session: Option<String>,
    /// When it came so far, in seconds since 1970; 0 where unknown.
    pub at: i64,
}

/// What becomes of an entry that is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forgotten {
    /// Its object is forgotten.
    Object,
    /// This path of it is; the object stays, since it has this one, too.
    Name(PathBuf),
    /// Nothing: this session uploads it now.
    Held(String),
}

/// What a filter finds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The objects.
    pub objects: Vec<ObjectId>,
    /// How many uploads lie below a path that was named, other than at the path itself.
    pub below: usize,
}

/// The ledger as a person looks at it.
pub struct Catalog {
    connection: Connection,
    path: PathBuf,
    owners: PathBuf,
    /// Which owners were seen alive.
    alive: HashMap<String, bool>,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// An object with all its paths, in the order they were seen.
struct Object {
    id: ObjectId,
    account: AccountId,
    media: Option<MediaId>,
    state: ObjectState,
    marker: Option<String>,
    session: Option<String>,
    at: i64,
    paths: Vec<PathBuf>,
}

impl Object {
    /// It under this path.
    fn entry(&self, path: &Path) -> Entry {
        let first = self.paths.first();
        Entry {
            path: path.to_owned(),
            same_as: first.filter(|first| *first != path).cloned(),
            account: self.account.clone(),
            media: self.media.clone(),
            state: self.state,
            session: self.session.clone(),
            at: self.at,
        }
    }
}

/// Objects that count, those with numbers above `?1` and not above `?2`, and a row for each of their names.
const OBJECTS: &str = "
WITH object AS (
    SELECT id, account, media, 2 AS state, NULL AS marker, NULL AS owner, at FROM accepted
    WHERE id > ?1 AND id <= ?2
    UNION ALL
    SELECT id, account, media, state, marker, owner, at FROM started
    WHERE id > ?1 AND id <= ?2 AND state IN (0, 1)
)
SELECT o.id, a.text, o.media, o.state, o.marker, w.key, w.session, w.file, o.at, f.path, n.base
FROM object o CROSS JOIN account a ON a.id = o.account
CROSS JOIN name n ON n.object = o.id CROSS JOIN folder f ON f.id = n.folder
LEFT JOIN owner w ON w.id = o.owner
ORDER BY o.id, n.number";

impl Catalog {
    /// Opens the ledger in this file, for reading alone where nothing is to be changed; `None` where there
    /// is none. `owners` is the folder of the owners' locks.
    ///
    /// # Errors
    /// [`OpenFailed`].
    pub fn open(file: &Path, owners: &Path, is_changed: bool) -> Result<Option<Self>, OpenFailed> {
        let connection = schema::open_existing(file, PATIENCE, is_changed)?;
        Ok(connection.map(|connection| Self {
            connection,
            path: file.to_owned(),
            owners: owners.to_owned(),
            alive: HashMap::new(),
        }))
    }

    /// Calls this with each upload that is meant, by path; `false` ends it.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when the ledger can't be read.
    pub fn list(&mut self, filter: &Filter, each: impl FnMut(Entry) -> bool) -> Result<()> {
        let listed = Sorted::new().and_then(|mut sorted| {
            self.each_object(filter, |object| {
                let mut meant = object.paths.iter().filter(|path| filter.is_path(path));
                meant.try_for_each(|path| sorted.add(object.id, &object.entry(path)))
            })?;
            sorted.read(each)
        });
        listed.map_err(|error| failed(&self.path, &error))
    }

    /// What is meant, without changing it.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when the ledger can't be read.
    pub fn find(&mut self, filter: &Filter) -> Result<Found> {
        let mut found = Found::default();
        let named = |path: &Path| filter.paths.iter().any(|named| named == path);
        let all = self.each_object(filter, |object| {
            let mut paths = object.paths.iter().filter(|path| filter.is_path(path));
            found.below += paths.clone().filter(|path| !named(path)).count();
            if paths.next().is_some() {
                found.objects.push(object.id);
            }
            Ok(())
        });
        all.map_err(|error| failed(&self.path, &error))?;
        Ok(found)
    }

    /// Forgets what is meant of these objects, all or none of it. What a session uploads now stays.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when the ledger can't be written: nothing is forgotten then.
    pub fn forget(
        &mut self,
        filter: &Filter,
        objects: &[ObjectId],
    ) -> Result<Vec<(Entry, Forgotten)>> {
        // Nobody takes over meanwhile what has no owner or a dead one: that takes this lock too.
        self.alive.clear();
        let connection = &self.connection;
        let (alive, owners) = (&mut self.alive, &self.owners);
        let done = in_transaction(connection, || {
            let mut forgotten = Vec::new();
            let only = filter.account(connection)?;
            for id in objects {
                for object in read(connection, (id - 1, *id), alive, owners)? {
                    if only.as_ref().is_none_or(|only| *only == object.account) {
                        forget(connection, filter, &object, &mut forgotten)?;
                    }
                }
            }
            Ok(forgotten)
        });
        done.map_err(|error| failed(&self.path, &error))
    }

    /// What a person had forgotten: accounts, and media objects or markers there.
    pub(super) fn forgotten(&self) -> rusqlite::Result<Vec<(AccountId, String)>> {
        let sql = "SELECT a.text, f.media FROM forgotten f JOIN account a ON a.id = f.account";
        let mut sql = self.connection.prepare(sql)?;
        let rows = sql.query_map((), |row| {
            Ok((AccountId::saved(row.get::<_, String>(0)?), row.get(1)?))
        })?;
        rows.collect()
    }

    /// Reads all objects at the account that is meant, some at a time.
    fn each_object(
        &mut self,
        filter: &Filter,
        mut each: impl FnMut(&Object) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let range = "SELECT coalesce(min(low), 1) - 1, coalesce(max(high), 0) FROM (\
             SELECT min(id) AS low, max(id) AS high FROM accepted UNION ALL \
             SELECT min(id), max(id) FROM started)";
        let (mut after, last): (ObjectId, ObjectId) =
            self.connection
                .query_row(range, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let only = filter.account(&self.connection)?;
        while after < last {
            let until = after + IN_ONE_GO;
            let (connection, owners) = (&self.connection, &self.owners);
            let alive = &mut self.alive;
            let objects = reading(connection, || {
                read(connection, (after, until), alive, owners)
            })?;
            let is_meant = |object: &&Object| only.as_ref().is_none_or(|it| *it == object.account);
            let mut meant = objects.iter().filter(is_meant);
            meant.try_for_each(&mut each)?;
            after = until;
        }
        Ok(())
    }
}

/// The objects with numbers above the first and not above the second.
fn read(
    connection: &Connection,
    (after, until): (ObjectId, ObjectId),
    alive: &mut HashMap<String, bool>,
    owners: &Path,
) -> rusqlite::Result<Vec<Object>> {
    let mut sql = connection.prepare_cached(OBJECTS)?;
    let mut rows = sql.query([after, until])?;
    let mut objects: Vec<Object> = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let path = values::path(row.get(9)?).join(values::path(row.get(10)?));
        match objects.last_mut().filter(|last| last.id == id) {
            Some(object) if object.paths.contains(&path) => {}
            Some(object) => object.paths.push(path),
            None => objects.push(Object {
                id,
                account: AccountId::saved(row.get::<_, String>(1)?),
                media: row.get::<_, Option<String>>(2)?.map(MediaId::from),
                state: row.get(3)?,
                marker: row.get(4)?,
                session: living(row, alive, owners)?,
                at: row.get(8)?,
                paths: vec![path],
            }),
        }
    }
    Ok(objects)
}

/// The session that has an object, where it lives. Where that can't be told it does.
fn living(
    row: &Row<'_>,
    alive: &mut HashMap<String, bool>,
    owners: &Path,
) -> rusqlite::Result<Option<String>> {
    let Some(key) = row.get::<_, Option<String>>(5)? else {
        return Ok(None);
    };
    let file = values::path(row.get(7)?);
    let is_alive = *alive.entry(key).or_insert_with_key(|key| {
        import::runs_without_owner(key, &file)
            .unwrap_or_else(|| owner::is_alive(owners, key).unwrap_or(true))
    });
    let session: String = row.get(6)?;
    Ok(is_alive.then_some(session))
}

/// Forgets what is meant of an object, within a transaction.
fn forget(
    connection: &Connection,
    filter: &Filter,
    object: &Object,
    forgotten: &mut Vec<(Entry, Forgotten)>,
) -> rusqlite::Result<()> {
    let (meant, others): (Vec<&PathBuf>, _) =
        object.paths.iter().partition(|path| filter.is_path(path));
    let outcome = match (&object.session, others.first()) {
        (Some(session), _) => Forgotten::Held(session.clone()),
        (None, Some(other)) => {
            for path in &meant {
                let (folder, base) = values::split(path);
                let sql = "DELETE FROM name WHERE object = ?1 AND base = ?3 \
                     AND folder = (SELECT id FROM folder WHERE path = ?2)";
                connection.prepare_cached(sql)?.execute(params![
                    object.id,
                    Bytes(folder),
                    Bytes(base)
                ])?;
            }
            Forgotten::Name((*other).clone())
        }
        (None, None) => {
            // A session's file names what it has not finished by its marker alone, at times.
            let media = object.media.as_ref().map(ToString::to_string);
            let known_by = [media, object.marker.clone()].into_iter().flatten();
            let rows: Vec<_> = known_by.map(|it| (object.account.clone(), it)).collect();
            add_forgotten(connection, &rows)?;
            for sql in [
                "DELETE FROM accepted WHERE id = ?1",
                "DELETE FROM started WHERE id = ?1",
                "DELETE FROM name WHERE object = ?1",
            ] {
                connection.prepare_cached(sql)?.execute([object.id])?;
            }
            Forgotten::Object
        }
    };
    let meant = meant.into_iter().map(|path| object.entry(path));
    forgotten.extend(meant.map(|entry| (entry, outcome.clone())));
    Ok(())
}

/// Has these media objects and markers forgotten, within a transaction.
pub(super) fn add_forgotten(
    connection: &Connection,
    rows: &[(AccountId, String)],
) -> rusqlite::Result<()> {
    for (account, media) in rows {
        let account = core::account(connection, account)?;
        connection
            .prepare_cached("INSERT OR IGNORE INTO forgotten (account, media) VALUES (?1, ?2)")?
            .execute(params![account, media])?;
    }
    Ok(())
}

/// Entries by path, in a file that SQLite removes by itself.
struct Sorted(Connection);

impl Sorted {
    fn new() -> rusqlite::Result<Self> {
        let connection = Connection::open("")?;
        connection.execute_batch(
            "CREATE TABLE entry (path BLOB, object INTEGER, same_as BLOB, account TEXT, media TEXT, \
             state INTEGER, session TEXT, at INTEGER, PRIMARY KEY (path, object)) WITHOUT ROWID; BEGIN",
        )?;
        Ok(Self(connection))
    }

    fn add(&mut self, object: ObjectId, entry: &Entry) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
            .execute(params![
                Bytes(&entry.path),
                object,
                entry.same_as.as_deref().map(Bytes),
                entry.account.as_str(),
                entry.media.as_ref().map(MediaId::as_str),
                entry.state,
                entry.session,
                entry.at,
            ])?;
        Ok(())
    }

    fn read(&self, mut each: impl FnMut(Entry) -> bool) -> rusqlite::Result<()> {
        let mut sql = self
            .0
            .prepare("SELECT * FROM entry ORDER BY path, object")?;
        let mut rows = sql.query(())?;
        while let Some(row) = rows.next()? {
            let entry = Entry {
                path: values::path(row.get(0)?),
                same_as: row.get::<_, Option<Vec<u8>>>(2)?.map(values::path),
                account: AccountId::saved(row.get::<_, String>(3)?),
                media: row.get::<_, Option<String>>(4)?.map(MediaId::from),
                state: row.get(5)?,
                session: row.get(6)?,
                at: row.get(7)?,
            };
            if !each(entry) {
                break;
            }
        }
        Ok(())
    }
}
