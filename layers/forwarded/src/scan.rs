//! One pass over the names of a request's fields. Pure.
//!
//! The first four bytes show that most names do not matter here. Only the others are compared in full.

use bartizan_core::fields::browser;
use http::{
    HeaderMap, HeaderName,
    header::{CONNECTION, TRANSFER_ENCODING},
};

use crate::{
    config::{Config, Ready},
    name::{self, Kind},
};

/// The findings of one pass over the names of a request.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The fields that must not pass. Mostly empty, which costs no allocation.
    pub(crate) unwanted: Vec<HeaderName>,
    pub(crate) has_connection: bool,
    /// Whether one of the fields is sent only by browsers.
    pub(crate) from_browser: bool,
    pub(crate) has_coding: bool,
}

/// Looks at the names of `headers`, in one pass.
#[inline]
pub(crate) fn scan(headers: &HeaderMap, ready: &Ready, is_trusted: bool) -> Scan {
    let mut scan = Scan::default();
    for name in headers.keys() {
        if ready.beginnings.may_matter(name.as_str()) {
            scan.note(name, &ready.config, is_trusted);
        }
    }
    scan
}

impl Scan {
    #[inline(never)]
    fn note(&mut self, name: &HeaderName, config: &Config, is_trusted: bool) {
        // These two are not subject to settings.
        if *name == CONNECTION {
            self.has_connection = true;
            return;
        }
        if *name == TRANSFER_ENCODING {
            self.has_coding = true;
            return;
        }
        let text = name.as_str();
        let is_unwanted = match name::kind(text) {
            Some(Kind::Managed) => true,
            Some(Kind::Told) => !is_trusted && !config.keeps(name),
            None => !is_trusted && config.is_internal(name),
        };
        if is_unwanted {
            self.unwanted.push(name.clone());
        }
        self.from_browser |= browser::marks(text);
    }
}

/// The beginnings of the names that matter. Other names may match by chance, but no name that matters is missed.
#[derive(Clone)]
pub(crate) struct Beginnings([bool; PLACES]);

const PLACES: usize = 1 << u8::BITS;

impl Beginnings {
    /// The beginnings of the names that every pass looks for, and of `more`: names or prefixes, where `_` may stand for
    /// `-`.
    pub(crate) fn with<'a>(more: impl IntoIterator<Item = &'a str>) -> Self {
        let framing = [CONNECTION, TRANSFER_ENCODING];
        let mut beginnings = Self([false; PLACES]);
        name::beginnings().chain(browser::BEGINNINGS).for_each(|name| beginnings.add(name));
        framing.iter().for_each(|name| beginnings.add(name.as_str()));
        more.into_iter().for_each(|name| beginnings.add(name));
        beginnings
    }

    fn add(&mut self, name: &str) {
        let Some(first) = name.as_bytes().first_chunk() else {
            // A prefix this short could be followed by anything.
            self.0 = [true; PLACES];
            return;
        };
        for spelling in spellings(*first) {
            if let Some(known) = self.0.get_mut(usize::from(place(spelling))) {
                *known = true;
            }
        }
    }

    /// Whether `name`, in lower case, has one of these beginnings.
    #[inline(always)]
    pub(crate) fn may_matter(&self, name: &str) -> bool {
        match name.as_bytes().first_chunk() {
            Some(first) => self.0.get(usize::from(place(*first))) != Some(&false),
            None => true,
        }
    }
}

/// `first` with each `-` as it is, and as `_`; some of them twice.
fn spellings(first: [u8; 4]) -> impl Iterator<Item = [u8; 4]> {
    (0..1_u8 << first.len()).map(move |spelling| {
        let mut first = first;
        for (at, byte) in first.iter_mut().enumerate() {
            if *byte == b'-' && spelling & 1 << at != 0 {
                *byte = b'_';
            }
        }
        first
    })
}

/// Spreads the beginnings over the places.
#[inline(always)]
fn place(first: [u8; 4]) -> u8 {
    place_by(FACTOR, first)
}

