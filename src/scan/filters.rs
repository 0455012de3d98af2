//! A person's globs, and whether they let a path through; touches no file.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::BadScan;
use crate::error::clean;

/// What a person's globs let through.
#[derive(Debug, Clone, Default)]
pub(super) struct Filters {
    include: Option<Globs>,
    exclude: Option<Globs>,
}

impl Filters {
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, BadScan> {
        Ok(Self {
            include: Globs::new(include)?,
            exclude: Globs::new(exclude)?,
        })
    }

    /// Whether this file is wanted. `below` is its path below the one given.
    pub(super) fn take(&self, path: &Path, below: &Path) -> bool {
        self.include
            .as_ref()
            .is_none_or(|globs| globs.match_any(path, below))
            && !self.leave_out(path, below)
    }

    /// Whether this file, or this folder with all in it, is not wanted.
    pub(super) fn leave_out(&self, path: &Path, below: &Path) -> bool {
        self.exclude
            .as_ref()
            .is_some_and(|globs| globs.match_any(path, below))
    }
}

/// Globs that are matched against the path below the one given and against the file's name; those
/// that begin with `/`, against the whole path. `*` stays within a name, `**` does not.
#[derive(Debug, Clone)]
struct Globs {
    below: GlobSet,
    whole: GlobSet,
}

impl Globs {
    fn new(texts: &[String]) -> Result<Option<Self>, BadScan> {
        if texts.is_empty() {
            return Ok(None);
        }
        let bad = |glob: &str, why: &str| BadScan::BadGlob {
            glob: clean(glob),
            why: clean(why),
        };
        let (mut below, mut whole) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for text in texts {
            let trimmed = text.strip_prefix("./").unwrap_or(text);
            let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
            if trimmed.is_empty() {
                return Err(bad(text, "it matches nothing"));
            }
            let glob = GlobBuilder::new(trimmed)
                .literal_separator(true)
                .build()
                .map_err(|error| bad(text, &error.kind().to_string()))?;
            if trimmed.starts_with('/') {
                whole.add(glob);
            } else {
                below.add(glob);
            }
        }
        let build = |set: GlobSetBuilder| {
            set.build()
                .map_err(|error| bad(error.glob().unwrap_or_default(), &error.kind().to_string()))
        };
        Ok(Some(Self {
            below: build(below)?,
            whole: build(whole)?,
        }))
    }

    fn match_any(&self, path: &Path, below: &Path) -> bool {
        self.below.is_match(below)
            || below
                .file_name()
                .is_some_and(|name| self.below.is_match(name))
            || self.whole.is_match(path)
    }
}
