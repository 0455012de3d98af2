//! Whether the number of parts that is found by itself follows a line that changes: how much of the
//! line is used, second by second, while one large file goes over it (root alone). `-- change` takes
//! it from 200 to 20 Mbit/s and back, `-- drift` slowly to 80 and back, `-- loss` loses one packet of
//! a hundred; without a word all three. Each takes about three minutes.
#![allow(clippy::unwrap_used)] // a panic ends a benchmark, and well

mod common;

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use common::{
    Client, GIB, Server,
    line::{FAR, Line, NEAR},
    machine, row, setting, sparse,
};

/// A stretch of time with one line: seconds, Mbit/s, packets lost of a hundred.
type Stretch = (u64, u64, f64);

fn main() {
    machine();
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let full = setting("MBIT", 200);
    let drift = (0..=36u64).map(|step| {
        let down = step.min(36 - step);
        (5, full - full * 6 / 10 * down / 18, 0.0)
    });
    let plays: [(&str, Vec<Stretch>); 3] = [
        (
            "change",
            vec![(60, full, 0.0), (60, full / 10, 0.0), (60, full, 0.0)],
        ),
        ("drift", drift.collect()),
        ("loss", vec![(90, full, 1.0)]),
    ];
    for (name, stretches) in plays {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            println!("{name}");
            play(&stretches);
        }
    }
}

fn play(stretches: &[Stretch]) {
    let Some(mut line) = Line::start() else {
        return println!("no long line: it takes root, `ip netns` and /dev/net/tun");
    };
    let server = Server::start_at(Some(FAR.0), FAR.1, &[]);
    let client = Client::in_namespace(Some(NEAR), &server.url);
    let mut child = client
        .up("jw", &sparse(16 * GIB), &[])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let told = BufReader::new(child.stdout.take().unwrap());
    let teller = thread::spawn(move || {
        let mut before = None;
        for line in told.lines().map_while(Result::ok) {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            let Some(parts) = line["parts_running"].as_u64() else {
                continue;
            };
            if before.replace(parts) != Some(parts) {
                let at = begun.elapsed().as_secs_f64();
                println!("{at:>6.1} s  {parts} parts in flight");
            }
        }
    });
    let received = || server.report()["bytes_received"].as_u64().unwrap();
    for &(seconds, mbit, loss) in stretches {
        line.set(mbit, loss);
        // The first half minute is for following; of a short stretch it is all there is.
        let first = seconds.min(30);
        for (part, seconds) in [("at first", first), ("then", seconds - first)] {
            if seconds == 0 {
                continue;
            }
            let (from, before) = (Instant::now(), received());
            thread::sleep(Duration::from_secs(seconds));
            let took = from.elapsed().as_secs_f64();
            #[allow(clippy::cast_precision_loss)]
            let speed = (received() - before) as f64 * 8.0 / 1e6 / took;
            #[allow(clippy::cast_precision_loss)]
            let share = 100.0 * speed / mbit as f64;
            let what = format!("{mbit} Mbit/s, {loss} % lost, {part}");
            row(&what, format!("{speed:.0} Mbit/s, {share:.0} %"), "");
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    teller.join().unwrap();
}
