//! The task of a connection.

use std::{future::poll_fn, pin::pin, sync::Weak, task::Poll, time::Duration};

use hyper::{
    client::conn::http2::Connection,
    rt::{Read, Write},
};
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, sleep};

use super::{outgoing::StreamedBody, pool::Pool};

/// The interval for polling the peer's stream limit, because hyper does not report changes. It arrives with the peer's
/// first frame, and rarely changes.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Drives `connection` to its end, and keeps `pool` informed of the peer's stream limit.
pub(super) async fn drive<T>(
    connection: Connection<T, StreamedBody, TokioExecutor>,
    pool: Weak<Pool>,
    id: u64,
) where
    T: Read + Write + Send + Unpin + 'static,
{
    let mut connection = pin!(connection);
    let mut pause = FIRST_LOOK;
    let mut look = pin!(sleep(pause));
    poll_fn(|cx| {
        // Its requests get the error if it fails.
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let Some(pool) = pool.upgrade() else { return Poll::Pending };
            pool.takes(id, connection.current_max_send_streams());
            if look.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            pause = (2 * pause).min(LAST_LOOK);
            look.as_mut().reset(Instant::now() + pause);
        }
    })
    .await;
    if let Some(pool) = pool.upgrade() {
        pool.ended(id);
    }
}
