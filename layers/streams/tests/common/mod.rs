//! A backend whose streams the test controls, behind the layer and a store.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test support")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bartizan_core::{Backend as Origin, GuardBody, Key, Record, Route, Session, SessionStore};
use bartizan_memory::MemoryStore;
use bartizan_session::{SessionBody, Sessionless, ValidateSession, ValidateSessionLayer};
use bartizan_streams::{Streams, TrackStreams, TrackStreamsLayer};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, Response};
use http_body_util::{
    BodyExt, Full,
    channel::{Channel, Sender},
};
use tokio::time::timeout;
use tower::{Layer, Service, ServiceExt};

/// Responds to each request with a stream, and keeps its sender.
#[derive(Clone)]
pub struct Backend {
    fields: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
    origin: Arc<Mutex<Option<Origin>>>,
    senders: Arc<Mutex<Vec<Option<Sender<Bytes>>>>>,
}

impl Backend {
    pub fn new() -> Self {
        Self {
            fields: Arc::new(Mutex::new(vec![("content-type", "text/event-stream")])),
            origin: Arc::default(),
            senders: Arc::default(),
        }
    }

    /// Adds these fields to all further responses.
    pub fn responds_with(&self, fields: &[(&'static str, &'static str)]) {
        *self.fields.lock().unwrap() = fields.to_vec();
    }

    /// Names this backend in its responses.
    pub fn is(&self, origin: &str) {
        *self.origin.lock().unwrap() = Some(origin.parse().unwrap());
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.senders.lock().unwrap().len()
    }

    /// Sends `text` on the stream of call `call`; returns false if the stream has ended.
    pub async fn say(&self, call: usize, text: &'static str) -> bool {
        let mut sender = self.senders.lock().unwrap()[call].take().unwrap();
        let was_heard = sender.send_data(Bytes::from_static(text.as_bytes())).await.is_ok();
        self.senders.lock().unwrap()[call] = Some(sender);
        was_heard
    }

    /// Forgets all calls so far.
    pub fn forget(&self) {
        self.senders.lock().unwrap().clear();
    }

    /// Ends the stream of call `call`.
    pub fn finish(&self, call: usize) {
        self.senders.lock().unwrap()[call] = None;
    }
}

impl<B> Service<Request<B>> for Backend {
    type Response = Response<GuardBody<Channel<Bytes>>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let (sender, body) = Channel::new(16);
        self.senders.lock().unwrap().push(Some(sender));
        let mut response = Response::builder();
        for (name, value) in &*self.fields.lock().unwrap() {
            response = response.header(*name, *value);
        }
        let mut response = response.body(GuardBody::forwarded(body)).unwrap();
        if let Some(origin) = self.origin.lock().unwrap().clone() {
            response.extensions_mut().insert(origin);
        }
        ready(Ok(response))
    }
}

pub type Body = SessionBody<GuardBody<Channel<Bytes>>, MemoryStore>;

/// The layer between a store and the backend.
pub struct World {
    pub store: MemoryStore,
    pub backend: Backend,
    pub streams: Streams,
    stack: ValidateSession<TrackStreams<Backend>, MemoryStore>,
}

impl World {
    pub fn new(layer: &TrackStreamsLayer) -> Self {
        let (store, backend) = (MemoryStore::new(), Backend::new());
        let stack = ValidateSessionLayer::mcp(store.clone())
            .sessionless(Sessionless::Forward)
            .layer(layer.layer(backend.clone()));
        Self { store, backend, streams: layer.streams(), stack }
    }

    /// Opens a session.
    pub fn open(&self, id: &str) -> Session {
        self.open_with(id, Record::new(Record::IDLE, Record::LIFETIME))
    }

    pub fn open_all(&self, ids: &[&str]) {
        for id in ids {
            self.open(id);
        }
    }

    pub fn open_with(&self, id: &str, record: Record) -> Session {
        with_key(id, |key| {
            let _ = self.store.insert_if_absent(key, record);
            self.store.get(key).wait().now_or_never().unwrap().unwrap().unwrap()
        })
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<Body> {
        self.stack.clone().oneshot(request).await.unwrap()
    }

    /// Listens in the session `id`.
    pub async fn listen(&self, id: &str) -> Response<Body> {
        self.send(listening(id)).await
    }

    /// Calls in the session `id`.
    pub async fn call(&self, id: &str) -> Response<Body> {
        self.send(request(Method::POST, Some(id), &[])).await
    }
}

pub fn with_key<T>(id: &str, use_it: impl FnOnce(Key<'_>) -> T) -> T {
    let route = Route::default();
    use_it(Key::new(&route, None, id.as_bytes()))
}

pub fn request(
    method: Method,
    session: Option<&str>,
    fields: &[(&str, &str)],
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri("/mcp");
    for (name, value) in session.map(|id| ("mcp-session-id", id)).iter().chain(fields) {
        request = request.header(*name, *value);
    }
    request.body(Full::from("{}")).unwrap()
}

pub fn listening(id: &str) -> Request<Full<Bytes>> {
    request(Method::GET, Some(id), &[("accept", "text/event-stream")])
}

/// The next text of a stream; `None` at its end.
pub async fn next<B>(body: &mut B) -> Option<String>
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin,
{
    // Longer than any test waits, on the paused clock.
    let frame = timeout(Duration::from_secs(200), body.frame()).await.unwrap();
    // Asserts that a stream ends properly, instead of breaking off.
    let frame = frame?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().into()).unwrap())
}

/// Whether a stream is silent at the moment.
pub fn is_quiet<B>(body: &mut B) -> bool
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin,
{
    body.frame().now_or_never().is_none()
}
