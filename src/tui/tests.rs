//! Tests of the screen from outside: whole screens, and the loop against an engine made for it.
mod fake;
