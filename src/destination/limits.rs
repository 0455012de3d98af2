//! What an account or one of its uploads allows, and how a file is split within that, by what was seen
//! of the network; pure.

use std::{cmp::Ordering, num::NonZeroU64};

use crate::{
    format,
    plan::{PartNumber, PartPlan},
    settings::PartSize,
};

/// What an account allows, or one of its uploads. Numbers are settings with the vendors' documented
/// defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
// Each is a rule of its own, and they combine freely.
#[allow(clippy::struct_excessive_bools)]
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
    /// Each size of a part but the last's is a multiple of this many bytes; at least 1.
    pub multiple_of: u64,
    /// Whether all parts but the last are of one size.
    pub uniform: bool,
    /// Whether parts go out one after another, each when the one before it was acknowledged.
    pub ordered: bool,
    /// Whether nothing else goes out before the first part was acknowledged.
    pub first_alone: bool,
    /// Whether the parts that have not started may be split again once others were sent.
    pub can_replan: bool,
    /// How many parts per minute the account takes, where it counts them.
    pub parts_per_minute: Option<u32>,
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
            .max(needed)
            .clamp(self.part_min, self.part_max.max(self.part_min));
        self.rounded(size)
    }

    /// The nearest size that is a multiple of [`Self::multiple_of`]: the next larger one, unless that is
    /// larger than allowed.
    fn rounded(&self, size: u64) -> NonZeroU64 {
        let unit = self.multiple_of.max(1);
        let up = size.checked_next_multiple_of(unit);
        let size = up
            .filter(|up| *up <= self.part_max)
            .unwrap_or(size - size % unit);
        NonZeroU64::new(size).unwrap_or(NonZeroU64::MIN)
    }

    /// The same with no part larger than `most`, as far as there may be smaller ones.
    #[must_use]
    pub fn within(&self, most: Option<u64>) -> Self {
        let part_max = most.map_or(self.part_max, |most| most.min(self.part_max));
        let part_max = part_max.max(self.part_min);
        Self {
            part_max,
            part_default: self.part_default.min(part_max),
            ..self.clone()
        }
    }

    /// The largest part from now on, where one of this many bytes was refused as too large: half as large,
    /// unless there may be none so small. Where the smallest was refused, there is no size to go on with,
    /// and what is smaller all the same (a whole small file) may still go out.
    #[must_use]
    pub fn after_too_large(&self, refused: u64) -> u64 {
        if refused > self.part_min {
            (refused / 2).max(self.part_min)
        } else {
            refused.saturating_sub(1)
        }
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
        self.parts_per_minute
            .map_or(0, |most| rate.saturating_mul(75) / u64::from(most.max(1)))
    }

    /// How a whole file of `file_size` bytes is split, when `at_once` parts go out at once. `None` where
    /// it can't be split into as few parts as are allowed.
    #[must_use]
    pub fn plan(
        &self,
        wish: PartSize,
        file_size: u64,
        at_once: u16,
        line: Option<LineSeen>,
    ) -> Option<PartPlan> {
        let size = self.part_size(wish, file_size, self.parts_max, line);
        let plan = PartPlan::split(file_size, size)?;
        let plan = self.tapered(plan, wish, 1, at_once, line);
        (plan.count() <= self.parts_max).then_some(plan)
    }

    /// The same plan with everything from part `from` on split again. `None` where that is not allowed.
    #[must_use]
    pub fn replan(
        &self,
        plan: &PartPlan,
        from: PartNumber,
        wish: PartSize,
        at_once: u16,
        line: Option<LineSeen>,
    ) -> Option<PartPlan> {
        if !self.can_replan || (self.uniform && from > 1) {
            return None;
        }
        let first = plan.part(from)?;
        let tail = plan.file_size() - first.offset;
        let remaining = self.parts_max.saturating_sub(from - 1);
        let plan = plan.resplit(from, self.part_size(wish, tail, remaining, line))?;
        let plan = self.tapered(plan, wish, from, at_once, line);
        (plan.count() <= self.parts_max).then_some(plan)
    }

    fn tapered(
        &self,
        plan: PartPlan,
        wish: PartSize,
        from: PartNumber,
        at_once: u16,
        line: Option<LineSeen>,
    ) -> PartPlan {
        match wish {
            PartSize::Auto if !self.uniform && !self.ordered => {
                self.taper(plan, from, at_once, line)
            }
            _ => plan,
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
        let small = self.rounded((size / 4).max(counted).max(self.part_min));
        if small.get() >= size {
            return plan;
        }
        let tapered = plan.resplit(first, small);
        tapered
            .filter(|tapered| tapered.count() <= self.parts_max)
            .unwrap_or(plan)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn limits(parts_per_minute: Option<u32>) -> Limits {
        Limits {
            part_min: 5 * MIB,
            part_max: 200 * MIB,
            part_default: 16 * MIB,
            parts_max: 10_000,
            file_max: 50_000_000_000,
            multiple_of: 1,
            uniform: false,
            ordered: false,
            first_alone: false,
            can_replan: true,
            parts_per_minute,
        }
    }

    fn auto(file: u64, rate: u64, parts: u16, parts_per_minute: Option<u32>) -> u64 {
        let line = Some(LineSeen { rate, parts });
        limits(parts_per_minute)
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
    fn auto_leaves_a_budget_of_parts_per_minute_some_room() {
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
        let plan = |file| limits(None).plan(PartSize::Auto, file, 8, None).unwrap();
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
        let counted = limits(Some(100))
            .plan(PartSize::Auto, 8000 * MIB, 8, Some(line))
            .unwrap();
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
    fn after_a_part_that_is_too_large_none_is_larger_than_half_of_it_and_none_too_small() {
        let limits = limits(None);
        assert_eq!(limits.after_too_large(100 * MIB), 50 * MIB);
        assert_eq!(limits.after_too_large(7 * MIB), 5 * MIB);
        assert_eq!(limits.after_too_large(5 * MIB), 5 * MIB - 1);
        assert_eq!(limits.after_too_large(0), 0);
        let sizes = |most| {
            let wish = PartSize::Fixed(NonZeroU64::new(100 * MIB).unwrap());
            let limits = limits.within(most);
            [wish, PartSize::Auto].map(|wish| {
                let plan = limits.plan(wish, 1000 * MIB, 8, None).unwrap();
                plan.parts().map(|part| part.length / MIB).max().unwrap()
            })
        };
        assert_eq!(sizes(None), [100, 16]);
        assert_eq!(sizes(Some(50 * MIB)), [50, 16]);
        assert_eq!(sizes(Some(8 * MIB)), [8, 8]);
        assert_eq!(
            sizes(Some(MIB)),
            [5, 5],
            "no smaller than the account takes"
        );
        assert_eq!(sizes(Some(u64::MAX)), [100, 16]);
    }

    #[test]
    fn a_fixed_part_size_is_kept_to_the_end() {
        let wish = PartSize::Fixed(NonZeroU64::new(16 * MIB).unwrap());
        let plan = limits(None).plan(wish, 1024 * MIB, 8, None).unwrap();
        assert_eq!(runs(&plan), [(64, 16)]);
    }

    #[test]
    fn a_file_that_needs_more_parts_than_are_allowed_has_no_plan() {
        let tiny = Limits {
            part_min: 1,
            part_max: 1,
            ..limits(None)
        };
        assert_eq!(tiny.plan(PartSize::Auto, 25_000_000_000, 8, None), None);
        assert_eq!(tiny.plan(PartSize::Auto, 10_001, 8, None), None);
        let plan = tiny.plan(PartSize::Auto, 10_000, 8, None).unwrap();
        assert_eq!(plan.count(), 10_000);
    }

    #[test]
    fn parts_of_one_size_stay_so_and_sizes_are_multiples_where_that_is_wanted() {
        let limits = Limits {
            multiple_of: 3 * MIB,
            uniform: true,
            ..limits(None)
        };
        let plan = limits.plan(PartSize::Auto, 1024 * MIB, 8, None).unwrap();
        assert_eq!(runs(&plan), [(57, 18)]);
        assert_eq!(limits.replan(&plan, 7, PartSize::Auto, 8, None), None);
        let largest = PartSize::Fixed(NonZeroU64::new(200 * MIB).unwrap());
        let plan = limits.plan(largest, 1024 * MIB, 8, None).unwrap();
        assert_eq!(runs(&plan), [(6, 198)], "no larger than allowed");
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
            let plan = limits.plan(wish, file, at_once, line).unwrap();
            let again = limits.replan(&plan, from, PartSize::Auto, at_once, line);
            let again = again.unwrap_or_else(|| plan.clone());
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
