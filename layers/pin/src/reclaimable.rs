//! A request body that can be taken back as long as it is unread.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The request body that the inner service gets.
///
/// Pinned work passes its body on. Other work lends it, and takes it back if the connection failed before the body was
/// first read. The request can then go to another backend.
#[derive(Debug)]
pub struct ReclaimableBody<B>(State<B>);

#[derive(Debug)]
enum State<B> {
    Own(B),
    Lent { reclaim: Reclaim<B>, hint: SizeHint, ended: bool },
    Empty,
}

/// Takes a lent body back.
#[derive(Debug)]
pub(crate) struct Reclaim<B>(Arc<Mutex<Option<B>>>);

impl<B: Body> ReclaimableBody<B> {
    pub(crate) const fn own(body: B) -> Self {
        Self(State::Own(body))
    }

    /// Lends `body`.
    pub(crate) fn lend(body: B) -> (Self, Reclaim<B>) {
        let (hint, ended) = (body.size_hint(), body.is_end_stream());
        let reclaim = Reclaim(Arc::new(Mutex::new(Some(body))));
        (Self(State::Lent { reclaim: reclaim.share(), hint, ended }), reclaim)
    }
}

impl<B> Reclaim<B> {
    /// Takes the body back, unless the borrower has begun to read it.
    pub(crate) fn take_back(&self) -> Option<B> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Lends the returned body to the same borrower again.
    pub(crate) fn put_back(&self, body: B) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }

    fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ReclaimableBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        loop {
            match &mut self.0 {
                State::Own(body) => return Pin::new(body).poll_frame(cx),
                State::Empty => return Poll::Ready(None),
                // After the first read, the body cannot be taken back.
                State::Lent { reclaim, .. } => {
                    self.0 = reclaim.take_back().map_or(State::Empty, State::Own);
                }
            }
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Own(body) => body.is_end_stream(),
            State::Lent { ended, .. } => *ended,
            State::Empty => true,
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Own(body) => body.size_hint(),
            State::Lent { hint, .. } => *hint,
            State::Empty => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn a_body_comes_back_until_it_is_asked_for() {
        let (lent, reclaim) = ReclaimableBody::lend(Full::new(Bytes::from("abc")));
        assert_eq!(lent.size_hint().exact(), Some(3));
        drop(lent);
        let body = reclaim.take_back().unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");

        let (lent, reclaim) = ReclaimableBody::lend(Full::new(Bytes::from("abc")));
        reclaim.put_back(reclaim.take_back().unwrap());
        assert_eq!(lent.collect().await.unwrap().to_bytes(), "abc");

        let (mut lent, reclaim) = ReclaimableBody::lend(Full::new(Bytes::from("abc")));
        assert!(lent.frame().await.is_some());
        assert!(reclaim.take_back().is_none());
        assert!(lent.frame().await.is_none());
    }
}
