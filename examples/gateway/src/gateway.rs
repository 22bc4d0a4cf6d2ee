//! The gateway: from options to a server that runs until it is told to stop.

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_layer::Layer;

use crate::{
    cli::Options,
    output::say,
    server::{self, Limits, admin},
    stack, store,
};

/// A gateway that holds its port: connections wait until it runs.
#[derive(Debug)]
pub(crate) struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    admin: Option<TcpListener>,
    options: Options,
}

impl Gateway {
    /// Takes the ports, and says so: whoever connects from now on is served.
    ///
    /// # Errors
    ///
    /// If a port cannot be had; the message names the address.
    pub(crate) async fn bind(options: Options) -> Result<Self, Box<dyn Error + Send + Sync>> {
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
        Ok(Self { listener, address, admin, options })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, and then until the calls in flight are finished.
    ///
    /// # Errors
    ///
    /// If the options cannot be had together.
    pub(crate) async fn run(
        self,
        stop: CancellationToken,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Self { listener, admin, options, .. } = self;
        let (store, store_answers) = store::open(&options)?;
        let name = stack::name(&options);
        let backends = stack::backends(&options);
        let stack = stack::stack(&options, name.clone(), store, backends.clone())?;
        let limits = Limits {
            body_bytes: options.max_body.get(),
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
        let is_ready = Arc::new(move || store_answers() && !leaves.is_cancelled());
        let upstream = stack::upstream(&options, name);
        if let Some(probe) = stack::probe(&options) {
            tokio::spawn(backends.probe(probe, upstream.clone()));
        }
        let service = stack.layer(upstream);
        if let Some(admin) = admin {
            tokio::spawn(admin::serve(admin, is_ready));
        }
        let (cut, _) = tokio::join!(server::serve(listener, service, limits, stop), ending);
        match cut {
            0 => tracing::info!("stopped"),
            cut => tracing::warn!("stopped; {cut} connections had not ended and were cut"),
        }
        Ok(())
    }
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
