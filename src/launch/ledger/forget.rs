//! `reelhaul ledger forget`: files that count as not uploaded from now on.

use super::{blocking, event, filter};
use crate::{
    cli::{self, Global},
    error::clean,
    format,
    launch::{
        DONE, LEFT, Stopped, load,
        told::{ask, can_ask, print},
    },
    ledger,
    ledger::sqlite::catalog::{Entry, Forgotten},
    path::shown,
};

/// How many objects are forgotten in one go: sessions that run wait as long.
const IN_ONE_GO: usize = 1000;

pub(super) async fn forget(global: &Global, asked: cli::Forget) -> Result<u8, Stopped> {
    let config = load(global)?;
    let filter = filter(&config, asked.paths, asked.to).await?;
    let file = config.ledger_file()?;
    blocking(move || {
        let nothing = || Stopped::left("nothing of that is uploaded, as far as the ledger knows");
        let catalog = ledger::catalog(&file, true).map_err(Stopped::usage)?;
        let mut catalog = catalog.ok_or_else(nothing)?;
        let found = catalog.find(&filter).map_err(Stopped::usage)?;
        if found.objects.is_empty() {
            return Err(nothing());
        }
        if found.below > 1 && !asked.yes && !agrees(found.below)? {
            return Err(Stopped::left("nothing is forgotten"));
        }
        let mut is_left = false;
        for objects in found.objects.chunks(IN_ONE_GO) {
            let done = catalog.forget(&filter, objects).map_err(Stopped::left)?;
            for (entry, outcome) in done {
                is_left |= matches!(outcome, Forgotten::Held(_));
                print(&if asked.json {
                    in_json(entry, &outcome)
                } else {
                    in_words(&entry, &outcome)
                });
            }
        }
        Ok(if is_left { LEFT } else { DONE })
    })
    .await
}

/// Asks the person whether so many uploads are meant.
fn agrees(count: usize) -> Result<bool, Stopped> {
    let uploads = format::count(count, "upload");
    if !can_ask() {
        return Err(Stopped::usage(format!(
            "this forgets {uploads}; say --yes to do it. Nothing is forgotten"
        )));
    }
    Ok(ask(&format!(
        "forget {uploads}? The next `reelhaul up` sends these files again. Nothing is deleted at the \
         account. [y/N] "
    )))
}

fn in_json(entry: Entry, outcome: &Forgotten) -> String {
    match outcome {
        Forgotten::Object => event("forgotten", entry, None),
        Forgotten::Name(other) => event("forgotten", entry, Some(other)),
        Forgotten::Held(_) => event("left", entry, None),
    }
}

fn in_words(entry: &Entry, outcome: &Forgotten) -> String {
    let path = shown(&entry.path);
    let account = clean(&entry.account.in_words());
    let media = entry.media.as_ref().map(|media| clean(media.as_str()));
    match outcome {
        Forgotten::Object => {
            let stays = media.map_or_else(String::new, |media| {
                format!("; the media object {media} stays at {account}")
            });
            format!("{path}: forgotten{stays}")
        }
        Forgotten::Name(other) => {
            let media = media.map_or_else(String::new, |media| format!(" as {media}"));
            let other = shown(other);
            format!(
                "{path}: forgotten, but also known as {other}, uploaded{media} to {account}: forget \
                 that too to upload it again"
            )
        }
        Forgotten::Held(session) => {
            format!(
                "{path}: left, since session {} is uploading it",
                clean(session)
            )
        }
    }
}
