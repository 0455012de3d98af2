//! Below HTTP: the socket, read no faster than the line allows and reset where a fault wants it,
//! and the body of a request, watched and tampered with on its way in.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use hyper::body::{Body, Incoming};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

use super::{faults::Fault, house::House};
use crate::limiter::LimiterShare;

/// How long a stalled connection is held before it is let go.
const STALL: Duration = Duration::from_mins(10);

/// The most that is read at once from a line with a limit, so that it is shared smoothly.
const SIP: usize = 64 * 1024;

/// What is to become of a connection instead of an answer.
#[derive(Debug, Default)]
pub(super) struct Fate {
    hung_up: AtomicBool,
    reset: AtomicBool,
}

impl Fate {
    /// No answer any more: the connection ends.
    pub(super) fn hang_up(&self) {
        self.hung_up.store(true, Ordering::Relaxed);
    }

    /// The same, and not politely: the peer gets a reset.
    pub(super) fn reset(&self) {
        self.reset.store(true, Ordering::Relaxed);
        self.hang_up();
    }

    pub(super) fn is_hung_up(&self) -> bool {
        self.hung_up.load(Ordering::Relaxed)
    }
}

/// The socket of one connection.
pub(super) struct Wire {
    stream: TcpStream,
    house: Arc<House>,
    fate: Arc<Fate>,
    pace: LimiterShare,
    /// Bytes read that the line has not been charged for.
    owed: usize,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, house: Arc<House>, fate: Arc<Fate>) -> Self {
        house.stats.connected();
        Self {
            pace: house.line.pace(),
            stream,
            house,
            fate,
            owed: 0,
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.house.stats.disconnected();
        if self.fate.reset.load(Ordering::Relaxed) {
            // Closing with no time to linger is what sends the reset; if that can't be set, the
            // connection is closed all the same.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.owed > 0 {
            this.owed -= ready!(this.pace.poll_take(context, this.owed));
        }
        let length = if this.house.line.state().speed.is_none() {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            buffer.filled().len() - before
        } else {
            let mut sip = ReadBuf::new(buffer.initialize_unfilled_to(SIP.min(buffer.remaining())));
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut sip))?;
            let length = sip.filled().len();
            buffer.advance(length);
            this.owed = length;
            length
        };
        this.house.stats.received(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.fate.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }
}

/// Ends when what is held may go on.
pub(super) type Released = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a body is tampered with.
#[derive(Default)]
pub(super) struct Tamper {
    /// Comes in at this pace.
    pub(super) pace: Option<LimiterShare>,
    /// Is cut after so many bytes, by a reset or a stall.
    pub(super) cut: Option<(u64, Fault)>,
    /// Waits after so many bytes until it is released.
    pub(super) hold: Option<(u64, Released)>,
    /// Is so many bytes long, and gives the last of them when it is released.
    pub(super) late: Option<(u64, Released)>,
    /// Its first byte is changed.
    pub(super) flip: bool,
}

/// The body of a request on its way in.
///
/// It gives a frame only after having been asked twice: the reader of forms takes whatever is ready
/// into memory, and would hold a whole part otherwise.
pub(super) struct Intake {
    body: Incoming,
    house: Arc<House>,
    fate: Arc<Fate>,
    tamper: Tamper,
    received: u64,
    /// A frame that the pace does not let through as a whole yet.
    waiting: Option<Bytes>,
    rested: bool,
    stalled: Option<Pin<Box<Sleep>>>,
    held: bool,
}

impl Intake {
    pub(super) fn new(body: Incoming, house: Arc<House>, fate: Arc<Fate>, tamper: Tamper) -> Self {
        Self {
            body,
            house,
            fate,
            tamper,
            received: 0,
            waiting: None,
            rested: false,
            stalled: None,
            held: false,
        }
    }

    fn gone() -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionReset, "cut on purpose")
    }

    /// Hangs, or resets, once the cut is reached.
    fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if self.stalled.is_none()
            && let Some((_, fault)) = self.tamper.cut
        {
            self.house.faults.met(fault);
            self.fate.reset();
            if fault == Fault::Reset {
                self.stalled = Some(Box::pin(tokio::time::sleep(Duration::ZERO)));
                return Poll::Ready(Self::gone());
            }
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL)));
        stalled.as_mut().poll(context).map(|()| Self::gone())
    }

    /// The rest is read and dropped, so that a peer still writing gets to see an answer that came
    /// early.
    pub(super) async fn drain(mut self) {
        while let Some(Ok(_)) = std::future::poll_fn(|c| Pin::new(&mut self).poll_frame(c)).await {}
    }
}

impl Body for Intake {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this
            .tamper
            .cut
            .is_some_and(|(after, _)| this.received >= after)
        {
            return this.poll_cut(context).map(|gone| Some(Err(gone)));
        }
        if let Some((after, released)) = &mut this.tamper.hold
            && this.received >= *after
        {
            if !std::mem::replace(&mut this.held, true) {
                this.house.faults.met(Fault::Hold);
            }
            ready!(released.as_mut().poll(context));
            this.tamper.hold = None;
        }
        let mut block = match this.waiting.take() {
            Some(block) => block,
            None if !this.rested => {
                this.rested = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => loop {
                match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                    None => return Poll::Ready(None),
                    Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                    // Trailers say nothing here.
                    Some(Ok(frame)) => {
                        if let Ok(block) = frame.into_data() {
                            break block;
                        }
                    }
                }
            },
        };
        if let Some(pace) = &mut this.tamper.pace {
            match pace.poll_take(context, block.len()) {
                Poll::Pending => {
                    this.waiting = Some(block);
                    return Poll::Pending;
                }
                Poll::Ready(allowed) => {
                    let now = block.split_to(allowed);
                    this.waiting = Some(block).filter(|rest| !rest.is_empty());
                    block = now;
                }
            }
        }
        if let Some((length, released)) = &mut this.tamper.late
            && this.received + block.len() as u64 >= *length
        {
            if !std::mem::replace(&mut this.held, true) {
                this.house.faults.met(Fault::Late);
            }
            if released.as_mut().poll(context).is_pending() {
                this.waiting = Some(block);
                return Poll::Pending;
            }
            this.tamper.late = None;
        }
        if std::mem::take(&mut this.tamper.flip) && !block.is_empty() {
            this.house.faults.met(Fault::WrongEtag);
            let mut changed = BytesMut::from(&*block);
            changed[0] ^= 0xff;
            block = changed.freeze();
        }
        this.received += block.len() as u64;
        this.rested = false;
        Poll::Ready(Some(Ok(Frame::data(block))))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none()
            && self.tamper.cut.is_none()
            && self.tamper.hold.is_none()
            && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
