//! Runs futures concurrently in one task, a limited number at a time.

use std::{future::poll_fn, pin::Pin, task::Poll};

/// Runs all `futures`, up to `limit` of them concurrently.
pub(super) async fn run_at_once<F: Future<Output = ()>>(
    futures: impl IntoIterator<Item = F>,
    limit: usize,
) {
    let mut waiting = futures.into_iter();
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    poll_fn(|cx| {
        loop {
            let free = limit.saturating_sub(running.len());
            running.extend(waiting.by_ref().take(free).map(Box::pin));
            if running.is_empty() {
                return Poll::Ready(());
            }
            let before = running.len();
            running.retain_mut(|future| future.as_mut().poll(cx).is_pending());
            if running.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_run_and_no_more_at_once_than_the_limit() {
        let (running, most, done) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let one = |_| async {
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            sleep(Duration::from_secs(1)).await;
            running.set(running.get() - 1);
            done.set(done.get() + 1);
        };
        let begun = Instant::now();
        run_at_once((0..10).map(one), 4).await;
        assert_eq!((most.get(), done.get(), begun.elapsed().as_secs()), (4, 10, 3));
        run_at_once(std::iter::empty::<std::future::Ready<()>>(), 4).await;
    }
}
