//! The access log: one line per request.
//!
//! Each request is recorded by the task that serves it, and written by a separate thread. A bounded queue connects the
//! two: when the disk is too slow, lines are dropped and counted, and no request waits.
//!
//! | file | what it does |
//! |---|---|
//! | `entry` | what is recorded of a request, and its line |
//! | `layer` | records: outermost, so that refusals are recorded too |
//! | `body` | counts the bytes of a response, and records how it ended |
//! | `note` | records which backend a request went to: innermost |
//! | `writer` | the thread that writes |

mod body;
mod entry;
mod layer;
mod note;
mod writer;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, SyncSender, TrySendError},
    },
    thread,
    time::Duration,
};

use bartizan::core::mcp;
use http::HeaderName;
use tokio::time::Instant;

use entry::Entry;
pub(crate) use layer::{LogAccess, LogAccessLayer};
pub(crate) use note::NoteBackend;

/// How many lines may wait for the disk.
const QUEUE: usize = 4_096;

/// Where the lines go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    StandardOutput,
    /// Lines are appended.
    File(PathBuf),
}

/// The open log; clones share it.
#[derive(Clone)]
pub(crate) struct AccessLog(Arc<Shared>);

struct Shared {
    queue: SyncSender<Message>,
    /// Lines dropped since the last report because the queue was full.
    left_out: Arc<AtomicU64>,
    session_header: HeaderName,
}

/// What the writer is sent.
enum Message {
    Line(Box<Entry>),
    /// Writes everything that came before, and confirms it.
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// Opens the log and starts its thread. The session id is read from the field `session_header`; by default, from
    /// MCP's.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened; the message names it.
    pub(crate) fn open(
        target: &Target,
        session_header: Option<&HeaderName>,
    ) -> Result<Self, String> {
        let out = writer::open(target)?;
        Ok(Self::start(out, session_header))
    }

    fn start(out: writer::Out, session_header: Option<&HeaderName>) -> Self {
        let (queue, messages) = mpsc::sync_channel(QUEUE);
        let left_out = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&left_out);
        thread::spawn(move || writer::run(&messages, out, &counter));
        let session_header = session_header.cloned().unwrap_or(mcp::SESSION_ID.clone());
        Self(Arc::new(Shared { queue, left_out, session_header }))
    }

    /// Queues the line of a request, or counts it as dropped. Never waits.
    fn send(&self, entry: Box<Entry>) {
        if self.0.queue.try_send(Message::Line(entry)).is_err() {
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all lines so far are written, for at most `within`. Blocks the thread.
    pub(crate) fn flush(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let (tell, told) = mpsc::sync_channel(1);
        let mut flush = Message::Flush(tell);
        while let Err(TrySendError::Full(back)) = self.0.queue.try_send(flush) {
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(Duration::from_millis(5));
            flush = back;
        }
        let _ = told.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessLog")
    }
}

#[cfg(test)]
mod tests;
