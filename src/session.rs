//! A session on disk: one TOML file that is readable and valid at any moment, its lock, and how it
//! is found again. Knows what is kept of an upload, not how uploads are run.
//!
//! The file is a snapshot followed by a log, both made of TOML tables, so that a change is an
//! append of a few bytes: `[[walk]]` tells what is to be walked, `[[upload]]` queues a file, `[[log]]`
//! changes one. Every table ends with a
//! blank line; a last table without one was torn by a crash and is dropped. See [`record`] for the
//! tables, [`read`] for opening, [`store`] for what is written when.

pub mod folder;
pub mod lock;
mod plain;
pub mod read;
pub mod record;
pub mod store;
pub mod times;
pub mod walks;

pub use folder::Folder;
pub use record::{Change, Header, Kept, Progress};
pub use times::{Milestone, Moment, Times};
pub use walks::{Walk, Walks};
