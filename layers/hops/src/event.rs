//! One event per refusal, behind the feature `tracing`.

use crate::{config::Config, verdict::Refused};

/// Reports that the proxy with this `config` refused a request, and why: the signal, the name or id in it, and the
/// number with its limit.
#[cfg(feature = "tracing")]
pub(crate) fn refused(config: &Config, refused: Refused) {
    use crate::verdict::Signal;

    let Refused { reason, signal } = refused;
    let seen = match signal {
        Signal::OwnName { .. } => Some(config.name.as_str()),
        Signal::OwnId { .. } => config.cdn_loop.as_ref().map(|own| own.id.as_str()),
        _ => None,
    };
    tracing::debug!(
        target: "bartizan::hops",
        ?reason,
        proxy = config.name.as_str(),
        signal = signal.name(),
        seen,
        count = signal.count(),
        limit = signal.limit(),
        "refused"
    );
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn refused(_: &Config, _: Refused) {}
