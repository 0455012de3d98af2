//! How many parts can go out at once with the files that this process may have open; pure.

/// What a part needs: its file, and its connection.
const OF_A_PART: u64 = 2;

/// What else is open: the session, the ledger, a scan's folders, screens, connections to the API.
const BESIDES: u64 = 64;

/// The most parts at once with so many open files, while this many uploads are under way: each may look
/// at its file meanwhile. At least one: should that be too many, it waits.
#[must_use]
pub fn most_parts(open_files: Option<u64>, uploads: u16) -> u16 {
    let Some(open_files) = open_files else {
        return u16::MAX;
    };
    let parts = open_files.saturating_sub(besides(uploads)) / OF_A_PART;
    u16::try_from(parts).unwrap_or(u16::MAX).max(1)
}

fn besides(uploads: u16) -> u64 {
    BESIDES + u64::from(uploads)
}

/// What is to be said of a number of parts at once that is wished for and does not fit.
#[must_use]
pub fn not_as_wished(wish: u16, open_files: Option<u64>, uploads: u16) -> Option<String> {
    let (most, open_files) = (most_parts(open_files, uploads), open_files?);
    let needed = u64::from(wish) * OF_A_PART + besides(uploads);
    (wish > most).then(|| {
        let parts = crate::format::count(usize::from(most), "part");
        format!(
            "{wish} parts at once need {needed} open files, and this login allows {open_files}: \
             {parts} at once; for more, raise the limit (ulimit -Hn)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_parts_go_at_once_as_open_files_allow_and_at_least_one() {
        assert_eq!(most_parts(Some(256), 2), 95);
        assert_eq!(most_parts(Some(1024), 2), 479);
        assert_eq!(
            most_parts(Some(256), 128),
            32,
            "each upload looks at its file"
        );
        assert_eq!(most_parts(Some(0), 2), 1);
        assert_eq!(most_parts(Some(u64::MAX), u16::MAX), u16::MAX);
        assert_eq!(most_parts(None, 2), u16::MAX);
    }

    #[test]
    fn only_a_wish_that_does_not_fit_is_told_with_what_it_needs() {
        let told = not_as_wished(128, Some(256), 2).unwrap();
        assert_eq!(
            told,
            "128 parts at once need 322 open files, and this login allows 256: 95 parts at once; \
             for more, raise the limit (ulimit -Hn)"
        );
        assert!(
            not_as_wished(9, Some(64), 2)
                .unwrap()
                .contains(": 1 part at once")
        );
        assert_eq!(not_as_wished(95, Some(256), 2), None);
        assert_eq!(not_as_wished(256, None, 2), None);
    }
}
