//! Waiting for the first attempt to reach the server.

use tokio::sync::watch;

/// Whether the first attempt to reach the server is over, successful or not.
#[derive(Debug)]
pub(crate) struct FirstTry(watch::Sender<bool>);

impl FirstTry {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Records that it is over. Later attempts change nothing.
    pub(crate) fn end(&self) {
        self.0.send_if_modified(|is_over| !std::mem::replace(is_over, true));
    }

    /// Waits until it is over.
    pub(crate) async fn wait(&self) {
        // `self` owns the sender, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|is_over| *is_over).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_woken_and_who_comes_later_does_not_wait() {
        let first = FirstTry::new();
        let mut waiting = Box::pin(first.wait());
        assert!(waiting.as_mut().now_or_never().is_none());
        first.end();
        first.end();
        assert!(waiting.now_or_never().is_some() && first.wait().now_or_never().is_some());
    }
}
