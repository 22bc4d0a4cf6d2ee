//! How a request is judged. The inner service is called synchronously: the instance that was polled
//! ready, without a clone.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{Dialect, GuardBody, Reason, Refusal};
use http::{Request, Response};
use tower_service::Service;

use crate::{
    ResponseFuture,
    config::Config,
    event,
    judge::{self, judge},
    verdict::{Pass, Verdict},
};

/// Refuses requests that are in a loop; see the [crate docs](crate).
#[derive(Clone, Debug)]
pub struct LimitHops<S> {
    inner: S,
    // `None` if the layer is off.
    config: Option<Arc<Config>>,
}

impl<S> LimitHops<S> {
    pub(crate) fn new(inner: S, config: Option<Arc<Config>>) -> Self {
        Self { inner, config }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Consumes `self`, returning the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for LimitHops<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<GuardBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(config) = &self.config else {
            return ResponseFuture::forwarded(self.inner.call(request), None);
        };
        match judge(config, &mut request) {
            Ok(pass) => {
                // The guard above also handles the response.
                let config = (pass == Pass::Marked).then(|| Arc::clone(config));
                ResponseFuture::forwarded(self.inner.call(request), config)
            }
            Err(Verdict::Refused(refused)) => {
                event::refused(config, refused);
                let dialect = Dialect::fixed_or_of(config.dialect.as_ref(), &request);
                ResponseFuture::answered(refusal(config, refused.reason).respond(&dialect))
            }
            Err(Verdict::Answered(response)) => {
                ResponseFuture::answered(response.map(GuardBody::refused))
            }
        }
    }
}

fn refusal(config: &Config, reason: Reason) -> Refusal {
    let refusal = Refusal::new(reason);
    match reason {
        Reason::LoopDetected => refusal
            .status(config.status.code())
            .proxy_status(config.name.as_str(), "proxy_loop_detected"),
        Reason::MethodNotAllowed => refusal.allow(judge::ALLOWED),
        _ => refusal,
    }
}
