//! An opening that goes on when its client leaves.
//!
//! A backend that was asked for a session will open it, whoever waits. If nobody learned its id, nobody could end it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};

/// How long an opening whose client has left may go on.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Whether the client of an opening has left: what comes of it is to be ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct HasLeft(Arc<AtomicBool>);

impl HasLeft {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Waits for `future`, an opening. Dropped before its end, it lets the future go on in a task, which finds out by
/// `has_left`.
pub(crate) struct RunOn<F: Future<Output: Send> + Send + 'static> {
    future: Option<Pin<Box<F>>>,
    has_left: HasLeft,
}

impl<F: Future<Output: Send> + Send + 'static> RunOn<F> {
    pub(crate) fn new(future: F, has_left: HasLeft) -> Self {
        Self { future: Some(Box::pin(future)), has_left }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for RunOn<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        let polled = future.as_mut().poll(cx);
        if polled.is_ready() {
            self.future = None;
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for RunOn<F> {
    fn drop(&mut self) {
        // Without a runtime the process is on its way out.
        if let Some(future) = self.future.take()
            && let Ok(runtime) = Handle::try_current()
        {
            self.has_left.0.store(true, Ordering::Release);
            runtime.spawn(async move { drop(timeout(TIMEOUT, future).await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_for_a_bounded_time_when_it_is_dropped_and_only_then() {
        for (takes, waits, has_left, ends) in
            [(1, 2, false, true), (3, 2, true, true), (60, 2, true, false)]
        {
            let (left, ended) = (HasLeft::default(), HasLeft::default());
            let end = ended.clone();
            let run_on = RunOn::new(
                async move {
                    sleep(Duration::from_secs(takes)).await;
                    end.0.store(true, Ordering::Release);
                },
                left.clone(),
            );
            let _ = timeout(Duration::from_secs(waits), run_on).await;
            sleep(Duration::from_secs(100)).await;
            assert_eq!((left.get(), ended.get()), (has_left, ends), "{takes} s");
        }
    }
}
