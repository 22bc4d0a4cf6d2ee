//! A service with sessions, stores that answer late or never, and requests to send them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test support")]

use std::{
    convert::Infallible,
    future::{Pending, Ready, pending, ready},
    pin::Pin,
    sync::{Arc, Mutex},
};

use bartizan_core::{
    Answer, BackendId, Key, Passage, Principal, Record, Route, Session, SessionStore, StoreError,
    Work,
    store::{Inserted, RecordVersion, Replaced, StoreErrorKind},
};
use bartizan_memory::MemoryStore;
use bartizan_session::{PeekedBody, SessionBody, ValidateSession, ValidateSessionLayer};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt};

pub type ReqBody = PeekedBody<Full<Bytes>>;

/// What the service saw of a request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub work: Work,
    pub has_session: bool,
    pub backend: Option<BackendId>,
}

type Respond = Arc<dyn Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync>;

/// A service that records its requests and responds with a closure.
#[derive(Clone)]
pub struct Server {
    journal: Arc<Mutex<Vec<Seen>>>,
    respond: Respond,
}

impl Server {
    pub fn new(respond: impl Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static) -> Self {
        Self { journal: Arc::default(), respond: Arc::new(respond) }
    }

    /// Opens `s1` for each `initialize`, and answers `ok` to anything else.
    pub fn mcp() -> Self {
        Self::new(|seen| {
            let opens = String::from_utf8_lossy(&seen.body).contains("\"initialize\"");
            if opens { opened("s1") } else { Response::new(Full::from("ok")) }
        })
    }

    pub fn journal(&self) -> Vec<Seen> {
        self.journal.lock().unwrap().clone()
    }

    pub fn calls(&self) -> usize {
        self.journal.lock().unwrap().len()
    }
}

impl Service<Request<ReqBody>> for Server {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let passage = Passage::of(&request).cloned().unwrap_or_default();
            let (head, body) = request.into_parts();
            let seen = Seen {
                method: head.method,
                headers: head.headers,
                body: body.collect().await.unwrap().to_bytes(),
                work: passage.work(),
                has_session: passage.session().is_some(),
                backend: passage.backend().map(|backend| backend.id().clone()),
            };
            let response = (this.respond)(&seen);
            this.journal.lock().unwrap().push(seen);
            Ok(response)
        })
    }
}

/// A response that names a session.
pub fn opened(id: &str) -> Response<Full<Bytes>> {
    Response::builder().header("mcp-session-id", id).body(Full::from("{}")).unwrap()
}

pub fn guard<T: SessionStore>(store: &T, server: &Server) -> ValidateSession<Server, T> {
    ValidateSessionLayer::mcp(store.clone()).layer(server.clone())
}

pub async fn send<S, R>(service: &S, request: Request<Full<Bytes>>) -> Response<R>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone,
    S::Error: std::fmt::Debug,
{
    service.clone().oneshot(request).await.unwrap()
}

pub async fn text<T: SessionStore>(response: Response<SessionBody<Full<Bytes>, T>>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{}}"#;
pub const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{}}"#;

pub fn post(session: Option<&str>, body: &'static str) -> Request<Full<Bytes>> {
    request(Method::POST, session, body)
}

pub fn request(method: Method, session: Option<&str>, body: &'static str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri("/mcp");
    if let Some(id) = session {
        request = request.header("mcp-session-id", id);
    }
    request.body(Full::from(body)).unwrap()
}

pub fn with(
    mut request: Request<Full<Bytes>>,
    name: &'static str,
    value: &'static str,
) -> Request<Full<Bytes>> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

pub fn by(mut request: Request<Full<Bytes>>, subject: &str) -> Request<Full<Bytes>> {
    Principal::new("issuer", subject).attach(&mut request);
    request
}

/// Puts a live session into `store`.
pub async fn live<T: SessionStore>(store: &T, id: &str) {
    let route = Route::default();
    let key = Key::new(&route, None, id.as_bytes());
    let record = Record::new(Record::IDLE, Record::LIFETIME);
    store.insert_if_absent(key, record).wait().await.unwrap();
}

