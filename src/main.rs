//! Chooses a mode and turns its result into an exit code.

use std::process::ExitCode;

use reelhaul::{
    cli::Cli,
    launch::{self, USAGE},
};

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to stdout and is no error; a reader that went away is none either.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    // Fails only when another provider was installed before, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            launch::say(&format!("the program can't start its threads: {error}"));
            launch::finish();
            return ExitCode::from(launch::LEFT);
        }
    };
    let code = match runtime.block_on(launch::run(cli)) {
        Ok(code) => code,
        Err(stopped) => {
            launch::say(&stopped.words);
            stopped.code
        }
    };
    // A disk that hangs may hold a reading thread for ever; the end does not wait for it.
    runtime.shutdown_background();
    launch::finish();
    ExitCode::from(code)
}
