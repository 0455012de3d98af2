//! Where the log goes: stderr, the log pane, a file; and to the screens of other processes. Nobody who
//! logs waits for any of them.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, sync::LazyLock};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt,
};

use super::{Stopped, told};
use crate::{cli::Global, journal::Journal};

/// The last lines this process logged: one for a process, as its log is.
static JOURNAL: LazyLock<Journal> = LazyLock::new(Journal::default);

/// What screens of other processes are shown of the log.
pub(super) fn journal() -> Journal {
    JOURNAL.clone()
}

type Layers = Vec<Box<dyn Layer<Registry> + Send + Sync>>;

/// What is logged: ours at the level asked for; of the libraries below only what is wrong.
fn filter(verbose: u8) -> EnvFilter {
    let words = match verbose {
        0 => "warn,reelhaul=info",
        1 => "warn,reelhaul=debug",
        _ => "info,reelhaul=trace,hyper=info,hyper_util=info,reqwest=debug",
    };
    EnvFilter::new(words)
}

/// The log on stderr, and in the file of `--log-file`.
///
/// # Errors
/// When the file can't be opened.
pub(super) fn to_stderr(global: &Global) -> Result<(), Stopped> {
    let ansi = std::env::var_os("NO_COLOR").is_none()
        && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(told::stderr)
        .with_ansi(ansi)
        .with_target(false)
        .with_filter(filter(global.verbose));
    start(global, vec![stderr.boxed()])
}

/// The log in the screen's pane, and in the file of `--log-file`.
///
/// # Errors
/// When the file can't be opened.
pub(super) fn to_pane(global: &Global) -> Result<(), Stopped> {
    start(global, vec![crate::tui::log_layer().boxed()])
}

fn start(global: &Global, mut layers: Layers) -> Result<(), Stopped> {
    if let Some(path) = &global.log_file {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let file = options
            .open(path)
            .map_err(|error| Stopped::usage(format!("the log file {}: {error}", path.display())))?;
        let file = told::log_to(file);
        let file = tracing_subscriber::fmt::layer()
            .with_writer(move || file)
            .with_ansi(false)
            .with_filter(filter(global.verbose.max(1)));
        layers.push(file.boxed());
    }
    layers.push(JOURNAL.layer().boxed());
    // A log that was started before (a test's) stays.
    drop(tracing_subscriber::registry().with(layers).try_init());
    Ok(())
}
