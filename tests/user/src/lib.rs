//! A crate as a user would write it. It names the types of its proxy, so it compiles only if features that another
//! crate enables do not change them.

use bartizan::{
    ReverseProxy, ReverseProxyStack, SessionProxy, memory::MemoryStore, pin::Backends,
    upstream::Upstream,
};
use tower_layer::Layer;

/// The proxy, in a field with a named type.
#[derive(Clone, Debug)]
pub struct App {
    stack: ReverseProxyStack<MemoryStore>,
    proxy: ReverseProxy<SessionProxy<Upstream, MemoryStore>>,
}

impl App {
    /// Makes the proxy; sessions are resumed if `resumes`.
    #[must_use]
    pub fn new(backends: Backends, resumes: bool) -> Self {
        let stack = ReverseProxyStack::mcp(MemoryStore::new(), backends);
        let stack = if resumes { stack.resume(|layer| layer) } else { stack.without_streams() };
        let proxy = stack.layer(Upstream::builder().build());
        Self { stack, proxy }
    }

    /// The proxy, for one more connection.
    #[must_use]
    pub fn proxy(&self) -> ReverseProxy<SessionProxy<Upstream, MemoryStore>> {
        self.proxy.clone()
    }

    /// How many event streams are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.stack.open_streams().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_type_holds_every_variant() {
        let backends = || Backends::new([]);
        let variants = [App::new(backends(), true), App::new(backends(), false)];
        assert!(variants.iter().all(|app| app.clone().open_streams() == 0));
    }
}
