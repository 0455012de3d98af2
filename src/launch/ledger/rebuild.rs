//! `reelhaul ledger rebuild`: the ledger made anew from the saved sessions.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    path::Path,
};

use serde_json::json;

use super::{blocking, event, in_words, open};
use crate::{
    cli::{self, Global},
    config::Config,
    format,
    ids::AccountId,
    launch::{
        DONE, Stopped,
        destinations::{self, Chosen},
        import, load, logs, sessions,
        told::{print, say},
    },
    ledger,
    ledger::{
        ObjectState,
        sqlite::{
            anew::Anew,
            catalog::{Entry, Filter},
        },
    },
    path::{encode, shown},
    session::folder::new_owner,
};

pub(super) async fn rebuild(global: &Global, asked: cli::Rebuild) -> Result<u8, Stopped> {
    logs::to_stderr(global)?;
    let config = load(global)?;
    let all = choose(&config, asked.to.as_deref()).await?;
    let file = config.ledger_file()?;
    let in_file = file.clone();
    let anew = blocking(move || {
        let owner = new_owner(&mut fastrand::Rng::new());
        ledger::begin_anew(&in_file, &owner).map_err(Stopped::usage)
    });
    let anew = anew.await?;
    let (mut uploads, json) = (0, asked.json);
    for chosen in &all {
        let ledger = open(&file, chosen).await?;
        let imported = import::sessions(&ledger, sessions::folder()?.list(), chosen).await;
        let imported = imported.map_err(Stopped::left)?;
        uploads += imported.iter().map(|one| one.new).sum::<usize>();
    }
    let accounts: Vec<_> = all.iter().map(|it| it.account.id().clone()).collect();
    let old = anew.old.clone();
    let lost = blocking(move || match old {
        Some(old) => say_what_is_lost(&file, &old, &accounts, json),
        None => Ok(Some(0)),
    });
    let lost = lost.await?;
    print(&if json {
        json!({
            "event": "rebuilt",
            "uploads": uploads,
            "old": anew.old.as_deref().map(encode),
            "forgotten": anew.forgotten,
            "lost": lost,
        })
        .to_string()
    } else {
        summary(uploads, &anew, lost)
    });
    Ok(DONE)
}

/// The destination that was named, else all that can be used: what was uploaded to the others is taken in
/// when they are used again.
async fn choose(config: &Config, to: Option<&str>) -> Result<Vec<Chosen>, Stopped> {
    if let Some(name) = to {
        return Ok(vec![destinations::choose(config, Some(name)).await?]);
    }
    let mut all = Vec::new();
    for name in config.destinations.keys() {
        match destinations::choose(config, Some(name)).await {
            Ok(chosen) => all.push(chosen),
            Err(stopped) => say(&format!(
                "what was uploaded to {name} is taken in when it is next used: {}",
                stopped.words
            )),
        }
    }
    Ok(all)
}

/// Says which names of uploads at these accounts the old ledger had and the new one has not; returns how
/// many, `None` where the old one can't be read.
fn say_what_is_lost(
    file: &Path,
    old: &Path,
    accounts: &[AccountId],
    json: bool,
) -> Result<Option<usize>, Stopped> {
    let hasher = RandomState::new();
    let hash = |entry: &Entry| hasher.hash_one((&entry.account, &entry.media, &entry.path));
    let all = Filter::default();
    let mut known = HashSet::new();
    if let Some(mut new) = ledger::catalog(file, false).map_err(Stopped::left)? {
        let listed = new.list(&all, |entry| {
            known.insert(hash(&entry));
            true
        });
        listed.map_err(Stopped::left)?;
    }
    let Ok(Some(mut old)) = ledger::catalog(old, false) else {
        return Ok(None);
    };
    let mut lost = 0;
    let listed = old.list(&all, |entry| {
        let is_lost = entry.state == ObjectState::Accepted
            && accounts.contains(&entry.account)
            && !known.contains(&hash(&entry));
        if is_lost {
            lost += 1;
            print(&if json {
                event("lost", entry, None)
            } else {
                let words = in_words(&entry);
                format!("{}: no longer known, {words}", shown(&entry.path))
            });
        }
        true
    });
    Ok(listed.is_ok().then_some(lost))
}

fn summary(uploads: usize, anew: &Anew, lost: Option<usize>) -> String {
    let uploads = format::count(uploads, "upload");
    let mut words = vec![format!(
        "the ledger is made anew from the saved sessions: {uploads}"
    )];
    words.extend(anew.old.as_ref().map(|old| {
        format!(
            "the old one is kept as {}, and used again when it is moved back",
            shown(old)
        )
    }));
    match (anew.forgotten, lost) {
        (Some(_), Some(0)) => {}
        (Some(_), Some(lost)) => words.push(format!(
            "{} no longer known, since no saved session has them: they are uploaded again",
            match lost {
                1 => "1 file is".to_owned(),
                lost => format!("{} files are", format::thousands(lost)),
            }
        )),
        _ => words.push(
            "the old one can't be read: what was uploaded by sessions that are no longer saved is not \
             known, and what `reelhaul ledger forget` had it forget counts as uploaded again"
                .to_owned(),
        ),
    }
    words.push(
        "a file that was renamed, moved or copied since it was uploaded is uploaded again, unless it is seen \
         by its old path first"
            .to_owned(),
    );
    words.join("; ")
}
