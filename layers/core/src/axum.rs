//! The facts of a request as axum extractors.
//!
//! `Option<ClientAddr>` and the like extract the fact if it is known. Without the `Option`, a request without the fact
//! is rejected.

use std::{convert::Infallible, fmt};

use axum_core::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use crate::{Backend, ClientAddr, PeerAddr, Principal, PublicOrigin, Session};

/// The rejection of an extractor if no layer recorded the value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MissingFact {
    status: StatusCode,
    message: &'static str,
}

impl fmt::Display for MissingFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}

impl std::error::Error for MissingFact {}

impl IntoResponse for MissingFact {
    fn into_response(self) -> Response {
        (self.status, self.message).into_response()
    }
}

macro_rules! extract {
    ($($fact:ty: $status:ident, $message:literal;)*) => {$(
        impl<S: Sync> FromRequestParts<S> for $fact {
            type Rejection = MissingFact;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MissingFact> {
                let missing = MissingFact { status: StatusCode::$status, message: $message };
                Self::of(parts).cloned().ok_or(missing)
            }
        }

        impl<S: Sync> OptionalFromRequestParts<S> for $fact {
            type Rejection = Infallible;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
                Ok(Self::of(parts).cloned())
            }
        }
    )*};
}

extract! {
    ClientAddr: INTERNAL_SERVER_ERROR, "no client address: put SanitizeForwardedLayer in front of this handler";
    PublicOrigin: INTERNAL_SERVER_ERROR, "no public origin: put SanitizeForwardedLayer in front of this handler";
    PeerAddr: INTERNAL_SERVER_ERROR, "no peer address: the server has to attach it to each request";
    Backend: INTERNAL_SERVER_ERROR, "no backend: put PinBackendLayer in front of this handler";
    Principal: FORBIDDEN, "the caller is not authenticated";
    Session: BAD_REQUEST, "the request belongs to no session";
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    async fn extract<T: FromRequestParts<(), Rejection = MissingFact>>(
        attach: impl FnOnce(&mut Parts),
    ) -> Result<T, MissingFact> {
        let mut parts = Request::new(()).into_parts().0;
        attach(&mut parts);
        T::from_request_parts(&mut parts, &()).await
    }

    #[tokio::test]
    async fn a_fact_is_extracted_and_a_missing_one_is_rejected_with_its_reason() {
        let alice = Principal::new("issuer", "alice");
        let found = extract::<Principal>(|parts| alice.clone().attach(parts)).await;
        assert_eq!(found, Ok(alice));
        let missing = extract::<Principal>(|_| ()).await.unwrap_err();
        assert_eq!(missing.into_response().status(), 403);
        let missing = extract::<ClientAddr>(|_| ()).await.unwrap_err();
        assert!(missing.to_string().contains("SanitizeForwardedLayer"));
        assert_eq!(missing.into_response().status(), 500);
        assert_eq!(extract::<Session>(|_| ()).await.unwrap_err().into_response().status(), 400);
    }

    #[tokio::test]
    async fn an_optional_fact_may_be_missing() {
        let mut parts = Request::new(()).into_parts().0;
        let found = <PeerAddr as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &());
        assert!(found.await.unwrap().is_none());
    }
}
