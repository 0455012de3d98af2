//! Parts that are larger than the destination takes: their bytes go out in smaller ones, where the upload can
//! still be split anew.

use super::{End, Next, Opened, Task, Tries};
use crate::{
    destination::Limits,
    engine::record::{NextPart, RunChange, Sequence},
    error::{CallClass, Error, Kind},
    format,
    plan::{Part, PartPlan},
};

impl Task {
    /// The first part that is still to be sent and larger than the destination takes.
    pub(super) fn too_large_part(&self) -> Option<Part> {
        let (plan, largest) = (self.record.plan()?, &self.shared.largest);
        let may_be = |size: u64| largest.is_exceeded_by(size);
        if !plan.runs().iter().any(|run| may_be(run.size)) {
            return None;
        }
        let receipts = &self.record.progress.receipts;
        plan.parts()
            .find(|part| may_be(part.length) && !receipts.contains_key(&part.number))
    }

    /// A part was refused as too large: from now on none goes out that is as large, of any upload. Where
    /// some of its bytes may have arrived, the account is to be asked: returns whether.
    pub(super) fn part_too_large(
        &mut self,
        opened: &Opened,
        part: NextPart,
        length: u64,
        error: Error,
    ) -> bool {
        let most = opened.limits.after_too_large(length);
        let most = self.shared.largest.lower(most);
        let error = too_large(error, length, most, &opened.limits);
        self.failed(
            Some(part.number),
            &mut Tries::begin(),
            error,
            CallClass::Part,
        );
        self.note(RunChange::NotStarted(vec![part.number]));
        opened.sequence == Sequence::Ordered
    }

    /// Splits what is still to be sent into parts that are small enough, from this one on. None is in
    /// flight. Returns what has to be done first, if anything has.
    ///
    /// # Errors
    /// [`Kind::TooLarge`] where the upload can't be split anew.
    pub(super) async fn split_smaller(
        &mut self,
        opened: &Opened,
        first: Part,
    ) -> Result<Option<Next>, End> {
        let receipts = &self.record.progress.receipts;
        let rest = (first.number..=self.record.count()).filter(|n| !receipts.contains_key(n));
        let rest: Vec<_> = rest.collect();
        let troubled = &self.record.troubled;
        let may_be_there = rest
            .iter()
            .any(|number| troubled.get(number).is_some_and(|trouble| trouble.ask));
        self.note(RunChange::NotStarted(rest));
        if may_be_there {
            return Ok(Some(Next::Compare));
        }
        // What an earlier run had in flight of such parts can't be on its way: they were refused.
        if let Some(plan) = self.replanned(opened, 0) {
            self.keep_plan(plan).await?;
        }
        match self.too_large_part() {
            None => Ok(None),
            Some(part) => {
                let words = self.why_not_smaller(part.length, &opened.limits);
                let words = format!("part {}: {words}", part.number);
                Err(End::Failed(Error::new(Kind::TooLarge, words)))
            }
        }
    }

    /// A plan for a new upload, unless it has parts that the destination does not take.
    pub(super) fn checked_plan(&self, plan: PartPlan, limits: &Limits) -> Result<PartPlan, End> {
        let largest = plan.parts().map(|part| part.length).max().unwrap_or(0);
        if !self.shared.largest.is_exceeded_by(largest) {
            return Ok(plan);
        }
        let words = self.why_not_smaller(largest, limits);
        Err(End::Failed(Error::new(Kind::TooLarge, words)))
    }

    fn why_not_smaller(&self, length: u64, limits: &Limits) -> String {
        let most = self.shared.largest.get().unwrap_or(length);
        let length = format::bytes(length);
        if most < limits.part_min {
            let least = format::bytes(limits.part_min);
            return format!(
                "{length} is more than the destination, or a proxy before it, takes in one request, and \
                 parts may not be smaller than {least}"
            );
        }
        let most = format::bytes(most);
        format!(
            "{length} is more than the destination takes in one request ({most} at most), and this \
             upload can't be split anew: it was begun in larger parts"
        )
    }
}

/// The refusal of a part of this many bytes, in words that name the part size.
fn too_large(error: Error, length: u64, most: u64, limits: &Limits) -> Error {
    let host = error.endpoint.as_ref().map(|endpoint| &*endpoint.host);
    let host = host.unwrap_or("the destination");
    let status = error
        .status
        .map_or_else(String::new, |status| format!(" ({status})"));
    let length = format::bytes(length);
    let words = if most < limits.part_min {
        let least = format::bytes(limits.part_min);
        format!(
            "{length} is more than {host} takes in one request{status}, and parts may not be smaller \
             than {least}"
        )
    } else {
        let most = format::bytes(most);
        format!(
            "{length} is more than {host} takes in one request{status}: parts are {most} at most from \
             now on"
        )
    };
    Error {
        message: words,
        ..error
    }
}
