//! What a scan is asked for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Paths to walk, and what of them to take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AddPaths {
    /// Files and folders.
    #[serde(with = "crate::path::texts")]
    pub paths: Vec<PathBuf>,
    /// Only files that match one of these globs; all when empty.
    pub include: Vec<String>,
    /// No files or folders that match one of these globs.
    pub exclude: Vec<String>,
    /// Files that another session holds too.
    #[serde(default)]
    pub again: bool,
}
