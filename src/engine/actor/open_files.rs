//! The files that this process may have open: as many parts at once as fit, and fewer for a while where
//! even those found no room.

use std::time::Duration;

use tokio::time::Instant;

use super::Actor;
use crate::engine::OpenFiles;

/// For how long fewer parts go out after one found no room. What takes it may be another program.
const FEWER_FOR: Duration = Duration::from_secs(10);

/// What there is to know of open files.
#[derive(Debug)]
pub(super) struct FileRoom {
    /// How many there may be.
    open_files: OpenFiles,
    /// How many parts go out at once until then, because more found no room.
    fewer: Option<(u16, Instant)>,
    /// What was said last of a number of parts that does not fit.
    said: Option<String>,
}

impl FileRoom {
    pub(super) fn new(open_files: OpenFiles) -> Self {
        Self {
            open_files,
            fewer: None,
            said: None,
        }
    }

    /// When as many parts may go out again as before.
    pub(super) fn due(&self) -> Option<Instant> {
        self.fewer.map(|(_, until)| until)
    }
}

impl Actor {
    /// The most parts at once that there is room for.
    pub(super) fn most_parts(&self) -> u16 {
        let FileRoom {
            open_files, fewer, ..
        } = self.file_room;
        let fits = open_files.most_parts(self.settings.files_in_flight);
        let now = Instant::now();
        let fewer = fewer.filter(|(_, until)| *until > now);
        fewer.map_or(fits, |(fewer, _)| fewer.min(fits))
    }

    /// Whether it is open files that keep the number of parts at once low.
    pub(super) fn is_short_of_open_files(&self) -> bool {
        let fixed = self.settings.parts_in_flight.fixed();
        fixed.unwrap_or_else(|| self.tuner.limit()) > self.most_parts()
    }

    /// Says, once, that as many parts as were asked for do not fit.
    pub(super) fn say_what_does_not_fit(&mut self) {
        let wish = self.settings.parts_in_flight.bound();
        let uploads = self.settings.files_in_flight;
        let words = self.file_room.open_files.not_as_wished(wish, uploads);
        if let Some(words) = words.as_deref().filter(|_| words != self.file_room.said) {
            tracing::warn!("{words}");
        }
        self.file_room.said = words;
    }

    /// There was no room for another part or call: no more than are in flight go out for a while.
    pub(super) fn is_crowded(&mut self) {
        let in_flight = u16::try_from(self.flights.len()).unwrap_or(u16::MAX);
        let fewer = in_flight.saturating_sub(1).max(1);
        let now = Instant::now();
        if self.file_room.due().is_none_or(|until| until <= now) {
            tracing::warn!(
                "too many files are open on this machine: {} at once for {} s",
                crate::format::count(usize::from(fewer), "part"),
                FEWER_FOR.as_secs()
            );
        }
        self.file_room.fewer = Some((fewer, now + FEWER_FOR));
    }
}
