//! How a kept request is sent, and sent again.

use std::sync::Arc;

use bartizan_core::body::ReplaceBody;
use http::Request;

use super::{super::replay_body::ReplayBody, Kept};

impl<B: ReplaceBody + Unpin + Send + 'static> Kept<B> {
    /// Keeps `request`, with up to `limit_bytes` of its body, and returns the request to send.
    pub(crate) fn keep(request: Request<B>, limit_bytes: usize) -> (Arc<Self>, Request<B>) {
        let (kept, head) = Self::split(request, limit_bytes);
        let body = B::from_body(ReplayBody::new(Arc::clone(&kept), 0));
        (kept, Request::from_parts(head, body))
    }

    /// The request for another attempt, if everything that was read of its body was kept. The earlier attempt gets no
    /// more data.
    pub(crate) fn again(self: &Arc<Self>) -> Option<Request<B>> {
        let turn = self.rewind()?;
        let mut request = Request::new(B::from_body(ReplayBody::new(Arc::clone(self), turn)));
        *request.method_mut() = self.method.clone();
        self.head().address(&mut request);
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures_util::stream;
    use http::HeaderMap;
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
    use tokio::time::{Instant, timeout};

    use super::*;

    type Frames = Vec<Result<Frame<Bytes>, std::io::Error>>;

    fn body(frames: Frames) -> UnsyncBoxBody<Bytes, std::io::Error> {
        StreamBody::new(stream::iter(frames)).boxed_unsync()
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, std::io::Error> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test]
    async fn a_body_is_given_again_from_the_beginning_wherever_it_was_left() {
        let frames =
            || vec![data("ab"), data(""), data("cd"), Ok(Frame::trailers(HeaderMap::new()))];
        for read in 0..5 {
            let (kept, mut sent) = Kept::keep(Request::new(body(frames())), 4);
            for _ in 0..read {
                let _ = sent.body_mut().frame().await;
            }
            let again = kept.again().unwrap();
            assert!(sent.body_mut().frame().await.is_none(), "the first one gets no more");
            let again = again.into_body().collect().await.unwrap();
            assert!(again.trailers().is_some());
            assert_eq!(again.to_bytes(), "abcd", "after {read} frames");
            // And once more.
            let third = kept.again().unwrap().into_body().collect().await.unwrap();
            assert_eq!(third.to_bytes(), "abcd");
        }
    }

    /// Otherwise the earlier attempt would wait forever, and keep the request and its connection
    /// alive.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_rest_of_a_body_is_told_when_another_gets_it() {
        let never = stream::pending::<Result<Frame<Bytes>, std::io::Error>>();
        let (kept, sent) = Kept::keep(Request::new(StreamBody::new(never).boxed_unsync()), 4);
        let waiting = tokio::spawn(async move { sent.into_body().frame().await.is_none() });
        tokio::task::yield_now().await;
        let _again = kept.again().unwrap();
        assert!(timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap());
    }

    /// A body does not always say how long it is.
    #[tokio::test]
    async fn what_is_looked_at_here_is_given_again_as_a_whole_however_long_it_is() {
        for (limit, expected) in [(2, "ab"), (3, "abcd"), (4, "abcd"), (5, "abcdef"), (9, "abcdef")]
        {
            let frames = vec![data("ab"), data("cd"), data("ef")];
            let (kept, _) = Kept::keep(Request::new(body(frames)), limit);
            kept.read_on(Instant::now() + Duration::from_secs(1)).await;
            let read = kept.body().read();
            assert!(read.starts_with(expected.as_bytes()), "{limit}: {read:?}");
            let again = kept.again().unwrap().into_body();
            assert_eq!(again.collect().await.unwrap().to_bytes(), "abcdef", "{limit}");
        }
    }

    #[tokio::test]
    async fn what_is_too_large_or_broke_off_is_not_given_again() {
        let broken = || Err(std::io::Error::other("broken"));
        for (frames, limit, reads) in
            [(vec![data("ab"), data("cd")], 3, 2), (vec![data("ab"), broken()], 9, 2)]
        {
            let (kept, mut sent) = Kept::keep(Request::new(body(frames)), limit);
            for _ in 0..reads {
                let _ = sent.body_mut().frame().await;
            }
            assert!(kept.again().is_none());
        }
        // Nothing was read, so the whole body is available, whatever its size.
        let (kept, _) = Kept::keep(Request::new(body(vec![data("abcd")])), 1);
        let again = kept.again().unwrap().into_body();
        assert_eq!(again.collect().await.unwrap().to_bytes(), "abcd");
    }
}
