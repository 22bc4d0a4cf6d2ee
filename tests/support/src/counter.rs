//! A stateful MCP server: rmcp's, with a counter in each session, and a journal of what reached it.
//!
//! rmcp answers an unknown session id with 404 in plain text, and serves requests that claim
//! 2026-07-28 without a session whatever its mode.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rmcp::{
    tool, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};

use crate::server::{BoxBody, Server, boxed, serve_at};

/// One session: its count, which is nowhere but here.
#[derive(Debug, Default)]
struct Counter(AtomicI64);

#[tool_router(server_handler)]
impl Counter {
    #[tool(description = "counts one up within this session")]
    fn increment(&self) -> String {
        (self.0.fetch_add(1, Ordering::Relaxed) + 1).to_string()
    }

    #[tool(description = "answers after half a second")]
    async fn slow(&self) -> String {
        tokio::time::sleep(Duration::from_millis(500)).await;
        "slow".to_owned()
    }
}

type Service = StreamableHttpService<Counter, LocalSessionManager>;

/// What reached the server of one request.
#[derive(Clone, Debug)]
pub struct Entry {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Entry {
    /// The JSON-RPC method of the body.
    pub fn rpc_method(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(body.get("method")?.as_str()?.to_owned())
    }

    pub fn session(&self) -> Option<&str> {
        self.headers.get("mcp-session-id")?.to_str().ok()
    }
}

/// A running counter server.
#[derive(Debug)]
pub struct CounterServer {
    addr: SocketAddr,
    server: Server,
    journal: Arc<Mutex<Vec<Entry>>>,
}

impl CounterServer {
    pub async fn start() -> Self {
        let journal = Arc::default();
        let server = start_at(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::clone(&journal)).await;
        Self { addr: server.addr, server, journal }
    }

    /// Starts several.
    pub async fn start_many(count: usize) -> Vec<Self> {
        let mut servers = Vec::new();
        for _ in 0..count {
            servers.push(Self::start().await);
        }
        servers
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its origin.
    pub fn uri(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// All that reached it so far.
    pub fn journal(&self) -> Vec<Entry> {
        self.journal.lock().unwrap().clone()
    }

    /// How many sessions it was asked to open.
    pub fn initializes(&self) -> usize {
        let is_one = |entry: &&Entry| entry.rpc_method().as_deref() == Some("initialize");
        self.journal.lock().unwrap().iter().filter(is_one).count()
    }

    /// Closes the port and every connection at once.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Starts again at the same port, without any session.
    pub async fn restart_empty(&mut self) {
        self.server.kill().await;
        self.server = start_at(self.addr, Arc::clone(&self.journal)).await;
    }
}

async fn start_at(addr: SocketAddr, journal: Arc<Mutex<Vec<Entry>>>) -> Server {
    let service = StreamableHttpService::new(
        || Ok(Counter::default()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    serve_at(addr, move |request| answer(request, service.clone(), Arc::clone(&journal))).await
}

async fn answer(
    request: Request<Incoming>,
    service: Service,
    journal: Arc<Mutex<Vec<Entry>>>,
) -> Response<BoxBody> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Response::new(boxed(Full::default())) };
    let body = body.to_bytes();
    journal.lock().unwrap().push(Entry {
        method: head.method.clone(),
        target: head.uri.to_string(),
        headers: head.headers.clone(),
        body: body.clone(),
    });
    let response = service.handle(Request::from_parts(head, Full::new(body))).await;
    response.map(boxed)
}
