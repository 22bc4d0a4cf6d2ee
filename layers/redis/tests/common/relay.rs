//! A simulated network between a store and its server, with a delay and a target that can be
//! changed.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// Forwards every connection to a server until it is dropped.
pub(crate) struct Relay {
    addr: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    dialled: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Connects to `target`; data in either direction arrives after `delay`.
    pub(crate) async fn to(target: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(target));
        let dialled = Arc::<AtomicUsize>::default();
        let accepting = accept(listener, Arc::clone(&target), Arc::clone(&dialled), delay);
        Self { addr, target, dialled, task: tokio::spawn(accepting) }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// How often it was connected to.
    pub(crate) fn dialled(&self) -> usize {
        self.dialled.load(Ordering::Relaxed)
    }

    /// Sends new connections to `target`; existing ones stay.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }
}

async fn accept(
    listener: TcpListener,
    target: Arc<Mutex<SocketAddr>>,
    dialled: Arc<AtomicUsize>,
    delay: Duration,
) {
    while let Ok((client, _)) = listener.accept().await {
        dialled.fetch_add(1, Ordering::Relaxed);
        let target = *target.lock().unwrap();
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(target).await else { return };
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(carry(from_client, to_server, delay));
            carry(from_server, to_client, delay).await;
        });
    }
}

/// Delays each chunk independently: this simulates latency, not low bandwidth.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (pieces, mut on_the_way) = tokio::sync::mpsc::channel::<(Instant, Vec<u8>)>(1_024);
    tokio::spawn(async move {
        while let Some((due, piece)) = on_the_way.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let piece = buffer.iter().take(n).copied().collect();
        if pieces.send((Instant::now() + delay, piece)).await.is_err() {
            return;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
