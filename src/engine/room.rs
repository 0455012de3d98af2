//! How many parts can go out at once with the files that this process may have open; pure.

/// The files that this process may have open, and how many of them a part takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// How many there may be; `None`: as many as it likes.
    pub limit: Option<u64>,
    /// What a part takes: its file and its connection, and whatever the other end takes where that is in
    /// this process too.
    pub of_a_part: u64,
}

impl Default for OpenFiles {
    /// No limit, and the other end elsewhere.
    fn default() -> Self {
        Self {
            limit: None,
            of_a_part: 2,
        }
    }
}

/// What else is open: the session, the ledger, a scan's folders, screens, connections to the API.
const BESIDES: u64 = 64;

impl OpenFiles {
    /// The most parts at once while this many uploads are under way: each may look at its file meanwhile.
    /// At least one: should that be too many, it waits.
    #[must_use]
    pub fn most_parts(self, uploads: u16) -> u16 {
        let Some(limit) = self.limit else {
            return u16::MAX;
        };
        let parts = limit.saturating_sub(besides(uploads)) / self.of_a_part.max(1);
        u16::try_from(parts).unwrap_or(u16::MAX).max(1)
    }

    /// What is to be said of a number of parts at once that is wished for and does not fit.
    #[must_use]
    pub fn not_as_wished(self, wish: u16, uploads: u16) -> Option<String> {
        let (most, limit) = (self.most_parts(uploads), self.limit?);
        let needed = u64::from(wish) * self.of_a_part + besides(uploads);
        (wish > most).then(|| {
            let parts = crate::format::count(usize::from(most), "part");
            format!(
                "{wish} parts at once need {needed} open files, and this login allows {limit}: \
                 {parts} at once; for more, raise the limit (ulimit -Hn)"
            )
        })
    }
}

fn besides(uploads: u16) -> u64 {
    BESIDES + u64::from(uploads)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_files(limit: u64) -> OpenFiles {
        OpenFiles {
            limit: Some(limit),
            ..OpenFiles::default()
        }
    }

    #[test]
    fn as_many_parts_go_at_once_as_open_files_allow_and_at_least_one() {
        assert_eq!(open_files(256).most_parts(2), 95);
        assert_eq!(open_files(1024).most_parts(2), 479);
        assert_eq!(open_files(256).most_parts(128), 32, "one more an upload");
        assert_eq!(open_files(0).most_parts(2), 1);
        assert_eq!(open_files(u64::MAX).most_parts(u16::MAX), u16::MAX);
        assert_eq!(OpenFiles::default().most_parts(2), u16::MAX);
        let both_ends = OpenFiles {
            of_a_part: 4,
            ..open_files(256)
        };
        assert_eq!(both_ends.most_parts(2), 47);
    }

    #[test]
    fn only_a_wish_that_does_not_fit_is_told_with_what_it_needs() {
        assert_eq!(
            open_files(256).not_as_wished(128, 2).unwrap(),
            "128 parts at once need 322 open files, and this login allows 256: 95 parts at once; \
             for more, raise the limit (ulimit -Hn)"
        );
        let told = open_files(64).not_as_wished(9, 2).unwrap();
        assert!(told.contains(": 1 part at once"), "{told}");
        assert_eq!(open_files(256).not_as_wished(95, 2), None);
        assert_eq!(OpenFiles::default().not_as_wished(256, 2), None);
    }
}
