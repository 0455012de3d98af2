//! Which permit is granted next; pure. A decision looks at the uploads that have a place alone, never
//! at the length of the queue.

use super::{protocol::UploadId, upload::Need};

/// How much may be in progress, and how much is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many parts may be in flight.
    pub parts: usize,
    /// How many are.
    pub parts_in_flight: usize,
    /// How many uploads may have a place.
    pub files: usize,
    /// How many have one.
    pub files_active: usize,
    /// Whether the API may be called.
    pub calls: bool,
}

/// An upload that waits for a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub upload: UploadId,
    /// What the permit is for.
    pub need: Need,
    /// How many parts of it are in flight.
    pub in_flight: usize,
}

/// What to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The first upload of the queue gets a place.
    Upload,
    /// This upload gets the permit that it waits for.
    Grant(UploadId),
}

/// The next thing to start, if there is room for one. `waiting` has the uploads in the order in which
/// they got their places; `is_queued` says whether another one waits for a place.
///
/// Of the uploads that wait for a part, the one with the fewest parts in flight comes first, so that
/// a small file is not starved by a large one.
#[must_use]
pub fn next(waiting: &[Waiting], room: Room, is_queued: impl FnOnce() -> bool) -> Option<Start> {
    if room.calls {
        if let Some(first) = waiting
            .iter()
            .find(|waiting| matches!(waiting.need, Need::Call(_)))
        {
            return Some(Start::Grant(first.upload));
        }
        if room.files_active < room.files && is_queued() {
            return Some(Start::Upload);
        }
    }
    if room.parts_in_flight >= room.parts {
        return None;
    }
    let may_send = |waiting: &&Waiting| match waiting.need {
        Need::Call(_) => false,
        // One part asks the API, for all of its upload.
        Need::Part { asks_api } => !asks_api || room.calls,
    };
    let waiting = waiting.iter().filter(may_send);
    let fewest = waiting.min_by_key(|waiting| waiting.in_flight)?;
    Some(Start::Grant(fewest.upload))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::error::CallClass;

    const PART: Need = Need::Part { asks_api: false };

    /// One of the uploads that are played.
    struct Playing {
        id: UploadId,
        left: u64,
        in_flight: usize,
    }

    /// Uploads of so many parts each, played until all are sent: parts end in the order in which they
    /// began. Returns for each part that ended, in turn, whose it was.
    fn play(files: &[u64], room: Room) -> Vec<UploadId> {
        let mut queued: VecDeque<(UploadId, u64)> = (1..).zip(files.iter().copied()).collect();
        let mut active: Vec<Playing> = Vec::new();
        let mut flying: VecDeque<UploadId> = VecDeque::new();
        let mut ended = Vec::new();
        loop {
            let wants = active.iter().filter(|it| it.left > 0);
            let waiting: Vec<Waiting> = wants
                .map(|it| Waiting {
                    upload: it.id,
                    need: PART,
                    in_flight: it.in_flight,
                })
                .collect();
            let room = Room {
                parts_in_flight: flying.len(),
                files_active: active.len(),
                ..room
            };
            match next(&waiting, room, || !queued.is_empty()) {
                Some(Start::Upload) => {
                    let (id, left) = queued.pop_front().unwrap();
                    active.push(Playing {
                        id,
                        left,
                        in_flight: 0,
                    });
                }
                Some(Start::Grant(id)) => {
                    let upload = active.iter_mut().find(|it| it.id == id).unwrap();
                    upload.left -= 1;
                    upload.in_flight += 1;
                    flying.push_back(id);
                    assert!(flying.len() <= room.parts);
                    assert!(active.len() <= room.files);
                }
                None => {
                    let Some(id) = flying.pop_front() else {
                        return ended;
                    };
                    let upload = active.iter_mut().find(|it| it.id == id).unwrap();
                    upload.in_flight -= 1;
                    active.retain(|it| it.left > 0 || it.in_flight > 0);
                    ended.push(id);
                }
            }
        }
    }

    fn room(parts: usize, files: usize) -> Room {
        Room {
            parts,
            parts_in_flight: 0,
            files,
            files_active: 0,
            calls: true,
        }
    }

    #[test]
    fn small_files_are_not_starved_by_a_large_one() {
        // 25 GB in parts of 5 MB, and behind it 50 files of 3 parts.
        let files: Vec<u64> = [5000].into_iter().chain([3; 50]).collect();
        let ended = play(&files, room(8, 2));
        assert_eq!(ended.len(), 5150, "every part is sent once");
        let last_small = ended.iter().rposition(|id| *id != 1).unwrap();
        let of_the_large = last_small + 1 - 150;
        // A file of 3 parts takes 3 of the 8 places.
        assert!(
            of_the_large <= 150 * 8 / 3,
            "{of_the_large} parts of the large file went before the last small one"
        );
        // Nor does the large one wait for them: it keeps half of what may go at once.
        let shares = ended[8..last_small].chunks_exact(20);
        for share in shares {
            assert!(share.iter().filter(|id| **id == 1).count() >= 8);
        }
    }

    #[test]
    fn files_under_way_share_the_parts_evenly() {
        let ended = play(&[100, 100, 100], room(6, 3));
        for share in ended[6..240].chunks_exact(6) {
            for id in 1..=3 {
                assert_eq!(share.iter().filter(|other| **other == id).count(), 2);
            }
        }
    }

    #[test]
    fn nothing_that_calls_the_api_is_granted_while_it_may_not_be_called() {
        let waiting = |upload, need| Waiting {
            upload,
            need,
            in_flight: 0,
        };
        let wants = [
            waiting(1, Need::Call(CallClass::Write)),
            waiting(2, Need::Part { asks_api: true }),
            waiting(3, PART),
        ];
        let closed = Room {
            calls: false,
            ..room(4, 4)
        };
        assert_eq!(next(&wants, closed, || true), Some(Start::Grant(3)));
        assert_eq!(next(&wants[..2], closed, || true), None);
        assert_eq!(next(&wants, room(4, 4), || true), Some(Start::Grant(1)));
        assert_eq!(next(&wants[1..], room(4, 4), || true), Some(Start::Upload));
        assert_eq!(
            next(&wants[1..], room(4, 4), || false),
            Some(Start::Grant(2))
        );
    }

    #[test]
    fn a_lowered_limit_starts_nothing_until_enough_parts_have_ended() {
        let wants = [Waiting {
            upload: 1,
            need: PART,
            in_flight: 3,
        }];
        let lowered = |in_flight| Room {
            parts_in_flight: in_flight,
            files_active: 1,
            ..room(2, 1)
        };
        for in_flight in [3, 2] {
            assert_eq!(next(&wants, lowered(in_flight), || false), None);
        }
        assert_eq!(next(&wants, lowered(1), || false), Some(Start::Grant(1)));
    }
}
