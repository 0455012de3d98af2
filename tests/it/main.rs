//! What reelhaul promises, one module a promise; most of it is checked from outside, by running the
//! program against the sandbox.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod accounts;
mod again;
mod attach;
mod budget;
mod changed;
mod conflict;
mod corpus;
mod damaged_log;
mod destinations;
mod disk;
#[cfg(target_os = "linux")]
mod disks;
mod engine;
mod errors;
mod faults;
mod file_systems;
mod gates;
mod going_on;
mod hostile;
mod hostile_server;
mod ledger;
mod limits_in_files;
mod mass;
mod memory;
mod odd_tree;
mod open_files;
mod ordered;
mod polls;
mod races;
mod readers;
mod readme;
mod removed;
mod resume;
mod resume_all;
mod sandbox;
mod saving;
mod schedule;
mod second_names;
mod session_file;
mod sessions;
mod statuses;
mod support;
mod terminal;
mod tls;
mod too_large;
mod tree;
mod tries;
mod walks;
