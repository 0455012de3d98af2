//! From what the config says of a destination to one that can be spoken to.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use super::Stopped;
use crate::{
    config::{self, Choice, Config, DestinationConfig, Kind},
    destination::{
        Account,
        apivideo::ApiVideo,
        jwplayer::{JwPlayer, JwPlayerOptions},
    },
    error,
    ids::AccountId,
    sandbox::{self, Sandbox, Storage},
    secret::Secret,
};

/// A destination that was chosen, under its name.
pub(super) struct Chosen {
    /// Its name in the config, or `sandbox`.
    pub(super) name: String,
    /// The account that it points at.
    pub(super) account: Arc<dyn Account>,
    /// The embedded sandbox, held as long as it is needed.
    pub(super) sandbox: Option<Sandbox>,
}

/// The destination of this name, else the default one.
pub(super) async fn choose(config: &Config, name: Option<&str>) -> Result<Chosen, Stopped> {
    match config.choose(name)? {
        Choice::Sandbox => {
            let folder = config::state_dir()?.join("sandbox");
            let options = sandbox::Options {
                storage: Storage::Keep(folder.clone()),
                ..sandbox::Options::default()
            };
            // The account is known by its port: what it keeps is found again under the one it had.
            let remembered = folder.join("port");
            let port = std::fs::read_to_string(&remembered).ok();
            let port = port.and_then(|port| port.trim().parse().ok()).unwrap_or(0);
            let chosen = embedded(options, port).await?;
            if let Some(sandbox) = &chosen.sandbox {
                // One that can't be remembered is another the next time.
                let _ = std::fs::write(remembered, sandbox.addr().port().to_string());
            }
            Ok(chosen)
        }
        Choice::Configured(configured) => {
            let asked = configured.clone();
            // Fetching a secret may run a command that asks the person.
            let built = tokio::task::spawn_blocking(move || build(&asked)).await;
            let account = built.map_err(Stopped::left)??;
            Ok(Chosen {
                name: configured.name.clone(),
                account,
                sandbox: None,
            })
        }
    }
}

/// The account of the destination of this name, without asking it for anything. Only where a key alone
/// says which account it is, that is fetched.
pub(super) async fn account(config: &Config, name: &str) -> Result<AccountId, Stopped> {
    if let Choice::Configured(configured) = config.choose(Some(name))?
        && let Kind::JwPlayer(own) = &configured.kind
        && let Some(account) = own.account(&configured.common)
    {
        return Ok(account);
    }
    Ok(choose(config, Some(name)).await?.account.id().clone())
}

/// Listens for the sandbox. With a line speed, what the kernels at both ends take ahead of the server
/// is kept small, so that what a client sees is the line and not buffers: a small buffer at this end,
/// and segments as an Ethernet has them (a client's buffer grows with their size, which on loopback
/// is 64 KiB).
pub(super) fn listen(address: SocketAddr, speed: Option<u64>) -> io::Result<TcpListener> {
    const WAITING: i32 = 1024;
    const ETHERNET: u32 = 1448;
    const BUFFER: usize = 64 << 10;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if speed.is_some() {
        socket.set_recv_buffer_size(BUFFER)?;
        socket.set_tcp_mss(ETHERNET)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(WAITING)?;
    TcpListener::from_std(socket.into())
}

/// The embedded sandbox as a destination of its JW Player kind.
pub(super) async fn embedded(options: sandbox::Options, port: u16) -> Result<Chosen, Stopped> {
    let failed = |error| Stopped::left(format!("the embedded sandbox can't be started: {error}"));
    let at = |port| listen((Ipv4Addr::LOCALHOST, port).into(), options.speed);
    // Another program may have the port.
    let listener = at(port).or_else(|_| at(0)).map_err(failed)?;
    let sandbox = Sandbox::start(listener, options).await.map_err(failed)?;
    let options = JwPlayerOptions {
        url: sandbox.url(),
        calls_per_minute: u32::MAX,
        ..JwPlayerOptions::new(sandbox::SITE, Secret::new(sandbox::SECRET))
    };
    let account = JwPlayer::new(options).map_err(Stopped::left)?;
    let name = config::SANDBOX.to_owned();
    Ok(Chosen {
        name,
        account: Arc::new(account),
        sandbox: Some(sandbox),
    })
}

fn build(configured: &DestinationConfig) -> Result<Arc<dyn Account>, Stopped> {
    let secret = configured.secret()?;
    let common = &configured.common;
    let built: error::Result<Arc<dyn Account>> = match &configured.kind {
        Kind::JwPlayer(own) => {
            JwPlayer::new(own.options(common, secret)).map(|site| Arc::new(site) as _)
        }
        Kind::ApiVideo(own) => {
            ApiVideo::new(own.options(common, secret)).map(|account| Arc::new(account) as _)
        }
    };
    built.map_err(|error| Stopped::usage(format!("the destination {}: {error}", configured.name)))
}

/// The words for a destination that can't be used now, and whose fault that is.
pub(super) fn unusable(error: &error::Error) -> Stopped {
    let next = error.kind.next_step();
    match error.kind {
        // There may be no session yet to be resumed.
        error::Kind::Credentials => Stopped::usage(format!(
            "{error}\nmend the key or secret (or the site) in the config; nothing was sent"
        )),
        error::Kind::Certificate | error::Kind::Refused => {
            Stopped::usage(format!("{error}\n{next}"))
        }
        _ => Stopped::left(format!(
            "{error}\nnothing was sent; try again when it can be reached"
        )),
    }
}
