//! An HTTP/2 backend without TLS, by hyper with its defaults, for `edges.py`: `PORT`. `/stream` sends one event and
//! stays open; anything else is answered at once.

use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

struct Reply {
    data: Option<Bytes>,
    stays_open: bool,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.data.take() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None if self.stays_open => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

async fn reply(request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let stays_open = request.uri().path() == "/stream";
    let data = if stays_open { "data: 1\n\n" } else { "ok" };
    let mut response = Response::new(Reply { data: Some(data.into()), stays_open });
    if stays_open {
        let kind = http::HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    }
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).ok_or("usage: PORT")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let builder = http2::Builder::new(TokioExecutor::new());
        tokio::spawn(builder.serve_connection(TokioIo::new(stream), service_fn(reply)));
    }
}
