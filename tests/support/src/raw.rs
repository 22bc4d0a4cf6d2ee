//! Bytes over a socket.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long the first byte of a reply may take.
const FIRST_BYTE: Duration = Duration::from_secs(5);

/// What came back, and whether the other side closed.
#[derive(Clone, Debug)]
pub struct Reply {
    pub bytes: Vec<u8>,
    pub closed: bool,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The status of the first response.
    pub fn status(&self) -> Option<u16> {
        self.text().strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
    }

    /// The status of each response.
    pub fn statuses(&self) -> Vec<u16> {
        let text = self.text();
        let lines = text.split("HTTP/1.1 ").skip(1);
        lines.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
    }
}

/// Sends `bytes` and reads until the other side closes, or is silent for `quiet` after its first byte. That one may take
/// longer, because a busy machine is slow to respond.
pub async fn exchange(addr: SocketAddr, bytes: &[u8], quiet: Duration) -> Reply {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // The other side may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    read(stream, quiet).await
}

/// The same, but tells the other side that nothing more will come.
pub async fn exchange_and_finish(addr: SocketAddr, bytes: &[u8], quiet: Duration) -> Reply {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    read(stream, quiet).await
}

async fn read(mut stream: TcpStream, quiet: Duration) -> Reply {
    let mut reply = Reply { bytes: Vec::new(), closed: false };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let patience = if reply.bytes.is_empty() { quiet.max(FIRST_BYTE) } else { quiet };
        match timeout(patience, stream.read(&mut buffer)).await {
            Err(_) => return reply,
            Ok(Ok(0) | Err(_)) => {
                reply.closed = true;
                return reply;
            }
            Ok(Ok(read)) => reply.bytes.extend_from_slice(&buffer[..read]),
        }
    }
}
