//! Whether a file is one that an object was made from, and what follows for a claim; pure.
//!
//! Two different films of equal size can have equal bytes at the beginning, in the middle and at the
//! end. So samples alone never show that two files are the same: it takes a witness besides them, or all
//! of the bytes.
//!
//! | step | shows that they are the same | reads |
//! |---|---|---|
//! | 1 | a name of the object agrees in path, size, times of change and file system, where the kernel keeps the time of the last change of the inode | nothing |
//! | 2 | (no object of this size: it is new) | nothing |
//! | 3 | (no object with these samples: it is new) | 0.5 MiB |
//! | 4 | samples that cover the whole file; or samples that are not weak, and a witness | 0.5 MiB |
//! | 5 | all of its bytes, by the MD5s of the object's parts | the file, once |
//!
//! A file of an accepted object can be asked for *deep*: then steps 1 and 4 alone are not enough, and step
//! 5 decides. Where the MD5s of the object are not known, it is the same by steps 1 and 4 as ever, and that
//! it is unread is said.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{Evidence, File, ObjectState, samples::Samples};
use crate::ids::ObjectId;

/// How finely file systems and tools keep a time, in nanoseconds.
const CLOCKS: [i128; 7] = [
    1,
    100,
    1_000,
    1_000_000,
    10_000_000,
    1_000_000_000,
    2_000_000_000,
];

/// A time before this, 2 January 1980 in seconds since 1970, is where clocks begin that nobody set: two
/// films have it in common often.
const UNSET: i64 = 315_619_200;

/// Zones and summer time move times by multiples of this, in seconds.
const QUARTER: i64 = 15 * 60;

/// They move them by no more than this, in seconds.
const FARTHEST: i64 = 26 * 60 * 60;

/// A shift counts once so many files with it were compared whole.
const PROOFS: usize = 3;

/// A path that an object's file was seen at, and what `stat` said of it then. The size is the object's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Where it was.
    pub path: PathBuf,
    /// When it was last modified.
    pub modified: Timestamp,
    /// When its inode was last changed, where that can be relied on.
    pub changed: Option<Timestamp>,
    /// The file system it was on; 0 where unknown.
    pub file_system: u64,
    /// Its inode; 0 where unknown.
    pub inode: u64,
}

impl Name {
    /// The name of a file.
    #[must_use]
    pub fn of(file: &File) -> Self {
        let identity = file.stat.identity;
        Self {
            path: file.path.clone(),
            modified: identity.modified,
            changed: file.stat.changed,
            file_system: identity.file_system,
            inode: identity.inode,
        }
    }

    /// Step 1: whether it shows alone that the file is the same.
    fn is(&self, file: &File) -> bool {
        let identity = file.stat.identity;
        self.path == file.path
            && self.modified == identity.modified
            && self.changed.is_some()
            && self.changed == file.stat.changed
            && self.file_system != 0
            && self.file_system == identity.file_system
    }

    /// The same of a name from a session that kept less.
    fn is_as_imported(&self, file: &File) -> bool {
        let identity = file.stat.identity;
        self.path == file.path
            && self.modified == identity.modified
            && (self.inode == 0 || self.inode == identity.inode)
    }

    /// Whether it shows, together with samples that are not weak, that the file is the same.
    fn is_witness(&self, file: &File, shifts: &Shifts) -> bool {
        let identity = file.stat.identity;
        let (one, other) = (self.modified, identity.modified);
        if one.as_second() < UNSET || other.as_second() < UNSET {
            return false;
        }
        let base_name = self.path.file_name();
        let named_alike = base_name.is_some() && base_name == file.path.file_name();
        let same_inode = self.file_system != 0
            && self.file_system == identity.file_system
            && self.inode != 0
            && self.inode == identity.inode;
        (named_alike && agree(one, other))
            || (same_inode && one == other)
            || (one == other && one.subsec_nanosecond() != 0)
            || (self.path == file.path
                && shift(one, other)
                    .is_some_and(|shift| shifts.is_proven(identity.file_system, shift)))
    }
}

