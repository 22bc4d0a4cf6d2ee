//! Both ends of the connection, written by hand so that they do not dominate the measurement: a backend that answers
//! each request with the same bytes, and a load of the same request over and over.

use std::net::SocketAddr;

use crate::SESSION_ID;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const CONNECTIONS: usize = 32;
const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"increment","arguments":{"by":1,"note":"a body of some three hundred bytes, as a tool call has it; the rest of it is here to make it as long as that, since nothing in a proxy looks at it, and nothing in a proxy should copy it either"}}}"#;
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 38\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}";

/// Prints its address, and answers until it is killed.
#[allow(clippy::print_stdout, reason = "the address is for the process that started it")]
pub async fn backend() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(64 * 1024);
            while let Some(length) = message(&mut stream, &mut buffer).await {
                let opens = buffer.windows(12).any(|window| window == b"\"initialize\"");
                buffer.drain(..length);
                let answer = if opens { opened() } else { ANSWER.into() };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn opened() -> String {
    ANSWER.replacen("\r\n", &format!("\r\nmcp-session-id: {SESSION_ID}\r\n"), 1)
}

/// Opens the session that all requests belong to, where it is not there already.
async fn open(addr: SocketAddr) {
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"load","version":"1.0"}}}"#;
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {addr}\r\naccept: application/json, text/event-stream\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = Vec::new();
    message(&mut stream, &mut buffer).await.unwrap();
}

/// Opens a session and sends `count` requests of it, each as soon as its connection is free, and sees that each has its answer.
pub async fn load(addr: SocketAddr, count: usize) {
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {addr}\r\naccept: application/json, text/event-stream\r\n\
         content-type: application/json\r\nuser-agent: load/1.0\r\nmcp-session-id: {}\r\n\
         mcp-protocol-version: 2025-11-25\r\ncontent-length: {}\r\n\r\n{BODY}",
        SESSION_ID,
        BODY.len()
    );
    open(addr).await;
    let tasks = (0..CONNECTIONS).map(|n| {
        let request = request.clone();
        let share = count / CONNECTIONS + usize::from(n < count % CONNECTIONS);
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut buffer = Vec::with_capacity(64 * 1024);
            for _ in 0..share {
                stream.write_all(request.as_bytes()).await.unwrap();
                let length = message(&mut stream, &mut buffer).await.unwrap();
                assert!(
                    buffer.starts_with(b"HTTP/1.1 200 "),
                    "{}",
                    String::from_utf8_lossy(&buffer)
                );
                buffer.drain(..length);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// Reads until `buffer` holds a whole message, and gives its length.
async fn message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(length) = length_of_message(buffer) {
            return Some(length);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn length_of_message(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
    let text = str::from_utf8(bytes.get(..head)?).ok()?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let body: usize = length.map_or(Some(0), |length| length.parse().ok())?;
    (bytes.len() >= head + 4 + body).then_some(head + 4 + body)
}
