//! A server made from a closure, over HTTP/1.1 and HTTP/2 in clear text.

use std::{
    convert::Infallible, error::Error, fmt, io::ErrorKind, net::SocketAddr, sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

pub type BoxBody = UnsyncBoxBody<Bytes, BodyError>;

/// The error of any body. A separate type, because the compiler rejects a `dyn Error` in the type of a spawned future
/// (<https://github.com/rust-lang/rust/issues/110338>).
#[derive(Debug)]
pub struct BodyError(Box<dyn Error + Send + Sync>);

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body failed")
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// A running server. Dropping it closes its port and every connection that was not upgraded.
#[derive(Debug)]
pub struct Server {
    pub addr: SocketAddr,
    /// The task ends when its sender is gone.
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Server {
    pub fn uri(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Closes the port and every connection at once, and waits until that is done.
    pub async fn kill(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            drop(stop);
            let _ = task.await;
        }
    }
}

/// Makes any body a [`BoxBody`].
pub fn boxed<B>(body: B) -> BoxBody
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    body.map_err(|error| BodyError(error.into())).boxed_unsync()
}

/// Serves on a free port with `handler`.
pub async fn serve<H, F>(handler: H) -> Server
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<BoxBody>> + Send + 'static,
{
    serve_at(SocketAddr::from(([127, 0, 0, 1], 0)), handler).await
}

/// Serves at `addr` with `handler`. A server may have just closed the port.
pub async fn serve_at<H, F>(addr: SocketAddr, handler: H) -> Server
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<BoxBody>> + Send + 'static,
{
    let listener = bind(addr).await;
    let addr = listener.local_addr().unwrap();
    let handler = Arc::new(handler);
    let (stop, mut stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = &mut stopped => break,
            };
            let Ok((stream, _)) = accepted else { break };
            stream.set_nodelay(true).unwrap();
            let handler = Arc::clone(&handler);
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let response = handler(request);
                    async move { Ok::<_, Infallible>(response.await) }
                });
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder.http2().enable_connect_protocol();
                let connection =
                    builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
                let _ = connection.await;
            });
            while connections.try_join_next().is_some() {}
        }
        drop(listener);
        connections.shutdown().await;
    });
    Server { addr, running: Some((stop, task)) }
}

/// A client's connection may occupy the port of a server that has closed it, until the connection ends.
async fn bind(addr: SocketAddr) -> TcpListener {
    for _ in 0..500 {
        match TcpListener::bind(addr).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                sleep(Duration::from_millis(10)).await;
            }
            listener => return listener.unwrap(),
        }
    }
    panic!("{addr} stays in use");
}
