//! A gateway: its address and credentials.

use std::fmt;

use bartizan_core::{Backend, backend::Protocol};
use http::HeaderValue;

/// A gateway: its address, credentials and label.
#[must_use]
#[derive(Clone)]
pub struct Gateway {
    backend: Backend,
    credentials: Option<HeaderValue>,
    label: Box<str>,
}

impl Gateway {
    /// A gateway at `backend`, which gets the credentials of its callers.
    pub fn new(backend: Backend) -> Self {
        Self { backend, credentials: None, label: Box::default() }
    }

    /// Sends it `authorization` in place of the callers' credentials.
    pub fn credentials(mut self, mut authorization: HeaderValue) -> Self {
        authorization.set_sensitive(true);
        self.credentials = Some(authorization);
        self
    }

    /// Gives it a label for people. Changing the label does not end sessions.
    pub fn label(self, label: &str) -> Self {
        Self { label: label.into(), ..self }
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.credentials.as_ref()
    }

    /// Whether it has the same address and credentials as `other`.
    pub(super) fn is_reached_as(&self, other: &Self) -> bool {
        let protocol = |gateway: &Self| -> Protocol { gateway.backend.protocol() };
        self.backend.id() == other.backend.id()
            && self.backend.same_origin(&other.backend)
            && protocol(self) == protocol(other)
            && self.credentials == other.credentials
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("backend", &self.backend)
            .field("has_credentials", &self.credentials.is_some())
            .field("label", &self.label)
            .finish()
    }
}
