//! The head of a kept request, and what others know of it.

use bartizan_core::{Dialect, Passage, refusal::RequestId};
use http::{
    Extensions, HeaderMap, HeaderName, Request, Uri, Version, header::CONNECTION, uri::PathAndQuery,
};

/// `Last-Event-ID`: where a stream of the backend that named it goes on.
pub(crate) static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What the requests that this layer makes itself take from the one that they are made for.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) known: Known,
}

/// What others know of the request.
#[derive(Clone)]
pub(crate) struct Known {
    passage: Passage,
    // Empty where there is nothing but the passage: the common case, and the cheaper one to keep.
    all: Extensions,
}

impl Head {
    /// The form of a refusal, with the id of the request.
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
        // It belonged to the connection of the first try.
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
