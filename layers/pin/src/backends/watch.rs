//! A backend that could not be reached is tried in the background: once a second, until a connection can be made.
//!
//! Otherwise nothing would be known of the time between two requests. A session must not end because two of them met
//! a short outage each.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use bartizan_core::{Backend, UpstreamFailure, failure::FailureKind};
use tokio::{
    net::TcpStream,
    runtime::Handle,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use super::{
    set::{Backends, SharedSet},
    slot::Slot,
};

/// How often a connection is tried, and how long it may take.
const PERIOD: Duration = Duration::from_secs(1);

/// Tries a connection.
pub(super) type Connect = Arc<
    dyn Fn(&Backend) -> Pin<Box<dyn Future<Output = Result<(), FailureKind>> + Send>> + Send + Sync,
>;

impl Backends {
    /// Has `connect` try a backend that could not be reached: once a second, for one second, until it succeeds. A
    /// failure that is [`FailureKind::Refused`] is evidence that the server has ended, as that of a request is.
    /// Default: a TCP connection to its host and port, closed at once. Where a backend is named and `Upstream` forwards,
    /// give `Upstream::connect`: it knows to which address of the name the sessions belong.
    #[must_use]
    pub fn connect_by<F>(self, connect: impl Fn(&Backend) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), FailureKind>> + Send + 'static,
    {
        self.0.connect.store(Arc::new(boxed(connect)));
        self
    }

    /// Has `slot`, which could not be reached, tried in the background. Without a runtime, only requests try it.
    pub(super) fn watch(&self, slot: &Arc<Slot>) {
        if let Ok(runtime) = Handle::try_current()
            && slot.begin_watch()
        {
            runtime.spawn(watch(Arc::downgrade(&self.0), Arc::downgrade(slot)));
        }
    }
}

/// The default: a TCP connection, closed at once.
pub(super) fn by_tcp() -> Connect {
    boxed(|backend: &Backend| {
        let authority = backend.authority();
        let default_port = if backend.scheme().as_str() == "https" { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(default_port);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        async move {
            let connected = TcpStream::connect((host, port)).await;
            connected.map(drop).map_err(|error| kind_of(&error))
        }
    })
}

fn boxed<F>(connect: impl Fn(&Backend) -> F + Send + Sync + 'static) -> Connect
where
    F: Future<Output = Result<(), FailureKind>> + Send + 'static,
{
    Arc::new(move |backend| Box::pin(connect(backend)))
}

/// Errors that are clearly about the backend or the network. Others may be caused by this host.
fn kind_of(error: &io::Error) -> FailureKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureKind::Refused,
        io::ErrorKind::TimedOut => FailureKind::ConnectTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => FailureKind::NoRoute,
        _ => FailureKind::ConnectionLimit,
    }
}

/// Tries a backend until it can be reached, or it and its set are no more.
async fn watch(set: Weak<SharedSet>, slot: Weak<Slot>) {
    let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some((backends, slot)) = set.upgrade().map(Backends).zip(slot.upgrade()) else {
            return;
        };
        if slot.end_watch_unless_failing() {
            return;
        }
        let connect = Arc::clone(&backends.0.connect.load());
        let connected = timeout(PERIOD, connect(slot.backend())).await;
        match connected.unwrap_or(Err(FailureKind::ConnectTimeout)) {
            Ok(()) => Backends::connected(&slot),
            Err(kind) => backends.failed(&slot, UpstreamFailure::new(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_tried_by_tcp() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let backend: Backend = format!("http://{address}").parse().unwrap();
        let connect = by_tcp();
        assert_eq!(connect(&backend).await, Ok(()));
        drop(listener);
        assert_eq!(connect(&backend).await, Err(FailureKind::Refused));
        let named: Backend = format!("h2c://localhost:{}", address.port()).parse().unwrap();
        assert_eq!(connect(&named).await, Err(FailureKind::Refused));
        let v6: Backend = format!("http://[::1]:{}", address.port()).parse().unwrap();
        assert!(connect(&v6).await.is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_this_hosts_own_says_nothing() {
        for (code, kind) in [
            (111, FailureKind::Refused),        // ECONNREFUSED
            (110, FailureKind::ConnectTimeout), // ETIMEDOUT
            (113, FailureKind::NoRoute),        // EHOSTUNREACH
            (101, FailureKind::NoRoute),        // ENETUNREACH
            (99, FailureKind::ConnectionLimit), // EADDRNOTAVAIL
            (24, FailureKind::ConnectionLimit), // EMFILE
            (1, FailureKind::ConnectionLimit),  // EPERM
        ] {
            assert_eq!(kind_of(&io::Error::from_raw_os_error(code)), kind, "{code}");
        }
    }
}
