//! What went wrong lately, with which upload: for those who look at one. Bounded for the whole session,
//! since a million uploads may fail.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::protocol::{Incident, UploadId};
use crate::{error::Error, plan::PartNumber};

/// How many incidents are kept.
const KEPT: usize = 1000;
/// How many of one upload are told.
const TOLD: usize = 50;

/// The last incidents, oldest first.
#[derive(Debug, Default)]
pub(super) struct Incidents(VecDeque<(UploadId, Incident)>);

impl Incidents {
    /// A part, or a step of the whole upload, failed at its `attempt`th try.
    pub(super) fn note(
        &mut self,
        upload: UploadId,
        part: Option<PartNumber>,
        attempt: u32,
        error: &Error,
    ) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        let incident = Incident {
            at: Timestamp::now(),
            part,
            attempt,
            message: error.message.clone(),
        };
        self.0.push_back((upload, incident));
    }

    /// The last of this upload, newest first.
    pub(super) fn of(&self, upload: UploadId) -> Vec<Incident> {
        let of = self.0.iter().rev().filter(|(id, _)| *id == upload);
        of.take(TOLD)
            .map(|(_, incident)| incident.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_last_incidents_of_an_upload_are_told_newest_first_and_old_ones_forgotten() {
        let mut incidents = Incidents::default();
        let error = Error::new(Kind::Broken, "it broke");
        incidents.note(7, Some(1), 1, &error);
        for attempt in 1..=998 {
            incidents.note(8, None, attempt, &error);
        }
        incidents.note(7, Some(1), 2, &error);
        let attempts = |incidents: &Incidents| {
            let of = incidents.of(7).into_iter();
            of.map(|incident| incident.attempt).collect::<Vec<_>>()
        };
        assert_eq!(attempts(&incidents), [2, 1]);
        incidents.note(8, None, 999, &error);
        assert_eq!(attempts(&incidents), [2]);
    }
}
