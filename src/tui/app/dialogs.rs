//! What lies over the screen, and what is typed and chosen there; does nothing itself.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tui_input::Input;

use crate::{
    engine::protocol::{AddPaths, Command, Details, Preview},
    settings::Settings,
};

/// What lies over the screen.
#[derive(Debug)]
pub(crate) enum Dialog {
    Help(Help),
    Add(Box<Add>),
    Tuning(Box<Tuning>),
    Details(Option<Box<Details>>, u16),
    Part,
    Summary(u16),
    Confirm(Confirm),
    Quit,
}

/// The help and what is looked for in it.
#[derive(Debug, Default)]
pub(crate) struct Help {
    pub(crate) search: Input,
    pub(crate) scroll: u16,
}

/// A question before something is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Confirm {
    pub(crate) title: String,
    pub(crate) lines: Vec<String>,
    /// What happens on yes, in a word.
    pub(crate) yes: &'static str,
    pub(crate) command: Command,
}

/// The fields of the add dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum AddField {
    #[default]
    Path,
    Include,
    Exclude,
}

/// Choosing what to add.
#[derive(Debug, Default)]
pub(crate) struct Add {
    pub(crate) field: AddField,
    pub(crate) path: Input,
    pub(crate) include: Input,
    pub(crate) exclude: Input,
    /// Where relative paths begin.
    pub(crate) here: PathBuf,
    /// What `~` stands for.
    pub(crate) home: Option<PathBuf>,
    /// The folder whose entries are known, and they.
    pub(crate) listing: Listing,
    /// The entry under the cursor; none while the path is typed.
    pub(crate) chosen: Option<usize>,
    /// What would be queued, for these paths and globs, as far as it was counted.
    pub(crate) estimate: Option<(AddPaths, Estimate)>,
    /// When the paths were handed over; from then on the walk is shown.
    pub(crate) walking: Option<Duration>,
    /// How many uploads there were before.
    pub(crate) before: usize,
    /// What the engine said to it.
    pub(crate) answer: Option<(bool, String)>,
}

/// The entries of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) folder: PathBuf,
    pub(crate) entries: Vec<Entry>,
    /// Why they are not known.
    pub(crate) error: Option<String>,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    /// Its name as it is shown and typed.
    pub(crate) name: String,
    pub(crate) folder: bool,
    /// Whether its name is that of video or audio.
    pub(crate) media: bool,
    pub(crate) size: u64,
}

/// What a walk would queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) left_out: usize,
    /// Whether all was walked.
    pub(crate) whole: bool,
}

impl Add {
    /// What would be handed over now; `None` while nothing is named.
    pub(crate) fn wanted(&self) -> Option<AddPaths> {
        if self.path.value().trim().is_empty() && self.chosen.is_none() {
            return None;
        }
        let globs = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Some(AddPaths {
            paths: vec![self.target()],
            include: globs(self.include.value()),
            exclude: globs(self.exclude.value()),
            again: false,
        })
    }

    /// The typed text as a path: `~` and relative paths made whole.
    pub(crate) fn typed(&self) -> PathBuf {
        let text = self.path.value();
        let below_home = match text {
            "~" => Some(""),
            _ => text.strip_prefix("~/"),
        };
        match (below_home, &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.here.join(text),
        }
    }

    /// The folder the typed text is in, and the beginning of a name within it.
    pub(crate) fn place(&self) -> (PathBuf, String) {
        let text = self.path.value();
        let typed = self.typed();
        if text.is_empty() || text.ends_with('/') || text == "~" {
            return (typed, String::new());
        }
        let name = text.rsplit('/').next().unwrap_or_default().to_owned();
        let folder = typed.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        (folder, name)
    }

    /// The entries that begin as typed; hidden ones only when asked for by their dot.
    pub(crate) fn matching(&self) -> Vec<&Entry> {
        let (folder, begin) = self.place();
        if folder != self.listing.folder {
            return Vec::new();
        }
        self.listing
            .entries
            .iter()
            .filter(|entry| entry.name.starts_with(&begin))
            .filter(|entry| begin.starts_with('.') || !entry.name.starts_with('.'))
            .collect()
    }

    /// Whether what would be added is there, as far as that is known: half a name is none yet.
    pub(crate) fn named(&self) -> bool {
        let (folder, name) = self.place();
        self.chosen.is_some()
            || name.is_empty()
            || folder != self.listing.folder
            || self.listing.entries.iter().any(|entry| entry.name == name)
    }

    /// The path to add: the chosen entry, else what is typed.
    pub(crate) fn target(&self) -> PathBuf {
        self.chosen
            .and_then(|index| Some(self.matching().get(index)?.path.clone()))
            .unwrap_or_else(|| self.typed())
    }

    pub(crate) fn input(&mut self) -> &mut Input {
        match self.field {
            AddField::Path => &mut self.path,
            AddField::Include => &mut self.include,
            AddField::Exclude => &mut self.exclude,
        }
    }
}

/// Settings being changed, before they are taken.
#[derive(Debug)]
pub(crate) struct Tuning {
    pub(crate) row: usize,
    /// The settings in force that the draft changes.
    pub(crate) from: Settings,
    pub(crate) draft: Settings,
    /// A value while it is typed.
    pub(crate) typed: Option<Input>,
    /// Why what was typed is no value.
    pub(crate) error: Option<String>,
    /// What the draft would do, once the engine said it.
    pub(crate) preview: Option<(Settings, Preview)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_path_may_be_relative_or_begin_at_home() {
        let mut add = Add {
            here: "/work".into(),
            home: Some("/home/me".into()),
            ..Add::default()
        };
        for (text, path, folder, begin) in [
            ("", "/work/", "/work/", ""),
            ("media/20", "/work/media/20", "/work/media", "20"),
            ("~/films/", "/home/me/films/", "/home/me/films/", ""),
            ("/mnt", "/mnt", "/", "mnt"),
        ] {
            add.path = Input::from(text);
            assert_eq!(add.typed(), PathBuf::from(path));
            assert_eq!(add.place(), (PathBuf::from(folder), begin.to_owned()));
        }
    }
}
