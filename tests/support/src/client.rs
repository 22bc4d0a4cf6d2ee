//! MCP clients: rmcp's, for both eras, and one that is driven by hand.

use std::error::Error;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rmcp::{
    ClientLifecycleMode, ClientServiceExt, RoleClient,
    model::{CallToolRequestParams, ClientConfig, ProtocolVersion},
    service::RunningService,
    transport::StreamableHttpClientTransport,
};

pub type McpClient = RunningService<RoleClient, ClientConfig>;

/// Opens a session at `endpoint` by handshake.
pub async fn connect(endpoint: &str) -> Result<McpClient, Box<dyn Error + Send + Sync>> {
    let transport = StreamableHttpClientTransport::from_uri(endpoint.to_owned());
    Ok(ClientConfig::default()
        .serve_with_lifecycle(transport, ClientLifecycleMode::Initialize)
        .await?)
}

/// Speaks 2026-07-28 to `endpoint`.
pub async fn connect_modern(endpoint: &str) -> Result<McpClient, Box<dyn Error + Send + Sync>> {
    let transport = StreamableHttpClientTransport::from_uri(endpoint.to_owned());
    let mode =
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    Ok(ClientConfig::default().serve_with_lifecycle(transport, mode).await?)
}

/// Calls `increment`.
pub async fn increment(client: &McpClient) -> Result<i64, Box<dyn Error + Send + Sync>> {
    let result = client.call_tool(CallToolRequestParams::new("increment")).await?;
    let text = result.content.first().and_then(|content| content.as_text()).ok_or("no text")?;
    Ok(text.text.parse()?)
}

/// A response with its whole body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON-RPC message in it, plain or as the last server-sent event with data.
    pub fn message(&self) -> serde_json::Value {
        if let Ok(message) = serde_json::from_slice(&self.body) {
            return message;
        }
        let text = self.text();
        let mut data = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
        let message = data.rfind(|data| !data.is_empty());
        message.and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default()
    }

    /// The JSON-RPC result in it, or null.
    pub fn result(&self) -> serde_json::Value {
        self.message()["result"].take()
    }

    /// The text that a tool answered.
    pub fn tool_text(&self) -> Option<String> {
        Some(self.result()["content"][0]["text"].as_str()?.to_owned())
    }

    /// The number that `increment` answered.
    pub fn count(&self) -> Option<i64> {
        self.tool_text()?.parse().ok()
    }

    pub fn session(&self) -> Option<&str> {
        self.headers.get("mcp-session-id")?.to_str().ok()
    }
}

/// An MCP client driven by hand, over pooled HTTP/1.1 connections.
#[derive(Clone, Debug)]
pub struct Raw {
    client: Client<HttpConnector, Full<Bytes>>,
    endpoint: String,
}

pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"raw","version":"0"}}}"#;

impl Raw {
    /// For the MCP endpoint of the server at `origin`.
    pub fn new(origin: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, endpoint: format!("{origin}/mcp") }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn request(&self, method: Method, session: Option<&str>) -> http::request::Builder {
        let mut request = Request::builder()
            .method(method)
            .uri(&self.endpoint)
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json");
        if let Some(id) = session {
            request = request.header("mcp-session-id", id);
        }
        request
    }

    /// Sends a request and returns the response head with its body unread.
    pub async fn open(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, hyper_util::client::legacy::Error> {
        self.client.request(request).await
    }

    /// Sends a request and reads the whole response.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.try_send(request).await.expect("the server responds")
    }

    /// The same, with a server that may disappear.
    pub async fn try_send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let (head, body) = self.open(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    pub async fn post(&self, session: Option<&str>, body: impl Into<Bytes>) -> Answer {
        self.send(self.request(Method::POST, session).body(Full::new(body.into())).unwrap()).await
    }

    /// Opens a session with the whole handshake, and returns its id.
    pub async fn initialize(&self) -> String {
        let answer = self.post(None, INITIALIZE).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let id = answer.session().expect("a session id").to_owned();
        assert_eq!(self.initialized(&id).await.status, 202);
        id
    }

    /// The last step of the handshake, that [`initialize`](Self::initialize) takes itself.
    pub async fn initialized(&self, session: &str) -> Answer {
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        self.post(Some(session), initialized).await
    }

    /// Calls a tool.
    pub async fn call(
        &self,
        session: Option<&str>,
        id: u32,
        tool: &str,
        arguments: &serde_json::Value,
    ) -> Answer {
        self.post(session, call_with(id, tool, arguments)).await
    }

    pub async fn try_increment(
        &self,
        session: &str,
    ) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let request = self.request(Method::POST, Some(session));
        self.try_send(request.body(Full::from(call(1, "increment"))).unwrap()).await
    }

    pub async fn increment(&self, session: &str) -> Answer {
        self.post(Some(session), call(7, "increment")).await
    }

    /// Opens the event stream of a session, and returns the response head with its body unread.
    pub async fn get_stream(
        &self,
        session: &str,
    ) -> Result<http::Response<Incoming>, hyper_util::client::legacy::Error> {
        self.open(self.request(Method::GET, Some(session)).body(Full::default()).unwrap()).await
    }

    pub async fn get(&self, session: Option<&str>) -> Answer {
        self.send(self.request(Method::GET, session).body(Full::default()).unwrap()).await
    }

    pub async fn delete(&self, session: Option<&str>) -> Answer {
        self.send(self.request(Method::DELETE, session).body(Full::default()).unwrap()).await
    }
}

/// A call of a tool without arguments.
pub fn call(id: u32, tool: &str) -> String {
    call_with(id, tool, &serde_json::json!({}))
}

/// A call of a tool.
pub fn call_with(id: u32, tool: &str, arguments: &serde_json::Value) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    )
}
