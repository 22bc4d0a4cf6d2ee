//! Configuration of [`StripHopByHop`] services.

use std::sync::Arc;

use tower_layer::Layer;

use super::StripHopByHop;

/// Builds [`StripHopByHop`] services, which strip hop-by-hop fields from requests, responses and trailers
/// ([RFC 9110 §7.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1)).
///
/// | on arrival | outcome | inner service called? |
/// |---|---|---|
/// | `Connection` names a protected field, or something that is not a field name | 400 | no |
/// | fields that `Connection` names; `Keep-Alive`, `Proxy-*`, `TE`, `Transfer-Encoding`, `Upgrade` | removed | yes |
/// | `TE: trailers` | written again | yes |
/// | `Upgrade`, named in `Connection`, to a protocol that is relayed | written again | yes |
/// | trailers that `Connection` names, or that frame, route or authenticate | removed | yes |
///
/// It belongs directly above the client. `bartizan-upstream` does the same itself.
#[must_use]
#[derive(Clone, Debug, Default)]
pub struct StripHopByHopLayer {
    relayed: Vec<Box<str>>,
}

impl StripHopByHopLayer {
    /// Strips hop-by-hop fields, and does not relay upgrades.
    pub fn new() -> Self {
        Self::default()
    }

    /// The protocols that clients may upgrade to, if the inner service supports that. Default: none.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_the_name_of_the_layer() {
        let layer = StripHopByHopLayer::new();
        assert_eq!(format!("{layer:?}"), "StripHopByHopLayer { relayed: [] }");
        assert_eq!(format!("{:?}", layer.layer(())), "StripHopByHop { inner: (), relayed: [] }");
    }
}
