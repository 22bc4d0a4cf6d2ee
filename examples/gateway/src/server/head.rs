//! The deadline for a request head, kept at the socket.
//!
//! hyper's own `header_read_timeout` also counts the time in which an idle connection waits for its
//! next request. That is set to the longer idle time; this one starts with the first byte of a head,
//! or with the connection, and ends when the request is handed to the service. It covers the bytes by
//! which HTTP/1.1 and HTTP/2 are told apart, for which hyper-util has no deadline.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::exchange::Phase;

/// A socket whose reads fail when a request head takes too long.
#[derive(Debug)]
pub(super) struct HeadDeadline<IO> {
    io: IO,
    phase: Arc<Phase>,
    limit: Duration,
    seen_requests: u32,
    /// Whether a byte of the head has come. The first head begins with the connection.
    begun: bool,
    // Rarely needed: a head mostly comes in one piece.
    timer: Option<Pin<Box<Sleep>>>,
}

/// What every HTTP/2 connection begins with
/// ([RFC 9113 §3.4](https://www.rfc-editor.org/rfc/rfc9113#section-3.4)).
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n";

impl<IO> HeadDeadline<IO> {
    pub(super) fn new(io: IO, phase: Arc<Phase>, limit: Duration) -> Self {
        Self { io, phase, limit, seen_requests: 0, begun: true, timer: None }
    }

    fn on_bytes(&mut self, bytes: &[u8]) {
        let requests = self.phase.requests();
        if requests == 0 && bytes.starts_with(HTTP2) {
            // Its frames of all streams share the connection, and pings come at any time.
            self.phase.exempt();
        }
        self.forget_head_before(requests);
        self.begun |= self.phase.expects_head();
    }

    fn on_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.forget_head_before(self.phase.requests());
        if !self.begun || !self.phase.expects_head() {
            return Poll::Pending;
        }
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        timer.as_mut().poll(cx)
    }

    fn forget_head_before(&mut self, requests: u32) {
        if self.seen_requests != requests {
            self.seen_requests = requests;
            self.begun = false;
            self.timer = None;
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for HeadDeadline<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled = buf.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                this.on_bytes(buf.filled().get(filled..).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.on_wait(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for HeadDeadline<IO> {
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
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const DAY: Duration = Duration::from_secs(86_400);

    async fn reads<IO: AsyncRead + Unpin>(io: &mut IO) -> io::Result<usize> {
        io.read(&mut [0; 64]).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_stays_silent_ends_at_the_deadline() {
        let (_client, io) = duplex(64);
        let mut io = HeadDeadline::new(io, Arc::default(), LIMIT);
        let start = Instant::now();
        assert_eq!(reads(&mut io).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_trickles_in_does_not_extend_its_deadline() {
        let (mut client, io) = duplex(64);
        let mut io = HeadDeadline::new(io, Arc::default(), LIMIT);
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
        let phase = Arc::new(Phase::default());
        let mut io = HeadDeadline::new(io, Arc::clone(&phase), LIMIT);
        client.write_all(b"GET").await.unwrap();
        reads(&mut io).await.unwrap();
        phase.begin();
        assert!(tokio::time::timeout(DAY, reads(&mut io)).await.is_err(), "a slow call");
        phase.end();
        assert!(tokio::time::timeout(DAY, reads(&mut io)).await.is_err(), "an idle connection");
        client.write_all(b"GE").await.unwrap();
        reads(&mut io).await.unwrap();
        assert_eq!(reads(&mut io).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_and_http2_have_no_heads_to_wait_for() {
        let (mut client, io) = duplex(64);
        let mut io = HeadDeadline::new(io, Arc::default(), LIMIT);
        client.write_all(HTTP2).await.unwrap();
        reads(&mut io).await.unwrap();
        assert!(tokio::time::timeout(DAY, reads(&mut io)).await.is_err());

        let (_client, io) = duplex(64);
        let phase = Arc::new(Phase::default());
        phase.begin();
        phase.exempt();
        phase.end();
        let mut io = HeadDeadline::new(io, phase, LIMIT);
        assert!(tokio::time::timeout(DAY, reads(&mut io)).await.is_err());
    }
}
