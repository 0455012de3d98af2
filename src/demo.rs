//! A tree to show the program with, and the line it goes over; knows no sandbox and no engine.
//!
//! The files are noise from a seed: nothing on the way can compress them, and no two are alike.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use tempfile::TempDir;

/// How fast the demo's line is for someone who watches, in bytes a second: slow enough to try the
/// keys, fast enough to see the end, in about a minute and a half.
pub const LINE: u64 = 5 << 20;

/// What goes wrong on the demo's line, and how often: `(kind, share of the requests)`, in the words
/// of `sandbox --fault`.
pub const FAULTS: &[(&str, f64)] = &[
    ("error-before", 0.02),
    ("error-after", 0.02),
    ("reset", 0.03),
    ("lost-answer", 0.02),
    ("link-expired", 0.01),
];

/// The demo's part size, in bytes: small enough for a dozen parts of the largest file, large beside
/// the 4 MiB that a kernel may take ahead of the line.
pub const PART_SIZE: u64 = 10 << 20;

/// The files, by path and size in KiB; about half a gigabyte.
const TREE: &[(&str, u64)] = &[
    ("2019/Hochzeit Müller/01 Trauung.mov", 122_880),
    ("2019/Hochzeit Müller/02 Feier.mov", 81_920),
    ("2019/Hochzeit Müller/raw/A001_C003_0602.mxf", 65_540),
    ("2021/Reise nach 京都/伏見稲荷.mp4", 49_152),
    ("2021/Reise nach 京都/嵐山 🎋.mp4", 40_960),
    ("2021/Reise nach 京都/Notizen.txt", 2),
    ("2023/interviews/Zoë – take 1.mkv", 32_768),
    ("2023/interviews/Zoë – take 2.mkv", 24_577),
    ("2023/interviews/sound/Zoë.wav", 20_480),
    ("2024/drone/DJI_0042.mp4", 16_384),
    ("2024/drone/DJI_0043.mp4", 12_288),
    ("2024/-unsorted-/clip (1).webm", 9_000),
    ("2024/-unsorted-/clip (2).webm", 7_300),
    ("podcast/s01/e01_the_first_one.mp3", 5_120),
    ("podcast/s01/e02_silence.flac", 3_333),
    ("trailer.m4v", 1_024),
];

/// Writes the tree into `folder`, each size divided by `shrink` (1 for the real thing). The same
/// seed gives the same bytes. Blocks on the disk.
///
/// Returns how many bytes it wrote.
///
/// # Errors
/// Those of the disk.
pub fn write_tree(folder: &Path, seed: u64, shrink: u64) -> io::Result<u64> {
    let mut noise = fastrand::Rng::with_seed(seed);
    let mut written = 0;
    for (name, kib) in TREE {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let size = (kib * 1024 / shrink.max(1)).max(1);
        write_noise(&path, size, &mut noise)?;
        written += size;
    }
    Ok(written)
}

/// The same in a temporary folder, that goes when the value does.
///
/// # Errors
/// Those of the disk.
pub fn temporary_tree(seed: u64, shrink: u64) -> io::Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("reelhaul-demo-")
        .tempdir()?;
    write_tree(folder.path(), seed, shrink)?;
    Ok(folder)
}

fn write_noise(path: &Path, size: u64, noise: &mut fastrand::Rng) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut block = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        let length = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        noise.fill(&mut block[..length]);
        file.write_all(&block[..length])?;
        left -= length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::{add_paths::AddPaths, scan};

    #[test]
    fn a_walk_finds_the_whole_tree_but_for_the_notes() {
        let folder = TempDir::new().unwrap();
        let written = write_tree(folder.path(), 1, 1024).unwrap();
        let add = AddPaths {
            paths: vec![folder.path().to_path_buf()],
            ..AddPaths::default()
        };
        let (mut found, mut skipped, mut bytes) = (0, 0, 0);
        let walked = scan::walk(&add, &mut |batch| {
            found += batch.found.len();
            bytes += batch
                .found
                .iter()
                .map(|found| found.stat.identity.size)
                .sum::<u64>();
            skipped += batch.skipped.len();
            ControlFlow::Continue(())
        });
        assert!(walked.is_ok());
        assert_eq!((found, skipped, written - bytes), (15, 1, 2));
    }

    #[test]
    fn the_same_seed_gives_the_same_tree_and_another_a_different_one() {
        let bytes = |seed: u64| {
            let folder = temporary_tree(seed, 1024).unwrap();
            fs::read(folder.path().join("trailer.m4v")).unwrap()
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn the_tree_is_as_large_as_it_says_and_can_be_watched() {
        let largest = TREE.iter().map(|(_, kib)| *kib).max();
        assert_eq!(largest, Some(120 * 1024));
        let bytes: u64 = TREE.iter().map(|(_, kib)| kib * 1024).sum();
        assert!((80..120).contains(&(bytes / LINE)), "{} s", bytes / LINE);
    }
}
