//! Two connections joined into one: relays bytes both ways, until one side ends or is silent for too long.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    sync::Notify,
    time::{Instant, sleep_until},
};

/// How long one side may be silent after the other has closed its half, so that data in flight still arrives.
pub(crate) const HALF_CLOSED: Duration = Duration::from_secs(10);

/// Relays between `client` and `backend` until both have ended, one breaks off, one has ended and the other is silent
/// for [`HALF_CLOSED`], or no byte moves for `idle`.
pub(crate) async fn relay<C, B>(client: C, backend: B, idle: Option<Duration>)
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let activity = Activity::new();
    let mut client = Watched { io: client, activity: &activity };
    let mut backend = Watched { io: backend, activity: &activity };
    let copied = async {
        // If one side breaks off, the tunnel ends; there is no one to report the error to.
        let _ = copy_bidirectional(&mut client, &mut backend).await;
    };
    either(copied, activity.silence(idle)).await;
}

/// Resolves when one of the two does, and drops the other.
pub(crate) async fn either(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| {
        if one.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        other.as_mut().poll(cx)
    })
    .await;
}

/// When bytes last moved.
struct Activity {
    state: Mutex<State>,
    half_closed: Notify,
}

#[derive(Clone, Copy)]
struct State {
    moved: Instant,
    is_half_closed: bool,
}

/// One side of a tunnel.
struct Watched<'a, T> {
    io: T,
    activity: &'a Activity,
}

impl Activity {
    fn new() -> Self {
        let state = State { moved: Instant::now(), is_half_closed: false };
        Self { state: Mutex::new(state), half_closed: Notify::new() }
    }

    fn moved(&self) {
        self.state().moved = Instant::now();
    }

    fn ended(&self) {
        let mut state = self.state();
        state.moved = Instant::now();
        state.is_half_closed = true;
        drop(state);
        self.half_closed.notify_one();
    }

    /// Resolves when no byte has moved for too long.
    async fn silence(&self, idle: Option<Duration>) {
        loop {
            let State { moved, is_half_closed } = *self.state();
            let bound = match idle {
                _ if is_half_closed => Some(HALF_CLOSED),
                idle => idle,
            };
            // A timeout beyond the range of the clock means no timeout.
            let Some(deadline) = bound.and_then(|bound| moved.checked_add(bound)) else {
                self.half_closed.notified().await;
                continue;
            };
            if deadline <= Instant::now() {
                return;
            }
            either(sleep_until(deadline), self.half_closed.notified()).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if let Poll::Ready(Ok(())) = polled {
            if buffer.filled().len() > before {
                self.activity.moved();
            } else {
                self.activity.ended();
            }
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<'_, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(_)) = polled {
            self.activity.moved();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bytes);
        if let Poll::Ready(Ok(_)) = polled {
            self.activity.moved();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        task::JoinHandle,
        time::sleep,
    };

    use super::*;

    /// A tunnel, and the two that use it.
    fn tunnel(idle: Option<Duration>) -> (DuplexStream, DuplexStream, JoinHandle<Duration>) {
        let (client, near) = duplex(1024);
        let (far, backend) = duplex(1024);
        let relaying = tokio::spawn(async move {
            let begun = Instant::now();
            relay(near, far, idle).await;
            begun.elapsed()
        });
        (client, backend, relaying)
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_is_silent_after_its_client_has_left_is_given_up() {
        let (client, mut backend, relaying) = tunnel(None);
        drop(client);
        let mut rest = Vec::new();
        backend.read_to_end(&mut rest).await.unwrap();
        let lasted = relaying.await.unwrap();
        assert!((HALF_CLOSED..HALF_CLOSED * 2).contains(&lasted), "{lasted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_one_side_has_ended_the_other_may_go_on_talking() {
        let (mut client, mut backend, relaying) = tunnel(None);
        client.shutdown().await.unwrap();
        let mut seen = [0];
        for _ in 0..10 {
            sleep(HALF_CLOSED / 2).await;
            backend.write_all(b"x").await.unwrap();
            client.read_exact(&mut seen).await.unwrap();
        }
        drop(backend);
        assert!(relaying.await.unwrap() < HALF_CLOSED * 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_ends_when_no_byte_has_moved_for_its_idle_time() {
        let hour = Duration::from_secs(3600);
        let (mut client, mut backend, relaying) = tunnel(Some(hour));
        let mut seen = [0];
        for _ in 0..3 {
            sleep(hour - Duration::from_secs(1)).await;
            client.write_all(b"x").await.unwrap();
            backend.read_exact(&mut seen).await.unwrap();
        }
        let lasted = relaying.await.unwrap();
        assert!((hour * 4 - Duration::from_secs(3)..hour * 4).contains(&lasted), "{lasted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_bound_a_silent_tunnel_stands() {
        let (_client, _backend, relaying) = tunnel(None);
        sleep(Duration::from_secs(1_000_000)).await;
        assert!(!relaying.is_finished());
        relaying.abort();
    }
}
