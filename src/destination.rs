//! What a place to upload to can do, and its limits: the one trait the engine knows; nothing here
//! knows a vendor.
//!
//! A destination is stateless from the outside: everything needed to go on with an upload next week
//! is in its [`Ticket`], which the session keeps. What an implementation caches (links, access
//! tokens) it can get again.

pub mod apivideo;
pub mod http;
pub mod jwplayer;
mod metadata;
mod pace;
mod told;

use std::{fmt, num::NonZeroU64, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    body::PartBody,
    error::Result,
    plan::{Part, PartNumber, PartPlan},
    settings::PartSize,
};

pub use metadata::in_words;

/// An MD5, as receipts carry it.
pub type Md5 = [u8; 16];

/// What a destination gave for an upload. Everything in it may be a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The media object's id; this one may be shown.
    pub media: String,
    /// The upload's id, where it differs from the media's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
    /// The token that the upload's calls are authorised with, or the one link of a direct upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How the destination said it wants the bytes; only the destination that wrote it reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

impl fmt::Debug for Ticket {
    /// Shows the media id alone: the rest lets its holder write to the account.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("media", &self.media)
            .finish_non_exhaustive()
    }
}

/// What a create is told of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMedia {
    /// The id of ours by which a create whose answer was lost is found again.
    pub marker: String,
    /// The title.
    pub title: String,
    /// The file's name as the destination may see it.
    pub file_name: String,
    /// The media type, such as `video/mp4`.
    pub mime: String,
    /// The file's size in bytes.
    pub size: u64,
    /// How many parts it will be sent in, as far as is known now.
    pub parts: u32,
}

/// What the destination answered for a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// The MD5 the destination says it has, where it says so. The engine holds it against the MD5
    /// taken on the way.
    pub md5: Option<Md5>,
}

/// A part the destination says it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedPart {
    /// Its number in the plan.
    pub number: u32,
    /// Its MD5, where the destination tells.
    pub md5: Option<Md5>,
}

/// Why bytes that are there do not count: [`Received::Unproven`], and no receipt of ours.
pub const UNPROVEN: &str = "the destination has bytes for this file, and nothing tells whether they \
                            are the right ones: the answer to them was never seen";

/// What the destination says it has of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// These parts of the plan, in any order; maybe none.
    Parts(Vec<ReceivedPart>),
    /// All of it: the upload is complete there.
    Complete,
    /// It took some bytes for the whole file, and tells no checksum of them: whether they are the
    /// file's, only an answer that was seen can say.
    Unproven,
    /// Bytes that are no part of this plan (cut differently, or from elsewhere). Going on would
    /// mix two slicings; the words say what was found.
    Foreign(String),
}

/// What became of a media object after its upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaStatus {
    /// The destination still works on it; in its own word.
    Processing(String),
    /// It can be played.
    Ready,
    /// The destination could not use it; in its own words.
    Failed(String),
    /// There is no such media object.
    Gone,
}

/// What a destination allows. Numbers are settings with the vendors' documented defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The smallest part in bytes (the last of an upload may be smaller).
    pub part_min: u64,
    /// The largest part in bytes.
    pub part_max: u64,
    /// The part size that is used where nothing speaks for another, in bytes.
    pub part_default: u64,
    /// The most parts of one upload.
    pub parts_max: u32,
    /// The largest file in bytes.
    pub file_max: u64,
    /// Whether the tail of an upload may be cut anew once parts of it were sent.
    pub recut: bool,
    /// How many parts a minute the destination takes, where it counts them.
    pub parts_a_minute: Option<u32>,
}

/// What was seen of the line, for choosing a part size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineSeen {
    /// Bytes a second over all parts in flight.
    pub rate: u64,
    /// How many parts that were, at least 1.
    pub parts: u16,
}

/// How long a part should take: long enough that requests cost little, short enough that a failure
/// does. In seconds.
const PART_SECONDS: u64 = 15;

