//! The whole stack behind one type that hides its layers.

use std::{convert::Infallible, error::Error};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tower::{ServiceExt, util::BoxCloneSyncService};
use tower_service::Service;

use super::ReverseProxy;

/// A [`ReverseProxy`] in a box, for requests with bodies of type `B`. It is `Clone`, `Send` and `Sync`.
pub type BoxedProxy<B, E = Infallible> = BoxCloneSyncService<Request<B>, Response<BoxedBody>, E>;

/// The response body of a [`BoxedProxy`].
pub type BoxedBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

impl<S> ReverseProxy<S> {
    /// Boxes the proxy, which hides its layers from the type: for a struct field, or axum's `State`. Costs an
    /// allocation for the future of each request, and one for the body of each response.
    #[must_use]
    pub fn boxed<B, R>(self) -> BoxedProxy<B, S::Error>
    where
        S: Service<Request<B>, Response = Response<R>, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
        B: 'static,
        R: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let unify = |response: Response<_>| {
            response.map(|body| BodyExt::boxed_unsync(BodyExt::map_err(body, Into::into)))
        };
        BoxCloneSyncService::new(self.map_response(unify))
    }
}
