//! Reads a response body up to a limit, and restores it.

use std::{collections::VecDeque, future::poll_fn, pin::Pin};

use bartizan_core::fields::media;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::time::{Instant, timeout_at};

use super::{
    handshake::{Scan, Scanned},
    looked::Looked,
};

/// The minimum read limit for a response, in bytes, and the factor over the limit of the agreement: a response contains
/// more, such as instructions for a model.
const LEAST_BYTES: usize = 64 * 1024;
const LOOK_FACTOR: usize = 4;

/// Looks for what a server agreed to in its response to `initialize`, until `deadline`. Reads at most 64 KiB or four
/// times `limit_bytes`, the limit of an agreement, whichever is more.
pub(crate) async fn for_agreement<R: Body<Data = Bytes>>(
    headers: &HeaderMap,
    body: R,
    limit_bytes: usize,
    deadline: Instant,
) -> (Scanned, Looked<R>) {
    let look_bytes = limit_bytes.saturating_mul(LOOK_FACTOR).max(LEAST_BYTES);
    let mut scan = Scan::new(media::is_event_stream(headers), look_bytes);
    let mut looked = Looked::new(body);
    while let Some(data) = looked.read(deadline).await {
        match scan.push(&data) {
            Scanned::NotYet => {}
            found => return (found, looked),
        }
    }
    let found = if looked.has_ended() { scan.end() } else { Scanned::Nothing };
    (found, looked)
}

/// Reads the first `limit_bytes` of a body, as long as it comes until `deadline`.
pub(crate) async fn at_text<R: Body<Data = Bytes>>(
    body: R,
    limit_bytes: usize,
    deadline: Instant,
) -> (Bytes, Looked<R>) {
    let mut looked = Looked::new(body);
    let mut text = BytesMut::new();
    while text.len() < limit_bytes
        && let Some(data) = looked.read(deadline).await
    {
        text.extend_from_slice(&data);
    }
    (text.freeze(), looked)
}

impl<R: Body<Data = Bytes>> Looked<R> {
    fn new(body: R) -> Self {
        Self { frames: VecDeque::new(), rest: Some(Box::pin(body)), error: None }
    }

    /// Reads and keeps the next data; `None` at the end, after an error, or after the deadline.
    async fn read(&mut self, deadline: Instant) -> Option<Bytes> {
        loop {
            let rest: Pin<&mut R> = self.rest.as_mut()?.as_mut();
            let mut rest = rest;
            let frame = timeout_at(deadline, poll_fn(|cx| rest.as_mut().poll_frame(cx))).await;
            match frame.ok()? {
                None => self.rest = None,
                Some(Err(error)) => {
                    self.error = Some(error);
                    self.rest = None;
                }
                Some(Ok(frame)) => {
                    let data = frame.data_ref().cloned();
                    // Frames without content must not pile up.
                    if data.as_ref().is_none_or(|data| !data.is_empty()) {
                        self.frames.push_back(frame);
                    }
                    if let Some(data) = data.filter(|data| !data.is_empty()) {
                        return Some(data);
                    }
                }
            }
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.rest.is_none() && self.error.is_none()
    }

    /// Drops the body. If its end has already arrived, it is read first, so that the connection can be reused.
    pub(crate) async fn discard(mut self) {
        let Some(mut rest) = self.rest.take() else { return };
        poll_fn(|cx| {
            // A few frames at most: a stream that does not end is dropped.
            for _ in 0..8 {
                match rest.as_mut().poll_frame(cx) {
                    std::task::Poll::Ready(Some(Ok::<Frame<Bytes>, _>(_))) => {}
                    _ => break,
                }
            }
            std::task::Poll::Ready(())
        })
        .await;
    }
}
