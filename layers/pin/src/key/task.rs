//! The task that a modern MCP request is about.

use bartizan_core::{fields::only_line, mcp};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::extract::{ExtractKey, PinKey};

/// `Mcp-Name` of `tasks/get`, `tasks/update` and `tasks/cancel`: clients put the id of the task there, so that the
/// request reaches the instance that holds the task (MCP 2026-07-28, Streamable HTTP).
///
/// The id of a task first appears in the body of a response, which this crate does not read. Use the policy
/// [`Rendezvous`](crate::balance::Rendezvous) with ids that determine their backend, or pin the task yourself in the
/// store. A value in base64 form is not decoded.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskKey(());

impl TaskKey {
    /// Makes the extractor.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl ExtractKey for TaskKey {
    fn key<'a>(&self, _: &'a Uri, headers: &'a HeaderMap) -> Option<PinKey<'a>> {
        let method = one(headers, &mcp::METHOD)?;
        let is_about_a_task = matches!(method, b"tasks/get" | b"tasks/update" | b"tasks/cancel");
        is_about_a_task.then(|| one(headers, &mcp::NAME)).flatten().map(PinKey::of_backend)
    }
}

fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    only_line(headers, name).ok().flatten().map(HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_named_by_the_requests_that_are_about_one() {
        let find = |method: &str, names: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(&mcp::METHOD, method.parse().unwrap());
            for name in names {
                headers.append(&mcp::NAME, name.parse().unwrap());
            }
            TaskKey::new().key(&Uri::default(), &headers).map(|key| key.as_bytes().to_vec())
        };
        assert_eq!(find("tasks/get", &["T1"]), Some(b"T1".to_vec())); // MH-18
        assert_eq!(find("tasks/get", &["T1", "T1"]), None); // MH-22
        assert_eq!(find("tools/call", &["T1"]), None);
        assert_eq!(find("tasks/get", &[]), None);
    }
}
