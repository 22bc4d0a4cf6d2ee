//! Whether a connection is HTTP/1.1 or HTTP/2.

use std::{io, time::Duration};

use tokio::{net::TcpStream, time::sleep};

/// The first bytes of every HTTP/2 connection ([RFC 9113
/// §3.4](https://www.rfc-editor.org/rfc/rfc9113#section-3.4)).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The version of HTTP that a connection uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Waits for the first bytes of `stream`, and leaves them there. hyper-util's `auto` takes them out and puts
/// them in front of the rest, which makes hyper double its read buffer.
pub(super) async fn detect(stream: &TcpStream) -> io::Result<Protocol> {
    let mut bytes = [0; PREFACE.len()];
    let mut pause = Duration::from_millis(10);
    loop {
        let seen = stream.peek(&mut bytes).await?;
        if let Some(protocol) = decide(bytes.get(..seen).unwrap_or_default()) {
            return Ok(protocol);
        }
        // The preface arrives in one piece. A client that sends it byte by byte keeps the socket readable, so
        // waiting for the socket would spin. Pauses that double cost little, however many clients do it.
        sleep(pause).await;
        pause *= 2;
    }
}

/// `None` if it could still be either.
fn decide(first: &[u8]) -> Option<Protocol> {
    if first == PREFACE {
        return Some(Protocol::Http2);
    }
    // A connection that ends at once is neither; HTTP/1.1 handles it.
    (first.is_empty() || !PREFACE.starts_with(first)).then_some(Protocol::Http1)
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener, time::timeout};

    use super::*;

    #[test]
    fn only_the_whole_preface_is_http2() {
        assert_eq!(decide(PREFACE), Some(Protocol::Http2));
        for first in
            [&b"GET / HTTP/1.1\r\n"[..], b"PUT", b"POST /", b"PRIVATE", b"\r\n", b"", b"\x16\x03"]
        {
            assert_eq!(decide(first), Some(Protocol::Http1), "{first:?}");
        }
        for first in [&b"P"[..], b"PR", b"PRI * HTTP/2.0"] {
            assert_eq!(decide(first), None, "{first:?}");
        }
    }

    #[tokio::test]
    async fn who_does_not_go_on_is_looked_at_ever_more_rarely() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        client.write_all(b"PRI").await.unwrap();
        server.readable().await.unwrap();
        tokio::time::pause();
        let (mut detecting, mut looks) = (Box::pin(detect(&server)), 0);
        let looking = std::future::poll_fn(|cx| {
            looks += 1;
            detecting.as_mut().poll(cx)
        });
        assert!(timeout(Duration::from_secs(10), looking).await.is_err());
        assert!(looks < 20, "{looks}");
    }

    #[tokio::test]
    async fn a_preface_in_pieces_is_waited_for_and_nothing_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let sending = async {
            for piece in PREFACE.chunks(5) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (protocol, ()) = tokio::join!(detect(&server), sending);
        assert_eq!(protocol.unwrap(), Protocol::Http2);
        let mut bytes = [0; PREFACE.len()];
        tokio::io::AsyncReadExt::read_exact(&mut server, &mut bytes).await.unwrap();
        assert_eq!(bytes, PREFACE);
    }
}
