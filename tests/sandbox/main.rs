//! The sandbox keeps the vendors' rules, and does wrong exactly what it was told to.

#![allow(clippy::unwrap_used)] // a call that goes wrong is the test that fails

mod apivideo;
mod faults;
mod jwplayer;
mod support;
