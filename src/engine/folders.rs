//! The folders that the files of a queue lie in, with totals of what is inside each; pure. A change of
//! a file costs as much as it lies deep, and nothing is ever counted anew.

use std::{
    collections::HashMap,
    ffi::OsStr,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
};

use super::{
    protocol::{FolderId, ROOT, State, Totals, UploadId},
    record::Upload,
};

/// What one upload adds to the totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Where it stands.
    pub state: State,
    /// Its bytes; none when it is skipped.
    pub bytes: u64,
    /// Those of them that the destination acknowledged.
    pub acknowledged: u64,
}

impl Share {
    /// That of this upload.
    #[must_use]
    pub fn of(upload: &Upload) -> Self {
        let state = upload.state();
        let (bytes, acknowledged) = match state {
            State::Skipped => (0, 0),
            _ => (upload.identity.size, upload.acknowledged()),
        };
        Self {
            state,
            bytes,
            acknowledged,
        }
    }

    fn join(self, totals: &mut Totals) {
        totals.counts.add(self.state);
        totals.bytes = totals.bytes.saturating_add(self.bytes);
        totals.acknowledged = totals.acknowledged.saturating_add(self.acknowledged);
    }

    fn leave(self, totals: &mut Totals) {
        totals.counts.subtract(self.state);
        totals.bytes = totals.bytes.saturating_sub(self.bytes);
        totals.acknowledged = totals.acknowledged.saturating_sub(self.acknowledged);
    }
}

/// One folder. It comes after the folder it is in, and stays when it is empty.
#[derive(Debug)]
struct Folder {
    parent: FolderId,
    depth: u32,
    name: Box<OsStr>,
    totals: Totals,
}

/// All folders.
#[derive(Debug)]
pub struct Folders {
    all: Vec<Folder>,
    /// By the folder they are in and their name.
    by_name: HashMap<u64, FolderId>,
    hasher: RandomState,
    /// The folder of each upload.
    of: Vec<FolderId>,
    common: FolderId,
    /// Where the last file was put: the next is likely to lie there too.
    last: (Box<Path>, FolderId),
}

impl Default for Folders {
    fn default() -> Self {
        let root = Folder {
            parent: ROOT,
            depth: 0,
            name: OsStr::new("").into(),
            totals: Totals::default(),
        };
        Self {
            all: vec![root],
            by_name: HashMap::new(),
            hasher: RandomState::default(),
            of: Vec::new(),
            common: ROOT,
            last: (Path::new("").into(), ROOT),
        }
    }
}

impl Folders {
    /// How many there are, [`ROOT`] among them; all numbers are below this.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Whether there is a folder with this number.
    #[must_use]
    pub fn knows(&self, folder: FolderId) -> bool {
        (folder as usize) < self.all.len()
    }

    /// The folder this upload's file lies in.
    #[must_use]
    pub fn of(&self, upload: UploadId) -> FolderId {
        self.of.get(upload as usize).copied().unwrap_or(ROOT)
    }

    /// The folder this one is in; that of [`ROOT`] is itself.
    #[must_use]
    pub fn parent(&self, folder: FolderId) -> FolderId {
        self.get(folder).parent
    }

    /// The name of a folder.
    #[must_use]
    pub fn name(&self, folder: FolderId) -> &OsStr {
        &self.get(folder).name
    }

    /// What is inside, however deep.
    #[must_use]
    pub fn totals(&self, folder: FolderId) -> &Totals {
        &self.get(folder).totals
    }

    /// The last `names` names of the path of a folder.
    #[must_use]
    pub fn tail(&self, folder: FolderId, names: usize) -> PathBuf {
        let mut chain: Vec<_> = self.upwards(folder).take(names).collect();
        chain.reverse();
        chain.into_iter().map(|folder| self.name(folder)).collect()
    }

    /// Where a folder is.
    #[must_use]
    pub fn path(&self, folder: FolderId) -> PathBuf {
        self.tail(folder, usize::MAX)
    }

