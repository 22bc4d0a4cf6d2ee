//! The minimum cost of naming a caller: finding the field, and recording a name that is ready.

use std::task::{Context, Poll};

use bartizan::core::{Passage, Principal, fields::only_line};
use http::{Request, header::AUTHORIZATION};
use tower::Service;

/// Names every caller with credentials alike, without looking at them.
#[derive(Clone, Debug)]
pub struct NameAlike<S> {
    inner: S,
    principal: Principal,
}

impl<S> NameAlike<S> {
    pub fn new(inner: S) -> Self {
        Self { inner, principal: Principal::new("issuer", "subject") }
    }
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for NameAlike<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Ok(Some(_)) = only_line(request.headers(), AUTHORIZATION) {
            Passage::with(&mut request, |passage| {
                if passage.principal().is_none() {
                    passage.set_principal(self.principal.clone());
                    passage.set_may_bind(true);
                }
            });
        }
        self.inner.call(request)
    }
}
