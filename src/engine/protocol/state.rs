//! How many of several uploads stand where, and what they add up to.

use serde::{Deserialize, Serialize};

use crate::state::State;

/// How many uploads are in each state, in the order of [`State::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts([u32; State::ALL.len()]);

impl Counts {
    /// How many are in this state.
    #[must_use]
    pub fn of(&self, state: State) -> usize {
        self.0[state as usize] as usize
    }

    /// Whether nothing goes on by itself, and something is held by the person.
    #[must_use]
    pub fn all_paused(&self) -> bool {
        self.unsettled() == 0 && self.of(State::Paused) > 0
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.iter().map(|count| *count as usize).sum()
    }

    /// How many are neither done nor left out.
    #[must_use]
    pub fn left(&self) -> usize {
        self.total() - self.of(State::Done) - self.of(State::Skipped)
    }

    /// How many something will still happen to by itself.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        State::ALL
            .iter()
            .filter(|state| !state.settled())
            .map(|state| self.of(*state))
            .sum()
    }

    /// Counts one more.
    pub fn add(&mut self, state: State) {
        self.0[state as usize] += 1;
    }

    /// Counts one less.
    pub fn subtract(&mut self, state: State) {
        self.0[state as usize] -= 1;
    }
}

/// What uploads add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// How many are in each state.
    pub counts: Counts,
    /// Bytes of those that are not skipped.
    pub bytes: u64,
    /// Bytes of them that the destination acknowledged.
    pub acknowledged: u64,
}

impl Totals {
    /// The state that is worth knowing of all of them together: what failed first of all, then what
    /// goes on, what is to come, and what is held.
    #[must_use]
    pub fn state(&self) -> State {
        use State::{
            Changed, Completing, Creating, Done, Failed, Paused, Processing, Queued, Skipped,
            Uploading,
        };
        let worth = [
            Failed, Changed, Uploading, Creating, Completing, Processing, Queued, Paused, Done,
        ];
        let there = |state: &State| self.counts.of(*state) > 0;
        worth.into_iter().find(there).unwrap_or(Skipped)
    }
}
