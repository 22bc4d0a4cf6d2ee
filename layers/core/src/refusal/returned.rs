//! The body of a refused request, returned to outer layers with the refusal.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};

use super::Dialect;

/// The body of a refused request, in the extensions of the refusal. Either no backend got any of it, or a layer had
/// kept it for a retry.
///
/// A JSON-RPC error names the id of its request, and the id is in the body. Layers that forward requests do not read
/// bodies: when they refuse a request, they return its body. An outer layer that does read bodies takes it and renders
/// the refusal again with the id. A layer that replaces a refusal with another one [passes the body on](Self::hand_on).
///
/// It costs two allocations, and only refusals have one. If no layer takes it, it is dropped with the response.
#[derive(Clone)]
pub struct ReturnedBody(Arc<Mutex<Option<Unread>>>);

/// Its error is dropped: a body that breaks off does not contain a complete message.
type Unread = UnsyncBoxBody<Bytes, ()>;

impl ReturnedBody {
    /// Returns `body`, unless it is known to be empty.
    pub fn new<B>(body: B) -> Option<Self>
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        if body.is_end_stream() {
            return None;
        }
        Some(Self(Arc::new(Mutex::new(Some(body.map_err(drop).boxed_unsync())))))
    }

    /// Whether a refusal in the format `dialect` could have an id that no layer has looked for yet.
    #[must_use]
    pub const fn is_wanted(dialect: &Dialect) -> bool {
        matches!(dialect, Dialect::JsonRpc(None))
    }

    /// Puts the body into the extensions of `refusal`.
    pub fn attach<R>(self, refusal: &mut Response<R>) {
        refusal.extensions_mut().insert(self);
    }

    /// Whether `refusal` has a returned body.
    pub fn is_in<R>(refusal: &Response<R>) -> bool {
        refusal.extensions().get::<Self>().is_some()
    }

    /// Moves the body from one refusal to the one that replaces it.
    pub fn hand_on<R, Q>(from: &mut Response<R>, to: &mut Response<Q>) {
        if let Some(returned) = from.extensions_mut().remove::<Self>() {
            returned.attach(to);
        }
    }

    /// Takes the body out of `refusal`. If the response was cloned, only the first caller gets the
    /// body.
    pub fn take<R>(
        refusal: &mut Response<R>,
    ) -> Option<impl Body<Data = Bytes, Error = ()> + Send + Unpin + use<R>> {
        let Self(place) = refusal.extensions_mut().remove()?;
        place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for ReturnedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReturnedBody")
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Empty, Full};

    use super::*;
    use crate::refusal::RequestId;

    #[tokio::test]
    async fn a_body_goes_from_one_refusal_to_the_next_and_is_taken_once() {
        let mut first = Response::new(());
        ReturnedBody::new(Full::<Bytes>::from("abc")).unwrap().attach(&mut first);
        let mut second = Response::new("other");
        ReturnedBody::hand_on(&mut first, &mut second);
        assert!(!ReturnedBody::is_in(&first) && ReturnedBody::is_in(&second));
        let mut copy = second.clone();
        let body = ReturnedBody::take(&mut second).unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        assert!(ReturnedBody::take(&mut second).is_none());
        assert!(ReturnedBody::take(&mut copy).is_none());
    }

    #[test]
    fn nothing_is_returned_where_there_is_no_id_to_find() {
        assert!(ReturnedBody::new(Empty::<Bytes>::new()).is_none());
        assert!(ReturnedBody::is_wanted(&Dialect::JsonRpc(None)));
        let known = Dialect::JsonRpc(RequestId::from_raw("1"));
        for dialect in [Dialect::Problem, Dialect::Grpc, known] {
            assert!(!ReturnedBody::is_wanted(&dialect), "{dialect:?}");
        }
    }
}
