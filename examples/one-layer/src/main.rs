//! One layer alone: around a server in axum, or in plain hyper.

mod forwarded;
mod hops;
mod plain;
mod session;

use std::{env, error::Error, net::SocketAddr};

use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: session|forwarded|hops axum|hyper ADDRESS";
    let args: Vec<_> = env::args().skip(1).collect();
    let [layer, server, listen] = args.as_slice() else { return Err(usage.into()) };
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
        _ => return Err(usage.into()),
    }
    Ok(())
}
