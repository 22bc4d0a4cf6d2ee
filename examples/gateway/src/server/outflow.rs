//! A response body on its way to the client.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::exchange::{Exchange, Phase};

pin_project! {
    /// A response body, which counts for as long as it lives.
    #[derive(Debug)]
    pub(super) struct Outflow<B> {
        #[pin]
        body: B,
        _in_flight: InFlight,
    }
}

/// Counts an exchange for as long as its response is on its way.
#[derive(Debug)]
pub(super) struct InFlight {
    phase: Arc<Phase>,
    exchange: Option<Arc<Exchange>>,
}

impl InFlight {
    /// Begins an exchange; one without a request body has nothing to tell it.
    pub(super) fn begin(phase: Arc<Phase>, exchange: Option<Arc<Exchange>>) -> Self {
        phase.begin();
        Self { phase, exchange }
    }

    /// What the two directions know of each other, where there are two.
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        self.exchange.as_deref()
    }

    /// Keeps the connection's socket from waiting for another request head.
    pub(super) fn exempt(&self) {
        self.phase.exempt();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.phase.end();
        if let Some(exchange) = self.exchange() {
            exchange.end_response();
        }
    }
}

impl<B> Outflow<B> {
    pub(super) const fn new(body: B, in_flight: InFlight) -> Self {
        Self { body, _in_flight: in_flight }
    }
}

impl<B: Body<Data = Bytes>> Body for Outflow<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
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
    use http_body_util::Full;

    use super::{super::exchange::Next, *};

    #[test]
    fn an_exchange_counts_until_its_body_is_dropped() {
        let (phase, exchange) = (Arc::<Phase>::default(), Arc::<Exchange>::default());
        let in_flight = InFlight::begin(Arc::clone(&phase), Some(Arc::clone(&exchange)));
        exchange.begin_response();
        let body = Outflow::new(Full::new(Bytes::new()), in_flight);
        assert!(phase.next() == Next::Anything && exchange.streams());
        drop(body);
        assert!(phase.next() == Next::Head && !exchange.streams());
    }
}
