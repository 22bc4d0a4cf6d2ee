//! The gateway: from options to a server that runs until the signal to stop.

use std::{error::Error, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use bartizan::{
    observe::Metrics, origin::GuardOriginLayer, pin::Backends, principal::NamePrincipalLayer,
    upstream::Upstream,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_layer::Layer;

use crate::{
    access_log::{AccessLog, NoteBackend},
    cli::Options,
    front, metrics, names,
    oauth::{PinOauthLayer, Pins},
    output::say,
    principal, readiness,
    server::{
        self, Limits, Listener, Records, ServerService, Tls, Workers, admin, descriptors,
        front::Front, shutdown::Stop,
    },
    stack::{self, Stack},
    store::{self, OpenStore, PinTable},
    traces::Traces,
};

/// How long to wait for the last lines of the access log, and for the last spans, at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// A gateway that holds its port: connections wait until it runs.
pub(crate) struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    admin: Option<TcpListener>,
    options: Options,
    backends: Backends,
    upstream: Upstream,
    store: OpenStore,
    stack: Stack,
    /// The layers that identify the caller and, if logins are pinned, find the backend of its
    /// login.
    login: Option<(NamePrincipalLayer, PinOauthLayer<PinTable>)>,
    access_log: Option<AccessLog>,
    metrics: Metrics,
    traces: Traces,
}

impl Gateway {
    /// Configures the layers, waits for the first answer of the store, binds the ports, and prints where it listens.
    /// Clients that connect from now on are served.
    ///
    /// From the start, the certificate is read again when `stop` reports a SIGHUP.
    ///
    /// # Errors
    ///
    /// If the options cannot be combined, the certificate cannot be used, or a port cannot be bound; the message names
    /// the address.
    pub(crate) async fn bind(
        options: Options,
        stop: &Stop,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let tls = match options.listener.certificate() {
            Some(files) => {
                // Before the files are read: they may change at any time from then on.
                let hangups = stop.hangups();
                let tls = Tls::new(files.read()?);
                tokio::spawn(files.reload(tls.clone(), hangups));
                Some(tls)
            }
            None => None,
        };
        let store = store::open(&options)?;
        let name = stack::name(&options);
        let upstream = stack::upstream(&options, name.clone());
        let backends = stack::backends(&options, &upstream);
        let stack = stack::stack(&options, name, store.table(), backends.clone())?;
        let metrics = metrics::metrics(&stack, &backends, &store);
        let login = match options.sessions.pin_oauth {
            true => {
                let pins = store::open_pins(&options)?;
                tokio::join!(store.ready(), store::ready(&pins));
                Some((principal::layer(&options)?, pin_oauth(&options, pins)))
            }
            false => {
                store.ready().await;
                None
            }
        };
        let session_header = options.sessions.session_header.as_ref();
        let access_log = options.logs.access_log.as_ref();
        let access_log = access_log.map(|to| AccessLog::open(to, session_header)).transpose()?;
        let traces = Traces::start(&options)?;
        metrics.watch(traces.requests().counts());
        let admin = match options.listener.admin {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let listener = listen(options.listener.listen).await?;
        let address = listener.local_addr()?;
        if let Some(admin) = &admin {
            say(format!("admin on http://{}", admin.local_addr()?));
        }
        say(announcement(address, &options));
        principal::warn_if_none(&options, address);
        Ok(Self {
            listener,
            address,
            tls,
            admin,
            options,
            backends,
            upstream,
            store,
            stack,
            login,
            access_log,
            metrics,
            traces,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, then finishes the calls in flight. Returns how many calls were cut, by their connections
    /// and by their event streams. The workers serve client connections; everything else runs on the current runtime.
    ///
    /// # Errors
    ///
    /// If the workers cannot be started.
    pub(crate) async fn run(self, stop: Stop) -> Result<usize, Box<dyn Error + Send + Sync>> {
        let Self {
            listener,
            tls,
            admin,
            options,
            backends,
            upstream,
            store,
            stack,
            login,
            access_log,
            metrics,
            traces,
            ..
        } = self;
        let room = descriptors::raise(options.listener.workers().get());
        if let Some(warning) = options.listener.too_many_connections(room) {
            tracing::warn!("{warning}");
        }
        let limits = Limits {
            body_bytes: options.listener.max_body.get(),
            stall: options.listener.stall_timeout,
            connections: options.listener.max_connections(room),
            proxies: stack::proxies(&options),
            speaks_mcp: options.sessions.session_header.is_none(),
            drain: options.listener.shutdown_timeout.saturating_sub(options.listener.drain_delay),
            ..Limits::default()
        };
        let shutdown = stack.shutdown();
        // The remaining event streams end properly, before their connections are cut.
        let grace = limits.drain.saturating_sub(Duration::from_secs(1).min(limits.drain / 2));
        let closing = stop.closing();
        let ending = async {
            closing.cancelled().await;
            shutdown.shut_down(grace).await
        };
        if let Some(probe) = stack::probe(&options) {
            tokio::spawn(backends.clone().probe(probe, upstream.clone()));
        }
        if let Some(admin) = admin {
            let guard = stack::origin(GuardOriginLayer::new(), &options);
            let watch = readiness::Watch::new(store, backends, stop.clone());
            tokio::spawn(watch.clone().wait(upstream.clone(), options.upstream.connect_timeout));
            let readiness = Arc::new(move || watch.now());
            tokio::spawn(admin::serve(admin, guard, readiness, metrics.clone()));
        }
        let listener = Listener::new(listener, tls);
        tokio::spawn(names::check(options.upstream.backends.clone()));
        let front = front::front(&options);
        let count = options.listener.workers();
        let is_logged = access_log.is_some();
        // Without that port, nobody could read the metrics.
        let is_counted = options.listener.admin.is_some();
        let (counting, tracing) = (metrics.backends().only_if(is_counted), traces.tries());
        // Directly around the service that forwards: each try counts, and has a span.
        let upstream = || {
            let noting = NoteBackend::new(upstream.for_worker(), is_logged);
            counting.layer(tracing.layer(noting))
        };
        let edge = metrics.edge().only_if(is_counted);
        let records = Records { access_log: access_log.clone(), edge };
        // Two types, so that layers which are off cost nothing.
        let closing = stop.closing();
        let (connections, streams) = if let Some(login) = login {
            let stack = stack.auth(login);
            let workers = start(count, || traces.requests().layer(stack.layer(upstream())))?;
            serve(workers, listener, limits, front, records, closing, ending).await
        } else {
            let workers = start(count, || traces.requests().layer(stack.layer(upstream())))?;
            serve(workers, listener, limits, front, records, closing, ending).await
        };
        match (connections, streams) {
            (0, 0) => tracing::info!("stopped"),
            _ => tracing::warn!(
                "stopped: calls were cut, {connections} with their connection and {streams} in an event stream"
            ),
        }
        if let Some(log) = access_log {
            let _ = tokio::task::spawn_blocking(move || log.flush(FLUSH)).await;
        }
        traces.flush(FLUSH).await;
        Ok(connections + streams)
    }
}

fn pin_oauth(options: &Options, pins: PinTable) -> PinOauthLayer<PinTable> {
    PinOauthLayer(Pins::new(pins, &options.upstream.backends, options.store.route.clone()))
}

fn start<S>(count: NonZeroUsize, service: impl Fn() -> S) -> Result<Workers<S>, String> {
    Workers::start(count, service)
        .map_err(|error| format!("--workers: cannot start {count} threads: {error}"))
}

/// Serves with `workers` until `closing`, and ends them. Returns how many connections were cut, and what `ending` returns.
async fn serve(
    workers: Workers<impl ServerService>,
    listener: Listener,
    limits: Limits,
    front: Option<Front>,
    records: Records,
    closing: CancellationToken,
    ending: impl Future<Output = usize>,
) -> (usize, usize) {
    let serving = server::serve(listener, &workers, limits, front, records, closing);
    let cut = tokio::join!(serving, ending);
    workers.end().await;
    cut
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Box<dyn Error + Send + Sync>> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| format!("cannot listen on {address}: {error}").into())
}

fn announcement(address: SocketAddr, options: &Options) -> String {
    let backends = &options.upstream.backends;
    let ids: Vec<_> = backends.iter().map(|backend| backend.id().as_str()).collect();
    let noun = if ids.len() == 1 { "backend" } else { "backends" };
    let scheme = if options.listener.certificate().is_some() { "https" } else { "http" };
    format!("listening on {scheme}://{address}, {} {noun}: {}", ids.len(), ids.join(", "))
}
