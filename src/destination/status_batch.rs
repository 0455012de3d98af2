//! Statuses that are asked for one after another, gathered: one that can't be had now must not hold
//! the others back; pure.

use super::MediaStatus;
use crate::error::{Error, Kind, Result};

/// The statuses so far, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(super) struct StatusBatch {
    statuses: Vec<MediaStatus>,
    failed: usize,
    failure: Option<Error>,
}

impl StatusBatch {
    /// Adds the result for one more media object.
    ///
    /// # Errors
    /// The failure, where it is not this one media object's: asking for others would meet it too.
    pub(super) fn add(&mut self, status: Result<MediaStatus>) -> Result<()> {
        let status = status.or_else(|error| match error.kind {
            Kind::Server | Kind::Refused => {
                self.failed += 1;
                let unknown = MediaStatus::Processing("status unknown".to_owned());
                self.failure = Some(error);
                Ok(unknown)
            }
            _ => Err(error),
        })?;
        self.statuses.push(status);
        Ok(())
    }

    /// All of them.
    ///
    /// # Errors
    /// The last failure, where there is not one status.
    pub(super) fn all(self) -> Result<Vec<MediaStatus>> {
        match self.failure {
            Some(failure) if self.failed == self.statuses.len() => Err(failure),
            _ => Ok(self.statuses),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(results: Vec<Result<MediaStatus>>) -> Result<Vec<MediaStatus>> {
        let mut batch = StatusBatch::default();
        results
            .into_iter()
            .try_for_each(|status| batch.add(status))?;
        batch.all()
    }

    fn failure(kind: Kind) -> Result<MediaStatus> {
        Err(Error::new(kind, "no"))
    }

    #[test]
    fn one_that_fails_is_asked_for_again_later_and_the_others_are_returned() {
        let all = all(vec![failure(Kind::Server), Ok(MediaStatus::Ready)]).unwrap();
        assert!(matches!(all[0], MediaStatus::Processing(_)));
        assert_eq!(all[1], MediaStatus::Ready);
    }

    #[test]
    fn a_server_that_returns_no_status_and_a_network_that_is_down_are_failures() {
        let nothing = all(vec![failure(Kind::Refused), failure(Kind::Server)]);
        assert_eq!(nothing.unwrap_err().kind, Kind::Server);
        let down = all(vec![Ok(MediaStatus::Ready), failure(Kind::Offline)]);
        assert_eq!(down.unwrap_err().kind, Kind::Offline);
        assert_eq!(all(vec![]).unwrap(), []);
    }
}
