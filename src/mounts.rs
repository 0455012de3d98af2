//! Where disks are mounted, by what the system says: no disk is touched, which may hang.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// The table of mounts of this process (`proc_pid_mountinfo(5)`); other systems have none.
const TABLE: &str = "/proc/self/mountinfo";

/// The mount points of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mounts {
    points: Vec<PathBuf>,
}

impl Mounts {
    /// Those there are now; none where the system does not say.
    #[must_use]
    pub fn read() -> Self {
        let table = std::fs::read(TABLE);
        table.map_or_else(|_| Self::default(), |table| Self::of(&table))
    }

    /// Reads the table: the fifth field of each line is the mount point.
    fn of(table: &[u8]) -> Self {
        let lines = table.split(|byte| *byte == b'\n');
        let fields = lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
        Self {
            points: fields.map(unescaped).collect(),
        }
    }

    /// The mount point that this path is below; the root where none is known.
    #[must_use]
    pub fn point(&self, path: &Path) -> &Path {
        let over = self.points.iter().filter(|point| path.starts_with(point));
        let longest = over.max_by_key(|point| point.as_os_str().len());
        longest.map_or(Path::new("/"), PathBuf::as_path)
    }

    /// Whether something is mounted just there.
    #[must_use]
    pub fn has(&self, point: &Path) -> bool {
        self.points.iter().any(|known| known == point)
    }
}

/// A path of the table: blanks, tabs, newlines and backslashes stand there as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\');
        let digits = octal.and_then(|octal| std::str::from_utf8(octal).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = br"21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
35 21 0:31 / /mnt rw - tmpfs none rw
36 35 7:0 / /mnt/tape\040one rw,noatime - ext4 /dev/loop0 rw
37 35 0:40 / /mnt/back\134slash rw - fuse films rw
";

    #[test]
    fn a_path_is_on_the_disk_whose_mount_point_is_nearest_above_it() {
        let mounts = Mounts::of(TABLE);
        for (path, point) in [
            ("/srv/films/a.mp4", "/"),
            ("/mnt/a.mp4", "/mnt"),
            ("/mnt/tape one/sub/a.mp4", "/mnt/tape one"),
            ("/mnt/tape one", "/mnt/tape one"),
            ("/mnt/tape onesie/a.mp4", "/mnt"),
            ("/mnt/back\\slash/a.mp4", "/mnt/back\\slash"),
        ] {
            assert_eq!(mounts.point(Path::new(path)), Path::new(point), "{path}");
        }
        assert!(mounts.has(Path::new("/mnt")));
        assert!(!mounts.has(Path::new("/mnt/tape")));
    }

    #[test]
    fn without_a_table_all_is_on_one_disk() {
        let mounts = Mounts::default();
        assert_eq!(mounts.point(Path::new("/mnt/a.mp4")), Path::new("/"));
    }
}
