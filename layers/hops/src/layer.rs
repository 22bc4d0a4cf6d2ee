//! Configuration of [`LimitHops`] services.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
};

use bartizan_core::{Dialect, fields::hop_by_hop};
use http::{HeaderName, HeaderValue, StatusCode, Version, header};
use tower_layer::Layer;

#[cfg(feature = "seal")]
use crate::SealKeys;
use crate::{ConfigError, LimitHops, Pseudonym, cdn_loop, via};

/// Builds [`LimitHops`] services; see the [crate docs](crate).
#[must_use]
#[derive(Clone, Debug)]
pub struct LimitHopsLayer {
    config: Config,
}

/// What a loop is answered with. The typed reason and `Proxy-Status` are the same for each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum LoopStatus {
    /// 508, the status whose name says it
    /// ([RFC 5842 §7.2](https://www.rfc-editor.org/rfc/rfc5842#section-7.2)).
    #[default]
    LoopDetected,
    /// 502, which goes with `proxy_loop_detected`
    /// ([RFC 9209 §2.3](https://www.rfc-editor.org/rfc/rfc9209#section-2.3)).
    BadGateway,
    /// 404, which says nothing about what is there.
    NotFound,
}

/// Whether the count that a request brings is believed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Inbound {
    /// Whoever sent it.
    #[default]
    Counted,
    /// Unless the peer is one that a layer above does not trust (`SanitizeForwarded`): then the request
    /// starts anew, and a client cannot have it refused by a high number. A loop that comes back through
    /// an untrusted peer is left to `Via`.
    CountedIfTrusted,
    /// Never: every request starts anew here, at the edge of a federation.
    Ignored,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) count: Option<Count>,
    pub(crate) inbound: Inbound,
    pub(crate) name: Pseudonym,
    pub(crate) via: Option<Via>,
    pub(crate) cdn_loop: Option<CdnLoop>,
    pub(crate) max_forwards: Option<MaxForwards>,
    pub(crate) status: LoopStatus,
    pub(crate) dialect: Option<Dialect>,
}

