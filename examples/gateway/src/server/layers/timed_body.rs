//! A request body whose pauses are timed, and the response body that suspends the timeout.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bartizan::core::{Reason, failure::BodyRefused};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};

use super::exchange::Exchange;

type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// A request body that fails with [`BodyRefused`] when it pauses too long.
    #[derive(Debug)]
    pub(crate) struct TimedBody<B> {
        #[pin]
        body: B,
        timer: Option<Timer>,
    }
}

#[derive(Debug)]
struct Timer {
    timeout: Duration,
    exchange: Arc<Exchange>,
    // Set only while a reader waits for the body.
    sleep: Option<Pin<Box<Sleep>>>,
}

pin_project! {
    /// A response body: while it lives, the request body may pause.
    #[derive(Debug)]
    pub(crate) struct RespondingBody<B> {
        #[pin]
        body: B,
        _responding: Responding,
    }
}

#[derive(Debug)]
struct Responding(Option<Arc<Exchange>>);

impl<B> TimedBody<B> {
    /// Allows pauses of up to `timeout`; without an `exchange`, pauses are not limited.
    pub(super) fn new(body: B, timeout: Duration, exchange: Option<Arc<Exchange>>) -> Self {
        Self { body, timer: exchange.map(|exchange| Timer { timeout, exchange, sleep: None }) }
    }
}

impl Timer {
    /// Ready when the body has paused too long.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(self.timeout)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            // While a response streams, the request body may pause for any time.
            if !self.exchange.is_responding() {
                self.exchange.time_out();
                return Poll::Ready(());
            }
            sleep.as_mut().reset(Instant::now() + self.timeout);
        }
    }
}

impl<B> RespondingBody<B> {
    pub(super) fn new(body: B, exchange: Option<Arc<Exchange>>) -> Self {
        if let Some(exchange) = &exchange {
            exchange.begin_response();
        }
        Self { body, _responding: Responding(exchange) }
    }
}

impl Drop for Responding {
    fn drop(&mut self) {
        if let Some(exchange) = &self.0 {
            exchange.end_response();
        }
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for TimedBody<B> {
    type Data = B::Data;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.project();
        let polled = this.body.poll_frame(cx).map_err(Into::into);
        let Some(timer) = this.timer else { return polled };
        if polled.is_ready() {
            timer.sleep = None;
            return polled;
        }
        ready!(timer.poll_timeout(cx));
        Poll::Ready(Some(Err(BodyRefused::new(Reason::BodyTimeout).into())))
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body> Body for RespondingBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty, channel::Channel};
    use tokio::time::timeout;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(15);
    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test(start_paused = true)]
    async fn progress_extends_the_deadline_and_a_pause_ends_the_body() {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let exchange = Arc::new(Exchange::default());
        let mut body = TimedBody::new(body, PAUSE, Some(Arc::clone(&exchange)));
        let send = async {
            for _ in 0..4 {
                sleep(Duration::from_secs(14)).await;
                sender.send_data(Bytes::from_static(b"x")).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let start = Instant::now();
        let read = async {
            for _ in 0..4 {
                body.frame().await.unwrap().unwrap();
            }
            body.frame().await.unwrap().unwrap_err()
        };
        let error = tokio::select! { error = read => error, () = send => unreachable!() };
        assert_eq!(BodyRefused::find(&*error), Some(Reason::BodyTimeout));
        assert_eq!(start.elapsed().as_secs(), 4 * 14 + 15);
        assert!(exchange.is_timed_out());
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_response_streams_a_pause_is_allowed_and_afterwards_it_is_not() {
        let (_sender, body) = Channel::<Bytes>::new(1);
        let exchange = Arc::new(Exchange::default());
        let mut body = TimedBody::new(body, PAUSE, Some(Arc::clone(&exchange)));
        let response = RespondingBody::new(Empty::<Bytes>::new(), Some(Arc::clone(&exchange)));
        let mut read = pin!(body.frame());
        assert!(timeout(DAY, read.as_mut()).await.is_err());
        assert!(!exchange.is_timed_out());
        drop(response);
        assert!(timeout(PAUSE, read).await.unwrap().unwrap().is_err());
        assert!(exchange.is_timed_out());
    }
}
