//! What other sessions of the same destination hold, so that no file is begun in two of them; pure.
//!
//! A file is held as it was when it was queued there: path, size and time of change. One that is uploaded
//! is known under every name, by its inode. Of each only hashes are kept, and the media object of what
//! is uploaded: a million files need little memory.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use super::protocol::{State, UploadId};
use crate::{
    identity::Identity,
    session::{Change, record::Record},
};

/// The files that other sessions hold, and how many of them were asked for here.
#[derive(Debug, Default)]
pub struct Elsewhere {
    sessions: Vec<Other>,
    files: HashMap<Key, File>,
    /// Those that are uploaded, by what does not hang on their names.
    uploaded_by_inode: HashMap<Key, Key>,
    hasher: RandomState,
    uploaded: AtomicU64,
}

/// A file by hashes of its path (or its inode), size and time: too long for two of them to be the same by
/// chance.
type Key = u128;

/// Another session.
#[derive(Debug)]
struct Other {
    /// What a person calls it.
    name: String,
    runs: bool,
    /// How many files were left out because it is to upload them …
    left: AtomicU64,
    /// … and because they failed in it.
    failed: AtomicU64,
}

#[derive(Debug)]
struct File {
    /// Its session's place in the list.
    session: usize,
    held: Held,
}

/// How a session holds a file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    /// It is uploaded, as this media object.
    Done(Box<str>),
    /// It is yet to be uploaded.
    Left,
    /// It failed, and waits for a person.
    Failed,
    /// Not at all: it is left out there too.
    Skipped,
}

/// An upload of a session that is being read.
#[derive(Debug)]
struct Upload {
    path: Box<Path>,
    identity: Identity,
    media: Box<str>,
    held: Held,
}

