//! Uploads as lines of a tree of folders, some of them folded; pure. A tree is made of an order of
//! uploads once, and then asked for lines by their place.

use super::{
    folders::Folders,
    protocol::{FolderId, Folds, LineId, UploadId},
};

/// No line.
const NONE: u32 = u32::MAX;

/// The lines of a tree.
#[derive(Debug)]
pub struct Tree {
    lines: Vec<LineId>,
    folders: Vec<Place>,
    folds: Folds,
    /// The folder whose entries are the outermost lines.
    top: FolderId,
    matching: usize,
}

/// What a tree knows of a folder.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The line that stands for it; that of a folder inside when it holds nothing else.
    line: u32,
    depth: u16,
    /// How many names its line has: its own, and those of folders above that hold nothing else.
    names: u16,
    /// How many uploads of the order are inside.
    matching: u32,
}

/// Uploads and folders by the folder they are in.
struct Entries {
    all: Vec<LineId>,
    /// Where those of each folder begin; one more than there are folders.
    begin: Vec<u32>,
}

impl Entries {
    fn of(&self, folder: FolderId) -> std::ops::Range<usize> {
        let folder = folder as usize;
        self.begin[folder] as usize..self.begin[folder + 1] as usize
    }

    fn of_mut(&mut self, folder: FolderId) -> &mut [LineId] {
        let range = self.of(folder);
        &mut self.all[range]
    }

    /// The folder that is all there is in this one.
    fn only_folder(&self, folder: FolderId) -> Option<FolderId> {
        match self.all[self.of(folder)] {
            [LineId::Folder(only)] => Some(only),
            _ => None,
        }
    }

    /// Those of a folder in the order in which the uploads go: a folder is where the first of its
    /// uploads is.
    fn new(folders: &Folders, ids: &[UploadId], top: FolderId) -> Self {
        let count = folders.count();
        let mut begin = vec![0u32; count + 1];
        Self::visit(folders, ids, top, |folder, _| {
            begin[folder as usize + 1] += 1;
        });
        for folder in 0..count {
            begin[folder + 1] += begin[folder];
        }
        let mut next = begin.clone();
        let mut all = vec![LineId::Upload(0); begin[count] as usize];
        Self::visit(folders, ids, top, |folder, entry| {
            let at = &mut next[folder as usize];
            all[*at as usize] = entry;
            *at += 1;
        });
        Self { all, begin }
    }

    /// Tells of each entry and the folder it is in; of a folder before anything that is inside.
    fn visit(
        folders: &Folders,
        ids: &[UploadId],
        top: FolderId,
        mut tell: impl FnMut(FolderId, LineId),
    ) {
        let mut told = vec![false; folders.count()];
        told[top as usize] = true;
        for id in ids {
            let folder = folders.of(*id);
            let mut at = folder;
            while !told[at as usize] {
                told[at as usize] = true;
                let parent = folders.parent(at);
                tell(parent, LineId::Folder(at));
                at = parent;
            }
            tell(folder, LineId::Upload(*id));
        }
    }
}

impl Tree {
    /// The tree of these uploads. `sort` puts the entries of one folder in order; it is called for
    /// those that are shown.
    #[must_use]
    pub fn new(
        folders: &Folders,
        ids: &[UploadId],
        folds: Folds,
        mut sort: impl FnMut(&mut [LineId]),
    ) -> Self {
        let top = folders.common();
        let mut entries = Entries::new(folders, ids, top);
        let nowhere = Place {
            line: NONE,
            depth: 0,
            names: 0,
            matching: 0,
        };
        let mut tree = Self {
            lines: Vec::new(),
            folders: vec![nowhere; folders.count()],
            folds,
            top,
            matching: ids.len(),
        };
        tree.count(folders, ids);
        sort(entries.of_mut(top));
        // What is left to be shown of each folder on the way down.
        let mut open = vec![entries.of(top)];
        while let Some(rest) = open.last_mut() {
            let Some(at) = rest.next() else {
                open.pop();
                continue;
            };
            let depth = u16::try_from(open.len() - 1).unwrap_or(u16::MAX);
            match entries.all[at] {
                upload @ LineId::Upload(_) => tree.lines.push(upload),
                LineId::Folder(folder) => {
                    let folder = tree.push(&entries, folder, depth);
                    if !tree.folds.folded(folder) {
                        sort(entries.of_mut(folder));
                        open.push(entries.of(folder));
                    }
                }
            }
        }
        tree
    }

