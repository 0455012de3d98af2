//! The program in a real terminal, driven by keys and the mouse: tmux holds the terminal, the sandbox
//! tells what arrived. Where there is no tmux, these tests say so and do nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod given_back;
mod mouse;
mod steered;
#[path = "../support/mod.rs"]
mod support;
mod tmux;

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_reelhaul")
}