/// The time cut to a clock, in nanoseconds since 1970.
fn cut(time: Timestamp, clock: i128) -> i128 {
    time.as_nanosecond().div_euclid(clock) * clock
}

/// The coarsest clock that can have made this time.
fn clock(time: Timestamp) -> i128 {
    let time = time.as_nanosecond();
    let fits = |clock: &&i128| time % **clock == 0;
    CLOCKS.iter().rfind(fits).copied().unwrap_or(1)
}

/// Whether two times are one, cut to the coarser of both clocks.
fn agree(one: Timestamp, other: Timestamp) -> bool {
    let clock = clock(one).max(clock(other));
    cut(one, clock) == cut(other, clock)
}

/// By how many seconds the other time is later, where that is what zones and summer time make of one
/// time, cut to the coarser of both clocks.
fn shift(one: Timestamp, other: Timestamp) -> Option<i64> {
    let clock = clock(one).max(clock(other));
    let shift = cut(other, clock) - cut(one, clock);
    let seconds = i64::try_from(shift / 1_000_000_000).ok()?;
    let whole = shift % 1_000_000_000 == 0 && seconds % QUARTER == 0;
    (whole && seconds != 0 && seconds.abs() <= FARTHEST).then_some(seconds)
}

/// By how much the times of known paths differ from those recorded, by file system, and how many files
/// show that it is so.
#[derive(Debug, Clone, Default)]
pub struct Shifts(HashMap<(u64, i64), HashSet<ObjectId>>);

impl Shifts {
    /// Learns from a file that was compared whole with an object and is the same: `names` are the
    /// object's.
    pub fn learn(&mut self, file: &File, object: ObjectId, names: &[Name]) {
        let identity = file.stat.identity;
        if identity.file_system == 0 {
            return;
        }
        for name in names.iter().filter(|name| name.path == file.path) {
            if let Some(shift) = shift(name.modified, identity.modified) {
                let proofs = self.0.entry((identity.file_system, shift)).or_default();
                if proofs.len() < PROOFS {
                    proofs.insert(object);
                }
            }
        }
    }

    /// Whether times on this file system are later by so many seconds than those recorded.
    fn is_proven(&self, file_system: u64, shift: i64) -> bool {
        let proofs = self.0.get(&(file_system, shift));
        proofs.is_some_and(|proofs| proofs.len() >= PROOFS)
    }
}

/// Who continues an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Nobody: its owner gave it back, or has died.
    Nobody,
    /// A session that lives elsewhere.
    OtherSession,
    /// Another upload of this session.
    InUse,
    /// This session has it, and no upload of it continues it.
    Ours,
}

/// An object that may have been made from a file: of the same account, slot and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub object: ObjectId,
    /// How far it is.
    pub state: ObjectState,
    /// Samples of its file; an object from an older session may have none.
    pub samples: Option<Samples>,
    /// Whether the MD5s of its parts are known.
    pub has_digest: bool,
    /// Who continues it.
    pub holder: Holder,
    /// The names of its file.
    pub names: Vec<Name>,
}

impl Candidate {
    /// Whether and how it is known to have been made from the file.
    fn same(&self, file: &File, compared: Option<bool>, shifts: &Shifts) -> Option<Evidence> {
        // Bytes that were read decide, whatever names say.
        if let Some(same) = compared {
            return same.then_some(Evidence::Certain);
        }
        if is_surely(file, self.samples, &self.names) {
            return Some(Evidence::Certain);
        }
        let samples = self.samples.filter(|samples| *samples == file.samples)?;
        let witness = || {
            let names = &mut self.names.iter();
            !samples.weak && names.any(|name| name.is_witness(file, shifts))
        };
        (samples.whole || witness()).then_some(Evidence::Samples)
    }

    /// Whether its samples are those of the file.
    fn looks_like(&self, file: &File) -> bool {
        self.samples == Some(file.samples)
    }
}

