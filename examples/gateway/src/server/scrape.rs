//! The metrics, as Prometheus reads them.

use std::sync::Arc;

use bartizan::observe::{Metrics, TEXT_FORMAT};
use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many texts may be on their way at once: one may be large, and its reader slow.
const MAX_SCRAPES: usize = 2;

/// Responds to those that ask for metrics.
#[derive(Clone, Debug)]
pub(super) struct Scrapes {
    metrics: Metrics,
    places: Arc<Semaphore>,
}

/// A text that has its place until all of it is sent.
struct Placed {
    text: String,
    _place: OwnedSemaphorePermit,
}

impl Scrapes {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, places: Arc::new(Semaphore::new(MAX_SCRAPES)) }
    }

    /// All metrics; 503 if two others are still being sent.
    pub(super) fn respond(&self) -> Response<Full<Bytes>> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let mut response = Response::new(Full::from("two others read the metrics\n"));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return response;
        };
        let placed = Placed { text: self.metrics.snapshot().to_string(), _place: place };
        let mut response = Response::new(Full::new(Bytes::from_owner(placed)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
        response
    }
}

impl AsRef<[u8]> for Placed {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn two_read_at_once_and_a_third_is_told_to_come_back() {
        let scrapes = Scrapes::new(Metrics::new());
        let (first, _second) = (scrapes.respond(), scrapes.respond());
        assert_eq!(first.headers()[CONTENT_TYPE], TEXT_FORMAT);
        // Even if a server has taken it, it is still to be sent.
        let text = first.into_body().collect().await.unwrap().to_bytes();
        assert!(text.ends_with(b"\n") && text.starts_with(b"# HELP "), "{text:?}");
        let third = scrapes.respond();
        assert_eq!(third.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(third.headers()[RETRY_AFTER], "1");
        drop(text);
        assert_eq!(scrapes.respond().status(), 200);
    }
}
