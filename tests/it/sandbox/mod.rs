//! The sandbox keeps the vendors' rules, and does wrong exactly what it was told to.

mod apivideo;
mod client;
mod faults;
mod jwplayer;