/// What follows for a file that is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// It is uploaded.
    Uploaded(ObjectId),
    /// It is uploaded by all that is known, but its bytes, which were to decide, could not.
    Unread(ObjectId),
    /// Somebody uploads it, or one that may be the same.
    Wait(ObjectId),
    /// An upload of it was started that nobody continues.
    TakeOver {
        /// The object.
        object: ObjectId,
        /// What shows that the file is the same.
        evidence: Evidence,
    },
    /// Its bytes decide.
    Compare(ObjectId),
    /// It is new.
    New,
}

/// What follows for a file, by the objects of the same account, slot and size; `compared` are those that
/// the whole file was compared with. `is_deep`: all of its bytes decide whether it is uploaded.
#[must_use]
pub fn decide(
    file: &File,
    candidates: &[Candidate],
    compared: &[(ObjectId, bool)],
    shifts: &Shifts,
    is_deep: bool,
) -> Decision {
    let was_compared = |object| {
        let found = compared.iter().find(|(other, _)| *other == object);
        found.map(|(_, same)| *same)
    };
    let same = |one: &Candidate| one.same(file, was_compared(one.object), shifts);
    let accepted = |one: &&Candidate| one.state == ObjectState::Accepted;
    let under_way =
        |one: &&Candidate| matches!(one.state, ObjectState::Open | ObjectState::Complete);
    let is_held = |one: &&Candidate| matches!(one.holder, Holder::OtherSession | Holder::InUse);
    let may_be = |one: &&Candidate| one.looks_like(file) && was_compared(one.object).is_none();

    let uploaded = candidates.iter().filter(accepted);
    let known = uploaded.clone().filter(|one| same(one).is_some());
    let has_all_bytes = |one: &&Candidate| {
        was_compared(one.object).is_some() || (file.samples.whole && one.looks_like(file))
    };
    if let Some(one) = known.clone().find(|one| !is_deep || has_all_bytes(one)) {
        return Decision::Uploaded(one.object);
    }
    if let Some(one) = known.clone().find(|one| one.has_digest) {
        return Decision::Compare(one.object);
    }
    if let Some(one) = known.clone().next() {
        return Decision::Unread(one.object);
    }
    let started = candidates.iter().filter(under_way);
    for one in started.clone() {
        match same(one) {
            Some(_) if is_held(&one) => return Decision::Wait(one.object),
            Some(evidence) => {
                return Decision::TakeOver {
                    object: one.object,
                    evidence,
                };
            }
            None => {}
        }
    }
    let undecided = started.filter(may_be);
    if let Some(one) = undecided.clone().find(is_held) {
        return Decision::Wait(one.object);
    }
    // Its time may have shifted: what was sent of it decides, and whoever held it finds the same file at
    // this path.
    let has_path = |one: &&Candidate| one.names.iter().any(|name| name.path == file.path);
    let open = undecided
        .clone()
        .filter(|one| one.state == ObjectState::Open);
    if let Some(one) = open
        .filter(|one| one.samples.is_some_and(|it| !it.weak))
        .find(has_path)
    {
        return Decision::TakeOver {
            object: one.object,
            evidence: Evidence::Path,
        };
    }
    let complete = undecided.filter(|one| one.state == ObjectState::Complete);
    let comparable = complete.chain(uploaded.filter(may_be));
    match comparable.into_iter().find(|one| one.has_digest) {
        Some(one) => Decision::Compare(one.object),
        None => Decision::New,
    }
}

/// Whether a file is the one that an object with these samples and names was made from, by all that
/// `stat` says. An imported object has no samples.
#[must_use]
pub fn is_surely(file: &File, samples: Option<Samples>, names: &[Name]) -> bool {
    let mut names = names.iter();
    match samples {
        None => names.any(|name| name.is(file) || name.is_as_imported(file)),
        Some(samples) => samples == file.samples && names.any(|name| name.is(file)),
    }
}

/// The path that an object's file was first seen at, where none of its names is this one.
#[must_use]
pub fn other_path(names: &[Name], path: &Path) -> Option<PathBuf> {
    if names.iter().any(|name| name.path == path) {
        return None;
    }
    names.first().map(|name| name.path.clone())
}

#[cfg(test)]
mod tests;
