//! What is uploaded where, and who may upload what: shared by all sessions of a machine.
//!
//! The ledger answers one question: is this file at this account, or does somebody upload it? A wrong
//! "yes" loses a film; a wrong "no" uploads it twice. So where it is in doubt, the answer is no.
//!
//! It has objects and names. An *object* is a media object that was made, or is about to be, at an
//! account: with the size and samples of its file, its marker, its ticket, and who may act on it. A
//! *name* is a path that an object's file was seen at, with what `stat` said of it then. Names are only
//! added.
//!
//! A session's file says how far its uploads are. The ledger says who may continue them: whoever has
//! the row's claim, which is an owner and an epoch. An owner is a session; it lives as long as the
//! kernel holds its lock. The epoch grows whenever the owner changes, and every write names the epoch
//! it was granted: a write of an older one changes nothing.
//!
//! | file | contents |
//! |---|---|
//! | `identity` | whether a file is one that an object was made from; pure |
//! | `samples` | samples of a file's bytes |
//! | `import` | what is taken in of a session's file |
//! | `owner` | the lock that shows that a session lives |
//! | `sqlite` | the ledger in a file, for one machine |
//! | `seal` | tickets encrypted |

pub mod identity;
pub mod import;
pub mod owner;
pub mod samples;
mod seal;
pub mod sqlite;

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use self::{
    owner::Owner,
    samples::Samples,
    sqlite::{
        Machine, OpenFailed, Options, Removal, Sqlite,
        anew::{self, Anew},
        catalog::Catalog,
    },
};
use crate::{
    destination::{Account, Md5, Ticket},
    error::{Error, Kind, Result},
    identity::FileStat,
    ids::{Claim, MediaId, ObjectId},
    machine::machine_id,
    plan::{PartNumber, PartPlan},
};

/// The ledger's file in the state folder.
pub const FILE: &str = "ledger.db";

/// What a ledger that is made from the saved sessions lacks.
pub const NOT_IN_SESSIONS: &str = "What was uploaded by sessions that are no longer saved, and files that \
    were renamed, moved or copied since, are uploaded again; what was forgotten by hand may be known again";

/// The folder of the owners' locks, beside the ledger.
fn owners_of(file: &Path) -> PathBuf {
    file.with_file_name("owners")
}

/// A local file, as a claim names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// What `stat` says of it.
    pub stat: FileStat,
    /// Samples of its bytes.
    pub samples: Samples,
}

/// How far an object is. Only an accepted one is a reason to skip a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectState {
    /// It is created, or about to be; parts are sent.
    Open,
    /// The account was told that all parts are there, and agreed.
    Complete,
    /// The account has taken it in: it can be played.
    Accepted,
    /// The account could not use it.
    Failed,
    /// It is to be deleted, or is: its ticket is never handed out again.
    Discarded,
}

/// The objects that uploads of this process continue.
#[derive(Debug, Clone, Default)]
pub struct Uses(Arc<Mutex<HashMap<ObjectId, usize>>>);

impl Uses {
    /// An upload continues this object, until what is returned is dropped.
    #[must_use]
    pub fn mark(&self, object: ObjectId) -> InUse {
        *self.by_object().entry(object).or_default() += 1;
        InUse {
            object,
            uses: self.clone(),
        }
    }

    /// Whether an upload continues this object.
    #[must_use]
    pub fn is_used(&self, object: ObjectId) -> bool {
        self.by_object().contains_key(&object)
    }

    fn by_object(&self) -> MutexGuard<'_, HashMap<ObjectId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload of this process continues an object: as long as this is there, no other one of the same
/// process is granted that. Dropping it gives nothing back to other sessions.
#[derive(Debug)]
pub struct InUse {
    object: ObjectId,
    uses: Uses,
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Entry::Occupied(mut uses) = self.uses.by_object().entry(self.object) {
            *uses.get_mut() -= 1;
            if *uses.get() == 0 {
                uses.remove();
            }
        }
    }
}

