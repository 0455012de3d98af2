//! The command line: arguments only. Does nothing with them, and knows no engine.
//!
//! `up` may be left out: what is no command is a path. A path that is named like a command is
//! written `./demo`, `up demo` or `-- demo`; one with a leading dash `./-rf.mp4` or `-- -rf.mp4`.

use std::{
    ffi::OsString,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, builder::RangedU64ValueParser};

use crate::{
    engine::protocol::AddPaths,
    settings::{Bandwidth, BandwidthWish, Concurrency, PartSize, Settings},
};

const EXAMPLES: &str = "\
Examples:
  reelhaul demo                                  watch it work, without an account
  reelhaul /archive/2019                         upload a tree to the default destination
  reelhaul up /archive --to videos --parts 8     … to another one, 8 parts at once
  reelhaul resume                                go on where it was left
  reelhaul attach                                … or see what still runs, from another login
  reelhaul up . --to sandbox --headless --json   no terminal, no account, one JSON object a line

A path that is named like a command: ./demo, or after --. One with a leading dash: ./-x.mp4, or after --.

Exit codes: 0 all uploaded; 1 something failed or was left; 2 usage or config; 130 interrupted, saved.";

/// Upload whole trees of media to video platforms, in parts, and never lose the place.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(name = "reelhaul", version, after_help = EXAMPLES, arg_required_else_help = true)]
#[command(subcommand_required = true, infer_subcommands = false)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
#[command(next_help_heading = "Every command")]
pub struct Global {
    /// The config file.
    #[arg(help = "The config [default: $XDG_CONFIG_HOME/reelhaul/config.toml]")]
    #[arg(long, value_name = "FILE", global = true, env = "REELHAUL_CONFIG")]
    pub config: Option<PathBuf>,
    /// Write the log to this file as well
    #[arg(long, value_name = "FILE", global = true, env = "REELHAUL_LOG_FILE")]
    pub log_file: Option<PathBuf>,
    /// Log more; twice for every request
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Queue files and folders, and upload what is media ("up" may be left out)
    Up(Up),
    /// Go on with a session: the newest unfinished one when none is named
    Resume(Resume),
    /// List the sessions that are saved, and how far each is
    Sessions(Sessions),
    /// Tell what became of each file of a session, and which media object it is
    Report(Report),
    /// Ask a destination whether the credentials work: one call, clear words
    Check(Check),
    /// Watch and steer a session that runs in another process
    Attach(Attach),
    /// Have a session's screen leave its terminal; the session goes on in the background
    Detach(Detach),
    /// Run a local server that speaks like the vendors do
    Sandbox(Sandbox),
    /// Watch it work: a small tree, uploaded to an embedded sandbox
    Demo(Demo),
    /// Print what a shell needs to complete commands and options
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// `reelhaul up`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Up {
    /// Files and folders
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// The destination, by its name in the config; "sandbox" needs none
    #[arg(long, value_name = "NAME", env = "REELHAUL_TO")]
    pub to: Option<String>,
    /// The session's file.
    #[arg(
        long,
        value_name = "FILE",
        help = "Keep the session in this file [default: a new one under $XDG_STATE_HOME/reelhaul/sessions]"
    )]
    pub session: Option<PathBuf>,
    /// Send also what another session of the destination has uploaded or begun: it is left out otherwise
    #[arg(long)]
    pub again: bool,
    /// Only files that match: by name ("*.mov") or by path below PATH ("2019/**"); may be repeated
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// No files or folders that match; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// How it goes out.
    #[command(flatten)]
    pub tuning: Tuning,
    /// How it is shown.
    #[command(flatten)]
    pub screen: Screen,
}

impl Up {
    /// What the engine shall walk.
    #[must_use]
    pub fn add_paths(&self) -> AddPaths {
        AddPaths {
            paths: self.paths.clone(),
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            again: self.again,
        }
    }
}

/// `reelhaul resume`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Resume {
    /// The session, by its name, the beginning of that, or its file
    #[arg(value_name = "SESSION")]
    pub session: Option<PathBuf>,
    /// Try again what failed
    #[arg(long)]
    pub retry_failed: bool,
    /// Begin anew what failed or changed: the unfinished media object is removed first
    #[arg(long, conflicts_with = "retry_failed")]
    pub start_over: bool,
    /// How it goes out.
    #[command(flatten)]
    pub tuning: Tuning,
    /// How it is shown.
    #[command(flatten)]
    pub screen: Screen,
}

/// `reelhaul sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Sessions {
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
}

/// `reelhaul report`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Report {
    /// The session, by its name, the beginning of that, or its file [default: the newest]
    #[arg(value_name = "SESSION")]
    pub session: Option<PathBuf>,
    /// One JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
}

