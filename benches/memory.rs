//! The most memory the client takes while parts are in flight, by the size of a part: a sparse file,
//! a slow line that keeps every part in flight, and a look when all of them have moved bytes.
//!
//! `REELHAUL_BENCH_GIB` (20), `REELHAUL_BENCH_PARTS` (32), `REELHAUL_BENCH_SECONDS` (10).
#![allow(clippy::unwrap_used)] // a panic ends a benchmark, and well

mod common;

use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use common::{Client, GIB, Server, machine, memory_of, mib, row, setting, sparse};

fn main() {
    let parts = setting("PARTS", 32);
    let seconds = setting("SECONDS", 10);
    let file = sparse(setting("GIB", 20) * GIB);
    machine();
    row("peak of resident memory", "MiB", "target");
    for (speed, part) in [
        ("unlimited", "64MiB"),
        ("unlimited", "512MiB"),
        ("16MiB/s", "64MiB"),
        ("16MiB/s", "512MiB"),
    ] {
        let server = Server::start(&["--speed", speed]);
        let client = Client::of(&server.url);
        let many = parts.to_string();
        let mut command = client.up("jw", &file, &["--parts", &many, "--part-size", part]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let mut peak = 0;
        let mut moving = 0;
        while begun.elapsed() < Duration::from_secs(seconds) && child.try_wait().unwrap().is_none()
        {
            peak = peak.max(memory_of(child.id(), "VmHWM:"));
            thread::sleep(Duration::from_millis(20));
        }
        let report = server.report();
        for part in report["media"][0]["parts"].as_array().unwrap() {
            moving += u64::from(part["tries"].as_u64() > Some(0));
        }
        assert!(moving >= parts, "only {moving} parts were begun");
        let most = report["most_connections"].as_u64().unwrap();
        drop(child.kill());
        child.wait().unwrap();
        let what = format!("{parts} parts of {part}, line {speed} ({most} connections)");
        row(&what, format!("{:.1}", mib(peak)), "≤ 48");
    }
}
