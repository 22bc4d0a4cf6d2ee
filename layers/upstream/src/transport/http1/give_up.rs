//! What happens to the connection of a cancelled exchange.
//!
//! Closing it tells the backend, but the next request then needs a new connection: a client that resets thousands of
//! requests a second would make the backend accept as many connections. So a short response is read to its end, and the
//! connection is kept.
//!
//! | cancelled exchange | connection |
//! |---|---|
//! | the response comes within 100 ms, and has at most 64 KiB | kept |
//! | a response in progress, whose declared rest is at most 64 KiB and arrives within 100 ms | kept |
//! | any other, or 64 of the same backend are being read out | closed |

use std::{future::Future, sync::Arc, time::Duration};

use http::{Response, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{runtime::Handle, time::timeout};

use super::{link::Link, pool::Pool};

/// How much of a response is read out.
const MAX_REST_BYTES: u64 = 64 * 1024;
/// For how long.
const PATIENCE: Duration = Duration::from_millis(100);

/// Waits for the response, and keeps the connection if it is short.
#[cold]
pub(super) fn without_response<E>(
    answer: impl Future<Output = Result<Response<Incoming>, E>> + Send + 'static,
    link: Link,
    pool: Arc<Pool>,
) {
    read_out(link, pool, async move {
        let Ok(response) = answer.await else { return false };
        let may_be_kept = response.version() == Version::HTTP_11
            && response.status() != StatusCode::SWITCHING_PROTOCOLS;
        may_be_kept && is_short(response.into_body()).await
    });
}

/// Reads the rest of the response, and keeps the connection if it is short.
#[cold]
pub(super) fn within_body(incoming: Incoming, link: Link, pool: Arc<Pool>) {
    // A body of unknown length may be an event stream, whose end the backend should learn at once.
    if incoming.size_hint().exact().is_some_and(|rest| rest <= MAX_REST_BYTES) {
        read_out(link, pool, is_short(incoming));
    }
}

fn read_out(link: Link, pool: Arc<Pool>, rest: impl Future<Output = bool> + Send + 'static) {
    // Outside the runtime there is no task to read it; the connection is closed.
    let Ok(runtime) = Handle::try_current() else { return };
    let Some(turn) = pool.read_out() else { return };
    runtime.spawn(async move {
        if timeout(PATIENCE, rest).await.is_ok_and(|is_short| is_short) {
            pool.check_in_when_ready(link);
        }
        drop(turn);
    });
}

/// Reads `body`, and returns whether it ends soon.
async fn is_short(mut body: Incoming) -> bool {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if bytes > MAX_REST_BYTES {
            return false;
        }
    }
    true
}
