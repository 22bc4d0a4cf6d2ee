//! The thread that writes the lines.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::Duration,
};

use tokio::time::Instant;

use super::{Message, Target};

/// Where the bytes go.
pub(super) type Out = Box<dyn Write + Send>;

/// How long lines are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(20);
/// How many bytes are gathered at most.
const CHUNK_BYTES: usize = 64 * 1024;
/// How often lost lines are reported.
const REPORT: Duration = Duration::from_secs(60);

/// Opens the target; lines are added at its end.
pub(super) fn open(target: &Target) -> Result<Out, String> {
    match target {
        Target::StandardOutput => Ok(Box::new(io::stdout())),
        Target::File(path) => match OpenOptions::new().append(true).create(true).open(path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(format!("--access-log {}: {error}", path.display())),
        },
    }
}

/// Writes all messages until every sender is gone. Lines that cannot be written are lost.
pub(super) fn run(messages: &Receiver<Message>, mut out: Out, left_out: &AtomicU64) {
    let mut losses = Losses::default();
    let mut lines = String::with_capacity(CHUNK_BYTES);
    loop {
        let waiting = match messages.recv_timeout(REPORT) {
            Ok(message) => take(message, &mut lines),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // Lines that are sent in the meantime need not wake this thread.
        if waiting.is_none() && !lines.is_empty() {
            thread::sleep(GATHER);
        }
        let mut waiting: Vec<_> = waiting.into_iter().collect();
        while lines.len() < CHUNK_BYTES {
            let Ok(message) = messages.try_recv() else { break };
            waiting.extend(take(message, &mut lines));
        }
        let written = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
        lines.clear();
        for done in waiting {
            let _ = done.try_send(());
        }
        losses.report(written.err(), left_out.load(Ordering::Relaxed));
    }
}

/// Adds the line of `message`, or returns the sender that waits until all earlier lines are
/// written.
fn take(message: Message, lines: &mut String) -> Option<SyncSender<()>> {
    match message {
        Message::Line(entry) => {
            entry.write(lines);
            None
        }
        Message::Flush(done) => Some(done),
    }
}

/// Reports lines that were lost, once a minute.
#[derive(Debug, Default)]
struct Losses {
    reported: Option<Instant>,
    left_out: u64,
    error: Option<io::Error>,
}

impl Losses {
    fn report(&mut self, error: Option<io::Error>, left_out: u64) {
        self.error = error.or(self.error.take());
        let is_due = self.reported.is_none_or(|last| last.elapsed() >= REPORT);
        if !is_due || (self.error.is_none() && left_out == self.left_out) {
            return;
        }
        let new = left_out - self.left_out;
        match self.error.take() {
            Some(error) => {
                tracing::warn!(%error, left_out = new, "the access log cannot be written")
            }
            None => tracing::warn!(left_out = new, "the access log is slower than the requests"),
        }
        (self.reported, self.left_out) = (Some(Instant::now()), left_out);
    }
}
