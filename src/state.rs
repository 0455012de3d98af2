//! Where an upload stands.

use serde::{Deserialize, Serialize};

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its turn.
    Queued,
    /// The media object is being made, or looked for after a lost answer.
    Creating,
    /// Parts are being sent.
    Uploading,
    /// All parts were acknowledged; the destination is being told so.
    Completing,
    /// The destination works on what it got.
    Processing,
    /// Uploaded and accepted.
    Done,
    /// Held by the person.
    Paused,
    /// Stopped by an error that is not tried again by itself.
    Failed,
    /// The local file is no longer the one that was begun.
    Changed,
    /// Left out, with a reason.
    Skipped,
}

impl State {
    /// All states, in the order of an upload's life.
    pub const ALL: [State; 10] = [
        State::Queued,
        State::Creating,
        State::Uploading,
        State::Completing,
        State::Processing,
        State::Done,
        State::Paused,
        State::Failed,
        State::Changed,
        State::Skipped,
    ];

    /// The word that is shown, logged and saved.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Creating => "creating",
            State::Uploading => "uploading",
            State::Completing => "completing",
            State::Processing => "processing",
            State::Done => "done",
            State::Paused => "paused",
            State::Failed => "failed",
            State::Changed => "changed",
            State::Skipped => "skipped",
        }
    }

    /// Whether nothing more will happen to it by itself.
    #[must_use]
    pub fn settled(self) -> bool {
        matches!(
            self,
            State::Done | State::Paused | State::Failed | State::Changed | State::Skipped
        )
    }
}
