//! The arguments of `reelhaul sandbox`: where it listens, what it keeps, and how it misbehaves.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

use crate::settings::Bandwidth;

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