/// `reelhaul check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Check {
    /// The destination, by its name in the config [default: the default one]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// `reelhaul attach`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Attach {
    /// The session, by its name [default: the one that runs]
    #[arg(value_name = "SESSION")]
    pub session: Option<PathBuf>,
    /// How it is shown.
    #[command(flatten)]
    pub screen: Screen,
}

/// `reelhaul detach`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Detach {
    /// The session, by its name [default: the one that runs]
    #[arg(value_name = "SESSION")]
    pub session: Option<PathBuf>,
}

/// `reelhaul demo`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Demo {
    /// Divide the size of every file by this; the tree takes half a gigabyte otherwise
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub shrink: u64,
    /// How it goes out.
    #[command(flatten)]
    pub tuning: Tuning,
    /// How it is shown.
    #[command(flatten)]
    pub screen: Screen,
}

/// How uploads go out; what is not said is the config's, or the session's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
#[command(next_help_heading = "Tuning (each can be changed while it runs)")]
pub struct Tuning {
    /// The size of a part: 16MiB, or auto
    #[arg(long, value_name = "SIZE", env = "REELHAUL_PART_SIZE")]
    pub part_size: Option<PartSize>,
    /// Parts in flight, over all files: 1 to 256, auto, or auto:16 for at most so many
    #[arg(long, value_name = "N", env = "REELHAUL_PARTS")]
    pub parts: Option<Concurrency>,
    /// Files under way at once
    #[arg(long, value_name = "N", env = "REELHAUL_FILES", value_parser = RangedU64ValueParser::<u16>::new().range(1..))]
    pub files: Option<u16>,
    /// Bytes a second at most: 20MiB/s, unlimited, or a schedule: "Mon-Fri 08:00-18:00 2MiB/s; unlimited"
    #[arg(long, value_name = "RATE", env = "REELHAUL_BANDWIDTH")]
    pub bandwidth: Option<BandwidthWish>,
    /// How often a part that failed is tried again before you are asked
    #[arg(long, value_name = "N", env = "REELHAUL_RETRIES")]
    pub retries: Option<u16>,
}

impl Tuning {
    /// These settings with what was said here in place.
    #[must_use]
    pub fn over(&self, settings: Settings) -> Settings {
        let mut settings = Settings {
            part_size: self.part_size.unwrap_or(settings.part_size),
            parts_in_flight: self.parts.unwrap_or(settings.parts_in_flight),
            files_in_flight: self.files.unwrap_or(settings.files_in_flight),
            retries: self.retries.unwrap_or(settings.retries),
            ..settings
        };
        if let Some(wish) = &self.bandwidth {
            settings.wish_bandwidth(wish.clone());
        }
        settings
    }
}

/// How it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Args)]
#[command(next_help_heading = "Display")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of its own on the command line"
)]
pub struct Screen {
    /// No screen: lines on stdout, the log on stderr
    #[arg(long)]
    pub headless: bool,
    /// No screen: one JSON object a line on stdout
    #[arg(long)]
    pub json: bool,
    /// Leave the mouse to the terminal
    #[arg(long)]
    pub no_mouse: bool,
    /// Frames a second at most, 1 to 60
    #[arg(long, value_name = "N", env = "REELHAUL_FPS", value_parser = clap::value_parser!(u8).range(1..=60))]
    pub fps: Option<u8>,
    /// Draw with ASCII alone
    #[arg(long)]
    pub ascii: bool,
    /// When the terminal is gone: go on without it, or stop and save
    #[arg(long, value_name = "WHAT", value_enum, env = "REELHAUL_ON_HANGUP")]
    pub on_hangup: Option<OnHangup>,
    /// Leave the terminal's session: how a screen starts what goes on without it
    #[arg(long, hide = true)]
    pub background: bool,
}

impl Screen {
    /// Whether no screen is wanted.
    #[must_use]
    pub fn is_headless(&self) -> bool {
        self.headless || self.json
    }
}

/// What a lost terminal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnHangup {
    /// Go on without a screen; attach shows it again
    Detach,
    /// Stop and save, as ctrl-c does
    Stop,
}

