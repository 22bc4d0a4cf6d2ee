//! The paths on which sessions are opened, each stored once.

use std::sync::{Arc, Mutex, PoisonError};

/// How many paths are shared. A proxy has few; further paths that clients make up are stored with each session.
const SHARED: usize = 16;

/// The shared paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paths(Arc<Mutex<Vec<Arc<String>>>>);

impl Paths {
    /// `path`, shared with the sessions that were opened there before, if there is room for it.
    pub(crate) fn share(&self, path: &str) -> Arc<String> {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = paths.iter().find(|shared| shared.as_str() == path) {
            return Arc::clone(shared);
        }
        let path = Arc::new(path.to_owned());
        if paths.len() < SHARED {
            paths.push(Arc::clone(&path));
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_kept_once_and_only_a_few_are_shared() {
        let paths = Paths::default();
        assert!(Arc::ptr_eq(&paths.share("/mcp"), &paths.share("/mcp")));
        for number in 0..100 {
            assert_eq!(*paths.share(&number.to_string()), number.to_string());
        }
        assert_eq!(paths.0.lock().unwrap().len(), SHARED);
        assert!(Arc::ptr_eq(&paths.share("/mcp"), &paths.share("/mcp")));
    }
}
