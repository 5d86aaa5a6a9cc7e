//! The sockets: where to listen, how many connections, and how long a silent one is kept.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};

use super::presence::{Presence, Visit};
use crate::error::{Error, Result};

/// Connections from other machines that one listener holds open; a connection costs some ten kilobytes.
const CONNECTIONS: usize = 512;

/// Connections that one peer holds open.
const PER_PEER: usize = 32;

/// A connection to which nothing is sent for so long is dropped: longer than every wait for the store.
const SILENCE: Duration = Duration::from_secs(120);

/// What a client that keeps us waiting has to take within [`SILENCE`]: whoever reads a byte a minute holds one of
/// the few places for downloads.
const FAIR: usize = 64 * 1024;

/// Most bytes that a client may send before it is answered. A request has no body, and its headers hold a token.
const UNANSWERED: usize = 64 * 1024;

/// Listens on `wanted`, and on both loopback addresses at the same port.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General); a missing IPv6 loopback is none.
pub(super) async fn bind(wanted: SocketAddr) -> Result<Vec<TcpListener>> {
    let refused =
        |address: SocketAddr, error: &io::Error| Error::general(format!("cannot listen on {address}: {error}"));
    let first = TcpListener::bind(wanted).await.map_err(|error| refused(wanted, &error))?;
    let bound = first.local_addr().map_err(|error| refused(wanted, &error))?;
    let mut listeners = vec![first];
    for address in loopbacks(bound) {
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            // [::] takes IPv4 too unless the kernel is told otherwise
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && bound.ip() == Ipv6Addr::UNSPECIFIED => {}
            Err(error) if address.is_ipv6() => tracing::info!(%address, %error, "not listening"),
            Err(error) => return Err(refused(address, &error)),
        }
    }
    Ok(listeners)
}

/// The loopback addresses that a socket on `bound` does not take.
fn loopbacks(bound: SocketAddr) -> Vec<SocketAddr> {
    let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let taken = |ip: IpAddr| bound.ip() == ip || bound.ip().is_unspecified() && bound.is_ipv4() == ip.is_ipv4();
    both.into_iter().filter(|ip| !taken(*ip)).map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

/// A listener with a bound on its connections. One peer cannot use them up, and loopback, where port-forwards
/// arrive, needs none of them.
pub(super) struct Bounded {
    listener: TcpListener,
    seats: Arc<Seats>,
    presence: Presence,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener, presence: Presence) -> Self {
        Self { listener, seats: Arc::default(), presence }
    }
}

impl Listener for Bounded {
    type Io = Patient;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = Listener::accept(&mut self.listener).await;
            let address = peer.ip().to_canonical();
            if address.is_loopback() {
                return (Patient::new(stream, None, self.presence.enter()), peer);
            }
            // without a seat the connection is closed at once
            if let Some(seat) = Seat::take(&self.seats, address) {
                return (Patient::new(stream, Some(seat), self.presence.enter()), peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// Open connections by peer.
#[derive(Debug, Default)]
struct Seats(Mutex<HashMap<IpAddr, usize>>);

/// One connection's place among them.
#[derive(Debug)]
struct Seat {
    seats: Arc<Seats>,
    peer: IpAddr,
}

impl Seat {
    fn take(seats: &Arc<Seats>, peer: IpAddr) -> Option<Self> {
        let mut taken = seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= CONNECTIONS || taken.get(&peer).is_some_and(|count| *count >= PER_PEER) {
            return None;
        }
        *taken.entry(peer).or_default() += 1;
        Some(Self { seats: Arc::clone(seats), peer })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.peer);
            }
        }
    }
}

/// A connection that fails when we could send nothing for [`SILENCE`]. Of what a client sends, only the beginning of
/// a request is a sign of life: a header that comes letter by letter would hold a connection for ever.
pub(super) struct Patient {
    stream: TcpStream,
    moved: Instant,
    alarm: Pin<Box<Sleep>>,
    /// Bytes read since the last one was sent.
    unanswered: usize,
    /// Bytes sent since the client began to keep us waiting, if it does.
    waiting: Option<usize>,
    _seat: Option<Seat>,
    _visit: Visit,
}

impl Patient {
    fn new(stream: TcpStream, seat: Option<Seat>, visit: Visit) -> Self {
        let alarm = Box::pin(tokio::time::sleep(SILENCE));
        Self { stream, moved: Instant::now(), alarm, unanswered: 0, waiting: None, _seat: seat, _visit: visit }
    }

