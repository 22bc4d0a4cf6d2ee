//! The numbers of the open streams.
//!
//! | metric | is |
//! |---|---|
//! | `bartizan_streams` | open streams: from the response on |
//! | `bartizan_listening_streams`, `bartizan_listening_streams_max` | streams that clients listen on, from the request on; and how many there may be |
//! | `bartizan_streams_opened_total{kind}` | `listening`, `answering` |
//! | `bartizan_streams_ended_total{cause}` | `backend`: at its end; `backend_failed`: broken off by the backend; `client`: it went away, or its connection; and those that this layer ends: `session_ended`, `session_expired`, `replaced`, `backend_gone`, `asked`, `leaving` |

use std::sync::atomic::{AtomicUsize, Ordering};

use bartizan_core::gauges::{Counter, Gauges, Metric, Reading};

use crate::{signal::Cause, streams::Streams};

const OPEN: Metric = Metric::gauge("bartizan_streams", "Open event streams.");
const LISTENING: Metric = Metric::gauge(
    "bartizan_listening_streams",
    "Event streams that clients listen on, or have just asked for.",
);
const MAX: Metric = Metric::gauge(
    "bartizan_listening_streams_max",
    "The maximum number of event streams that clients listen on.",
);
const OPENED: Metric =
    Metric::counter("bartizan_streams_opened_total", "Event streams that were opened.");
const ENDED: Metric = Metric::counter("bartizan_streams_ended_total", "Event streams that ended.");

/// What is counted of all streams.
#[derive(Debug, Default)]
pub(crate) struct StreamCounts {
    max: AtomicUsize,
    listening: Counter,
    answering: Counter,
    ended: Ended,
}

#[derive(Debug, Default)]
struct Ended {
    backend: Counter,
    backend_failed: Counter,
    client: Counter,
    session_ended: Counter,
    session_expired: Counter,
    replaced: Counter,
    backend_gone: Counter,
    asked: Counter,
    leaving: Counter,
}

impl StreamCounts {
    /// How many may be listened on.
    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// A stream was opened.
    pub(crate) fn opened(&self, is_listening: bool) {
        if is_listening { &self.listening } else { &self.answering }.add_one();
    }

    /// An open stream is over: for `cause`, or because nobody reads it any more.
    pub(crate) fn ended(&self, cause: Option<Cause>) {
        let ended = &self.ended;
        let count = match cause {
            None => &ended.client,
            Some(Cause::Finished) => &ended.backend,
            Some(Cause::Failed) => &ended.backend_failed,
            Some(Cause::SessionEnded) => &ended.session_ended,
            Some(Cause::SessionExpired) => &ended.session_expired,
            Some(Cause::Replaced) => &ended.replaced,
            Some(Cause::BackendGone) => &ended.backend_gone,
            Some(Cause::Asked) => &ended.asked,
            Some(Cause::Leaving) => &ended.leaving,
        };
        count.add_one();
    }
}

impl Ended {
    fn all(&self) -> [(&'static str, &Counter); 9] {
        let Self {
            backend, backend_failed, client, replaced, backend_gone, asked, leaving, ..
        } = self;
        [
            ("backend", backend),
            ("backend_failed", backend_failed),
            ("client", client),
            ("session_ended", &self.session_ended),
            ("session_expired", &self.session_expired),
            ("replaced", replaced),
            ("backend_gone", backend_gone),
            ("asked", asked),
            ("leaving", leaving),
        ]
    }
}

impl Gauges for Streams {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        let (counts, listening) = (self.counts(), self.listening());
        out(Reading::new(&OPEN, &[], self.len() as u64));
        out(Reading::new(&LISTENING, &[], listening as u64));
        out(Reading::new(&MAX, &[], counts.max.load(Ordering::Relaxed) as u64));
        for (kind, count) in [("listening", &counts.listening), ("answering", &counts.answering)] {
            out(Reading::new(&OPENED, &[("kind", kind)], count.get()));
        }
        for (cause, count) in counts.ended.all() {
            out(Reading::new(&ENDED, &[("cause", cause)], count.get()));
        }
    }
}
