//! What a request brings, and what is to be done with it. Pure.

use bartizan_core::{TraceContext, fields::only_line};
use http::HeaderMap;

use crate::{
    traceparent::{self, TRACEPARENT},
    tracestate::TRACESTATE,
};

/// What a request says about its trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Arrival {
    /// Nothing.
    Without,
    /// Where it belongs.
    Valid(TraceContext),
    /// Something that cannot be read, or two lines.
    Malformed,
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Plan {
    /// Whether it is to be recorded.
    pub(crate) is_wanted: bool,
    /// Its parent then.
    pub(crate) parent: Option<TraceContext>,
    /// What becomes of its fields if it is not recorded.
    pub(crate) otherwise: Unrecorded,
}

/// What becomes of the fields of a request that is not recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unrecorded {
    /// They stay as they came.
    Left,
    /// They go, so that the trace starts again behind this proxy.
    Removed,
    /// The trace goes on, without the flag of a stranger.
    Unsampled(TraceContext),
}

impl Arrival {
    #[inline]
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match only_line(headers, &TRACEPARENT) {
            Ok(None) => Self::Without,
            Ok(Some(line)) => {
                traceparent::parse(line.as_bytes()).map_or(Self::Malformed, Self::Valid)
            }
            Err(_) => Self::Malformed,
        }
    }

    /// Whether to record: `is_trusted` says whether the peer's flag decides, and `is_drawn` whether chance chose the
    /// request.
    pub(crate) fn plan(
        self,
        is_trusted: impl FnOnce() -> bool,
        is_drawn: impl FnOnce() -> bool,
    ) -> Plan {
        match self {
            Self::Without => {
                Plan { is_wanted: is_drawn(), parent: None, otherwise: Unrecorded::Left }
            }
            Self::Malformed => {
                Plan { is_wanted: is_drawn(), parent: None, otherwise: Unrecorded::Removed }
            }
            Self::Valid(context) if is_trusted() => Plan {
                is_wanted: context.is_sampled(),
                parent: Some(context),
                otherwise: Unrecorded::Left,
            },
            Self::Valid(context) => Plan {
                is_wanted: is_drawn(),
                parent: Some(context),
                otherwise: match context.is_sampled() {
                    true => Unrecorded::Unsampled(context),
                    false => Unrecorded::Left,
                },
            },
        }
    }
}

impl Unrecorded {
    /// Changes the fields; `new_id` is the id of a span, which must change with the flag.
    pub(crate) fn settle(self, headers: &mut HeaderMap, new_id: impl FnOnce() -> [u8; 8]) {
        match self {
            Self::Left => {}
            Self::Removed => remove(headers),
            Self::Unsampled(context) => {
                let flags = context.flags() & !TraceContext::SAMPLED;
                let context = TraceContext::new(context.trace_id(), new_id(), flags);
                match context.and_then(|context| traceparent::render(&context)) {
                    Some(line) => {
                        headers.insert(&TRACEPARENT, line);
                    }
                    None => remove(headers),
                }
            }
        }
    }
}

fn remove(headers: &mut HeaderMap) {
    headers.remove(&TRACEPARENT);
    headers.remove(&TRACESTATE);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0";

    fn headers(lines: &[&str]) -> HeaderMap {
        let lines = lines.iter().map(|line| (TRACEPARENT.clone(), line.parse().unwrap()));
        lines.chain([(TRACESTATE.clone(), "a=1".parse().unwrap())]).collect()
    }

    fn context(flags: u8) -> TraceContext {
        traceparent::parse(format!("{LINE}{flags}").as_bytes()).unwrap()
    }

    #[test]
    fn a_second_line_is_malformed_even_if_it_is_equal() {
        let line = format!("{LINE}1");
        assert_eq!(Arrival::of(&headers(&[])), Arrival::Without);
        assert_eq!(Arrival::of(&headers(&[&line])), Arrival::Valid(context(1)));
        assert_eq!(Arrival::of(&headers(&[&line, &line])), Arrival::Malformed);
        assert_eq!(Arrival::of(&headers(&["no"])), Arrival::Malformed);
    }

    #[test]
    fn a_trusted_flag_decides_and_otherwise_chance() {
        use Unrecorded::{Left, Removed, Unsampled};
        let (on, off) = (Arrival::Valid(context(1)), Arrival::Valid(context(0)));
        for (arrival, is_trusted, is_drawn, is_wanted, parent, otherwise) in [
            (Arrival::Without, true, true, true, None, Left),
            (Arrival::Without, true, false, false, None, Left),
            (Arrival::Without, false, true, true, None, Left),
            (Arrival::Malformed, true, true, true, None, Removed),
            (Arrival::Malformed, false, false, false, None, Removed),
            (on, true, false, true, Some(context(1)), Left),
            (off, true, true, false, Some(context(0)), Left),
            (on, false, true, true, Some(context(1)), Unsampled(context(1))),
            (on, false, false, false, Some(context(1)), Unsampled(context(1))),
            (off, false, true, true, Some(context(0)), Left),
            (off, false, false, false, Some(context(0)), Left),
        ] {
            let plan = arrival.plan(|| is_trusted, || is_drawn);
            let expected = Plan { is_wanted, parent, otherwise };
            assert_eq!(plan, expected, "{arrival:?}, trusted: {is_trusted}, drawn: {is_drawn}");
        }
    }

    #[test]
    fn the_parent_changes_with_the_flag() {
        let line = format!("{LINE}1");
        let mut fields = headers(&[&line]);
        Unrecorded::Left.settle(&mut fields, || [7; 8]);
        assert_eq!(fields, headers(&[&line]));
        Unrecorded::Unsampled(context(1)).settle(&mut fields, || [7; 8]);
        assert_eq!(fields[&TRACEPARENT], "00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-00");
        assert_eq!(fields[&TRACESTATE], "a=1");
        // Not an id.
        Unrecorded::Unsampled(context(1)).settle(&mut fields, || [0; 8]);
        assert!(fields.is_empty());
        let mut fields = headers(&["no", "no"]);
        Unrecorded::Removed.settle(&mut fields, || [7; 8]);
        assert!(fields.is_empty());
    }
}
