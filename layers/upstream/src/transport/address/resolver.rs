//! Name resolution.

use std::{fmt, io, net::SocketAddr};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower_service::Service;

/// Looks names up.
#[derive(Clone)]
pub(in super::super) enum Resolver {
    /// By the system: hosts file, DNS, and whatever else it is configured to ask.
    System,
    #[cfg(test)]
    Scripted(super::tests::Script),
}

impl Resolver {
    /// The addresses of `host`, with port 0.
    pub(super) async fn look_up(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::System => {
                let name = host.parse::<Name>().map_err(io::Error::other)?;
                Ok(GaiResolver::new().call(name).await?.collect())
            }
            #[cfg(test)]
            Self::Scripted(script) => script(host).await,
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
