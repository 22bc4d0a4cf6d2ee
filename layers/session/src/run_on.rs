//! Continues an opening after its client has disconnected.
//!
//! A backend that was asked for a session will open it even if the client has disconnected. If the proxy did not learn
//! its id, it could not be ended.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{runtime::Handle, time::timeout};

/// How long an opening may continue after its client has disconnected.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How many of them there may be at once; further ones are cancelled. Otherwise clients could pile up any number of
/// openings at a silent backend.
const MOST: usize = 1_024;

/// Counts the openings of a layer whose clients have disconnected.
#[derive(Clone, Debug, Default)]
pub(crate) struct Abandoned(Arc<AtomicUsize>);

/// One of them, until it is dropped.
struct One(Abandoned);

/// Whether the client of an opening has disconnected, so that the new session must be ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct HasLeft(Arc<AtomicBool>);

impl HasLeft {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Waits for `future`, an opening. If this is dropped before the end, the future continues in a task, and sees it in
/// `has_left`.
pub(crate) struct RunOn<F: Future<Output: Send> + Send + 'static> {
    future: Option<Pin<Box<F>>>,
    has_left: HasLeft,
    abandoned: Abandoned,
}

impl Abandoned {
    /// Starts another one, if there is room.
    fn begin(&self) -> Option<One> {
        let one = One(self.clone());
        (self.0.fetch_add(1, Ordering::Relaxed) < MOST).then_some(one)
    }
}

impl<F: Future<Output: Send> + Send + 'static> RunOn<F> {
    pub(crate) fn new(future: F, has_left: HasLeft, abandoned: Abandoned) -> Self {
        Self { future: Some(Box::pin(future)), has_left, abandoned }
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
        // Without a runtime, the process is exiting.
        if let Some(future) = self.future.take()
            && let Ok(runtime) = Handle::try_current()
            && let Some(one) = self.abandoned.begin()
        {
            self.has_left.0.store(true, Ordering::Release);
            runtime.spawn(async move {
                drop(timeout(TIMEOUT, future).await);
                drop(one);
            });
        }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
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
                Abandoned::default(),
            );
            let _ = timeout(Duration::from_secs(waits), run_on).await;
            sleep(Duration::from_secs(100)).await;
            assert_eq!((left.get(), ended.get()), (has_left, ends), "{takes} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_go_on_at_once() {
        let abandoned = Abandoned::default();
        let leave = || {
            let left = HasLeft::default();
            drop(RunOn::new(std::future::pending::<()>(), left.clone(), abandoned.clone()));
            left.get()
        };
        assert!((0..MOST).all(|_| leave()) && !leave() && !leave());
        sleep(Duration::from_secs(31)).await;
        assert_eq!(abandoned.0.load(Ordering::Relaxed), 0);
        assert!(leave(), "there is room again");
    }
}
