//! The limit of connections, and which one is closed for a new one.
//!
//! | a client connects when there are | the new connection is |
//! |---|---|
//! | fewer connections than the limit | served |
//! | as many as the limit, some of them idle | served as soon as the one that has been idle the longest is closed |
//! | as many as the limit, none of them idle | kept waiting until one ends or is idle |

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::connection_state::ConnectionState;

/// How often to look for a connection that can be closed.
const LOOK: Duration = Duration::from_millis(100);

/// The connections of a server.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    connections: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    state: Arc<ConnectionState>,
    stop: CancellationToken,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// Allows `max` connections.
    pub(super) fn new(max: usize) -> Self {
        let free = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self { free, taken: Mutex::default() }
    }

    /// Waits for a place for the connection with `state`. Cancelling `stop` asks that connection to
    /// close.
    ///
    /// # Cancellation
    ///
    /// A dropped future takes no place. A connection that was already asked to close still closes.
    pub(super) async fn take(
        self: &Arc<Self>,
        state: Arc<ConnectionState>,
        stop: CancellationToken,
    ) -> Place {
        let permit = self.permit().await;
        let mut taken = self.taken();
        taken.next += 1;
        let number = taken.next;
        taken.connections.insert(number, Entry { state, stop });
        drop(taken);
        Place { places: Arc::clone(self), number, _permit: permit }
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return permit;
        }
        tracing::debug!("connection limit reached");
        loop {
            self.dismiss_longest_idle();
            let waiting = timeout(LOOK, Arc::clone(&self.free).acquire_owned());
            // The semaphore is never closed.
            if let Ok(Ok(permit)) = waiting.await {
                return permit;
            }
        }
    }

    fn dismiss_longest_idle(&self) {
        let taken = self.taken();
        let idle = taken.connections.values().filter(|entry| !entry.state.is_dismissed());
        let idle = idle.filter_map(|entry| Some((entry.state.idle_since()?, entry)));
        if let Some((_, entry)) = idle.min_by_key(|(since, _)| *since) {
            entry.dismiss();
        }
    }

    /// Asks HTTP/2 connections that have been idle for `limit` to close. Never returns.
    pub(super) async fn dismiss_idle(&self, limit: Duration) {
        let mut round = interval((limit / 15).max(Duration::from_millis(10)));
        loop {
            round.tick().await;
            let now = Instant::now();
            let is_over = |since| now.saturating_duration_since(since) >= limit;
            for entry in self.taken().connections.values() {
                if entry.state.is_multiplexed() && entry.state.idle_since().is_some_and(is_over) {
                    entry.dismiss();
                }
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn dismiss(&self) {
        if self.state.dismiss() {
            self.stop.cancel();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().connections.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::{super::connection_state::InFlight, *};

    /// A connection that closes when it is asked to.
    async fn connect(places: &Arc<Places>) -> (Arc<ConnectionState>, CancellationToken) {
        let (state, stop) = (Arc::<ConnectionState>::default(), CancellationToken::new());
        let place = places.take(Arc::clone(&state), stop.clone()).await;
        let stopped = stop.clone();
        tokio::spawn(async move {
            stopped.cancelled().await;
            drop(place);
        });
        (state, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_is_idle_the_longest_leaves_for_a_new_one() {
        let places = Arc::new(Places::new(3));
        let (_, first) = connect(&places).await;
        advance(LOOK).await;
        let (busy, second) = connect(&places).await;
        let _in_flight = InFlight::begin(busy);
        advance(LOOK).await;
        let (_, third) = connect(&places).await;
        let stopped = || [&first, &second, &third].map(CancellationToken::is_cancelled);
        assert_eq!(stopped(), [false, false, false]);
        let (newer, _) = connect(&places).await;
        assert_eq!(stopped(), [true, false, false]);
        let _in_flight = InFlight::begin(newer);
        let (newest, _) = connect(&places).await;
        assert_eq!(stopped(), [true, false, true], "the busy ones stay");

        let in_flight = InFlight::begin(newest);
        let places = &places;
        let mut waiting = Box::pin(connect(places));
        assert!(timeout(LOOK * 100, &mut waiting).await.is_err(), "none is idle");
        drop(in_flight);
        waiting.await;
    }

    #[tokio::test(start_paused = true)]
    async fn http2_that_is_idle_for_too_long_leaves() {
        let places = Arc::new(Places::new(10));
        let (http1, first) = connect(&places).await;
        let (idle, second) = connect(&places).await;
        let (busy, third) = connect(&places).await;
        let (tunnel, fourth) = connect(&places).await;
        assert!(!http1.is_multiplexed());
        idle.exempt();
        busy.exempt();
        tunnel.open_tunnel();
        let in_flight = InFlight::begin(busy);
        let limit = Duration::from_secs(75);
        let stopped = || [&first, &second, &third, &fourth].map(CancellationToken::is_cancelled);
        let check = async {
            sleep(limit - Duration::from_secs(1)).await;
            assert_eq!(stopped(), [false; 4]);
            sleep(Duration::from_secs(7)).await;
            assert_eq!(stopped(), [false, true, false, false]);
            drop(in_flight);
            sleep(limit - Duration::from_secs(1)).await;
            assert_eq!(stopped(), [false, true, false, false]);
            sleep(Duration::from_secs(7)).await;
            assert_eq!(stopped(), [false, true, true, false]);
        };
        tokio::select! { () = places.dismiss_idle(limit) => {}, () = check => {} }
    }
}
