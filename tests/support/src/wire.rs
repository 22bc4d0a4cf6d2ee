//! A relay between two servers, for a first server that needs the address before the second has a
//! port.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Forwards bytes to a server that is named later, and records those that clients send.
#[derive(Debug)]
pub struct Wire {
    pub addr: SocketAddr,
    to: watch::Sender<Option<SocketAddr>>,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Wire {
    pub async fn lay() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (to, from) = watch::channel(None);
        let sent = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let journal = Arc::clone(&sent);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass(stream, from.clone(), Arc::clone(&journal)));
            }
        });
        Self { addr, to, sent, task }
    }

    /// Names the server at the other end.
    pub fn lead_to(&self, addr: SocketAddr) {
        self.to.send_replace(Some(addr));
    }

    /// How many requests have passed, over HTTP/1.1 or HTTP/2.
    pub fn requests(&self) -> usize {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|bytes| requests_in(bytes)).sum()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    client: TcpStream,
    mut to: watch::Receiver<Option<SocketAddr>>,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
) {
    let Ok(addr) = to.wait_for(Option::is_some).await.map(|addr| addr.unwrap()) else { return };
    let Ok(server) = TcpStream::connect(addr).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let index = {
        let mut sent = sent.lock().unwrap();
        sent.push(Vec::new());
        sent.len() - 1
    };
    let upward = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            sent.lock().unwrap()[index].extend_from_slice(&buffer[..read]);
            if to_server.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
        let _ = to_server.shutdown().await;
    };
    let downward = async {
        let _ = copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(upward, downward);
}

const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn requests_in(bytes: &[u8]) -> usize {
    let Some(frames) = bytes.strip_prefix(HTTP2) else {
        return String::from_utf8_lossy(bytes).matches(" HTTP/1.1\r\n").count();
    };
    const HEADERS: u8 = 1;
    let (mut frames, mut heads) = (frames, 0);
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = frames {
        heads += usize::from(*kind == HEADERS);
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        frames = rest.get(length..).unwrap_or_default();
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_in_both_versions() {
        assert_eq!(requests_in(b"GET / HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n"), 2);
        let frame = |kind: u8, payload: &[u8]| {
            [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, 0, 0, 0, 0, 1], payload].concat()
        };
        let frames =
            [HTTP2.to_vec(), frame(4, b""), frame(1, b"abc"), frame(0, b"x"), frame(1, b"")];
        assert_eq!(requests_in(&frames.concat()), 2);
    }
}
