//! Backends that fail in different ways, and clients that open sessions there.
#![allow(dead_code, unreachable_pub, reason = "each test uses what it needs")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test support")]

use std::{
    collections::HashMap,
    convert::Infallible,
    future::pending,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use bartizan_core::{
    Backend, BackendId, ClientAddr, Passage, UpstreamFailure, Work, client::Evidence,
    failure::FailureKind, store::CountSessions,
};
use bartizan_memory::MemoryStore;
use bartizan_pin::{
    BackendState, Backends, DownCause, PinBackendLayer, ReclaimableBody,
    balance::{LeastSessions, Random, Rendezvous, RoundRobin},
    key::HeaderKey,
};
use bartizan_testkit::{
    Server, serve,
    server::{BoxBody, boxed},
};
use bartizan_upstream::Upstream;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneSyncService};

pub type Body = Full<Bytes>;
pub type Send = BoxCloneSyncService<Request<Body>, StatusCode, Infallible>;

/// What a backend does instead of opening a session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sickness {
    Status(u16),
    Reset,
    Hang,
}

impl Sickness {
    pub const ALL: [Self; 6] = [
        Self::Status(500),
        Self::Status(503),
        Self::Status(404),
        Self::Status(429),
        Self::Reset,
        Self::Hang,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    LeastSessions,
    RoundRobin,
    Random,
    Rendezvous,
}

impl Policy {
    pub const ALL: [Self; 4] =
        [Self::LeastSessions, Self::RoundRobin, Self::Random, Self::Rendezvous];

    fn layer(self, backends: Backends) -> PinBackendLayer {
        let layer = PinBackendLayer::new(backends);
        match self {
            Self::LeastSessions => layer.balance(LeastSessions::new()),
            Self::RoundRobin => layer.balance(RoundRobin::new()),
            Self::Random => layer.balance(Random::new()),
            Self::Rendezvous => layer.balance(Rendezvous::new()),
        }
    }
}

/// How each backend fails, and the sessions that each has opened.
#[derive(Clone, Default)]
struct Ward {
    sick: Arc<Mutex<HashMap<String, Sickness>>>,
    opened: Arc<Mutex<HashMap<String, usize>>>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Ward {
    /// The answer of a backend; `None` is a reset.
    async fn answer(&self, backend: &str) -> Option<StatusCode> {
        let sickness = self.sick.lock().unwrap().get(backend).copied();
        match sickness {
            None => {
                sleep(Duration::from_millis(2)).await;
                *self.opened.lock().unwrap().entry(backend.to_owned()).or_default() += 1;
                Some(StatusCode::OK)
            }
            Some(Sickness::Status(status)) => Some(StatusCode::from_u16(status).unwrap()),
            Some(Sickness::Reset) => None,
            Some(Sickness::Hang) => pending().await,
        }
    }
}

impl CountSessions for Ward {
    fn sessions_on(&self, backend: &BackendId) -> usize {
        self.opened.lock().unwrap().get(backend.as_str()).copied().unwrap_or_default()
    }
}

pub struct Clinic {
    pub backends: Backends,
    ward: Ward,
    pub names: Vec<String>,
    pub send: Send,
    servers: Vec<Server>,
}

impl Clinic {
    /// Real servers, and the service that forwards to them.
    pub async fn real(size: usize, policy: Policy) -> Self {
        let (ward, mut servers, mut names) = (Ward::default(), Vec::new(), Vec::new());
        for _ in 0..size {
            let own = Arc::<Mutex<String>>::default();
            let (inside, name) = (ward.clone(), Arc::clone(&own));
            let server = serve(move |_| {
                let (inside, name) = (inside.clone(), name.lock().unwrap().clone());
                async move {
                    // hyper closes the connection of a handler that panics: a reset.
                    let status = inside.answer(&name).await;
                    let status = status.unwrap_or_else(|| std::panic::resume_unwind(Box::new(())));
                    let mut response = Response::<BoxBody>::new(boxed(Body::default()));
                    *response.status_mut() = status;
                    response
                }
            })
            .await;
            *own.lock().unwrap() = server.uri();
            names.push(server.uri());
            servers.push(server);
        }
        let upstream = Upstream::builder().build();
        let backends = Self::set(&names, &ward);
        let send = Self::stack(policy, backends.clone(), upstream);
        Self { backends, ward, names, send, servers }
    }

