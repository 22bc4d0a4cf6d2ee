//! The task that sends probes.

use std::{future::poll_fn, sync::Arc};

use bartizan_core::{Passage, Reason, UpstreamFailure, Work, failure::FailureKind};
use http::{Request, Response, Uri};
use tokio::time::{Instant, sleep_until, timeout};
use tower_service::Service;

use super::{Probe, at_once::run_at_once};
use crate::backends::{Backends, Slot, WeakBackends};

/// How many backends are probed at once.
const AT_ONCE: usize = 64;

/// The failure that a refused probe met.
const REFUSED: UpstreamFailure = UpstreamFailure::new(FailureKind::Refused);

/// The result of a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Finding {
    Healthy,
    /// The response says that the backend is not healthy.
    Unwell,
    /// The backend's host refused the connection.
    Refused,
    /// There was no response, for any reason.
    Silent,
    /// The service refused to send the probe.
    NotSent,
}

impl Backends {
    /// Probes all backends of the set, now and at every interval. Run it in a task, once per set.
    ///
    /// A backend whose probes fail gets no new work, until they succeed again; pinned work is still sent to it. If all
    /// are out of service, one is tried anyway. Up to 64 backends are probed at once. `service` must send each request
    /// to [`Backend::of`](bartizan_core::Backend::of) it, such as [`Upstream`](https://docs.rs/bartizan-upstream); the
    /// bodies of responses are not read.
    ///
    /// A refused connection counts like one that a request has met. Any response shows that the backend can be reached.
    ///
    /// The future ends when it holds the last handle on the set.
    ///
    /// # Cancellation
    ///
    /// When it is dropped or ends, its findings are discarded, so that no backend stays out of service because of old
    /// probes.
    pub async fn probe<S, R>(self, probe: Probe, service: S)
    where
        S: Service<Request<String>, Response = Response<R>> + Clone,
    {
        let set = self.downgrade();
        drop(self);
        let _forget = Forget(set.clone());
        loop {
            let next = Instant::now() + probe.next_interval();
            let Some(slots) = set.upgrade().map(|backends| backends.slots()) else { return };
            // Each future owns what it needs: the compiler could not prove that borrowing futures are `Send`.
            let probes = slots.into_iter().map(|slot| {
                let (service, set, probe) = (service.clone(), set.clone(), probe.clone());
                async move {
                    let finding = ask(service, &probe, &slot).await;
                    if let Some(backends) = set.upgrade() {
                        backends.found(&slot, finding, &probe);
                    }
                }
            });
            run_at_once(probes, AT_ONCE).await;
            sleep_until(next).await;
        }
    }

    fn found(&self, slot: &Arc<Slot>, finding: Finding, probe: &Probe) {
        match finding {
            Finding::Healthy | Finding::Unwell => Self::responded(slot),
            Finding::Refused => self.unreachable(slot, REFUSED),
            Finding::Silent => {}
            Finding::NotSent => return,
        }
        self.probed(slot, finding == Finding::Healthy, probe.down_after, probe.up_after);
    }
}

/// Sends a probe to a backend.
async fn ask<S, R>(mut service: S, probe: &Probe, slot: &Slot) -> Finding
where
    S: Service<Request<String>, Response = Response<R>>,
{
    let mut request = Request::new(String::new());
    *request.uri_mut() = Uri::from(probe.target.clone());
    Passage::with(&mut request, |passage| {
        passage.set_backend(slot.backend().clone());
        passage.set_work(Work::Free);
    });
    let response = timeout(probe.timeout.min(probe.interval), async {
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(request).await
    });
    match response.await {
        Ok(Ok(response)) => judge(&response),
        Ok(Err(_)) | Err(_) => Finding::Silent,
    }
}

fn judge<R>(response: &Response<R>) -> Finding {
    match UpstreamFailure::of(response) {
        Some(failure) if failure.is_refused() => Finding::Refused,
        Some(_) => Finding::Silent,
        None if Reason::of(response).is_some() => Finding::NotSent,
        None if response.status().is_success() || response.status().is_redirection() => {
            Finding::Healthy
        }
        None => Finding::Unwell,
    }
}

/// Discards the findings of the probes.
struct Forget(WeakBackends);

impl Drop for Forget {
    fn drop(&mut self) {
        if let Some(backends) = self.0.upgrade() {
            backends.forget_probes();
        }
    }
}
