//! The response future: whether a response is a stream.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bartizan_core::{Backend, BackendId, Dialect, Session, body::ReplaceBody, fields::media};
use http::Response;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::{
    body::TrackedBody, config::Config, event, listen, refusal::refused, streams::Place,
    tracked::Tracked,
};

pin_project! {
    /// Response future of [`TrackStreams`](crate::TrackStreams).
    ///
    /// # Cancellation
    ///
    /// Dropping it drops the inner future, and releases the place that was reserved for a stream.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        // At the service inside; taken when it has responded.
        Forwarded { #[pin] future: F, asked: Option<Asked> },
        // The request was answered here. Boxed, because a response is larger than most futures.
        Answered { answer: Option<Box<Response<R>>> },
    }
}

/// What a request asked for.
pub(crate) enum Asked {
    /// A stream to listen on, for which there is room.
    Listen { config: Arc<Config>, place: Place },
    /// An answer, which may be a stream; with a form to refuse one in, if it was a GET.
    Anything { config: Arc<Config>, session: Option<Session>, refuse_as: Option<Dialect> },
}

impl<F, R> ResponseFuture<F, R> {
    pub(crate) const fn forwarded(future: F, asked: Asked) -> Self {
        Self { state: State::Forwarded { future, asked: Some(asked) } }
    }

    pub(crate) fn answered(answer: Response<R>) -> Self {
        Self { state: State::Answered { answer: Some(Box::new(answer)) } }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: ReplaceBody + Send + 'static,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Forwarded { future, asked } => {
                let response = ready!(future.poll(cx))?;
                let asked = asked.take_if(|_| media::is_event_stream(response.headers()));
                Poll::Ready(Ok(match asked {
                    None => response,
                    Some(asked) => track(response, asked),
                }))
            }
            StateProj::Answered { answer } => match answer.take() {
                Some(answer) => Poll::Ready(Ok(*answer)),
                None => {
                    debug_assert!(false, "a future is not polled again after it was ready");
                    Poll::Pending
                }
            },
        }
    }
}

/// Where a response says that it comes from: by naming its backend, or its session as it is since it was
/// resumed elsewhere.
fn backend_of<R>(response: &Response<R>) -> Option<BackendId> {
    let extensions = response.extensions();
    match extensions.get::<Backend>() {
        Some(backend) => Some(backend.id().clone()),
        None => extensions.get::<Session>()?.record().backend().cloned(),
    }
}

/// Gives a stream its place among the others.
#[cold]
fn track<R>(response: Response<R>, asked: Asked) -> Response<R>
where
    R: ReplaceBody + Send + 'static,
{
    let (config, place) = match asked {
        Asked::Listen { config, place } => (config, Ok(place)),
        Asked::Anything { config, session, refuse_as: None } => {
            let place = Place::answer(&config.streams, session);
            (config, Ok(place))
        }
        Asked::Anything { config, session, refuse_as: Some(dialect) } => {
            let place = Place::listen(&config.streams, session.clone(), config.rules);
            (config, place.map_err(|reason| (reason, session, dialect)))
        }
    };
    let place = match place {
        Ok(place) => place,
        Err((reason, session, dialect)) => {
            event::refused(reason, session.as_ref());
            return refused(reason, &dialect);
        }
    };
    let now = Instant::now();
    place.open(now, backend_of(&response));
    let keep_alive = config.keep_alive.filter(|_| listen::takes_comments(response.headers()));
    response.map(|body| R::from_body(TrackedBody::new(body, Tracked::new(place, keep_alive, now))))
}

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.state {
            State::Forwarded { .. } => "ResponseFuture(Forwarded)",
            State::Answered { .. } => "ResponseFuture(Answered)",
        })
    }
}
