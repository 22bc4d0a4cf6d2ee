//! The layer. A request with a session id is passed on at once. Any other may wait for the store and for its own body,
//! in a boxed future that holds the ready instance of the service.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bartizan::core::{
    Backend, Dialect, GuardBody, Passage, Reason, Refusal, SessionStore, UpstreamFailure,
    fields::media, mcp, take_ready,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header::ACCEPT_ENCODING, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{key::OauthKey, named, peek::peek, pins::Pins, shown};

/// Keeps the requests of one OAuth client on one backend; see the [module](super). Above the layer that pins sessions,
/// and below those that refuse.
#[derive(Clone)]
pub(crate) struct PinOauthLayer<T>(pub(crate) Pins<T>);

/// The service that [`PinOauthLayer`] builds.
#[derive(Clone)]
pub(crate) struct PinOauth<S, T> {
    inner: S,
    pins: Pins<T>,
}

pin_project! {
    /// Response future of [`PinOauth`].
    #[project = StateProj]
    pub(crate) enum ResponseFuture<F, R, E> {
        Session { #[pin] future: F },
        Boxed { future: Pin<Box<dyn Future<Output = Result<Response<GuardBody<R>>, E>> + Send>> },
    }
}

impl<S, T: Clone> Layer<S> for PinOauthLayer<T> {
    type Service = PinOauth<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        PinOauth { inner, pins: self.0.clone() }
    }
}

impl<S, T, B, R> Service<Request<B>> for PinOauth<S, T>
where
    S: Service<Request<GuardBody<B>>, Response = Response<R>, Error: Send, Future: Send>,
    S: Clone + Send + 'static,
    T: SessionStore,
    B: Body<Data = Bytes, Error: Send> + Send + 'static,
    R: Body<Data = Bytes, Error: Send> + Send + 'static,
{
    type Response = Response<GuardBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.headers().contains_key(&mcp::SESSION_ID) {
            let future = self.inner.call(request.map(GuardBody::forwarded));
            return ResponseFuture::Session { future };
        }
        let (service, pins) = (take_ready(&mut self.inner), self.pins.clone());
        ResponseFuture::Boxed { future: Box::pin(keep_together(service, pins, request)) }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R, E>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<GuardBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            StateProj::Session { future } => {
                Poll::Ready(ready!(future.poll(cx)).map(|answer| answer.map(GuardBody::forwarded)))
            }
            StateProj::Boxed { future } => future.as_mut().poll(cx),
        }
    }
}

/// Sends a request without a session to the backend of its keys, and learns new keys from the response. `service` is
/// ready.
async fn keep_together<S, T, B, R>(
    mut service: S,
    pins: Pins<T>,
    request: Request<B>,
) -> Result<Response<GuardBody<R>>, S::Error>
where
    S: Service<Request<GuardBody<B>>, Response = Response<R>>,
    T: SessionStore,
    B: Body<Data = Bytes, Error: Send> + Send + 'static,
    R: Body<Data = Bytes, Error: Send> + Send + 'static,
{
    let (mut head, body) = request.into_parts();
    let mut shown = shown::in_head(&head.uri, &head.headers);
    let body = if head.method == Method::POST && shown::is_form(&head.headers) {
        let (form, body) = peek(body).await;
        shown.extend(form.iter().flat_map(|form| shown::in_fields(form)));
        body
    } else {
        GuardBody::forwarded(body)
    };
    let Ok(pinned) = pins.find(&shown).await else {
        let refusal = Refusal::new(Reason::StoreUnavailable);
        return Ok(refusal.respond(&Dialect::detect(&head.headers)));
    };
    let may_name_in_json = may_be_answered_with_a_document(&head);
    if may_name_in_json {
        head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    let mut request = Request::from_parts(head, body);
    if let Some(backend) = &pinned {
        Passage::with(&mut request, |passage| passage.set_backend(backend.clone()));
    }
    let future = service.call(request);
    // Dropped here, so that a permit in the instance is not held until the response arrives.
    drop(service);
    let response = future.await?;
    if pinned.is_some() && is_lost(&response) {
        pins.forget(&shown).await;
        return Ok(response.map(GuardBody::forwarded));
    }
    let backend = pinned.or_else(|| response.extensions().get::<Backend>().cloned());
    let Some(backend) = backend else { return Ok(response.map(GuardBody::forwarded)) };
    let (named, response) = named_by(response, &shown, may_name_in_json).await;
    if !named.is_empty() {
        // The client belongs to that backend, too: it may not have been registered with any
        // backend.
        let client = shown.into_iter().filter(OauthKey::is_clients);
        let keys: Vec<_> = named.into_iter().chain(client).collect();
        pins.learn(&keys, backend.id()).await;
    }
    Ok(response)
}

/// The keys that a response names, together with the response.
async fn named_by<R>(
    response: Response<R>,
    shown: &[OauthKey],
    may_name_in_json: bool,
) -> (Vec<OauthKey>, Response<GuardBody<R>>)
where
    R: Body<Data = Bytes, Error: Send> + Send + 'static,
{
    let (head, body) = response.into_parts();
    if may_name_in_json && named::may_be_in_json(head.status, &head.headers) {
        let (document, body) = peek(body).await;
        let named = document.map(|document| named::in_json(&document)).unwrap_or_default();
        return (named, Response::from_parts(head, body));
    }
    let named = named::in_redirect(head.status, &head.headers, shown).into_iter().collect();
    (named, Response::from_parts(head, GuardBody::forwarded(body)))
}

/// Whether the response may name a client or a token: the request is a POST that is not MCP.
fn may_be_answered_with_a_document(head: &Parts) -> bool {
    head.method == Method::POST
        && !head.headers.contains_key(&mcp::PROTOCOL_VERSION)
        && !media::accepts_event_stream(&head.headers)
}

/// Whether the backend that was chosen could not be reached.
fn is_lost<R>(response: &Response<R>) -> bool {
    UpstreamFailure::of(response).is_some_and(UpstreamFailure::is_unreachable)
        || Reason::of(response) == Some(Reason::BackendLost)
}
