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
use http::{Response, header::VIA};
use pin_project_lite::pin_project;

use crate::config::Config;

pin_project! {
    /// Response future of [`LimitHops`](crate::LimitHops).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        #[pin]
        guarded: Guarded<F, R, Marks>,
    }
}

/// Removes the count from a response, and may add `Via`. `None` if another guard does that.
struct Marks(Option<Arc<Config>>);

impl<F, R> ResponseFuture<F, R> {
    pub(crate) const fn forwarded(future: F, config: Option<Arc<Config>>) -> Self {
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
    #[inline]
    fn finish<R>(&self, response: &mut Response<R>) {
        let Some(config) = &self.0 else { return };
        // One pass over the names costs less than a lookup of a name that is mostly absent.
        if let Some(count) = &config.count
            && response.headers().keys().any(|name| count.is_written_in(name))
        {
            response.headers_mut().remove(count.header.name());
            #[cfg(feature = "sign")]
            if count.keys.is_some() {
                response.headers_mut().remove(count.header.signature());
            }
        }
        if config.via.as_ref().is_some_and(|via| via.on_responses) {
            let line = config.via_lines.of(response.version()).clone();
            response.headers_mut().append(VIA, line);
        }
    }
}
