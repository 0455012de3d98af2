//! What tells whether a file is still the one that was begun: size, time of change, inode.

use std::{fs::Metadata, os::unix::fs::MetadataExt, time::Duration};

use jiff::Timestamp;

use crate::error::{Error, Kind};

/// A file that has changed since it was queued is looked at again after this long.
const GROWING: Duration = Duration::from_secs(5);

/// A file younger than this may be one that is just being written.
const FRESH: Duration = Duration::from_secs(1);

/// A file as it was when it was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its size in bytes.
    pub size: u64,
    /// When it was last modified, to the nanosecond.
    pub modified: Timestamp,
    /// Its inode's number, 0 where unknown. Some file systems number anew with every mount, so
    /// another number alone is a reason to look closer, not a change.
    pub inode: u64,
}

impl Identity {
    /// The identity of a file by its metadata. Times beyond the years a timestamp can hold are
    /// brought to the nearest it can.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self::new(
            metadata.len(),
            metadata.mtime(),
            i32::try_from(metadata.mtime_nsec()).unwrap_or(0),
            metadata.ino(),
        )
    }

    /// The identity with a time as the file system tells it: seconds and nanoseconds since 1970.
    #[must_use]
    pub fn new(size: u64, seconds: i64, nanoseconds: i32, inode: u64) -> Self {
        let modified = Timestamp::new(seconds, nanoseconds).unwrap_or(if seconds < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        });
        Self {
            size,
            modified,
            inode,
        }
    }

    /// Whether `now` is another file or another version of it, told in words.
    ///
    /// # Errors
    /// [`Kind::Changed`] with what differs.
    pub fn check(&self, now: &Self) -> Result<(), Error> {
        if self.size != now.size {
            let words = format!("its size was {} bytes and is {} now", self.size, now.size);
            return Err(Error::new(Kind::Changed, words));
        }
        if self.modified != now.modified {
            let words = format!("it was modified at {}, after it was queued", now.modified);
            return Err(Error::new(Kind::Changed, words));
        }
        Ok(())
    }

    /// For how long the file is to be left alone before it is begun: it may still be written to.
    /// `now` is the file as it is now, `clock` the time. A file that is newer than the clock was
    /// written under another clock, and says nothing.
    #[must_use]
    pub fn unrest(&self, now: &Self, clock: Timestamp) -> Option<Duration> {
        if self.check(now).is_err() {
            return Some(GROWING);
        }
        let age = Duration::try_from(clock.duration_since(now.modified)).ok()?;
        FRESH.checked_sub(age).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_inode_alone_is_no_change_but_a_nanosecond_is() {
        let file = Identity::new(10, 1_000, 5, 7);
        assert!(file.check(&Identity::new(10, 1_000, 5, 8)).is_ok());
        assert_eq!(
            file.check(&Identity::new(10, 1_000, 6, 7))
                .unwrap_err()
                .kind,
            Kind::Changed
        );
        assert_eq!(
            file.check(&Identity::new(11, 1_000, 5, 7))
                .unwrap_err()
                .kind,
            Kind::Changed
        );
    }

    #[test]
    fn a_file_that_grows_or_is_new_is_left_alone_for_a_while() {
        let at = |seconds| Timestamp::new(seconds, 0).unwrap();
        let file = Identity::new(10, 1_000, 0, 7);
        assert_eq!(file.unrest(&file, at(1_002)), None);
        assert_eq!(file.unrest(&file, at(1_000)), Some(FRESH));
        assert_eq!(file.unrest(&file, at(990)), None, "another clock");
        let grown = Identity::new(11, 1_000, 0, 7);
        assert_eq!(file.unrest(&grown, at(2_000)), Some(GROWING));
    }

    #[test]
    fn a_time_beyond_the_calendar_is_no_panic() {
        assert_eq!(Identity::new(1, i64::MAX, 0, 1).modified, Timestamp::MAX);
        assert_eq!(Identity::new(1, i64::MIN, 0, 1).modified, Timestamp::MIN);
    }
}