    /// This folder, the one it is in, and so on; without [`ROOT`].
    pub fn upwards(&self, folder: FolderId) -> impl Iterator<Item = FolderId> + '_ {
        std::iter::successors(Some(folder), |folder| Some(self.parent(*folder)))
            .take_while(|folder| *folder != ROOT)
    }

    /// Whether a folder is `outer`, or in it however deep.
    #[must_use]
    pub fn is_in(&self, folder: FolderId, outer: FolderId) -> bool {
        outer == ROOT || self.upwards(folder).any(|folder| folder == outer)
    }

    /// For each folder, whether it [`is_in`](Self::is_in) this one.
    #[must_use]
    pub fn all_in(&self, outer: FolderId) -> Vec<bool> {
        let mut inside: Vec<bool> = Vec::with_capacity(self.all.len());
        for (number, folder) in (0..).zip(&self.all) {
            let is = number == outer || inside.get(folder.parent as usize).is_some_and(|is| *is);
            inside.push(is);
        }
        inside
    }

    /// The deepest folder that all files lie in. It does not get deeper when files are taken out, for
    /// that would mean to look at all of them.
    #[must_use]
    pub fn common(&self) -> FolderId {
        self.common
    }

    /// A file comes.
    pub fn come(&mut self, upload: UploadId, path: &Path, share: Share) {
        let folder = self.place(path.parent().unwrap_or(Path::new("")));
        self.common = if self.totals(ROOT).counts.total() == 0 {
            folder
        } else {
            self.meet(self.common, folder)
        };
        let slot = upload as usize;
        if self.of.len() <= slot {
            self.of.resize(slot + 1, ROOT);
        }
        self.of[slot] = folder;
        self.each(folder, |totals| share.join(totals));
    }

    /// A file goes.
    pub fn go(&mut self, upload: UploadId, share: Share) {
        self.each(self.of(upload), |totals| share.leave(totals));
    }

    /// A file adds something else to the totals than it did.
    pub fn change(&mut self, upload: UploadId, before: Share, after: Share) {
        if before != after {
            self.each(self.of(upload), |totals| {
                before.leave(totals);
                after.join(totals);
            });
        }
    }

    fn get(&self, folder: FolderId) -> &Folder {
        self.all.get(folder as usize).unwrap_or(&self.all[0])
    }

    fn each(&mut self, mut folder: FolderId, change: impl Fn(&mut Totals)) {
        loop {
            let one = &mut self.all[folder as usize];
            change(&mut one.totals);
            if folder == ROOT {
                return;
            }
            folder = one.parent;
        }
    }

    /// The deepest folder that both are in.
    fn meet(&self, mut one: FolderId, mut other: FolderId) -> FolderId {
        while one != other {
            if self.get(one).depth >= self.get(other).depth {
                one = self.parent(one);
            } else {
                other = self.parent(other);
            }
        }
        one
    }

    /// The folder at this path, new where there was none.
    fn place(&mut self, path: &Path) -> FolderId {
        if *self.last.0 == *path {
            return self.last.1;
        }
        let mut folder = ROOT;
        for name in path {
            let hash = self.hasher.hash_one((folder, name));
            let there = self.by_name.get(&hash).copied();
            let there = there.filter(|at| self.parent(*at) == folder && self.name(*at) == name);
            folder = there.unwrap_or_else(|| self.make(folder, name, hash));
        }
        self.last = (path.into(), folder);
        folder
    }

    fn make(&mut self, parent: FolderId, name: &OsStr, hash: u64) -> FolderId {
        // There are no more folders than a file has names, and no more files than numbers for them
        // fit into memory.
        let Ok(number) = FolderId::try_from(self.all.len()) else {
            return parent;
        };
        self.all.push(Folder {
            parent,
            depth: self.get(parent).depth + 1,
            name: name.into(),
            totals: Totals::default(),
        });
        self.by_name.insert(hash, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(state: State, bytes: u64) -> Share {
        Share {
            state,
            bytes,
            acknowledged: bytes / 2,
        }
    }

    fn folders(paths: &[&str]) -> Folders {
        let mut folders = Folders::default();
        for (id, path) in (1..).zip(paths) {
            folders.come(id, Path::new(path), share(State::Queued, 10));
        }
        folders
    }

    #[test]
    fn a_folder_is_one_however_many_files_name_it_and_tells_its_path() {
        let folders = folders(&["/a/b/1.mov", "/a/c/2.mov", "/a/b/3.mov", "b/4.mov"]);
        let b = folders.of(1);
        assert_eq!(folders.of(3), b);
        assert_eq!(folders.path(b), Path::new("/a/b"));
        assert_eq!(folders.tail(b, 2), Path::new("a/b"));
        assert_ne!(folders.of(4), b, "another folder of that name");
        assert_eq!(folders.path(folders.of(4)), Path::new("b"));
        // The root, "/", a, a/b, a/c, b.
        assert_eq!(folders.count(), 6);
        assert_eq!(folders.totals(b).counts.total(), 2);
        assert_eq!(folders.totals(folders.parent(b)).bytes, 30);
        assert_eq!(folders.totals(ROOT).bytes, 40);
    }

    #[test]
    fn what_is_in_a_folder_is_in_those_above_it() {
        let folders = folders(&["/a/b/1.mov", "/a/c/2.mov"]);
        let (b, c) = (folders.of(1), folders.of(2));
        let a = folders.parent(b);
        assert!(folders.is_in(b, a) && folders.is_in(b, b) && folders.is_in(b, ROOT));
        assert!(!folders.is_in(b, c) && !folders.is_in(a, b));
        let inside = folders.all_in(a);
        for folder in [a, b, c, ROOT] {
            assert_eq!(inside[folder as usize], folders.is_in(folder, a));
        }
    }

    proptest! {
        #[test]
        fn totals_are_always_what_counting_anew_would_say(
            steps in proptest::collection::vec((0usize..12, 0usize..4, 0usize..10, 0u64..99), 0..60),
        ) {
            const PATHS: [&str; 12] = [
                "/a/1", "/a/2", "/a/b/1", "/a/b/2", "/a/b/c/1", "/a/b/c/2", "/a/d/1", "/e/1", "/1",
                "f/1", "f/g/1", "1",
            ];
            let mut folders = Folders::default();
            let mut known: HashMap<UploadId, Share> = HashMap::new();
            for (path, step, state, bytes) in steps {
                let id = UploadId::try_from(path + 1).unwrap();
                let share = share(State::ALL[state], bytes);
                match (step, known.get(&id).copied()) {
                    (_, None) => {
                        folders.come(id, Path::new(PATHS[path]), share);
                        known.insert(id, share);
                    }
                    (0, Some(before)) => {
                        folders.go(id, before);
                        known.remove(&id);
                    }
                    (_, Some(before)) => {
                        folders.change(id, before, share);
                        known.insert(id, share);
                    }
                }
                for folder in 0..u32::try_from(folders.count()).unwrap() {
                    let mut totals = Totals::default();
                    for (id, share) in &known {
                        let path = Path::new(PATHS[*id as usize - 1]);
                        if path.starts_with(folders.path(folder)) {
                            share.join(&mut totals);
                        }
                    }
                    prop_assert_eq!(*folders.totals(folder), totals, "{:?}", folders.path(folder));
                }
                for id in known.keys() {
                    let path = Path::new(PATHS[*id as usize - 1]);
                    prop_assert!(path.starts_with(folders.path(folders.common())));
                }
            }
        }
    }
}
