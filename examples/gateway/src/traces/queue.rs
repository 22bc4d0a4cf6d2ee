//! Takes spans where they end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span, SpanData, SpanProcessor},
};
use tokio::sync::mpsc;

/// Queues spans, or counts them as lost. Never waits.
#[derive(Debug)]
pub(super) struct Enqueue {
    queue: mpsc::Sender<SpanData>,
    lost: Arc<AtomicU64>,
}

impl Enqueue {
    pub(super) const fn new(queue: mpsc::Sender<SpanData>, lost: Arc<AtomicU64>) -> Self {
        Self { queue, lost }
    }
}

impl SpanProcessor for Enqueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.queue.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    // The task that sends is stopped by `Traces::flush`.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
