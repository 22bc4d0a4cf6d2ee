//! Plain hyper: accepts connections and calls a Tower service for each request.

use std::{convert::Infallible, error::Error, io};

use bartizan::{connection::ConnectionService, core::PeerAddr};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;
use tower_service::Service;

/// Serves `service` over HTTP/1.1 and HTTP/2, and attaches the peer to each request.
pub(crate) async fn serve<S, R>(listener: TcpListener, service: S) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    R: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    loop {
        let (stream, addr) = listener.accept().await?;
        // The peer's address is formatted here, once per connection.
        let service = ConnectionService::new(service.clone(), PeerAddr::new(addr));
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            // A connection that breaks off does not affect others.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