pub async fn is_live<T: SessionStore>(store: &T, id: &str) -> bool {
    let route = Route::default();
    store.get(Key::new(&route, None, id.as_bytes())).wait().await.unwrap().is_some()
}

/// What a store does instead of answering at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    /// It answers later, correctly.
    Late,
    /// It answers after 200 ms, correctly.
    Slow,
    /// It answers now, with an error.
    Failing,
    /// It never answers.
    Stuck,
}

/// A store in which each operation can be made to misbehave.
#[derive(Clone)]
pub struct Moody {
    pub inner: MemoryStore,
    pub get: Option<Mood>,
    pub insert: Option<Mood>,
    pub remove: Option<Mood>,
}

impl Moody {
    pub fn new() -> Self {
        Self { inner: MemoryStore::new(), get: None, insert: None, remove: None }
    }
}

pub enum LateOrNever<T> {
    Late(Ready<T>),
    Never(Pending<T>),
    Slow(Pin<Box<tokio::time::Sleep>>, Option<T>),
}

impl<T: Unpin> Future for LateOrNever<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<T> {
        match self.get_mut() {
            Self::Late(late) => Pin::new(late).poll(cx),
            Self::Never(never) => Pin::new(never).poll(cx),
            Self::Slow(sleep, value) => {
                std::task::ready!(sleep.as_mut().poll(cx));
                std::task::Poll::Ready(value.take().unwrap())
            }
        }
    }
}

type Told<T> = Result<T, StoreError>;

fn spoil<T, F>(
    mood: Option<Mood>,
    answer: Answer<Told<T>, F>,
) -> Answer<Told<T>, LateOrNever<Told<T>>> {
    let Answer::Now(value) = answer else { unreachable!("the memory store answers now") };
    match mood {
        None => Answer::Now(value),
        Some(Mood::Late) => Answer::Later(LateOrNever::Late(ready(value))),
        Some(Mood::Failing) => Answer::Now(Err(StoreError::new(StoreErrorKind::Unavailable))),
        Some(Mood::Stuck) => Answer::Later(LateOrNever::Never(pending())),
        Some(Mood::Slow) => {
            let sleep = tokio::time::sleep(std::time::Duration::from_millis(200));
            Answer::Later(LateOrNever::Slow(Box::pin(sleep), Some(value)))
        }
    }
}

impl Moody {
    fn insert<F>(
        &self,
        insert: impl FnOnce() -> Answer<Told<Inserted>, F>,
    ) -> Answer<Told<Inserted>, LateOrNever<Told<Inserted>>> {
        if matches!(self.insert, Some(Mood::Failing | Mood::Stuck)) {
            // The operation must not take effect, either.
            let nothing = Answer::<_, LateOrNever<Told<Inserted>>>::Now(Ok(Inserted::Full));
            return spoil(self.insert, nothing);
        }
        spoil(self.insert, insert())
    }
}

impl SessionStore for Moody {
    bartizan_core::store_parts!(futures LateOrNever);
    bartizan_core::store_parts!(inner: take_evicted touch has_room reserve counts_clients answers);

    fn get(&self, key: Key<'_>) -> Answer<Told<Option<Session>>, Self::Get> {
        spoil(self.get, self.inner.get(key))
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Told<Inserted>, Self::Insert> {
        self.insert(|| self.inner.insert_if_absent(key, record))
    }

    fn insert_unconfirmed(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Told<Inserted>, Self::Insert> {
        self.insert(|| self.inner.insert_unconfirmed(key, record))
    }

    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Told<Replaced>, Self::Replace> {
        if matches!(self.insert, Some(Mood::Failing | Mood::Stuck)) {
            let nothing = Answer::<_, LateOrNever<Told<Replaced>>>::Now(Ok(Replaced::Gone));
            return spoil(self.insert, nothing);
        }
        spoil(self.insert, self.inner.replace(key, seen, record))
    }

    fn remove(&self, key: Key<'_>) -> Answer<Told<()>, Self::Remove> {
        spoil(self.remove, self.inner.remove(key))
    }

    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Told<bool>, Self::RemoveIfUnchanged> {
        spoil(self.remove, self.inner.remove_if_unchanged(key, seen))
    }
}
