//! The requests that this layer makes itself.

use bartizan_core::{
    Backend, Passage, SessionId, Work, backend::Tried, body::ReplaceBody, fields::hop_by_hop, mcp,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};

use super::kept::{Head, LAST_EVENT_ID};

/// The head that the requests of one attempt share: the caller's current credentials, and everything else that
/// describes the caller and not its request.
///
/// [`OpeningHead`](bartizan_core::OpeningHead) does not fit: it keeps the head of a request that opens a session,
/// with no extension but the passage. This head is that of any request of a session. So the session, its version and
/// its event ids must be removed, but the caller's extensions must stay.
pub(crate) struct Ask {
    head: Head,
    version: Option<HeaderValue>,
}

/// Which backend is asked for a session.
#[derive(Clone, Copy)]
pub(crate) enum At<'a> {
    /// Any backend that the layer below chooses, except these.
    Untried(&'a Tried),
    Backend(&'a Backend),
}

const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// Asks for an unencoded answer, because it is read here.
pub(crate) fn ask_readable(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

impl Ask {
    /// On behalf of the request with `head`, in a session of the protocol's `version`.
    pub(crate) fn new(head: &Head, version: &str) -> Self {
        let mut head = Head { headers: hop_by_hop::of_sender(&head.headers), ..head.clone() };
        for name in
            [&LAST_EVENT_ID, &mcp::SESSION_ID, &mcp::PROTOCOL_VERSION, &mcp::METHOD, &mcp::NAME]
        {
            head.headers.remove(name);
        }
        Self { head, version: HeaderValue::from_str(version).ok() }
    }

    /// Asks for a session.
    pub(crate) fn initialize<B: ReplaceBody>(&self, body: Bytes, at: At<'_>) -> Request<B> {
        let mut request = self.request(Method::POST, body);
        Passage::with(&mut request, |passage| {
            passage.set_work(Work::Opening);
            match at {
                At::Untried(tried) => passage.set_tried(tried.clone()),
                At::Backend(backend) => passage.set_backend(backend.clone()),
            }
        });
        request
    }

    /// Ends the handshake of the session `id` on `backend`.
    pub(crate) fn initialized<B: ReplaceBody>(
        &self,
        id: &SessionId,
        backend: Option<&Backend>,
    ) -> Option<Request<B>> {
        let request = self.request(Method::POST, Bytes::from_static(INITIALIZED));
        self.within(request, id, backend)
    }

    /// Ends the session `id` on `backend`.
    pub(crate) fn delete<B: ReplaceBody>(
        &self,
        id: &SessionId,
        backend: Option<&Backend>,
    ) -> Option<Request<B>> {
        let mut request = self.request(Method::DELETE, Bytes::new());
        request.headers_mut().remove(CONTENT_TYPE);
        self.within(request, id, backend)
    }

    fn within<B>(
        &self,
        mut request: Request<B>,
        id: &SessionId,
        backend: Option<&Backend>,
    ) -> Option<Request<B>> {
        let headers: &mut HeaderMap = request.headers_mut();
        headers.insert(&mcp::SESSION_ID, HeaderValue::from_str(id.as_str()).ok()?);
        if let Some(version) = &self.version {
            headers.insert(&mcp::PROTOCOL_VERSION, version.clone());
        }
        Passage::with(&mut request, |passage| {
            passage.set_work(Work::Pinned);
            if let Some(backend) = backend {
                passage.set_backend(backend.clone());
            }
        });
        Some(request)
    }

    fn request<B: ReplaceBody>(&self, method: Method, body: Bytes) -> Request<B> {
        let length = HeaderValue::from(body.len());
        let has_body = !body.is_empty();
        let mut request = Request::new(B::from_bytes(body));
        *request.method_mut() = method;
        self.head.clone().address(&mut request);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        ask_readable(headers);
        if has_body {
            headers.insert(CONTENT_LENGTH, length);
        }
        Passage::with(&mut request, |passage| {
            passage.clear_session();
            // The lease of a tunnel, if any, does not belong to these requests.
            passage.take_lease();
        });
        request
    }
}
