//! The name of a stack instance.

use std::sync::Arc;

/// The name of the stack instance that a session belongs to: several stacks can share a store without
/// seeing each other's sessions.
///
/// It is one word wide, since every session keeps one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[allow(clippy::redundant_allocation, reason = "a thin pointer: every session keeps one")]
pub struct Route(Arc<Box<str>>);

impl Route {
    /// Names a route; any text will do.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::new(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Route {
    /// The route named `default`.
    fn default() -> Self {
        Self::new("default")
    }
}

impl From<&str> for Route {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}