/// What an upload asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The file as it is now.
    pub file: File,
    /// The marker of a new object. For an upload that was started, its own.
    pub marker: String,
    /// How the file is split.
    pub plan: PartPlan,
    /// What the upload was granted before; `None`: it was never granted anything.
    pub before: Option<Claim>,
    /// What the session knows of an upload that was started, for a ledger that has no row of it.
    pub started: Option<Started>,
    /// Whether it is uploaded once more, where it is uploaded already.
    pub again: bool,
    /// Whether all of its bytes decide whether it is uploaded already, and not its names and samples.
    pub is_deep: bool,
    /// Objects whose whole file was compared with this one, and whether the bytes are the same.
    pub compared: Vec<(ObjectId, bool)>,
}

/// How far an upload is that its session has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The ticket, once there is one.
    pub ticket: Option<Ticket>,
    /// Whether the account was told that all is there, and agreed.
    pub complete: bool,
}

/// What came of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// The upload continues with its own object, or with a new one under the marker it asked with.
    Granted {
        /// The claim.
        claim: Claim,
        /// Ends when the upload's task does.
        in_use: InUse,
        /// The samples that the object's row has: those of the file as it was when it was first
        /// claimed.
        samples: Option<Samples>,
    },
    /// The upload continues an object that nobody else continues.
    TakenOver(Box<TakenOver>),
    /// It is uploaded already.
    Uploaded(Uploaded),
    /// Somebody uploads it now, or has to end first.
    Wait(Wait),
    /// The file has to be compared with this object's, byte by byte, before it can be told whether they
    /// are the same.
    Compare(Box<Compare>),
    /// The upload's object was discarded: a fresh try needs another marker.
    Discarded,
}

/// What shows that a file is the one that an upload was started with, from much to little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// All that `stat` says, or all of its bytes.
    Certain,
    /// Its samples, and a witness where it takes one: what was sent is compared with it.
    Samples,
    /// Its samples and its path, under another time. So what was sent is compared with it, and each part
    /// needs an MD5 for that.
    Path,
}

/// An object that changed its owner.
#[derive(Debug)]
pub struct TakenOver {
    /// The claim.
    pub claim: Claim,
    /// Ends when the upload's task does.
    pub in_use: InUse,
    /// The marker that it is created under, or was.
    pub marker: String,
    /// The plan of its parts.
    pub plan: PartPlan,
    /// Its ticket, where the row has one.
    pub ticket: Option<Ticket>,
    /// Its media object, where the row has that.
    pub media: Option<MediaId>,
    /// Whether the account was told that all is there, and agreed.
    pub complete: bool,
    /// What shows that the file is the one that it was started with.
    pub evidence: Evidence,
    /// The session file of its last owner, which may know more.
    pub session: Option<PathBuf>,
}

/// An upload that the account has taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The object.
    pub object: ObjectId,
    /// Its media object.
    pub media: Option<MediaId>,
    /// When it was accepted, in seconds since 1970; 0 where unknown.
    pub at: i64,
    /// The path that it was uploaded from, where that is another than was asked for.
    pub other_path: Option<PathBuf>,
    /// Whether all bytes of the file were to decide, and could not, since none of its checksums are known.
    pub is_unread: bool,
}

/// What has to end before it is known whether a file is to be uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The object that somebody uploads.
    pub object: ObjectId,
    /// Its epoch and state at that moment: when one of them is another, it is worth asking again.
    pub seen: (crate::ids::Epoch, ObjectState),
    /// The path that it is uploaded from.
    pub path: PathBuf,
    /// The session that uploads it, by its name; `None`: this one.
    pub session: Option<String>,
}

/// What a file is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// The object.
    pub object: ObjectId,
    /// How its file was split.
    pub plan: PartPlan,
    /// What its parts' MD5s add up to.
    pub digest: Digest,
    /// Where it was uploaded from.
    pub path: PathBuf,
}

/// What the MD5s of all parts of an object add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The MD5 over the MD5s of all parts, in order.
    pub whole: Md5,
    /// The first byte of the MD5 of part 1, 2, 4, 8 and so on: reading a file that differs ends at the
    /// next of these, before twice as much is read as is the same.
    pub bytes: Vec<u8>,
}

