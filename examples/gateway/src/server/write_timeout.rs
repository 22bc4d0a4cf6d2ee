//! The timeout for a client that does not read.
//!
//! `bartizan-upstream` has the same timer for connections to backends, as a private type: sockets are not part of that
//! crate's interface, and this one also reports to the connection that it is blocked. tokio-io-timeout, by comparison,
//! sets a timer whenever a write blocks and removes it at each write.

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

use super::connection_state::ConnectionState;

/// A socket whose writes fail when the client reads nothing for the duration of the timeout. While there is nothing to
/// write, as on a silent event stream, there is no timeout.
#[derive(Debug)]
pub(super) struct WriteTimeout<IO> {
    io: IO,
    // Set over HTTP/1.1, where the response body waits while the socket is blocked.
    connection: Option<Arc<ConnectionState>>,
    timeout: Duration,
    blocked_since: Option<Instant>,
    // Created when a write blocks for the first time. It is reset only when it fires.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<IO> WriteTimeout<IO> {
    pub(super) const fn new(
        io: IO,
        connection: Option<Arc<ConnectionState>>,
        timeout: Duration,
    ) -> Self {
        Self { io, connection, timeout, blocked_since: None, timer: None }
    }

    /// From now on, reports to `connection` whether the socket is blocked.
    pub(super) fn tell(&mut self, connection: Arc<ConnectionState>) {
        self.connection = Some(connection);
    }

    #[inline]
    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            return self.on_blocked(cx);
        }
        if self.blocked_since.is_some() {
            self.on_progress();
        }
        written
    }

    #[cold]
    fn on_progress(&mut self) {
        self.blocked_since = None;
        self.set_blocked(false);
    }

    fn set_blocked(&self, is_blocked: bool) {
        if let Some(connection) = &self.connection {
            connection.set_blocked(is_blocked);
        }
    }

    #[cold]
    fn on_blocked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.set_blocked(true);
        let end = *self.blocked_since.get_or_insert_with(Instant::now) + self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= end {
                tracing::debug!("the client has read nothing for too long");
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for WriteTimeout<IO> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<IO> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.watch(cx, written)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, pieces);
        this.watch(cx, written)
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
        time::sleep,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_given_up_and_one_that_reads_a_little_is_not() {
        let (mut client, io) = duplex(10);
        let connection = Arc::<ConnectionState>::default();
        let mut io = WriteTimeout::new(io, Some(Arc::clone(&connection)), LIMIT);
        let write = tokio::spawn(async move {
            let written = io.write_all(&[0; 100]).await;
            (written, Instant::now())
        });
        for _ in 0..5 {
            sleep(Duration::from_secs(50)).await;
            assert!(connection.is_blocked());
            client.read_exact(&mut [0; 10]).await.unwrap();
        }
        let start = Instant::now();
        let (written, end) = write.await.unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!((end - start).as_secs(), LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn with_nothing_to_write_there_is_no_timeout() {
        let (mut client, io) = duplex(10);
        let connection = Arc::<ConnectionState>::default();
        let mut io = WriteTimeout::new(io, Some(Arc::clone(&connection)), LIMIT);
        io.write_all(b"event").await.unwrap();
        let silence = tokio::time::timeout(LIMIT * 100, io.read(&mut [0; 1])).await;
        assert!(silence.is_err());
        client.read_exact(&mut [0; 5]).await.unwrap();
        io.write_all(b"event").await.unwrap();
        assert!(!connection.is_blocked());
    }
}
