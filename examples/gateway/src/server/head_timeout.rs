//! The timeouts of a request head, enforced at the socket: one for its first byte, one for its end.
//!
//! hyper's own `header_read_timeout` is one timeout for both, and sets a timer for each request, which costs
//! about 4 % of the request. Here the second timeout starts with the first byte of a head, or with the
//! connection, and ends when the service gets the request. Most heads arrive in one piece and need no timer.
//! The first timeout has one timer per connection, which is reset only when it fires.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    connection_state::{ConnectionState, Expected},
    protocol::Protocol,
};

/// The minimum that an HTTP/2 client sends first: the preface, and the frame header of its settings
/// ([RFC 9113 §3.4](https://www.rfc-editor.org/rfc/rfc9113#section-3.4)).
const GREETING_BYTES: usize = 24 + 9;

/// How long a connection waits for a request head.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadTimeouts {
    /// Until the head begins, or between two chunks of a request body whose response is already complete.
    pub(super) idle: Duration,
    /// From then on, until the head ends.
    pub(super) head: Duration,
}

/// A socket whose reads fail when a request head takes too long.
#[derive(Debug)]
pub(super) struct HeadTimeout<IO> {
    io: IO,
    connection: Arc<ConnectionState>,
    timeouts: HeadTimeouts,
    /// How many bytes of the HTTP/2 greeting are still missing. After it, there is no timeout here: the frames of all
    /// streams share the connection, and pings arrive at any time.
    missing_greeting: usize,
    seen_requests: u32,
    /// Whether a byte of the head has arrived.
    begun: bool,
    /// The first head begins with the connection.
    accepted: Option<Instant>,
    // Rarely needed, because most heads arrive in one piece.
    timer: Option<Pin<Box<Sleep>>>,
    idle_since: Option<Instant>,
    // May fire for an idle period that ended long ago.
    idle_timer: Option<Pin<Box<Sleep>>>,
}

impl<IO> HeadTimeout<IO> {
    pub(super) fn new(
        io: IO,
        protocol: Protocol,
        connection: Arc<ConnectionState>,
        timeouts: HeadTimeouts,
        accepted: Instant,
    ) -> Self {
        let missing_greeting = match protocol {
            Protocol::Http1 => 0,
            Protocol::Http2 => GREETING_BYTES,
        };
        Self {
            io,
            connection,
            timeouts,
            missing_greeting,
            seen_requests: 0,
            begun: true,
            accepted: Some(accepted),
            timer: None,
            idle_since: None,
            idle_timer: None,
        }
    }

    fn on_bytes(&mut self, bytes: usize) {
        if self.missing_greeting > 0 {
            self.missing_greeting = self.missing_greeting.saturating_sub(bytes);
            if self.missing_greeting == 0 {
                self.connection.exempt();
            }
        }
        self.forget_head_before(self.connection.requests());
        self.begun |= self.connection.expected() == Expected::Head;
        self.idle_since = None;
    }

