//! The end of a session that a backend opened and nobody will use.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bartizan_core::{Backend, Passage, PeekedBody, Work, fields::hop_by_hop};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;

/// How long the client waits for a backend to end an orphan before it gets its refusal.
const DEADLINE: Duration = Duration::from_secs(1);

/// What of an opening request is kept, so that the session can be ended with the same credentials.
pub(crate) struct OpeningHead {
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    passage: Option<Passage>,
}

impl OpeningHead {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        Self {
            uri: request.uri().clone(),
            version: request.version(),
            headers: hop_by_hop::of_sender(request.headers()),
            passage: Passage::of(request).cloned(),
        }
    }

    /// The request that ends the session `id` on `backend`.
    pub(crate) fn delete<B>(
        self,
        header: HeaderName,
        id: HeaderValue,
        backend: Option<Backend>,
    ) -> Request<PeekedBody<B>> {
        let mut request = Request::new(PeekedBody::empty());
        *request.method_mut() = Method::DELETE;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers;
        request.headers_mut().insert(header, id);
        let mut passage = self.passage.unwrap_or_default();
        passage.set_work(Work::Pinned);
        if let Some(backend) = backend {
            passage.set_backend(backend);
        }
        request.extensions_mut().insert(passage);
        request
    }
}

pin_project! {
    /// Resolves when the backend has answered, whatever it said, or the deadline has passed.
    pub(crate) struct EndOrphan<S, B>
    where
        S: Service<Request<PeekedBody<B>>>,
    {
        #[pin]
        state: State<S, B>,
        deadline: Pin<Box<Sleep>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B>
    where
        S: Service<Request<PeekedBody<B>>>,
    {
        Waiting { parked: Option<Box<(S, Request<PeekedBody<B>>)>> },
        Sent { #[pin] future: S::Future },
    }
}

impl<S: Service<Request<PeekedBody<B>>>, B> EndOrphan<S, B> {
    pub(crate) fn new(service: S, request: Request<PeekedBody<B>>) -> Self {
        let state = State::Waiting { parked: Some(Box::new((service, request))) };
        Self { state, deadline: Box::pin(sleep(DEADLINE)) }
    }
}

impl<S: Service<Request<PeekedBody<B>>>, B> Future for EndOrphan<S, B> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let future = match this.state.as_mut().project() {
                StateProj::Sent { future } => return future.poll(cx).map(|_| ()),
                StateProj::Waiting { parked } => {
                    let Some(waiting) = parked else { return Poll::Ready(()) };
                    if ready!(waiting.0.poll_ready(cx)).is_err() {
                        return Poll::Ready(());
                    }
                    let Some(parked) = parked.take() else { return Poll::Ready(()) };
                    let (mut service, request) = *parked;
                    service.call(request)
                }
            };
            this.state.set(State::Sent { future });
        }
    }
}