#[inline(always)]
fn place_by(factor: u32, first: [u8; 4]) -> u8 {
    let [.., place] = u32::from_le_bytes(first).wrapping_mul(factor).to_le_bytes();
    place
}

/// One by which no usual name falls on the place of one that matters. A test says so, or names another.
const FACTOR: u32 = 0x2F3D_1FC1;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{SanitizeForwardedLayer, internal_prefix::InternalPrefix, named::ClientIpHeader};

    fn is_looked_at(beginnings: &Beginnings, name: &str) -> bool {
        beginnings.may_matter(name)
    }

    /// W-23, W-26.
    #[test]
    fn a_name_that_matters_is_looked_at_however_it_is_spelled() {
        let settings = ["x-bartizan-", "our-edge", "a-b-c-d-"];
        let beginnings = Beginnings::with(settings);
        let names = name::beginnings().chain(browser::BEGINNINGS).chain(settings);
        for name in names.chain(["connection", "transfer-encoding"]) {
            let dashes: Vec<_> = name.match_indices('-').map(|(at, _)| at).collect();
            for spelling in 0..1_u32 << dashes.len() {
                let mut name = name.as_bytes().to_vec();
                for (bit, at) in dashes.iter().enumerate() {
                    if spelling & 1 << bit != 0 {
                        name[*at] = b'_';
                    }
                }
                let name = String::from_utf8(name).unwrap();
                assert!(is_looked_at(&beginnings, &name), "{name}");
            }
        }
    }

    #[test]
    fn a_setting_that_is_shorter_than_what_is_compared_has_every_name_looked_at() {
        for name in ["accept", "zzzz", "x"] {
            assert!(is_looked_at(&Beginnings::with(["x-"]), name), "{name}");
        }
        assert!(is_looked_at(&Beginnings::with([]), "x-"), "shorter itself");
    }

    const USUAL: [&str; 22] = [
        "accept",
        "accept-encoding",
        "accept-language",
        "authorization",
        "baggage",
        "cache-control",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-session-id",
        "priority",
        "referer",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-api-key",
        "x-stainless-os",
    ];

    /// Where it fails because the names have changed, it names a factor that does for them.
    #[test]
    fn the_factor_keeps_usual_names_apart_from_those_that_matter() {
        let first = |name: &str| *name.as_bytes().first_chunk().unwrap();
        let mattering: Vec<_> = name::beginnings()
            .chain(browser::BEGINNINGS)
            .chain(["connection", "transfer-encoding", "x-bartizan-"])
            .flat_map(|name| spellings(first(name)))
            .collect();
        let does = |factor| {
            let places: HashSet<u8> =
                mattering.iter().map(|first| place_by(factor, *first)).collect();
            USUAL.iter().all(|name| !places.contains(&place_by(factor, first(name))))
        };
        let found =
            (0..=u32::MAX).step_by(2).map(|more| FACTOR.wrapping_add(more)).find(|it| does(*it));
        assert_eq!(found, Some(FACTOR), "{found:#X?}");
        // There is another to be found.
        let others = (2..=u32::MAX).step_by(2).map(|more| FACTOR.wrapping_add(more));
        assert!(others.take(1_000_000).any(does));
    }

    #[test]
    fn usual_names_are_not_looked_at() {
        let ready = SanitizeForwardedLayer::new().ready();
        for name in USUAL {
            assert!(!is_looked_at(&ready.beginnings, name), "{name}");
        }
    }

    /// Whatever the order in which a layer is set.
    #[test]
    fn each_name_that_a_setting_adds_is_looked_at() {
        let field = || "qq-client".parse::<ClientIpHeader>().unwrap();
        let prefix = || ["zz-inside-".parse::<InternalPrefix>().unwrap()];
        let layer = SanitizeForwardedLayer::new;
        for layer in [
            layer().client_ip_header(field()).internal_prefixes(prefix()),
            layer().internal_prefixes(prefix()).client_ip_header(field()),
        ] {
            for name in ["qq-client", "zz-inside-a"] {
                assert!(is_looked_at(&layer.ready().beginnings, name), "{name}");
            }
        }
        assert!(!is_looked_at(&layer().ready().beginnings, "qq-client"));
    }
}
