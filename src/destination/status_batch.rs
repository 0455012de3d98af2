//! What an account said of many media objects, where it may have answered for some of them only; pure.

use std::ops::ControlFlow;

use super::MediaStatus;
use crate::error::{Error, Kind, Result};

/// How many media objects are asked for by a call each in one batch. Few, so that what they answer is
/// known soon though each call may wait for the call budget, and so that a batch takes no more than a
/// sixth of a budget of 60 calls a minute.
const SINGLE_CALLS: usize = 10;

/// What [`super::Account::status`] learnt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatusBatch {
    /// One for each media object, in the order in which they were asked for. `None`: there is no answer
    /// this time, and it is to be asked for before others next time. An error is of this media object's
    /// call; the account may answer for others.
    pub answers: Vec<Option<Result<MediaStatus>>>,
    /// Why asking ended before all were asked for, where others would have met the same.
    pub failure: Option<Error>,
}

impl From<Vec<MediaStatus>> for StatusBatch {
    /// All were answered.
    fn from(statuses: Vec<MediaStatus>) -> Self {
        Self {
            answers: statuses
                .into_iter()
                .map(|status| Some(Ok(status)))
                .collect(),
            failure: None,
        }
    }
}

impl StatusBatch {
    /// No answer yet for so many media objects.
    #[must_use]
    pub fn unanswered(count: usize) -> Self {
        Self {
            answers: vec![None; count],
            failure: None,
        }
    }

    /// Which of them to ask for by a call each: the first that are not answered, and no more than a few.
    #[must_use]
    pub fn to_ask_singly(&self) -> Vec<usize> {
        let answers = self.answers.iter().enumerate();
        answers
            .filter(|(_, answer)| answer.is_none())
            .map(|(index, _)| index)
            .take(SINGLE_CALLS)
            .collect()
    }

    /// Adds what a call for one of them returned. [`ControlFlow::Break`]: asking ends here, because
    /// others would meet the same failure. What was learnt before stays.
    pub fn add(&mut self, index: usize, status: Result<MediaStatus>) -> ControlFlow<()> {
        let (answer, failure) = match status {
            // It says nothing about this media object.
            Err(error)
                if matches!(
                    error.kind,
                    Kind::Offline | Kind::Throttled | Kind::Credentials | Kind::Certificate
                ) =>
            {
                (None, Some(error))
            }
            Err(error) if !matches!(error.kind, Kind::Server | Kind::Refused | Kind::Forbidden) => {
                (Some(Err(error.clone())), Some(error))
            }
            status => (Some(status), None),
        };
        if let Some(slot) = self.answers.get_mut(index) {
            *slot = answer;
        }
        self.failure = failure;
        if self.failure.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// The statuses that are known.
    pub fn known(&self) -> impl Iterator<Item = &MediaStatus> {
        self.answers.iter().flatten().flatten()
    }

    /// How asking ended.
    ///
    /// # Errors
    /// Why it ended early, or the last failure where there is not one status.
    pub fn outcome(&self) -> Result<(), &Error> {
        if let Some(failure) = &self.failure {
            return Err(failure);
        }
        let mut failures = self
            .answers
            .iter()
            .flatten()
            .filter_map(|a| a.as_ref().err());
        match failures.next_back() {
            Some(failure) if self.known().next().is_none() => Err(failure),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of asking for as many media objects as there are results, until one ends it.
    fn batch(results: Vec<Result<MediaStatus>>) -> StatusBatch {
        let mut batch = StatusBatch::unanswered(results.len());
        for (index, result) in results.into_iter().enumerate() {
            if batch.add(index, result).is_break() {
                break;
            }
        }
        batch
    }

    fn failure(kind: Kind) -> Result<MediaStatus> {
        Err(Error::new(kind, "no"))
    }

    fn kind(batch: &StatusBatch) -> Option<Kind> {
        batch.outcome().err().map(|error| error.kind)
    }

    #[test]
    fn one_that_fails_is_named_and_the_others_are_returned() {
        for failed in [Kind::Server, Kind::Refused] {
            let batch = batch(vec![failure(failed), Ok(MediaStatus::Ready)]);
            assert_eq!(batch.answers[0].as_ref(), Some(&failure(failed)));
            assert_eq!(batch.answers[1], Some(Ok(MediaStatus::Ready)));
            assert_eq!(batch.outcome(), Ok(()));
        }
    }

    #[test]
    fn a_failure_in_the_middle_keeps_what_was_answered_before_it_and_ends_the_asking() {
        for ended in [Kind::Throttled, Kind::Offline, Kind::Credentials] {
            let ready = || Ok(MediaStatus::Ready);
            let batch = batch(vec![ready(), failure(ended), ready()]);
            assert_eq!(batch.answers, [Some(ready()), None, None]);
            assert_eq!(kind(&batch), Some(ended));
        }
    }

    #[test]
    fn a_connection_that_broke_is_of_the_media_object_that_was_asked_for_and_ends_the_asking() {
        let batch = batch(vec![failure(Kind::Broken), Ok(MediaStatus::Ready)]);
        assert_eq!(batch.answers, [Some(failure(Kind::Broken)), None]);
        assert_eq!(kind(&batch), Some(Kind::Broken));
    }

    #[test]
    fn an_account_that_returns_no_status_at_all_has_failed() {
        let nothing = batch(vec![failure(Kind::Refused), failure(Kind::Server)]);
        assert_eq!(kind(&nothing), Some(Kind::Server));
        assert_eq!(kind(&batch(vec![])), None);
        assert_eq!(kind(&StatusBatch::unanswered(3)), None);
    }

    #[test]
    fn few_are_asked_for_singly_and_those_first_that_have_waited_longest() {
        let mut batch = StatusBatch::unanswered(3 * SINGLE_CALLS);
        for listed in [0, 2, 4] {
            assert!(batch.add(listed, Ok(MediaStatus::Ready)).is_continue());
        }
        let to_ask = batch.to_ask_singly();
        assert_eq!(to_ask.len(), SINGLE_CALLS);
        assert_eq!(to_ask[..4], [1, 3, 5, 6]);
    }
}
