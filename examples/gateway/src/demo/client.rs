//! An MCP client that opens a session and counts in it.

use std::{error::Error, time::Duration};

use bartizan::core::mcp;
use bytes::Bytes;
use http::{
    HeaderValue, Request, Uri,
    header::{ACCEPT, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Talks to one server; clones share its connections.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
}

/// The result of one session.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The server that answered the first call.
    pub(super) server: Option<String>,
    /// How many calls were answered.
    pub(super) calls: u64,
    /// What went wrong.
    pub(super) slips: Vec<String>,
}

/// The answer to one call.
struct Count {
    count: u64,
    server: String,
}

type BoxError = Box<dyn Error + Send + Sync>;

/// The message that opens a session.
pub(super) fn initialize() -> Value {
    let client = json!({"name": "bartizan-demo", "version": env!("CARGO_PKG_VERSION")});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
}

/// The message that increments the counter.
pub(super) fn increment(id: u64) -> Value {
    let params = json!({"name": "increment", "arguments": {}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

impl Client {
    pub(super) fn new(uri: Uri) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { http: legacy::Client::builder(TokioExecutor::new()).build(connector), uri }
    }

    /// Opens a session and counts up to `calls` in it.
    pub(super) async fn count_to(&self, calls: u64) -> Outcome {
        let mut outcome = Outcome::default();
        let session = match self.open().await {
            Ok(session) => session,
            Err(error) => {
                outcome.slips.push(format!("no session: {error}"));
                return outcome;
            }
        };
        for expected in 1..=calls {
            match self.increment(&session, expected).await {
                Ok(answer) => outcome.judge(expected, answer),
                Err(error) => outcome.slips.push(format!("call {expected}: {error}")),
            }
        }
        outcome
    }

    async fn open(&self) -> Result<HeaderValue, BoxError> {
        let (session, _) = self.post(None, initialize()).await?;
        let session = session.ok_or("the response names no session")?;
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        self.post(Some(&session), initialized).await?;
        Ok(session)
    }

    async fn increment(&self, session: &HeaderValue, number: u64) -> Result<Count, BoxError> {
        let (_, answer) = self.post(Some(session), increment(number + 1)).await?;
        let text = answer.pointer("/result/content/0/text").and_then(Value::as_str);
        let result: Value = serde_json::from_str(text.ok_or_else(|| answer.to_string())?)?;
        let count = result.get("count").and_then(Value::as_u64);
        let server = result.get("server").and_then(Value::as_str);
        let (Some(count), Some(server)) = (count, server) else {
            return Err(result.to_string().into());
        };
        Ok(Count { count, server: server.to_owned() })
    }

    /// Sends `message`; returns the session id of the response and the message in it.
    async fn post(
        &self,
        session: Option<&HeaderValue>,
        message: Value,
    ) -> Result<(Option<HeaderValue>, Value), BoxError> {
        let mut request = Request::post(self.uri.clone())
            .header(ACCEPT, "application/json, text/event-stream")
            .header(CONTENT_TYPE, "application/json");
        if let Some(session) = session {
            request = request.header(&mcp::SESSION_ID, session);
        }
        let request = request.body(Full::from(message.to_string()))?;
        let exchange = async {
            let (head, body) = self.http.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, BoxError>((head, String::from_utf8_lossy(&body).into_owned()))
        };
        let (head, body) = timeout(Duration::from_secs(10), exchange).await??;
        if !head.status.is_success() {
            return Err(format!("{} {body}", head.status).into());
        }
        let is_stream = head.headers.get(CONTENT_TYPE).is_some_and(|it| it == "text/event-stream");
        let answer = if is_stream { last_event(&body) } else { body.as_str() };
        let answer = if answer.is_empty() { Value::Null } else { serde_json::from_str(answer)? };
        Ok((head.headers.get(&mcp::SESSION_ID).cloned(), answer))
    }
}

impl Outcome {
    fn judge(&mut self, expected: u64, Count { count, server }: Count) {
        self.calls += 1;
        let home = self.server.get_or_insert_with(|| server.clone());
        if count != expected || server != *home {
            let slip = format!(
                "call {expected}: {server} counted {count}, expected {home} to count {expected}"
            );
            self.slips.push(slip);
        }
    }
}

/// The data of the last event with data, because the response comes after all notifications.
fn last_event(stream: &str) -> &str {
    let mut data = stream.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    data.rfind(|data| !data.is_empty()).unwrap_or_default()
}
