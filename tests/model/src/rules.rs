//! The decisions of the layers' own functions, computed once and kept as tables.
//!
//! This file makes no decisions: each table is filled by calling the layers' code, with a response, a record or a
//! sequence of observations that represents a state of the model. Fixes are undone here.

use std::{num::NonZeroU8, ops::ControlFlow, time::Duration};

use bartizan_core::{
    BackendId, Key, Reason, Route, Session, UpstreamFailure,
    failure::FailureKind,
    mcp,
    session::Record as SessionRecord,
    store::{Inserted, Replaced, StoreError, StoreErrorKind, StoredSession},
};
use bartizan_pin::deciders::{Absentees, Health, absent, unreachable};
use bartizan_resume::deciders::{
    Answers, ENDING, ENTRY, FORGOTTEN, Unfit, Verdict, Written, accept_head, by_head, by_text,
    has_ended, is_same_place, unavailable,
};
use bartizan_session::deciders::{Asked, Change, Protocol, change, on_insert};
use http::{Response, StatusCode};

use crate::{
    config::Undone,
    state::{Got, Kind, Listed, Said, Seen, Why},
    store::{Insert, Record, Replace},
};

/// A step of the clock: the longest gap between two refusals of one span.
const TICK_MS: u64 = 2_000;
/// A span of refusals counts after two steps.
const LOST_AFTER: Duration = Duration::from_millis(2 * TICK_MS);
/// A backend that was never on the list counts as unknown for one step.
const SETTLE: Duration = Duration::from_millis(TICK_MS);

const ENDPOINT: &str = "/mcp";
const ELSEWHERE: &str = "/favicon.ico";
const UNKNOWN_SESSION: &[u8] =
    br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"Session not found"}}"#;
const UNKNOWN_METHOD: &[u8] =
    br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found"}}"#;

/// What the guard of sessions does about a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Nothing.
    Keep,
    /// The client has ended the session: the record is removed.
    Ended,
    /// The same, and the backend could not be reached: 204.
    EndedUnreachable,
    /// The session is lost: the record that was seen is removed.
    Lost,
    /// The session has moved: the record names the backend of the response.
    Moved,
}

/// What happens to a session after backends have answered an attempt to resume it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// The next backend is asked.
    Ask,
    /// The session ends.
    GiveUp,
    /// It stays, and the request is refused.
    Fail(Why),
}

/// The outcome of writing a record while resuming.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Put {
    /// It is in the store.
    Done,
    /// The session is being ended.
    Ending,
    /// It is elsewhere.
    Elsewhere,
    /// The write can be repeated with the record that was found.
    Again,
    /// There is none.
    Gone,
}

/// The tables of decisions.
#[derive(Clone, Debug)]
pub struct Rules {
    undone: Undone,
    /// By the observations of a backend: why it is given up, and whether it is unreachable.
    losses: Vec<(Option<Why>, bool)>,
    /// By kind, by what was said, and by whether it comes from another backend than the record's.
    effects: Vec<(Kind, Said, bool, Effect)>,
    /// By kind and response: the verdict, and whether a session that should end has ended by it.
    verdicts: Vec<(Kind, Said, Verdict, bool)>,
    /// By whether the version, the place and the end of two records are the same.
    puts: [[[Put; 2]; 2]; 2],
    gone: Put,
    sick: Got,
    forgotten: Why,
}

impl Rules {
    /// Asks the deciders.
    #[must_use]
    pub fn new(undone: Undone) -> Self {
        let kinds = [Kind::Call, Kind::Delete, Kind::Path, Kind::Method];
        let said = all_said();
        let cases = || kinds.into_iter().flat_map(|kind| said.map(|said| (kind, said)));
        let effects = cases().flat_map(|(kind, said)| {
            [false, true].map(|moves| (kind, said, moves, effect(kind, said, moves, undone)))
        });
        let verdicts = cases().map(|(kind, said)| {
            let verdict = verdict(kind, said, undone);
            (kind, said, verdict, has_ended(&response(said), verdict))
        });
        let puts = [false, true].map(|version| {
            [false, true].map(|place| [false, true].map(|ending| put(version, place, ending)))
        });
        Self {
            undone,
            losses: (0..=u8::MAX).map(|seen| loss(Seen(seen), undone)).collect(),
            effects: effects.collect(),
            verdicts: verdicts.collect(),
            puts,
            gone: on_written(&Written::of(Replaced::Gone, &session(Record::default()))),
            sick: sick(undone),
            forgotten: if undone.forgetful_backends_end_it { Why::Lost } else { why(FORGOTTEN) },
        }
    }