/// `reelhaul sandbox`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Sandbox {
    /// Where to listen; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Where to keep what is received.
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "discard",
        help = "Keep what is received in this folder [default: under $XDG_STATE_HOME/reelhaul]"
    )]
    pub dir: Option<PathBuf>,
    /// Keep nothing but sizes and hashes
    #[arg(long)]
    pub discard: bool,
    /// Where JW Player's parts go.
    #[arg(long, value_name = "WHERE", value_enum, default_value_t = Storage::Local)]
    #[arg(
        help = "JW Player's parts go here, or to an S3 server [keys: S3_ACCESS_KEY, S3_SECRET_KEY]"
    )]
    pub storage: Storage,
    /// The S3 server's address.
    #[arg(long, value_name = "URL", required_if_eq("storage", "s3"))]
    #[arg(help = "The S3 server's address: http://127.0.0.1:8333")]
    pub s3_endpoint: Option<String>,
    /// The bucket, which is there already
    #[arg(long, value_name = "NAME", required_if_eq("storage", "s3"))]
    pub s3_bucket: Option<String>,
    /// The region requests are signed for
    #[arg(long, value_name = "NAME", default_value = "us-east-1")]
    pub s3_region: String,
    /// Read no faster than this, over all connections: 50MiB/s
    #[arg(long, value_name = "RATE", default_value = "unlimited")]
    pub speed: Bandwidth,
    /// Wait this long before each answer: 80ms
    #[arg(long, value_name = "TIME", default_value = "0s")]
    pub latency: humantime::Duration,
    /// Do this to a share of the requests, 0 to 1: "reset=0.05"; may be repeated
    #[arg(long = "fault", value_name = "KIND=RATE", value_parser = fault)]
    pub faults: Vec<(String, f64)>,
    /// How long media is processed before it is ready
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub processing: humantime::Duration,
    /// How long a part's link is good for
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub link_ttl: humantime::Duration,
}

/// Where the sandbox lets JW Player's parts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Storage {
    /// To the sandbox itself
    Local,
    /// To an S3 server, by pre-signed links
    S3,
}

/// `KIND=RATE`. Which kinds there are is the sandbox's.
fn fault(text: &str) -> Result<(String, f64), String> {
    let (kind, rate) = text
        .split_once('=')
        .filter(|(kind, _)| !kind.is_empty())
        .ok_or("wanted is KIND=RATE, such as reset=0.05")?;
    match rate.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok((kind.to_owned(), share)),
        _ => Err("the rate is a number from 0 to 1".to_owned()),
    }
}

impl Cli {
    /// Reads the arguments, the program's name first. `--help` and the like come as an error too,
    /// as clap has it: [`clap::Error::print`] and [`clap::Error::exit_code`] (2 for a wrong usage)
    /// do the rest.
    ///
    /// # Errors
    /// When they make no sense, or ask for help.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(with_up(args.into_iter().collect()))
    }
}

/// The arguments with `up` before them when they name no command. Only options that every command
/// takes may stand before a command, so that is all there is to step over.
fn with_up(mut args: Vec<OsString>) -> Vec<OsString> {
    let command = Cli::command();
    let global = |text: &str| {
        command.get_arguments().find(|arg| {
            arg.get_long()
                .is_some_and(|long| text.strip_prefix("--") == Some(long))
        })
    };
    let mut rest = args.iter().skip(1);
    while let Some(arg) = rest.next() {
        let text = arg.to_str().unwrap_or_default();
        if matches!(text, "-h" | "--help" | "-V" | "--version" | "help") {
            return args;
        }
        if command.find_subcommand(text).is_some() {
            return args;
        }
        let (name, value) = text
            .split_once('=')
            .map_or((text, None), |(name, value)| (name, Some(value)));
        match global(name) {
            Some(known) if known.get_action().takes_values() && value.is_none() => {
                rest.next();
            }
            Some(_) => {}
            None if text.len() > 1
                && text[1..].chars().all(|c| c == 'v')
                && text.starts_with('-') => {}
            None => {
                args.insert(1, "up".into());
                return args;
            }
        }
    }
    args
}

/// The command that may have been meant by a path which leads nowhere: a word, much like a command.
#[must_use]
pub fn meant(path: &Path) -> Option<String> {
    let word = path.to_str().filter(|word| !word.contains('/'))?;
    let commands = Cli::command();
    let close = commands
        .get_subcommands()
        .map(|command| {
            (
                strsim::damerau_levenshtein(word, command.get_name()),
                command,
            )
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 2 && *distance * 2 < word.chars().count());
    close.map(|(_, command)| command.get_name().to_owned())
}

/// What a shell needs to complete commands and options.
///
/// # Errors
/// Those of writing.
pub fn completions(shell: clap_complete::Shell, out: &mut impl io::Write) -> io::Result<()> {
    // By way of a buffer: the generator panics when a pipe breaks.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "reelhaul", &mut text);
    out.write_all(&text)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::ffi::OsStringExt, time::Duration};

    use super::*;

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
            "up a", "resume", "sessions", "report", "check", "sandbox", "demo", "attach", "detach",
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
}
