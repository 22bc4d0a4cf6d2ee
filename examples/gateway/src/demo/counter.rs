//! An MCP server with one tool, `increment`, that counts within a session.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rmcp::{
    tool, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use tokio::net::TcpListener;

/// One session: its count, which exists only in this process.
#[derive(Debug)]
struct Counter {
    server: Arc<str>,
    count: AtomicU64,
}

#[tool_router(server_handler)]
impl Counter {
    #[tool(description = "Increments this session's counter, and names the server that counted")]
    fn increment(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        format!(r#"{{"count":{count},"server":"{}"}}"#, self.server)
    }
}

/// Starts a server at `address`, whose port may be 0, and returns where it listens. It runs until the process ends.
///
/// # Errors
///
/// If it cannot listen on `address`.
pub(super) async fn start(address: SocketAddr, name: Option<&str>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let server: Arc<str> = name.map_or_else(|| address.to_string().into(), Into::into);
    let new_session =
        move || Ok(Counter { server: Arc::clone(&server), count: AtomicU64::default() });
    let sessions = Arc::new(LocalSessionManager::default());
    let config = StreamableHttpServerConfig::default();
    // A server that other hosts can reach is addressed by names that it does not know.
    let config = if address.ip().is_loopback() { config } else { config.disable_allowed_hosts() };
    let service = StreamableHttpService::new(new_session, sessions, config);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Otherwise Nagle's algorithm would delay the second of two small writes, the head and
            // the event of a response.
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let io = TokioIo::new(stream);
                let builder = auto::Builder::new(TokioExecutor::new());
                if let Err(error) = builder.serve_connection(io, service).await {
                    tracing::debug!(%error, "a connection to a counter ended");
                }
            });
        }
    });
    Ok(address)
}
