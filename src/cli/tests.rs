//! Lines as people type them, and what is read from them.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::Path, time::Duration};

use clap::error::ErrorKind;

use super::*;
use crate::settings::{Concurrency, Settings};

fn read(line: &str) -> Result<Cli, clap::Error> {
    Cli::read(line.split(' ').map(OsString::from))
}

fn up(line: &str) -> Up {
    match read(line)
        .unwrap_or_else(|error| panic!("{line}: {error}"))
        .command
    {
        Command::Up(up) => up,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_word_much_like_a_command_is_told_from_a_path() {
    let meant = |word: &str| meant(Path::new(word));
    assert_eq!(meant("sesions").as_deref(), Some("sessions"));
    assert_eq!(meant("resmue").as_deref(), Some("resume"));
    assert_eq!(meant("chekc").as_deref(), Some("check"));
    for path in ["film.mov", "/archive", "up/", "x", "demos/2019"] {
        assert_eq!(meant(path), None, "{path}");
    }
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn up_may_be_left_out() {
    for line in [
        "reelhaul a b --to x",
        "reelhaul up a b --to x",
        "reelhaul --to x a b",
        "reelhaul --config c a b --to x",
        "reelhaul --config=c -v a --to=x b",
        "reelhaul --to x -- a b",
        "reelhaul --verbose -vv a b --to x",
    ] {
        let up = up(line);
        assert_eq!(up.paths, [Path::new("a"), Path::new("b")], "{line}");
        assert_eq!(up.to.as_deref(), Some("x"), "{line}");
    }
}

#[test]
fn a_path_may_be_named_like_a_command_or_begin_with_a_dash_or_be_no_text() {
    assert_eq!(up("reelhaul ./demo").paths, [Path::new("./demo")]);
    assert_eq!(up("reelhaul -- demo").paths, [Path::new("demo")]);
    assert_eq!(up("reelhaul up demo").paths, [Path::new("demo")]);
    assert_eq!(
        up("reelhaul a demo").paths,
        [Path::new("a"), Path::new("demo")]
    );
    assert_eq!(up("reelhaul -- -rf.mp4").paths, [Path::new("-rf.mp4")]);
    let odd = OsString::from_vec(b"\xff.mp4".to_vec());
    let cli = Cli::read(["reelhaul".into(), odd.clone()]).unwrap();
    let Command::Up(up) = cli.command else {
        panic!("{cli:?}")
    };
    assert_eq!(up.paths, [PathBuf::from(odd)]);
}

#[test]
fn every_command_takes_a_config_before_and_after_it() {
    for command in [
        "up a",
        "resume",
        "sessions",
        "report",
        "ledger list",
        "ledger forget a",
        "ledger import s",
        "ledger rebuild",
        "check",
        "sandbox",
        "demo",
        "attach",
        "detach",
    ] {
        for line in [
            format!("reelhaul --config c {command}"),
            format!("reelhaul {command} --config c"),
        ] {
            assert_eq!(
                read(&line).unwrap().global.config,
                Some("c".into()),
                "{line}"
            );
        }
    }
}

#[test]
fn all_of_up_is_understood() {
    let up = up(
        "reelhaul up t --to n --session f --part-size 16MiB --parts 8 --files 3 \
                 --bandwidth 20MiB/s --include *.mov --include *.mp4 --exclude raw --json \
                 --on-hangup detach --fps 5",
    );
    assert_eq!(up.include, ["*.mov", "*.mp4"]);
    assert_eq!(up.add_paths().exclude, ["raw"]);
    assert!(up.screen.is_headless() && !up.screen.headless);
    assert_eq!(up.screen.on_hangup, Some(OnHangup::Detach));
    let settings = up.tuning.over(Settings::default());
    assert_eq!(settings.part_size.to_string(), "16MiB");
    assert_eq!(settings.parts_in_flight, Concurrency::Fixed(8));
    assert_eq!(settings.files_in_flight, 3);
    assert_eq!(settings.bandwidth.to_string(), "20MiB/s");
    assert_eq!(settings.retries, Settings::default().retries);
}

#[test]
fn a_bandwidth_for_good_goes_before_the_sessions_schedule_and_a_schedule_before_both() {
    let over = |line: &str, settings: Settings| up(line).tuning.over(settings);
    let rules = "Mon-Fri 08:00-18:00 2MiB/s; unlimited";
    let mut scheduled = Settings::default();
    scheduled.wish_bandwidth(rules.parse().unwrap());
    assert_eq!(over("reelhaul up t", scheduled.clone()), scheduled);
    let plain = over("reelhaul up t --bandwidth 3MiB/s", scheduled);
    assert!(plain.schedule.is_empty());
    assert_eq!(plain.bandwidth.to_string(), "3MiB/s");
    let tuning = Tuning {
        bandwidth: Some(rules.parse().unwrap()),
        ..Tuning::default()
    };
    assert_eq!(tuning.over(plain).schedule.to_string(), rules);
    for line in ["--bandwidth 16", "--part-size 16", "--bandwidth fast"] {
        assert!(read(&format!("reelhaul up t {line}")).is_err(), "{line}");
    }
}

#[test]
fn all_of_sandbox_is_understood() {
    let line = "reelhaul sandbox --listen 127.0.0.1:99 --dir d --speed 50MiB/s \
                --latency 80ms --fault reset=0.05 --fault 429=1 --processing 2s --link-ttl 1m";
    let Command::Sandbox(sandbox) = read(line).unwrap().command else {
        panic!("no sandbox")
    };
    assert_eq!(sandbox.listen.port(), 99);
    assert_eq!(*sandbox.latency, Duration::from_millis(80));
    assert_eq!(*sandbox.link_ttl, Duration::from_mins(1));
    assert_eq!(
        sandbox.faults,
        [("reset".to_owned(), 0.05), ("429".to_owned(), 1.0)]
    );
}

#[test]
fn nonsense_is_a_usage_error() {
    for line in [
        "reelhaul up",
        "reelhaul up a --parts 0",
        "reelhaul up a --files 0",
        "reelhaul up a --fps 61",
        "reelhaul up a --part-size huge",
        "reelhaul a --no-such-option",
        "reelhaul sandbox --dir d --discard",
        "reelhaul sandbox --fault reset",
        "reelhaul sandbox --fault reset=2",
        "reelhaul sandbox --fault reset=NaN",
        "reelhaul completions tcl",
        "reelhaul --config",
        "reelhaul --json",
    ] {
        assert_eq!(read(line).unwrap_err().exit_code(), 2, "{line}");
    }
    assert_eq!(Cli::read(["reelhaul".into()]).unwrap_err().exit_code(), 2);
    for line in [
        "reelhaul --help",
        "reelhaul help up",
        "reelhaul --version",
        "reelhaul up -h",
    ] {
        assert_eq!(read(line).unwrap_err().exit_code(), 0, "{line}");
    }
}

#[test]
fn completions_know_the_commands() {
    let mut text = Vec::new();
    completions(clap_complete::Shell::Bash, &mut text).unwrap();
    assert!(String::from_utf8(text).unwrap().contains("--retry-failed"));
}

#[test]
fn all_sessions_are_resumed_as_lines_and_none_is_named_beside_them() {
    assert!(read("reelhaul resume --all --json --retry-failed --parts 4").is_ok());
    for line in [
        "reelhaul resume --all s1",
        "reelhaul resume --all --ascii",
        "reelhaul resume --all --no-mouse",
    ] {
        let error = read(line).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{line}");
    }
}

#[test]
fn sessions_are_listed_unless_some_are_to_be_removed() {
    let sessions = |line: &str| match read(line).unwrap_or_else(|e| panic!("{e}")).command {
        Command::Sessions(sessions) => sessions,
        other => panic!("{line}: {other:?}"),
    };
    let listed = sessions("reelhaul sessions --json");
    assert!(listed.json && listed.action.is_none());
    let prune = |line: &str| match sessions(line).action {
        Some(SessionsAction::Prune(prune)) => prune,
        other => panic!("{line}: {other:?}"),
    };
    let pruned = prune("reelhaul --config c sessions prune");
    assert_eq!(*pruned.older, Duration::from_hours(30 * 24));
    let pruned = prune("reelhaul sessions prune --older 2h --json --config c");
    assert_eq!(*pruned.older, Duration::from_hours(2));
    assert!(pruned.json);
    let error = read("reelhaul sessions rm --yes").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
}