    /// Our end's address.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Passes `step` on, and turns a wait that lasted too long into an error.
    fn watch<T>(&mut self, step: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            // set again only when it rings: cheaper than at every write
            if self.alarm.as_mut().poll(cx).is_pending() {
                return step;
            }
            let due = self.moved + SILENCE;
            if due <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(due);
        }
    }

    /// Takes a write into account.
    fn wrote(&mut self, step: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &step {
            Poll::Ready(Ok(bytes)) => {
                self.unanswered = 0;
                let taken = self.waiting.map(|taken| taken + bytes).filter(|taken| *taken < FAIR);
                if taken.is_none() {
                    self.moved = Instant::now();
                }
                self.waiting = taken;
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.waiting = self.waiting.or(Some(0)),
        }
        self.watch(step, cx)
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let step = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if self.unanswered == 0 && read > 0 {
            // a request begins, and has as long as the first one
            self.moved = Instant::now();
        }
        self.unanswered += read;
        if self.unanswered > UNANSWERED {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        self.watch(step, cx)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let step = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(step, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let step = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(step, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // the client has taken all that there was
        self.waiting = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn loopback_is_added_where_the_address_does_not_take_it() {
        let added = |text: &str| {
            let found: Vec<String> = loopbacks(text.parse().unwrap()).iter().map(ToString::to_string).collect();
            found.join(" ")
        };
        assert_eq!(added("0.0.0.0:19999"), "[::1]:19999");
        assert_eq!(added("127.0.0.1:19999"), "[::1]:19999");
        assert_eq!(added("[::]:19999"), "127.0.0.1:19999");
        assert_eq!(added("10.0.0.7:1"), "127.0.0.1:1 [::1]:1");
        assert_eq!(added("[fd00::7]:1"), "127.0.0.1:1 [::1]:1");
    }

    #[tokio::test]
    async fn loopback_answers_whatever_is_listened_on() {
        for address in ["0.0.0.0:0", "[::]:0", "127.0.0.2:0"] {
            // a machine without IPv6 cannot try the second
            let Ok(listeners) = bind(address.parse().unwrap()).await else { continue };
            let port = listeners[0].local_addr().unwrap().port();
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        }
    }

    #[test]
    fn one_peer_cannot_take_every_seat() {
        let seats = Arc::new(Seats::default());
        let peer = |last: u8| IpAddr::from([10, 0, 0, last]);
        let mut held: Vec<Seat> = (0..PER_PEER).map_while(|_| Seat::take(&seats, peer(1))).collect();
        assert_eq!(held.len(), PER_PEER);
        assert!(Seat::take(&seats, peer(1)).is_none());
        assert!(Seat::take(&seats, peer(2)).is_some());
        held.pop();
        assert!(Seat::take(&seats, peer(1)).is_some());
        let many = (0..).map_while(|at| Seat::take(&seats, peer((at / PER_PEER + 3) as u8))).collect::<Vec<_>>();
        assert_eq!(held.len() + many.len(), CONNECTIONS);
        drop((held, many));
        assert!(seats.0.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_silent_connection_fails_in_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut patient = Patient::new(stream, None, Presence::default().enter());
        // as if the silence had lasted
        patient.moved = Instant::now() - SILENCE;
        patient.alarm.as_mut().reset(Instant::now());
        assert_eq!(patient.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    async fn pair() -> (TcpStream, Patient) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, Patient::new(listener.accept().await.unwrap().0, None, Presence::default().enter()))
    }

    #[tokio::test]
    async fn a_request_that_comes_letter_by_letter_is_cut_off() {
        let (mut client, mut patient) = pair().await;
        client.write_all(b"GE").await.unwrap();
        assert_eq!(patient.read_u8().await.unwrap(), b'G');
        let begun = patient.moved;
        assert_eq!(patient.read_u8().await.unwrap(), b'E');
        assert_eq!(patient.moved, begun);
        patient.moved = begun - SILENCE;
        patient.alarm.as_mut().reset(begun);
        patient.alarm.as_mut().await;
        client.write_all(b"T").await.unwrap();
        assert_eq!(patient.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_request_without_an_end_is_cut_off() {
        let (mut client, mut patient) = pair().await;
        tokio::spawn(async move { while client.write_all(&[b'x'; 4096]).await.is_ok() {} });
        let mut bytes = [0; 4096];
        let mut taken = 0;
        let end = loop {
            match patient.read(&mut bytes).await {
                Ok(read) => taken += read,
                Err(error) => break error,
            }
        };
        assert_eq!(end.kind(), io::ErrorKind::InvalidData);
        assert!(taken <= UNANSWERED, "{taken}");
    }

    #[tokio::test]
    async fn a_client_that_keeps_us_waiting_has_to_take_its_share() {
        let (_client, mut patient) = pair().await;
        let begun = patient.moved - SILENCE / 2;
        patient.moved = begun;
        std::future::poll_fn(|cx| {
            assert!(patient.wrote(Poll::Pending, cx).is_pending());
            let _ = patient.wrote(Poll::Ready(Ok(FAIR - 1)), cx);
            assert_eq!(patient.moved, begun);
            let _ = patient.wrote(Poll::Ready(Ok(1)), cx);
            assert!(patient.moved > begun);
            Poll::Ready(())
        })
        .await;
    }
}
