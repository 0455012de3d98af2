//! `reelhaul ledger list`: a line for each path of each upload.

use std::io::{self, BufWriter, Write as _};

use super::{Listed, blocking, filter, in_words};
use crate::{
    cli::{self, Global},
    launch::{DONE, Stopped, load, told::say},
    ledger,
    path::shown,
};

pub(super) async fn list(global: &Global, asked: cli::List) -> Result<u8, Stopped> {
    let config = load(global)?;
    let filter = filter(&config, asked.paths, asked.to).await?;
    let file = config.ledger_file()?;
    let json = asked.json;
    blocking(move || {
        let catalog = ledger::catalog(&file, false).map_err(Stopped::usage)?;
        let Some(mut catalog) = catalog else {
            say(&format!(
                "there is no ledger {} yet; `reelhaul ledger rebuild` makes one from the saved sessions",
                shown(&file)
            ));
            return Ok(DONE);
        };
        let mut out = BufWriter::new(io::stdout().lock());
        let mut is_empty = true;
        let listed = catalog.list(&filter, |entry| {
            is_empty = false;
            let line = if json {
                serde_json::to_string(&Listed::from(entry)).unwrap_or_default()
            } else {
                format!("{}: {}", shown(&entry.path), in_words(&entry))
            };
            // A reader that went away has what it wanted.
            writeln!(out, "{line}").is_ok()
        });
        drop(out.flush());
        listed.map_err(Stopped::usage)?;
        if is_empty && !json {
            say("nothing of that is uploaded, as far as the ledger knows");
        }
        Ok(DONE)
    })
    .await
}