impl Limits {
    /// The part size for a file, within the limits and large enough that the file needs no more than
    /// `parts_left` parts (rounded up to a whole MiB). With [`PartSize::Auto`]: the default while
    /// nothing is known of the line, then what a part gets through in a quarter of a minute, but
    /// never so large that a file has fewer parts than go out at once, nor so small that the parts a
    /// minute which the destination takes become the limit.
    fn part_size(
        &self,
        wish: PartSize,
        file_size: u64,
        parts_left: u32,
        line: Option<LineSeen>,
    ) -> NonZeroU64 {
        const MIB: u64 = 1 << 20;
        let wished = match (wish, line) {
            (PartSize::Fixed(size), _) => size.get(),
            (PartSize::Auto, None) => self.part_default,
            (PartSize::Auto, Some(line)) => {
                let parts = u64::from(line.parts.max(1));
                let steady = (line.rate / parts).saturating_mul(PART_SECONDS);
                let spread = (file_size / (2 * parts)).max(self.part_default);
                let size = steady.min(spread).max(self.counted(line.rate));
                let size = size.min(self.part_max);
                size.next_multiple_of(MIB)
            }
        };
        let needed = file_size
            .div_ceil(u64::from(parts_left.max(1)))
            .next_multiple_of(MIB);
        let size = wished
            .clamp(self.part_min, self.part_max)
            .max(needed.min(self.part_max));
        NonZeroU64::new(size).unwrap_or(NonZeroU64::MIN)
    }

    /// The smallest part with which the parts a minute that the destination takes are not the limit
    /// at this rate; four fifths of them, so that retries have room.
    fn counted(&self, rate: u64) -> u64 {
        self.parts_a_minute
            .map_or(0, |most| rate.saturating_mul(75) / u64::from(most.max(1)))
    }

    /// How a whole file of `file_size` bytes is cut, when `at_once` parts go out at once.
    #[must_use]
    pub fn plan(
        &self,
        wish: PartSize,
        file_size: u64,
        at_once: u16,
        line: Option<LineSeen>,
    ) -> PartPlan {
        let size = self.part_size(wish, file_size, self.parts_max, line);
        let plan = PartPlan::cut(file_size, size);
        match wish {
            PartSize::Fixed(_) => plan,
            PartSize::Auto => self.taper(plan, 1, at_once, line),
        }
    }

    /// The same plan with everything from part `from` on cut anew.
    #[must_use]
    pub fn recut(
        &self,
        plan: &PartPlan,
        from: PartNumber,
        wish: PartSize,
        at_once: u16,
        line: Option<LineSeen>,
    ) -> PartPlan {
        let Some(first) = plan.part(from) else {
            return plan.clone();
        };
        let tail = plan.file_size() - first.offset;
        let left = self.parts_max.saturating_sub(from - 1);
        let plan = plan.recut(from, self.part_size(wish, tail, left, line));
        match wish {
            PartSize::Fixed(_) => plan,
            PartSize::Auto => self.taper(plan, from, at_once, line),
        }
    }

    /// Makes the parts that go out last, from `from` on at the earliest, a quarter as large: they
    /// end apart by about as long as one of them takes, and meanwhile the line is not full.
    fn taper(
        &self,
        plan: PartPlan,
        from: PartNumber,
        at_once: u16,
        line: Option<LineSeen>,
    ) -> PartPlan {
        let parts = plan.count().saturating_sub(from - 1);
        let last = u32::from(at_once).min(parts / 2);
        let first = plan.count() - last + 1;
        let Some(size) = plan.part(first).map(|part| part.length) else {
            return plan;
        };
        let counted = line.map_or(0, |line| self.counted(line.rate));
        let small = (size / 4).max(counted).max(self.part_min);
        match NonZeroU64::new(small) {
            Some(small) if small.get() < size => {
                let tapered = plan.recut(first, small);
                if tapered.count() <= self.parts_max {
                    tapered
                } else {
                    plan
                }
            }
            _ => plan,
        }
    }
}

/// Something of the destination's that holds everything back for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldUp {
    /// How long it still lasts.
    pub left: Duration,
    /// Why, in words: `"60 API calls a minute"`.
    pub why: String,
}

