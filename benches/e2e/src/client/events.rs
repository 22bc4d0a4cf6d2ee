//! Event streams.

use std::{io, net::SocketAddr, time::Duration};

use memchr::memmem;
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{Connection, Fault, Sessions, connection::status};
use crate::wire::head_end;

/// How long the next event may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Streams that are open.
#[derive(Debug)]
pub(crate) struct Streams(Vec<Stream>);

/// A stream, and the number of the event that comes next.
#[derive(Debug)]
struct Stream {
    stream: TcpStream,
    received: Vec<u8>,
    next: u64,
}

/// What came over streams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) events: u64,
    pub(crate) reads: u64,
}

impl Streams {
    /// Opens this many streams, each in a separate session as far as there are enough, and reads the first event of
    /// each.
    pub(crate) async fn open(
        addr: SocketAddr,
        sessions: &Sessions,
        count: usize,
        every: Option<u64>,
    ) -> Result<Self, Fault> {
        let mut streams = Vec::with_capacity(count);
        for session in sessions.iter().take(count) {
            let stream = Connection::open(addr).await?.listen(session, every).await?;
            let mut stream = Stream { stream, received: Vec::with_capacity(2 * 1024), next: 0 };
            stream.begin().await?;
            streams.push(stream);
        }
        Ok(Self(streams))
    }

    /// Listens to all of them for `duration`.
    pub(crate) async fn hear(self, duration: Duration) -> Result<(Self, Heard), Fault> {
        let until = Instant::now() + duration;
        let mut tasks = JoinSet::new();
        for stream in self.0 {
            tasks.spawn(stream.hear(until));
        }
        let (mut streams, mut all) = (Vec::new(), Heard::default());
        while let Some(one) = tasks.join_next().await {
            let (stream, heard) = one.map_err(io::Error::other)??;
            streams.push(stream);
            all.events += heard.events;
            all.reads += heard.reads;
        }
        Ok((Self(streams), all))
    }
}

impl Stream {
    /// Reads the head and the first event.
    async fn begin(&mut self) -> Result<(), Fault> {
        let deadline = Instant::now() + PATIENCE;
        while self.next == 0 {
            let read = timeout_at(deadline, self.stream.read_buf(&mut self.received)).await;
            if read.map_err(|_| Fault::Silence)?? == 0 {
                return Err(Fault::closed());
            }
            let Some(head) = head_end(&self.received) else { continue };
            match status(&self.received) {
                Some(200) => {}
                other => return Err(Fault::Status(other.unwrap_or(0))),
            }
            // The head stays until the first event is behind it.
            if memmem::find(self.received.get(head..).unwrap_or_default(), b"\n\n").is_some() {
                self.take_events()?;
            }
        }
        Ok(())
    }

    async fn hear(mut self, until: Instant) -> Result<(Self, Heard), Fault> {
        let mut heard = Heard::default();
        while let Ok(read) = timeout_at(until, self.stream.read_buf(&mut self.received)).await {
            if read? == 0 {
                return Err(Fault::closed());
            }
            heard.reads += 1;
            heard.events += self.take_events()?;
        }
        // At 100 events per second and more, a stream without any has stopped.
        if heard.events == 0 { Err(Fault::Silence) } else { Ok((self, heard)) }
    }

    /// Takes what has arrived in full, which must be the events that come next.
    fn take_events(&mut self) -> Result<u64, Fault> {
        let first = self.next;
        let mut taken = 0;
        for end in memmem::find_iter(&self.received, b"\n\n") {
            let event = self.received.get(taken..end).unwrap_or_default();
            if number(event) != Some(self.next) {
                return Err(Fault::Event { expected: self.next });
            }
            self.next += 1;
            taken = end + 2;
        }
        self.received.drain(..taken);
        Ok(self.next - first)
    }
}

/// The number of an event, behind whatever frames it.
fn number(event: &[u8]) -> Option<u64> {
    let line = event.get(memmem::find(event, b"id: ")? + 4..)?;
    let line = line.split(|&byte| byte == b'\n').next()?;
    str::from_utf8(line).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_number_of_an_event_in_a_chunk() {
        assert_eq!(number(b"\r\n5e\r\nid: 17\nevent: message\ndata: {}"), Some(17));
        assert_eq!(number(b"\r\n5e\r\ndata: {}"), None);
    }
}
