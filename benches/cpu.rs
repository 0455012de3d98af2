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

fn main() {
    let size = setting("MIB", 2048) * MIB;
    let file = file(size);
    let server = Server::start(&[]);
    let client = Client::of(&server.url);
    machine();

    let (mut md5sum, mut curl) = (Vec::new(), Vec::new());
    let cases = [1, 2, 4, 8];
    let mut ours: Vec<Vec<Cost>> = vec![Vec::new(); cases.len()];
    let mut busy: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
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
        for ((parts, ours), busy) in cases.iter().zip(&mut ours).zip(&mut busy) {
            let parts = parts.to_string();
            let options = ["--parts", &parts, "--part-size", "16MiB"];
            let before = server.cpu();
            let cost = run(&mut client.up("jw", &file, &options));
            busy.push((cost.cpu + server.cpu() - before) / (cost.sent * cores) * 100.0);
            ours.push(cost);
        }
    }

    row("CPU seconds", "median (quartiles)", "target");
    row("md5sum", middle(md5sum.iter().map(|c| c.cpu)), "");
    row("curl -T", middle(curl.iter().map(|c| c.cpu)), "");
    for (parts, ours) in cases.iter().zip(&ours) {
        let cpu = middle(ours.iter().map(|c| c.cpu));
        row(&format!("reelhaul, {parts} parts in flight"), cpu, "");
        let both = md5sum.iter().zip(&curl).map(|(m, c)| m.cpu + c.cpu);
        let ratio = middle(ours.iter().zip(both).map(|(o, both)| o.cpu / both));
        row("  of md5sum + curl", ratio, "≤ 1.15");
    }
    row("wall seconds until the last part is acknowledged", "", "");
    row("md5sum", middle(md5sum.iter().map(|c| c.wall)), "");
    row("curl -T", middle(curl.iter().map(|c| c.wall)), "");
    for ((parts, ours), busy) in cases.iter().zip(&ours).zip(busy) {
        let wall = middle(ours.iter().map(|c| c.sent));
        row(&format!("reelhaul, {parts} parts in flight"), wall, "");
        let slower = md5sum.iter().zip(&curl).map(|(m, c)| m.wall.max(c.wall));
        let ratio = middle(ours.iter().zip(slower).map(|(o, slower)| o.sent / slower));
        let target = if *parts > 1 { "≤ 1.00" } else { "" };
        row("  of the slower of the two", ratio, target);
        // Where this is all there is, no program is faster that hashes as much at both ends.
        row(
            "  of all cores, busy with client and server: %",
            middle(busy),
            "",
        );
    }
}
