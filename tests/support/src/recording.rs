//! A backend that records every byte and answers with a script.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// What the backend does once it has read the head of a request.
#[derive(Clone, Debug)]
pub enum Script {
    /// Sends these bytes, and keeps reading.
    Respond(Bytes),
    /// Sends these bytes, and closes.
    RespondAndClose(Bytes),
    /// Reads on and never answers.
    Hang,
    /// Closes without an answer.
    Close,
    /// Resets the connection without an answer.
    Reset,
}

/// A backend that records every byte.
#[derive(Debug)]
pub struct Recorder {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Answers `200 ok` to each request.
    pub async fn start() -> Self {
        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        Self::with(Script::Respond(Bytes::from_static(ok))).await
    }

    pub async fn with(script: Script) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let journal = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, script.clone(), Arc::clone(&journal)));
            }
        });
        Self { addr, seen, task }
    }

    pub fn uri(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The bytes of each connection that sent any.
    pub fn connections(&self) -> Vec<Vec<u8>> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|bytes| !bytes.is_empty()).cloned().collect()
    }

    /// How many connections there were, including those that sent nothing.
    pub fn accepted(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// All bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.connections().concat()).into_owned()
    }

    /// How many requests there were, by their request lines.
    pub fn requests(&self) -> usize {
        self.text().matches(" HTTP/1.1\r\n").count()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(mut stream: TcpStream, script: Script, seen: Arc<Mutex<Vec<Vec<u8>>>>) {
    let index = {
        let mut seen = seen.lock().unwrap();
        seen.push(Vec::new());
        seen.len() - 1
    };
    let mut buffer = vec![0; 64 * 1024];
    let mut unread = 0;
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        let heads = {
            let mut seen = seen.lock().unwrap();
            seen[index].extend_from_slice(&buffer[..read]);
            let fresh = seen[index].len() - read;
            take_heads(&seen[index], fresh, &mut unread)
        };
        for _ in 0..heads {
            match &script {
                Script::Hang => {}
                Script::Close => return,
                Script::Reset => {
                    let _ = stream.set_zero_linger();
                    return;
                }
                Script::Respond(bytes) => {
                    let _ = stream.write_all(bytes).await;
                }
                Script::RespondAndClose(bytes) => {
                    let _ = stream.write_all(bytes).await;
                    let _ = stream.shutdown().await;
                    return;
                }
            }
        }
    }
}

/// Counts the heads of requests that the bytes from `fresh` on complete. `unread` is where the block
/// starts that has no end so far. An empty line ends a head only if the text before it names a version:
/// the last chunk of a body ends with an empty line too.
fn take_heads(bytes: &[u8], fresh: usize, unread: &mut usize) -> usize {
    let mut heads = 0;
    let mut from = fresh.saturating_sub(3).max(*unread);
    while let Some(at) = find(&bytes[from..], b"\r\n\r\n") {
        heads += usize::from(find(&bytes[*unread..from + at], b" HTTP/").is_some());
        from += at + 4;
        *unread = from;
    }
    heads
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_counted_once_and_the_end_of_a_body_is_none() {
        let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        let two = format!("{head}2\r\nhi\r\n0\r\n\r\nGET /next HTTP/1.1\r\n\r\n");
        for step in 1..=two.len() {
            let (mut heads, mut unread, mut fresh) = (0, 0, 0);
            while fresh < two.len() {
                let end = two.len().min(fresh + step);
                heads += take_heads(&two.as_bytes()[..end], fresh, &mut unread);
                fresh = end;
            }
            assert_eq!((heads, unread), (2, two.len()), "{step} bytes at a time");
        }
    }
}
