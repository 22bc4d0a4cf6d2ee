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

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Mutex};

    use opentelemetry::trace::{Span, Tracer, TracerProvider};
    use opentelemetry_sdk::{
        error::{OTelSdkError, OTelSdkResult},
        trace::SdkTracerProvider,
    };

    use super::*;
    use crate::traces::{QUEUE, queue::Enqueue};

    #[derive(Clone, Copy, Debug)]
    enum Mood {
        Well,
        Failing,
        Silent,
    }

    #[derive(Clone, Debug)]
    struct Collector(Mood, Arc<Mutex<Vec<usize>>>);

    impl SpanExporter for Collector {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.1.lock().unwrap().push(batch.len());
            match self.0 {
                Mood::Well => Ok(()),
                Mood::Failing => Err(OTelSdkError::InternalFailure("500".to_owned())),
                Mood::Silent => pending().await,
            }
        }
    }

    /// Records `count` spans in front of a collector in this mood; the batches, and how many were lost.
    async fn recorded(mood: Mood, count: usize) -> (Vec<usize>, u64) {
        let (queue, spans) = mpsc::channel(QUEUE);
        let (lost, stop) = (Arc::<AtomicU64>::default(), CancellationToken::new());
        let collector = Collector(mood, Arc::default());
        let sender = Sender::new(collector.clone(), "http://c".to_owned(), Arc::clone(&lost));
        let task = tokio::spawn(sender.run(spans, stop.clone()));
        let enqueue = Enqueue::new(queue, Arc::clone(&lost));
        let provider = SdkTracerProvider::builder().with_span_processor(enqueue).build();
        let tracer = provider.tracer("test");
        for _ in 0..count {
            tracer.start("GET").end();
        }
        sleep(Duration::from_secs(3600)).await;
        stop.cancel();
        task.await.unwrap();
        let batches = collector.1.lock().unwrap().clone();
        (batches, lost.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn spans_are_sent_in_batches() {
        assert_eq!(recorded(Mood::Well, 0).await, (vec![], 0));
        assert_eq!(recorded(Mood::Well, 3).await, (vec![3], 0));
        assert_eq!(recorded(Mood::Well, 1_100).await, (vec![512, 512, 76], 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_or_is_not_taken_is_lost_and_counted() {
        let all = QUEUE as u64 + 500;
        let (batches, lost) = recorded(Mood::Well, QUEUE + 500).await;
        assert_eq!((batches.iter().sum::<usize>(), lost), (QUEUE, 500), "the queue has a bound");
        for mood in [Mood::Failing, Mood::Silent] {
            let (batches, lost) = recorded(mood, QUEUE + 500).await;
            assert_eq!((batches.iter().sum::<usize>(), lost), (QUEUE, all), "{mood:?}");
        }
    }
}
