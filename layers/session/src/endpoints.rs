//! The paths at which MCP is served.

use std::fmt;

/// The paths at which a server speaks MCP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Endpoints {
    /// `/mcp`, because no path was named.
    Default,
    /// These paths.
    Named(Vec<Path>),
    /// Every path.
    Every,
}

/// A path, normalised for comparison.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Path(Vec<u8>);

impl Endpoints {
    /// The path that most MCP servers have by default.
    const DEFAULT: &[u8] = b"/mcp";

    /// These and `path`; `*` is every path. The first named path replaces the default.
    pub(crate) fn with(self, path: &str) -> Self {
        match (self, path) {
            (_, "*") | (Self::Every, _) => Self::Every,
            (Self::Default, path) => Self::Named(vec![Path::of(path)]),
            (Self::Named(mut paths), path) => {
                paths.push(Path::of(path));
                Self::Named(paths)
            }
        }
    }

    /// Whether MCP is, or might be, served at `path`: it is unknown how a server reads unusual spellings.
    pub(crate) fn contain(&self, path: &str) -> bool {
        match self {
            Self::Every => true,
            _ if path.as_bytes() == Self::DEFAULT && *self == Self::Default => true,
            Self::Default => Path::of(path).0 == Self::DEFAULT,
            Self::Named(paths) => paths.contains(&Path::of(path)),
        }
    }
}

impl Path {
    /// Normalises `path` as leniently as any server: percent-encoding is decoded (once), case is ignored, `\` is `/`,
    /// the parameters of segments and empty segments are dropped, and dot segments are resolved ([RFC 3986
    /// §6.2](https://www.rfc-editor.org/rfc/rfc3986#section-6.2) and beyond). It does not include a query.
    fn of(path: &str) -> Self {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let decoded = decode(path.as_bytes());
        let mut canonical = Vec::with_capacity(decoded.len() + 1);
        for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
            match segment.split(|byte| *byte == b';').next().unwrap_or_default() {
                b"" | b"." => {}
                b".." => {
                    let parent = canonical.iter().rposition(|byte| *byte == b'/');
                    canonical.truncate(parent.unwrap_or_default());
                }
                name => {
                    canonical.push(b'/');
                    canonical.extend(name.iter().map(u8::to_ascii_lowercase));
                }
            }
        }
        Self(canonical)
    }
}

/// Whether `path` leads below a segment `name`, in lower case, however leniently a server reads it: with dot segments
/// resolved, and nothing left that a second decoding could change.
pub(crate) fn leads_below(path: &str, name: &str) -> bool {
    let Path(canonical) = Path::of(path);
    let mut segments = canonical.split(|byte| *byte == b'/');
    let is_settled = !canonical.contains(&b'%');
    is_settled && segments.any(|segment| segment == name.as_bytes()) && segments.next().is_some()
}

/// `path`, percent-decoded once.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        (rest, _) = match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (after, decoded.push(high << 4 | low)),
                _ => (tail, decoded.push(b'%')),
            },
            (byte, tail) => (tail, decoded.push(*byte)),
        };
    }
    decoded
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| digit.try_into().ok())
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_one_however_it_is_spelled() {
        let same = [
            "/mcp",
            "/mcp/",
            "//mcp",
            "/mcp//",
            "/MCP",
            "/%6dcp",
            "/%6Dcp",
            "/mcp;x=1",
            "/;/mcp",
            "/mcp%2f",
            "/./mcp",
            "/x/../mcp",
            "/../mcp",
            "/x/..%2fmcp",
            "\\mcp",
            "/mcp?x",
            "/%2e/mcp",
            "/mcp%3bx",
        ];
        let others = [
            "",
            "/",
            "*",
            "/mcp2",
            "/xmcp",
            "/mcp/x",
            "/x/mcp",
            "/mcp/..",
            "/mc%",
            "/mc%7",
            "/mc%7g",
            "/mcp.",
            "/favicon.ico",
            "/token",
            "/%256dcp",
            "/mcp%3fx",
        ];
        for endpoints in [Endpoints::Default, Endpoints::Default.with("/other").with("mcp/")] {
            for path in same {
                assert!(endpoints.contain(path), "{path}");
            }
            for path in others {
                assert!(!endpoints.contain(path), "{path}");
            }
        }
    }

    #[test]
    fn the_first_name_replaces_the_default_and_more_are_added() {
        let one = Endpoints::Default.with("/api/mcp");
        assert!(one.contain("/api/mcp") && !one.contain("/mcp"));
        let two = one.with("/");
        assert!(
            two.contain("/API/mcp/")
                && two.contain("/")
                && two.contain("//")
                && !two.contain("/mcp")
        );
        let every = two.with("*").with("/x");
        assert!(every.contain("/anything") && every.contain("*"));
    }

    proptest::proptest! {
        #[test]
        fn a_canonical_path_stays_as_it_is(path in "([/\\\\.;a-cA-C0-9]|%[2-6][0-9a-e]){0,12}") {
            let Path(once) = Path::of(&path);
            // The decoded path may be decodable again; everything else is in its final form.
            proptest::prop_assume!(once.is_ascii() && !once.contains(&b'%'));
            let text = String::from_utf8_lossy(&once);
            proptest::prop_assert_eq!(&Path::of(&text).0, &once);
            proptest::prop_assert!(once.is_empty() || (once[0] == b'/' && !once.ends_with(b"/")));
        }
    }
}
