//! An axum application with its own routes and authentication, MCP servers behind one of its routes, and tower-http's
//! layers around everything.

use std::{env, error::Error, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{AUTHORIZATION, COOKIE, WWW_AUTHENTICATE},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use bartizan::{
    Backend, Principal, ReverseProxyStack, Shutdown, core::mcp, memory::MemoryStore,
    origin::AllowedOrigin, peer, pin::Backends, upstream::Upstream,
};
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowMethods, CorsLayer},
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    sensitive_headers::SetSensitiveHeadersLayer,
    timeout::TimeoutLayer,
    trace::TraceLayer,
};
use tower_layer::Layer;

/// The web application whose pages may call this server.
const APP: &str = "https://app.example";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let listen = args.next().ok_or("usage: ADDRESS BACKEND...")?;
    let backends = args.map(|uri| uri.parse()).collect::<Result<Vec<Backend>, _>>()?;
    let listener = TcpListener::bind(listen).await?;
    let (app, shutdown) = app(backends, listener.local_addr()?)?;
    serve(listener, app, shutdown, async {
        let _ = tokio::signal::ctrl_c().await;
    })
    .await?;
    Ok(())
}

/// Serves until `stop`, then finishes the calls in flight.
async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: Shutdown,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let stopped = async move {
        stop.await;
        // An event stream does not end by itself, so axum's graceful shutdown would wait for it
        // forever.
        shutdown.shut_down(Duration::from_secs(20)).await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stopped).await
}

/// The application, which listens on `address`: its own routes, and the stack on `/mcp`.
fn app(backends: Vec<Backend>, address: SocketAddr) -> Result<(Router, Shutdown), Box<dyn Error>> {
    let allowed: AllowedOrigin = APP.parse()?;
    let stack = ReverseProxyStack::mcp(MemoryStore::new(), Backends::new(backends))
        // axum knows the address of the client: it is forwarded to the backend.
        .forwarded(|layer| layer.peer_from(peer::of_axum))
        // Browsers may address the server by that address, and pages of the web application may
        // call it.
        .origin(|layer| layer.listener(address).allow_origin(allowed))
        // Sessions belong to the principal that `authenticate` attaches.
        .auth(middleware::from_fn(authenticate));
    let shutdown = stack.shutdown();
    let own = Router::new()
        .route("/", get(async || "MCP servers are at /mcp"))
        .route("/healthz", get(async || "ok"))
        // A timeout on the application's own routes only: MCP calls may take long, and event streams do not end.
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            Duration::from_secs(10),
        ));
    // The layers around all routes, from the outermost to the innermost.
    let around = ServiceBuilder::new()
        // First, so that nothing below prints credentials or session ids.
        .layer(SetSensitiveHeadersLayer::new([AUTHORIZATION, COOKIE, mcp::SESSION_ID.clone()]))
        // Otherwise an id that a client made up would be in every log. Behind a proxy that sets ids, leave this out.
        .map_request(|mut request: Request| {
            request.headers_mut().remove(REQUEST_ID);
            request
        })
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        // Below the id and above whatever responds, so that it sees every response.
        .layer(TraceLayer::new_for_http())
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        // Above the stack: pages must also be able to read its refusals, and the response to a panic.
        .layer(cors()?)
        // Innermost, so that its response passes all of the above.
        .layer(CatchPanicLayer::new());
    let app = own.route_service("/mcp", stack.layer(Upstream::builder().build())).layer(around);
    Ok((app, shutdown))
}

/// Lets pages of the web application read responses and the header fields that they need.
fn cors() -> Result<CorsLayer, Box<dyn Error>> {
    let exposed =
        [mcp::SESSION_ID.clone(), mcp::PROTOCOL_VERSION.clone(), WWW_AUTHENTICATE, REQUEST_ID];
    Ok(CorsLayer::new()
        .allow_origin(APP.parse::<HeaderValue>()?)
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed))
}

/// Lets known callers through. A real application verifies a token here.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let Some(subject) = subject(request.headers()) else {
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")]).into_response();
    };
    // Issuer and subject, never the token, because a token may be replaced during a session.
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
        let (app, shutdown) = app(backends, address).unwrap();
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
        // A new token of the same principal continues the session; to another principal, the
        // session is unknown.
        let refreshed = post(&client, "Bearer next-token-of-alice", Some(id), &increment).await;
        assert_eq!(refreshed.count(), Some(4));
        let stolen = post(&client, "Bearer token-of-bob", Some(id), &increment).await;
        assert_eq!(stolen.status, 404);
        assert_eq!(post(&client, "Bearer unknown", Some(id), &increment).await.status, 401);
        assert_eq!(post(&client, alice, Some(id), &increment).await.count(), Some(5));
        let journal: Vec<_> = servers.iter().flat_map(CounterServer::journal).collect();
        assert!(journal.iter().all(|entry| entry.headers["x-forwarded-for"] == "127.0.0.1"));
    }

    /// The response to `request`, sent without credentials by a page of `origin`.
    async fn page(origin: &str, request: http::request::Builder) -> Answer {
        let client = Raw::new(origin);
        let request = request.header("origin", APP).header("x-request-id", "made-up");
        client.send(request.body(Full::default()).unwrap()).await
    }

    #[tokio::test]
    async fn a_page_of_the_web_application_reads_every_response() {
        let servers = CounterServer::start_many(1).await;
        let origin = start(&servers).await;
        let mcp = format!("{origin}/mcp");
        let preflight = http::Request::options(&mcp)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "mcp-session-id");
        let preflight = page(&origin, preflight).await;
        assert_eq!(preflight.status, 200);
        assert_eq!(preflight.headers["access-control-allow-headers"], "mcp-session-id");
        let unauthorized = page(&origin, http::Request::post(&mcp)).await;
        assert_eq!(unauthorized.status, 401);
        for answer in [&preflight, &unauthorized] {
            assert_eq!(answer.headers["access-control-allow-origin"], APP);
            let id = answer.headers["x-request-id"].to_str().unwrap();
            assert!(id.len() == 36 && id != "made-up", "{id}");
        }
        let client = Raw::new(&origin);
        let evil = client.request(Method::POST, None).header("origin", "https://evil.example");
        let refused = client.send(evil.body(Full::default()).unwrap()).await;
        assert_eq!(refused.status, 403);
        assert!(servers[0].journal().is_empty());
    }

    #[tokio::test]
    async fn routes_beside_the_stack_need_no_token() {
        let origin = start(&CounterServer::start_many(1).await).await;
        let client = Raw::new(&origin);
        let request = http::Request::get(format!("{origin}/healthz")).body(Full::default());
        assert_eq!(client.send(request.unwrap()).await.text(), "ok");
    }
}
