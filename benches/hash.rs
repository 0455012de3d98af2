//! What MD5 costs by itself, without a disk or a line: one stream, and several in turns on one thread,
//! held against the `md-5` crate on the same bytes.
//!
//! `REELHAUL_BENCH_RUNS` (5).
#![allow(clippy::unwrap_used)] // a panic ends a benchmark, and well

mod common;

use std::time::Instant;

use bytes::Bytes;
use md5::{Digest, Md5};
use reelhaul::{body::BLOCK, hashing::Hashing};

use common::{GIB, machine, middle, row, runs};

/// Seconds to hash a GiB in all by so many streams.
fn in_turns(streams: usize, block: &Bytes, blocks: usize) -> f64 {
    let hashing = Hashing::default();
    let mut all: Vec<_> = (0..streams).map(|_| hashing.stream()).collect();
    let begun = Instant::now();
    for at in 0..blocks {
        all[at % streams].add(block.clone());
    }
    for stream in all {
        std::hint::black_box(stream.finish());
    }
    begun.elapsed().as_secs_f64()
}

fn alone(block: &Bytes, blocks: usize) -> f64 {
    let begun = Instant::now();
    let mut md5 = Md5::new();
    for _ in 0..blocks {
        md5.update(block);
    }
    std::hint::black_box(md5.finalize());
    begun.elapsed().as_secs_f64()
}

fn main() {
    machine();
    let block: Bytes = (0..BLOCK).map(|_| fastrand::u8(..)).collect();
    let blocks = usize::try_from(GIB).unwrap() / BLOCK;
    let cases = [1, 2, 3, 8];
    let mut crates = Vec::new();
    let mut ours = vec![Vec::new(); cases.len()];
    for _ in 0..runs() {
        crates.push(alone(&block, blocks));
        for (streams, ours) in cases.iter().zip(&mut ours) {
            ours.push(in_turns(*streams, &block, blocks));
        }
    }
    row("md-5: s/GiB", middle(crates.iter().copied()), "");
    for (streams, ours) in cases.iter().zip(&ours) {
        let name = format!("reelhaul, streams side by side: {streams}");
        row(&name, middle(ours.iter().copied()), "");
        let ratio = ours.iter().zip(&crates).map(|(ours, theirs)| ours / theirs);
        row("  of md-5", middle(ratio), "");
    }
}
