//! A request body whose bytes are counted.

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bartizan::core::{Reason, failure::BodyRefused};
use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// A request body that fails with [`BodyRefused`] when it grows past its limit.
    #[derive(Debug)]
    pub(crate) struct LimitedBody<B> {
        #[pin]
        body: B,
        count: Option<Count>,
    }
}

/// How many more bytes the body may have.
#[derive(Debug)]
pub(super) struct Count {
    left_bytes: u64,
    is_exceeded: Arc<AtomicBool>,
}

impl<B> LimitedBody<B> {
    /// Allows as many bytes as `count` has left; `None` means no limit.
    pub(super) const fn new(body: B, count: Option<Count>) -> Self {
        Self { body, count }
    }

    #[cfg(test)]
    pub(super) const fn is_counted(&self) -> bool {
        self.count.is_some()
    }
}

impl Count {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { left_bytes: max_bytes, is_exceeded: Arc::default() }
    }

    /// A flag that is set when the body has too many bytes.
    pub(super) fn is_exceeded(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_exceeded)
    }

    fn add<D: Buf>(&mut self, frame: &Frame<D>) -> Result<(), BodyRefused> {
        let bytes = frame.data_ref().map_or(0, Buf::remaining) as u64;
        match self.left_bytes.checked_sub(bytes) {
            Some(left) => {
                self.left_bytes = left;
                Ok(())
            }
            None => {
                self.is_exceeded.store(true, Ordering::Release);
                Err(BodyRefused::new(Reason::BodyTooLarge))
            }
        }
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for LimitedBody<B> {
    type Data = B::Data;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx)).map(|frame| frame.map_err(Into::into));
        if let (Some(count), Some(Ok(frame))) = (this.count, &frame) {
            count.add(frame)?;
        }
        Poll::Ready(frame)
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
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn a_body_is_counted() {
        for (limit, fits) in [(2, false), (3, true)] {
            let count = Count::new(limit);
            let is_exceeded = count.is_exceeded();
            let body = LimitedBody::new(Full::new(Bytes::from_static(b"abc")), Some(count));
            let read = body.collect().await.map(|_| ());
            let reason = read.err().and_then(|error| BodyRefused::find(&*error));
            assert_eq!(reason, (!fits).then_some(Reason::BodyTooLarge));
            assert_eq!(is_exceeded.load(Ordering::Acquire), !fits);
        }
    }
}