impl Digest {
    /// The digest of parts with these MD5s, in order.
    #[must_use]
    pub fn of(parts: &[Md5]) -> Self {
        use md5::{Digest as _, Md5 as Hasher};
        let mut whole = Hasher::new();
        for md5 in parts {
            whole.update(md5);
        }
        let with_byte = parts
            .iter()
            .zip(1_usize..)
            .filter(|(_, number)| number.is_power_of_two());
        Self {
            whole: whole.finalize().into(),
            bytes: with_byte.map(|(md5, _)| md5[0]).collect(),
        }
    }

    /// Whether a file differs whose part of this number has this MD5. Most parts alone say nothing.
    #[must_use]
    pub fn differs_in(&self, number: PartNumber, md5: &Md5) -> bool {
        let at = number.is_power_of_two().then(|| number.trailing_zeros());
        let byte = at.and_then(|at| self.bytes.get(at as usize));
        byte.is_some_and(|byte| *byte != md5[0])
    }
}

/// What is written to the row of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The account returned this ticket.
    Ticket(Ticket),
    /// The file is split like this from now on.
    Plan(PartPlan),
    /// The file's time or inode is another, and its bytes are the same: it gets another name row.
    Name(FileStat),
    /// The account was told that all is there, and agreed.
    Complete {
        /// The media object.
        media: MediaId,
        /// What the parts' MD5s add up to, where all of them are known.
        digest: Option<Digest>,
    },
    /// The account has taken it in.
    Accepted(MediaId),
    /// The account could not use it.
    Failed,
    /// It is about to be deleted: its ticket leaves the row.
    Discarded,
    /// Anybody may continue it.
    GivenBack,
}

/// Objects, names and claims at one account, for one session.
#[async_trait]
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Eight letters and digits that markers begin with, behind `rh`: objects of another ledger can be
    /// told from its own by them.
    fn id(&self) -> &str;

    /// Which of these files, which a scan has found, are uploaded already, as far as `stat` alone shows
    /// it: one answer for each. Blocks, and is meant for many files at once.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when the ledger can't be read.
    fn known(&self, files: &[(&Path, FileStat)]) -> Result<Vec<Option<Uploaded>>>;

    /// Asks for a file. What is granted is on disk when this returns.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] when the ledger can't be read or written; nothing is granted then.
    async fn claim(&self, request: Request) -> Result<Claimed>;

    /// Writes to the row of a claim; on disk when this returns. `false`: the object has another owner,
    /// or an older claim was named, and nothing was written.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`] where the ledger can't be written now; it is tried again as long
    /// as the ledger is open.
    async fn write(&self, claim: Claim, write: Write) -> Result<bool>;

    /// Whether the ledger has the object of a claim, whoever may act on it: the one with this marker.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`].
    async fn has(&self, claim: Claim, marker: &str) -> Result<bool>;

    /// What became of the object of a claim, the one with this marker, where the account has taken it in.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`].
    async fn accepted(&self, claim: Claim, marker: &str) -> Result<Option<Uploaded>>;

    /// Marks an object as one that an upload of this process continues: the account works on it.
    fn mark_in_use(&self, object: ObjectId) -> InUse;

    /// Which of these are worth asking for again: their state or epoch is another, or the session that
    /// had them has ended.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`].
    async fn changed(&self, waits: Vec<Wait>) -> Result<Vec<ObjectId>>;

    /// The objects that this session has claimed and that are complete and not known to be accepted, by
    /// their media objects: what its file knows and the ledger may not.
    ///
    /// # Errors
    /// [`crate::error::Kind::Storage`].
    async fn unaccepted(&self) -> Result<Vec<(Claim, MediaId)>>;
}

/// The session that opens a ledger.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// The id by which it owns claims.
    pub owner: &'a str,
    /// What a person calls it.
    pub name: &'a str,
    /// Its file.
    pub file: &'a Path,
    /// Whether it adopts the ledger of another machine.
    pub adopts: bool,
}

