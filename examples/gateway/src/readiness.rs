//! Decides whether load balancers should send requests here.
//!
//! | situation | `/readyz` |
//! |---|---|
//! | the process is shutting down | 503, not ready |
//! | the store has not answered yet | 503, not ready: no session could be opened or found here |
//! | a backend has not accepted a connection yet; if another one has, for at most 30 s | 503, not ready |
//! | after that, the store does not answer or a backend is out of service | 200, degraded, with what is missing |
//! | nothing is missing | 200, ready |
//!
//! Once ready, a gateway stays ready when the store or a backend fails. Every replica sees the same failure, so the
//! load balancer would remove all of them at once, although they could still serve many sessions.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bartizan::{
    core::Backend,
    pin::{BackendState, BackendStatus, Backends},
    upstream::Upstream,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{server::shutdown::Stop, store::OpenStore};

/// How long a backend that refuses connections keeps the gateway from being ready, if another backend is there.
const WAIT_FOR_BACKENDS: Duration = Duration::from_secs(30);
/// The interval between two attempts to reach a backend or the store.
const AGAIN: Duration = Duration::from_millis(500);

/// The answer, with a line of text for everything that is missing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Readiness {
    Ready,
    Degraded(Vec<String>),
    NotReady(Vec<String>),
}

/// What the answer depends on.
#[derive(Clone, Debug, Default)]
struct Facts {
    is_leaving: bool,
    store_was_there: bool,
    /// Why the store does not answer, if it does not.
    store_failure: Option<&'static str>,
    /// Whether some backend accepted a connection.
    some_backend_was_there: bool,
    /// The backends that never accepted one.
    missing_backends: Vec<String>,
    /// The backends that are out of service, and why.
    failed_backends: Vec<(String, &'static str)>,
    /// Since the start.
    age: Duration,
}

fn judge(facts: &Facts) -> Readiness {
    if facts.is_leaving {
        return Readiness::NotReady(vec!["the gateway is stopping".to_owned()]);
    }
    let mut store = Vec::new();
    if let Some(failure) = facts.store_failure {
        store.push(format!("the session store does not answer ({failure})"));
    }
    let is_missed = |id: &String| !facts.failed_backends.iter().any(|(failed, _)| failed == id);
    let missing = facts.missing_backends.iter().filter(|id| is_missed(id));
    let missing = missing.map(|id| format!("backend {id} has not accepted a connection yet"));
    let failed = facts.failed_backends.iter();
    let failed = failed.map(|(id, cause)| format!("backend {id} is out of service ({cause})"));
    let lacks: Vec<_> = store.into_iter().chain(missing).chain(failed).collect();
    let waits_for_backends = match facts.missing_backends.is_empty() {
        true => false,
        false => !facts.some_backend_was_there || facts.age < WAIT_FOR_BACKENDS,
    };
    if !facts.store_was_there || waits_for_backends {
        return Readiness::NotReady(lacks);
    }
    if lacks.is_empty() { Readiness::Ready } else { Readiness::Degraded(lacks) }
}

impl Readiness {
    /// Decides whether load balancers should send requests here.
    pub(crate) fn is_ready(&self) -> bool {
        !matches!(self, Self::NotReady(_))
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, lacks) = match self {
            Self::Ready => return f.write_str("ready\n"),
            Self::Degraded(lacks) => ("degraded", lacks),
            Self::NotReady(lacks) => ("not ready", lacks),
        };
        if lacks.is_empty() {
            return writeln!(f, "{word}");
        }
        lacks.iter().try_for_each(|lack| writeln!(f, "{word}: {lack}"))
    }
}

/// Remembers whether the store and each backend have been reachable since the start.
#[derive(Clone, Debug)]
pub(crate) struct Watch(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    begun: Instant,
    stop: Stop,
    store: OpenStore,
    store_was_there: AtomicBool,
    set: Backends,
    backends: Vec<(Backend, AtomicBool)>,
}

impl Watch {
    pub(crate) fn new(store: OpenStore, set: Backends, stop: Stop) -> Self {
        let backends = set.snapshot();
        let backends = backends.iter().map(|status| (status.backend().clone(), false.into()));
        let backends = backends.collect();
        let (begun, store_was_there) = (Instant::now(), AtomicBool::new(false));
        Self(Arc::new(Seen { begun, stop, store, store_was_there, set, backends }))
    }

