//! The head of a kept request, and its extensions.

use bartizan_core::{Dialect, Passage, refusal::RequestId};
use http::{
    Extensions, HeaderMap, HeaderName, Request, Uri, Version, header::CONNECTION, uri::PathAndQuery,
};

/// `Last-Event-ID`: where to continue a stream of the backend that sent the id.
pub(crate) static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The parts of a request that go into requests which this layer makes for it.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) known: Known,
}

/// The extensions of the request.
#[derive(Clone)]
pub(crate) struct Known {
    passage: Passage,
    // Empty if there is only the passage, which is the common case and cheaper to keep.
    all: Extensions,
}

impl Head {
    /// The format of a refusal, with the id of the request.
    pub(crate) fn dialect(&self, id: Option<RequestId>) -> Dialect {
        match self.known.passage.dialect() {
            Some(Dialect::JsonRpc(_)) => Dialect::JsonRpc(id).unless_grpc(&self.headers),
            Some(dialect) => dialect.clone(),
            None => Dialect::detect(&self.headers),
        }
    }

    /// Goes to `target` at the same origin.
    pub(crate) fn at(self, target: Option<PathAndQuery>) -> Self {
        let Some(target) = target else { return self };
        let mut parts = self.uri.clone().into_parts();
        parts.path_and_query = Some(target);
        match Uri::from_parts(parts) {
            Ok(uri) => Self { uri, ..self },
            Err(_) => self,
        }
    }

    /// Gives `request` this head, all but the method.
    pub(crate) fn address<B>(self, request: &mut Request<B>) {
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers;
        let Known { passage, all } = self.known;
        *request.extensions_mut() = all;
        Passage::with(request, |place| *place = passage);
        // It belonged to the connection of the first attempt.
        request.headers_mut().remove(CONNECTION);
    }
}

impl Known {
    pub(super) fn of(extensions: &Extensions) -> Self {
        let passage = extensions.get::<Passage>().cloned();
        let is_alone = passage.is_some() && extensions.len() == 1;
        let all = if is_alone { Extensions::new() } else { extensions.clone() };
        Self { passage: passage.unwrap_or_default(), all }
    }

    pub(super) fn passage(&self) -> &Passage {
        &self.passage
    }
}
