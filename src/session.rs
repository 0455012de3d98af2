//! A session on disk: one TOML file that is readable and valid at any moment, its lock, and how it
//! is found again. Knows what is kept of an upload, not how uploads are run.
//!
//! The file is a snapshot followed by a log, both made of TOML tables, so that a change is an
//! append of a few bytes: `[[walk]]` says what is to be walked, `[[upload]]` queues a file, `[[log]]`
//! changes one or moves some within the queue, `[[orphan]]` names a media object that no upload stands
//! for. Every table ends with a blank line; a last table without one was torn by a crash and is
//! dropped. A comment line begins the log, and every table of the log ends with a [`checksum`], as a
//! comment too: what is damaged in the middle is dropped and named, and the rest is read. What is lost is
//! asked of the ledger and the account (`engine/queue/gaps.rs`). Damage to the snapshot stays an error:
//! it was complete on disk before anything was appended, and a table of it that is lost is a file lost.
//! The file is rewritten, as a snapshot without a log, when it is opened and at a clean end,
//! never while the session runs: then every change is an append. See [`record`] for the tables,
//! [`read`] for opening, [`store`] for what is written when.

pub mod checksum;
pub mod folder;
mod glance;
pub mod lock;
pub mod moves;
pub mod orphans;
pub mod read;
pub mod record;
pub mod store;
pub mod times;
pub mod walks;

pub use folder::Folder;
pub use glance::progress_of;
pub use moves::{Move, MoveTarget};
pub use orphans::Orphan;
pub use record::{Change, Header, Kept, Progress};
pub use times::{Milestone, Moment, Times};
pub use walks::{Walk, Walks};
