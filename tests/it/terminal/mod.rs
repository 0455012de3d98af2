//! The program in a real terminal, driven by keys and the mouse: tmux holds the terminal, the sandbox
//! tells what arrived. Where there is no tmux, these tests say so and do nothing.

mod given_back;
mod mouse;
mod steered;
