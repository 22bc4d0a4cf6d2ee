//! MCP servers behind the stack, with sessions in a SQLite database: they survive a restart of this program.

use std::{env, error::Error, path::Path, time::Duration};

use axum::Router;
use bartizan::{Backend, ReverseProxyStack, Shutdown, peer, pin::Backends, upstream::Upstream};
use bartizan_example_custom_store::SqliteStore;
use tokio::{net::TcpListener, time::interval};
use tower_layer::Layer;

/// How many sessions the database keeps.
const MAX_SESSIONS: usize = 10_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let usage = "usage: DATABASE ADDRESS BACKEND...";
    let database = args.next().ok_or(usage)?;
    let listener = TcpListener::bind(args.next().ok_or(usage)?).await?;
    let backends = args.map(|uri| uri.parse()).collect::<Result<Vec<Backend>, _>>()?;
    let store = SqliteStore::open(Path::new(&database), MAX_SESSIONS)?;
    serve(listener, store, backends, async {
        let _ = tokio::signal::ctrl_c().await;
    })
    .await
}

/// Serves until `stop`, then finishes the calls in flight.
async fn serve(
    listener: TcpListener,
    store: SqliteStore,
    backends: Vec<Backend>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let (app, shutdown) = app(&store, backends, &listener)?;
    let sweeping = tokio::spawn(sweep(store));
    let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
    let stopped = async move {
        stop.await;
        // An event stream does not end by itself, so axum's graceful shutdown would wait for it forever. Closing the
        // stream does not end its session.
        shutdown.shut_down(Duration::from_secs(20)).await;
    };
    let served = axum::serve(listener, app).with_graceful_shutdown(stopped).await;
    sweeping.abort();
    Ok(served?)
}

/// The stack on `/mcp`, with this store in place of `MemoryStore`.
fn app(
    store: &SqliteStore,
    backends: Vec<Backend>,
    listener: &TcpListener,
) -> Result<(Router, Shutdown), Box<dyn Error>> {
    let address = listener.local_addr()?;
    let stack = ReverseProxyStack::mcp(store.clone(), Backends::new(backends))
        .forwarded(|layer| layer.peer_from(peer::of_axum))
        .origin(|layer| layer.listener(address));
    let shutdown = stack.shutdown();
    let service = stack.layer(Upstream::builder().build());
    Ok((Router::new().route_service("/mcp", service), shutdown))
}

/// Keeps held sessions in use, and deletes what has expired.
async fn sweep(store: SqliteStore) {
    let mut round = interval(Duration::from_secs(1));
    loop {
        round.tick().await;
        // If it fails, the next round catches up.
        let _ = store.sweep().await;
    }
}

#[cfg(test)]
mod tests {
    use bartizan_testkit::{
        CounterServer,
        client::{Answer, INITIALIZE, Raw, call},
    };
    use http::Method;
    use http_body_util::Full;
    use tokio::{sync::oneshot, task::JoinHandle};

    use super::*;

    /// One run of the program.
    struct Run {
        client: Raw,
        stop: oneshot::Sender<()>,
        running: JoinHandle<()>,
    }

    impl Run {
        async fn start(database: &Path, servers: &[CounterServer]) -> Self {
            let backends = servers.iter().map(|server| server.uri().parse().unwrap()).collect();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = Raw::new(&format!("http://{}", listener.local_addr().unwrap()));
            let store = SqliteStore::open(database, MAX_SESSIONS).unwrap();
            let (stop, stopped) = oneshot::channel();
            let running = tokio::spawn(async move {
                let stopped = async {
                    let _ = stopped.await;
                };
                serve(listener, store, backends, stopped).await.unwrap();
            });
            Self { client, stop, running }
        }

        async fn post(&self, session: Option<&str>, body: &str) -> Answer {
            let request = self.client.request(Method::POST, session);
            self.client.send(request.body(Full::from(body.to_owned())).unwrap()).await
        }

        async fn stop(self) {
            drop(self.client);
            self.stop.send(()).unwrap();
            self.running.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_session_survives_a_restart_and_an_end_lasts() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("sessions.db");
        let servers = CounterServer::start_many(2).await;
        let increment = call(1, "increment");
        let first = Run::start(&database, &servers).await;
        let mut ids = Vec::new();
        for _ in 0..4 {
            let id = first.post(None, INITIALIZE).await.session().unwrap().to_owned();
            let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
            assert_eq!(first.post(Some(&id), initialized).await.status, 202);
            assert_eq!(first.post(Some(&id), &increment).await.count(), Some(1));
            ids.push(id);
        }
        let delete = first.client.request(Method::DELETE, Some(&ids[3]));
        let ended = first.client.send(delete.body(Full::default()).unwrap()).await;
        assert!((200..300).contains(&ended.status.as_u16()), "{}", ended.status);
        first.stop().await;

        let second = Run::start(&database, &servers).await;
        for id in &ids[..3] {
            // At the backend that holds the count.
            assert_eq!(second.post(Some(id), &increment).await.count(), Some(2));
        }
        assert_eq!(second.post(Some(&ids[3]), &increment).await.status, 404);
        assert_eq!(second.post(Some("unknown"), &increment).await.status, 404);
        second.stop().await;
    }
}
