//! The metrics that this crate counts itself, and the closed sets of their labels. Pure.

use std::time::Duration;

use bartizan_core::{Reason, Work, failure::FailureKind, gauges::Metric};
use http::{Method, StatusCode};

/// How long requests took, to the response head.
pub(crate) const REQUEST_SECONDS: Metric = Metric::histogram(
    "http_server_request_duration_seconds",
    "Time from the head of a request to the head of its response.",
);
pub(crate) const RESPONSES: Metric =
    Metric::counter("http_server_responses_total", "Responses by status code.");
pub(crate) const ACTIVE: Metric = Metric::gauge(
    "http_server_active_requests",
    "Requests whose response has not been sent to its end.",
);
pub(crate) const RESPONSE_BYTES: Metric =
    Metric::counter("bartizan_response_bytes_total", "Bytes of response bodies that were sent.");
pub(crate) const REFUSALS: Metric = Metric::counter(
    "bartizan_refusals_total",
    "Responses that this proxy made itself, by the reason of the refusal.",
);
pub(crate) const BACKEND_SECONDS: Metric = Metric::histogram(
    "http_client_request_duration_seconds",
    "Time from the request to a backend to the head of its response, or to its failure.",
);
pub(crate) const BACKEND_FAILURES: Metric = Metric::counter(
    "bartizan_backend_failures_total",
    "Requests to which a backend gave no response, by the kind of the failure.",
);
pub(crate) const WORK: Metric = Metric::counter(
    "bartizan_work_total",
    "Requests that were sent to a backend, by how they relate to sessions.",
);

/// The label value for whatever has none of its own.
pub(crate) const OTHER: &str = "_OTHER";

/// The upper ends of the ranges of durations: those that [OpenTelemetry's semantic conventions advise for
/// HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-metrics/), and three more for calls that take long.
pub(crate) const BOUNDS: &[Duration] = &[
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(75),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(750),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_millis(7_500),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// Values of `http_request_method`; the last is for methods that are not in the list.
pub(crate) const METHODS: [&str; 10] =
    ["GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH", "CONNECT", "TRACE", OTHER];

/// Where `method` is in [`METHODS`].
#[inline]
pub(crate) fn method(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::POST => 1,
        Method::DELETE => 2,
        Method::OPTIONS => 3,
        Method::HEAD => 4,
        Method::PUT => 5,
        Method::PATCH => 6,
        Method::CONNECT => 7,
        Method::TRACE => 8,
        _ => 9,
    }
}

/// Values of `status_class`. `none`: there was no response, since the client went away first or a service failed.
pub(crate) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
pub(crate) const NO_RESPONSE: usize = 0;

/// Where the class of `status` is in [`CLASSES`]. What is above 599 counts with the server errors.
#[inline]
pub(crate) fn class(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, 5)
}

/// Values of `outcome`: the classes of a backend's responses, and how a request can end without one. The first is for
/// requests that were dropped first, as when the client goes away.
pub(crate) const OUTCOMES: [&str; 8] =
    ["cancelled", "1xx", "2xx", "3xx", "4xx", "5xx", "failed", "refused"];
pub(crate) const CANCELLED: usize = 0;
pub(crate) const FAILED: usize = 6;
pub(crate) const REFUSED: usize = 7;

/// Values of `work`.
pub(crate) const WORKS: [&str; 4] = ["may_open", "free", "opening", "pinned"];

/// Where `work` is in [`WORKS`].
#[inline]
pub(crate) fn work(work: Work) -> usize {
    match work {
        Work::Free => 1,
        Work::Opening => 2,
        Work::Pinned => 3,
        // The default, and what is not known yet.
        _ => 0,
    }
}

/// Where `reason` is in [`Reason::ALL`].
pub(crate) fn reason(reason: Reason) -> usize {
    Reason::ALL.iter().position(|one| *one == reason).unwrap_or(usize::MAX)
}

/// Where `kind` is in [`FailureKind::ALL`].
pub(crate) fn failure(kind: FailureKind) -> usize {
    FailureKind::ALL.iter().position(|one| *one == kind).unwrap_or(usize::MAX)
}

/// How many codes are counted, each by itself: 100 to 599, and one place for all above.
pub(crate) const CODES: usize = 501;

