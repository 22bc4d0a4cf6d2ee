//! The stack in an axum application, with metrics for Prometheus on a port of their own.

use std::{env, error::Error, net::SocketAddr};

use axum::{
    Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get,
};
use bartizan::{
    Backend, ReverseProxyStack,
    memory::MemoryStore,
    observe::{Metrics, TEXT_FORMAT},
    peer,
    pin::Backends,
    upstream::Upstream,
};
use prometheus_client::{encoding::text, metrics::counter::Counter, registry::Registry};
use tokio::net::TcpListener;
use tower_layer::Layer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let usage = "usage: ADDRESS METRICS-ADDRESS BACKEND...";
    let listener = TcpListener::bind(args.next().ok_or(usage)?).await?;
    let admin = TcpListener::bind(args.next().ok_or(usage)?).await?;
    let backends = args.map(|uri| uri.parse()).collect::<Result<Vec<Backend>, _>>()?;
    let (app, metrics) = app(backends);
    tokio::spawn(async move { axum::serve(admin, metrics_of(metrics)).await });
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// The application, and what it counts.
fn app(backends: Vec<Backend>) -> (Router, Metrics) {
    let (store, backends) = (MemoryStore::new(), Backends::new(backends));
    let stack = ReverseProxyStack::mcp(store.clone(), backends.clone())
        .forwarded(|layer| layer.peer_from(peer::of_axum));
    let metrics = Metrics::new();
    // Read only when somebody asks for the metrics.
    metrics.watch(stack.gauges());
    metrics.watch(store);
    // What has left the set is soon not shown any more.
    let removed = metrics.clone();
    let _ = backends.on_removed(move |id| removed.backend_removed(id));
    // Directly around the service that forwards, so that each try counts.
    let upstream = metrics.backends().layer(Upstream::builder().build());
    // Around the stack, so that its refusals count.
    let proxy = metrics.edge().layer(stack.layer(upstream));
    let app = Router::new().route("/", get(async || "hello")).route_service("/mcp", proxy);
    (app, metrics)
}

/// `/metrics`, for a port that clients cannot reach.
fn metrics_of(metrics: Metrics) -> Router {
    let text = async |State(metrics): State<Metrics>| {
        ([(CONTENT_TYPE, TEXT_FORMAT)], metrics.snapshot().to_string()).into_response()
    };
    Router::new().route("/metrics", get(text)).with_state(metrics)
}

/// The same with metrics of the application's own, as OpenMetrics.
#[allow(dead_code, reason = "the other way to do it")]
fn with_own(metrics: Metrics, logins: Counter) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register("logins", "Users who logged in", logins);
    registry.register_collector(Box::new(metrics));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use bartizan_testkit::{CounterServer, client::Raw};
    use http::Request;
    use http_body_util::Full;

    use super::*;

    async fn serve(app: Router) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, app).await });
        origin
    }

    #[tokio::test]
    async fn calls_refusals_and_sessions_are_counted() {
        let server = CounterServer::start().await;
        let (app, metrics) = app(vec![server.uri().parse().unwrap()]);
        let client = Raw::new(&serve(app).await);
        let id = client.initialize().await;
        assert_eq!(client.increment(&id).await.count(), Some(1));
        assert_eq!(client.increment("unknown").await.status, 404);

        let admin = serve(metrics_of(metrics.clone())).await;
        let request = Request::get(format!("{admin}/metrics")).body(Full::default()).unwrap();
        let answer = Raw::new(&admin).send(request).await;
        assert_eq!(answer.headers["content-type"], TEXT_FORMAT);
        let backend = server.uri();
        for line in [
            "http_server_responses_total{http_response_status_code=\"404\"} 1",
            "http_server_active_requests 0",
            "bartizan_refusals_total{error_type=\"unknown_session\"} 1",
            "bartizan_sessions 1",
            "bartizan_sessions_opened_total 1",
            &format!("bartizan_backend_state{{backend=\"{backend}\",state=\"ready\"}} 1"),
            &format!("bartizan_work_total{{backend=\"{backend}\",work=\"pinned\"}} 2"),
        ] {
            assert!(answer.text().lines().any(|one| one == line), "{line}: {}", answer.text());
        }
        assert!(!answer.text().contains(&id));

        let logins = Counter::default();
        logins.inc();
        let text = with_own(metrics, logins).unwrap();
        assert!(text.contains("\nlogins_total 1\n") && text.contains("\nbartizan_sessions 1\n"));
    }
}
