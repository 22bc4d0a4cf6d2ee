//! A span that ends whatever happens.

use bartizan_core::TraceContext;
use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        Span, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
        TraceId, TraceState, Tracer,
    },
};

use crate::attributes::ERROR_TYPE;

/// A span that has not ended. If it is dropped, it was cancelled.
#[derive(Debug)]
pub(crate) struct OpenSpan<P: Span> {
    span: P,
    has_ended: bool,
}

/// Where the parent of a span is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Parent {
    /// In this process.
    Here(TraceContext),
    /// In the process of the peer.
    Remote(TraceContext),
    /// Nowhere: the trace starts.
    None,
}

impl<P: Span> OpenSpan<P> {
    /// Starts a span; none if `tracer` does not record it.
    pub(crate) fn start(
        tracer: &impl Tracer<Span = P>,
        builder: SpanBuilder,
        kind: SpanKind,
        parent: Parent,
    ) -> Option<(Self, TraceContext)> {
        // Not the current context: nothing that runs on this thread is the parent.
        let context = Context::new();
        let context = match parent {
            Parent::Here(parent) => context.with_remote_span_context(known(&parent, false)),
            Parent::Remote(parent) => context.with_remote_span_context(known(&parent, true)),
            Parent::None => context,
        };
        let span = tracer.build_with_context(builder.with_kind(kind), &context);
        let own = span.span_context();
        let flags = own.trace_flags().to_u8();
        let own = TraceContext::new(own.trace_id().to_bytes(), own.span_id().to_bytes(), flags)?;
        own.is_sampled().then_some((Self { span, has_ended: false }, own))
    }

    pub(crate) fn set(&mut self, attribute: KeyValue) {
        self.span.set_attribute(attribute);
    }

    /// Records a failure; `error` is from a closed set.
    pub(crate) fn fail(&mut self, error: impl Into<Value>) {
        self.span.set_attribute(KeyValue::new(ERROR_TYPE, error));
        // Without words: the type says it, and words may hold what must not be here.
        self.span.set_status(Status::error(""));
    }

    /// Ends it.
    pub(crate) fn end(mut self) {
        self.has_ended = true;
        self.span.end();
    }
}

/// What is to be recorded here is sampled, whatever the peer's flag was.
fn known(parent: &TraceContext, is_remote: bool) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(parent.trace_id()),
        SpanId::from_bytes(parent.span_id()),
        TraceFlags::new(parent.flags() | TraceContext::SAMPLED),
        is_remote,
        TraceState::NONE,
    )
}

impl<P: Span> Drop for OpenSpan<P> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.span.set_attribute(KeyValue::new(ERROR_TYPE, "cancelled"));
            self.span.end();
        }
    }
}