    /// A service that simulates the backends, for a paused clock.
    pub fn played(size: usize, policy: Policy) -> Self {
        let ward = Ward::default();
        let names: Vec<_> = (1..=size).map(|port| format!("http://b:{port}")).collect();
        let inside = ward.clone();
        let upstream = service_fn(move |request: Request<ReclaimableBody<Body>>| {
            let inside = inside.clone();
            async move {
                let backend = Backend::of(&request).unwrap().id().to_string();
                let mut response = Response::new(Body::default());
                inside.calls.lock().unwrap().push(backend.clone());
                if let Some(status) = request.headers().get("x-answer") {
                    *response.status_mut() = StatusCode::from_bytes(status.as_bytes()).unwrap();
                    return Ok(response);
                }
                match inside.answer(&backend).await {
                    Some(status) => *response.status_mut() = status,
                    None => {
                        *response.status_mut() = StatusCode::BAD_GATEWAY;
                        let failure = UpstreamFailure::new(FailureKind::Terminated);
                        response.extensions_mut().insert(failure);
                    }
                }
                Ok::<_, Infallible>(response)
            }
        });
        let backends = Self::set(&names, &ward);
        let send = Self::stack(policy, backends.clone(), upstream);
        Self { backends, ward, names, send, servers: Vec::new() }
    }

    fn set(names: &[String], ward: &Ward) -> Backends {
        let backends = Backends::new(names.iter().map(|name| name.parse().unwrap()));
        backends.counted_by(Arc::new(ward.clone()))
    }

    fn stack<S, R>(policy: Policy, backends: Backends, inside: S) -> Send
    where
        S: Service<Request<ReclaimableBody<Body>>, Response = Response<R>, Error = Infallible>,
        S: Clone + std::marker::Send + Sync + 'static,
        S::Future: std::marker::Send,
        R: std::marker::Send + 'static,
    {
        let layer = policy.layer(backends);
        let service =
            layer.key(HeaderKey::new(http::HeaderName::from_static("x-room")), MemoryStore::new());
        let service = service.layer(inside);
        BoxCloneSyncService::new(service_fn(move |request| {
            let service = service.clone();
            async move { Ok(service.oneshot(request).await.unwrap().status()) }
        }))
    }

    pub fn fall_sick(&self, index: usize, kind: Sickness) {
        self.ward.sick.lock().unwrap().insert(self.names[index].clone(), kind);
    }

    pub fn recover(&self, index: usize) {
        self.ward.sick.lock().unwrap().remove(&self.names[index]);
    }

    /// How many requests have reached a backend. Only for simulated backends.
    pub fn calls(&self, index: usize) -> usize {
        self.ward.calls.lock().unwrap().iter().filter(|name| **name == self.names[index]).count()
    }

    /// Restarts backends, which lose their sessions.
    pub fn forget_sessions(&self, indices: &[usize]) {
        let mut opened = self.ward.opened.lock().unwrap();
        for index in indices {
            opened.remove(&self.names[*index]);
        }
    }

    /// How many sessions a backend has opened.
    pub fn opened(&self, index: usize) -> usize {
        self.ward.opened.lock().unwrap().get(&self.names[index]).copied().unwrap_or_default()
    }

    /// Sends work of `client` with its own key.
    pub async fn send(&self, client: u8, work: Work) -> Option<StatusCode> {
        let room = fastrand::u64(..).to_string();
        timeout(Duration::from_secs(4), self.send_to(&room, client, work, None)).await.ok()
    }

    /// Sends work of `client`, optionally with a key and with a status that backends answer with.
    pub async fn send_to(
        &self,
        room: &str,
        client: u8,
        work: Work,
        status: Option<u16>,
    ) -> StatusCode {
        let mut request = Request::post("/mcp").header("x-room", room);
        if let Some(status) = status {
            request = request.header("x-answer", status);
        }
        let mut request = request.body(Body::default()).unwrap();
        Passage::with(&mut request, |passage| passage.set_work(work));
        let ip = IpAddr::V4(Ipv4Addr::new(192, 0, 2, client));
        ClientAddr::new(ip, None, Evidence::Peer).attach(&mut request);
        self.send.clone().oneshot(request).await.unwrap()
    }

    /// The states of all backends.
    pub fn states(&self) -> Vec<(BackendState, Option<DownCause>)> {
        self.backends.snapshot().iter().map(|one| (one.state(), one.cause())).collect()
    }

    pub async fn opens(&self, client: u8) -> bool {
        self.send(client, Work::Opening).await == Some(StatusCode::OK)
    }

    /// 200 openings, 20 at a time from ten clients within five seconds. How many of those that begin after the first
    /// second fail.
    pub async fn open_200(&self) -> usize {
        let begin = Instant::now();
        let openings = (0..200u16).map(|number| async move {
            let at = Duration::from_millis(500) * u32::from(number / 20);
            sleep_until(begin + at).await;
            let is_open = self.opens(u8::try_from(number % 10).unwrap()).await;
            at >= Duration::from_secs(1) && !is_open
        });
        join_all(openings).await.into_iter().filter(|has_failed| *has_failed).count()
    }
}
