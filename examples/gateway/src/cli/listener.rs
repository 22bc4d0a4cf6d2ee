//! Where the gateway listens, and the limits for each client.

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, thread, time::Duration};

use clap::Args;

use crate::certificates::CertificateFiles;

use super::values::{self, Limit};

/// Where the gateway listens, and the limits for each client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listener")]
pub(crate) struct ListenerOptions {
    /// Address and port to listen on; port 0 picks a free one
    #[arg(
        long,
        env = "BARTIZAN_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        value_parser = values::socket_addr
    )]
    pub(crate) listen: SocketAddr,

    /// PEM file with the certificate to serve HTTPS with, followed by those of its issuers. TLS 1.2 and 1.3, HTTP/2
    /// and HTTP/1.1 by ALPN. SIGHUP reads the file again, for new connections. By default the port speaks plain
    /// HTTP; --admin always does
    #[arg(long, env = "BARTIZAN_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// PEM file with the private key of --tls-cert, without a passphrase; SIGHUP reads it again, too
    #[arg(long, env = "BARTIZAN_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Address and port for /healthz (200 while the process runs), /readyz (503 until the store and the backends have
    /// been reachable once, and during a shutdown; otherwise 200, with what is missing) and /metrics (for Prometheus).
    /// Clients must not reach it. Off by default
    #[arg(long, env = "BARTIZAN_ADMIN", value_name = "ADDR", value_parser = values::socket_addr)]
    pub(crate) admin: Option<SocketAddr>,

    /// Maximum number of client connections. At the limit, the connection that has been idle the longest is closed
    /// for a new one; if none is idle, the new one waits. A websocket is never idle. By default (L - 32 - 4 * (W - 1)) / 2, where L is the
    /// limit of file descriptors (ulimit -Hn) and W is --workers: a call also needs a connection to its backend
    #[arg(
        long,
        env = "BARTIZAN_MAX_CONNECTIONS",
        value_name = "N",
        value_parser = values::count
    )]
    pub(crate) max_connections: Option<NonZeroUsize>,

    /// Number of threads that serve clients. Each has its own event loop and its own connections to the backends; a new
    /// client goes to the thread with the fewest connections. By default one for each CPU that the process may use
    #[arg(long, env = "BARTIZAN_WORKERS", value_name = "N", value_parser = values::count)]
    pub(crate) workers: Option<NonZeroUsize>,

    /// Maximum size of a request body, such as 65536, 10MiB or 1GB, or none; a larger one is refused with
    /// 413
    #[arg(
        long,
        env = "BARTIZAN_MAX_BODY",
        value_name = "BYTES|none",
        default_value = "none",
        value_parser = values::bytes_or_none
    )]
    pub(crate) max_body: Limit<u64>,

    /// How long a client may stop reading a response, or a backend a request, before it has all of it; then the
    /// connection is closed, or the HTTP/2 stream is reset. Silent event streams are not affected
    #[arg(
        long,
        env = "BARTIZAN_STALL_TIMEOUT",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = values::duration
    )]
    pub(crate) stall_timeout: Duration,

    /// How long a shutdown may take in total: the drain delay, then the calls in flight. Calls that are
    /// still unfinished are cut, and the exit status is 1
    #[arg(
        long,
        env = "BARTIZAN_SHUTDOWN_TIMEOUT",
        value_name = "DURATION",
        default_value = "25s",
        value_parser = values::duration
    )]
    pub(crate) shutdown_timeout: Duration,

    /// How long to keep accepting connections after SIGTERM while /readyz is already 503, so that load
    /// balancers stop sending requests before the port closes, or 0s
    #[arg(
        long,
        env = "BARTIZAN_DRAIN_DELAY",
        value_name = "DURATION",
        default_value = "3s",
        value_parser = values::duration_or_zero
    )]
    pub(crate) drain_delay: Duration,
}

impl ListenerOptions {
    /// The certificate files, if the port serves HTTPS.
    pub(crate) fn certificate(&self) -> Option<CertificateFiles> {
        let (cert, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(CertificateFiles { cert, key })
    }

    /// How many threads serve clients.
    pub(crate) fn workers(&self) -> NonZeroUsize {
        // If the number of CPUs cannot be determined, one thread serves all connections.
        let cpus = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.workers.unwrap_or_else(cpus)
    }

    /// How many client connections there may be at once, if the file descriptors have `room` for so many.
    pub(crate) fn max_connections(&self, room: usize) -> usize {
        self.max_connections.map_or(room, NonZeroUsize::get)
    }

    /// What to warn of, if they have `room` for fewer.
    pub(crate) fn too_many_connections(&self, room: usize) -> Option<String> {
        let max = self.max_connections.filter(|max| max.get() > room)?;
        Some(format!(
            "--max-connections={max}: the limit of file descriptors (ulimit -Hn) has room for {room}, each with one to a backend"
        ))
    }
}
