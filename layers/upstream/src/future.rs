//! The response future.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bartizan_core::{
    Backend, Dialect, GuardBody, Reason, Refusal, UpstreamFailure, Work,
    failure::FailureKind,
    fields::{hop_by_hop, settle_length},
    refusal::ReturnedBody,
};
use http::{Response, StatusCode, Version};
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::{
    TrailerFilterBody, config::Config, event, failure, trailers, transport::TransportError,
    upgrade::Tunnel,
};

pin_project! {
    /// Response future of [`Upstream`](crate::Upstream).
    ///
    /// # Cancellation
    ///
    /// Dropping it cancels the exchange: the connection is closed (HTTP/1.1) or the stream reset (HTTP/2).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        // Waiting for the backend.
        Sent {
            #[pin]
            future: F,
            deadline: Option<Pin<Box<Sleep>>>,
            exchange: Option<Exchange>,
            take_back: TakeBack<F>,
        },
        // The request was answered here. Boxed, because a response is larger than an exchange.
        Refused { answer: Option<Box<Response<GuardBody<TrailerFilterBody<R>>>>> },
    }
}

/// State that is needed when the backend has answered or failed.
pub(crate) struct Exchange {
    pub(crate) config: Arc<Config>,
    pub(crate) backend: Backend,
    pub(crate) work: Work,
    pub(crate) dialect: Dialect,
    /// Whether to announce gRPC trailers, because an HTTP/1.1 server sends only announced ones.
    pub(crate) names_trailers: bool,
    pub(crate) tunnel: Option<Box<Tunnel>>,
}

/// [`Transport::take_back`](crate::transport::Transport::take_back).
pub(crate) type TakeBack<F> = fn(Pin<&mut F>) -> Option<ReturnedBody>;

impl<F, R> ResponseFuture<F, R> {
    pub(crate) fn sent(
        future: F,
        deadline: Option<Pin<Box<Sleep>>>,
        exchange: Exchange,
        take_back: TakeBack<F>,
    ) -> Self {
        Self { state: State::Sent { future, deadline, exchange: Some(exchange), take_back } }
    }

    pub(crate) fn refused(answer: Response<GuardBody<TrailerFilterBody<R>>>) -> Self {
        Self { state: State::Refused { answer: Some(Box::new(answer)) } }
    }
}

impl<F, R> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, TransportError>>,
{
    type Output = Result<Response<GuardBody<TrailerFilterBody<R>>>, Infallible>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Refused { answer } => match answer.take() {
                Some(answer) => Poll::Ready(Ok(*answer)),
                None => Poll::Pending,
            },
            StateProj::Sent { mut future, deadline, exchange, take_back } => {
                let outcome = match future.as_mut().poll(cx) {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => {
                        let Some(deadline) = deadline else { return Poll::Pending };
                        ready!(deadline.as_mut().poll(cx));
                        Err(TransportError::Failed(FailureKind::ResponseTimeout))
                    }
                };
                let Some(exchange) = exchange.take() else { return Poll::Pending };
                Poll::Ready(Ok(match outcome {
                    Ok(response) => exchange.respond(response),
                    Err(error) => exchange.fail_unsent(error, || take_back(future)),
                }))
            }
        }
    }
}

impl Exchange {
    fn respond<R>(
        mut self,
        mut response: Response<R>,
    ) -> Response<GuardBody<TrailerFilterBody<R>>> {
        let was_asked = self.tunnel.is_some();
        let settled = match self.tunnel.take() {
            Some(tunnel) => tunnel.settle(&mut response),
            None => Ok(()),
        };
        let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        // After an unrequested change of protocol, the two sides would disagree about the
        // connection.
        if settled.is_err() || (is_switch && !was_asked) {
            return self.fail(TransportError::Failed(FailureKind::Protocol));
        }
        if is_switch {
            return response.map(|body| {
                GuardBody::forwarded(TrailerFilterBody::new(body, Default::default()))
            });
        }
        // Otherwise a server would send the backend's version as its own, and frame the body for
        // it.
        if response.version() < Version::HTTP_11 {
            *response.version_mut() = Version::HTTP_11;
        }
        // The transport framed the body by one length, so the client must not get another.
        if settle_length(response.headers_mut()).is_err() {
            return self.fail(TransportError::Failed(FailureKind::Protocol));
        }
        let stripped = hop_by_hop::strip_response(response.headers_mut());
        if self.names_trailers {
            trailers::announce_grpc(response.headers_mut());
        }
        let trailers = stripped.into_trailer_rule();
        response.map(|body| GuardBody::forwarded(TrailerFilterBody::new(body, trailers)))
    }

    fn fail<B>(self, error: TransportError) -> Response<GuardBody<B>> {
        match error {
            TransportError::Failed(kind) => {
                let failure = UpstreamFailure::new(kind);
                let reason = failure::reason(kind, self.work);
                event::refused(reason, Some(&self.backend));
                let refusal = Refusal::new(reason)
                    .proxy_status(self.config.proxy_name(), failure.error_type());
                let mut response = refusal.respond(&self.dialect);
                response.extensions_mut().insert(failure);
                response
            }
            TransportError::Request(reason) => self.refuse(reason),
            TransportError::Unsupported => self.refuse(Reason::Misconfigured),
        }
    }

    /// The same, and returns the request body if nothing of it was sent.
    #[cold]
    fn fail_unsent<B>(
        self,
        error: TransportError,
        take_back: impl FnOnce() -> Option<ReturnedBody>,
    ) -> Response<GuardBody<B>> {
        let is_wanted = ReturnedBody::is_wanted(&self.dialect);
        let mut refusal = self.fail(error);
        if is_wanted && let Some(returned) = take_back() {
            returned.attach(&mut refusal);
        }
        refusal
    }

    fn refuse<B>(self, reason: Reason) -> Response<GuardBody<B>> {
        event::refused(reason, Some(&self.backend));
        Refusal::new(reason).respond(&self.dialect)
    }
}

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Sent { .. } => "ResponseFuture(Sent)",
            State::Refused { .. } => "ResponseFuture(Refused)",
        })
    }
}