#[derive(Clone, Debug)]
pub(crate) struct Count {
    pub(crate) limit: NonZeroU32,
    pub(crate) header: HeaderName,
    #[cfg(feature = "seal")]
    pub(crate) seal: Option<(HeaderName, SealKeys)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Via {
    /// One for each version, made once.
    lines: [(Version, HeaderValue); 5],
    pub(crate) max_members: NonZeroUsize,
    pub(crate) on_responses: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct CdnLoop {
    pub(crate) id: HeaderValue,
    pub(crate) passes: NonZeroUsize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxForwards {
    pub(crate) own_max: u32,
    pub(crate) answers_trace: bool,
}

/// The field that hops are counted in, unless another one is named.
const HEADER: HeaderName = HeaderName::from_static("x-hop-count");
const LIMIT: NonZeroU32 = NonZeroU32::new(10).unwrap();
const MAX_VIA_MEMBERS: NonZeroUsize = NonZeroUsize::new(100).unwrap();

impl LimitHopsLayer {
    /// Counts up to 10 hops in `X-Hop-Count`, and writes and finds the name of this process in `Via`.
    pub fn new() -> Self {
        let count = Count {
            limit: LIMIT,
            header: HEADER,
            #[cfg(feature = "seal")]
            seal: None,
        };
        let name = Pseudonym::of_process();
        let via = Some(Via::new(&name));
        let config = Config {
            count: Some(count),
            inbound: Inbound::default(),
            name,
            via,
            cdn_loop: None,
            max_forwards: None,
            status: LoopStatus::default(),
            dialect: None,
        };
        Self { config }
    }

    /// Counts as ContextForge gateways do: up to 5 hops in `X-Contextforge-UAID-Hop`, and 404 beyond.
    pub fn contextforge() -> Self {
        const HEADER: HeaderName = HeaderName::from_static("x-contextforge-uaid-hop");
        const LIMIT: NonZeroU32 = NonZeroU32::new(5).unwrap();
        let mut layer = Self::new().limit(LIMIT).status(LoopStatus::NotFound);
        if let Some(count) = &mut layer.config.count {
            count.header = HEADER;
        }
        layer
    }

    /// How many gateways a request may cross, this one and the last one included. Default: 10.
    ///
    /// | limit 4, on arrival | outcome |
    /// |---|---|
    /// | absent, or 0 | forwarded with 1 |
    /// | 3 | forwarded with 4 |
    /// | 4 or more | refused |
    pub fn limit(mut self, limit: NonZeroU32) -> Self {
        if let Some(count) = &mut self.config.count {
            count.limit = limit;
        }
        self
    }

    /// Counts in the field `name`, which must be the same in the whole federation. Default:
    /// `X-Hop-Count`.
    ///
    /// # Errors
    ///
    /// If HTTP or another layer gives the field a meaning of its own.
    pub fn header(mut self, name: HeaderName) -> Result<Self, ConfigError> {
        if hop_by_hop::is_hop_by_hop(&name) || hop_by_hop::is_protected(&name) {
            let message =
                format!("{name} has a meaning of its own: expected one such as x-hop-count");
            return Err(ConfigError::new(message));
        }
        if let Some(count) = &mut self.config.count {
            #[cfg(feature = "seal")]
            if let Some((seal_name, _)) = &mut count.seal {
                *seal_name = name_of_seal(&name)?;
            }
            count.header = name;
        }
        Ok(self)
    }

    /// Seals the count with the first of `keys`, and refuses a count with 400 that is not sealed by one of
    /// them. Default: the count is not sealed.
    ///
    /// # Errors
    ///
    /// If the count is switched off.
    #[cfg(feature = "seal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "seal")))]
    pub fn seal(mut self, keys: SealKeys) -> Result<Self, ConfigError> {
        let count = self.config.count.as_mut();
        let count = count.ok_or_else(|| ConfigError::new("there is no count to seal"))?;
        count.seal = Some((name_of_seal(&count.header)?, keys));
        Ok(self)
    }

    /// Does not count hops.
    pub fn without_count(mut self) -> Self {
        self.config.count = None;
        self
    }

    /// Says whether the count that a request brings is believed. Default: it is, whoever sent it.
    pub fn inbound(mut self, inbound: Inbound) -> Self {
        self.config.inbound = inbound;
        self
    }

    /// Calls this gateway `name`, in `Via` and in `Proxy-Status`. Default: [`Pseudonym::of_process`].
    pub fn name(mut self, name: Pseudonym) -> Self {
        if let Some(via) = &mut self.config.via {
            via.lines = Via::lines(&name);
        }
        self.config.name = name;
        self
    }

    /// Writes `Via` on responses, too. Default: on requests only.
    pub fn via_on_responses(mut self) -> Self {
        if let Some(via) = &mut self.config.via {
            via.on_responses = true;
        }
        self
    }

    /// Refuses a request whose `Via` has more members than `max`: it goes round, wherever that is.
    /// Default: 100.
    pub fn max_via_members(mut self, max: NonZeroUsize) -> Self {
        if let Some(via) = &mut self.config.via {
            via.max_members = max;
        }
        self
    }

    /// Neither writes `Via` nor looks into it.
    pub fn without_via(mut self) -> Self {
        self.config.via = None;
        self
    }

    /// Writes `id` into `CDN-Loop`, and refuses a request that has passed here before
    /// ([RFC 8586](https://www.rfc-editor.org/rfc/rfc8586)). Default: it is not looked into.
    ///
    /// # Errors
    ///
    /// If `id` is neither a host, with a port or without, nor a token.
    pub fn cdn_loop(mut self, id: &str) -> Result<Self, ConfigError> {
        let value = HeaderValue::from_str(id).ok().filter(|_| cdn_loop::is_id(id));
        let expected = "expected a host such as gw.example:8443, or a token";
        let wrong = || ConfigError::new(format!("{id:?} is no cdn-id: {expected}"));
        let passes = self.config.cdn_loop.map_or(NonZeroUsize::MIN, |own| own.passes);
        self.config.cdn_loop = Some(CdnLoop { id: value.ok_or_else(wrong)?, passes });
        Ok(self)
    }

    /// How often a request may pass here before it is a loop, by its `CDN-Loop`; for topologies in which it
    /// comes back on purpose. Give `Via` up then ([`Self::without_via`]), which allows one pass. Default: 1.
    pub fn cdn_passes(mut self, passes: NonZeroUsize) -> Self {
        if let Some(own) = &mut self.config.cdn_loop {
            own.passes = passes;
        }
        self
    }

    /// Obeys `Max-Forwards` of `OPTIONS` and `TRACE`, and lets it be `own_max` at most from here on: `OPTIONS`
    /// is answered here at zero, `TRACE` is refused with 405. Default: the field passes untouched.
    pub fn max_forwards(mut self, own_max: u32) -> Self {
        self.config.max_forwards = Some(MaxForwards { own_max, answers_trace: false });
        self
    }

    /// The same, and answers `TRACE` at zero with the head of the request, without credentials.
    pub fn max_forwards_and_trace(mut self, own_max: u32) -> Self {
        self.config.max_forwards = Some(MaxForwards { own_max, answers_trace: true });
        self
    }

    /// What a loop is answered with. Default: 508.
    pub fn status(mut self, status: LoopStatus) -> Self {
        self.config.status = status;
        self
    }

    /// Answers what it refuses in this form, except gRPC in its own. Default: the form that a layer above
    /// decided, or else the one that the header fields of the request tell.
    pub fn refuse_as(mut self, dialect: Dialect) -> Self {
        self.config.dialect = Some(dialect);
        self
    }

    #[cfg(feature = "__fuzz")]
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }
}

#[cfg(feature = "seal")]
fn name_of_seal(count: &HeaderName) -> Result<HeaderName, ConfigError> {
    let name = format!("{count}-seal");
    HeaderName::try_from(name.as_str())
        .map_err(|_| ConfigError::new(format!("{name} is too long for a field name")))
}

impl Config {
    /// Whether `Connection` option `option` names a field that this layer relies on.
    pub(crate) fn relies_on(&self, option: &str) -> bool {
        let own = [header::VIA.as_str(), "cdn-loop", header::MAX_FORWARDS.as_str()];
        let is_count = |count: &Count| {
            #[cfg(feature = "seal")]
            if count
                .seal
                .as_ref()
                .is_some_and(|(name, _)| option.eq_ignore_ascii_case(name.as_str()))
            {
                return true;
            }
            option.eq_ignore_ascii_case(count.header.as_str())
        };
        self.count.as_ref().is_some_and(is_count)
            || own.iter().any(|name| option.eq_ignore_ascii_case(name))
    }
}

impl Via {
    fn new(name: &Pseudonym) -> Self {
        Self { lines: Self::lines(name), max_members: MAX_VIA_MEMBERS, on_responses: false }
    }

    fn lines(name: &Pseudonym) -> [(Version, HeaderValue); 5] {
        [Version::HTTP_11, Version::HTTP_2, Version::HTTP_10, Version::HTTP_3, Version::HTTP_09]
            .map(|version| {
                let text = format!("{} {name}", via::version_text(version));
                // A pseudonym is a token, so the fallback is never met.
                (
                    version,
                    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("1.1 bartizan")),
                )
            })
    }

    /// What is written for a message that came by `version`.
    pub(crate) fn line(&self, version: Version) -> Option<HeaderValue> {
        self.lines.iter().find(|(of, _)| *of == version).map(|(_, line)| line.clone())
    }
}

impl LoopStatus {
    pub(crate) const fn code(self) -> StatusCode {
        match self {
            Self::LoopDetected => StatusCode::LOOP_DETECTED,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

impl<S> Layer<S> for LimitHopsLayer {
    type Service = LimitHops<S>;

    fn layer(&self, inner: S) -> LimitHops<S> {
        LimitHops::new(inner, Arc::new(self.config.clone()))
    }
}

impl Default for LimitHopsLayer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_are_told() {
        for name in
            ["via", "host", "connection", "cdn-loop", "x-forwarded-for", "mcp-session-id", "te"]
        {
            let name = HeaderName::from_static(name);
            assert!(LimitHopsLayer::new().header(name.clone()).is_err(), "{name}");
        }
        assert!(LimitHopsLayer::new().header(HeaderName::from_static("x-depth")).is_ok());
        assert!(LimitHopsLayer::new().cdn_loop("a b").is_err());
        #[cfg(feature = "seal")]
        {
            let keys = SealKeys::new("a", b"0123456789abcdef").unwrap();
            assert!(LimitHopsLayer::new().without_count().seal(keys).is_err());
        }
    }
}
