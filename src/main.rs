//! Chooses a mode and turns its result into an exit code.
fn main() {}
