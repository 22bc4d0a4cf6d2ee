//! Configuration of [`LimitHops`] services.

use std::{num::NonZeroU32, sync::Arc};

use bartizan_core::{Dialect, ProxyName};
use tower_layer::Layer;

use crate::{
    LimitHops,
    cdn_loop::CdnLoop,
    config::{Config, LoopStatus},
    hop_count::HopCount,
    hop_header::HopHeader,
    max_forwards::MaxForwards,
    via::{Via, ViaLines},
};

/// Builds [`LimitHops`] services; see the [crate docs](crate).
///
/// Clones of a layer, and all services that it builds, have one name: together they are one gateway.
///
/// ```
/// use bartizan_hops::LimitHopsLayer;
///
/// let layer = LimitHopsLayer::new().name("edge-eu".parse()?).limit(4.try_into()?);
/// # let _ = layer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct LimitHopsLayer {
    is_on: bool,
    name: ProxyName,
    count: Option<HopCount>,
    via: Option<Via>,
    cdn_loop: Option<CdnLoop>,
    max_forwards: Option<MaxForwards>,
    status: LoopStatus,
    dialect: Option<Dialect>,
}

impl LimitHopsLayer {
    /// Counts up to 10 hops in `X-Hop-Count`, and writes and finds a random name in `Via`.
    ///
    /// Each call draws a new name ([`ProxyName::random`]): two layers made by `new` are two gateways, and a
    /// request may cross both, even in one process.
    pub fn new() -> Self {
        Self {
            is_on: true,
            name: ProxyName::random(),
            count: Some(HopCount::new()),
            via: Some(Via::new()),
            cdn_loop: None,
            max_forwards: None,
            status: LoopStatus::default(),
            dialect: None,
        }
    }

    /// Counts as ContextForge gateways do: up to 5 hops in `X-Contextforge-UAID-Hop`, and 404 beyond.
    pub fn contextforge() -> Self {
        const LIMIT: NonZeroU32 = NonZeroU32::new(5).unwrap();
        let count = HopCount::new().limit(LIMIT).header(HopHeader::contextforge());
        Self::new().count(count).status(LoopStatus::NotFound)
    }

    /// Switches the layer on or off. A service that is off passes every request and response on unchanged,
    /// and has the same type as one that is on. Default: on.
    pub fn only_if(self, is_on: bool) -> Self {
        Self { is_on, ..self }
    }

    /// Names this gateway in `Via` and in `Proxy-Status`. Default: [`ProxyName::random`].
    pub fn name(self, name: ProxyName) -> Self {
        Self { name, ..self }
    }

    /// Counts hops as `count` describes. Replaces the previous setting. Default: [`HopCount::new`].
    pub fn count(self, count: HopCount) -> Self {
        Self { count: Some(count), ..self }
    }

    /// Changes only the [limit](HopCount::limit) of the count. If the count was switched off, this switches
    /// it on. Default: 10.
    pub fn limit(self, limit: NonZeroU32) -> Self {
        let count = self.count.clone().unwrap_or_default();
        self.count(count.limit(limit))
    }

    /// Does not count hops.
    pub fn without_count(self) -> Self {
        Self { count: None, ..self }
    }

    /// Writes `Via` and looks for this gateway's name there, as `via` describes. Default: [`Via::new`].
    pub fn via(self, via: Via) -> Self {
        Self { via: Some(via), ..self }
    }

    /// Neither writes nor reads `Via`.
    pub fn without_via(self) -> Self {
        Self { via: None, ..self }
    }

    /// Writes an id into `CDN-Loop`, and refuses a request that has passed here before
    /// ([RFC 8586](https://www.rfc-editor.org/rfc/rfc8586)). Default: `CDN-Loop` is neither read nor
    /// written.
    pub fn cdn_loop(self, cdn_loop: CdnLoop) -> Self {
        Self { cdn_loop: Some(cdn_loop), ..self }
    }

    /// Obeys the `Max-Forwards` of `OPTIONS` and `TRACE` requests. Default: the field passes unchanged.
    pub fn max_forwards(self, max_forwards: MaxForwards) -> Self {
        Self { max_forwards: Some(max_forwards), ..self }
    }

    /// The status of the response to a loop. Default: 508.
    pub fn status(self, status: LoopStatus) -> Self {
        Self { status, ..self }
    }

    /// The format of this layer's refusals, except for gRPC requests, which always get a gRPC response. Default: the
    /// format that a layer above decided, or else the one that the header fields of the request suggest.
    pub fn refuse_as(self, dialect: Dialect) -> Self {
        Self { dialect: Some(dialect), ..self }
    }

    /// The configuration of the services.
    pub(crate) fn config(&self) -> Config {
        let Self { name, count, via, cdn_loop, max_forwards, status, dialect, .. } = self.clone();
        let via_lines = ViaLines::new(&name);
        Config { name, count, via, via_lines, cdn_loop, max_forwards, status, dialect }
    }
}

impl<S> Layer<S> for LimitHopsLayer {
    type Service = LimitHops<S>;

    fn layer(&self, inner: S) -> LimitHops<S> {
        LimitHops::new(inner, self.is_on.then(|| Arc::new(self.config())))
    }
}

impl Default for LimitHopsLayer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setter_loses_what_another_was_given() {
        let count = HopCount::new().header("x-depth".parse().unwrap());
        let layer = LimitHopsLayer::new().count(count).limit(4.try_into().unwrap());
        let count = layer.config().count.unwrap();
        assert_eq!((count.limit.get(), count.header.name().as_str()), (4, "x-depth"));
        let layer = LimitHopsLayer::new().without_count().limit(4.try_into().unwrap());
        assert_eq!(layer.config().count.unwrap().limit.get(), 4);
    }

    #[test]
    fn clones_share_a_name_and_other_layers_have_their_own() {
        let layer = LimitHopsLayer::new();
        let copy = layer.clone().limit(4.try_into().unwrap());
        assert_eq!(copy.config().name, layer.config().name);
        assert_ne!(LimitHopsLayer::new().config().name, layer.config().name);
    }

    #[test]
    fn debug_prints_the_name_of_the_layer() {
        assert!(
            format!("{:?}", LimitHopsLayer::new())
                .starts_with("LimitHopsLayer { is_on: true, name: ")
        );
        let service = LimitHopsLayer::new().layer(());
        assert!(format!("{service:?}").starts_with("LimitHops { inner: (), "));
    }
}