    fn count(&mut self, folders: &Folders, ids: &[UploadId]) {
        for id in ids {
            self.folders[folders.of(*id) as usize].matching += 1;
        }
        // A folder comes after the one it is in.
        for folder in (1..folders.count()).rev() {
            let inside = self.folders[folder].matching;
            let parent = folders.parent(u32::try_from(folder).unwrap_or(0));
            self.folders[parent as usize].matching += inside;
        }
    }

    /// A line for a folder, or rather for the first inside that holds anything else; which it is.
    fn push(&mut self, entries: &Entries, mut folder: FolderId, depth: u16) -> FolderId {
        let line = u32::try_from(self.lines.len()).unwrap_or(NONE);
        for names in 1.. {
            let place = &mut self.folders[folder as usize];
            (place.line, place.depth, place.names) = (line, depth, names);
            match entries.only_folder(folder) {
                Some(only) if names < u16::MAX => folder = only,
                _ => break,
            }
        }
        self.lines.push(LineId::Folder(folder));
        folder
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The line at this place.
    #[must_use]
    pub fn line(&self, at: usize) -> Option<LineId> {
        self.lines.get(at).copied()
    }

    /// How many uploads there are, also in what is folded.
    #[must_use]
    pub fn matching(&self) -> usize {
        self.matching
    }

    /// How many of them are in this folder.
    #[must_use]
    pub fn matching_in(&self, folder: FolderId) -> usize {
        self.place(folder)
            .map_or(0, |place| place.matching as usize)
    }

    /// Whether this folder's lines are not shown.
    #[must_use]
    pub fn folded(&self, folder: FolderId) -> bool {
        self.folds.folded(folder)
    }

    /// How many names the line of this folder has.
    #[must_use]
    pub fn names(&self, folder: FolderId) -> usize {
        self.place(folder).map_or(1, |place| place.names.into())
    }

    /// In how many folders of the tree a line is.
    #[must_use]
    pub fn depth(&self, folders: &Folders, line: LineId) -> u16 {
        match line {
            LineId::Folder(folder) => self.place(folder).map_or(0, |place| place.depth),
            LineId::Upload(id) if folders.of(id) == self.top => 0,
            LineId::Upload(id) => self.depth(folders, LineId::Folder(folders.of(id))) + 1,
        }
    }

    /// The folder whose line a line is below.
    #[must_use]
    pub fn parent(&self, folders: &Folders, line: LineId) -> Option<FolderId> {
        let (inner, own) = match line {
            LineId::Folder(folder) => (folder, self.place(folder)?.line),
            LineId::Upload(id) => (folders.of(id), NONE),
        };
        let above = folders.upwards(inner).take_while(|at| *at != self.top);
        let at = above
            .filter_map(|folder| self.place(folder))
            .find(|place| place.line != NONE && place.line != own)?;
        match self.lines.get(at.line as usize)? {
            LineId::Folder(folder) => Some(*folder),
            LineId::Upload(_) => None,
        }
    }

    /// Where a line is, or the folded folder that hides it; looked for around `near` first.
    #[must_use]
    pub fn find(&self, folders: &Folders, line: LineId, near: usize) -> Option<usize> {
        let folder = match line {
            LineId::Folder(folder) if folders.knows(folder) => folder,
            LineId::Folder(_) => return None,
            LineId::Upload(id) => folders.of(id),
        };
        let shown = folders
            .upwards(folder)
            .take_while(|folder| *folder != self.top)
            .find_map(|folder| Some((folder, self.place(folder).filter(|at| at.line != NONE)?)));
        let (at, its_own) = match shown {
            Some((shown, place)) => (Some(place.line as usize), shown == folder),
            None => (None, folder == self.top),
        };
        // A line may stand for a folder inside of the one that was found, which holds all there is.
        let hides = at.filter(
            |at| matches!(self.lines.get(*at), Some(LineId::Folder(last)) if self.folded(*last)),
        );
        match line {
            LineId::Folder(_) if its_own => at,
            LineId::Upload(_) if its_own && hides.is_none() => {
                let from = at.map_or(0, |at| at + 1);
                near_or_all(&self.lines, from, near, |other| *other == line)
            }
            _ => hides,
        }
    }

    fn place(&self, folder: FolderId) -> Option<&Place> {
        self.folders.get(folder as usize)
    }
}

/// How far around a place is looked first.
const NEAR: usize = WINDOW * 2;
const WINDOW: usize = 200;

/// The first place from `from` on that is the one, looked for around `near` before anywhere else:
/// what is on a screen is seldom elsewhere a moment later.
pub fn near_or_all<T>(
    all: &[T],
    from: usize,
    near: usize,
    is: impl Fn(&T) -> bool,
) -> Option<usize> {
    let around = near.saturating_sub(WINDOW).max(from);
    let close = all.iter().enumerate().skip(around).take(NEAR);
    let found = close.filter(|(_, one)| is(one)).map(|(at, _)| at).next();
    found.or_else(|| Some(from + all.get(from..)?.iter().position(is)?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::{folders::Share, protocol::State};

    fn folders(paths: &[&str]) -> Folders {
        let mut folders = Folders::default();
        for (id, path) in (1..).zip(paths) {
            let share = Share {
                state: State::Queued,
                bytes: 1,
                acknowledged: 0,
            };
            folders.come(id, Path::new(path), share);
        }
        folders
    }

    fn tree(folders: &Folders, ids: &[UploadId], folds: Folds) -> Tree {
        Tree::new(folders, ids, folds, |_| {})
    }

    /// The lines as text: two blanks for each folder they are in, names of folders, numbers of files.
    fn told(folders: &Folders, tree: &Tree) -> Vec<String> {
        let line = |at| {
            let line = tree.line(at).unwrap();
            let name = match line {
                LineId::Upload(id) => id.to_string(),
                LineId::Folder(id) => {
                    let name = folders.tail(id, tree.names(id));
                    format!("{}/ {}", name.display(), tree.matching_in(id))
                }
            };
            format!("{}{name}", "  ".repeat(tree.depth(folders, line).into()))
        };
        (0..tree.len()).map(line).collect()
    }

    const PATHS: [&str; 6] = [
        "/m/2019/wedding/a.mov",
        "/m/2019/wedding/b.mov",
        "/m/2020/c.mov",
        "/m/2019/d.mov",
        "/m/x/y/z/e.mov",
        "/m/f.mov",
    ];

    #[test]
    fn files_stand_below_their_folders_in_the_order_of_the_queue() {
        let folders = folders(&PATHS);
        let tree = tree(&folders, &[1, 2, 3, 4, 5, 6], Folds::default());
        let expected = [
            "2019/ 3",
            "  wedding/ 2",
            "    1",
            "    2",
            "  4",
            "2020/ 1",
            "  3",
            "x/y/z/ 1",
            "  5",
            "6",
        ];
        assert_eq!(told(&folders, &tree), expected);
        assert_eq!(tree.matching(), 6);
    }

    #[test]
    fn a_folded_folder_is_one_line_and_one_without_a_hit_is_none() {
        let folders = folders(&PATHS);
        let mut folds = Folds::default();
        let outer = folders.parent(folders.of(1));
        folds.fold(outer, true);
        let folded = tree(&folders, &[1, 2, 3, 4, 5, 6], folds.clone());
        let expected = ["2019/ 3", "2020/ 1", "  3", "x/y/z/ 1", "  5", "6"];
        assert_eq!(told(&folders, &folded), expected);
        // The filter left one file in there.
        let filtered = tree(&folders, &[2, 3], Folds::default());
        assert_eq!(
            told(&folders, &filtered),
            ["2019/wedding/ 1", "  2", "2020/ 1", "  3"]
        );
        folds.fold_all(true);
        folds.fold(folders.of(3), false);
        let one = tree(&folders, &[1, 2, 3, 4, 5, 6], folds);
        assert_eq!(
            told(&folders, &one),
            ["2019/ 3", "2020/ 1", "  3", "x/y/z/ 1", "6"]
        );
    }

    #[test]
    fn files_of_one_folder_are_a_plain_list() {
        let folders = folders(&["/m/a.mov", "/m/b.mov"]);
        let tree = tree(&folders, &[1, 2], Folds::default());
        assert_eq!(told(&folders, &tree), ["1", "2"]);
    }

    #[test]
    fn what_a_folded_folder_hides_is_found_at_its_line() {
        let folders = folders(&PATHS);
        let wedding = folders.of(1);
        let outer = folders.parent(wedding);
        let mut folds = Folds::default();
        folds.fold(outer, true);
        let tree = tree(&folders, &[1, 2, 3, 4, 5], folds);
        let find = |line| tree.find(&folders, line, 0);
        for hidden in [
            LineId::Upload(1),
            LineId::Upload(4),
            LineId::Folder(wedding),
            LineId::Folder(outer),
        ] {
            assert_eq!(find(hidden), Some(0), "{hidden:?}");
        }
        assert_eq!(find(LineId::Upload(3)), Some(2));
        // A folder that is told together with the one it holds.
        let inner = folders.of(5);
        assert_eq!(find(LineId::Folder(folders.parent(inner))), Some(3));
        assert_eq!(find(LineId::Folder(inner)), Some(3));
        assert_eq!(tree.parent(&folders, LineId::Upload(5)), Some(inner));
        assert_eq!(tree.parent(&folders, LineId::Folder(inner)), None);
        assert_eq!(find(LineId::Upload(6)), None, "the filter hides it");
        assert_eq!(find(LineId::Folder(99)), None);
    }

    proptest! {
        #[test]
        fn every_line_is_found_where_it_is_and_every_file_once_or_behind_a_fold(
            places in proptest::collection::vec(0usize..9, 1..40),
            shown in proptest::collection::vec(any::<bool>(), 40),
            folded in proptest::collection::btree_set(1u32..14, 0..9),
            all: bool,
            near in 0usize..50,
        ) {
            const FOLDERS: [&str; 9] = [
                "/a", "/a/b", "/a/b/c", "/a/b/c/d", "/a/e", "/a/e/f/g", "/h", "/h/i", "/a/b/j",
            ];
            let paths: Vec<String> = places
                .iter()
                .enumerate()
                .map(|(at, place)| format!("{}/{at}", FOLDERS[*place]))
                .collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let folders = folders(&paths);
            let ids: Vec<UploadId> = (1..=u32::try_from(paths.len()).unwrap())
                .zip(&shown)
                .filter(|(_, shown)| **shown)
                .map(|(id, _)| id)
                .collect();
            let folds = Folds { all, except: folded };
            let tree = tree(&folders, &ids, folds);
            let mut files = 0;
            for at in 0..tree.len() {
                let line = tree.line(at).unwrap();
                prop_assert_eq!(tree.find(&folders, line, near), Some(at));
                match line {
                    LineId::Upload(_) => files += 1,
                    LineId::Folder(id) if tree.folded(id) => files += tree.matching_in(id),
                    LineId::Folder(_) => {}
                }
                // The line of what it is in is above it, and one less deep.
                let depth = tree.depth(&folders, line);
                match tree.parent(&folders, line) {
                    None => prop_assert_eq!(depth, 0),
                    Some(parent) => {
                        let parent = LineId::Folder(parent);
                        prop_assert_eq!(tree.depth(&folders, parent) + 1, depth);
                        prop_assert!(tree.find(&folders, parent, near).unwrap() < at);
                    }
                }
            }
            prop_assert_eq!(files, ids.len());
            for id in ids {
                prop_assert!(tree.find(&folders, LineId::Upload(id), near).is_some());
            }
        }
    }
}
