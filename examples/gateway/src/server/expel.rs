//! Ends an HTTP/2 connection whose client resets too many requests.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::connection_state::ConnectionState;

/// `GOAWAY` with `ENHANCE_YOUR_CALM`
/// ([RFC 9113 §6.8](https://www.rfc-editor.org/rfc/rfc9113#section-6.8)). Any stream may have been processed.
const GO_AWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0xb];

/// How long to read and discard what the client still sends. Closing a socket with unread bytes resets the connection,
/// and the client would not see the reason.
const LINGER: Duration = Duration::from_secs(1);

/// A socket that sends `GOAWAY` and ends when its client is expelled. hyper's server has no method for that.
#[derive(Debug)]
pub(super) struct Expel<IO> {
    io: IO,
    connection: Arc<ConnectionState>,
    // Whether a frame may have been written in part. h2 flushes only between frames.
    is_within_frame: bool,
    leaving: Option<Pin<Box<Sleep>>>,
}

impl<IO> Expel<IO> {
    pub(super) const fn new(io: IO, connection: Arc<ConnectionState>) -> Self {
        Self { io, connection, is_within_frame: false, leaving: None }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Expel<IO> {
    /// Reads and discards, until the client closes or [`LINGER`] has passed.
    #[cold]
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.leaving.is_none() {
            tracing::debug!("expelled: the client reset too many of its requests");
            // If it does not fit into the socket's buffer, the rest is not sent.
            let _ = Pin::new(&mut self.io).poll_write(cx, &GO_AWAY);
            let _ = Pin::new(&mut self.io).poll_shutdown(cx);
        }
        let leaving = self.leaving.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let gone = || io::Error::from(io::ErrorKind::ConnectionAborted);
        if leaving.as_mut().poll(cx).is_ready() {
            return Poll::Ready(gone());
        }
        let mut bytes = [0; 4096];
        for _ in 0..16 {
            let mut buf = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                return Poll::Ready(gone());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Expel<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.connection.is_expelled() && !this.is_within_frame {
            return this.poll_leave(cx).map(Err);
        }
        Pin::new(&mut this.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Expel<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.leaving.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        this.is_within_frame = true;
        Pin::new(&mut this.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.leaving.is_some() {
            return Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()));
        }
        this.is_within_frame = true;
        Pin::new(&mut this.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.leaving.is_some() {
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut this.io).poll_flush(cx))?;
        this.is_within_frame = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{Instant, timeout},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_client_is_told_between_two_frames_and_nothing_more_is_written() {
        let (mut client, io) = duplex(1024);
        let connection = Arc::<ConnectionState>::default();
        let mut io = Expel::new(io, Arc::clone(&connection));
        io.write_all(b"frame").await.unwrap();
        connection.expel();
        let day = Duration::from_secs(86_400);
        assert!(timeout(day, io.read(&mut [0; 9])).await.is_err(), "within a frame");
        io.flush().await.unwrap();
        let start = Instant::now();
        let error = io.read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(start.elapsed().as_secs(), LINGER.as_secs());
        io.write_all(b"more").await.unwrap();
        drop(io);
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, [&b"frame"[..], &GO_AWAY].concat());
    }

    #[tokio::test]
    async fn a_client_that_is_not_expelled_is_served() {
        let (mut client, io) = duplex(1024);
        let mut io = Expel::new(io, Arc::default());
        io.write_all(b"ping").await.unwrap();
        io.flush().await.unwrap();
        client.write_all(b"pong").await.unwrap();
        io.read_exact(&mut [0; 4]).await.unwrap();
        drop(io);
        let mut seen = Vec::new();
        client.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"ping");
    }
}
