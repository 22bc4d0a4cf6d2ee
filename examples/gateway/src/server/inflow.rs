//! A request body with a deadline and a bound.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bartizan::core::{Reason, failure::BodyRefused};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::exchange::{Exchange, Upload};

/// A request body that fails when it pauses too long, or grows past its bound. A pause counts only while
/// somebody waits for the body, and no response is on its way.
#[derive(Debug)]
pub(crate) struct Inflow<B> {
    body: B,
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Watch {
    exchange: Arc<Exchange>,
    // Ended with the body: who reads it mostly drops it then.
    _upload: Upload,
    left_bytes: u64,
    pause: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why a request body did not come to its end.
#[derive(Debug)]
pub(crate) enum InflowError<E> {
    Refused(BodyRefused),
    Broken(E),
}

impl<B> Inflow<B> {
    /// A body that has ended already.
    pub(super) const fn unwatched(body: B) -> Self {
        Self { body, watch: None }
    }

    /// Reports to `exchange` when the body is larger than `limit_bytes` or pauses longer than `pause`.
    pub(super) const fn watched(
        body: B,
        exchange: Arc<Exchange>,
        upload: Upload,
        limit_bytes: Option<u64>,
        pause: Option<Duration>,
    ) -> Self {
        let left_bytes = match limit_bytes {
            Some(bytes) => bytes,
            None => u64::MAX,
        };
        Self {
            body,
            watch: Some(Watch { exchange, _upload: upload, left_bytes, pause, timer: None }),
        }
    }
}

impl Watch {
    fn on_frame<E>(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, InflowError<E>> {
        self.timer = None;
        let len = frame.data_ref().map_or(0, Bytes::len) as u64;
        match self.left_bytes.checked_sub(len) {
            Some(left) => {
                self.left_bytes = left;
                Ok(frame)
            }
            None => Err(self.refuse(Reason::BodyTooLarge)),
        }
    }

    fn on_wait<E>(&mut self, cx: &mut Context<'_>) -> Poll<InflowError<E>> {
        let Some(pause) = self.pause else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(pause)));
        loop {
            ready!(timer.as_mut().poll(cx));
            // A response that streams may take all the time in the world, and the request with it.
            if !self.exchange.streams() {
                return Poll::Ready(self.refuse(Reason::BodyTimeout));
            }
            timer.as_mut().reset(Instant::now() + pause);
        }
    }

    fn refuse<E>(&self, reason: Reason) -> InflowError<E> {
        self.exchange.refuse_body(reason);
        InflowError::Refused(BodyRefused::new(reason))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Inflow<B> {
    type Data = Bytes;
    type Error = InflowError<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let Some(watch) = &mut self.watch else {
            return polled.map_err(InflowError::Broken);
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(watch.on_frame(frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(InflowError::Broken(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => watch.on_wait(cx).map(|error| Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<E> fmt::Display for InflowError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(_) => "the request body was refused",
            Self::Broken(_) => "the request body broke off",
        })
    }
}

impl<E: Error + 'static> Error for InflowError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Broken(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use http_body_util::{BodyExt, Full, channel::Channel};
    use tokio::time::timeout;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(15);
    const DAY: Duration = Duration::from_secs(86_400);

    fn upload() -> Upload {
        Upload::begin(Arc::default())
    }

    fn data(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn progress_extends_the_deadline_and_a_pause_ends_the_body() {
        let (mut sender, body) = Channel::<Bytes>::new(1);
        let exchange = Arc::new(Exchange::default());
        let mut body = Inflow::watched(body, Arc::clone(&exchange), upload(), None, Some(PAUSE));
        let send = async {
            for _ in 0..4 {
                sleep(Duration::from_secs(14)).await;
                sender.send_data(data("x")).await.unwrap();
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
        assert_eq!(BodyRefused::find(&error), Some(Reason::BodyTimeout));
        assert_eq!(start.elapsed().as_secs(), 4 * 14 + 15);
        assert_eq!(exchange.fault(), Some(Reason::BodyTimeout));
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_response_streams_a_pause_is_allowed_and_afterwards_it_is_not() {
        let (_sender, body) = Channel::<Bytes>::new(1);
        let exchange = Arc::new(Exchange::default());
        let mut body = Inflow::watched(body, Arc::clone(&exchange), upload(), None, Some(PAUSE));
        exchange.begin_response();
        let mut read = pin!(body.frame());
        assert!(timeout(DAY, read.as_mut()).await.is_err());
        assert_eq!(exchange.fault(), None);
        exchange.end_response();
        assert!(timeout(PAUSE, read).await.unwrap().unwrap().is_err());
        assert_eq!(exchange.fault(), Some(Reason::BodyTimeout));
    }

    #[tokio::test]
    async fn a_body_is_counted() {
        for (limit, fits) in [(2, false), (3, true)] {
            let exchange = Arc::new(Exchange::default());
            let body = Full::new(data("abc"));
            let body =
                Inflow::watched(body, Arc::clone(&exchange), upload(), Some(limit), Some(PAUSE));
            assert_eq!(body.collect().await.is_ok(), fits);
            assert_eq!(exchange.fault(), (!fits).then_some(Reason::BodyTooLarge));
        }
    }
}
