//! The health check of a container, whose image contains no other program that could do it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;

use crate::output::say;

/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The gateway answers with one line that says what is missing.
const MAX_ANSWER_BYTES: usize = 4_096;

/// Asks the gateway at the admin address `admin` whether it is ready, and prints its answer.
pub(crate) async fn check(admin: SocketAddr) -> ExitCode {
    match timeout(PATIENCE, ask(reachable(admin))).await {
        Ok(Ok((is_ready, answer))) => {
            say(answer.trim_end());
            if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok(Err(error)) => {
            say(format_args!("no answer from {admin}: {error}"));
            ExitCode::FAILURE
        }
        Err(_) => {
            say(format_args!("no answer from {admin} within {} s", PATIENCE.as_secs()));
            ExitCode::FAILURE
        }
    }
}

/// The address at which this machine can reach a listener on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        address => address,
    }
}

async fn ask(
    address: SocketAddr,
) -> Result<(bool, String), Box<dyn std::error::Error + Send + Sync>> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let uri = Uri::try_from(format!("http://{address}/readyz"))?;
    let response = client.request(Request::get(uri).body(Empty::<Bytes>::new())?).await?;
    let is_ready = response.status().is_success();
    let answer = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await?;
    Ok((is_ready, String::from_utf8_lossy(&answer.to_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_asked_on_this_machine() {
        for (address, asked) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("10.0.0.1:9090", "10.0.0.1:9090"),
            ("[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(reachable(address.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
