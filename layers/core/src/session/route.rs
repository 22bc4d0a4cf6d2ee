//! The name of a stack instance.

use std::sync::Arc;

/// The name of the stack instance that a session belongs to: several stacks can share a store without
/// seeing each other's sessions.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Route(Arc<str>);

impl Route {
    /// Names a route; any text will do.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
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
