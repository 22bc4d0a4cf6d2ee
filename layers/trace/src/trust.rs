//! Whose sampled flag decides.

use std::{fmt, sync::Arc};

use bartizan_core::{Passage, PeerAddr};
use http::Request;

/// Whose sampled flag decides.
#[derive(Clone, Default)]
pub(crate) enum Trust {
    /// That of a peer that a layer above trusts.
    #[default]
    AsAbove,
    /// Everyone's.
    All,
    /// That of such a peer.
    If(Arc<dyn Fn(&PeerAddr) -> bool + Send + Sync>),
}

impl Trust {
    pub(crate) fn includes<B>(&self, request: &Request<B>) -> bool {
        match self {
            // Where no layer has decided, nobody is known to be trusted.
            Self::AsAbove => Passage::of(request).and_then(Passage::trusts_peer) == Some(true),
            Self::All => true,
            Self::If(includes) => PeerAddr::of(request).is_some_and(|peer| includes(peer)),
        }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsAbove => "AsAbove",
            Self::All => "All",
            Self::If(_) => "If(..)",
        })
    }
}
