//! Replacing a response body without changing its type.

use std::{
    fmt, mem,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{
    BodyExt, Full,
    combinators::{BoxBody, UnsyncBoxBody},
};

/// A response body that a layer can replace with another one of the same type.
///
/// A layer that forwards most responses and replaces a few can respond with the body type of the service that it wraps.
/// So forwarding a body costs nothing, and
/// [`option_layer`](https://docs.rs/tower/latest/tower/builder/struct.ServiceBuilder.html#method.option_layer) can
/// switch it at run time.
///
/// The boxed bodies of http-body-util implement it and, with the feature `axum`, axum's body. So does
/// [`GuardBody`](super::GuardBody), for any body: put one around the bodies of a service that responds with others.
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

    /// A body with the frames of `body`.
    #[must_use]
    fn from_body<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error = Self::Error> + Send + 'static;
}

/// A body in the place of a `B`, for body types that implement [`ReplaceBody`]: a text, or a body of any type in a box.
///
/// It is `Send`, `Sync` and `Unpin`, regardless of the boxed body.
pub struct Replacement<B>(Kind<B>);

enum Kind<B> {
    Text(Bytes),
    // The lock makes it `Sync` without requiring that of the body. Only `&self` methods take the lock, and only
    // briefly.
    Body(Mutex<Pin<Box<dyn InPlaceOf<B> + Send>>>),
}

impl<B> Replacement<B> {
    /// Makes a body with `text` in one frame.
    #[must_use]
    pub const fn text(text: Bytes) -> Self {
        Self(Kind::Text(text))
    }
}

/// A body with the error of a `B`. The bound is on each method, so that the type can be named
/// without it.
pub(super) trait InPlaceOf<B> {
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

impl<B: Body> Replacement<B> {
    /// Makes a body with the frames of `body`.
    #[must_use]
    pub fn body<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error = B::Error> + Send + 'static,
    {
        Self(Kind::Body(Mutex::new(Box::pin(body))))
    }
}

impl<B: Body> Body for Replacement<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.0 {
            Kind::Text(text) if text.is_empty() => Poll::Ready(None),
            Kind::Text(text) => Poll::Ready(Some(Ok(Frame::data(mem::take(text))))),
            Kind::Body(body) => {
                let body = body.get_mut().unwrap_or_else(PoisonError::into_inner);
                body.as_mut().poll_frame(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Text(text) => text.is_empty(),
            Kind::Body(body) => body.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Text(text) => SizeHint::with_exact(text.len() as u64),
            Kind::Body(body) => body.lock().unwrap_or_else(PoisonError::into_inner).size_hint(),
        }
    }
}

impl<E: 'static> ReplaceBody for UnsyncBoxBody<Bytes, E> {
    fn from_bytes(bytes: Bytes) -> Self {
        Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
    }

    fn from_body<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error = E> + Send + 'static,
    {
        Self::new(body)
    }
}

impl<E: 'static> ReplaceBody for BoxBody<Bytes, E> {
    fn from_bytes(bytes: Bytes) -> Self {
        Full::new(bytes).map_err(|never| match never {}).boxed()
    }

    fn from_body<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error = E> + Send + 'static,
    {
        // It is `Sync` even if the body is not.
        Self::new(Replacement::<Self>::body(body))
    }
}

#[cfg(feature = "axum")]
impl ReplaceBody for axum_core::body::Body {
    fn from_bytes(bytes: Bytes) -> Self {
        bytes.into()
    }

    fn from_body<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error = axum_core::Error> + Send + 'static,
    {
        Self::new(body)
    }
}

impl<B, T> InPlaceOf<B> for T
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

impl<B> fmt::Debug for Replacement<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Text(_) => "Replacement(Text)",
            Kind::Body(_) => "Replacement(Body)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GuardBody;

    async fn replace<R: ReplaceBody<Error: fmt::Debug> + Send + 'static>(
        other: impl FnOnce() -> R,
    ) {
        let text = R::from_bytes(Bytes::from("abc"));
        assert_eq!(text.size_hint().exact(), Some(3));
        assert_eq!(text.collect().await.unwrap().to_bytes(), "abc");
        let body = R::from_body(other());
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "other");
    }

    #[tokio::test]
    async fn each_of_these_bodies_can_be_replaced() {
        type Never = std::convert::Infallible;
        let other = || Full::new(Bytes::from("other"));
        replace::<UnsyncBoxBody<Bytes, Never>>(|| other().boxed_unsync()).await;
        replace::<BoxBody<Bytes, Never>>(|| other().boxed()).await;
        replace::<GuardBody<Full<Bytes>>>(|| GuardBody::forwarded(other())).await;
        #[cfg(feature = "axum")]
        replace::<axum_core::body::Body>(|| axum_core::body::Body::new(other())).await;
    }
}