    /// Waits until the store and each backend have been reachable once.
    pub(crate) async fn wait(self, upstream: Upstream, connect_timeout: Duration) {
        let mut waiting = JoinSet::new();
        for index in 0..self.0.backends.len() {
            let (seen, upstream) = (Arc::clone(&self.0), upstream.clone());
            waiting.spawn(async move {
                let Some((backend, was_there)) = seen.backends.get(index) else { return };
                loop {
                    let connected = timeout(connect_timeout, upstream.connect(backend)).await;
                    if connected.is_ok_and(|connected| connected.is_ok()) {
                        return was_there.store(true, Ordering::Relaxed);
                    }
                    sleep(AGAIN).await;
                }
            });
        }
        let seen = Arc::clone(&self.0);
        waiting.spawn(async move {
            while seen.store.failure().is_some() {
                sleep(AGAIN).await;
            }
            seen.store_was_there.store(true, Ordering::Relaxed);
        });
        while waiting.join_next().await.is_some() {}
    }

    /// The answer at this moment.
    pub(crate) fn now(&self) -> Readiness {
        let seen = &self.0;
        let store_failure = seen.store.failure();
        let was_there = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let missing = seen.backends.iter().filter(|(_, flag)| !was_there(flag));
        let missing: Vec<_> = missing.map(|(backend, _)| name(backend)).collect();
        let statuses = seen.set.snapshot();
        judge(&Facts {
            is_leaving: seen.stop.is_leaving(),
            store_was_there: store_failure.is_none() || was_there(&seen.store_was_there),
            store_failure,
            some_backend_was_there: missing.len() < seen.backends.len(),
            missing_backends: missing,
            failed_backends: statuses.iter().filter_map(failure).collect(),
            age: seen.begun.elapsed(),
        })
    }
}

fn failure(status: &BackendStatus) -> Option<(String, &'static str)> {
    let cause = status.cause().filter(|_| status.state() == BackendState::Down)?;
    Some((name(status.backend()), cause.as_str()))
}

fn name(backend: &Backend) -> String {
    backend.id().as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gateway in front of two backends, with nothing missing.
    fn sound() -> Facts {
        Facts { store_was_there: true, some_backend_was_there: true, ..Facts::default() }
    }

    fn missing(some: bool, age: Duration) -> Facts {
        let missing_backends = vec!["http://b:1".to_owned()];
        Facts { missing_backends, some_backend_was_there: some, age, ..sound() }
    }

    #[test]
    fn it_is_ready_when_store_and_backends_were_there() {
        assert_eq!(judge(&sound()), Readiness::Ready);
        let no_store = Facts {
            store_was_there: false,
            store_failure: Some("wrong password"),
            age: 100 * WAIT_FOR_BACKENDS,
            ..sound()
        };
        let told = judge(&no_store).to_string();
        assert_eq!(told, "not ready: the session store does not answer (wrong password)\n");
    }

    #[test]
    fn one_backend_of_several_is_waited_for_and_not_for_ever() {
        let early = judge(&missing(true, WAIT_FOR_BACKENDS - AGAIN));
        assert!(!early.is_ready());
        let late = judge(&missing(true, WAIT_FOR_BACKENDS));
        assert!(late.is_ready());
        let text = "degraded: backend http://b:1 has not accepted a connection yet\n";
        assert_eq!(late.to_string(), text);
        assert!(!judge(&missing(false, 100 * WAIT_FOR_BACKENDS)).is_ready(), "without any backend");
    }

    #[test]
    fn what_fails_later_degrades() {
        let store = Facts { store_failure: Some("timeout"), ..sound() };
        let failed_backends = vec![("http://b:1".to_owned(), "unreachable")];
        let backend = Facts { failed_backends: failed_backends.clone(), ..sound() };
        for (facts, text) in [
            (store, "degraded: the session store does not answer (timeout)\n"),
            (backend, "degraded: backend http://b:1 is out of service (unreachable)\n"),
            // A backend that was never reachable is named only once.
            (
                Facts { failed_backends, ..missing(true, WAIT_FOR_BACKENDS) },
                "degraded: backend http://b:1 is out of service (unreachable)\n",
            ),
        ] {
            let told = judge(&facts);
            assert!(told.is_ready());
            assert_eq!(told.to_string(), text);
        }
    }

    #[test]
    fn one_that_stops_is_not_ready_whatever_else_holds() {
        let told = judge(&Facts { is_leaving: true, ..sound() });
        assert_eq!(told.to_string(), "not ready: the gateway is stopping\n");
    }
}
