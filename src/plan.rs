//! How a file is split into parts: a short list of runs; pure, knows no file and no destination.
//!
//! Parts are numbered from 1, as both wire formats number them. A plan always covers its file
//! exactly: no gap, no overlap, the last part takes what is left.

use std::{num::NonZeroU64, ops::Range};

use serde::{Deserialize, Serialize};

/// The number of a part, from 1.
pub type PartNumber = u32;

/// A stretch of parts of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u32, u64)", into = "(u32, u32, u64)")]
pub struct Run {
    /// The first part's number.
    pub first: PartNumber,
    /// How many parts.
    pub count: u32,
    /// The size of each in bytes; the last part of the plan may be smaller.
    pub size: u64,
}

impl From<(u32, u32, u64)> for Run {
    fn from((first, count, size): (u32, u32, u64)) -> Self {
        Self { first, count, size }
    }
}

impl From<Run> for (u32, u32, u64) {
    fn from(run: Run) -> Self {
        (run.first, run.count, run.size)
    }
}

/// One part of an upload: which bytes of the file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    /// Its number, from 1.
    pub number: PartNumber,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

impl Part {
    /// The bytes of the file it covers.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.length
    }
}

/// How one file is split into parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPlan {
    runs: Vec<Run>,
    file_size: u64,
    /// The highest number that a part of this upload had in any plan that this one was made from: a
    /// part of such a plan may still arrive.
    highest: PartNumber,
}

