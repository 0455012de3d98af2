//! The same file to the same sandbox by us and by the vendors' own clients, in turns: on loopback,
//! and over a long line (root alone); `-- loopback` or `-- line` does one of them.
//! `benches/vendors/setup.sh FOLDER` gets the clients; without them we are measured alone. The parts
//! of api.video's are no smaller than lets a file through within its 100 uploads a minute, which we
//! keep to and its clients do not.
//!
//! `REELHAUL_BENCH_VENDORS` (the folder), `REELHAUL_BENCH_MIB` (1024), `REELHAUL_BENCH_LINE_MIB`
//! (1024), `REELHAUL_BENCH_MBIT` (200), `REELHAUL_BENCH_RTT` (100), `REELHAUL_BENCH_RUNS` (5).
#![allow(clippy::unwrap_used)] // a panic ends a benchmark, and well

mod common;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use common::{
    Client, Cost, MIB, Server, file,
    line::{FAR, Line, NEAR},
    machine, mib, middle, program, row, run, runs, setting,
};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/vendors");

/// One of the clients.
struct Vendor {
    name: &'static str,
    /// Which of our destinations it is held against.
    kind: &'static str,
    script: &'static str,
    python: bool,
    /// Part sizes in MiB; `None` is its own default.
    parts: &'static [Option<u64>],
}

const VENDORS: &[Vendor] = &[
    Vendor {
        name: "jwplatform 2.2.2 (Python)",
        kind: "jw",
        script: "jwplatform_up.py",
        python: true,
        parts: &[None, Some(16)],
    },
    Vendor {
        name: "api.video 1.4.7 (Python)",
        kind: "av",
        script: "apivideo_up.py",
        python: true,
        parts: &[None, Some(20)],
    },
    Vendor {
        name: "@api.video/nodejs-client 2.6.8",
        kind: "av",
        script: "apivideo_up.cjs",
        python: false,
        parts: &[None, Some(20)],
    },
];

impl Vendor {
    fn command(
        &self,
        namespace: Option<&str>,
        url: &str,
        file: &Path,
        part: Option<u64>,
    ) -> Command {
        let folder = PathBuf::from(std::env::var_os("REELHAUL_BENCH_VENDORS").unwrap());
        let python = folder.join("venv/bin/python");
        let runner = if self.python {
            python.to_str().unwrap()
        } else {
            "node"
        };
        let (host, socket) = url
            .strip_prefix("http://")
            .unwrap()
            .split_once(':')
            .unwrap();
        let mut command = program(namespace, runner);
        command
            .env("NODE_PATH", folder.join("node_modules"))
            .arg(format!("{HERE}/{}", self.script))
            .args([host, socket])
            .arg(file)
            .args(part.map(|part| (part * MIB).to_string()))
            .stderr(Stdio::inherit());
        command
    }
}

fn main() {
    machine();
    let wanted = |part: &str| {
        let mut names = std::env::args()
            .skip(1)
            .filter(|name| !name.starts_with('-'))
            .peekable();
        names.peek().is_none() || names.any(|name| name == part)
    };
    if wanted("loopback") {
        loopback();
        println!();
    }
    if !wanted("line") {
        return;
    }
    match Line::start() {
        Some(line) => long_line(&line),
        None => println!("no long line: it takes root, `ip netns` and /dev/net/tun"),
    }
}

/// Those that are there.
fn vendors() -> &'static [Vendor] {
    match std::env::var_os("REELHAUL_BENCH_VENDORS") {
        Some(_) => VENDORS,
        None => &[],
    }
}

fn loopback() {
    let size = setting("MIB", 1024) * MIB;
    let file = file(size);
    #[allow(clippy::cast_precision_loss)]
    let gib = mib(size) / 1024.0;
    let server = Server::start(&[]);
    let client = Client::of(&server.url);
    let md5sum = middle((0..runs()).map(|_| run(Command::new("md5sum").arg(&file)).cpu / gib));
    row("md5sum: CPU s/GiB", md5sum, "");
    for vendor in vendors() {
        for part in vendor.parts {
            // A size of our own only where they choose one that we would not.
            let size = format!(
                "{}MiB",
                part.unwrap_or(if vendor.kind == "jw" { 5 } else { 50 })
            );
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..runs() {
                theirs.push(run(&mut vendor.command(None, &server.url, &file, *part)));
                let options = ["--part-size", &size];
                ours.push(run(&mut client.up(vendor.kind, &file, &options)));
            }
            println!("{}, parts of {size}", vendor.name);
            pair(
                "  CPU s/GiB",
                &ours,
                &theirs,
                |c| c.cpu / gib,
                "≤ theirs + md5sum",
            );
            pair("  wall s", &ours, &theirs, |c| c.sent, "≤ theirs");
            pair("  peak MiB", &ours, &theirs, |c| mib(c.peak), "");
        }
    }
}

fn pair(what: &str, ours: &[Cost], theirs: &[Cost], of: impl Fn(&Cost) -> f64, target: &str) {
    let (ours, theirs) = (middle(ours.iter().map(&of)), middle(theirs.iter().map(&of)));
    row(what, format!("ours {ours}  theirs {theirs}"), target);
}

fn long_line(_line: &Line) {
    let size = setting("LINE_MIB", 1024) * MIB;
    let file = file(size);
    let (mbit, rtt) = (setting("MBIT", 200), setting("RTT", 100));
    let server = Server::start_at(Some(FAR.0), FAR.1, &[]);
    let client = Client::in_namespace(Some(NEAR), &server.url);
    #[allow(clippy::cast_precision_loss)]
    let speed = |cost: &Cost| size as f64 * 8.0 / 1e6 / cost.sent;
    println!(
        "{mbit} Mbit/s and {rtt} ms: Mbit/s for {:.0} MiB",
        mib(size)
    );
    #[allow(clippy::cast_precision_loss)]
    let wanted = format!("≥ {:.0}", mbit as f64 * 0.9);
    let ours = |kind: &str, options: &[&str]| {
        middle((0..runs()).map(|_| speed(&run(&mut client.up(kind, &file, options)))))
    };
    for kind in ["jw", "av"] {
        row(
            &format!("reelhaul to {kind}, as it comes"),
            ours(kind, &[]),
            &wanted,
        );
    }
    for vendor in vendors() {
        for part in vendor.parts {
            let speeds = (0..runs()).map(|_| {
                speed(&run(&mut vendor.command(
                    Some(NEAR),
                    &server.url,
                    &file,
                    *part,
                )))
            });
            let size = part.map_or("default".into(), |part| format!("{part} MiB"));
            row(
                &format!("{}, parts: {size}", vendor.name),
                middle(speeds),
                "",
            );
        }
    }
}