/// Opens the ledger in a file for a session, at one account; makes it where there is none, or a damaged
/// one, which is moved aside. The session owns its claims as long as this lives. Blocks.
///
/// # Errors
/// [`Kind::Storage`]: what is wrong with the ledger, and what to do.
pub fn open(file: &Path, session: Session<'_>, account: &dyn Account) -> Result<Arc<Sqlite>> {
    let owners = owners_of(file);
    let is_empty = std::fs::metadata(file).map_or(true, |found| found.len() == 0);
    if is_empty && owners.exists() {
        tracing::warn!(
            "the ledger {} is missing or empty, though there was one; a new one is made from the saved \
             sessions. {NOT_IN_SESSIONS}",
            file.display()
        );
    }
    let options = || -> Result<Options> {
        let owner = Owner::take(&owners, session.owner).map_err(failed)?;
        Ok(Options {
            file: Some(file.to_owned()),
            owners: owners.clone(),
            owner,
            session: (session.name.to_owned(), session.file.to_owned()),
            account: account.id().clone(),
            ticket_key: account.ticket_key().map(|key| key.0),
            machine: Machine {
                id: machine_id(),
                adopts: session.adopts,
            },
            now: || jiff::Timestamp::now().as_second(),
        })
    };
    let ledger = match Sqlite::open(options()?) {
        Err(damaged) if damaged.is_damage() => {
            let options = options()?;
            let aside = match anew::set_aside(file, &owners, &options.owner, "damaged") {
                Err(OpenFailed::InUse(_)) => Err(damaged),
                aside => aside,
            };
            tracing::warn!(
                "the ledger {} is damaged: it is {} now, and a new one is made from the saved sessions. \
                 {NOT_IN_SESSIONS}",
                file.display(),
                aside.map_err(failed)?.display()
            );
            Sqlite::open(options)
        }
        opened => opened,
    };
    Ok(Arc::new(ledger.map_err(failed)?))
}

fn failed(error: impl fmt::Display) -> Error {
    Error::new(Kind::Storage, error.to_string())
}

/// Moves the ledger in a file aside, and makes a new one there that knows nothing but what a person had
/// forgotten. Blocks.
///
/// # Errors
/// [`Kind::Storage`]: a session runs, or the old one is neither sound nor damaged.
pub fn begin_anew(file: &Path, owner: &str) -> Result<Anew> {
    let owners = owners_of(file);
    let owner = Owner::take(&owners, owner).map_err(failed)?;
    anew::begin(file, &owners, &owner).map_err(failed)
}

/// The ledger in a file for a person to look at, or to change; `None` where there is none. Blocks.
///
/// # Errors
/// [`Kind::Storage`]: what is wrong with the ledger, and what to do.
pub fn catalog(file: &Path, is_changed: bool) -> Result<Option<Catalog>> {
    Catalog::open(file, &owners_of(file), is_changed).map_err(failed)
}

/// Opens the ledger in a file to remove sessions. Blocks.
///
/// # Errors
/// [`Kind::Storage`]: what is wrong with the ledger, and what to do.
pub fn open_for_removal(file: &Path) -> Result<Removal> {
    Removal::open(file, owners_of(file)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_differs_is_seen_before_twice_as_much_is_read() {
        const PARTS: u32 = 100;
        let md5 = |number: u32| [u8::try_from(number).unwrap(); 16];
        let parts: Vec<Md5> = (1..=PARTS).map(md5).collect();
        let digest = Digest::of(&parts);
        assert!((1..=PARTS).all(|number| !digest.differs_in(number, &md5(number))));
        assert!(
            !digest.differs_in(PARTS + 28, &[0; 16]),
            "it has no such part"
        );
        for first in 1..=PARTS / 2 {
            let seen = (first..=PARTS).find(|number| digest.differs_in(*number, &[0; 16]));
            assert!(seen.unwrap() < 2 * first, "{first}");
        }
    }

    #[test]
    fn a_digest_is_of_all_parts_in_their_order() {
        let parts = [[1; 16], [2; 16], [3; 16], [4; 16]];
        let whole = Digest::of(&parts).whole;
        for number in 0..parts.len() {
            let mut other = parts;
            other[number][15] ^= 1;
            assert_ne!(Digest::of(&other).whole, whole, "{number}");
        }
        let mut swapped = parts;
        swapped.swap(2, 3);
        assert_ne!(Digest::of(&swapped).whole, whole);
    }

    #[test]
    fn an_object_is_in_use_until_the_last_use_ends() {
        let uses = Uses::default();
        let (one, other) = (uses.mark(5), uses.mark(5));
        drop(one);
        assert!(uses.is_used(5) && !uses.is_used(6));
        drop(other);
        assert!(!uses.is_used(5));
    }
}
