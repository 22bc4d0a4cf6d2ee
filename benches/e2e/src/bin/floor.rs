//! The plainest forwarder: hyper's server, hyper-util's client, and nothing else.
//!
//! `floor LISTEN BACKEND [multi-thread]`: two addresses, and the kind of runtime, which has one worker in either case.
#![allow(clippy::unwrap_used, reason = "a benchmark is a program of its own")]

use std::env;

use http::{Request, Uri, Version};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{net::TcpListener, runtime::Builder};

fn main() {
    let mut args = env::args().skip(1);
    let (listen, backend) = (args.next().unwrap(), args.next().unwrap());
    // One that can have several workers costs more even where it has one: both are measured.
    let mut runtime = match args.next().as_deref() {
        Some("multi-thread") => Builder::new_multi_thread(),
        _ => Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(serve(&listen, &backend));
}

async fn serve(listen: &str, backend: &str) {
    let listener = TcpListener::bind(listen).await.unwrap();
    let origin: Uri = format!("http://{backend}/").parse().unwrap();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (client, origin) = (client.clone(), origin.clone());
        let forward = service_fn(move |mut request: Request<Incoming>| {
            let mut parts = origin.clone().into_parts();
            parts.path_and_query = request.uri().path_and_query().cloned();
            *request.uri_mut() = Uri::from_parts(parts).unwrap();
            *request.version_mut() = Version::HTTP_11;
            client.request(request)
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), forward));
    }
}
