//! `reelhaul report`: what became of each file of a session, and which media object it is now; for
//! people, and for whatever keeps the catalogue of the archive. Reads the session file and changes
//! nothing, also while another process works on it.

use std::{
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::Serialize;

use super::{DONE, Stopped, sessions};
use crate::{
    cli,
    engine::{
        protocol::{State, UploadId},
        record::Upload,
    },
    error::clean,
    ids::MediaId,
    path::shown,
};

/// What stands in the place of a media object that was not made yet.
const NO_MEDIA: &str = "-";

/// What is told of one file.
#[derive(Debug, Serialize)]
struct Reported<'a> {
    id: UploadId,
    #[serde(with = "crate::path::text")]
    path: &'a Path,
    size: u64,
    /// How many bytes of it the destination has.
    acknowledged: u64,
    state: &'static str,
    /// The media object at the destination.
    media: Option<&'a str>,
    queued: Option<Timestamp>,
    begun: Option<Timestamp>,
    done: Option<Timestamp>,
    /// Why it is not done, where that is known.
    reason: Option<String>,
}

impl<'a> Reported<'a> {
    fn new(id: UploadId, upload: &'a Upload) -> Self {
        Self {
            id,
            path: &upload.path,
            size: upload.identity.size,
            acknowledged: upload.acknowledged(),
            state: match (upload.state(), upload.begun()) {
                // It waits for its turn to go on, but its media object is there.
                (State::Queued, Some(_)) => "begun",
                (state, _) => state.word(),
            },
            media: upload.media().map(MediaId::as_str),
            queued: upload.times.queued.known(),
            begun: upload.times.begun.known(),
            done: upload.times.done.known(),
            reason: upload.reason().map(ToString::to_string),
        }
    }

    /// State and media object stand in columns, so that `awk` finds them too.
    fn words(&self) -> String {
        let media = clean(self.media.unwrap_or(NO_MEDIA));
        let reason = match &self.reason {
            Some(reason) => format!(": {}", clean(reason)),
            None => String::new(),
        };
        format!(
            "{:<10}  {media:<24}  {}{reason}",
            self.state,
            shown(self.path)
        )
    }
}

/// Prints a line for each file, in the order of the queue: of the session that is named, else of the
/// one that was changed last.
pub(super) fn report(asked: &cli::Report) -> Result<u8, Stopped> {
    let path = match &asked.session {
        Some(named) => sessions::find(named)?,
        None => newest()?,
    };
    let (_, queue) = sessions::glance(&path)?;
    let mut out = BufWriter::new(io::stdout().lock());
    for id in queue.order() {
        let Some(upload) = queue.get(*id) else {
            continue;
        };
        let reported = Reported::new(*id, upload);
        let line = if asked.json {
            serde_json::to_string(&reported).map_err(Stopped::left)?
        } else {
            reported.words()
        };
        if writeln!(out, "{line}").is_err() {
            // A reader that went away has what it wanted.
            return Ok(DONE);
        }
    }
    drop(out.flush());
    Ok(DONE)
}

fn newest() -> Result<PathBuf, Stopped> {
    let newest = sessions::folder()?.list().into_iter().next();
    newest.ok_or_else(|| Stopped::usage("no session is saved; name the file of one"))
}
