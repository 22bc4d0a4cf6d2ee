//! An opening that goes on when its client leaves.
//!
//! A backend that was asked for a session will open it, whoever waits. If nobody learned its id, nobody could end it.

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

/// How long an opening whose client has left may go on.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How many of them there may be at once; past it, they are given up. Otherwise clients that leave could have as many as
/// they like wait for a silent backend.
const MOST: usize = 1_024;

/// Counts the openings of a layer whose clients have left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Abandoned(Arc<AtomicUsize>);

/// One of them, until it is dropped.
struct One(Abandoned);

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
    abandoned: Abandoned,
}

impl Abandoned {
    /// One more, if there is room.
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
        // Without a runtime the process is on its way out.
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