    fn on_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.forget_head_before(self.connection.requests());
        match self.connection.expected() {
            Expected::Head if self.begun => {}
            Expected::Head | Expected::RestOfBody => return self.on_idle(cx),
            Expected::Anything => return Poll::Pending,
        }
        let timer = self.timer.get_or_insert_with(|| {
            let begun = self.accepted.unwrap_or_else(Instant::now);
            Box::pin(sleep_until(begun + self.timeouts.head))
        });
        timer.as_mut().poll(cx)
    }

    fn on_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = match self.idle_since {
            Some(since) => since,
            None => {
                let now = Instant::now();
                self.connection.used(now);
                *self.idle_since.insert(now)
            }
        };
        let end = since + self.timeouts.idle;
        let timer = self.idle_timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.is_elapsed() {
            timer.as_mut().reset(end);
        } else if timer.deadline() < end {
            // The timer was polled when it was set, so it wakes this connection's task, which gets
            // here.
            return Poll::Pending;
        }
        timer.as_mut().poll(cx)
    }

    fn forget_head_before(&mut self, requests: u32) {
        if self.seen_requests != requests {
            self.seen_requests = requests;
            self.begun = false;
            self.accepted = None;
            self.timer = None;
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for HeadTimeout<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled = buf.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                this.on_bytes(buf.filled().len() - filled);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.on_wait(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for HeadTimeout<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        // The last bytes of a response were written, and hyper may not read again before the next head arrives.
        if flushed.is_ready() && self.on_wait(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{Instant, sleep},
    };

    use super::{
        super::connection_state::{InFlight, Upload},
        *,
    };

    const LIMIT: Duration = Duration::from_secs(10);
    const TIMEOUTS: HeadTimeouts = HeadTimeouts { idle: Duration::from_secs(200_000), head: LIMIT };
    const DAY: Duration = Duration::from_secs(86_400);

    async fn reads<IO: AsyncRead + Unpin>(io: &mut IO) -> io::Result<usize> {
        io.read(&mut [0; 64]).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_stays_silent_ends_at_the_deadline() {
        let (_client, io) = duplex(64);
        let mut io =
            HeadTimeout::new(io, Protocol::Http1, Arc::default(), TIMEOUTS, Instant::now());
        let start = Instant::now();
        assert_eq!(reads(&mut io).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_in_does_not_extend_its_deadline() {
        let (mut client, io) = duplex(64);
        let mut io =
            HeadTimeout::new(io, Protocol::Http1, Arc::default(), TIMEOUTS, Instant::now());
        let trickle = async {
            for _ in 0..20 {
                client.write_all(b"x").await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        };
        let start = Instant::now();
        let read = async { while reads(&mut io).await.is_ok() {} };
        tokio::select! { () = trickle => panic!("no deadline"), () = read => {} }
        assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn between_two_requests_it_waits_and_the_second_head_has_a_deadline_of_its_own() {
        let (mut client, io) = duplex(64);
        let connection = Arc::new(ConnectionState::default());
        let mut io = HeadTimeout::new(
            io,
            Protocol::Http1,
            Arc::clone(&connection),
            TIMEOUTS,
            Instant::now(),
        );
        client.write_all(b"GET").await.unwrap();
        reads(&mut io).await.unwrap();
        let in_flight = InFlight::begin(Arc::clone(&connection));
        assert!(tokio::time::timeout(DAY, reads(&mut io)).await.is_err(), "a slow call");
        drop(in_flight);
        assert!(tokio::time::timeout(DAY, reads(&mut io)).await.is_err(), "an idle connection");
        client.write_all(b"GE").await.unwrap();
        reads(&mut io).await.unwrap();
        assert_eq!(reads(&mut io).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_when_its_time_since_the_last_request_is_over() {
        let (mut client, io) = duplex(64);
        let connection = Arc::new(ConnectionState::default());
        let timeouts = HeadTimeouts { idle: Duration::from_secs(60), head: LIMIT };
        let mut io = HeadTimeout::new(
            io,
            Protocol::Http1,
            Arc::clone(&connection),
            timeouts,
            Instant::now(),
        );
        // A request every 50 s, and one that takes longer than the idle timeout.
        for call_secs in [0, 0, 0, 0, 300, 0] {
            client.write_all(b"GET").await.unwrap();
            reads(&mut io).await.unwrap();
            let in_flight = InFlight::begin(Arc::clone(&connection));
            let calling = Duration::from_secs(call_secs);
            let _ = tokio::time::timeout(calling, reads(&mut io)).await;
            drop(in_flight);
            let pause = Duration::from_secs(50);
            assert!(tokio::time::timeout(pause, reads(&mut io)).await.is_err());
        }
        let start = Instant::now();
        assert_eq!(reads(&mut io).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 10, "60 s after the last request");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_request_body_after_its_response_is_no_head() {
        let (mut client, io) = duplex(64);
        let connection = Arc::new(ConnectionState::default());
        let timeouts = HeadTimeouts { idle: Duration::from_secs(60), head: LIMIT };
        let accepted = Instant::now();
        let mut io =
            HeadTimeout::new(io, Protocol::Http1, Arc::clone(&connection), timeouts, accepted);
        client.write_all(b"POST").await.unwrap();
        reads(&mut io).await.unwrap();
        let upload = Upload::begin(Arc::clone(&connection));
        drop(InFlight::begin(Arc::clone(&connection)));
        for _ in 0..10 {
            client.write_all(b"some").await.unwrap();
            reads(&mut io).await.unwrap();
            let pause = Duration::from_secs(50);
            assert!(tokio::time::timeout(pause, reads(&mut io)).await.is_err());
        }
        let start = Instant::now();
        assert_eq!(reads(&mut io).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 10, "60 s after the last of it");
        drop(upload);
        assert_eq!(connection.expected(), Expected::Head);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_and_http2_have_no_heads_to_wait_for() {
        let (mut client, io) = duplex(64);
        let mut io =
            HeadTimeout::new(io, Protocol::Http2, Arc::default(), TIMEOUTS, Instant::now());
        client.write_all(&[0; GREETING_BYTES]).await.unwrap();
        reads(&mut io).await.unwrap();
        assert!(tokio::time::timeout(DAY, reads(&mut io)).await.is_err());

        let (mut client, io) = duplex(64);
        let mut io =
            HeadTimeout::new(io, Protocol::Http2, Arc::default(), TIMEOUTS, Instant::now());
        client.write_all(&[0; GREETING_BYTES - 1]).await.unwrap();
        reads(&mut io).await.unwrap();
        assert!(
            tokio::time::timeout(LIMIT, reads(&mut io)).await.unwrap().is_err(),
            "half a greeting"
        );

        let (_client, io) = duplex(64);
        let connection = Arc::new(ConnectionState::default());
        let in_flight = InFlight::begin(Arc::clone(&connection));
        connection.exempt();
        drop(in_flight);
        let mut io = HeadTimeout::new(io, Protocol::Http1, connection, TIMEOUTS, Instant::now());
        assert!(tokio::time::timeout(DAY, reads(&mut io)).await.is_err());
    }
}
