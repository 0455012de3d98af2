//! reelhaul uploads whole trees of media to video platforms, in parts, and never loses its place.
//!
//! # The house
//! | module | room for |
//! |---|---|
//! | [`error`] | what went wrong, whether it is tried again, what the person can do |
//! | [`settings`] | what can be tuned while it runs |
//! | [`path`] | paths as text and back without loss |
//! | [`plan`] | how a file is cut into parts |
//! | [`attach`] | a handle to an engine in another process, over a unix socket |
//! | [`cli`] | arguments only |
//! | [`config`] | the config file as plain data |
//! | [`demo`] | a tree to show the program with |
//! | [`headless`] | the same engine without a terminal: lines or JSON |
//! | [`metadata`] | path → media type, title, file name |
//! | [`scan`] | walks trees for media |
//! | [`secret`] | keys and tokens that no one can print by accident |
//! | [`body`] | one part on its way: file range → MD5 → blocks |
//! | [`destination`] | the trait, its limits, and the vendors behind it |
//! | [`engine`] | the one owner of the session |
//! | [`format`](mod@format) | numbers, times, paths and names as people read them |
//! | [`sandbox`] | a local server that speaks both vendors' APIs |
//! | [`tui`] | the screen: one of the clients of the engine |

pub mod attach;
pub mod body;
pub mod cli;
pub mod config;
pub mod demo;
pub mod destination;
pub mod engine;
pub mod error;
pub mod format;
pub mod headless;
pub mod identity;
pub mod launch;
pub mod metadata;
pub mod path;
pub mod plan;
pub mod sandbox;
pub mod scan;
pub mod secret;
pub mod session;
pub mod settings;
pub mod tui;
