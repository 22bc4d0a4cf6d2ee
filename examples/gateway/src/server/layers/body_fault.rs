//! The response when the request body is at fault.

use bartizan::core::{Dialect, GuardBody, Reason, Refusal, UpstreamFailure};
use http::Response;

/// Refuses for `fault` where `response` blames something else for it: a layer or a backend that reads a
/// request body which was cut off sees only that it broke off. Any other response passes.
pub(super) fn answer_for<R>(
    fault: Reason,
    response: Response<GuardBody<R>>,
) -> Response<GuardBody<R>> {
    let given = Reason::of(&response);
    let is_failure = given.is_some() || UpstreamFailure::of(&response).is_some();
    if !is_failure || given == Some(fault) {
        return response;
    }
    tracing::debug!(reason = %fault, "refused");
    Refusal::new(fault).respond(&Dialect::like(response.headers()))
}

#[cfg(test)]
mod tests {
    use bartizan::core::failure::FailureKind;
    use bytes::Bytes;
    use http_body_util::Full;

    use super::*;

    type Body = GuardBody<Full<Bytes>>;

    #[test]
    fn only_a_failure_for_another_reason_is_replaced_and_in_its_own_form() {
        let refused = |reason| Refusal::new(reason).respond(&Dialect::JsonRpc(None));
        let failure: Response<Body> = {
            let mut response = Response::new(GuardBody::forwarded(Full::default()));
            let failure = UpstreamFailure::new(FailureKind::Terminated);
            response.extensions_mut().insert(failure);
            response
        };
        let success: Response<Body> = Response::new(GuardBody::forwarded(Full::default()));
        for (response, status, form) in [
            (refused(Reason::BodyBroken), 408, Some("application/json")),
            (refused(Reason::BodyTimeout), 408, Some("application/json")),
            (failure, 408, Some("application/problem+json")),
            (success, 200, None),
        ] {
            let response = answer_for(Reason::BodyTimeout, response);
            assert_eq!(response.status(), status);
            let given = response.headers().get("content-type");
            assert_eq!(given.map(|given| given.to_str().unwrap()), form);
        }
    }
}
