//! HTTP/1.1 as both ends of the line read it: complete messages with a length, in one buffer.

use std::io;

use memchr::memmem;
use tokio::{io::AsyncReadExt, net::TcpStream};

/// The id of a session, 36 bytes as those of UUIDs.
pub(crate) type Id = [u8; 36];

/// The field that carries it.
pub(crate) const SESSION: &[u8] = b"mcp-session-id";

/// What a body begins with that opens a session.
pub(crate) const INITIALIZE: &[u8] = br#"{"jsonrpc":"2.0","id":0,"method":"initialize""#;

/// A message that has arrived as a whole: where its head and its body end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    head: usize,
    end: usize,
}

impl Message {
    /// Reads until `buffer` holds a message; nothing if the peer left.
    pub(crate) async fn read(
        stream: &mut TcpStream,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Option<Self>> {
        loop {
            if let Some(message) = Self::first_in(buffer) {
                return Ok(Some(message));
            }
            if stream.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The message that `bytes` begin with, if all of it is there.
    fn first_in(bytes: &[u8]) -> Option<Self> {
        let head = head_end(bytes)?;
        let length = field(bytes.get(..head)?, b"content-length");
        let length = length.map_or(Some(0), |length| str::from_utf8(length).ok()?.parse().ok())?;
        let message = Self { head, end: head + length };
        (bytes.len() >= message.end).then_some(message)
    }

    pub(crate) fn head(self, bytes: &[u8]) -> &[u8] {
        bytes.get(..self.head).unwrap_or_default()
    }

    pub(crate) fn body(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.head..self.end).unwrap_or_default()
    }

    /// Takes the message out of `buffer`.
    pub(crate) fn drop_from(self, buffer: &mut Vec<u8>) {
        buffer.drain(..self.end);
    }
}

/// Where the head ends that `bytes` begin with.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"\r\n\r\n").map(|end| end + 4)
}

/// The value of a field, of a name in lower case.
pub(crate) fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = head.split(|&byte| byte == b'\n');
    lines.find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// The id in the head of a message.
pub(crate) fn session(head: &[u8]) -> Option<Id> {
    field(head, SESSION)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_message_once_all_of_it_is_there() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: y\r\n\r\nbodyHTTP/1.1";
        for short in 0..48 {
            assert!(Message::first_in(&bytes[..short]).is_none(), "{short}");
        }
        let message = Message::first_in(bytes).unwrap();
        assert_eq!(message.body(bytes), b"body");
        assert_eq!(field(message.head(bytes), b"x"), Some(&b"y"[..]));
        assert_eq!(field(message.head(bytes), b"content"), None);
        let mut buffer = bytes.to_vec();
        message.drop_from(&mut buffer);
        assert_eq!(buffer, b"HTTP/1.1");
    }
}
