//! An axum application with routes and authentication of its own, and MCP servers behind one of its
//! routes.

use std::{env, error::Error, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use bartizan::{
    Backend, Principal, ReverseProxyStack, Shutdown, memory::MemoryStore, peer, pin::Backends,
    upstream::Upstream,
};
use tokio::net::TcpListener;
use tower_layer::Layer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let listen = args.next().ok_or("usage: ADDRESS BACKEND...")?;
    let backends = args.map(|uri| uri.parse()).collect::<Result<Vec<Backend>, _>>()?;
    let listener = TcpListener::bind(listen).await?;
    let (app, shutdown) = app(backends);
    serve(listener, app, shutdown, async {
        let _ = tokio::signal::ctrl_c().await;
    })
    .await?;
    Ok(())
}

/// Serves until `stop`, and then until the calls in flight are answered.
async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: Shutdown,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async move {
        stop.await;
        // A listening stream has no end of its own: axum would wait for it forever.
        shutdown.shut_down(Duration::from_secs(20)).await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stopped).await
}

/// The application: routes of its own, and the stack on `/mcp`.
fn app(backends: Vec<Backend>) -> (Router, Shutdown) {
    let stack = ReverseProxyStack::mcp(MemoryStore::new(), Backends::new(backends))
        // axum knows the address of the client: it is forwarded to the backend.
        .forwarded(|layer| layer.peer_from(peer::of_axum))
        // Sessions belong to the principal that it names.
        .auth(middleware::from_fn(authenticate));
    let shutdown = stack.shutdown();
    let app = Router::new()
        .route("/", get(async || "MCP servers are at /mcp"))
        .route("/healthz", get(async || "ok"))
        .route_service("/mcp", stack.layer(Upstream::builder().build()));
    (app, shutdown)
}

/// Lets known callers pass. A real application verifies a token here.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let Some(subject) = subject(request.headers()) else {
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")]).into_response();
    };
    // Issuer and subject, never the token: it changes in the course of a session.
    Principal::new("https://issuer.example", subject).attach(&mut request);
    next.run(request).await
}

fn subject(headers: &HeaderMap) -> Option<&'static str> {
    match headers.get(AUTHORIZATION)?.as_bytes() {
        b"Bearer token-of-alice" | b"Bearer next-token-of-alice" => Some("alice"),
        b"Bearer token-of-bob" => Some("bob"),
        _ => None,
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

    use super::*;

    async fn start(servers: &[CounterServer]) -> String {
        let backends = servers.iter().map(|server| server.uri().parse().unwrap()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (app, shutdown) = app(backends);
        let forever = std::future::pending();
        tokio::spawn(async move { serve(listener, app, shutdown, forever).await.unwrap() });
        format!("http://{address}")
    }

    async fn post(client: &Raw, token: &str, session: Option<&str>, body: &str) -> Answer {
        let request = client.request(Method::POST, session).header("authorization", token);
        client.send(request.body(Full::from(body.to_owned())).unwrap()).await
    }

    #[tokio::test]
    async fn sessions_belong_to_their_principals_and_the_other_routes_to_the_application() {
        let servers = CounterServer::start_many(2).await;
        let client = Raw::new(&start(&servers).await);
        let alice = "Bearer token-of-alice";
        let opened = post(&client, alice, None, INITIALIZE).await;
        let id = opened.session().unwrap();
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(post(&client, alice, Some(id), initialized).await.status, 202);
        let increment = call(1, "increment");
        for count in 1..=3 {
            assert_eq!(post(&client, alice, Some(id), &increment).await.count(), Some(count));
        }
        // A new token of the same principal goes on; another principal has no such session.
        let refreshed = post(&client, "Bearer next-token-of-alice", Some(id), &increment).await;
        assert_eq!(refreshed.count(), Some(4));
        let stolen = post(&client, "Bearer token-of-bob", Some(id), &increment).await;
        assert_eq!(stolen.status, 404);
        assert_eq!(post(&client, "Bearer unknown", Some(id), &increment).await.status, 401);
        assert_eq!(post(&client, alice, Some(id), &increment).await.count(), Some(5));
        let journal: Vec<_> = servers.iter().flat_map(CounterServer::journal).collect();
        assert!(journal.iter().all(|entry| entry.headers["x-forwarded-for"] == "127.0.0.1"));
    }

    #[tokio::test]
    async fn routes_beside_the_stack_need_no_token() {
        let origin = start(&CounterServer::start_many(1).await).await;
        let client = Raw::new(&origin);
        let request = http::Request::get(format!("{origin}/healthz")).body(Full::default());
        assert_eq!(client.send(request.unwrap()).await.text(), "ok");
    }
}
