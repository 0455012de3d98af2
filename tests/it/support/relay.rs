//! A way to a server that can be cut.

use std::{
    io::copy,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{sleep, spawn},
    time::Duration,
};

use super::wait_for;

/// A way to a server that can be cut.
pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    cut: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    pub(crate) fn to(server: SocketAddr) -> Self {
        Self::over(TcpListener::bind("127.0.0.1:0").unwrap(), server)
    }

    /// A way from where this listens.
    pub(crate) fn over(listener: TcpListener, server: SocketAddr) -> Self {
        listener.set_nonblocking(true).unwrap();
        let relay = Self {
            addr: listener.local_addr().unwrap(),
            cut: Arc::default(),
            streams: Arc::default(),
        };
        let (cut, streams) = (Arc::clone(&relay.cut), Arc::clone(&relay.streams));
        spawn(move || {
            while !cut.load(Ordering::SeqCst) {
                let Ok((client, _)) = listener.accept() else {
                    sleep(Duration::from_millis(2));
                    continue;
                };
                client.set_nonblocking(false).unwrap();
                let server = TcpStream::connect(server).unwrap();
                let clone = |stream: &TcpStream| stream.try_clone().unwrap();
                let ends = [(&client, &server), (&server, &client)];
                for (mut from, mut to) in ends.map(|(from, to)| (clone(from), clone(to))) {
                    spawn(move || {
                        // Either end may be gone; then so is the other.
                        let _ = copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                streams.lock().unwrap().extend([client, server]);
            }
        });
        relay
    }

    /// Breaks its connections, and refuses new ones.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        wait_for("an end of listening", || {
            TcpStream::connect(self.addr).is_err().then_some(())
        });
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
