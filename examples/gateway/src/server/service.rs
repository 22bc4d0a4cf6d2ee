//! What the server requires of the service that it calls.

use std::{convert::Infallible, error::Error};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::admission::RequestBody;

/// What the server requires of the service that it calls: it always responds, its response body can be streamed, and
/// everything can move between threads.
pub(crate) trait ServerService:
    Service<
        Request<RequestBody>,
        Response = Response<<Self as ServerService>::ResponseBody>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
    /// The body of its responses.
    type ResponseBody: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + 'static;
}

impl<S, R> ServerService for S
where
    S: Service<
            Request<RequestBody>,
            Response = Response<R>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + 'static,
    R: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type ResponseBody = R;
}
