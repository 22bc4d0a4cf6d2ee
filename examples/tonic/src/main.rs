//! A stateful gRPC service behind a proxy that pins sessions by metadata.

mod counter;
mod proxy;

use std::{env, error::Error};

use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    const USAGE: &str = "usage: counter ADDRESS | proxy ADDRESS BACKEND...";
    let mut args = env::args().skip(1);
    let (role, listen) = (args.next().ok_or(USAGE)?, args.next().ok_or(USAGE)?);
    let listener = TcpListener::bind(listen).await?;
    match role.as_str() {
        "counter" => counter::serve(listener).await?,
        "proxy" => {
            let backends = args.map(|uri| uri.parse()).collect::<Result<Vec<_>, _>>()?;
            proxy::serve(listener, backends).await?;
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
