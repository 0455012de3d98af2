//! How an upload is cut into parts: a short list of runs; pure, knows no file and no destination.
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

/// How one file is cut into parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartPlan {
    runs: Vec<Run>,
    file_size: u64,
}

/// Why runs are no plan for a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the part plan does not fit the file: {0}")]
pub struct BadPlan(&'static str);

impl PartPlan {
    /// Cuts a file of `file_size` bytes (at least 1) into parts of `part_size`; the last takes what
    /// is left.
    ///
    /// # Panics
    /// When the plan would have more than 2³² parts, which no destination's limits allow.
    #[must_use]
    pub fn cut(file_size: u64, part_size: NonZeroU64) -> Self {
        let count = file_size.div_ceil(part_size.get()).max(1);
        let count = u32::try_from(count).expect("limits keep the number of parts small");
        Self {
            runs: vec![Run {
                first: 1,
                count,
                size: part_size.get(),
            }],
            file_size,
        }
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
        Ok(Self { runs, file_size })
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

    /// The size of the file it cuts, in bytes.
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

    /// The same plan with everything from part `from` on cut anew into parts of `part_size`.
    /// What lies before `from` keeps its numbers and sizes.
    #[must_use]
    pub fn recut(&self, from: PartNumber, part_size: NonZeroU64) -> Self {
        let Some(first) = self.part(from) else {
            return self.clone();
        };
        let mut runs: Vec<Run> = Vec::with_capacity(self.runs.len() + 1);
        for run in &self.runs {
            let keep = run.count.min(from.saturating_sub(run.first));
            if keep > 0 {
                runs.push(Run {
                    count: keep,
                    ..*run
                });
            }
        }
        let tail = Self::cut(self.file_size - first.offset, part_size).runs[0];
        match runs.last_mut() {
            Some(last) if last.size == tail.size => last.count += tail.count,
            _ => runs.push(Run {
                first: from,
                ..tail
            }),
        }
        Self {
            runs,
            file_size: self.file_size,
        }
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
        let plan = PartPlan::cut(5, size(5));
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

    proptest! {
        #[test]
        fn every_byte_is_in_exactly_one_part_however_often_the_tail_is_recut(
            file in 1u64..5_000_000, first in 1u64..1_000_000,
            cuts in proptest::collection::vec((1u32..60, 1u64..1_000_000), 0..5),
        ) {
            let mut plan = PartPlan::cut(file, size(first.max(file / 500)));
            covers_exactly(&plan);
            for (from, part) in cuts {
                let kept: Vec<Part> = plan.parts().take_while(|p| p.number < from).collect();
                plan = plan.recut(from, size(part.max(file / 500 + 1)));
                covers_exactly(&plan);
                prop_assert!(plan.parts().take(kept.len()).eq(kept));
                prop_assert_eq!(PartPlan::from_runs(plan.runs().to_vec(), file).unwrap(), plan.clone());
            }
        }
    }
}
