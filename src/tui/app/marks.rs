//! What was marked: files one by one, and all that a filter lets through in a folder or everywhere,
//! however many that are.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::engine::protocol::{
    Entry, Filter, FolderId, FolderRow, Line, ROOT, Row, Show, Targets, UploadId,
};

/// What was marked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// In a folder, however deep, all that was let through by the filter.
    inside: Vec<Inside>,
    /// But for these …
    except: Files,
    /// … and these as well.
    files: Files,
}

/// Files by where they are, so that those in a folder are beside each other.
type Files = BTreeMap<PathBuf, UploadId>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inside {
    folder: FolderId,
    path: PathBuf,
    filter: Filter,
    /// How many it were.
    count: usize,
}

/// How much of a folder is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    None,
    Some,
    All,
}

/// A line that was found in a range to be marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A file.
    File(UploadId, PathBuf),
    /// A folded folder with so many files in it.
    Folder(FolderId, PathBuf, usize),
}

impl Found {
    /// What a line in a range stands for; an unfolded folder for nothing, since what is in it has
    /// lines of its own.
    pub(crate) fn of(line: &Line) -> Option<Self> {
        match &line.entry {
            Entry::Upload(row) => Some(Self::File(row.id, row.path.clone())),
            Entry::Folder(folder) => folder
                .folded
                .then(|| Self::Folder(folder.id, folder.path.clone(), folder.matching)),
        }
    }
}

impl Inside {
    fn covers(&self, path: &Path) -> bool {
        self.folder == ROOT || path.starts_with(&self.path)
    }

    /// Whether it stands for all that `shown` lets through.
    fn is_for(&self, shown: &Filter) -> bool {
        self.filter.is_none() || self.filter == *shown
    }

    fn lets_through(&self, row: &Row, shown: &Filter) -> bool {
        let text = || self.filter.text.to_lowercase();
        let path = || row.path.to_string_lossy().to_lowercase();
        // What is on the screen was let through by the filter in force.
        self.is_for(shown)
            || self.filter.show.shows(row.state, row.parts_failed > 0) && path().contains(&text())
    }
}

/// Those in a folder.
fn within<'a>(files: &'a Files, folder: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
    let from = files.range(folder.to_owned()..).map(|(path, _)| path);
    from.take_while(move |path| path.starts_with(folder))
}

impl Marks {
    pub(crate) fn is_empty(&self) -> bool {
        self.inside.is_empty() && self.files.is_empty()
    }

    /// Whether this upload is marked; `shown` is the filter in force.
    pub(crate) fn has(&self, row: &Row, shown: &Filter) -> bool {
        let ruled = |one: &Inside| one.covers(&row.path) && one.lets_through(row, shown);
        self.files.contains_key(&row.path)
            || !self.except.contains_key(&row.path) && self.inside.iter().any(ruled)
    }

    /// How much is marked of what is shown of this folder.
    pub(crate) fn share(&self, folder: &FolderRow, shown: &Filter) -> Share {
        if self.is_empty() {
            return Share::None;
        }
        let path = &folder.path;
        let left_out = within(&self.except, path).next().is_some();
        if self.covers(path, shown) {
            return if left_out { Share::Some } else { Share::All };
        }
        let mut count = within(&self.files, path).count();
        let mut part = false;
        for one in &self.inside {
            if one.path.starts_with(path) && one.folder != ROOT {
                count += one.count;
            } else {
                part |= one.covers(path);
            }
        }
        match count {
            0 if !part => Share::None,
            count if count >= folder.matching && !left_out => Share::All,
            _ => Share::Some,
        }
    }

    /// Whether what is shown at this path was marked with all around it.
    fn covers(&self, path: &Path, shown: &Filter) -> bool {
        self.covering(path, shown).next().is_some()
    }

