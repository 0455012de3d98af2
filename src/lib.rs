//! reelhaul uploads whole trees of media to video platforms, in parts, and never loses its place.
//!
//! # The house
//! | module | room for |
//! |---|---|
//! | [`error`] | what went wrong, whether it is tried again, what the person can do |
//! | [`settings`] | what can be tuned while it runs |
//! | [`path`] | paths as text and back without loss |
//! | [`plan`] | how a file is cut into parts |
//! | [`body`] | one part on its way: file range → MD5 → blocks |
//! | [`destination`] | the trait, its limits, and the vendors behind it |
//! | [`engine`] | the one owner of the session |
//! | [`format`](mod@format) | numbers, times, paths and names as people read them |
//! | [`tui`] | the screen: one of the clients of the engine |

pub mod body;
pub mod destination;
pub mod engine;
pub mod error;
pub mod format;
pub mod path;
pub mod plan;
pub mod settings;
pub mod tui;
