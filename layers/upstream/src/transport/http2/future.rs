//! One exchange.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bartizan_core::{failure::FailureKind, refusal::ReturnedBody};
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, client::conn::TrySendError, upgrade::OnUpgrade};
use tokio::time::timeout;

use super::{
    super::{TransportError, error, outgoing::OutgoingBody},
    Http2Body, head,
    outgoing::StreamedBody,
    pool::{Checkout, Given, Pool, Turn},
    stream::{HeldStream, Stream},
    upload::{OrStalled, Stalled},
};

/// How many connections may close before a request was sent.
const MAX_ATTEMPTS: u8 = 4;

/// Resolves at the response head.
pub(in super::super) struct Http2Future {
    state: State,
    pool: Arc<Pool>,
    attempts: u8,
}

enum State {
    Waiting {
        turn: Pin<Box<dyn Future<Output = Turn> + Send>>,
        request: Option<Request<OutgoingBody>>,
    },
    Sent {
        // Boxed, because its type cannot be named.
        answer: Pin<Box<dyn Future<Output = Result<SendResult, Stalled>> + Send>>,
        stream: Option<Arc<Stream>>,
    },
    // The backend speaks HTTP/1.1.
    NotHttp2(Option<Request<OutgoingBody>>),
    Failed {
        error: TransportError,
        // The unsent request.
        request: Option<Box<Request<OutgoingBody>>>,
    },
}

type SendResult = Result<Response<Incoming>, TrySendError<Request<StreamedBody>>>;

/// Why there is no stream for a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Unable {
    Failed(TransportError),
    /// The backend has chosen HTTP/1.1.
    NotHttp2,
}

/// Why a request has no response.
pub(in super::super) enum Unsent {
    Failed(TransportError),
    /// The backend speaks HTTP/1.1: here is the request again, for that.
    NotHttp2(Box<Request<OutgoingBody>>),
}

impl From<TransportError> for Unable {
    fn from(error: TransportError) -> Self {
        Self::Failed(error)
    }
}

impl Http2Future {
    pub(in super::super) fn begin(pool: Arc<Pool>, request: Request<OutgoingBody>) -> Self {
        Self { state: begin(&pool, request), pool, attempts: 1 }
    }

    /// The request body, if nothing of the request was sent. That is the end of the exchange.
    #[cold]
    pub(in super::super) fn take_back(&mut self) -> Option<ReturnedBody> {
        let over = State::failed(TransportError::Failed(FailureKind::Terminated), None);
        let request = match mem::replace(&mut self.state, over) {
            State::Waiting { request, .. } | State::NotHttp2(request) => request?,
            State::Failed { request, .. } => *request?,
            State::Sent { .. } => return None,
        };
        ReturnedBody::new(request.into_body())
    }
}

impl State {
    fn failed(error: TransportError, request: Option<Request<OutgoingBody>>) -> Self {
        Self::Failed { error, request: request.map(Box::new) }
    }
}

fn begin(pool: &Arc<Pool>, request: Request<OutgoingBody>) -> State {
    match pool.check_out() {
        Checkout::Given(given) => send(pool, given, request),
        Checkout::NotHttp2 => State::NotHttp2(Some(request)),
        Checkout::Wait(turn) => {
            // A connection that is being made has its own deadline.
            let dialer = pool.dialer();
            let wait = timeout(dialer.connect_timeout + dialer.connection_wait, turn);
            let turn = Box::pin(async move {
                match wait.await {
                    Ok(Ok(turn)) => turn,
                    Ok(Err(_)) | Err(_) => {
                        Err(TransportError::Failed(FailureKind::ConnectionLimit).into())
                    }
                }
            });
            State::Waiting { turn, request: Some(request) }
        }
    }
}

fn send(pool: &Pool, given: Given, mut request: Request<OutgoingBody>) -> State {
    if head::to_http2(&mut request, pool.backend()).is_err() {
        return State::failed(TransportError::Unsupported, Some(request));
    }
    let Given { mut sender, stream } = given;
    let stream = Arc::new(stream);
    let has_upload = !request.body().is_end_stream();
    let request = request.map(|body| StreamedBody::new(body, Arc::clone(&stream)));
    let timeout = pool.dialer().write_timeout.filter(|_| has_upload);
    let answer = sender.try_send_request(request);
    let answer = Box::pin(OrStalled::new(answer, Arc::clone(&stream), timeout));
    State::Sent { answer, stream: Some(stream) }
}

impl Future for Http2Future {
    type Output = Result<Response<Http2Body>, Unsent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            this.state = match &mut this.state {
                State::Waiting { turn, request } => {
                    let turn = ready!(turn.as_mut().poll(cx));
                    let Some(request) = request.take() else { return Poll::Pending };
                    match turn {
                        Ok(given) => send(&this.pool, given, request),
                        Err(Unable::NotHttp2) => State::NotHttp2(Some(request)),
                        Err(Unable::Failed(error)) => State::failed(error, Some(request)),
                    }
                }
                State::Sent { answer, stream } => {
                    let answer = ready!(answer.as_mut().poll(cx));
                    let Some(stream) = stream.take() else { return Poll::Pending };
                    match answer {
                        Ok(Ok(mut response)) => {
                            let extensions = response.extensions_mut();
                            if extensions.get::<OnUpgrade>().is_some() {
                                extensions.insert(HeldStream::new(Arc::clone(&stream)));
                            }
                            let respond = |incoming| Http2Body::new(incoming, stream);
                            return Poll::Ready(Ok(response.map(respond)));
                        }
                        Ok(Err(failed)) => {
                            drop(stream);
                            this.attempts += 1;
                            recover(&this.pool, failed, this.attempts)
                        }
                        // The stream is released with the response.
                        Err(Stalled) => {
                            let error = TransportError::Failed(FailureKind::ResponseTimeout);
                            State::failed(error, None)
                        }
                    }
                }
                State::NotHttp2(request) => {
                    let Some(mut request) = request.take() else { return Poll::Pending };
                    if request.uri().authority().is_some() {
                        head::to_http1(&mut request);
                    }
                    return Poll::Ready(Err(Unsent::NotHttp2(Box::new(request))));
                }
                State::Failed { error, .. } => return Poll::Ready(Err(Unsent::Failed(*error))),
            }
        }
    }
}

/// Continues with another connection if this one closed before anything was sent.
fn recover(
    pool: &Arc<Pool>,
    mut failed: TrySendError<Request<StreamedBody>>,
    attempts: u8,
) -> State {
    match failed.take_message() {
        Some(request) if attempts <= MAX_ATTEMPTS => {
            begin(pool, request.map(StreamedBody::into_inner))
        }
        Some(request) => {
            let error = TransportError::Failed(FailureKind::Terminated);
            State::failed(error, Some(request.map(StreamedBody::into_inner)))
        }
        None => State::failed(error::of_exchange(&failed.into_error()), None),
    }
}
