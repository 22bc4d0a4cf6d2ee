//! Why the server does not answer, and how often that is reported.
//!
//! | failure | cause | reported |
//! |---|---|---|
//! | the server or the connection reports a cause | that | at once, then once a minute |
//! | a command is not answered, or there is no connection | that, unless a better cause was seen within 5 s | after 2 s, then once a minute |
//! | any failure of a server that has just answered | that | at once, then once a minute |
//!
//! Causes are texts of this module, because an error text of the server may quote a key or other
//! data that it was sent.

use std::sync::{Mutex, PoisonError};

use fred::error::{Error, ErrorKind};

/// Why the server did not answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Cause {
    text: &'static str,
    /// Whether it is a specific cause.
    is_telling: bool,
}

/// How often an outage is reported.
const EVERY_MS: u64 = 60_000;
/// How long to wait for a better cause.
const PATIENCE_MS: u64 = 2_000;
/// How long a specific cause takes precedence over other failures that it may have caused.
const STANDS_MS: u64 = 5_000;

impl Cause {
    /// A command got no answer in time.
    pub(crate) const TIMEOUT: Self = Self::vague("no answer in time");
    pub(crate) const CLOSED: Self = Self::vague("connection closed");

    pub(crate) fn of(error: &Error) -> Self {
        let details = error.details();
        match error.kind() {
            ErrorKind::Auth if details.starts_with("NOAUTH") => {
                Self::telling("the server requires a password, and none was given")
            }
            ErrorKind::Auth => Self::telling("wrong user name or password"),
            _ if details.starts_with("NOPERM") => {
                Self::telling("the user has no permission for a command that the store needs")
            }
            _ if details.starts_with("LOADING") => Self::telling("the server is loading its data"),
            _ if details.contains("without any password configured") => {
                Self::telling("a password was given, and the server has none")
            }
            ErrorKind::IO => Self::of_io(details),
            ErrorKind::Timeout => Self::TIMEOUT,
            ErrorKind::Canceled => Self::vague("not connected"),
            kind => Self::telling(kind.to_str()),
        }
    }

    fn of_io(details: &str) -> Self {
        let says = |text: &str| details.contains(text);
        if says("refused") || says("Refused") {
            Self::telling("connection refused")
        } else if says("lookup") || says("resolve") {
            Self::telling("its name does not resolve")
        } else if says("unreachable") || says("Unreachable") {
            Self::telling("no route to it")
        } else {
            Self::vague("connection failed")
        }
    }

    pub(crate) const fn text(self) -> &'static str {
        self.text
    }

    const fn telling(text: &'static str) -> Self {
        Self { text, is_telling: true }
    }

    const fn vague(text: &'static str) -> Self {
        Self { text, is_telling: false }
    }
}

/// The current outage, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<State>>);

#[derive(Clone, Copy, Debug)]
struct State {
    cause: Cause,
    cause_ms: u64,
    begun_ms: u64,
    reported_ms: Option<u64>,
}

impl Outage {
    /// Records a failure at `now_ms`, and whether the server answered just before. Returns the cause if it should be
    /// reported.
    pub(crate) fn note(
        &self,
        cause: Cause,
        now_ms: u64,
        has_just_answered: bool,
    ) -> Option<&'static str> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = state.get_or_insert(State {
            cause,
            cause_ms: now_ms,
            begun_ms: now_ms,
            reported_ms: None,
        });
        let stands = state.cause.is_telling && now_ms.saturating_sub(state.cause_ms) < STANDS_MS;
        if cause.is_telling || !stands {
            (state.cause, state.cause_ms) = (cause, now_ms);
        }
        let is_due = match state.reported_ms {
            Some(last_ms) => now_ms.saturating_sub(last_ms) >= EVERY_MS,
            None => {
                let waited = now_ms.saturating_sub(state.begun_ms) >= PATIENCE_MS;
                has_just_answered || state.cause.is_telling || waited
            }
        };
        is_due.then(|| {
            state.reported_ms = Some(now_ms);
            state.cause.text
        })
    }

    /// Records that the server answers again.
    pub(crate) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The cause, if there is an outage.
    pub(crate) fn cause(&self) -> Option<&'static str> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.map(|state| state.cause.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: Cause = Cause::telling("wrong user name or password");

    #[test]
    fn a_cause_is_told_in_words_of_our_own() {
        for (kind, details, text) in [
            (ErrorKind::Auth, "WRONGPASS invalid pair secret", PASSWORD.text),
            (
                ErrorKind::Auth,
                "NOAUTH HELLO must",
                "the server requires a password, and none was given",
            ),
            (ErrorKind::IO, "Connection refused (os error 111)", "connection refused"),
            (ErrorKind::IO, "failed to lookup address information", "its name does not resolve"),
            (ErrorKind::IO, "secret", "connection failed"),
            (ErrorKind::Timeout, "secret", "no answer in time"),
            (
                ErrorKind::Unknown,
                "NOPERM secret",
                "the user has no permission for a command that the store needs",
            ),
            (ErrorKind::Unknown, "secret", "Unknown Error"),
        ] {
            assert_eq!(Cause::of(&Error::new(kind, details)).text, text);
        }
    }

    #[test]
    fn the_first_failure_is_reported_and_then_one_a_minute() {
        let outage = Outage::default();
        assert_eq!(outage.note(PASSWORD, 10, false), Some(PASSWORD.text));
        let next = (1..).map(|beat| 10 + beat * 250);
        let reported: Vec<_> = next
            .take(800)
            .filter(|now_ms| outage.note(PASSWORD, *now_ms, false).is_some())
            .collect();
        assert_eq!(reported, [60_010, 120_010, 180_010]);
        outage.end();
        assert_eq!(outage.cause(), None);
        assert!(outage.note(PASSWORD, 200_000, false).is_some(), "another outage");
    }

    #[test]
    fn what_says_nothing_waits_for_what_does() {
        let outage = Outage::default();
        assert_eq!(outage.note(Cause::TIMEOUT, 0, false), None);
        assert_eq!(outage.cause(), Some("no answer in time"));
        assert_eq!(outage.note(PASSWORD, 500, false), Some(PASSWORD.text));
        assert_eq!(outage.note(Cause::TIMEOUT, 750, false), None);
        assert_eq!(outage.cause(), Some(PASSWORD.text), "the timeout is a consequence");
        outage.note(Cause::TIMEOUT, 500 + STANDS_MS, false);
        assert_eq!(outage.cause(), Some("no answer in time"), "no longer");

        let silent = Outage::default();
        assert_eq!(silent.note(Cause::TIMEOUT, 0, false), None);
        assert_eq!(silent.note(Cause::TIMEOUT, PATIENCE_MS, false), Some("no answer in time"));
        let lost = Outage::default();
        assert_eq!(lost.note(Cause::CLOSED, 0, true), Some("connection closed"));
    }
}
