//! The optional layers around everything else, most of them tower-http's.
//!
//! From the outermost to the innermost. Each layer exists only if it is on; if all are off, the server's types do not
//! include this module. The layers are boxed, so a request through them costs some allocations.
//!
//! | layer | what it does | why there |
//! |---|---|---|
//! | `SetSensitiveHeaders` | marks header fields, so that nothing prints them and HPACK does not index them | above everything that may print them |
//! | `SetRequestId`, `PropagateRequestId` | give each request an id | every response carries the id, including our own |
//! | `AllowCors` | lets pages of allowed origins read responses | pages must also be able to read our refusals |
//! | `CatchPanics` | responds with 500 when a layer or handler panics | the response passes the layers above |

mod cors;
mod panics;
mod request_id;

use std::{convert::Infallible, fmt, sync::Arc};

use bartizan::core::{Dialect, PeerAddr};
use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, util::BoxCloneService};
use tower_http::{
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    sensitive_headers::SetSensitiveHeadersLayer,
};
use tower_layer::Layer;

pub(crate) use cors::AllowCorsLayer;
use panics::CatchPanicsLayer;
pub(crate) use request_id::RequestIds;

/// Which of the optional layers are on. Default: none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Front {
    pub(crate) sensitive: Arc<[HeaderName]>,
    pub(crate) request_ids: Option<RequestIds>,
    pub(crate) cors: Option<AllowCorsLayer>,
    /// Whether panics are caught, and the format of the response.
    pub(crate) catch_panics: Option<CatchPanics>,
}

/// The format of the response to a panic, unless the request is gRPC. By default, the request decides.
#[derive(Clone, Debug)]
pub(crate) struct CatchPanics {
    pub(crate) refuse_as: Option<Dialect>,
}

/// A service behind the layers of a [`Front`].
pub(crate) type Fronted<B> = BoxCloneService<Request<B>, Response<FrontBody>, Infallible>;

/// The response body of a [`Fronted`] service.
pub(crate) type FrontBody = UnsyncBoxBody<Bytes, FrontError>;

/// The error of any body.
#[derive(Debug)]
pub(crate) struct FrontError(BoxError);

impl Front {
    /// Whether any layer is on.
    pub(crate) fn is_on(&self) -> bool {
        !self.sensitive.is_empty()
            || self.request_ids.is_some()
            || self.cors.is_some()
            || self.catch_panics.is_some()
    }

    /// Puts the layers that are on around `service`, for the requests of `peer`.
    pub(crate) fn wrap<S, B, R>(&self, service: S, peer: &PeerAddr) -> Fronted<B>
    where
        S: Service<Request<B>, Response = Response<R>, Error = Infallible, Future: Send + 'static>
            + Clone
            + Send
            + 'static,
        B: Send + 'static,
        R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let mut service = match &self.catch_panics {
            Some(CatchPanics { refuse_as }) => {
                let layer = CatchPanicsLayer::new(refuse_as.clone());
                BoxCloneService::new(layer.layer(service).map_response(boxed))
            }
            None => BoxCloneService::new(service.map_response(boxed)),
        };
        if let Some(cors) = &self.cors {
            service = BoxCloneService::new(cors.layer(service));
        }
        if let Some(ids) = &self.request_ids {
            let (ids, is_trusted) = (ids.clone(), ids.trust(peer));
            let name = ids.name().clone();
            let layers = ServiceBuilder::new()
                .map_request(move |request| ids.keep_if(is_trusted, request))
                .layer(SetRequestIdLayer::new(name.clone(), MakeRequestUuid))
                .layer(PropagateRequestIdLayer::new(name));
            service = BoxCloneService::new(layers.service(service));
        }
        if !self.sensitive.is_empty() {
            let layer = SetSensitiveHeadersLayer::from_shared(Arc::clone(&self.sensitive));
            service = BoxCloneService::new(layer.layer(service));
        }
        service
    }
}

fn boxed<R>(response: Response<R>) -> Response<FrontBody>
where
    R: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    response.map(|body| body.map_err(|error| FrontError(error.into())).boxed_unsync())
}

impl fmt::Display for FrontError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response body failed")
    }
}

impl std::error::Error for FrontError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests;
