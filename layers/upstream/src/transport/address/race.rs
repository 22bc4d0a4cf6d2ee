//! Connection attempts that start one after the other, until one succeeds ([RFC 8305
//! §5](https://www.rfc-editor.org/rfc/rfc8305#section-5)).

use std::{convert::Infallible, future::Ready, net::SocketAddr, task, time::Duration};

use bartizan_core::failure::FailureKind;
use http::Uri;
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tower_service::Service;

use super::super::connector::ConnectError;

/// The head start of each address.
const HEAD_START: Duration = Duration::from_millis(300);

/// The results of the attempts.
pub(super) struct Outcome {
    pub(super) connected: Option<(SocketAddr, TokioIo<TcpStream>)>,
    pub(super) failures: Vec<(SocketAddr, FailureKind)>,
}

/// Connects to the first of `addresses` that connects before `deadline`.
///
/// Dropping this ends all attempts.
pub(super) async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Outcome {
    let mut attempts = JoinSet::new();
    let mut waiting = addresses.iter().copied();
    let mut silent = Vec::new();
    let mut failures = Vec::new();
    loop {
        if let Some(address) = waiting.next() {
            silent.push(address);
            attempts.spawn(attempt(address));
        }
        let now = Instant::now();
        let patience = if waiting.len() > 0 { deadline.min(now + HEAD_START) } else { deadline };
        match timeout_at(patience, attempts.join_next()).await {
            Ok(Some(Ok((address, Ok(io))))) => {
                return Outcome { connected: Some((address, io)), failures };
            }
            Ok(Some(Ok((address, Err(kind))))) => {
                silent.retain(|one| *one != address);
                failures.push((address, kind));
            }
            // The task panicked, or the runtime is ending.
            Ok(Some(Err(_))) => {}
            Ok(None) => return Outcome { connected: None, failures },
            Err(_) if Instant::now() < deadline => {}
            Err(_) => {
                let silent = silent.into_iter();
                failures.extend(silent.map(|address| (address, FailureKind::ConnectTimeout)));
                return Outcome { connected: None, failures };
            }
        }
    }
}

async fn attempt(address: SocketAddr) -> (SocketAddr, Result<TokioIo<TcpStream>, FailureKind>) {
    let mut tcp = HttpConnector::new_with_resolver(At(address));
    tcp.set_nodelay(true);
    // Requests would wait forever for a backend that vanished silently, and firewalls forget silent connections.
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp.set_keepalive_interval(Some(Duration::from_secs(15)));
    // Without a port, that of the address is used.
    let connected = tcp.call(Uri::from_static("http://backend")).await;
    (address, connected.map_err(|error| ConnectError::new(Box::new(error)).kind()))
}

/// Finds one address for any name.
#[derive(Clone, Copy)]
struct At(SocketAddr);

impl Service<Name> for At {
    type Response = std::option::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        std::future::ready(Ok(Some(self.0).into_iter()))
    }
}

#[cfg(test)]
mod tests {
    use bartizan_testkit::Silent;
    use socket2::SockRef;
    use tokio::net::TcpListener;

    use super::*;

    async fn live() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    async fn dead() -> SocketAddr {
        live().await.1
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test]
    async fn an_address_that_is_silent_leaves_time_for_the_next() {
        let silent = Silent::start().await;
        let (_listener, live) = live().await;
        let outcome = connect(&[silent.addr, dead().await, live], soon()).await;
        assert_eq!(outcome.connected.unwrap().0, live);
        assert_eq!(outcome.failures.len(), 1);
    }

    #[tokio::test]
    async fn each_address_has_its_own_failure() {
        let silent = Silent::start().await;
        let dead = dead().await;
        let outcome = connect(&[silent.addr, dead], soon()).await;
        assert!(outcome.connected.is_none());
        let timeout = FailureKind::ConnectTimeout;
        assert_eq!(outcome.failures, [(dead, FailureKind::Refused), (silent.addr, timeout)]);
    }

    /// Requests would wait forever for a backend that vanished silently.
    #[tokio::test]
    async fn a_connection_is_probed() {
        let (_listener, live) = live().await;
        let (_, stream) = connect(&[live], soon()).await.connected.unwrap();
        assert!(SockRef::from(stream.inner()).keepalive().unwrap());
        assert!(stream.inner().nodelay().unwrap());
    }
}
