//! The response body of a session: while it lives, the session is in use.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bartizan_core::{GuardBody, Session, SessionStore, session::Hold};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::config::Config;

pin_project! {
    /// A response body. For as long as it lives, its session counts as in use.
    pub struct SessionBody<B, T: SessionStore> {
        #[pin]
        body: GuardBody<B>,
        in_use: Option<InUse<T>>,
    }
}

/// Counts as use of a session until it is dropped, which also counts as a use.
pub(crate) struct InUse<T: SessionStore> {
    hold: Hold,
    config: Arc<Config<T>>,
}

impl<B, T: SessionStore> SessionBody<B, T> {
    pub(crate) fn new(body: GuardBody<B>, in_use: Option<InUse<T>>) -> Self {
        Self { body, in_use }
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        self.in_use.as_ref().map(InUse::session)
    }

    /// Responds with `text` instead.
    pub(crate) fn say(&mut self, text: Bytes) {
        self.body = GuardBody::refused(text);
    }

    pub(crate) fn hold(&mut self, in_use: InUse<T>) {
        self.in_use = Some(in_use);
    }
}

impl<T: SessionStore> InUse<T> {
    pub(crate) fn new(session: &Session, config: Arc<Config<T>>) -> Self {
        Self { hold: session.hold(), config }
    }

    pub(crate) fn session(&self) -> &Session {
        self.hold.session()
    }

    pub(crate) fn config(&self) -> &Arc<Config<T>> {
        &self.config
    }
}

impl<B: Body<Data = Bytes>, T: SessionStore> Body for SessionBody<B, T> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: fmt::Debug, T: SessionStore> fmt::Debug for SessionBody<B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBody")
            .field("body", &self.body)
            .field("session", &self.in_use.as_ref().map(InUse::session))
            .finish()
    }
}

impl<T: SessionStore> Drop for InUse<T> {
    fn drop(&mut self) {
        self.config.store.touch(self.hold.session());
    }
}
