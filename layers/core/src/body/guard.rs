//! A response body that is forwarded, refused or replaced.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::replace::{ReplaceBody, Replacement};

pin_project! {
    /// A response body: the backend's, forwarded frame by frame, or the short text of a refusal.
    ///
    /// Nothing is buffered. Each layer wraps the body of the layer below, so any inner body type works. A layer that
    /// needs a different body of the same type uses [`ReplaceBody`].
    #[derive(Debug)]
    pub struct GuardBody<B> {
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProj]
    enum State<B> {
        Forwarded { #[pin] body: B },
        // Boxed, because it is rare and a body is moved through every layer.
        Replaced { body: Box<Replacement<B>> },
    }
}

impl<B> GuardBody<B> {
    /// Forwards `body`.
    pub const fn forwarded(body: B) -> Self {
        Self { state: State::Forwarded { body } }
    }

    /// Responds with `text` instead.
    #[must_use]
    pub fn refused(text: Bytes) -> Self {
        Self { state: State::Replaced { body: Box::new(Replacement::text(text)) } }
    }
}

impl<B: Body<Data = Bytes>> ReplaceBody for GuardBody<B> {
    fn from_bytes(bytes: Bytes) -> Self {
        Self::refused(bytes)
    }

    fn from_body<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error = B::Error> + Send + 'static,
    {
        Self { state: State::Replaced { body: Box::new(Replacement::body(body)) } }
    }
}

impl<B: Body<Data = Bytes>> Body for GuardBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().state.project() {
            StateProj::Forwarded { body } => body.poll_frame(cx),
            StateProj::Replaced { body } => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Forwarded { body } => body.is_end_stream(),
            State::Replaced { body } => body.is_end_stream(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Forwarded { body } => body.size_hint(),
            State::Replaced { body } => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn a_body_is_forwarded_with_its_length_and_a_refusal_has_its_own() {
        let forwarded = GuardBody::forwarded(Full::new(Bytes::from("abc")));
        assert_eq!(forwarded.size_hint().exact(), Some(3));
        assert_eq!(forwarded.collect().await.unwrap().to_bytes(), "abc");
        let refused = GuardBody::<Full<Bytes>>::refused(Bytes::from("no"));
        assert_eq!(refused.size_hint().exact(), Some(2));
        assert_eq!(refused.collect().await.unwrap().to_bytes(), "no");
        assert!(GuardBody::<Full<Bytes>>::refused(Bytes::new()).is_end_stream());
    }

    #[tokio::test]
    async fn a_replacement_takes_the_place_of_the_body_and_keeps_its_type() {
        type Guarded = GuardBody<Full<Bytes>>;
        let replaced = Guarded::from_body(Full::new(Bytes::from("other")));
        assert_eq!(replaced.size_hint().exact(), Some(5));
        assert!(!replaced.is_end_stream());
        assert_eq!(
            format!("{replaced:?}"),
            "GuardBody { state: Replaced { body: Replacement(Body) } }"
        );
        assert_eq!(replaced.collect().await.unwrap().to_bytes(), "other");
        assert_eq!(
            Guarded::from_bytes(Bytes::from("no")).collect().await.unwrap().to_bytes(),
            "no"
        );
        // It can be nested.
        let twice = Guarded::from_body(Guarded::from_body(Full::new(Bytes::from("twice"))));
        assert_eq!(twice.collect().await.unwrap().to_bytes(), "twice");
    }

    /// The methods have a bound on the body, the type does not.
    #[test]
    fn a_body_of_any_type_can_be_named() {
        struct NotABody;
        assert!(matches!(GuardBody::forwarded(NotABody).state, State::Forwarded { .. }));
    }
}
