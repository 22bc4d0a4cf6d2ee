//! The bounds on the inner service and the request body, in one place.
//!
//! A request that must wait does so in one boxed future, which a server may move between threads: hence
//! `Send + 'static`. [`ValidateSession`](crate::ValidateSession) states the same bounds in full, for its users.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::peeked_body::PeekedBody;

/// An inner service.
pub(crate) trait Inside<B>:
    Service<
        Request<PeekedBody<B>>,
        Response = Response<<Self as Inside<B>>::Body>,
        Error: Send,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
    /// The body of its responses.
    type Body: Body<Data = Bytes> + Send + 'static;
}

/// A request body.
pub(crate) trait Incoming: Body<Data = Bytes> + Unpin + Send + 'static {}

impl<S, B, R> Inside<B> for S
where
    S: Service<Request<PeekedBody<B>>, Response = Response<R>, Error: Send, Future: Send>,
    S: Clone + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    type Body = R;
}

impl<B> Incoming for B where B: Body<Data = Bytes> + Unpin + Send + 'static {}
