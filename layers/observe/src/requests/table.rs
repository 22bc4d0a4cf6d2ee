//! What is counted of requests: a table of atomics for each metric, whose index is made of the labels.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bartizan_core::{
    Reason,
    gauges::{Counter, Histogram, Reading},
};
use http::StatusCode;

use crate::{
    labels::Labelled,
    names::{
        self, ACTIVE, BOUNDS, CLASSES, CODES, METHODS, NO_RESPONSE, REFUSALS, REQUEST_SECONDS,
        RESPONSE_BYTES, RESPONSES,
    },
};

/// The numbers of all requests.
pub(crate) struct RequestTable {
    /// By method, and by class of the response in each.
    durations: Box<[Histogram]>,
    /// By status code.
    responses: Box<[Counter]>,
    /// By reason.
    refusals: Box<[Counter]>,
    active: AtomicU64,
    bytes: Counter,
}

impl RequestTable {
    pub(crate) fn new() -> Self {
        let places = METHODS.len() * CLASSES.len();
        Self {
            durations: (0..places).map(|_| Histogram::new(BOUNDS)).collect(),
            responses: (0..CODES).map(|_| Counter::new()).collect(),
            refusals: Reason::ALL.iter().map(|_| Counter::new()).collect(),
            active: AtomicU64::new(0),
            bytes: Counter::new(),
        }
    }

    #[inline]
    pub(super) fn begin(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn end(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a response with its reason, if it is a refusal.
    #[inline]
    pub(super) fn responded(
        &self,
        method: usize,
        status: StatusCode,
        reason: Option<Reason>,
        after: Duration,
    ) {
        self.took(method, names::class(status), after);
        if let Some(counter) = self.responses.get(names::code(status)) {
            counter.add_one();
        }
        if let Some(reason) = reason {
            self.refused(reason);
        }
    }

    /// Counts a request that no response came of.
    #[cold]
    pub(super) fn abandoned(&self, method: usize, after: Duration) {
        self.took(method, NO_RESPONSE, after);
    }

    #[inline]
    pub(super) fn sent(&self, bytes: usize) {
        self.bytes.add(bytes as u64);
    }

    #[inline]
    fn took(&self, method: usize, class: usize, after: Duration) {
        if let Some(histogram) = self.durations.get(method * CLASSES.len() + class) {
            histogram.add(after);
        }
    }

    #[cold]
    fn refused(&self, reason: Reason) {
        if let Some(counter) = self.refusals.get(names::reason(reason)) {
            counter.add_one();
        }
    }

    /// Gives all numbers. Durations and status codes that there are none of are left out; a reason is not, so that the
    /// first refusal is seen as an increase.
    pub(crate) fn read(&self, route: Option<&str>, out: &mut dyn FnMut(Reading<'_>)) {
        let mut out = Labelled::new(route, out);
        let by_method = self.durations.chunks(CLASSES.len());
        for (method, by_class) in METHODS.iter().zip(by_method) {
            for (class, histogram) in CLASSES.iter().zip(by_class) {
                let labels = [("http_request_method", *method), ("status_class", *class)];
                out.durations(&REQUEST_SECONDS, &labels, histogram);
            }
        }
        for (code, count) in self.responses_by_label() {
            out.number(&RESPONSES, &[("http_response_status_code", code)], count);
        }
        out.number(&ACTIVE, &[], self.active.load(Ordering::Relaxed));
        out.count(&RESPONSE_BYTES, &[], &self.bytes);
        for (reason, counter) in Reason::ALL.iter().zip(&self.refusals) {
            out.count(&REFUSALS, &[("error_type", reason.as_str())], counter);
        }
    }

    /// The codes that are not registered share the label of their class.
    fn responses_by_label(&self) -> Vec<(&'static str, u64)> {
        let mut by_label: Vec<(&'static str, u64)> = Vec::new();
        for (index, counter) in self.responses.iter().enumerate() {
            let (label, count) = (names::code_label(index), counter.get());
            if count == 0 {
                continue;
            }
            match by_label.iter_mut().find(|(known, _)| *known == label) {
                Some((_, sum)) => *sum += count,
                None => by_label.push((label, count)),
            }
        }
        by_label
    }
}
