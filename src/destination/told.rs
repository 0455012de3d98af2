//! Statuses that are asked for one after another, gathered: one that can't be told must not keep the
//! others from being told; pure.

use super::MediaStatus;
use crate::error::{Error, Kind, Result};

/// What was told so far, in the order in which it was asked.
#[derive(Debug, Default)]
pub(super) struct Told {
    statuses: Vec<MediaStatus>,
    failed: usize,
    failure: Option<Error>,
}

impl Told {
    /// Adds what came of asking for one more.
    ///
    /// # Errors
    /// The failure, where it is not this one media object's: asking for others would meet it too.
    pub(super) fn add(&mut self, status: Result<MediaStatus>) -> Result<()> {
        let status = status.or_else(|error| match error.kind {
            Kind::Server | Kind::Refused => {
                self.failed += 1;
                let unknown = MediaStatus::Processing("not told now".to_owned());
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
    /// The last failure, where not one was told.
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

    fn told(all: Vec<Result<MediaStatus>>) -> Result<Vec<MediaStatus>> {
        let mut told = Told::default();
        all.into_iter().try_for_each(|status| told.add(status))?;
        told.all()
    }

    fn failure(kind: Kind) -> Result<MediaStatus> {
        Err(Error::new(kind, "no"))
    }

    #[test]
    fn one_that_is_not_told_is_asked_again_later_and_the_others_are_told() {
        let all = told(vec![failure(Kind::Server), Ok(MediaStatus::Ready)]).unwrap();
        assert!(matches!(all[0], MediaStatus::Processing(_)));
        assert_eq!(all[1], MediaStatus::Ready);
    }

    #[test]
    fn a_server_that_tells_nothing_and_a_line_that_is_down_are_failures() {
        let nothing = told(vec![failure(Kind::Refused), failure(Kind::Server)]);
        assert_eq!(nothing.unwrap_err().kind, Kind::Server);
        let down = told(vec![Ok(MediaStatus::Ready), failure(Kind::Offline)]);
        assert_eq!(down.unwrap_err().kind, Kind::Offline);
        assert_eq!(told(vec![]).unwrap(), []);
    }
}