    fn covering<'a>(
        &'a self,
        path: &'a Path,
        shown: &'a Filter,
    ) -> impl Iterator<Item = &'a Inside> {
        let all = self.inside.iter();
        all.filter(move |one| one.covers(path) && one.is_for(shown))
    }

    /// Whether files are marked by a rule that lets through others than the filter in force.
    pub(crate) fn reach_beyond(&self, shown: &Filter) -> bool {
        self.inside.iter().any(|one| one.filter != *shown)
    }

    /// How many are marked, of a queue that has `matching` of `total` for the filter in force; `None`
    /// when that is not known.
    pub(crate) fn count(&self, shown: &Filter, matching: usize, total: usize) -> Option<usize> {
        let mut count = self.files.len();
        for one in &self.inside {
            count += match one.folder {
                ROOT if one.filter == *shown => matching,
                ROOT if one.filter.is_none() => total,
                ROOT => return None,
                _ => one.count,
            };
        }
        Some(count.saturating_sub(self.except.len()))
    }

    /// What commands are for, if anything is marked.
    pub(crate) fn targets(&self) -> Option<Targets> {
        if self.is_empty() {
            return None;
        }
        let ids = |files: &Files| {
            let mut ids: Vec<UploadId> = files.values().copied().collect();
            ids.sort_unstable();
            ids
        };
        let alone = self.files.is_empty() && self.except.is_empty();
        Some(match self.inside.as_slice() {
            [] => Targets::Ids(ids(&self.files)),
            [one] if alone && one.folder == ROOT => Targets::Filtered(one.filter.clone()),
            [one] if alone => Targets::Inside(one.folder, one.filter.clone()),
            several => Targets::Marked {
                inside: several
                    .iter()
                    .map(|one| (one.folder, one.filter.clone()))
                    .collect(),
                except: ids(&self.except),
                ids: ids(&self.files),
            },
        })
    }

    /// Marks what a range held.
    pub(crate) fn add(&mut self, found: Found, shown: &Filter) {
        match found {
            Found::File(id, path) => {
                self.except.remove(&path);
                if !self.covers(&path, shown) {
                    self.files.insert(path, id);
                }
            }
            Found::Folder(folder, path, count) => {
                self.clear_within(&path, shown);
                if !self.covers(&path, shown) {
                    self.inside.push(Inside {
                        folder,
                        path,
                        filter: shown.clone(),
                        count,
                    });
                }
            }
        }
    }

    /// Marks a file, or takes its mark away.
    pub(crate) fn toggle(&mut self, row: &Row, shown: &Filter) {
        if self.has(row, shown) {
            self.files.remove(&row.path);
            if self.has(row, shown) {
                self.except.insert(row.path.clone(), row.id);
            }
        } else {
            self.except.remove(&row.path);
            if !self.has(row, shown) {
                self.files.insert(row.path.clone(), row.id);
            }
        }
    }

    /// Marks what is shown in a folder, or takes its marks away; `false` when it is marked together
    /// with the folder it is in, of which it can't be left out.
    pub(crate) fn toggle_folder(&mut self, folder: &FolderRow, shown: &Filter) -> bool {
        if self.share(folder, shown) != Share::All {
            let (path, count) = (folder.path.clone(), folder.matching);
            self.add(Found::Folder(folder.id, path, count), shown);
            return true;
        }
        let outer = |one: &Inside| one.folder != folder.id;
        if self.covering(&folder.path, shown).any(outer) {
            return false;
        }
        let path = &folder.path;
        self.inside.retain(|one| !one.path.starts_with(path));
        self.files.retain(|file, _| !file.starts_with(path));
        self.except.retain(|file, _| !file.starts_with(path));
        true
    }

    /// Takes away what marking this folder says as well.
    fn clear_within(&mut self, path: &Path, shown: &Filter) {
        self.inside.retain(|one| {
            !(one.path.starts_with(path) && one.folder != ROOT && one.filter == *shown)
        });
        // One that was left out and is not seen now stays so; of its state nothing is known here.
        let text = shown.text.to_lowercase();
        let seen = |file: &Path| {
            shown.show == Show::All && file.to_string_lossy().to_lowercase().contains(&text)
        };
        self.except
            .retain(|file, _| !(file.starts_with(path) && seen(file)));
        if shown.is_none() {
            self.inside
                .retain(|one| !one.path.starts_with(path) || one.folder == ROOT);
            self.files.retain(|file, _| !file.starts_with(path));
        }
    }

    /// Marks all that a filter lets through, or, where that was marked, nothing.
    pub(crate) fn toggle_all(&mut self, shown: &Filter, matching: usize) {
        let all = self.inside.iter().any(|one| one.folder == ROOT);
        *self = Self::default();
        if !all {
            self.inside.push(Inside {
                folder: ROOT,
                path: PathBuf::new(),
                filter: shown.clone(),
                count: matching,
            });
        }
    }
}
