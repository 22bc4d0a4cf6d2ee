//! The place of a request in a distributed trace.

use std::fmt;

use crate::{Carrier, Passage};

/// Which trace a request belongs to, and which span in it is the parent of what is done next: the fields of
/// [`traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header), as plain data.
///
/// A request carries one only while it is recorded. None of it is a secret.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

impl TraceContext {
    /// The flag of a trace that is recorded.
    pub const SAMPLED: u8 = 0x01;

    /// The flag of a trace whose id is random ([Level
    /// 2](https://www.w3.org/TR/trace-context-2/#random-trace-id-flag)).
    pub const RANDOM: u8 = 0x02;

    /// Makes a context; none if an id is all zeros, which is not an id.
    #[inline]
    #[must_use]
    pub const fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Option<Self> {
        if u128::from_ne_bytes(trace_id) == 0 || u64::from_ne_bytes(span_id) == 0 {
            return None;
        }
        Some(Self { trace_id, span_id, flags })
    }

    /// The context of the request, if a layer records it.
    pub fn of(carrier: &impl Carrier) -> Option<&Self> {
        Passage::of(carrier)?.trace()
    }

    /// Attaches the context to the request, for the layers and services below.
    pub fn attach(self, carrier: &mut impl Carrier) {
        Passage::with(carrier, |passage| passage.set_trace(self));
    }

    /// The id of the trace.
    #[must_use]
    pub const fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The id of the span.
    #[must_use]
    pub const fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// The flags.
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the sampled flag is set.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & Self::SAMPLED != 0
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceContext")
            .field("trace_id", &format_args!("{:032x}", u128::from_be_bytes(self.trace_id)))
            .field("span_id", &format_args!("{:016x}", u64::from_be_bytes(self.span_id)))
            .field("flags", &self.flags)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn ids_of_zeros_are_not_ids() {
        assert!(TraceContext::new([0; 16], [1; 8], 1).is_none());
        assert!(TraceContext::new([1; 16], [0; 8], 1).is_none());
        let mut last = [0; 16];
        last[15] = 1;
        assert!(TraceContext::new(last, [1; 8], 0).is_some());
    }

    #[test]
    fn it_is_small_and_travels_with_the_request() {
        assert_eq!(size_of::<Option<TraceContext>>(), 26);
        let context = TraceContext::new([0xab; 16], [1; 8], 3).unwrap();
        let mut request = Request::new(());
        assert!(TraceContext::of(&request).is_none());
        context.attach(&mut request);
        assert_eq!(TraceContext::of(&request), Some(&context));
        assert!(context.is_sampled());
        assert!(!TraceContext::new([1; 16], [1; 8], 2).unwrap().is_sampled());
        assert_eq!(
            format!("{context:?}"),
            "TraceContext { trace_id: abababababababababababababababab, span_id: 0101010101010101, flags: 3 }"
        );
    }
}
