//! reelhaul uploads whole trees of media to video platforms, in parts, and never loses its place.
//!
//! # The house
//! At the core, pure:
//!
//! | module | room for |
//! |---|---|
//! | [`error`] | what went wrong, whether it is tried again, what the person can do |
//! | [`ids`], [`state`] | what uploads, media objects and accounts are known by; where an upload stands |
//! | [`settings`] | what can be tuned while it runs |
//! | [`add_paths`] | what a scan is asked for |
//! | [`awaited`], [`mounts`] | what uploads may wait for; where disks are mounted |
//! | [`plan`] | how a file is cut into parts |
//! | [`identity`] | whether a file is still the one that was begun |
//! | [`path`], [`format`](mod@format), [`metadata`] | paths as text and back; numbers and names for people; path → title and media type |
//! | `flock`, `state_dir` | locks on files; the folder for the program's own files |
//! | [`open_files`] | how many files this process may have open |
//! | [`limiter`] | the bandwidth cap that all parts share |
//! | `fault_point` | places where a test ends or holds the program; not in release builds |
//! | [`secret`] | keys and tokens that no one can print by accident, and where they come from |
//!
//! What runs:
//!
//! | module | room for |
//! |---|---|
//! | [`engine`] | the one owner of the session: commands and queries in, plain values out |
//! | [`ledger`] | what is uploaded where, and who may upload what, over all sessions |
//! | [`session`] | one TOML file: snapshot and log, its lock, when it is appended to and when rewritten |
//! | [`destination`] | accounts and their uploads: two traits, their limits, and the vendors behind them |
//! | [`body`] | one part on its way: file range → MD5 → blocks |
//! | [`hashing`] | the MD5 of many streams, side by side |
//! | [`scan`] | walks trees for media |
//! | [`outlet`] | text for readers that may stop reading |
//!
//! Who talks to it, by a [`engine::Handle`] alone:
//!
//! | module | room for |
//! |---|---|
//! | [`tui`] | the screen |
//! | [`headless`] | lines or JSON |
//! | [`attach`] | a handle to an engine in another process, over a unix socket |
//! | [`journal`] | the last lines of that process's log |
//!
//! Around it:
//!
//! | module | room for |
//! |---|---|
//! | [`cli`], [`config`] | arguments; destinations and defaults from a file |
//! | [`launch`] | the pieces put together for one command |
//! | [`sandbox`], [`demo`] | a local server that speaks both vendors' APIs; a tree to show the program with |
//!
//! # How it flows
//! One actor owns the session ([`engine`]): the records of all uploads, their queue, and what is saved.
//! Each upload that has a place is one task ([`engine::upload`]), which reads from top to bottom: it
//! decides what is done next, and the actor grants it each call and each part. What must not be lost
//! (marker, ticket, plan) is on disk before the next step; receipts follow within a fifth of a second.
//! On resume the destination is asked what it has: the server is the truth. Whether a file is uploaded
//! already, and who may upload it, the [`ledger`] says, for all sessions of the machine.

// A reader that has gone makes these panic: see `launch::say` and `outlet`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod add_paths;
pub mod attach;
pub mod awaited;
pub mod body;
pub mod cli;
pub mod config;
pub mod demo;
pub mod destination;
pub mod engine;
pub mod error;
mod fault_point;
mod flock;
pub mod format;
pub mod hashing;
pub mod headless;
pub mod identity;
pub mod ids;
pub mod journal;
pub mod launch;
pub mod ledger;
pub mod limiter;
pub mod machine;
pub mod metadata;
pub mod mounts;
pub mod open_files;
pub mod outlet;
pub mod path;
pub mod plan;
pub mod sandbox;
pub mod scan;
pub mod secret;
pub mod session;
pub mod settings;
pub mod state;
pub mod state_dir;
pub mod tui;

#[cfg(test)]
#[path = "../tests/it/support/damage.rs"]
mod damage;