/// A place to upload to. Every method is one step of an upload; each may make several requests
/// (a page each, a token refresh), and none tries a failed step again by itself: that is the
/// engine's.
#[async_trait]
pub trait Destination: Send + Sync + fmt::Debug {
    /// Where it is, for people: `"JW Player site AbCd1234"`. No secrets.
    fn describe(&self) -> String;

    /// What it allows.
    fn limits(&self) -> &Limits;

    /// Asks whether the credentials work, with as few calls as can be; answers in words.
    ///
    /// # Errors
    /// What the destination refused, or why it could not be reached.
    async fn check(&self) -> Result<String>;

    /// Finds what a create with this marker made whose answer was lost. A media object that is
    /// found but can't be gone on with is removed first, so that `None` always means: create it.
    ///
    /// # Errors
    /// When the destination can't tell; then nothing may be created.
    async fn recover(&self, marker: &str) -> Result<Option<Ticket>>;

    /// What [`Self::create`] tells of a file, in the destination's words.
    fn metadata(&self, media: &NewMedia) -> Map<String, Value>;

    /// Where a person can look at a media object: the vendor's page for it, else its address in the
    /// API. No secrets.
    fn address(&self, media: &str) -> Option<String>;

    /// Makes the media object.
    ///
    /// # Errors
    /// [`crate::error::Kind::Broken`] and [`crate::error::Kind::Server`] may mean that it was made all the same: the
    /// caller has to [`Self::recover`] before it creates again.
    async fn create(&self, media: &NewMedia) -> Result<Ticket>;

    /// Sends one part. When this fails ambiguously (the answer was lost), the caller asks
    /// [`Self::received`] before it sends the part again.
    ///
    /// # Errors
    /// All kinds; [`crate::error::Kind::AlreadySent`] is a success that came earlier.
    async fn put(
        &self,
        ticket: &Ticket,
        plan: &PartPlan,
        part: Part,
        body: PartBody,
    ) -> Result<Receipt>;

    /// Asks what it has of this upload: the truth for resume.
    ///
    /// # Errors
    /// [`crate::error::Kind::TicketGone`] when it knows the upload no more.
    async fn received(&self, ticket: &Ticket, plan: &PartPlan) -> Result<Received>;

    /// Ends the upload. The caller has made sure by [`Self::received`] that exactly the plan's parts
    /// are there, where the destination needs that ([`Self::verify_before_complete`]).
    /// Ending it twice is no error.
    ///
    /// # Errors
    /// What the destination refused; an ambiguous failure is tried again.
    async fn complete(&self, ticket: &Ticket, plan: &PartPlan) -> Result<()>;

    /// Whether [`Self::received`] has to be asked before [`Self::complete`]: where the destination
    /// completes with whatever is there, a gap would truncate the file silently. `parts` is the
    /// plan's count.
    fn verify_before_complete(&self, ticket: &Ticket, parts: u32) -> bool;

    /// What became of these media objects, in the same order. Many in one call where the
    /// destination can.
    ///
    /// # Errors
    /// When it can't tell now.
    async fn status(&self, media: &[String]) -> Result<Vec<MediaStatus>>;

    /// Removes an unfinished media object of ours, so that a fresh one can take its place. One that
    /// is gone already is no error.
    ///
    /// # Errors
    /// What the destination refused.
    async fn remove(&self, ticket: &Ticket) -> Result<()>;

    /// Whether parts go to another host than calls do: that one can be reached says nothing of the
    /// other then.
    fn parts_go_elsewhere(&self) -> bool {
        false
    }

