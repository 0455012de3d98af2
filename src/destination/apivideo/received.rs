//! What a video's status says was received, compared with a part plan; pure.
//!
//! The vendor merges stretches that touch, so a part counts as received when the stretches together
//! cover it, and bytes that cover only some of a part come from another split.

use std::ops::Range;

use super::{
    super::{Received, ReceivedPart},
    RangeMode,
    status::Status,
};
use crate::plan::{PartNumber, PartPlan};

/// What the server has of the plan.
pub(super) fn received(status: &Status, plan: &PartPlan, mode: RangeMode) -> Received {
    if status.is_uploaded() {
        return Received::Complete;
    }
    let has_bytes = status.stretches().next().is_some();
    let (numbers, total) = status.parts();
    let found = match mode {
        RangeMode::Bytes if !has_bytes && !numbers.is_empty() => {
            Err("parts were sent by number, and this upload sends byte ranges".to_owned())
        }
        RangeMode::Bytes => by_bytes(status, plan),
        RangeMode::Part if numbers.is_empty() && has_bytes => {
            Err("byte ranges were sent, and this upload sends parts by number".to_owned())
        }
        RangeMode::Part => by_number(numbers, total, plan),
    };
    match found {
        Ok(numbers) => Received::Parts(
            numbers
                .into_iter()
                .map(|number| ReceivedPart { number, md5: None })
                .collect(),
        ),
        Err(what) => Received::Conflict(what),
    }
}

/// The stretches, sorted, those that touch made one.
fn merged(status: &Status) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = status
        .stretches()
        .map(|stretch| stretch.bytes)
        .filter(|bytes| !bytes.is_empty())
        .collect();
    all.sort_unstable_by_key(|bytes| bytes.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for bytes in all {
        match merged.last_mut() {
            Some(last) if bytes.start <= last.end => last.end = last.end.max(bytes.end),
            _ => merged.push(bytes),
        }
    }
    merged
}

fn by_bytes(status: &Status, plan: &PartPlan) -> Result<Vec<PartNumber>, String> {
    let size = plan.file_size();
    for stretch in status.stretches() {
        if let Some(total) = stretch.total.filter(|&total| total != size) {
            return Err(format!(
                "the upload is of a file of {total} bytes, this one has {size}"
            ));
        }
        if stretch.bytes.end > size {
            return Err(format!(
                "bytes beyond the end of the file of {size} bytes are there"
            ));
        }
    }
    let mut numbers = Vec::new();
    let mut parts = plan.parts().peekable();
    for stretch in merged(status) {
        let mut at = stretch.start;
        while at < stretch.end {
            while parts.next_if(|part| part.range().end <= at).is_some() {}
            match parts.peek() {
                Some(part) if part.offset == at && part.range().end <= stretch.end => {
                    numbers.push(part.number);
                    at = part.range().end;
                }
                _ => {
                    let last = stretch.end - 1;
                    return Err(format!(
                        "bytes {at} to {last} are there, which end in no part"
                    ));
                }
            }
        }
    }
    Ok(numbers)
}

fn by_number(
    numbers: &[u32],
    total: Option<u32>,
    plan: &PartPlan,
) -> Result<Vec<PartNumber>, String> {
    let count = plan.count();
    if let Some(total) = total.filter(|&total| total != count) {
        return Err(format!(
            "{total} parts were announced, the file has {count}"
        ));
    }
    if let Some(stray) = numbers.iter().find(|&&n| n == 0 || n > count) {
        return Err(format!("part {stray} is there, the file has {count}"));
    }
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn plan(file: u64, part: u64) -> PartPlan {
        PartPlan::split(file, NonZeroU64::new(part).unwrap()).unwrap()
    }

    fn status(ranges: &[(u64, u64)], parts: &[u32], total: u64) -> Status {
        let ranges: Vec<_> = ranges
            .iter()
            .map(|(from, to)| json!({"from": from, "to": to, "total": total}))
            .collect();
        serde_json::from_value(json!({"ingest": {
            "status": "uploading",
            "receivedBytes": ranges,
            "receivedParts": {"parts": parts, "total": null},
        }}))
        .unwrap()
    }

    fn numbers(received: Received) -> Vec<u32> {
        match received {
            Received::Parts(parts) => parts.iter().map(|part| part.number).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn merged_stretches_count_for_every_part_they_cover() {
        let status = status(&[(20, 24), (0, 9), (10, 14)], &[], 25);
        let found = received(&status, &plan(25, 5), RangeMode::Bytes);
        assert_eq!(numbers(found), [1, 2, 3, 5]);
    }

    #[test]
    fn bytes_of_another_split_or_file_conflict() {
        for (ranges, total) in [
            (&[(0, 6)][..], 25),
            (&[(3, 4)], 25),
            (&[(0, 4)], 26),
            (&[(20, 29)], 25),
            (&[(0, u64::MAX)], 25),
        ] {
            let found = received(&status(ranges, &[], total), &plan(25, 5), RangeMode::Bytes);
            assert!(
                matches!(found, Received::Conflict(_)),
                "{ranges:?}: {found:?}"
            );
        }
    }

    #[test]
    fn parts_by_number_are_taken_only_where_they_were_sent_so() {
        let plan = plan(25, 5);
        let by_number = status(&[], &[3, 1], 25);
        assert_eq!(
            numbers(received(&by_number, &plan, RangeMode::Part)),
            [1, 3]
        );
        for (status, mode) in [
            (&by_number, RangeMode::Bytes),
            (&status(&[(0, 4)], &[], 25), RangeMode::Part),
            (&status(&[], &[6], 25), RangeMode::Part),
            (&status(&[], &[0], 25), RangeMode::Part),
        ] {
            assert!(matches!(
                received(status, &plan, mode),
                Received::Conflict(_)
            ));
        }
    }

    #[test]
    fn nothing_received_is_no_parts_and_an_uploaded_file_is_complete() {
        let plan = plan(25, 5);
        let none: Status = serde_json::from_value(json!({"ingest": null})).unwrap();
        assert_eq!(
            received(&none, &plan, RangeMode::Part),
            Received::Parts(vec![])
        );
        let done: Status =
            serde_json::from_value(json!({"ingest": {"status": "ingesting"}})).unwrap();
        assert_eq!(received(&done, &plan, RangeMode::Bytes), Received::Complete);
    }

    proptest! {
        #[test]
        fn whichever_parts_were_sent_in_whatever_order_are_found(
            file in 1u64..500, part in 1u64..60, sent: Vec<prop::sample::Index>,
        ) {
            let plan = plan(file, part);
            let mut sent: Vec<u32> =
                sent.iter().map(|i| u32::try_from(i.index(plan.count() as usize)).unwrap() + 1).collect();
            let ranges: Vec<_> = sent
                .iter()
                .map(|&n| plan.part(n).unwrap().range())
                .map(|bytes| (bytes.start, bytes.end - 1))
                .collect();
            sent.sort_unstable();
            sent.dedup();
            let found = received(&status(&ranges, &[], file), &plan, RangeMode::Bytes);
            prop_assert_eq!(numbers(found), sent);
        }

        #[test]
        fn absurd_stretches_never_panic(ranges: Vec<(u64, u64)>, total: u64, file in 1u64..500) {
            let _ = received(&status(&ranges, &[], total), &plan(file, 7), RangeMode::Bytes);
        }
    }
}
