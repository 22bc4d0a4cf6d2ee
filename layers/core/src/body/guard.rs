//! A response body that is forwarded or refused.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A response body: the backend's, forwarded frame by frame, or a refusal's few bytes.
    ///
    /// Nothing is buffered. Layers nest it, so that any inner body type works.
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
        Refused { text: Bytes },
    }
}

impl<B> GuardBody<B> {
    /// Forwards `body`.
    pub const fn forwarded(body: B) -> Self {
        Self { state: State::Forwarded { body } }
    }

    /// Says `text` instead.
    #[must_use]
    pub const fn refused(text: Bytes) -> Self {
        Self { state: State::Refused { text } }
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
            StateProj::Refused { text } if text.is_empty() => Poll::Ready(None),
            StateProj::Refused { text } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Forwarded { body } => body.is_end_stream(),
            State::Refused { text } => text.is_empty(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Forwarded { body } => body.size_hint(),
            State::Refused { text } => SizeHint::with_exact(text.len() as u64),
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
}
