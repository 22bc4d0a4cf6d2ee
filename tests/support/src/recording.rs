//! A backend that records every byte and answers by a script.

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
    /// Sends these bytes, and goes on reading.
    Respond(Bytes),
    /// Sends these bytes, and closes.
    RespondAndClose(Bytes),
    /// Reads on and never answers.
    Hang,
    /// Closes without an answer.
    Close,
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
    let mut answered = 0;
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        let heads = {
            let mut seen = seen.lock().unwrap();
            seen[index].extend_from_slice(&buffer[..read]);
            seen[index].windows(4).filter(|window| window == b"\r\n\r\n").count()
        };
        while answered < heads {
            answered += 1;
            match &script {
                Script::Hang => {}
                Script::Close => return,
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
