//! The request that ends a session right after it was opened, if it will never be used.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::{Backend, Passage, Work, fields::hop_by_hop};

/// The head of a request that opens a session, kept so that the session can be ended with the same
/// credentials: a store may refuse it, or its client may have left.
#[derive(Clone, Debug)]
pub struct OpeningHead {
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    passage: Option<Passage>,
}

impl OpeningHead {
    /// Keeps the head of `request`, without the fields that describe its content, its connection or a condition.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Self {
        Self {
            uri: request.uri().clone(),
            version: request.version(),
            headers: hop_by_hop::of_sender(request.headers()),
            passage: Passage::of(request).cloned(),
        }
    }

    /// The path of the request.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The DELETE request, with the empty `body`, that ends the session whose `id` is in the field `header`, at
    /// `backend` if one is known.
    #[must_use]
    pub fn delete<B>(
        self,
        header: HeaderName,
        id: HeaderValue,
        backend: Option<Backend>,
        body: B,
    ) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::DELETE;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers;
        request.headers_mut().insert(header, id);
        let mut passage = self.passage.unwrap_or_default();
        passage.set_work(Work::Pinned);
        if let Some(backend) = backend {
            passage.set_backend(backend);
        }
        request.extensions_mut().insert(passage);
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_ended_at_its_backend_with_the_credentials_that_opened_it() {
        let mut opening = Request::post("/mcp?x").body("{}").unwrap();
        for (name, value) in [("authorization", "Bearer t"), ("content-length", "2")] {
            opening.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Passage::with(&mut opening, |passage| passage.set_work(Work::Opening));
        let id = HeaderValue::from_static("id");
        let backend: Backend = "http://a:1".parse().unwrap();
        let name = HeaderName::from_static("mcp-session-id");
        let end = OpeningHead::of(&opening).delete(name, id, Some(backend.clone()), "");
        assert_eq!((end.method(), end.uri().to_string().as_str()), (&Method::DELETE, "/mcp?x"));
        assert_eq!(end.headers()["authorization"], "Bearer t");
        assert_eq!(end.headers()["mcp-session-id"], "id");
        assert!(!end.headers().contains_key("content-length"));
        assert_eq!(Backend::of(&end), Some(&backend));
        assert_eq!(Passage::of(&end).unwrap().work(), Work::Pinned);
    }
}
