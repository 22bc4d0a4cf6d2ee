//! Replacing a response body without changing its type.

use std::{
    fmt, mem,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A response body that a layer can replace by another one of the same type.
///
/// A layer that passes most responses on and replaces a few responds with the body type of the service that
/// it wraps. So it costs nothing where it passes a body on, and
/// [`option_layer`](https://docs.rs/tower/latest/tower/builder/struct.ServiceBuilder.html#method.option_layer)
/// can switch it at run time.
///
/// [`GuardBody`](super::GuardBody) implements it for any body. Put one around the bodies of a service that
/// responds with others:
///
/// ```
/// use bartizan_core::{GuardBody, body::ReplaceBody};
/// use bytes::Bytes;
/// use http::Response;
/// use http_body_util::Full;
///
/// fn replaces<R: ReplaceBody>(_: &Response<R>) {}
///
/// let response = Response::new(Full::<Bytes>::from("any"));
/// // In a stack: `ServiceBuilder::map_response`.
/// let response = response.map(GuardBody::forwarded);
/// replaces(&response);
/// ```
pub trait ReplaceBody: Body<Data = Bytes> + Sized {
    /// A body of `bytes`, in one frame.
    #[must_use]
    fn from_bytes(bytes: Bytes) -> Self;

    /// A body that gives the frames of `body`.
    #[must_use]
    fn from_body<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error = Self::Error> + Send + 'static;
}

/// What is given in the place of a `B`.
pub(super) enum Own<B> {
    Text(Bytes),
    // The lock makes it `Sync` without asking that of the body. Only `&self` takes it, and never for long.
    Body(Mutex<Pin<Box<dyn Replacement<B> + Send>>>),
}

/// A body with the error of a `B`. The bound is at each method, so that naming the type needs none.
pub(super) trait Replacement<B> {
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>>
    where
        B: Body;

    fn is_end_stream(&self) -> bool
    where
        B: Body;

    fn size_hint(&self) -> SizeHint
    where
        B: Body;
}

impl<B: Body> Own<B> {
    pub(super) fn body<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error = B::Error> + Send + 'static,
    {
        Self::Body(Mutex::new(Box::pin(body)))
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self {
            Self::Text(text) if text.is_empty() => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(Some(Ok(Frame::data(mem::take(text))))),
            Self::Body(body) => {
                let body = body.get_mut().unwrap_or_else(PoisonError::into_inner);
                body.as_mut().poll_frame(cx)
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Body(body) => body.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Body(body) => body.lock().unwrap_or_else(PoisonError::into_inner).size_hint(),
        }
    }
}

impl<B, T> Replacement<B> for T
where
    B: Body,
    T: Body<Data = Bytes, Error = B::Error>,
{
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Body::poll_frame(self, cx)
    }

    fn is_end_stream(&self) -> bool {
        Body::is_end_stream(self)
    }

    fn size_hint(&self) -> SizeHint {
        Body::size_hint(self)
    }
}

impl<B> fmt::Debug for Own<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Own(Text)",
            Self::Body(_) => "Own(Body)",
        })
    }
}
