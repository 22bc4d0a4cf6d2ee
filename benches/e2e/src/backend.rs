//! Backends that are never the bottleneck: several on one thread, raw bytes in and out.
//!
//! | request | answer |
//! |---|---|
//! | `initialize` | 200 with a session id: the one that the request names, or else a new one |
//! | a call of a session that was opened here | 200, saying which backend this is |
//! | GET of such a session | a stream of events, `?every=MS` apart; without it, of one event |
//! | anything of another session | 404 |

use std::{
    cell::RefCell,
    collections::HashSet,
    io::{self, Write},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::{LocalSet, spawn_local},
    time::{MissedTickBehavior, interval},
};

use crate::wire::{INITIALIZE, Id, Message, session};

const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

/// One backend, and the sessions that it opened.
#[derive(Debug)]
struct Backend {
    number: u8,
    answer: Vec<u8>,
    opened: RefCell<HashSet<Id>>,
}

/// Prints the addresses of `count` backends, one per line, and answers until it is killed.
pub(crate) async fn serve(count: u8) -> io::Result<()> {
    let local = LocalSet::new();
    for number in 0..count {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        writeln!(io::stdout(), "{}", listener.local_addr()?)?;
        local.spawn_local(accept(listener, Rc::new(Backend::new(number))));
    }
    local.await;
    Ok(())
}

/// The body of each answer of a backend.
pub(crate) fn body(number: u8) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"backend":{number}}}}}"#).into_bytes()
}

async fn accept(listener: TcpListener, backend: Rc<Backend>) {
    while let Ok((stream, _)) = listener.accept().await {
        // A client that disconnects is not an error.
        let backend = backend.clone();
        spawn_local(async move { backend.answer_all(stream).await });
    }
}

impl Backend {
    fn new(number: u8) -> Self {
        let answer = answer(&[], &body(number));
        Self { number, answer, opened: RefCell::default() }
    }

    async fn answer_all(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(4 * 1024);
        while let Some(message) = Message::read(&mut stream, &mut buffer).await? {
            let (head, body) = (message.head(&buffer), message.body(&buffer));
            let id = session(head);
            let is_known = id.is_some_and(|id| self.opened.borrow().contains(&id));
            if body.starts_with(INITIALIZE) {
                let id = self.open(id);
                let field = [b"mcp-session-id: ", &id[..], b"\r\n"].concat();
                stream.write_all(&answer(&field, &self::body(self.number))).await?;
            } else if !is_known {
                stream.write_all(NOT_FOUND).await?;
            } else if head.starts_with(b"GET ") {
                return send_events(stream, every(head)).await;
            } else {
                stream.write_all(&self.answer).await?;
            }
            message.drop_from(&mut buffer);
        }
        Ok(())
    }

    /// Remembers a session of this id, or of a new one.
    fn open(&self, id: Option<Id>) -> Id {
        let mut opened = self.opened.borrow_mut();
        let id = id.unwrap_or_else(|| self.id(opened.len() as u64));
        opened.insert(id);
        id
    }

    /// The `n`th id: unique, and not similar to the previous one.
    fn id(&self, n: u64) -> Id {
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (high, low) = (mixed >> 48, mixed & 0xffff_ffff_ffff);
        let text = format!("{:08x}-0000-4000-{high:04x}-{low:012x}", self.number);
        text.as_bytes().try_into().unwrap_or([b'0'; 36])
    }
}

fn answer(field: &[u8], body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    [head.as_bytes(), field, b"\r\n", body].concat()
}

/// How far apart the events are that the query asks for.
fn every(head: &[u8]) -> Option<Duration> {
    let line = str::from_utf8(head).ok()?.lines().next()?;
    let (_, query) = line.split_once("?every=")?;
    query.split(' ').next()?.parse().ok().map(Duration::from_millis)
}

async fn send_events(mut stream: TcpStream, every: Option<Duration>) -> io::Result<()> {
    stream.write_all(STREAM).await?;
    stream.write_all(event(0).as_bytes()).await?;
    let Some(every) = every else {
        // Open until the other side leaves.
        return stream.readable().await;
    };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 1.. {
        ticks.tick().await;
        stream.write_all(event(n).as_bytes()).await?;
    }
    Ok(())
}

/// One event, in its own chunk.
fn event(n: u64) -> String {
    let event = format!(
        "id: {n}\nevent: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\
         \"params\":{{\"progressToken\":1,\"progress\":{n}}}}}\n\n"
    );
    format!("{:x}\r\n{event}\r\n", event.len())
}