/// Why runs are no plan for a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the part plan does not fit the file: {0}")]
pub struct BadPlan(&'static str);

impl PartPlan {
    /// Splits a file of `file_size` bytes (at least 1) into parts of `part_size`; the last takes what
    /// is left. `None` where that would be 2³² parts or more.
    #[must_use]
    pub fn split(file_size: u64, part_size: NonZeroU64) -> Option<Self> {
        let count = u32::try_from(file_size.div_ceil(part_size.get()).max(1)).ok()?;
        Some(Self {
            runs: vec![Run {
                first: 1,
                count,
                size: part_size.get(),
            }],
            file_size,
            highest: count,
        })
    }

    /// A plan from saved runs.
    ///
    /// # Errors
    /// When the runs do not cover a file of `file_size` bytes exactly: numbers that do not follow
    /// each other, empty runs, parts that begin after the end, bytes left over.
    pub fn from_runs(runs: Vec<Run>, file_size: u64) -> Result<Self, BadPlan> {
        let mut next: u64 = 1;
        let mut covered: u64 = 0;
        for run in &runs {
            if u64::from(run.first) != next {
                return Err(BadPlan("its numbers do not follow each other"));
            }
            if run.count == 0 || run.size == 0 {
                return Err(BadPlan("a run is empty"));
            }
            let before_last = run
                .size
                .checked_mul(u64::from(run.count) - 1)
                .and_then(|bytes| covered.checked_add(bytes))
                .ok_or(BadPlan("it is too large"))?;
            if before_last >= file_size.max(1) {
                return Err(BadPlan("a part begins after the end of the file"));
            }
            covered = before_last
                .checked_add(run.size)
                .ok_or(BadPlan("it is too large"))?;
            next += u64::from(run.count);
        }
        if runs.is_empty() {
            return Err(BadPlan("it has no parts"));
        }
        if covered < file_size {
            return Err(BadPlan("bytes are left over"));
        }
        if u32::try_from(next).is_err() {
            return Err(BadPlan("it has too many parts"));
        }
        let mut plan = Self {
            runs,
            file_size,
            highest: 0,
        };
        plan.highest = plan.count();
        Ok(plan)
    }

    /// The same plan, where a plan that it was made from had parts up to this number.
    #[must_use]
    pub fn with_highest(mut self, highest: PartNumber) -> Self {
        self.highest = self.count().max(highest);
        self
    }

    /// The highest number that a part of this upload had in this plan or in one it was made from.
    #[must_use]
    pub fn highest(&self) -> PartNumber {
        self.highest
    }

    /// The runs, as they are saved.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// How many parts there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.first + run.count - 1)
    }

    /// The size of the file, in bytes.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// The part with this number, if there is one.
    #[must_use]
    pub fn part(&self, number: PartNumber) -> Option<Part> {
        let mut offset = 0;
        for run in &self.runs {
            if number < run.first {
                return None;
            }
            let index = number - run.first;
            if index < run.count {
                let offset = offset + u64::from(index) * run.size;
                let length = run.size.min(self.file_size - offset);
                return Some(Part {
                    number,
                    offset,
                    length,
                });
            }
            offset += u64::from(run.count) * run.size;
        }
        None
    }

    /// All parts in order.
    pub fn parts(&self) -> impl Iterator<Item = Part> + '_ {
        let mut offset = 0;
        self.runs
            .iter()
            .flat_map(|run| (run.first..run.first + run.count).map(|n| (n, run.size)))
            .map(move |(number, size)| {
                let length = size.min(self.file_size - offset);
                let part = Part {
                    number,
                    offset,
                    length,
                };
                offset += length;
                part
            })
    }

    /// The number of the part with exactly these bytes, if the plan has one.
    #[must_use]
    pub fn find(&self, range: &Range<u64>) -> Option<PartNumber> {
        let mut offset = 0;
        for run in &self.runs {
            let length = u64::from(run.count) * run.size;
            if range.start < offset + length {
                let index = range.start.checked_sub(offset)? / run.size;
                let part = self.part(run.first + u32::try_from(index).ok()?)?;
                return (part.range() == *range).then_some(part.number);
            }
            offset += length;
        }
        None
    }

    /// The same plan with everything from part `from` on split again into parts of `part_size`.
    /// What lies before `from` keeps its numbers and sizes. `None` where that would be too many parts.
    #[must_use]
    pub fn resplit(&self, from: PartNumber, part_size: NonZeroU64) -> Option<Self> {
        let Some(first) = self.part(from) else {
            return Some(self.clone());
        };
        let tail = Self::split(self.file_size - first.offset, part_size)?.runs[0];
        (from - 1).checked_add(tail.count)?;
        let mut runs = self.runs_before(from);
        match runs.last_mut() {
            Some(last) if last.size == tail.size => last.count += tail.count,
            _ => runs.push(Run {
                first: from,
                ..tail
            }),
        }
        Some(self.made_into(runs))
    }

    /// The same plan with a part that ends at `offset`, and the number of that part: the part that
    /// `offset` lies in becomes two, where it lies in one. `None` for an offset of 0, one beyond the
    /// end, or where a part more would be too many.
    #[must_use]
    pub fn with_end_at(&self, offset: u64) -> Option<(Self, PartNumber)> {
        let part = self
            .parts()
            .find(|part| part.range().end >= offset && part.offset < offset)?;
        if part.range().end == offset {
            return Some((self.clone(), part.number));
        }
        self.count().checked_add(1)?;
        let mut runs = self.runs_before(part.number);
        runs.push(Run {
            first: part.number,
            count: 1,
            size: offset - part.offset,
        });
        runs.push(Run {
            first: part.number + 1,
            count: 1,
            size: part.range().end - offset,
        });
        for run in &self.runs {
            // What of the run lies behind the part, one number later.
            let skipped = (part.number + 1).saturating_sub(run.first);
            if run.first + (run.count - 1) > part.number {
                runs.push(Run {
                    first: run.first + skipped + 1,
                    count: run.count - skipped,
                    size: run.size,
                });
            }
        }
        Some((self.made_into(runs), part.number))
    }

    /// The runs of the parts before this one.
    fn runs_before(&self, number: PartNumber) -> Vec<Run> {
        let kept = |run: &Run| Run {
            count: run.count.min(number.saturating_sub(run.first)),
            ..*run
        };
        let runs = self.runs.iter().map(kept);
        runs.filter(|run| run.count > 0).collect()
    }

    fn made_into(&self, runs: Vec<Run>) -> Self {
        Self {
            runs,
            file_size: self.file_size,
            highest: 0,
        }
        .with_highest(self.highest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size(bytes: u64) -> NonZeroU64 {
        NonZeroU64::new(bytes).unwrap()
    }

    fn covers_exactly(plan: &PartPlan) {
        let mut end = 0;
        for (part, number) in plan.parts().zip(1..) {
            assert_eq!((part.number, part.offset), (number, end));
            assert!(part.length > 0);
            assert_eq!(plan.part(number), Some(part));
            assert_eq!(plan.find(&part.range()), Some(number));
            end = part.range().end;
        }
        assert_eq!(end, plan.file_size());
        assert_eq!(plan.part(plan.count() + 1), None);
        assert_eq!(plan.part(0), None);
    }

    #[test]
    fn a_file_of_exactly_one_part_has_one_part() {
        let plan = PartPlan::split(5, size(5)).unwrap();
        assert_eq!(
            plan.parts().collect::<Vec<_>>(),
            [Part {
                number: 1,
                offset: 0,
                length: 5
            }]
        );
    }

    #[test]
    fn saved_runs_that_do_not_fit_the_file_are_refused() {
        let run = |first, count, size| Run { first, count, size };
        assert!(PartPlan::from_runs(vec![run(1, 2, 5)], 10).is_ok());
        for bad in [
            vec![],
            vec![run(2, 2, 5)],
            vec![run(1, 1, 5)],
            vec![run(1, 3, 5)],
            vec![run(1, 0, 5)],
            vec![run(1, 1, 5), run(3, 1, 5)],
            vec![run(1, u32::MAX, u64::MAX)],
        ] {
            assert!(PartPlan::from_runs(bad.clone(), 10).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_file_of_more_parts_than_numbers_is_not_split() {
        let one = size(1);
        assert_eq!(PartPlan::split(1 << 32, one), None);
        let plan = PartPlan::split(1 << 33, size(1 << 30)).unwrap();
        assert_eq!(plan.resplit(2, one), None);
        assert_eq!(plan.with_end_at(0), None);
        assert_eq!(plan.with_end_at((1 << 33) + 1), None);
    }

    proptest! {
        #[test]
        fn every_byte_is_in_exactly_one_part_however_often_the_tail_is_split_again(
            file in 1u64..5_000_000, first in 1u64..1_000_000,
            cuts in proptest::collection::vec((1u32..60, 1u64..1_000_000), 0..5),
        ) {
            let mut plan = PartPlan::split(file, size(first.max(file / 500))).unwrap();
            covers_exactly(&plan);
            for (from, part) in cuts {
                let kept: Vec<Part> = plan.parts().take_while(|p| p.number < from).collect();
                let before = plan.highest();
                plan = plan.resplit(from, size(part.max(file / 500 + 1))).unwrap();
                prop_assert_eq!(plan.highest(), before.max(plan.count()));
                covers_exactly(&plan);
                prop_assert!(plan.parts().take(kept.len()).eq(kept));
                let saved = PartPlan::from_runs(plan.runs().to_vec(), file).unwrap();
                prop_assert_eq!(saved.with_highest(plan.highest()), plan.clone());
            }
        }

        #[test]
        fn a_part_ends_at_any_offset_and_the_parts_before_it_stay(
            file in 1u64..5_000_000, first in 1u64..1_000_000, from in 1u32..60,
            part in 1u64..1_000_000, at in 0.0..1.0f64,
        ) {
            let plan = PartPlan::split(file, size(first.max(file / 500))).unwrap();
            let plan = plan.resplit(from, size(part.max(file / 500 + 1))).unwrap();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let offset = 1 + (at * (file - 1) as f64) as u64;
            let (split, number) = plan.with_end_at(offset).unwrap();
            covers_exactly(&split);
            prop_assert_eq!(split.part(number).unwrap().range().end, offset);
            prop_assert!(split.count() - plan.count() <= 1);
            let before = number as usize - 1;
            prop_assert!(split.parts().take(before).eq(plan.parts().take(before)));
            let ends = |plan: &PartPlan| -> std::collections::BTreeSet<u64> {
                plan.parts().map(|part| part.range().end).collect()
            };
            let mut wanted = ends(&plan);
            wanted.insert(offset);
            prop_assert_eq!(ends(&split), wanted);
            let saved = PartPlan::from_runs(split.runs().to_vec(), file).unwrap();
            prop_assert_eq!(saved.with_highest(split.highest()), split);
        }
    }
}
