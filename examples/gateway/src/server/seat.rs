//! What a connection has of the server for as long as its socket is open.
//!
//! The socket owns it, not the task that serves requests: that one ends when HTTP/1.1 switches to another protocol, such as
//! websockets, and the tunnel has the socket from then on.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{places::Place, workers::Load};

/// The place of a connection and its share in the load of its worker, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    _load: Load,
    _place: Place,
}

impl Seat {
    pub(super) const fn new(place: Place, load: Load) -> Self {
        Self { _load: load, _place: place }
    }
}

/// A socket with its seat. The socket closes before another connection can have the seat.
#[derive(Debug)]
pub(super) struct Seated<IO> {
    io: IO,
    _seat: Seat,
}

impl<IO> Seated<IO> {
    pub(super) const fn new(io: IO, seat: Seat) -> Self {
        Self { io, _seat: seat }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Seated<IO> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Seated<IO> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    #[inline]
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
