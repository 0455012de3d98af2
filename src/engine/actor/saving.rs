//! The session saved: appended to while it runs, rewritten when it is opened and at a clean end.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Actor;
use crate::{
    engine::protocol::Outcome,
    session::{Header, folder::Open},
};

/// How long a save that was asked for is waited for before it is said that it goes on.
const SAVE_WAIT: Duration = Duration::from_secs(5);

impl Actor {
    /// Appends to the session what is on disk soon.
    pub(super) fn append(&mut self, text: String) {
        self.session.store.append(text);
    }

    /// Answers when all that was appended before is on disk.
    pub(super) fn save(&self, answer: oneshot::Sender<Outcome>) {
        let saving = self.session.store.save();
        let uploads = self.queue.len();
        tokio::spawn(async move {
            let outcome = match saving.within(SAVE_WAIT).await {
                Ok(()) => Outcome::new(uploads, "saved"),
                Err(words) => Outcome::refused(words),
            };
            let _ = answer.send(outcome);
        });
    }

    /// Rewrites the session's file where that makes it shorter, on a thread that may block: a million
    /// uploads take a second. The file goes on as it is where that fails.
    pub(super) async fn rewrite(mut self) -> Self {
        if !self.session.store.has_log() {
            return self;
        }
        let rewriting = tokio::task::spawn_blocking(move || {
            let Open { store, header, .. } = &mut self.session;
            let header = Header {
                settings: self.settings.clone(),
                ..header.clone()
            };
            if let Err(error) = store.rewrite(|out| self.queue.write_session(&header, out)) {
                tracing::warn!(
                    "the session file can't be rewritten, and goes on as it is: {error}"
                );
            }
            self
        });
        match rewriting.await {
            Ok(actor) => actor,
            // It is cancelled only with the runtime, and so is this.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
