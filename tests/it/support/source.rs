//! A file as a test writes it.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};

use super::{MIB, hex};

/// A file as it was written.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

impl Source {
    /// Writes a file of bytes that look random, the same for the same seed. It was last changed an
    /// hour ago: a younger one would be waited for, since it may still be written to.
    pub(crate) fn write(path: impl Into<PathBuf>, size: u64, seed: u64) -> Self {
        let path = path.into();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::create(&path).unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut hash = Sha256::new();
        let mut block = vec![0; usize::try_from(MIB).unwrap()];
        let mut left = size;
        while left > 0 {
            let length = usize::try_from(left.min(MIB)).unwrap();
            random.fill(&mut block[..length]);
            file.write_all(&block[..length]).unwrap();
            hash.update(&block[..length]);
            left -= length as u64;
        }
        let sha256 = hex(&hash.finalize());
        file.set_modified(an_hour_ago()).unwrap();
        Self { path, size, sha256 }
    }

    /// A file as it is there.
    pub(crate) fn of(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let mut file = fs::File::open(&path).unwrap();
        let mut hash = Sha256::new();
        let mut block = vec![0; usize::try_from(MIB).unwrap()];
        let mut size = 0;
        loop {
            let length = file.read(&mut block).unwrap();
            if length == 0 {
                break;
            }
            hash.update(&block[..length]);
            size += length as u64;
        }
        let sha256 = hex(&hash.finalize());
        Self { path, size, sha256 }
    }

    /// The title it goes by.
    pub(crate) fn title(&self) -> String {
        reelhaul::metadata::title(&self.path)
    }
}

/// When a file of an archive was last changed; never the same moment twice.
pub(crate) fn an_hour_ago() -> SystemTime {
    SystemTime::now() - Duration::from_hours(1)
}
