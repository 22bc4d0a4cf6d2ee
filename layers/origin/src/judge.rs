//! Whether a request that a browser sent is allowed. Pure.

use bartizan_core::Reason;

use crate::{
    authority::Host,
    config::Rules,
    origin::{Origin, Stated},
    seen::Seen,
};

/// Judges what was `seen` of a request: first the host, then the origin.
pub(crate) fn judge(rules: &Rules, seen: &Seen<'_>) -> Result<(), Reason> {
    if !rules.allow_host(seen) {
        return Err(Reason::HostNotAllowed);
    }
    match &seen.origin {
        Stated::Nothing => Ok(()),
        Stated::One(origin) if rules.allow_origin(origin, seen) => Ok(()),
        Stated::One(_) | Stated::NoOrigin => Err(Reason::OriginNotAllowed),
    }
}

impl Rules {
    fn allow_host(&self, seen: &Seen<'_>) -> bool {
        let is_listeners = match seen.host {
            // No DNS is involved: the browser used an address of this machine.
            Host::Ip(ip) => {
                seen.local == Some(ip)
                    || self.listeners.iter().any(|own| *own == ip || own.is_unspecified())
            }
            Host::Name(_) => false,
        };
        seen.host.is_loopback()
            || is_listeners
            || self.hosts.iter().any(|allowed| allowed.is(seen.host, seen.port))
    }

    fn allow_origin(&self, origin: &Origin<'_>, seen: &Seen<'_>) -> bool {
        let own = Origin { scheme: seen.scheme, host: seen.host, port: Some(seen.port) };
        *origin == own
            || (seen.is_client_local && origin.is_loopback())
            || self.origins.iter().any(|allowed| allowed.is(origin))
    }
}
