//! The gateway: from options to a server that runs until it is told to stop.

use std::{error::Error, net::SocketAddr};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::Options,
    say,
    server::{self, Limits},
    stack,
};

/// A gateway that holds its port: connections wait until it runs.
#[derive(Debug)]
pub(crate) struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
}

impl Gateway {
    /// Takes the port, and says so: whoever connects from now on is served.
    ///
    /// # Errors
    ///
    /// If the port cannot be had; the message names the address.
    pub(crate) async fn bind(options: Options) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
        let address = listener.local_addr()?;
        say(announcement(address, &options));
        Ok(Self { listener, address, options })
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
        let Self { listener, options, .. } = self;
        let limits = Limits {
            body_bytes: options.max_body.get(),
            speaks_mcp: options.session_header.is_none(),
            ..Limits::default()
        };
        let service = stack::build(&options)?;
        let cut = server::serve(listener, service, limits, stop).await;
        match cut {
            0 => tracing::info!("stopped"),
            cut => tracing::warn!("stopped; {cut} connections had not ended and were cut"),
        }
        Ok(())
    }
}

fn announcement(address: SocketAddr, options: &Options) -> String {
    let backends = &options.backends;
    let ids: Vec<_> = backends.iter().map(|backend| backend.id().as_str()).collect();
    let noun = if ids.len() == 1 { "backend" } else { "backends" };
    format!("listening on http://{address}, {} {noun}: {}", ids.len(), ids.join(", "))
}
