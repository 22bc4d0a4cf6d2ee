//! One connection to a proxy.

use std::net::SocketAddr;

use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{Fault, Session};
use crate::{
    backend,
    wire::{Id, Message, session},
};

/// Which side names the sessions of a contender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Naming {
    /// The backend, in its answer to `initialize`.
    Backend,
    /// The client: what hashes ids can only keep a session whose id was there before its backend was chosen.
    Client,
}

/// A connection, and room for what comes and goes.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    call: Call,
}

/// The bytes of a call, with a gap for the session's id.
#[derive(Debug)]
struct Call {
    bytes: Vec<u8>,
    gap: usize,
}

/// A call of about 300 bytes, as tool calls are.
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"increment","arguments":{"by":1,"note":"a body of some three hundred bytes, as a tool call has it; the rest of it is here to make it as long as that, since nothing in a proxy looks at it, and nothing in a proxy should copy it either"}}}"#;

/// What opens a session; it begins as the backend expects.
const OPENING: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"load","version":"1.0"}}}"#;

/// As many connections as asked for.
pub(crate) async fn connect(addr: SocketAddr, count: usize) -> Result<Vec<Connection>, Fault> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(Connection::open(addr).await?);
    }
    Ok(connections)
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Result<Self, Fault> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(1024), call: Call::new(addr) })
    }

    /// Opens a session, of the id that the client gives it or of one that the backend does.
    pub(crate) async fn initialize(&mut self, name: Option<Id>) -> Result<Session, Fault> {
        let host = self.stream.peer_addr()?;
        let request = post(host, name.as_ref().map(|id| &id[..]), OPENING);
        self.stream.write_all(&request).await?;
        let message = self.answer().await?;
        let id = session(message.head(&self.received)).ok_or(Fault::NoSession)?;
        let answer = message.body(&self.received);
        let number = (0..=u8::MAX).find(|&number| backend::body(number) == answer);
        let number =
            number.ok_or_else(|| Fault::Body(String::from_utf8_lossy(answer).into_owned()))?;
        message.drop_from(&mut self.received);
        Ok(Session { id, backend: number })
    }

    /// Calls a session, and sees that the backend answers that opened it.
    pub(crate) async fn call(
        &mut self,
        session: &Session,
        answers: &[Vec<u8>],
    ) -> Result<(), Fault> {
        self.stream.write_all(self.call.of(&session.id)).await?;
        let message = self.answer().await?;
        let expected = answers.get(usize::from(session.backend));
        let body = message.body(&self.received);
        let result = match expected.is_some_and(|expected| expected == body) {
            true => Ok(()),
            false => Err(Fault::Body(String::from_utf8_lossy(body).into_owned())),
        };
        message.drop_from(&mut self.received);
        result
    }

    /// Asks for a stream of events, `every` so many milliseconds.
    pub(crate) async fn listen(
        mut self,
        session: &Session,
        every: Option<u64>,
    ) -> Result<TcpStream, Fault> {
        let host = self.stream.peer_addr()?;
        let query = every.map(|every| format!("?every={every}")).unwrap_or_default();
        let id = String::from_utf8_lossy(&session.id);
        let request = format!(
            "GET /mcp{query} HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\
             user-agent: load/1.0\r\nmcp-session-id: {id}\r\n\
             mcp-protocol-version: 2025-11-25\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).await?;
        Ok(self.stream)
    }

    /// Reads an answer, which must be 200.
    async fn answer(&mut self) -> Result<Message, Fault> {
        let message = Message::read(&mut self.stream, &mut self.received).await?;
        let message = message.ok_or_else(Fault::closed)?;
        match status(message.head(&self.received)) {
            Some(200) => Ok(message),
            other => {
                message.drop_from(&mut self.received);
                Err(Fault::Status(other.unwrap_or(0)))
            }
        }
    }
}

impl Call {
    fn new(host: SocketAddr) -> Self {
        let id = [b'0'; 36];
        let bytes = post(host, Some(&id), CALL);
        let gap = memchr::memmem::find(&bytes, &id).unwrap_or(0);
        Self { bytes, gap }
    }

    /// The call of a session.
    fn of(&mut self, id: &Id) -> &[u8] {
        if let Some(gap) = self.bytes.get_mut(self.gap..self.gap + id.len()) {
            gap.copy_from_slice(id);
        }
        &self.bytes
    }
}

fn post(host: SocketAddr, id: Option<&[u8]>, body: &str) -> Vec<u8> {
    let id = id.map(|id| format!("mcp-session-id: {}\r\n", String::from_utf8_lossy(id)));
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {host}\r\naccept: application/json, text/event-stream\r\n\
         content-type: application/json\r\nuser-agent: load/1.0\r\n{}\
         mcp-protocol-version: 2025-11-25\r\ncontent-length: {}\r\n\r\n{body}",
        id.unwrap_or_default(),
        body.len()
    );
    request.into_bytes()
}

/// The status of a response's head.
pub(crate) fn status(head: &[u8]) -> Option<u16> {
    str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}
