//! What an account forbids (403): whether that is the key's fault, or this upload's alone.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

use crate::{
    destination::Account,
    error::{Error, Kind},
};

/// For how long a key that was good is believed to be.
const BELIEVED: Duration = Duration::from_mins(1);

/// Whether the key is good, as far as it was asked for.
#[derive(Debug, Default)]
pub struct KeyCheck {
    /// When it was, last. Held while it is asked for: many may be forbidden something at once.
    good: Mutex<Option<Instant>>,
}

impl KeyCheck {
    /// What an error means: one that says that something is forbidden is the key's, where the account
    /// refuses that altogether.
    pub(super) async fn explain(&self, account: &dyn Account, error: Error) -> Error {
        if error.kind != Kind::Forbidden {
            return error;
        }
        let mut good = self.good.lock().await;
        if good.is_some_and(|at| at.elapsed() < BELIEVED) {
            return error;
        }
        match account.check().await {
            Ok(_) => {
                *good = Some(Instant::now());
                error
            }
            Err(instead) => instead,
        }
    }
}
