//! The response future.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bartizan_core::{
    GuardBody,
    fields::hop_by_hop,
    guard::{Finish, Guarded},
};
use http::Response;
use pin_project_lite::pin_project;

use crate::field;

pin_project! {
    /// Response future of [`SanitizeForwarded`](crate::SanitizeForwarded).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        #[pin]
        guarded: Guarded<F, R, NoProvenance>,
    }
}

/// Removes from a response the fields that reveal the way in.
struct NoProvenance;

impl<F, R> ResponseFuture<F, R> {
    pub(crate) const fn forwarded(future: F) -> Self {
        Self { guarded: Guarded::forwarded(future, NoProvenance) }
    }

    pub(crate) fn refused(answer: Response<GuardBody<R>>) -> Self {
        Self { guarded: Guarded::answered(answer) }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<GuardBody<R>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().guarded.poll(cx)
    }
}

impl Finish for NoProvenance {
    #[inline]
    fn finish<R>(&self, response: &mut Response<R>) {
        let headers = response.headers_mut();
        if headers.keys().any(hop_by_hop::is_of_the_way_in) {
            headers.remove(field::FORWARDED);
            headers.remove(field::FOR);
        }
    }
}