    /// Why pinned work is refused, by what was seen of its backend.
    #[must_use]
    pub fn loss(&self, seen: Seen) -> Option<Why> {
        self.losses[usize::from(seen.0)].0
    }

    /// Whether work that may move is not sent to its backend, by what was seen of it.
    #[must_use]
    pub fn is_out_of_reach(&self, seen: Seen) -> bool {
        self.losses[usize::from(seen.0)].1
    }

    /// Why work is refused whose backend is not on the list, and the new state of the list.
    #[must_use]
    pub fn absent(&self, listed: Listed) -> (Why, Listed) {
        let mut absentees = Absentees::default();
        let id = backend(0);
        let (now_ms, met) = match listed {
            Listed::Here | Listed::Never | Listed::Met => (1, Listed::Met),
            Listed::MetBefore => (1 + TICK_MS, Listed::MetBefore),
            Listed::Left => {
                absentees.left(&id);
                (1, Listed::Left)
            }
        };
        if listed == Listed::MetBefore {
            let _ = absentees.meet(&id, 1, SETTLE);
        }
        let why = why(absent(absentees.meet(&id, now_ms, SETTLE)));
        match why {
            Why::Unknown | Why::OutOfReach if self.undone.unknown_is_gone => (Why::Lost, met),
            Why::OutOfReach if self.undone.unknown_for_ever => (Why::Unknown, met),
            _ => (why, met),
        }
    }

    /// What the guard of sessions does about a response.
    #[must_use]
    pub fn effect(&self, kind: Kind, said: Said, moves: bool) -> Effect {
        let case =
            |case: &&(Kind, Said, bool, Effect)| (case.0, case.1, case.2) == (kind, said, moves);
        self.effects.iter().find(case).map_or(Effect::Keep, |case| case.3)
    }

    /// What a response shows about its session, and whether a session that should end has ended by it.
    #[must_use]
    pub fn verdict(&self, kind: Kind, said: Said) -> (Verdict, bool) {
        let case = |case: &&(Kind, Said, Verdict, bool)| (case.0, case.1) == (kind, said);
        self.verdicts.iter().find(case).map_or((Verdict::Arrived, false), |case| (case.2, case.3))
    }

    /// The outcome of replacing `current`.
    #[must_use]
    pub fn put(&self, replace: Replace, current: Record) -> Put {
        match replace {
            Replace::Replaced(_) => Put::Done,
            Replace::Gone => self.gone,
            Replace::Changed(other) => {
                let is_same_place = is_same(other, current);
                self.puts[0][usize::from(is_same_place)][usize::from(other.is_ending)]
            }
        }
    }

    /// What follows when backends have answered `got`, and there is none left to ask if `is_last`.
    #[must_use]
    pub fn next(&self, got: [Got; 2], is_last: bool) -> Next {
        let mut answers = Answers::new(ATTEMPTS);
        let unfit = |got| match got {
            Got::NoAnswer | Got::Sick => Some(Unfit::NoAnswer(Reason::BackendUnreachable)),
            Got::Other => Some(Unfit::Other),
            Got::Nothing | Got::Opened(_) => None,
        };
        // The layer keeps asking until the answers decide.
        let last = std::iter::repeat_n(Unfit::NoAnswer(Reason::NoBackend), MOST_ASKED);
        let last = last.take(if is_last { MOST_ASKED } else { 0 });
        let mut next = ControlFlow::Continue(());
        for unfit in got.into_iter().filter_map(unfit).chain(last) {
            next = answers.add(unfit);
            if next.is_break() {
                break;
            }
        }
        match next {
            ControlFlow::Continue(()) => Next::Ask,
            ControlFlow::Break(Unfit::Other) => Next::GiveUp,
            ControlFlow::Break(Unfit::NoAnswer(reason)) => Next::Fail(why(unavailable(reason))),
            ControlFlow::Break(Unfit::Denied(_)) => Next::Fail(Why::Unreachable),
        }
    }

    /// The answer of a failing backend to an attempt to resume.
    #[must_use]
    pub fn sick(&self) -> Got {
        self.sick
    }

    /// Why a request is refused whose session was lost wherever it was resumed.
    #[must_use]
    pub fn forgotten(&self) -> Why {
        self.forgotten
    }

