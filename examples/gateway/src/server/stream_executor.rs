//! Runs the streams of HTTP/2 connections, and resets streams that the client does not read.
//!
//! hyper polls a response body for its next piece only when the client has room for the previous one. So a stream is
//! stalled if its body has returned a frame and is not polled again. The body reports both to the task of its stream,
//! which ends after the timeout; h2 then resets the stream. A silent event stream has been polled and has nothing to
//! send: it has no timeout.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::{
    task::futures::TaskLocalFuture,
    time::{Instant, Sleep, sleep},
};

tokio::task_local! {
    static PROGRESS: Arc<StreamProgress>;
}

/// Runs streams as tasks of tokio.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamExecutor {
    timeout: Duration,
}

/// What a response body reports to the task of its stream.
#[derive(Debug, Default)]
pub(super) struct StreamProgress {
    given: AtomicU32,
    is_asked: AtomicBool,
}

pin_project! {
    /// A stream that ends when its client reads nothing for the duration of the timeout.
    struct Stream<F> {
        #[pin]
        inner: TaskLocalFuture<Arc<StreamProgress>, F>,
        progress: Arc<StreamProgress>,
        timeout: Duration,
        // How many frames the body had returned when the timer was set.
        seen: u32,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl StreamProgress {
    /// The progress of the stream that the current task runs, if any.
    #[inline(never)]
    pub(super) fn of_current() -> Option<Arc<Self>> {
        PROGRESS.try_with(Arc::clone).ok()
    }

    /// Records whether the body returned a frame when it was polled.
    #[inline]
    pub(super) fn record(&self, has_given: bool) {
        if has_given {
            self.given.fetch_add(1, Ordering::Relaxed);
        }
        self.is_asked.store(!has_given, Ordering::Relaxed);
    }

    /// How many frames there were, if the last one is unread.
    fn unread(&self) -> Option<u32> {
        let given = self.given.load(Ordering::Relaxed);
        (given > 0 && !self.is_asked.load(Ordering::Relaxed)).then_some(given)
    }
}

impl StreamExecutor {
    /// Allows the client `timeout` to read a frame of a body.
    pub(super) const fn new(timeout: Duration) -> Self {
        Self { timeout }
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(Stream::new(stream, self.timeout));
    }
}

impl<F: Future<Output = ()>> Stream<F> {
    fn new(stream: F, timeout: Duration) -> Self {
        let progress = Arc::<StreamProgress>::default();
        let inner = PROGRESS.scope(Arc::clone(&progress), stream);
        Self { inner, progress, timeout, seen: 0, timer: None }
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.inner.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(given) = this.progress.unread() else {
            *this.seen = 0;
            return Poll::Pending;
        };
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(*this.timeout)));
        if *this.seen != given {
            *this.seen = given;
            timer.as_mut().reset(Instant::now() + *this.timeout);
        }
        let polled = timer.as_mut().poll(cx);
        if polled.is_ready() {
            tracing::debug!("the client has read nothing of a stream for too long");
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        sync::mpsc,
        time::{advance, timeout},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// A stream whose body returns a frame only when the test says so.
    fn stream() -> (mpsc::UnboundedSender<bool>, Stream<impl Future<Output = ()>>) {
        let (tell, mut told) = mpsc::unbounded_channel();
        let run = async move {
            let progress = StreamProgress::of_current().unwrap();
            while let Some(has_given) = told.recv().await {
                progress.record(has_given);
            }
        };
        (tell, Stream::new(run, LIMIT))
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_that_is_not_read_ends_its_stream() {
        let (tell, stream) = stream();
        let stream = tokio::spawn(stream);
        for _ in 0..5 {
            tell.send(true).unwrap();
            tokio::task::yield_now().await;
            advance(Duration::from_secs(50)).await;
        }
        let start = Instant::now();
        tell.send(true).unwrap();
        stream.await.unwrap();
        assert_eq!(start.elapsed().as_secs(), LIMIT.as_secs());
        assert!(tell.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_has_nothing_to_give_may_be_silent() {
        let (tell, stream) = stream();
        let mut stream = Box::pin(stream);
        assert!(timeout(LIMIT * 1000, stream.as_mut()).await.is_err(), "no response yet");
        for has_given in [true, false] {
            tell.send(has_given).unwrap();
        }
        assert!(timeout(LIMIT * 1000, stream.as_mut()).await.is_err(), "a silent stream");
    }
}
