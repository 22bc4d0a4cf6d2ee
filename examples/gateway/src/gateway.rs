//! The gateway: from options to a server that runs until it is told to stop.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use bartizan::{pin::Backends, principal::NamePrincipalLayer, upstream::Upstream};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_layer::Layer;

use crate::{
    cli::Options,
    names,
    oauth::{PinOauthLayer, Pins},
    output::say,
    principal,
    server::{self, Limits, admin},
    stack::{self, Stack},
    store::{self, OpenStore, PinTable},
};

/// A gateway that holds its port: connections wait until it runs.
pub(crate) struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    admin: Option<TcpListener>,
    options: Options,
    backends: Backends,
    upstream: Upstream,
    store: OpenStore,
    stack: Stack,
    /// Who calls, and where his login is, if logins are kept together.
    login: Option<(NamePrincipalLayer, PinOauthLayer<PinTable>)>,
}

impl Gateway {
    /// Configures the layers, waits for the first answer of the store, takes the ports, and says so: whoever connects
    /// from now on is served.
    ///
    /// # Errors
    ///
    /// If the options cannot be had together, or a port cannot be had; the message names the address.
    pub(crate) async fn bind(options: Options) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let store = store::open(&options)?;
        let name = stack::name(&options);
        let upstream = stack::upstream(&options, name.clone());
        let backends = stack::backends(&options, &upstream);
        let stack = stack::stack(&options, name, store.table(), backends.clone())?;
        let login = match options.pin_oauth {
            true => Some((principal::layer(&options)?, pin_oauth(&options)?)),
            false => None,
        };
        store.ready().await;
        let admin = match options.admin {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let listener = listen(options.listen).await?;
        let address = listener.local_addr()?;
        if let Some(admin) = &admin {
            say(format!("admin on http://{}", admin.local_addr()?));
        }
        say(announcement(address, &options));
        principal::warn_if_none(&options, address);
        Ok(Self { listener, address, admin, options, backends, upstream, store, stack, login })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, and then until the calls in flight are finished.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Self { listener, admin, options, backends, upstream, store, stack, login, .. } = self;
        let limits = Limits {
            body_bytes: options.max_body.get(),
            stall: options.stall_timeout,
            connections: options.max_connections(),
            proxies: stack::proxies(&options),
            speaks_mcp: options.session_header.is_none(),
            ..Limits::default()
        };
        let shutdown = stack.shutdown();
        // Those that are left end in good order, before their connections are cut.
        let grace = limits.drain.saturating_sub(Duration::from_secs(1));
        let stopping = stop.clone();
        let ending = async {
            stopping.cancelled().await;
            shutdown.shut_down(grace).await;
        };
        let leaves = stop.clone();
        let is_ready = Arc::new(move || store.answers() && !leaves.is_cancelled());
        if let Some(probe) = stack::probe(&options) {
            tokio::spawn(backends.probe(probe, upstream.clone()));
        }
        if let Some(admin) = admin {
            tokio::spawn(admin::serve(admin, is_ready));
        }
        tokio::spawn(names::check(options.backends.clone()));
        // Two types: what is off costs nothing.
        let cut = if let Some(login) = login {
            let service = stack.auth(login).layer(upstream);
            tokio::join!(server::serve(listener, service, limits, stop), ending).0
        } else {
            let service = stack.layer(upstream);
            tokio::join!(server::serve(listener, service, limits, stop), ending).0
        };
        match cut {
            0 => tracing::info!("stopped"),
            cut => tracing::warn!("stopped; {cut} connections were still open and were cut"),
        }
    }
}

fn pin_oauth(options: &Options) -> Result<PinOauthLayer<PinTable>, Box<dyn Error + Send + Sync>> {
    let store = store::open_pins(options)?;
    Ok(PinOauthLayer(Pins::new(store, &options.backends, options.route.clone())))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Box<dyn Error + Send + Sync>> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| format!("cannot listen on {address}: {error}").into())
}

fn announcement(address: SocketAddr, options: &Options) -> String {
    let backends = &options.backends;
    let ids: Vec<_> = backends.iter().map(|backend| backend.id().as_str()).collect();
    let noun = if ids.len() == 1 { "backend" } else { "backends" };
    format!("listening on http://{address}, {} {noun}: {}", ids.len(), ids.join(", "))
}
