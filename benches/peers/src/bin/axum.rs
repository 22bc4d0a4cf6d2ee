//! axum-reverse-proxy, keeping sessions: one of its proxies per backend, and a table.
//!
//! Its client keeps at most 32 idle connections per backend, as by default.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use axum_reverse_proxy::ReverseProxy;
use bartizan_peers::{SESSION, Sessions, addresses};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::net::TcpListener;

type Proxies = Arc<Sessions<ReverseProxy<HttpConnector>>>;

#[tokio::main]
async fn main() {
    let (listen, backends) = addresses();
    let proxy = |address: &String| ReverseProxy::new("/", format!("http://{address}"));
    let proxies = Arc::new(Sessions::new(backends.iter().map(proxy).collect()));
    let app = Router::new().fallback(forward).with_state(proxies);
    let listener = TcpListener::bind(listen).await.expect("the address is free");
    axum::serve(listener, app).await.expect("the listener accepts");
}

async fn forward(State(proxies): State<Proxies>, request: Request) -> Response<Body> {
    let id = request.headers().get(SESSION);
    let backend = proxies.choose(id.map(|id| id.as_bytes()));
    let Ok(response) = proxies.backend(backend).proxy_request(request).await;
    proxies.learn(response.headers().get(SESSION).map(|id| id.as_bytes()), backend);
    response
}