    /// Whether a session that a backend has named may be handed out.
    #[must_use]
    pub fn is_inserted(&self, insert: Option<Insert>) -> bool {
        let record = Record { version: 1, ..Record::default() };
        let inserted = match insert {
            None => Err(StoreError::new(StoreErrorKind::Timeout)),
            Some(Insert::Inserted) => Ok(Inserted::Inserted(session(record))),
            Some(Insert::Exists) => Ok(Inserted::Exists(session(record))),
            Some(Insert::Ended) => Ok(Inserted::Ended),
        };
        on_insert(inserted, Some(&backend(0))).is_ok()
    }
}

/// More than the layer asks for one request with two backends.
const MOST_ASKED: usize = 8;

/// The default number of backends that may fail to answer.
const ATTEMPTS: NonZeroU8 = NonZeroU8::MIN.saturating_add(1);

/// Whether two records name the same upstream session.
#[must_use]
pub fn is_same(one: Record, other: Record) -> bool {
    (one.backend, one.upstream) == (other.backend, other.upstream)
}

fn loss(seen: Seen, undone: Undone) -> (Option<Why>, bool) {
    let health = Health::default();
    let sightings = [3, 2, 1, 0].map(|ago| (ago, (3 - u64::from(ago)) * TICK_MS + 1));
    for (ago, now_ms) in sightings {
        let bits = seen.at(ago);
        let before = (ago..4).any(|ago| seen.at(ago) & Seen::REFUSED != 0);
        let after = (0..=ago).any(|ago| seen.at(ago) & Seen::REFUSED != 0);
        let is_between = undone.blips_are_a_span && before && after;
        if bits & Seen::REFUSED != 0 || is_between {
            health.failed(UpstreamFailure::new(FailureKind::Refused), now_ms);
        }
        if bits & Seen::FAILED != 0 {
            let is_evidence = undone.timeouts_are_evidence;
            let kind = if is_evidence { FailureKind::Refused } else { FailureKind::ConnectTimeout };
            health.failed(UpstreamFailure::new(kind), now_ms);
        }
    }
    let now_ms = 3 * TICK_MS + 1;
    let (refused_for, unreachable_for) =
        (health.refused_for(now_ms), health.unreachable_for(now_ms));
    let is_out = unreachable_for.is_some_and(|time| time >= LOST_AFTER);
    (unreachable(refused_for, unreachable_for, LOST_AFTER).map(why), is_out)
}

fn all_said() -> [Said; 13] {
    let [a, b, c, d, e, f] =
        [Why::Lost, Why::Unknown, Why::OutOfReach, Why::Unreachable, Why::NoBackend, Why::Store]
            .map(Said::Refusal);
    let [g, h, i, j] = [Said::Done, Said::Denies, Said::NoMethod, Said::NoPath];
    let [k, l, m] = [Said::Refused, Said::Silent, Said::Broken];
    [a, b, c, d, e, f, g, h, i, j, k, l, m]
}

/// The response that stands for what was said.
fn response(said: Said) -> Response<()> {
    let mut response = Response::new(());
    let failure = |response: &mut Response<()>, kind, reason: Reason| {
        *response.status_mut() = reason.status();
        response.extensions_mut().insert(UpstreamFailure::new(kind));
        response.extensions_mut().insert(reason);
    };
    match said {
        Said::Done => {}
        Said::Denies | Said::NoMethod | Said::NoPath => {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        // What is pinned is refused so, whatever the cause.
        Said::Refused => failure(&mut response, FailureKind::Refused, Reason::BackendUnreachable),
        Said::Silent => {
            failure(&mut response, FailureKind::ConnectTimeout, Reason::BackendUnreachable);
        }
        Said::Broken => {
            failure(&mut response, FailureKind::Terminated, Reason::ConnectionTerminated)
        }
        Said::Refusal(why) => {
            let reason = reason(why);
            *response.status_mut() = reason.status();
            response.extensions_mut().insert(reason);
        }
    }
    response
}

fn body(said: Said) -> &'static [u8] {
    match said {
        Said::Denies => UNKNOWN_SESSION,
        Said::NoMethod => UNKNOWN_METHOD,
        _ => b"Not Found",
    }
}

fn path(kind: Kind) -> &'static str {
    if kind == Kind::Path { ELSEWHERE } else { ENDPOINT }
}

