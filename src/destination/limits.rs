//! What a destination allows, and how a file is cut within that, by what was seen of the line; pure.

use std::{cmp::Ordering, num::NonZeroU64};

use crate::{
    format,
    plan::{PartNumber, PartPlan},
    settings::PartSize,
};

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

    /// What is to be said of a part size that is wished for and not taken.
    #[must_use]
    pub fn not_as_wished(&self, wish: PartSize) -> Option<String> {
        let PartSize::Fixed(size) = wish else {
            return None;
        };
        let taken = size.get().clamp(self.part_min, self.part_max);
        let than = match taken.cmp(&size.get()) {
            Ordering::Equal => return None,
            Ordering::Greater => "smaller",
            Ordering::Less => "larger",
        };
        let [size, taken] = [size.get(), taken].map(format::bytes);
        Some(format!(
            "parts of {size} are {than} than the destination takes: they are cut to {taken}"
        ))
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
    fn a_part_size_that_is_not_taken_is_told() {
        let told = |mib| {
            let wish = PartSize::Fixed(NonZeroU64::new(mib * MIB).unwrap());
            limits(None).not_as_wished(wish)
        };
        let small =
            "parts of 1.0 MiB are smaller than the destination takes: they are cut to 5.0 MiB";
        assert_eq!(told(1).as_deref(), Some(small));
        assert!(told(1000).unwrap().contains("larger"));
        assert_eq!((told(5), told(200)), (None, None));
        assert_eq!(limits(None).not_as_wished(PartSize::Auto), None);
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
