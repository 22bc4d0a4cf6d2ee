//! TLS for clients, with rustls.
//!
//! | a client connects and | outcome |
//! |---|---|
//! | completes a handshake with TLS 1.2 or 1.3 | served: over HTTP/2 if ALPN has chosen `h2`, otherwise over HTTP/1.1 |
//! | offers only protocols other than `h2` and `http/1.1` | alert `no_application_protocol` |
//! | sends plain HTTP | 400, with a hint |
//! | takes longer than the timeout of a request head | closed |
//!
//! Every client gets the same certificate, whatever server name it asks for (SNI): the client checks that the
//! certificate matches, and the layers check `Host`.

use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{protocol::Protocol, write_timeout::WriteTimeout};

/// How much encrypted response data is buffered for a client that does not read.
const SEND_BUFFER_BYTES: usize = 32 * 1024;
/// How long a client that sent plain HTTP may take to read the response. Closing a socket with unread bytes resets the
/// connection, and the client would not see the reason.
const LINGER: Duration = Duration::from_secs(1);
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 46\r\n\
    connection: close\r\n\r\nThis port speaks HTTPS: use an https:// URL.\r\n";

/// A port, with or without TLS.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) tcp: TcpListener,
    pub(super) tls: Option<Tls>,
}

impl Listener {
    /// Accepts connections on `tcp`, with TLS if `tls` is given.
    pub(crate) const fn new(tcp: TcpListener, tls: Option<Tls>) -> Self {
        Self { tcp, tls }
    }
}

/// The TLS configuration for new connections. Clones share it.
#[derive(Clone)]
pub(crate) struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }

    /// Uses `config` on connections that are accepted from now on.
    pub(crate) fn replace(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// Waits for the handshake on `stream`, whose writes fail when the client reads nothing for `stall`.
    ///
    /// The timeout is below TLS, so that it also covers bytes that TLS still buffers after the caller has written them.
    ///
    /// # Errors
    ///
    /// If the client does not complete the handshake, or sent plain HTTP. The client has been sent
    /// the reason.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        stall: Duration,
    ) -> io::Result<(TlsStream<WriteTimeout<TcpStream>>, Protocol)> {
        if is_plain_http(&stream).await? {
            refuse_plain_http(stream).await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP on a TLS port"));
        }
        let io = self.shake_hands(WriteTimeout::new(stream, None, stall)).await?;
        let protocol = match io.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            // HTTP/2 over TLS needs ALPN (https://www.rfc-editor.org/rfc/rfc9113#section-3.2).
            _ => Protocol::Http1,
        };
        Ok((io, protocol))
    }

    pub(super) async fn shake_hands<IO>(&self, io: IO) -> io::Result<TlsStream<IO>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let limit = |session: &mut ServerConnection| {
            session.set_buffer_limit(Some(SEND_BUFFER_BYTES));
        };
        self.acceptor().accept_with(io, limit).await
    }
}

/// Whether the first byte is that of a method. No TLS record starts with a letter
/// ([RFC 8446 §5.1](https://www.rfc-editor.org/rfc/rfc8446#section-5.1)).
async fn is_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let seen = stream.peek(&mut first).await?;
    Ok(seen == first.len() && first.iter().all(u8::is_ascii_alphabetic))
}

async fn refuse_plain_http(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN_HTTP).await?;
    stream.shutdown().await?;
    let mut rest = [0; 4096];
    let reading = async { while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
    let _ = timeout(LINGER, reading).await;
    Ok(())
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
