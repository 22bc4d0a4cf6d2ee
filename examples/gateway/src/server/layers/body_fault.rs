//! The response when the request body caused the failure.

use bartizan::core::{Dialect, GuardBody, Reason, Refusal, UpstreamFailure};
use http::Response;

/// The refusal for `fault`, if `response` reports another cause. A layer that reads a request body only sees that it
/// broke off, not that the server cut it off.
#[cold]
pub(super) fn refusal_instead<B, R>(
    response: &Response<B>,
    fault: Reason,
) -> Option<Response<GuardBody<R>>> {
    let given = Reason::of(response);
    let is_failure = given.is_some() || UpstreamFailure::of(response).is_some();
    if !is_failure || given == Some(fault) {
        return None;
    }
    tracing::debug!(reason = %fault, "refused");
    Some(Refusal::new(fault).respond(&Dialect::like(response.headers())))
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
        for (response, form) in [
            (refused(Reason::BodyBroken), Some("application/json")),
            (refused(Reason::BodyTimeout), None),
            (failure, Some("application/problem+json")),
            (success, None),
        ] {
            let refusal = refusal_instead::<_, Full<Bytes>>(&response, Reason::BodyTimeout);
            assert!(refusal.iter().all(|refusal| refusal.status() == 408));
            let given = refusal.map(|refusal| refusal.headers()["content-type"].clone());
            assert_eq!(given.as_ref().map(|given| given.to_str().unwrap()), form);
        }
    }
}
