//! The socket of a connection to a backend, as hyper gets it.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::write_timeout::WriteTimeout;

/// The size of hyper's first read buffer, in bytes. Reads into it are not limited.
const SMALL: usize = 8 * 1024;
/// How much is read at once into a larger buffer. A response that its client does not read keeps some of these pieces
/// in memory. One byte less than a power of two, at which hyper would double its buffer.
const PIECE: usize = SMALL - 1;

/// A socket that is read in pieces, and whose writes have a timeout.
#[derive(Debug)]
pub(super) struct Socket<IO> {
    io: IO,
    write_timeout: WriteTimeout,
}

impl<IO> Socket<IO> {
    pub(super) const fn new(io: IO, write_timeout: Option<Duration>) -> Self {
        Self { io, write_timeout: WriteTimeout::new(write_timeout) }
    }
}

/// For hyper-util's client, which gets to know nothing of the connection: what it knew it would put into the extensions of
/// every response, at the price of an allocation. TLS adds the protocol that was negotiated.
impl<IO> Connection for Socket<IO> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Socket<IO> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let io = Pin::new(&mut self.get_mut().io);
        if buffer.remaining() <= SMALL {
            return io.poll_read(cx, buffer);
        }
        let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(PIECE));
        let polled = io.poll_read(cx, &mut piece);
        let read = piece.filled().len();
        buffer.advance(read);
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Socket<IO> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, bytes);
        this.write_timeout.watch(cx, written)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, pieces);
        this.write_timeout.watch(cx, written)
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
    use http::Extensions;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[tokio::test]
    async fn a_read_takes_one_piece_however_large_its_buffer_is() {
        let (mut backend, io) = duplex(100_000);
        let mut socket = Socket::new(io, None);
        let sent: Vec<u8> = (0..=u8::MAX).cycle().take(50_000).collect();
        backend.write_all(&sent).await.unwrap();
        let mut received = Vec::with_capacity(65_536);
        let mut sizes = Vec::new();
        while received.len() < sent.len() {
            sizes.push(socket.read_buf(&mut received).await.unwrap());
        }
        assert_eq!(sizes, [PIECE, PIECE, PIECE, PIECE, PIECE, PIECE, 50_000 - 6 * PIECE]);
        assert_eq!(received, sent);
    }

    #[tokio::test]
    async fn the_client_gets_nothing_to_put_into_responses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let io = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut extensions = Extensions::new();
        io.connected().get_extras(&mut extensions);
        assert!(!extensions.is_empty(), "it would, by itself");
        extensions.clear();
        Socket::new(io, None).connected().get_extras(&mut extensions);
        assert!(extensions.is_empty());
    }

    #[tokio::test]
    async fn a_read_into_a_small_buffer_fills_it() {
        let (mut backend, io) = duplex(100);
        let mut socket = Socket::new(io, None);
        backend.write_all(b"abcdef").await.unwrap();
        let mut buffer = [0; 4];
        assert_eq!(socket.read(&mut buffer).await.unwrap(), 4);
        assert_eq!(&buffer, b"abcd");
    }
}
