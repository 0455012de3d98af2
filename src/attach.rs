//! An engine's [`Handle`] for other processes: a unix socket on one side, a handle that can't be told
//! from the engine's own on the other. Knows no screen, no session file's content, no command line.
//!
//! ```text
//!   screen ─▶ Handle ─▶ client ═▶ frames (JSON, with their length before them) ═▶ server ─▶ Handle ─▶ engine
//!                          ◀═ answers, by the number of the request ═◀
//!                          ◀═ the newest summary; those it was too slow for are left out ═◀
//! ```
//! The engine never waits for a screen: what a screen has asked and not taken is bounded, and one
//! that takes nothing for long is let go. Whoever may connect may command, which is why the socket
//! is its owner's alone (mode 0600, in a folder of 0700) and the peer's uid is checked on both ends.
//!
//! | module | room for |
//! |---|---|
//! | `place` | where the socket of a session is |
//! | `wire` | what is said, and its frames; pure |
//! | `server` | the engine's end |
//! | `client` | the screen's end |
//!
//! [`Handle`]: crate::engine::Handle

mod client;
mod place;
mod server;
#[cfg(test)]
mod tests;
pub mod wire;

pub use self::{
    client::{Attached, NotAttached, connect, detach, running},
    place::Places,
    server::{Limits, Served, serve},
    wire::{Owner, PROTOCOL, Role},
};

/// Whether a process of this uid may command an engine of that one: one's own, and root, who could
/// anyway.
fn admitted(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

/// The uid this process acts as.
fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}
