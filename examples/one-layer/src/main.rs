//! One layer alone: around a server in axum, or in plain hyper.

mod forwarded;
mod hops;
mod pin;
mod plain;
mod session;

use std::{env, error::Error, net::SocketAddr};

use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: session|forwarded|hops|pin axum|hyper ADDRESS [BACKEND...]";
    let args: Vec<_> = env::args().skip(1).collect();
    let [layer, server, listen, backends @ ..] = args.as_slice() else { return Err(usage.into()) };
    let listener = TcpListener::bind(listen).await?;
    match (layer.as_str(), server.as_str()) {
        ("session", "axum") => axum::serve(listener, session::app()).await?,
        ("forwarded", "axum") => {
            let app = forwarded::app();
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
        }
        ("hops", "axum") => axum::serve(listener, hops::app()).await?,
        ("forwarded", "hyper") => plain::serve(listener, forwarded::service()).await?,
        ("hops", "hyper") => plain::serve(listener, hops::service()).await?,
        ("pin", "axum") => axum::serve(listener, pin::app(backends)?).await?,
        ("pin", "hyper") => plain::serve(listener, pin::service(backends)?).await?,
        _ => return Err(usage.into()),
    }
    Ok(())
}
