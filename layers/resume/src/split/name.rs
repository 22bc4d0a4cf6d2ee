//! Finds out which gateway a request names.

use bartizan_core::fields::only_line;
use http::{HeaderMap, HeaderName, Uri};

/// Finds the gateway that a request names.
pub trait NameGateway: Send + Sync + 'static {
    /// The name in a request with `uri` and `headers`, if there is one.
    fn name<'a>(&self, uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str>;
}

/// The gateway is named by a segment of the path.
#[derive(Clone, Copy, Debug)]
pub struct PathSegment(usize);

/// The gateway is named by a header field; a field that appears twice is ignored.
#[derive(Clone, Debug)]
pub struct HeaderField(HeaderName);

impl PathSegment {
    /// The segment at `index`, from zero: in `/tools/mcp`, `tools` is the first.
    #[must_use]
    pub const fn new(index: usize) -> Self {
        Self(index)
    }
}

impl HeaderField {
    /// The field `name`.
    #[must_use]
    pub const fn new(name: HeaderName) -> Self {
        Self(name)
    }
}

impl NameGateway for PathSegment {
    fn name<'a>(&self, uri: &'a Uri, _: &'a HeaderMap) -> Option<&'a str> {
        let segment = uri.path().strip_prefix('/')?.split('/').nth(self.0);
        segment.filter(|name| !name.is_empty())
    }
}

impl NameGateway for HeaderField {
    fn name<'a>(&self, _: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
        let line = only_line(headers, &self.0).ok().flatten()?;
        line.to_str().ok().map(str::trim).filter(|name| !name.is_empty())
    }
}

impl<F> NameGateway for F
where
    F: for<'a> Fn(&'a Uri, &'a HeaderMap) -> Option<&'a str> + Send + Sync + 'static,
{
    fn name<'a>(&self, uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
        self(uri, headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_named_by_a_segment_or_a_field() {
        let uri: Uri = "http://x/tools/mcp?y".parse().unwrap();
        let root: Uri = "//mcp".parse().unwrap_or_default();
        let mut headers = HeaderMap::new();
        assert_eq!(PathSegment::new(0).name(&uri, &headers), Some("tools"));
        assert_eq!(PathSegment::new(1).name(&uri, &headers), Some("mcp"));
        assert_eq!(PathSegment::new(2).name(&uri, &headers), None);
        assert_eq!(PathSegment::new(0).name(&root, &headers), None);
        let field = HeaderField::new(HeaderName::from_static("x-gateway"));
        assert_eq!(field.name(&uri, &headers), None);
        headers.append("x-gateway", " tools ".parse().unwrap());
        assert_eq!(field.name(&uri, &headers), Some("tools"));
        headers.append("x-gateway", "search".parse().unwrap());
        assert_eq!(field.name(&uri, &headers), None, "two names are none");
    }
}
