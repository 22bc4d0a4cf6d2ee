//! How long bytes may wait for a backend that does not read.
//!
//! The gateway in `examples/gateway` has the same timer for clients. To share it, it would have to be public here,
//! where it has no other use.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Fails the writes of a connection whose peer has read nothing for the timeout. While there is nothing to write, there
/// is no timeout.
#[derive(Debug)]
pub(super) struct WriteTimeout {
    timeout: Option<Duration>,
    blocked_since: Option<Instant>,
    // Created when a write blocks for the first time. It is reset only when it fires.
    timer: Option<Pin<Box<Sleep>>>,
}

impl WriteTimeout {
    pub(super) const fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, blocked_since: None, timer: None }
    }

    /// Passes on the result of a write, unless the peer has read nothing for too long.
    #[inline]
    pub(super) fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            return self.on_blocked(cx);
        }
        self.blocked_since = None;
        written
    }

    #[cold]
    fn on_blocked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(timeout) = self.timeout else { return Poll::Pending };
        let end = *self.blocked_since.get_or_insert_with(Instant::now) + timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= end {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            timer.as_mut().reset(end);
        }
        Poll::Pending
    }
}

/// Whether `error` comes from [`WriteTimeout`], and not from the system.
pub(super) fn is_write_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{sleep, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// The result of a write that stays blocked for `pause`.
    async fn blocked(watched: &mut WriteTimeout, pause: Duration) -> Option<io::Error> {
        let write = poll_fn(|cx| watched.watch(cx, Poll::Pending));
        timeout(pause, write).await.ok().map(Result::unwrap_err)
    }

    async fn write(watched: &mut WriteTimeout) {
        poll_fn(|cx| watched.watch(cx, Poll::Ready(Ok(1)))).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_fails_when_nothing_was_taken_for_the_whole_time() {
        let mut watched = WriteTimeout::new(Some(LIMIT));
        // One byte every 50 s is progress, and there is no timeout while there is nothing to write.
        for _ in 0..5 {
            assert!(blocked(&mut watched, Duration::from_secs(50)).await.is_none());
            write(&mut watched).await;
        }
        sleep(LIMIT * 5).await;
        let start = Instant::now();
        let error = blocked(&mut watched, LIMIT * 2).await.unwrap();
        assert!(is_write_timeout(&error));
        assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_timeout_a_write_may_take_for_ever() {
        let mut watched = WriteTimeout::new(None);
        assert!(blocked(&mut watched, LIMIT * 1000).await.is_none());
    }
}
