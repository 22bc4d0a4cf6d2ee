//! Cancels uploads that the backend does not read.
//!
//! hyper asks a request body for its next piece only when the backend's window has room for some of the previous one
//! ([RFC 9113 §5.2](https://www.rfc-editor.org/rfc/rfc9113#section-5.2)). So the backend is not reading while a piece
//! has been returned and the body is neither polled again nor dropped. Only this state counts:
//!
//! | upload | outcome |
//! |---|---|
//! | a piece waits for the timeout | the exchange ends and its stream is reset; other streams of the connection continue |
//! | the client pauses | no timeout here |
//! | h2 has all of it, or the response has begun | no timeout here |
//!
//! If the window had room for only a part of the last piece, the rest that h2 holds cannot be observed; then the
//! timeout of the response applies.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};

use super::stream::Stream;

/// The progress that a request body reports.
#[derive(Debug)]
pub(super) struct Upload {
    begun: Instant,
    // In milliseconds since `begun`, plus one; zero while no piece waits.
    waits_since: AtomicU64,
    is_over: AtomicBool,
}

/// The body's side of an upload. Dropping it means that there is nothing more to send.
#[derive(Debug)]
pub(super) struct Sending(Arc<Stream>);

/// The state of an upload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    /// A piece has been waiting since then.
    Waits(Instant),
    /// No piece is waiting.
    Goes,
    /// No piece will wait any more.
    IsOver,
}

/// The backend has not read the request for too long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stalled;

pin_project! {
    /// A response, unless its upload stalls first.
    pub(super) struct OrStalled<F> {
        #[pin]
        answer: F,
        stream: Arc<Stream>,
        #[pin]
        timer: Option<Sleep>,
        timeout: Duration,
    }
}

impl Upload {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            waits_since: AtomicU64::default(),
            is_over: AtomicBool::default(),
        }
    }

    fn progress(&self) -> Progress {
        if self.is_over.load(Ordering::Relaxed) {
            return Progress::IsOver;
        }
        match self.waits_since.load(Ordering::Relaxed).checked_sub(1) {
            Some(since) => Progress::Waits(self.begun + Duration::from_millis(since)),
            None => Progress::Goes,
        }
    }
}

impl Sending {
    pub(super) const fn new(stream: Arc<Stream>) -> Self {
        Self(stream)
    }

    /// Records that the body was polled for its next piece.
    pub(super) fn asked(&self) {
        self.0.upload.waits_since.store(0, Ordering::Relaxed);
    }

    /// Records that it has returned one.
    pub(super) fn given(&self) {
        let upload = &self.0.upload;
        let since = u64::try_from(upload.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        upload.waits_since.store(since.saturating_add(1), Ordering::Relaxed);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.upload.is_over.store(true, Ordering::Relaxed);
    }
}

impl<F> OrStalled<F> {
    /// Waits for `answer`, unless a piece of the upload of `stream` waits for `timeout`. `None` if there is nothing to
    /// upload.
    pub(super) fn new(answer: F, stream: Arc<Stream>, timeout: Option<Duration>) -> Self {
        let timer = timeout.map(sleep);
        Self { answer, stream, timer, timeout: timeout.unwrap_or_default() }
    }
}

impl<F: Future> Future for OrStalled<F> {
    type Output = Result<F::Output, Stalled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(answer) = this.answer.poll(cx) {
            return Poll::Ready(Ok(answer));
        }
        while let Some(timer) = this.timer.as_mut().as_pin_mut() {
            ready!(timer.poll(cx));
            let now = Instant::now();
            let end = match this.stream.upload.progress() {
                Progress::Waits(since) => since + *this.timeout,
                Progress::Goes => now + *this.timeout,
                Progress::IsOver => {
                    this.timer.set(None);
                    return Poll::Pending;
                }
            };
            if end <= now {
                return Poll::Ready(Err(Stalled));
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                timer.reset(end);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Weak};

    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(86_400);

    fn begin() -> (Sending, OrStalled<std::future::Pending<()>>) {
        let stream = Arc::new(Stream::new(Weak::new(), 1));
        let answer = OrStalled::new(pending(), Arc::clone(&stream), Some(LIMIT));
        (Sending::new(stream), answer)
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_that_waits_for_the_whole_time_ends_the_exchange() {
        let (sending, answer) = begin();
        let mut answer = Box::pin(answer);
        // One piece every 50 s is progress, whatever the client does between them.
        for _ in 0..5 {
            sending.given();
            assert!(timeout(Duration::from_secs(50), &mut answer).await.is_err());
            sending.asked();
            assert!(timeout(Duration::from_secs(500), &mut answer).await.is_err());
        }
        sending.given();
        let start = Instant::now();
        answer.await.unwrap_err();
        assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_pauses_and_an_upload_that_is_over_have_no_timeout() {
        let (sending, answer) = begin();
        let mut answer = Box::pin(answer);
        sending.given();
        sending.asked();
        assert!(timeout(DAY, &mut answer).await.is_err());
        sending.given();
        drop(sending);
        assert!(timeout(DAY, &mut answer).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_timeout_it_may_take_for_ever() {
        let stream = Arc::new(Stream::new(Weak::new(), 1));
        let answer = OrStalled::new(pending::<()>(), Arc::clone(&stream), None);
        Sending::new(stream).given();
        assert!(timeout(DAY, answer).await.is_err());
    }
}
