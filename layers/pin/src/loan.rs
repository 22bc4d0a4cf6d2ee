//! A request body that comes back when nobody has touched it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// The request body that the inner service gets.
///
/// Pinned work gives its body away. Other work lends it, and takes it back when a connection could not
/// be made before the body was first asked for: then another backend may have the request.
#[derive(Debug)]
pub struct Loan<B>(State<B>);

#[derive(Debug)]
enum State<B> {
    Own(B),
    Lent { lender: Lender<B>, hint: SizeHint, ended: bool },
    Empty,
}

/// The other end of a loan.
#[derive(Debug)]
pub(crate) struct Lender<B>(Arc<Mutex<Option<B>>>);

impl<B: Body> Loan<B> {
    pub(crate) const fn own(body: B) -> Self {
        Self(State::Own(body))
    }

    /// Lends `body`.
    pub(crate) fn lend(body: B) -> (Self, Lender<B>) {
        let (hint, ended) = (body.size_hint(), body.is_end_stream());
        let lender = Lender(Arc::new(Mutex::new(Some(body))));
        (Self(State::Lent { lender: lender.share(), hint, ended }), lender)
    }
}

impl<B> Lender<B> {
    /// Takes the body back, unless the borrower has begun to read it.
    pub(crate) fn take_back(&self) -> Option<B> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Loan<B> {
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
                // Once a byte is asked for there is no way back.
                State::Lent { lender, .. } => {
                    self.0 = lender.take_back().map_or(State::Empty, State::Own);
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
        let (loan, lender) = Loan::lend(Full::new(Bytes::from("abc")));
        assert_eq!(loan.size_hint().exact(), Some(3));
        drop(loan);
        let body = lender.take_back().unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");

        let (mut loan, lender) = Loan::lend(Full::new(Bytes::from("abc")));
        assert!(loan.frame().await.is_some());
        assert!(lender.take_back().is_none());
        assert!(loan.frame().await.is_none());
    }
}