/// Where `status` is counted.
#[inline]
pub(crate) fn code(status: StatusCode) -> usize {
    usize::from(status.as_u16().saturating_sub(100)).min(CODES - 1)
}

/// The registered codes, each with its text. In ascending order.
///
/// <https://www.iana.org/assignments/http-status-codes>
const REGISTERED: &[(u16, &str)] = &[
    (100, "100"),
    (101, "101"),
    (102, "102"),
    (103, "103"),
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (203, "203"),
    (204, "204"),
    (205, "205"),
    (206, "206"),
    (207, "207"),
    (208, "208"),
    (226, "226"),
    (300, "300"),
    (301, "301"),
    (302, "302"),
    (303, "303"),
    (304, "304"),
    (305, "305"),
    (307, "307"),
    (308, "308"),
    (400, "400"),
    (401, "401"),
    (402, "402"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (406, "406"),
    (407, "407"),
    (408, "408"),
    (409, "409"),
    (410, "410"),
    (411, "411"),
    (412, "412"),
    (413, "413"),
    (414, "414"),
    (415, "415"),
    (416, "416"),
    (417, "417"),
    (421, "421"),
    (422, "422"),
    (423, "423"),
    (424, "424"),
    (425, "425"),
    (426, "426"),
    (428, "428"),
    (429, "429"),
    (431, "431"),
    (451, "451"),
    (500, "500"),
    (501, "501"),
    (502, "502"),
    (503, "503"),
    (504, "504"),
    (505, "505"),
    (506, "506"),
    (507, "507"),
    (508, "508"),
    (510, "510"),
    (511, "511"),
];

/// The value of `http_response_status_code` for what is counted at `index`: the code if it is registered, and its class
/// otherwise. So a backend that makes up codes makes up no series.
pub(crate) fn code_label(index: usize) -> &'static str {
    let Ok(code) = u16::try_from(index + 100) else { return OTHER };
    if let Ok(at) = REGISTERED.binary_search_by_key(&code, |(code, _)| *code) {
        return REGISTERED.get(at).map_or(OTHER, |(_, text)| text);
    }
    if code > 599 {
        return OTHER;
    }
    CLASSES.get(usize::from(code / 100)).copied().unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn whatever_a_method_is_it_has_a_place() {
        for (at, name) in METHODS.iter().enumerate() {
            let parsed = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(method(&parsed), at, "{name}");
        }
        for made_up in ["get", "GETX", "PROPFIND", "_OTHER", "X"] {
            assert_eq!(METHODS[method(&made_up.parse().unwrap())], OTHER, "{made_up}");
        }
    }

    #[test]
    fn whatever_a_status_is_it_has_a_place() {
        let status = |code| StatusCode::from_u16(code).unwrap();
        for (code, class_of, label) in [
            (100, "1xx", "100"),
            (200, "2xx", "200"),
            (299, "2xx", "2xx"),
            (404, "4xx", "404"),
            (418, "4xx", "4xx"),
            (503, "5xx", "503"),
            (599, "5xx", "5xx"),
            (600, "5xx", OTHER),
            (999, "5xx", OTHER),
        ] {
            assert_eq!(CLASSES[class(status(code))], class_of, "{code}");
            assert_eq!(code_label(super::code(status(code))), label, "{code}");
        }
        let labels: BTreeSet<_> = (0..CODES).map(code_label).collect();
        assert!(labels.len() <= 70, "{}", labels.len());
        assert!(REGISTERED.is_sorted());
    }

    #[test]
    fn the_others_have_their_own_places() {
        for (one, name) in [
            (Work::MayOpen, "may_open"),
            (Work::Free, "free"),
            (Work::Opening, "opening"),
            (Work::Pinned, "pinned"),
        ] {
            assert_eq!(WORKS[work(one)], name);
        }
        for (at, one) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason(*one), at);
        }
        for (at, one) in FailureKind::ALL.iter().enumerate() {
            assert_eq!(failure(*one), at);
        }
        assert!(BOUNDS.is_sorted());
        assert_eq!((OUTCOMES[FAILED], OUTCOMES[REFUSED]), ("failed", "refused"));
        assert_eq!((OUTCOMES[CANCELLED], CLASSES[NO_RESPONSE]), ("cancelled", "none"));
    }
}
