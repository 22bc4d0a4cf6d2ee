//! The response future.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{
    GuardBody,
    guard::{Finish, Guarded},
};
use http::{HeaderName, Response, header::VIA};
use pin_project_lite::pin_project;

use crate::layer::Config;

pin_project! {
    /// Response future of [`LimitHops`](crate::LimitHops).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        #[pin]
        guarded: Guarded<F, R, Marks>,
    }
}

/// Takes the count out of a response, and may sign it.
struct Marks(Arc<Config>);

impl<F, R> ResponseFuture<F, R> {
    pub(crate) const fn forwarded(future: F, config: Arc<Config>) -> Self {
        Self { guarded: Guarded::forwarded(future, Marks(config)) }
    }

    pub(crate) fn answered(answer: Response<GuardBody<R>>) -> Self {
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

impl Finish for Marks {
    fn finish<R>(&self, response: &mut Response<R>) {
        if let Some(count) = &self.0.count {
            let is_ours = |name: &HeaderName| {
                #[cfg(feature = "seal")]
                if count.seal.as_ref().is_some_and(|(seal, _)| seal == name) {
                    return true;
                }
                *name == count.header
            };
            // One pass over the names costs less than to look for one that is mostly absent.
            if response.headers().keys().any(is_ours) {
                response.headers_mut().remove(&count.header);
                #[cfg(feature = "seal")]
                if let Some((seal, _)) = &count.seal {
                    response.headers_mut().remove(seal);
                }
            }
        }
        let via = self.0.via.as_ref().filter(|via| via.on_responses);
        if let Some(line) = via.and_then(|via| via.line(response.version())) {
            response.headers_mut().append(VIA, line);
        }
    }
}
