//! Ends sessions at their backends that the store has evicted.
//!
//! Requests do not wait for this: each session gets a task with a timeout of one second, and a few run concurrently.
//! Sessions that cannot be ended, because the backend is silent or requires credentials that only the client has, are
//! left to the backend's own expiry.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bartizan_core::{Passage, Session, SessionStore, Work};
use http::{HeaderValue, Method, Request};
use tokio::{runtime::Handle, time::timeout};

use crate::{
    alias,
    bounds::{Incoming, Inside},
    config::Config,
    event,
    opening::{END_TIMEOUT, call},
    peeked_body::PeekedBody,
};

/// How many sessions are ended concurrently.
const AT_ONCE: usize = 32;

/// Counts the tasks of a layer that end evicted sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending(Arc<AtomicUsize>);

/// One of them, until it is dropped.
struct One(Ending);

impl Ending {
    /// Starts another one, if there is room.
    fn begin(&self) -> Option<One> {
        let one = One(self.clone());
        (self.0.fetch_add(1, Ordering::Relaxed) < AT_ONCE).then_some(one)
    }
}

/// Starts to end the sessions that the store has evicted.
pub(crate) fn end_evicted<S, B, T>(service: &S, config: &Arc<Config<T>>)
where
    S: Inside<B>,
    B: Incoming,
    T: SessionStore,
{
    // Without a runtime, the process is exiting.
    let Ok(runtime) = Handle::try_current() else { return };
    while let Some(one) = config.ending.begin() {
        let Some(session) = config.store.take_evicted(&config.route) else { return };
        let (service, config) = (service.clone(), Arc::clone(config));
        runtime.spawn(async move {
            let _one = one;
            let mut next = Some(session);
            while let Some(session) = next {
                end::<S, B, T>(service.clone(), &config, session).await;
                next = config.store.take_evicted(&config.route);
            }
        });
    }
}

async fn end<S, B, T>(service: S, config: &Config<T>, session: Session)
where
    S: Inside<B>,
    B: Incoming,
    T: SessionStore,
{
    event::ended(session.fingerprint(), "evicted, since no request confirmed it");
    if let Some(delete) = delete(config, session) {
        let _ = timeout(END_TIMEOUT, call::<S, B>(service, delete)).await;
    }
}

/// The request that ends `session` where it was opened. It has no credentials: those that opened the session are not
/// kept, and another client's must not be sent.
fn delete<B, T>(config: &Config<T>, session: Session) -> Option<Request<PeekedBody<B>>> {
    let id = HeaderValue::from_bytes(alias::upstream_id(&session)).ok()?;
    let mut request = Request::new(PeekedBody::empty());
    *request.method_mut() = Method::DELETE;
    *request.uri_mut() = session.record().path().unwrap_or("/").parse().ok()?;
    request.headers_mut().insert(config.header.clone(), id);
    Passage::with(&mut request, |passage| {
        passage.set_work(Work::Pinned);
        passage.set_session(session);
    });
    Some(request)
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_ended_at_once() {
        let ending = Ending::default();
        let tasks: Vec<_> = std::iter::from_fn(|| ending.begin()).take(1_000).collect();
        assert_eq!(tasks.len(), AT_ONCE);
        drop(tasks);
        assert_eq!(ending.0.load(Ordering::Relaxed), 0);
    }
}
