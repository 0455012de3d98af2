//! How large parts may be, as the destination's refusals have shown: kept in the session, so that a later run
//! does not try again what is known to be too large.

use super::Actor;
use crate::{destination::Limits, session::record};

/// What is known of the largest part, where there is a size to go on with. Where not even the smallest part
/// was taken, nothing is lost by another try, and somebody may have mended that meanwhile.
pub(super) fn worth_keeping(most: Option<u64>, limits: &Limits) -> Option<u64> {
    most.filter(|most| *most >= limits.part_min)
}

impl Actor {
    /// A part was refused as too large: what is known by that is kept.
    pub(super) fn keep_part_most(&mut self) {
        let known = self.shared.largest.get();
        if self.settings.part_most == known {
            return;
        }
        self.settings.part_most = known;
        let mut text = String::new();
        record::write_settings(&mut text, &self.settings);
        self.append(text);
    }

    /// The settings say from now on what is known of the largest part.
    pub(super) fn put_part_most_in_force(&self) {
        self.shared.largest.set(self.settings.part_most);
    }

    /// The person wants things to go: what left no size to go on with is tried again.
    pub(super) fn try_smallest_part_again(&mut self) {
        let limits = self.shared.account.limits();
        self.settings.part_most = worth_keeping(self.settings.part_most, limits);
        self.put_part_most_in_force();
    }

    /// Whether a file that is started over goes out in smaller parts than those that were refused.
    pub(super) fn may_go_out_smaller(&self) -> bool {
        let known = self.shared.largest.get();
        worth_keeping(known, self.shared.account.limits()).is_some()
    }

    /// The bytes of as many parts as go out at once and were refused, at most: what of them was taken before
    /// the first refusal is little to send again.
    pub(super) fn one_round(&self) -> u64 {
        let refused = self.shared.largest.get().unwrap_or(0).saturating_mul(2);
        refused.saturating_mul(u64::from(self.parts_limit()))
    }
}
