//! reelhaul uploads whole trees of media to video platforms, in parts, and never loses its place.
//!
//! # The house
//! | module | room for |
//! |---|---|
//! | [`error`] | what went wrong, whether it is tried again, what the person can do |
//! | [`settings`] | what can be tuned while it runs |
//! | [`path`] | paths as text and back without loss |
//! | [`plan`] | how a file is cut into parts |
//! | [`secret`] | keys and tokens that no one can print by accident |
//! | [`body`] | one part on its way: file range → MD5 → blocks |
//! | [`destination`] | the trait, its limits, and the vendors behind it |
//! | [`engine`] | the one owner of the session |
//! | [`sandbox`] | a local server that speaks both vendors' APIs |

pub mod body;
pub mod destination;
pub mod engine;
pub mod error;
pub mod path;
pub mod plan;
pub mod sandbox;
pub mod secret;
pub mod settings;
