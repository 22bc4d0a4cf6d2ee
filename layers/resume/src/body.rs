//! The response body.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bartizan_core::{GuardBody, body::size_with_read};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A response body: the backend's, passed on frame by frame, or a refusal.
    pub struct ResumeBody<R: Body> {
        #[pin]
        state: State<R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<R: Body> {
        Passed { #[pin] body: GuardBody<R> },
        // A stream that the client listens to: broken off, it ends, and the client opens another.
        Listening { #[pin] body: R, has_ended: bool },
        // One that was looked into.
        Looked { looked: Box<Looked<R>> },
    }
}

/// A body that was looked into: what was read of it, and the rest.
pub(crate) struct Looked<R: Body> {
    pub(crate) frames: VecDeque<Frame<Bytes>>,
    pub(crate) rest: Option<Pin<Box<R>>>,
    pub(crate) error: Option<R::Error>,
}

impl<R: Body> ResumeBody<R> {
    pub(crate) const fn passed(body: R) -> Self {
        Self { state: State::Passed { body: GuardBody::forwarded(body) } }
    }

    pub(crate) const fn guarded(body: GuardBody<R>) -> Self {
        Self { state: State::Passed { body } }
    }

    pub(crate) const fn listening(body: R) -> Self {
        Self { state: State::Listening { body, has_ended: false } }
    }

    pub(crate) fn looked(looked: Looked<R>) -> Self {
        Self { state: State::Looked { looked: Box::new(looked) } }
    }
}

impl<R: Body<Data = Bytes>> Body for ResumeBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    #[inline]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        match self.project().state.project() {
            StateProj::Passed { body } => body.poll_frame(cx),
            StateProj::Listening { has_ended: true, .. } => Poll::Ready(None),
            StateProj::Listening { body, has_ended } => match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
                Some(Err(_)) | None => {
                    *has_ended = true;
                    Poll::Ready(None)
                }
            },
            StateProj::Looked { looked } => looked.poll_frame(cx),
        }
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Passed { body } => body.is_end_stream(),
            State::Listening { body, has_ended } => *has_ended || body.is_end_stream(),
            State::Looked { looked } => looked.is_end_stream(),
        }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        match &self.state {
            State::Passed { body } => body.size_hint(),
            // It may end early.
            State::Listening { .. } => SizeHint::default(),
            State::Looked { looked } => looked.size_hint(),
        }
    }
}

impl<R: Body<Data = Bytes>> Looked<R> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.rest {
            Some(rest) => rest.as_mut().poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
            && self.error.is_none()
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.error.is_some() {
            return SizeHint::default();
        }
        let read = self.frames.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        size_with_read(read, self.rest.as_ref().map(|rest| rest.size_hint()))
    }
}

impl<R: Body> fmt::Debug for ResumeBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Passed { .. } => "ResumeBody(Passed)",
            State::Listening { .. } => "ResumeBody(Listening)",
            State::Looked { .. } => "ResumeBody(Looked)",
        })
    }
}
