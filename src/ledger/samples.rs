//! Samples of a file's bytes.

use std::{collections::HashSet, fs::File, io, os::unix::fs::FileExt};

use md5::{Digest as _, Md5};

/// How many bytes a block has.
const BLOCK: usize = 32 * 1024;

/// How many blocks are read.
const BLOCKS: usize = 16;

/// A hash of fewer different blocks than these is weak.
const DIFFERENT: usize = 12;

/// What is hashed first: these samples are no MD5 of anything else.
const DOMAIN: &[u8] = b"reelhaul samples 1\0";

/// Samples of a file's bytes: a hash of 16 blocks of 32 KiB, evenly spread, the first and the last among
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Samples {
    /// The hash.
    pub hash: [u8; 16],
    /// Whether fewer than 12 of the blocks differ from each other: the hash says little then.
    pub weak: bool,
    /// Whether the blocks are the whole file.
    pub whole: bool,
}

impl Samples {
    /// Samples of an open file of `size` bytes. Reads at most 0.5 MiB and moves no cursor.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the file is shorter than that, and what reading returns.
    pub fn of(file: &File, size: u64) -> io::Result<Self> {
        let mut hash = Md5::new();
        hash.update(DOMAIN);
        hash.update(size.to_le_bytes());
        let whole = size <= (BLOCK * BLOCKS) as u64;
        let mut different = HashSet::new();
        let mut block = vec![0; BLOCK];
        if whole {
            let mut offset = 0;
            while offset < size {
                let length = usize::try_from(size - offset).map_or(BLOCK, |left| left.min(BLOCK));
                file.read_exact_at(&mut block[..length], offset)?;
                hash.update(&block[..length]);
                offset += length as u64;
            }
        } else {
            for offset in offsets(size) {
                file.read_exact_at(&mut block, offset)?;
                let of_block: [u8; 16] = Md5::digest(&block).into();
                hash.update(of_block);
                different.insert(of_block);
            }
        }
        Ok(Self {
            hash: hash.finalize().into(),
            weak: !whole && different.len() < DIFFERENT,
            whole,
        })
    }

    /// As it is kept in a database.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 17] {
        let mut bytes = [0; 17];
        bytes[..16].copy_from_slice(&self.hash);
        bytes[16] = u8::from(self.weak) | u8::from(self.whole) << 1;
        bytes
    }

    /// What [`Self::to_bytes`] made; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (hash, flags) = bytes.split_first_chunk::<16>()?;
        let flags = match flags {
            [flags @ 0..=3] => *flags,
            _ => return None,
        };
        Some(Self {
            hash: *hash,
            weak: flags & 1 != 0,
            whole: flags & 2 != 0,
        })
    }
}

/// Where the blocks of a file begin that is longer than all of them.
fn offsets(size: u64) -> impl Iterator<Item = u64> {
    let last = u128::from(size - BLOCK as u64);
    let steps = BLOCKS as u128 - 1;
    // No more than `last`, which came from 64 bits.
    (0..=steps).map(move |step| u64::try_from(last * step / steps).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A file of so many bytes, zeros but for these.
    fn file(size: u64, bytes: &[(u64, u8)]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (at, byte) in bytes {
            file.write_all_at(&[*byte], *at).unwrap();
        }
        file
    }

    fn of(size: u64, bytes: &[(u64, u8)]) -> Samples {
        Samples::of(&file(size, bytes), size).unwrap()
    }

    /// A file that differs in so many of its blocks.
    fn different(size: u64, blocks: usize) -> Samples {
        let bytes: Vec<(u64, u8)> = offsets(size).zip(1..).take(blocks).collect();
        of(size, &bytes)
    }

    #[test]
    fn a_small_file_is_seen_whole_and_says_all_there_is_to_say() {
        for size in [0, 1, 1_000, 100_000, MIB / 2] {
            let samples = of(size, &[]);
            assert!(samples.whole && !samples.weak, "{size}");
            for at in [0, size / 3, size.saturating_sub(1)] {
                if size > 0 {
                    assert_ne!(of(size, &[(at, 1)]), samples, "{size}, {at}");
                }
            }
        }
        assert!(!of(MIB / 2 + 1, &[]).whole);
    }

    #[test]
    fn the_first_and_the_last_byte_are_seen_and_blocks_lie_evenly_between() {
        for size in [MIB / 2 + 1, MIB + 3, 1 << 40, 8_000_000_000_000_000] {
            let offsets: Vec<u64> = offsets(size).collect();
            assert_eq!(offsets.len(), BLOCKS);
            assert_eq!(offsets[0], 0);
            assert_eq!(offsets[BLOCKS - 1] + BLOCK as u64, size);
            let steps: Vec<u64> = offsets.windows(2).map(|two| two[1] - two[0]).collect();
            let (least, most) = (steps.iter().min().unwrap(), steps.iter().max().unwrap());
            assert!(most - least <= 1, "{size}: {steps:?}");
            assert!(*least >= BLOCK as u64, "{size}: no byte is read twice");
        }
        let size = 40 * MIB;
        assert_ne!(of(size, &[(0, 1)]), of(size, &[]));
        assert_ne!(of(size, &[(size - 1, 1)]), of(size, &[]));
    }

    #[test]
    fn bytes_between_the_blocks_are_not_seen() {
        let size = 40 * MIB;
        let between = offsets(size).nth(5).unwrap() + BLOCK as u64;
        assert_eq!(of(size, &[(between, 1)]), of(size, &[]));
    }

    #[test]
    fn samples_of_twelve_different_blocks_say_something_and_of_fewer_little() {
        let size = 40 * MIB;
        // The others are zeros, and count as one.
        assert!(of(size, &[]).weak);
        assert!(different(size, 10).weak);
        assert!(!different(size, 11).weak);
        assert!(!different(size, 16).weak);
    }

    #[test]
    fn zeros_of_another_size_have_other_samples() {
        assert_ne!(of(40 * MIB, &[]).hash, of(41 * MIB, &[]).hash);
        assert_ne!(of(10, &[]).hash, of(11, &[]).hash);
    }

    #[test]
    fn a_file_that_shrank_is_an_error_whatever_its_size() {
        for size in [0, 5, MIB / 2, 40 * MIB] {
            let error = Samples::of(&file(size, &[]), size + 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{size}");
        }
    }

    #[test]
    fn reading_moves_no_cursor() {
        let mut file = file(40 * MIB, &[]);
        Samples::of(&file, 40 * MIB).unwrap();
        assert_eq!(file.stream_position().unwrap(), 0);
    }

    #[test]
    fn samples_come_back_from_a_database_as_they_were() {
        for samples in [of(5, &[]), of(40 * MIB, &[]), different(40 * MIB, 16)] {
            assert_eq!(Samples::from_bytes(&samples.to_bytes()), Some(samples));
        }
        for bad in [&[][..], &[0; 16], &[4; 17], &[0; 18]] {
            assert_eq!(Samples::from_bytes(bad), None);
        }
    }
}
