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

/// One session: its count, which is nowhere but here.
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

/// Starts a server on a free port of this machine; it runs until the process ends.
///
/// # Errors
///
/// If there is no free port.
pub(super) async fn start(name: &str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let server: Arc<str> = name.into();
    let new_session =
        move || Ok(Counter { server: Arc::clone(&server), count: AtomicU64::default() });
    let sessions = Arc::new(LocalSessionManager::default());
    let config = StreamableHttpServerConfig::default();
    let service = StreamableHttpService::new(new_session, sessions, config);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The head and the event of a response are two small writes.
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
