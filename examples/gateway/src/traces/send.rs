//! Sends spans to the collector, in batches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::complaint::Complaint;

/// How long spans are gathered before they are sent.
const GATHER: Duration = Duration::from_millis(500);

/// How many are sent together.
const BATCH: usize = 512;

/// How long a batch may take with all that the exporter repeats.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends spans; one that is not taken is lost.
pub(super) struct Sender<E> {
    exporter: E,
    /// How the log names the collector.
    name: String,
    lost: Arc<AtomicU64>,
    complaint: Complaint,
}

impl<E: SpanExporter> Sender<E> {
    pub(super) fn new(exporter: E, name: String, lost: Arc<AtomicU64>) -> Self {
        Self { exporter, name, lost, complaint: Complaint::default() }
    }

    /// Sends until `stop`, and then what is left.
    pub(super) async fn run(
        mut self,
        mut spans: mpsc::Receiver<SpanData>,
        stop: CancellationToken,
    ) {
        let mut batch = Vec::new();
        loop {
            let first = tokio::select! {
                first = spans.recv() => first,
                () = stop.cancelled() => None,
            };
            let Some(first) = first else { break };
            batch.push(first);
            // Not woken for each: they come by themselves.
            tokio::select! {
                () = sleep(GATHER) => {}
                () = stop.cancelled() => {}
            }
            self.send_queued(&mut spans, &mut batch).await;
        }
        self.send_queued(&mut spans, &mut batch).await;
    }

    /// Sends `batch` and what is queued.
    async fn send_queued(
        &mut self,
        spans: &mut mpsc::Receiver<SpanData>,
        batch: &mut Vec<SpanData>,
    ) {
        loop {
            while batch.len() < BATCH
                && let Ok(span) = spans.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            self.send(std::mem::take(batch)).await;
        }
    }

    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let outcome = timeout(PATIENCE, self.exporter.export(batch)).await;
        let why = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {PATIENCE:?}")),
        };
        if why.is_some() {
            self.lost.fetch_add(count, Ordering::Relaxed);
        }
        let lost = self.lost.load(Ordering::Relaxed);
        if let Some(lost) = self.complaint.is_due(Instant::now(), lost) {
            let why = why.as_deref().unwrap_or("it takes spans too slowly");
            tracing::warn!(target: "bartizan::trace", "{lost} spans are lost: collector {}: {why}", self.name);
        }
    }
}