impl Elsewhere {
    /// Takes over what a session holds. `name` is what a person calls it, `runs` whether a process
    /// has it open. `read` hands each table of its file over, in order.
    ///
    /// # Errors
    /// Those of `read`; nothing is taken over then.
    pub fn take<E>(
        &mut self,
        name: String,
        runs: bool,
        read: impl FnOnce(&mut dyn FnMut(Record)) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut uploads = HashMap::new();
        read(&mut |record| note(&mut uploads, record))?;
        let session = self.sessions.len();
        self.sessions.push(Other {
            name,
            runs,
            left: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        for upload in uploads.into_values() {
            let held = match upload.held {
                Held::Skipped => continue,
                Held::Done(_) => Held::Done(upload.media),
                held => held,
            };
            // That it is uploaded is told before that it could be; else the session that came first.
            let key = self.key(&upload.path, &upload.identity);
            let before = self.files.get(&key).map(|file| &file.held);
            let done = |held: &Held| matches!(held, Held::Done(_));
            if before.is_none_or(|before| done(&held) && !done(before)) {
                let by_inode = self.key_by_inode(&upload.identity);
                if let Some(by_inode) = by_inode.filter(|_| done(&held)) {
                    self.uploaded_by_inode.insert(by_inode, key);
                }
                self.files.insert(key, File { session, held });
            }
        }
        Ok(())
    }

    fn key(&self, path: &Path, identity: &Identity) -> Key {
        self.hash((path, identity.size, identity.modified))
    }

    fn key_by_inode(&self, identity: &Identity) -> Option<Key> {
        (identity.inode != 0).then(|| self.hash(identity))
    }

    fn hash(&self, file: impl Hash) -> Key {
        let half = |which: u8| u128::from(self.hasher.hash_one((which, &file)));
        half(0) << 64 | half(1)
    }

    /// Why this file is not to be begun here, in words, when another session holds it; counts it.
    pub fn reason(&self, path: &Path, identity: &Identity) -> Option<String> {
        let by_inode = || {
            // One that was recorded before file systems were known may be it as well.
            [*identity, identity.on(0)].iter().find_map(|identity| {
                let by_inode = self.key_by_inode(identity)?;
                self.files.get(self.uploaded_by_inode.get(&by_inode)?)
            })
        };
        let by_name = self.files.get(&self.key(path, identity));
        let file = by_name.or_else(by_inode)?;
        let session = &self.sessions[file.session];
        let (count, words) = match &file.held {
            Held::Done(media) => {
                let name = by_name.map_or(" under another name", |_| "");
                let session = &session.name;
                let words = format!("uploaded before{name}, as {media}, in session {session}");
                (&self.uploaded, words)
            }
            Held::Failed => {
                let words = format!("it failed in {}", session.place(true));
                (&session.failed, words)
            }
            Held::Left | Held::Skipped => {
                let words = format!("it is in {}", session.place(false));
                (&session.left, words)
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        Some(words)
    }

    /// Whether files were left out that are not uploaded yet.
    #[must_use]
    pub fn left_some(&self) -> bool {
        let some = |count: &AtomicU64| count.load(Ordering::Relaxed) > 0;
        let mut sessions = self.sessions.iter();
        sessions.any(|session| some(&session.left) || some(&session.failed))
    }

    /// What is to be said of the files that were left out: a sentence for each session that is to
    /// be gone on with, and one for all that is uploaded.
    #[must_use]
    pub fn left_out(&self) -> Vec<String> {
        let mut said = Vec::new();
        let mut say = |count: &AtomicU64, one: &str, many: &str, more: &str| match count
            .load(Ordering::Relaxed)
        {
            0 => {}
            1 => said.push(format!("1 file is left out: it {one} {more}")),
            count => said.push(format!("{count} files are left out: they {many} {more}")),
        };
        for session in &self.sessions {
            say(&session.left, "is in", "are in", &session.place(false));
            say(
                &session.failed,
                "failed in",
                "failed in",
                &session.place(true),
            );
        }
        let again = "uploaded before; --again sends what is left out all the same";
        say(&self.uploaded, "was", "were", again);
        said
    }
}

fn note(uploads: &mut HashMap<UploadId, Upload>, record: Record) {
    match record {
        Record::Settings(_)
        | Record::Walk(_)
        | Record::WalkOver(_)
        | Record::Moved(_)
        | Record::Orphan(_) => {}
        Record::Upload(kept) if kept.unread.is_some() => {}
        Record::Upload(kept) => {
            let ticket = kept.progress.and_then(|progress| progress.ticket);
            let upload = Upload {
                identity: kept.identity,
                path: kept.path.into(),
                media: ticket
                    .and_then(|ticket| ticket.media)
                    .map_or_else(Box::default, |media| media.as_str().into()),
                held: match kept.state {
                    State::Done => Held::Done(Box::default()),
                    State::Failed | State::Changed => Held::Failed,
                    State::Skipped => Held::Skipped,
                    _ => Held::Left,
                },
            };
            uploads.insert(kept.id, upload);
        }
        Record::Log(id, Change::Removed) => drop(uploads.remove(&id)),
        Record::Log(id, change) => {
            if let Some(upload) = uploads.get_mut(&id) {
                changed(upload, change);
            }
        }
    }
}

fn changed(upload: &mut Upload, change: Change) {
    if let Some(identity) = change.identity(&upload.identity) {
        upload.identity = identity;
    }
    match change {
        Change::Ticket(ticket) => {
            if let Some(media) = ticket.media {
                upload.media = media.as_str().into();
            }
        }
        Change::Done => upload.held = Held::Done(Box::default()),
        Change::Released | Change::Clearing | Change::Paused => upload.held = Held::Left,
        Change::Failed(_) | Change::Changed(_) => upload.held = Held::Failed,
        Change::Skipped(_) => upload.held = Held::Skipped,
        // What it says of the file is taken already.
        Change::Fresh(_)
        | Change::Inode { .. }
        | Change::Begun(..)
        | Change::Plan(_)
        | Change::Part(..)
        | Change::Lost(_)
        | Change::Completed
        | Change::At(..)
        | Change::Removed => {}
    }
}

impl Other {
    /// Which session it is, and the command that goes on there.
    fn place(&self, failed: bool) -> String {
        let name = &self.name;
        if self.runs {
            format!("the session {name}, which runs: reelhaul attach {name}")
        } else if failed {
            format!("the session {name}: reelhaul resume {name} --retry-failed")
        } else {
            format!("the unfinished session {name}: reelhaul resume {name}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{
        destination::Ticket,
        error::{Error, Kind},
        session::{Kept, times::Times},
    };

    fn file(size: u64) -> Identity {
        Identity::new(size, 1, 0, 1)
    }

    fn upload(id: UploadId, state: State) -> Record {
        Record::Upload(Box::new(Kept {
            id,
            path: format!("/t/{id}.mp4").into(),
            identity: file(u64::from(id)),
            state,
            reason: None,
            account: None,
            progress: None,
            unread: None,
            times: Times::default(),
        }))
    }

    fn ticket(media: &str) -> Change {
        Change::Ticket(Ticket::of(media))
    }

    fn take(elsewhere: &mut Elsewhere, name: &str, runs: bool, records: Vec<Record>) {
        let taken: Result<(), Infallible> = elsewhere.take(name.into(), runs, |each| {
            records.into_iter().for_each(each);
            Ok(())
        });
        taken.unwrap();
    }

    fn reason(elsewhere: &Elsewhere, id: u32) -> Option<String> {
        let path = format!("/t/{id}.mp4");
        elsewhere.reason(Path::new(&path), &file(u64::from(id)))
    }

    #[test]
    fn each_file_is_told_as_its_session_left_it() {
        let failed = || Error::new(Kind::Server, "x");
        let mut elsewhere = Elsewhere::default();
        let mut records: Vec<_> = (1..=6).map(|id| upload(id, State::Queued)).collect();
        records.extend([
            Record::Log(1, ticket("m1")),
            Record::Log(1, Change::Done),
            Record::Log(2, Change::Failed(failed())),
            Record::Log(3, Change::Skipped(failed())),
            Record::Log(4, Change::Removed),
            Record::Log(5, Change::Fresh(file(99))),
        ]);
        take(&mut elsewhere, "s", false, records);
        let told = |id| reason(&elsewhere, id);
        let done = "uploaded before, as m1, in session s";
        assert_eq!(told(1).as_deref(), Some(done));
        let failed = "it failed in the session s: reelhaul resume s --retry-failed";
        assert_eq!(told(2).as_deref(), Some(failed));
        assert!(!elsewhere.left_out().is_empty() && elsewhere.left_some());
        assert_eq!(told(3), None, "it was skipped");
        assert_eq!(told(4), None, "it was taken out");
        assert_eq!(told(5), None, "it was another version");
        let left = "it is in the unfinished session s: reelhaul resume s";
        assert_eq!(told(6).as_deref(), Some(left));
    }

    #[test]
    fn what_is_uploaded_is_known_under_every_name_and_what_is_not_is_not() {
        let mut elsewhere = Elsewhere::default();
        let mut records: Vec<_> = (1..=5).map(|id| upload(id, State::Queued)).collect();
        records.extend([
            Record::Log(
                4,
                Change::Inode {
                    inode: 2,
                    file_system: 0,
                },
            ),
            Record::Log(4, Change::Done),
            Record::Log(5, Change::Fresh(file(5).on(1))),
            Record::Log(5, Change::Done),
            Record::Log(1, ticket("m1")),
            Record::Log(1, Change::Done),
            Record::Log(3, ticket("m3")),
            Record::Log(3, Change::Done),
            Record::Log(3, Change::Fresh(file(30))),
            Record::Log(3, Change::Done),
        ]);
        take(&mut elsewhere, "s", false, records);
        let told = |identity| elsewhere.reason(Path::new("/moved.mp4"), &identity);
        let moved = "uploaded before under another name, as m1, in session s";
        assert_eq!(told(file(1)).as_deref(), Some(moved));
        assert_eq!(told(Identity::new(1, 1, 0, 2)), None, "another file");
        assert_eq!(told(Identity::new(1, 1, 1, 1)), None, "another version");
        assert_eq!(
            told(file(2)),
            None,
            "it may have been moved before its turn"
        );
        assert_eq!(told(file(3)), None, "an older version was uploaded");
        assert!(
            told(file(1).on(1)).is_some(),
            "its file system is not known"
        );
        assert!(told(file(5).on(1)).is_some());
        assert_eq!(told(file(5).on(2)), None, "a file on another file system");
        let copied = |inode| Identity::new(4, 1, 0, inode);
        assert!(told(copied(2)).is_some());
        assert_eq!(told(copied(1)), None, "a file that another replaced");
        assert!(told(file(30)).is_some());
        // Where inodes are not known, the name is all there is.
        let unknown = Identity::new(1, 1, 0, 0);
        assert_eq!(told(unknown), None);
    }

    #[test]
    fn where_several_sessions_hold_a_file_the_one_that_uploaded_it_is_told() {
        let mut elsewhere = Elsewhere::default();
        take(
            &mut elsewhere,
            "new",
            true,
            vec![upload(1, State::Queued), upload(2, State::Queued)],
        );
        take(
            &mut elsewhere,
            "old",
            false,
            vec![upload(1, State::Done), upload(2, State::Queued)],
        );
        assert!(reason(&elsewhere, 1).unwrap().contains("in session old"));
        assert!(!elsewhere.left_some());
        let running = "it is in the session new, which runs: reelhaul attach new";
        assert_eq!(reason(&elsewhere, 2).as_deref(), Some(running));
        let said = [
            "1 file is left out: it is in the session new, which runs: reelhaul attach new",
            "1 file is left out: it was uploaded before; --again sends what is left out all the same",
        ];
        assert_eq!(elsewhere.left_out(), said);
    }

    #[test]
    fn a_session_that_cant_be_read_holds_nothing() {
        let mut elsewhere = Elsewhere::default();
        let taken = elsewhere.take("s".into(), false, |each| {
            each(upload(1, State::Queued));
            Err("broken")
        });
        assert_eq!(taken, Err("broken"));
        assert_eq!(reason(&elsewhere, 1), None);
    }
}
