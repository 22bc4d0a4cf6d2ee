//! Configuration of [`StripHopByHop`] services.

use std::sync::Arc;

use tower_layer::Layer;

use super::StripHopByHop;

/// Builds [`StripHopByHop`] services, which strip the fields of one hop from requests, responses and
/// trailers ([RFC 9110 §7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
///
/// | on arrival | outcome | inner service called? |
/// |---|---|---|
/// | `Connection` nominates a field that somebody relies on, or no field name | 400 | no |
/// | fields that `Connection` nominates; `Keep-Alive`, `Proxy-*`, `TE`, `Transfer-Encoding`, `Upgrade` | removed | yes |
/// | `TE: trailers` | asked for anew | yes |
/// | `Upgrade`, nominated, to a protocol that is relayed | asked for anew | yes |
/// | trailers that `Connection` nominates, or that frame, route or authenticate | removed | yes |
///
/// It belongs right above the client. `bartizan-upstream` does the same itself.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct StripHopByHopLayer {
    relayed: Vec<Box<str>>,
}

impl StripHopByHopLayer {
    /// Strips, and relays no change of protocol.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says which protocols a client may change to, where the client inside can do that. Default: none.
    pub fn upgrades<'a>(mut self, protocols: impl IntoIterator<Item = &'a str>) -> Self {
        self.relayed = protocols.into_iter().map(Into::into).collect();
        self
    }
}

impl<S> Layer<S> for StripHopByHopLayer {
    type Service = StripHopByHop<S>;

    fn layer(&self, inner: S) -> StripHopByHop<S> {
        StripHopByHop::new(inner, Arc::from(self.relayed.as_slice()))
    }
}
