//! `ValidateSession` alone, in front of an MCP server that is mounted in axum.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::Router;
use bartizan_memory::MemoryStore;
use bartizan_session::ValidateSessionLayer;
use rmcp::{
    tool, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use tower_layer::Layer;

/// The server of one session, with its state.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

#[tool_router(server_handler)]
impl Counter {
    #[tool(description = "Counts one up within this session")]
    fn increment(&self) -> String {
        (self.0.fetch_add(1, Ordering::Relaxed) + 1).to_string()
    }
}

/// The server behind the guard.
pub(crate) fn app() -> Router {
    let server = StreamableHttpService::new(
        || Ok(Counter::default()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    let store = MemoryStore::builder().max_sessions(1000).build();
    let guard = ValidateSessionLayer::mcp(store).idle(Duration::from_secs(30 * 60));
    Router::new().route_service("/mcp", guard.layer(server))
}

#[cfg(test)]
mod tests {
    use bartizan_testkit::client::{Raw, call, connect, increment};

    use super::*;

    async fn start() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app()).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn sessions_count_and_ids_that_are_not_live_are_answered_by_the_guard() {
        let origin = start().await;
        let client = connect(&format!("{origin}/mcp")).await.unwrap();
        for expected in 1..=3 {
            assert_eq!(increment(&client).await.unwrap(), expected);
        }
        client.cancel().await.unwrap();

        let raw = Raw::new(&origin);
        let id = raw.initialize().await;
        assert_eq!(raw.increment(&id).await.count(), Some(1));
        assert!(raw.delete(Some(&id)).await.status.is_success());
        // In the guard's format: the server's own refusals are plain text.
        let ended = raw.post(Some(&id), call(1, "increment")).await;
        assert_eq!(
            (ended.status.as_u16(), ended.message()["error"]["code"].as_i64()),
            (404, Some(-32001))
        );
        assert_eq!(raw.post(Some("a b"), call(1, "increment")).await.status, 400);
        assert_eq!(raw.get(None).await.status, 405);
    }
}
