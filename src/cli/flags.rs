//! What several commands take: how uploads go out, and how they are shown.

use clap::{Args, ValueEnum, builder::RangedU64ValueParser};

use crate::settings::{BandwidthWish, Concurrency, Offline, PartSize, Settings};

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
    #[arg(long, value_name = "N", env = "REELHAUL_FILES", value_parser = RangedU64ValueParser::<u16>::new().range(1..=u64::from(u16::MAX)))]
    pub files: Option<u16>,
    /// Bytes a second at most: 20MiB/s, unlimited, or a schedule: "Mon-Fri 08:00-18:00 2MiB/s; unlimited"
    #[arg(long, value_name = "RATE", env = "REELHAUL_BANDWIDTH")]
    pub bandwidth: Option<BandwidthWish>,
    /// How often a part that failed is tried again before you are asked
    #[arg(long, value_name = "N", env = "REELHAUL_RETRIES")]
    pub retries: Option<u16>,
    /// How long a host, disk or folder that does not answer is waited for: 24h, 30m, or fail
    #[arg(long, value_name = "DURATION", env = "REELHAUL_OFFLINE")]
    pub offline: Option<Offline>,
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
            offline: self.offline.unwrap_or(settings.offline),
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
