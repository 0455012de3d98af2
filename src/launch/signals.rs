//! What the system and the person say from outside: wishes to end, and a terminal that went away.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::Stopped;

/// A wish to end for each SIGINT and SIGTERM that comes, and for SIGHUP where `hangup` says so;
/// otherwise SIGHUP is ignored and the work goes on without a terminal.
pub(super) fn stops(hangup: bool) -> Result<mpsc::Receiver<()>, Stopped> {
    let listen = |kind| signal(kind).map_err(|error| Stopped::left(format!("no signals: {error}")));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hung_up = listen(SignalKind::hangup())?;
    let (wish, wishes) = mpsc::channel(8);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hung_up.recv() => if !hangup { continue },
            }
            if wish.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(wishes)
}
