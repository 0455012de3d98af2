//! Whether an account is the one that something was uploaded to. Where an id is made of the account's key,
//! a new key makes another id of the same account: its media objects show that.

use std::{path::Path, sync::Arc, time::Instant};

use super::{Stopped, destinations};
use crate::{
    destination::{Account, MediaStatus},
    engine::{Timing, queue::Queue},
    error::Error,
    ids::MediaId,
    ledger::{self, sqlite::Sqlite},
    settings::Offline,
};

/// How many media objects an account is asked for that may be another one.
pub(super) const NEWEST: usize = 10;

/// Whether an account has one of some media objects.
pub(super) enum Has {
    /// It has.
    One,
    /// It has none of them.
    None,
    /// It did not answer for all.
    Unknown(Option<Error>),
}

/// Asks an account for these media objects.
pub(super) async fn has_one(account: &dyn Account, media: &[MediaId]) -> Has {
    let batch = account.status(media).await;
    if batch.known().any(|status| *status != MediaStatus::Gone) {
        return Has::One;
    }
    match batch.outcome() {
        Err(error) => Has::Unknown(Some(error.clone())),
        Ok(()) if batch.known().count() < media.len() => Has::Unknown(None),
        Ok(()) => Has::None,
    }
}

/// Refuses to resume uploads at another account than the one they were started at, which has none of
/// what was sent.
pub(super) async fn of_session(
    chosen: &destinations::Chosen,
    session: &str,
    queue: &Queue,
) -> Result<(), Stopped> {
    let account = &chosen.account;
    let started = queue.started_elsewhere(account.id(), NEWEST);
    let Some((other, _)) = started.first() else {
        return Ok(());
    };
    let media: Vec<_> = started.iter().map(|(_, media)| media.clone()).collect();
    match has_one(&**account, &media).await {
        // One that is not known may be there.
        Has::One | Has::Unknown(None) => return Ok(()),
        Has::Unknown(Some(error)) if error.kind.retried() => {
            tracing::warn!("whether {other} is the account of this session is not known: {error}");
            return Ok(());
        }
        Has::Unknown(Some(error)) => return Err(destinations::unusable(&error)),
        Has::None => {}
    }
    Err(Stopped::usage(format!(
        "the session {session} was started at the account {other}, and the destination {} is {} now ({}), \
         which has none of its media objects. Nothing was sent. Point {} back at that account, or start \
         another session: reelhaul up",
        chosen.name,
        account.id(),
        account.describe(),
        chosen.name,
    )))
}

/// Opens the ledger in a file for a session, at this account, also where that has another key now.
pub(super) async fn open_ledger(
    file: &Path,
    session: ledger::Session<'_>,
    account: &dyn Account,
    offline: Offline,
) -> Result<Arc<Sqlite>, Stopped> {
    let ledger = ledger::open(file, session, account).map_err(Stopped::usage)?;
    in_ledger(&ledger, account, offline).await?;
    Ok(ledger)
}

/// The same, where an account that does not answer is waited for.
async fn has_one_when_it_answers(
    account: &dyn Account,
    media: &[MediaId],
    offline: Offline,
) -> Has {
    let (begun, mut waits) = (Instant::now(), 0);
    loop {
        let has = has_one(account, media).await;
        let is_away = matches!(&has, Has::Unknown(Some(error)) if error.is_of_host());
        if !is_away || begun.elapsed() >= offline.longest() {
            return has;
        }
        waits += 1;
        let wait = Timing::default().backoff.wait(waits, 1.0);
        let host = account.host();
        tracing::warn!(
            "waiting for {host}, to know whether {} has the uploads of an earlier key",
            account.describe()
        );
        tokio::time::sleep(wait).await;
    }
}

/// Finds the account in the ledger under the key that it had before. Without that, all that is uploaded
/// would be uploaded once more.
async fn in_ledger(
    ledger: &Arc<Sqlite>,
    account: &dyn Account,
    offline: Offline,
) -> Result<(), Stopped> {
    if !account.has_id_of_its_key() {
        return Ok(());
    }
    let others = ledger
        .may_be(account.id(), NEWEST)
        .map_err(Stopped::usage)?;
    for (other, media) in others {
        match has_one_when_it_answers(account, &media, offline).await {
            Has::One => {
                tracing::info!("{} is {other} under a new key", account.describe());
                return ledger.is_account(other).map_err(Stopped::usage);
            }
            Has::None => {}
            Has::Unknown(error) => {
                let why = error.map_or_else(String::new, |error| format!(" ({error})"));
                return Err(Stopped::usage(format!(
                    "{} has a key that is new here, and whether it has the media objects of {other} is \
                     not known{why}. If it is the same account under a new key, all that is uploaded \
                     would be uploaded again; so nothing was started. Try again later",
                    account.describe()
                )));
            }
        }
    }
    Ok(())
}
