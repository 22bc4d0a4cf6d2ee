//! Calls a Tower service for each request of one connection.
//!
//! A service that is ready at once is called at once; only one that is not is parked with its request.
//! (hyper-util's `TowerToHyperService` parks always, and moves both.)

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bartizan::core::{
    Dialect, GuardBody, PeerAddr, Reason, Refusal, UpstreamFailure, fields::media,
};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Inflow, Limits, RequestBody,
    exchange::{Exchange, Phase, Upload},
    host,
    outflow::{InFlight, Outflow},
};

/// A Tower service as hyper calls it, with what is known of the connection.
#[derive(Debug)]
pub(super) struct Adaptor<S> {
    pub(super) service: S,
    pub(super) peer: PeerAddr,
    pub(super) phase: Arc<Phase>,
    pub(super) limits: Limits,
}

pin_project! {
    /// The response to one request.
    pub(super) struct Answering<S: Service<Request<RequestBody>>> {
        #[pin]
        state: State<S>,
        in_flight: Option<InFlight>,
        is_connect: bool,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S: Service<Request<RequestBody>>> {
        Called { #[pin] response: S::Future },
        Parked { parked: Option<Box<(S, Request<RequestBody>)>> },
        Refused { reason: Reason, dialect: Dialect },
    }
}

impl<S, R> hyper::service::Service<Request<Incoming>> for Adaptor<S>
where
    S: Service<Request<RequestBody>, Response = Response<R>, Error = Infallible> + Clone,
{
    type Response = Response<Outflow<GuardBody<R>>>;
    type Error = Infallible;
    type Future = Answering<S>;

    fn call(&self, request: Request<Incoming>) -> Answering<S> {
        let is_connect = request.method() == Method::CONNECT;
        let is_http2 = request.version() == Version::HTTP_2;
        let exchange = (!request.body().is_end_stream()).then(Arc::<Exchange>::default);
        let state = self.admit(request, exchange.as_ref());
        let in_flight = InFlight::begin(Arc::clone(&self.phase), exchange);
        if is_http2 {
            in_flight.exempt();
        }
        Answering { state, in_flight: Some(in_flight), is_connect }
    }
}

impl<S> Adaptor<S>
where
    S: Service<Request<RequestBody>, Error = Infallible> + Clone,
{
    fn admit(&self, request: Request<Incoming>, exchange: Option<&Arc<Exchange>>) -> State<S> {
        if let Some(reason) = self.fault_in(&request) {
            let dialect = match self.limits.speaks_mcp {
                true => Dialect::JsonRpc(None).unless_grpc(request.headers()),
                false => Dialect::of(&request),
            };
            return State::Refused { reason, dialect };
        }
        let (head, body) = request.into_parts();
        let body = match exchange {
            None => Inflow::unwatched(body),
            Some(exchange) => {
                // A stream in both directions may be silent for as long as its ends like.
                let is_dialogue = head.method == Method::CONNECT || media::is_grpc(&head.headers);
                let pause = (!is_dialogue).then_some(self.limits.body_pause);
                Inflow::watched(
                    body,
                    Arc::clone(exchange),
                    Upload::begin(Arc::clone(&self.phase)),
                    self.limits.body_bytes,
                    pause,
                )
            }
        };
        let mut request = Request::from_parts(head, body);
        self.peer.clone().attach(&mut request);
        State::enter(self.service.clone(), request)
    }

    fn fault_in(&self, request: &Request<Incoming>) -> Option<Reason> {
        if !host::is_sound(request) {
            return Some(Reason::InvalidHost);
        }
        let declared_bytes = request.body().size_hint().lower();
        let is_too_large = self.limits.body_bytes.is_some_and(|limit| declared_bytes > limit);
        is_too_large.then_some(Reason::BodyTooLarge)
    }
}

impl<S: Service<Request<RequestBody>, Error = Infallible>> State<S> {
    fn enter(mut service: S, request: Request<RequestBody>) -> Self {
        match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Self::Called { response: service.call(request) },
            Poll::Pending => Self::Parked { parked: Some(Box::new((service, request))) },
        }
    }
}

impl<S, R> Future for Answering<S>
where
    S: Service<Request<RequestBody>, Response = Response<R>, Error = Infallible>,
{
    type Output = Result<Response<Outflow<GuardBody<R>>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let response = loop {
            match this.state.as_mut().project() {
                StateProj::Called { response } => {
                    let Ok(response) = ready!(response.poll(cx));
                    break guard(response, this.in_flight.as_ref());
                }
                StateProj::Parked { parked } => {
                    if let Some(parked) = parked {
                        let Ok(()) = ready!(parked.0.poll_ready(cx));
                    }
                    let Some(parked) = parked.take() else {
                        return Poll::Pending; // only after `S::call` panicked
                    };
                    let (mut service, request) = *parked;
                    this.state.set(State::Called { response: service.call(request) });
                }
                StateProj::Refused { reason, dialect } => {
                    tracing::debug!(%reason, "refused");
                    break Refusal::new(*reason).respond(dialect);
                }
            }
        };
        let Some(in_flight) = this.in_flight.take() else { return Poll::Pending };
        if opens_tunnel(response.status(), *this.is_connect) {
            in_flight.exempt();
        }
        Poll::Ready(Ok(response.map(|body| Outflow::new(body, in_flight))))
    }
}

/// Passes `response` on, unless it blames something else for what was the request body's fault: a layer
/// that looks into a body sees only that it broke off.
fn guard<R>(response: Response<R>, in_flight: Option<&InFlight>) -> Response<GuardBody<R>> {
    if let Some(exchange) = in_flight.and_then(InFlight::exchange) {
        exchange.begin_response();
        let given = Reason::of(&response);
        let is_failure = given.is_some() || UpstreamFailure::of(&response).is_some();
        let fault = exchange.fault().filter(|fault| is_failure && given != Some(*fault));
        if let Some(reason) = fault {
            tracing::debug!(%reason, "refused");
            return Refusal::new(reason).respond(&Dialect::like(response.headers()));
        }
    }
    response.map(GuardBody::forwarded)
}

fn opens_tunnel(status: StatusCode, is_connect: bool) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || (is_connect && status.is_success())
}
