//! What an open stream is looked at for.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bartizan_core::{Session, session::Ended};
use bytes::Bytes;
use http_body::Frame;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{keep_alive::KeepAlive, signal::Cause, streams::Place};

pin_project! {
    /// An open stream: its place, what ends it, and what keeps it alive.
    #[derive(Debug)]
    pub(crate) struct Tracked {
        place: Place,
        session_ended: Option<Ended>,
        // When it ends whatever is left to be sent, and why.
        expires: Option<(Instant, Cause)>,
        keep_alive: Option<KeepAlive>,
        // Runs to the earlier of the two, from when there is something to wait for.
        #[pin]
        timer: Option<Sleep>,
        // The last waker that was passed to the signal.
        waker: Option<Waker>,
    }
}

/// What happens to a stream while its backend is silent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Quiet {
    Comment,
    End(Cause),
}

impl Tracked {
    pub(crate) fn new(place: Place, keep_alive: Option<Duration>, now: Instant) -> Self {
        let session = place.live().session();
        let session_ended = session.map(Session::ended);
        let expires = session.and_then(|session| now.checked_add(time_left(session)));
        let expires = expires.map(|at| (at, Cause::SessionExpired));
        let leaves = place.leaves_at().map(|at| (at, Cause::Leaving));
        let expires = expires.into_iter().chain(leaves).min_by_key(|(at, _)| *at);
        let keep_alive = keep_alive.map(|interval| KeepAlive::new(interval, now));
        Self { place, session_ended, expires, keep_alive, timer: None, waker: None }
    }

    /// Why the stream must end, if it must.
    pub(crate) fn verdict(self: Pin<&mut Self>) -> Option<Cause> {
        let this = self.project();
        let live = this.place.live();
        if let Some(cause) = live.signal.cause() {
            return Some(cause);
        }
        if live.session().is_some_and(Session::is_ended) {
            return Some(Cause::SessionEnded);
        }
        this.expires.filter(|(at, _)| *at <= Instant::now()).map(|(_, cause)| cause)
    }

    /// A frame of the backend's passes.
    pub(crate) fn passed(self: Pin<&mut Self>, frame: &Frame<Bytes>) {
        let this = self.project();
        if let Some(data) = frame.data_ref() {
            this.place.live().count(data.len());
            if let Some(keep_alive) = this.keep_alive {
                keep_alive.sent(data, Instant::now());
            }
        }
    }

    /// The backend is silent: waits for whatever else may happen.
    pub(crate) fn poll_quiet(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Quiet> {
        let mut this = self.project();
        let live = this.place.live();
        if !this.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            live.signal.wake(cx.waker());
            *this.waker = Some(cx.waker().clone());
        }
        if let Some(cause) = live.signal.cause() {
            return Poll::Ready(Quiet::End(cause));
        }
        if let Some(ended) = this.session_ended
            && Pin::new(ended).poll(cx).is_ready()
        {
            return Poll::Ready(Quiet::End(Cause::SessionEnded));
        }
        loop {
            let due = this.keep_alive.as_ref().and_then(KeepAlive::due);
            let expires = this.expires.map(|(at, _)| at);
            let Some(next) = expires.into_iter().chain(due).min() else {
                return Poll::Pending;
            };
            match this.timer.as_mut().as_pin_mut() {
                None => this.timer.set(Some(sleep_until(next))),
                Some(timer) if timer.deadline() == next => {}
                Some(timer) => timer.reset(next),
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut()
                && timer.poll(cx).is_pending()
            {
                return Poll::Pending;
            }
            let now = Instant::now();
            if let Some((_, cause)) = this.expires.filter(|(at, _)| *at <= now) {
                return Poll::Ready(Quiet::End(cause));
            }
            if let Some(keep_alive) = this.keep_alive
                && keep_alive.take_due(now)
            {
                return Poll::Ready(Quiet::Comment);
            }
        }
    }

    /// Its backend has ended it, or broken off.
    pub(crate) fn has_ended(&self, cause: Cause) {
        self.place.live().has_ended(cause);
    }

    /// It ends here, for `cause` or for another that was before.
    pub(crate) fn end(&self, cause: Cause) {
        self.place.live().end(cause);
    }
}

/// How long `session` may still live. It was used when it was looked up, a moment ago: the store's own
/// clock then is the time of that use.
fn time_left(session: &Session) -> Duration {
    session.record().lifetime().saturating_sub(session.age_at_last_use())
}
