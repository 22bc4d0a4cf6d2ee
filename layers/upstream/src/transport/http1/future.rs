//! One exchange.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bartizan_core::{failure::FailureKind, refusal::ReturnedBody};
use http::{Request, Response, Version};
use hyper::{body::Incoming, client::conn::TrySendError};

use super::{
    super::{TransportError, error, outgoing::OutgoingBody},
    Http1Body,
    dial::{Given, fulfil},
    give_up,
    link::Link,
    pool::{Checkout, Pool},
};

/// Resolves at the response head.
///
/// # Cancellation
///
/// Dropping it closes the connection that the request was sent on, unless a response of at most 64 KiB comes within
/// 100 ms; if there is no connection yet, it cancels the attempt to get one.
#[must_use = "futures do nothing unless polled"]
pub struct Http1Future(State);

enum State {
    Sent {
        // Boxed, because its type cannot be named.
        answer: Pin<Box<dyn Future<Output = SendResult> + Send>>,
        exchange: Option<Exchange>,
    },
    Connecting {
        connecting: Pin<Box<dyn Future<Output = Result<Given, TransportError>> + Send>>,
        // Boxed, because a request is large and making a connection is expensive anyway.
        queued: Option<Box<Queued>>,
    },
    Failed(TransportError),
    // The request that hyper returned.
    Unsent(Box<Request<OutgoingBody>>),
}

type SendResult = Result<Response<Incoming>, TrySendError<Request<OutgoingBody>>>;

/// A request on its connection.
struct Exchange {
    link: Link,
    pool: Arc<Pool>,
    // If a connection that was made for this request closes at once, it is not replaced.
    is_kept: bool,
}

struct Queued {
    request: Request<OutgoingBody>,
    pool: Arc<Pool>,
}

impl Http1Future {
    pub(in super::super) const fn failed(error: TransportError) -> Self {
        Self(State::Failed(error))
    }
}

impl Http1Future {
    #[inline]
    pub(in super::super) fn begin(pool: Arc<Pool>, request: Request<OutgoingBody>) -> Self {
        Self(State::begin(pool, request))
    }

    /// The request body, if nothing of the request was sent. That is the end of the exchange.
    #[cold]
    pub(in super::super) fn take_back(&mut self) -> Option<ReturnedBody> {
        let over = State::Failed(TransportError::Failed(FailureKind::Terminated));
        let request = match mem::replace(&mut self.0, over) {
            State::Connecting { queued, .. } => queued?.request,
            State::Unsent(request) => *request,
            State::Sent { .. } | State::Failed(_) => return None,
        };
        ReturnedBody::new(request.into_body())
    }
}

impl State {
    #[inline]
    fn begin(pool: Arc<Pool>, request: Request<OutgoingBody>) -> Self {
        match pool.check_out() {
            Checkout::Kept(link) => Self::send(Given { link, is_kept: true }, pool, request),
            checkout => Self::connect(pool, checkout, request),
        }
    }

    #[inline]
    fn send(given: Given, pool: Arc<Pool>, request: Request<OutgoingBody>) -> Self {
        let Given { mut link, is_kept } = given;
        let answer = Box::pin(link.sender.try_send_request(request));
        Self::Sent { answer, exchange: Some(Exchange { link, pool, is_kept }) }
    }

    fn connect(pool: Arc<Pool>, checkout: Checkout, request: Request<OutgoingBody>) -> Self {
        let connecting = Box::pin(fulfil(pool.dialer(), Arc::clone(&pool), checkout));
        Self::Connecting { connecting, queued: Some(Box::new(Queued { request, pool })) }
    }
}

impl Future for Http1Future {
    type Output = Result<Response<Http1Body>, TransportError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            self.0 = match &mut self.0 {
                State::Sent { answer, exchange } => {
                    let answer = ready!(answer.as_mut().poll(cx));
                    let Some(exchange) = exchange.take() else { return Poll::Pending };
                    match answer {
                        Ok(response) => return Poll::Ready(Ok(exchange.respond(response))),
                        Err(error) => exchange.recover(error)?,
                    }
                }
                State::Connecting { connecting, queued } => {
                    let given = ready!(connecting.as_mut().poll(cx))?;
                    let Some(queued) = queued.take() else { return Poll::Pending };
                    State::send(given, queued.pool, queued.request)
                }
                State::Failed(error) => return Poll::Ready(Err(*error)),
                State::Unsent(_) => {
                    return Poll::Ready(Err(TransportError::Failed(FailureKind::Terminated)));
                }
            };
        }
    }
}

impl Drop for Http1Future {
    #[inline]
    fn drop(&mut self) {
        if let State::Sent { exchange, .. } = &mut self.0
            && let Some(exchange) = exchange.take()
            && let State::Sent { answer, .. } =
                mem::replace(&mut self.0, State::Failed(TransportError::Unsupported))
        {
            give_up::without_response(answer, exchange.link, exchange.pool);
        }
    }
}

impl Exchange {
    #[inline]
    fn respond(self, response: Response<Incoming>) -> Response<Http1Body> {
        // Otherwise hyper would send the next request as HTTP/1.0, and leave out a body of unknown
        // length.
        if response.version() != Version::HTTP_11 {
            return response.map(Http1Body::not_kept);
        }
        response.map(|body| Http1Body::new(body, self.link, self.pool))
    }

    /// Continues with another connection if this one was closed before anything was written.
    fn recover(
        self,
        mut failed: TrySendError<Request<OutgoingBody>>,
    ) -> Result<State, TransportError> {
        match failed.take_message() {
            Some(request) if self.is_kept => Ok(State::begin(self.pool, request)),
            Some(request) => Ok(State::Unsent(Box::new(request))),
            None => Err(error::of_exchange(&failed.into_error())),
        }
    }
}

impl fmt::Debug for Http1Future {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            State::Sent { .. } => "Http1Future(Sent)",
            State::Connecting { .. } => "Http1Future(Connecting)",
            State::Failed(_) => "Http1Future(Failed)",
            State::Unsent(_) => "Http1Future(Unsent)",
        })
    }
}