    /// What of the destination's own rules holds calls back right now, if anything.
    fn hold_up(&self) -> Option<HoldUp> {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn limits(parts_a_minute: Option<u32>) -> Limits {
        Limits {
            part_min: 5 * MIB,
            part_max: 200 * MIB,
            part_default: 16 * MIB,
            parts_max: 10_000,
            file_max: 50_000_000_000,
            recut: true,
            parts_a_minute,
        }
    }

    fn auto(file: u64, rate: u64, parts: u16, parts_a_minute: Option<u32>) -> u64 {
        let line = Some(LineSeen { rate, parts });
        limits(parts_a_minute)
            .part_size(PartSize::Auto, file, 10_000, line)
            .get()
            / MIB
    }

    #[test]
    fn auto_is_the_default_until_the_line_is_known() {
        let size = limits(None).part_size(PartSize::Auto, 1000 * MIB, 10_000, None);
        assert_eq!(size.get(), 16 * MIB);
    }

    #[test]
    fn auto_makes_parts_of_a_quarter_of_a_minute() {
        assert_eq!(auto(8000 * MIB, 24 * MIB, 8, None), 45);
        assert_eq!(
            auto(8000 * MIB, 2 * MIB, 8, None),
            5,
            "no smaller than allowed"
        );
        assert_eq!(
            auto(8000 * MIB, 4000 * MIB, 8, None),
            200,
            "no larger than allowed"
        );
        assert_eq!(
            auto(320 * MIB, 240 * MIB, 8, None),
            20,
            "all that go at once have a part"
        );
    }

    #[test]
    fn auto_leaves_a_budget_of_parts_a_minute_some_room() {
        assert_eq!(auto(8000 * MIB, 80 * MIB, 32, Some(100)), 60);
    }

    #[test]
    fn a_line_of_absurd_speed_makes_the_largest_part() {
        assert_eq!(auto(8000 * MIB, u64::MAX, 0, None), 200);
        assert_eq!(auto(8000 * MIB, u64::MAX, 1, Some(0)), 200);
    }

    /// The plan's runs as (parts, MiB).
    fn runs(plan: &PartPlan) -> Vec<(u32, u64)> {
        let runs = plan.runs().iter();
        runs.map(|run| (run.count, run.size / MIB)).collect()
    }

    #[test]
    fn the_parts_that_go_out_last_are_small_so_that_they_end_together() {
        let plan = |file| limits(None).plan(PartSize::Auto, file, 8, None);
        assert_eq!(runs(&plan(1024 * MIB)), [(56, 16), (26, 5)]);
        assert_eq!(
            runs(&plan(64 * MIB)),
            [(2, 16), (7, 5)],
            "no more than half of the parts"
        );
        assert_eq!(runs(&plan(10 * MIB)), [(1, 16)], "one part stays one");
        let line = LineSeen {
            rate: 80 * MIB,
            parts: 8,
        };
        let counted = limits(Some(100)).plan(PartSize::Auto, 8000 * MIB, 8, Some(line));
        assert_eq!(
            runs(&counted),
            [(46, 150), (19, 60)],
            "no smaller than the parts a minute allow"
        );
    }

    #[test]
    fn a_fixed_part_size_is_kept_to_the_end() {
        let wish = PartSize::Fixed(NonZeroU64::new(16 * MIB).unwrap());
        let plan = limits(None).plan(wish, 1024 * MIB, 8, None);
        assert_eq!(runs(&plan), [(64, 16)]);
    }

    proptest! {
        #[test]
        fn any_file_the_destination_takes_can_be_cut_within_its_limits(
            file in 1..=50_000_000_000u64, rate: u64, parts: u16, wish in proptest::option::of(1u64..),
            a_minute in proptest::option::of(0u32..), at_once: u16, from in 1..10_000u32,
        ) {
            let limits = limits(a_minute);
            let wish = wish.and_then(NonZeroU64::new).map_or(PartSize::Auto, PartSize::Fixed);
            let line = Some(LineSeen { rate, parts });
            let plan = limits.plan(wish, file, at_once, line);
            let again = limits.recut(&plan, from, PartSize::Auto, at_once, line);
            let kept = usize::try_from(from - 1).unwrap();
            prop_assert!(plan.parts().take(kept).eq(again.parts().take(kept)));
            for plan in [plan, again] {
                prop_assert!(plan.count() <= limits.parts_max);
                prop_assert_eq!(plan.parts().map(|part| part.length).sum::<u64>(), file);
                let mut lengths: Vec<u64> = plan.parts().map(|part| part.length).collect();
                prop_assert!(lengths.pop() <= Some(limits.part_max));
                prop_assert!(lengths.iter().all(|n| (limits.part_min..=limits.part_max).contains(n)));
            }
        }
    }
}
