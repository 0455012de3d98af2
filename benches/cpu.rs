//! What sending a file costs the machine it is on: user and system time of the client alone, held
//! against `md5sum` and `curl -T` of the same file to the same server. The file is in the page cache
//! and the server keeps nothing.
//!
//! `REELHAUL_BENCH_MIB` (2048), `REELHAUL_BENCH_RUNS` (5).
#![allow(clippy::unwrap_used)] // a panic ends a benchmark, and well

mod common;

use std::{
    process::{Command, Stdio},
    thread,
};

use common::{Client, Cost, MIB, Server, file, machine, middle, row, run, runs, setting};

/// Where no time is saved by parts that overlap.
const ALONE: &str = "1 part in flight";

/// How it is told to send the file.
const CASES: [(&str, &[&str]); 5] = [
    (ALONE, &["--parts", "1", "--part-size", "16MiB"]),
    (
        "2 parts in flight",
        &["--parts", "2", "--part-size", "16MiB"],
    ),
    (
        "4 parts in flight",
        &["--parts", "4", "--part-size", "16MiB"],
    ),
    (
        "8 parts in flight",
        &["--parts", "8", "--part-size", "16MiB"],
    ),
    ("as it comes", &[]),
];

fn main() {
    let size = setting("MIB", 2048) * MIB;
    let file = file(size);
    let server = Server::start(&[]);
    let client = Client::of(&server.url);
    machine();

    let (mut md5sum, mut curl) = (Vec::new(), Vec::new());
    let mut ours: Vec<Vec<Cost>> = vec![Vec::new(); CASES.len()];
    let mut busy: Vec<Vec<f64>> = vec![Vec::new(); CASES.len()];
    #[allow(clippy::cast_precision_loss)]
    let cores = thread::available_parallelism().unwrap().get() as f64;
    // One after another in every round, so that a busy minute falls on all of them.
    for _ in 0..runs() {
        md5sum.push(run(Command::new("md5sum").arg(&file)));
        let link = server.link();
        curl.push(run(Command::new("curl")
            .args(["-sS", "-f", "-T"])
            .arg(&file)
            .arg(link)
            .stderr(Stdio::inherit())));
        for (((_, options), ours), busy) in CASES.iter().zip(&mut ours).zip(&mut busy) {
            let before = server.cpu();
            let cost = run(&mut client.up("jw", &file, options));
            busy.push((cost.cpu + server.cpu() - before) / (cost.sent * cores) * 100.0);
            ours.push(cost);
        }
    }

    row("CPU seconds", "median (quartiles)", "target");
    row("md5sum", middle(md5sum.iter().map(|c| c.cpu)), "");
    row("curl -T", middle(curl.iter().map(|c| c.cpu)), "");
    for ((name, _), ours) in CASES.iter().zip(&ours) {
        let cpu = middle(ours.iter().map(|c| c.cpu));
        row(&format!("reelhaul, {name}"), cpu, "");
        let both = md5sum.iter().zip(&curl).map(|(m, c)| m.cpu + c.cpu);
        let ratio = middle(ours.iter().zip(both).map(|(o, both)| o.cpu / both));
        row("  of md5sum + curl", ratio, "≤ 1.15");
    }
    row("wall seconds until the last part is acknowledged", "", "");
    row("md5sum", middle(md5sum.iter().map(|c| c.wall)), "");
    row("curl -T", middle(curl.iter().map(|c| c.wall)), "");
    for (((name, _), ours), busy) in CASES.iter().zip(&ours).zip(busy) {
        let wall = middle(ours.iter().map(|c| c.sent));
        row(&format!("reelhaul, {name}"), wall, "");
        let slower = md5sum.iter().zip(&curl).map(|(m, c)| m.wall.max(c.wall));
        let ratio = middle(ours.iter().zip(slower).map(|(o, slower)| o.sent / slower));
        let target = if *name == ALONE { "" } else { "≤ 1.00" };
        row("  of the slower of the two", ratio, target);
        // Where this is all there is, no program is faster that hashes as much at both ends.
        row(
            "  of all cores, busy with client and server: %",
            middle(busy),
            "",
        );
    }
}
