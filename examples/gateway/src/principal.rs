//! The owner of a session: the layer for the option `--principal`, and a warning if there is none.

use std::{error::Error, net::SocketAddr};

use bartizan::principal::NamePrincipalLayer;

use crate::cli::{Options, Principal};

/// The layer that identifies callers.
///
/// # Errors
///
/// If a proxy must name the callers, but no proxy is trusted.
pub(crate) fn layer(options: &Options) -> Result<NamePrincipalLayer, Box<dyn Error + Send + Sync>> {
    Ok(match &options.sessions.principal {
        Principal::None => NamePrincipalLayer::none(),
        Principal::Jwt => NamePrincipalLayer::jwt(),
        Principal::Authorization => NamePrincipalLayer::authorization(),
        Principal::Header(name) => {
            if options.proxies.trust.is_empty() && options.proxies.trust_count.is_none() {
                let message = format!(
                    "--principal header:{name} needs trusted proxies that set the field: --trust or --trust-count"
                );
                return Err(message.into());
            }
            NamePrincipalLayer::header(name.clone())?
        }
    })
}

/// Warns if sessions have no owner and other hosts can reach `address`.
pub(crate) fn warn_if_none(options: &Options, address: SocketAddr) {
    if options.sessions.principal == Principal::None && !address.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "sessions have no owner: a client that learns another client's session id can use that session; \
             set --principal jwt, or authorization for opaque tokens, if the backends verify the token of each \
             request, or header:NAME behind a proxy that authenticates clients"
        );
    }
}
