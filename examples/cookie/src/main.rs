//! Stateful web servers behind a proxy that uses a cookie to keep each client on one of them.

use std::{
    env,
    error::Error,
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

use axum::Router;
use bartizan::{
    Backend,
    forwarded::{SanitizeForwardedLayer, TrustedPeers},
    peer,
    pin::{AffinityCookie, Backends, PinBackendLayer},
    upstream::Upstream,
};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let listen = args.next().ok_or("usage: COOKIE_SECRET=... ADDRESS BACKEND...")?;
    let backends = args.map(|uri| uri.parse()).collect::<Result<Vec<Backend>, _>>()?;
    // The same in every replica, and after a restart.
    let secret = env::var("COOKIE_SECRET")
        .map_err(|_| "set COOKIE_SECRET to 16 random characters or more")?;
    let app = app(backends, secret.as_bytes())?;
    let listener = TcpListener::bind(listen).await?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// The proxy.
fn app(backends: Vec<Backend>, secret: &[u8]) -> Result<Router, Box<dyn Error>> {
    let cookie =
        AffinityCookie::new(secret)?.name("backend")?.max_age(Duration::from_secs(24 * 60 * 60))?;
    let proxy = ServiceBuilder::new()
        // Behind a load balancer on this host that ends TLS, the cookie gets the attribute `Secure`.
        .layer(
            SanitizeForwardedLayer::new()
                .peer_from(peer::of_axum)
                .trust(TrustedPeers::networks(["127.0.0.0/8".parse()?])),
        )
        .layer(PinBackendLayer::new(Backends::new(backends)).affinity(cookie))
        .service(Upstream::builder().build());
    Ok(Router::new().fallback_service(proxy))
}
