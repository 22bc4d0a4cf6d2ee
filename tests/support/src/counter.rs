//! A stateful MCP server: rmcp's, with a counter in each session, and a journal of what reached it.
//!
//! What rmcp 3.9 does, as `tests/rmcp.rs` shows:
//!
//! | request | answer |
//! |---|---|
//! | POST or GET with an unknown id, even `initialize` | 404, plain text without a content type |
//! | POST, GET or DELETE of the legacy era without an id | 400, plain text without a content type |
//! | DELETE with an id, known or not | 202 |
//! | `initialize` with a live id | 200; the session and its count continue |
//! | POST of a batch, or of a body that is not JSON-RPC | 415, plain text without a content type |
//! | POST that claims 2026-07-28 in its `_meta` | served by a new instance; a session id is ignored |
//! | GET or DELETE that claims 2026-07-28 in its header | 405, `Allow: POST` |
//! | `initialize`, whatever version it names | the legacy era |
//!
//! A request of the modern era needs `_meta` with `io.modelcontextprotocol/protocolVersion` and
//! `…/clientCapabilities`, and the headers `MCP-Protocol-Version`, `Mcp-Method` and, for a call,
//! `Mcp-Name`, all of the same values. `Host` must be a loopback name, `Origin` is not checked.

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
    handler::server::wrapper::Parameters,
    model::{CallToolResult, ContentBlock},
    schemars::JsonSchema,
    tool, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde::Deserialize;
use tokio_util::sync::DropGuard;

use crate::server::{BoxBody, Server, boxed, serve_at};

/// One session: its count, which exists only here.
#[derive(Debug, Default)]
struct Counter(AtomicI64);

#[tool_router(server_handler)]
impl Counter {
    #[tool(description = "counts one up within this session")]
    fn increment(&self) -> String {
        (self.0.fetch_add(1, Ordering::Relaxed) + 1).to_string()
    }

    #[tool(description = "answers with its text")]
    fn echo(&self, Parameters(Echo { text }): Parameters<Echo>) -> String {
        text
    }

    #[tool(description = "answers when so many milliseconds have passed")]
    async fn sleep(&self, Parameters(Sleep { ms }): Parameters<Sleep>) -> String {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        "slept".to_owned()
    }

    #[tool(description = "answers that it failed")]
    fn fail(&self) -> CallToolResult {
        CallToolResult::error(vec![ContentBlock::text("failed as asked")])
    }
}

/// The arguments of `echo`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Echo {
    text: String,
}

/// The arguments of `sleep`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
struct Sleep {
    ms: u64,
}

type Service = StreamableHttpService<Counter, LocalSessionManager>;

/// The parts of a request that reached the server.
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
    /// Ends the tasks of all sessions; below the server, so that their streams break off first.
    sessions: Option<DropGuard>,
    journal: Arc<Mutex<Vec<Entry>>>,
}

impl CounterServer {
    pub async fn start() -> Self {
        let journal = Arc::default();
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let (server, sessions) = start_at(free, Arc::clone(&journal)).await;
        Self { addr: server.addr, server, sessions: Some(sessions), journal }
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

    /// Its MCP endpoint.
    pub fn endpoint(&self) -> String {
        format!("{}/mcp", self.uri())
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

    /// What reached it with the session id `id`.
    pub fn with_session(&self, id: &str) -> Vec<Entry> {
        let mut entries = self.journal();
        entries.retain(|entry| entry.session() == Some(id));
        entries
    }

    /// Closes the port and every connection at once, and ends all sessions.
    pub async fn kill(&mut self) {
        self.server.kill().await;
        self.sessions = None;
    }

    /// Starts again at the same port, without any session.
    pub async fn restart_empty(&mut self) {
        self.kill().await;
        let (server, sessions) = start_at(self.addr, Arc::clone(&self.journal)).await;
        (self.server, self.sessions) = (server, Some(sessions));
    }
}

async fn start_at(addr: SocketAddr, journal: Arc<Mutex<Vec<Entry>>>) -> (Server, DropGuard) {
    let config = StreamableHttpServerConfig::default();
    let sessions = config.cancellation_token.clone().drop_guard();
    let service = StreamableHttpService::new(
        || Ok(Counter::default()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let answer = move |request| answer(request, service.clone(), Arc::clone(&journal));
    (serve_at(addr, answer).await, sessions)
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
