//! A request that waits for its own body.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{Reason, Refusal, mcp::Content};
use bytes::Bytes;
use http::{Request, request::Parts};
use http_body::Body;
use tokio::time::{Sleep, sleep};

use crate::{
    PeekedBody,
    layer::Config,
    peek::{Peek, PeekError},
};

/// A request that waits for its own body, with the instance that was ready for it.
pub(crate) struct Peeking<S, B, T> {
    pub(crate) service: S,
    pub(crate) config: Arc<Config<T>>,
    pub(crate) purpose: Purpose,
    head: Parts,
    peek: Peek<B>,
    // Made when the body is first waited for: mostly it is there already.
    deadline: Option<Pin<Box<Sleep>>>,
}

/// What the look into the body is for.
pub(crate) enum Purpose {
    /// To tell what to do with a request without a session.
    Judge,
    /// To tell whether a request with an id that was not found asks for a new session.
    UnknownId,
    /// To echo the JSON-RPC id in this refusal.
    Echo(Refusal),
}

/// What a look into the body found: its content, unless it is no JSON-RPC; or why there is none.
pub(crate) type Looked = Result<Option<Content>, Reason>;

impl<S, B: Body<Data = Bytes> + Unpin, T> Peeking<S, B, T> {
    pub(crate) fn new(
        service: S,
        config: Arc<Config<T>>,
        purpose: Purpose,
        request: Request<B>,
    ) -> Self {
        let (head, body) = request.into_parts();
        let peek = Peek::new(body, config.peek_limit_bytes);
        Self { service, config, purpose, head, peek, deadline: None }
    }

    pub(crate) fn poll_looked(&mut self, cx: &mut Context<'_>) -> Poll<Looked> {
        match self.peek.poll_end(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(Content::parse(&self.peek.content()).ok())),
            Poll::Ready(Err(PeekError::TooLarge)) => Poll::Ready(Err(Reason::BodyTooLarge)),
            Poll::Ready(Err(_)) => Poll::Ready(Err(Reason::BodyBroken)),
            Poll::Pending => {
                let deadline = self.config.peek_timeout;
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(deadline)));
                deadline.as_mut().poll(cx).map(|()| Err(Reason::BodyTimeout))
            }
        }
    }

    pub(crate) fn head(&self) -> &Parts {
        &self.head
    }

    /// Gives the service, the configuration and the request back.
    pub(crate) fn into_request(self) -> (S, Arc<Config<T>>, Request<PeekedBody<B>>) {
        let request = Request::from_parts(self.head, self.peek.into_body());
        (self.service, self.config, request)
    }
}