fn effect(kind: Kind, said: Said, moves: bool, undone: Undone) -> Effect {
    let mut response = response(said);
    if moves {
        let uri = format!("http://{}", backend(1));
        if let Ok(backend) = uri.parse::<bartizan_core::Backend>() {
            response.extensions_mut().insert(backend);
        }
    }
    let session = session(Record::default());
    let mut asked = Asked::of(&session, path(kind), kind == Kind::Delete);
    asked.is_at_endpoint |= undone.any_404_ends;
    match change(&response, &session, asked, Protocol::Mcp, &mcp::SESSION_ID) {
        Some(Change::Ended) => Effect::Ended,
        Some(Change::EndedUnreachable) => Effect::EndedUnreachable,
        Some(Change::Lost) => Effect::Lost,
        Some(Change::Denied) if undone.any_404_ends || mcp::denies_session(body(said)) => {
            Effect::Lost
        }
        Some(Change::Moved(_)) => Effect::Moved,
        Some(Change::Denied | Change::Another | Change::Refused) | None => Effect::Keep,
    }
}

fn verdict(kind: Kind, said: Said, undone: Undone) -> Verdict {
    let response = response(said);
    if undone.resets_are_losses && said == Said::Broken {
        return Verdict::Unreachable;
    }
    let is_at_endpoint = || undone.any_404_ends || mcp::is_same_endpoint(ENDPOINT, path(kind));
    match by_head(&response, is_at_endpoint) {
        Verdict::Look if undone.any_404_ends => Verdict::Unknown,
        Verdict::Look => by_text(response.status(), body(said)),
        verdict => verdict,
    }
}

fn put(is_same_version: bool, is_there: bool, is_ending: bool) -> Put {
    let current = Record { version: 1, ..Record::default() };
    let other = Record {
        upstream: u8::from(!is_there),
        version: if is_same_version { 1 } else { 2 },
        is_ending,
        ..current
    };
    let (current, other) = (session(current), session(other));
    debug_assert!(is_same_place(&current, &other) == is_there, "the model's records have places");
    let replaced =
        if is_same_version { Replaced::Replaced(other) } else { Replaced::Changed(other) };
    on_written(&Written::of(replaced, &current))
}

fn on_written(written: &Written) -> Put {
    match written {
        Written::Done(_) => Put::Done,
        Written::Ending => Put::Ending,
        Written::Elsewhere(_) => Put::Elsewhere,
        Written::Again(_) => Put::Again,
        Written::Gone => Put::Gone,
    }
}

fn sick(undone: Undone) -> Got {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    match accept_head(response) {
        Err(Unfit::NoAnswer(_)) if !undone.sick_openers_end_it => Got::Sick,
        _ => Got::Other,
    }
}

fn backend(index: u8) -> BackendId {
    let name = if index == 0 { "x:1" } else { "y:1" };
    BackendId::new(name).unwrap_or_else(|_| unreachable!("a name without a fault"))
}

/// The session that a record of the model represents.
fn session(record: Record) -> Session {
    let upstream = [b'a' + record.upstream];
    let mut stored = SessionRecord::new(SessionRecord::IDLE, SessionRecord::LIFETIME)
        .with_backend(backend(record.backend))
        .with_path(std::sync::Arc::new(ENDPOINT.to_owned()));
    if record.upstream != 0 {
        let id = bartizan_core::SessionId::from_bytes(&upstream);
        stored = stored.with_upstream_id(id.unwrap_or_else(|_| unreachable!("a letter is an id")));
    }
    if record.is_ending {
        stored = stored.with_field(ENTRY, ENDING);
    }
    let route = Route::default();
    Session::new(Key::new(&route, None, b"a"), stored, u32::from(record.version).into(), 1)
}

fn why(reason: Reason) -> Why {
    match reason {
        Reason::BackendLost => Why::Lost,
        Reason::BackendUnknown => Why::Unknown,
        Reason::BackendOutOfReach => Why::OutOfReach,
        Reason::NoBackend => Why::NoBackend,
        Reason::StoreUnavailable => Why::Store,
        _ => Why::Unreachable,
    }
}

fn reason(why: Why) -> Reason {
    match why {
        Why::Lost => Reason::BackendLost,
        Why::Unknown => Reason::BackendUnknown,
        Why::OutOfReach => Reason::BackendOutOfReach,
        Why::Unreachable => Reason::BackendUnreachable,
        Why::NoBackend => Reason::NoBackend,
        Why::Store => Reason::StoreUnavailable,
    }
}
