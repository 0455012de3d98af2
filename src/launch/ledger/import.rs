//! `reelhaul ledger import`: what saved sessions uploaded, taken into the ledger.

use serde_json::json;

use super::open;
use crate::{
    cli::{self, Global},
    format,
    launch::{
        DONE, LEFT, Stopped, destinations,
        import::{self, Imported},
        load, logs, sessions,
        told::print,
    },
    path::{encode, shown},
};

pub(super) async fn import(global: &Global, asked: cli::Import) -> Result<u8, Stopped> {
    logs::to_stderr(global)?;
    let config = load(global)?;
    let files: Result<Vec<_>, _> = asked.sessions.iter().map(|it| sessions::find(it)).collect();
    let files = files?;
    let chosen = destinations::choose(&config, asked.to.as_deref()).await?;
    let account = chosen.account.check().await;
    account.map_err(|error| destinations::unusable(&error))?;
    let ledger = open(&config.ledger_file()?, &chosen).await?;
    let mut is_left = false;
    for file in files {
        let imported = import::named(&ledger, &file, &chosen).await;
        let imported = imported.map_err(Stopped::usage)?;
        is_left |= imported.why.is_some() || imported.unproven > 0;
        print(&if asked.json {
            let Imported {
                uploads,
                new,
                elsewhere,
                unproven,
                why,
            } = &imported;
            json!({
                "event": "imported",
                "session": encode(&file),
                "uploads": uploads,
                "new": new,
                "elsewhere": elsewhere,
                "unproven": unproven,
                "reason": why,
            })
            .to_string()
        } else {
            format!("{}: {}", shown(&file), in_words(&imported))
        });
    }
    Ok(if is_left { LEFT } else { DONE })
}

fn in_words(imported: &Imported) -> String {
    let mut words = vec![format!(
        "{} taken in, {} known before",
        format::count(imported.new, "upload"),
        format::thousands(imported.uploads - imported.new)
    )];
    if imported.elsewhere > 0 {
        let elsewhere = format::thousands(imported.elsewhere);
        words.push(format!("{elsewhere} at other accounts"));
    }
    if imported.unproven > 0 {
        let unproven = format::thousands(imported.unproven);
        words.push(format!(
            "{unproven} not taken in, since nothing shows that they were made at this account"
        ));
    }
    words.extend(imported.why.clone());
    words.join("; ")
}
