//! Writes the demo's tree of media somewhere, to play with: `cargo run --example demo_tree -- FOLDER [SHRINK]`.
//!
//! SHRINK divides every size: 100 makes a tree of five megabytes.

use std::{env, io, path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let folder = args.next().map(PathBuf::from);
    let shrink = args
        .next()
        .map_or(Some(1), |text| text.to_str()?.parse().ok());
    let (Some(folder), Some(shrink)) = (folder, shrink) else {
        eprintln!("usage: demo_tree FOLDER [SHRINK]");
        return ExitCode::from(2);
    };
    match write(&folder, shrink) {
        Ok(bytes) => {
            println!("{bytes} bytes in {}", reelhaul::path::shown(&folder));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", reelhaul::path::shown(&folder));
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &std::path::Path, shrink: u64) -> io::Result<u64> {
    std::fs::create_dir_all(folder)?;
    reelhaul::demo::write_tree(folder, 1, shrink)
}
