//! Records which backend a request goes to, and which client sent it.

use std::task::{Context, Poll};

use bartizan::core::{ClientAddr, Passage};
use http::Request;
use tower_service::Service;

use super::entry::{Note, Noted};

/// Innermost, around the service that forwards: by then the other layers have decided.
#[derive(Clone, Debug)]
pub(crate) struct NoteBackend<S> {
    inner: S,
    is_on: bool,
}

impl<S> NoteBackend<S> {
    /// Records only if `is_on`.
    pub(crate) const fn new(inner: S, is_on: bool) -> Self {
        Self { inner, is_on }
    }
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for NoteBackend<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> S::Future {
        if self.is_on {
            note(&request);
        }
        self.inner.call(request)
    }
}

#[inline(never)]
fn note<B>(request: &Request<B>) {
    let Some(note) = request.extensions().get::<Note>() else { return };
    let backend = Passage::of(request).and_then(Passage::backend).cloned();
    note.write(Noted { backend, client: ClientAddr::of(request).map(ClientAddr::ip) });
}
