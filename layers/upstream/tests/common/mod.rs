//! Shared helpers: each test runs on each transport.
#![allow(dead_code, unused_imports, unused_macros, reason = "each file of tests uses some of it")]

use std::error::Error;

use bartizan_core::{Backend, Passage, Work};
use bartizan_testkit::{BoxBody, server::boxed};
use bartizan_upstream::{
    TrailerFilterBody, Upstream, UpstreamBuilder,
    transport::{ByProtocol, HyperTransport, Transport, TransportBuilder},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::ServiceExt;

type RequestBody = TrailerFilterBody<BoxBody>;

/// A kind of transport.
pub(crate) trait Kind: 'static {
    type Transport: Transport<
            RequestBody,
            Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static;

    fn transport(builder: TransportBuilder) -> Self::Transport;
}

/// What [`UpstreamBuilder::build`] takes.
pub(crate) struct Default;

/// hyper-util's client for all backends.
pub(crate) struct Hyper;

impl Kind for Default {
    type Transport = ByProtocol;

    fn transport(builder: TransportBuilder) -> Self::Transport {
        builder.build()
    }
}

impl Kind for Hyper {
    type Transport = HyperTransport;

    fn transport(builder: TransportBuilder) -> Self::Transport {
        builder.build_hyper()
    }
}

pub(crate) fn upstream<T: Kind>() -> Upstream<T::Transport> {
    upstream_by::<T>(Upstream::builder())
}

pub(crate) fn upstream_by<T: Kind>(builder: UpstreamBuilder) -> Upstream<T::Transport> {
    builder.build_on(T::transport(TransportBuilder::new()))
}

/// Sends `request` as if layers had chosen the backend at `origin` for this kind of work.
pub(crate) async fn send<C>(
    upstream: &Upstream<C>,
    origin: &str,
    work: Work,
    mut request: Request<BoxBody>,
) -> Response<BoxBody>
where
    C: Transport<RequestBody> + Clone,
    C::Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let backend: Backend = origin.parse().unwrap();
    Passage::with(&mut request, |passage| {
        passage.set_backend(backend);
        passage.set_work(work);
    });
    upstream.clone().oneshot(request).await.unwrap().map(boxed)
}

/// Makes two tests of each function: on the default transport, and on hyper-util's client.
macro_rules! on_each_transport {
    ($($test:ident),* $(,)?) => {
        mod by_default {
            $(#[tokio::test]
            async fn $test() {
                super::$test::<super::common::Default>().await;
            })*
        }
        mod by_hyper {
            $(#[tokio::test]
            async fn $test() {
                super::$test::<super::common::Hyper>().await;
            })*
        }
    };
}
pub(crate) use on_each_transport;
